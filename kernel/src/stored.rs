//! What is stored of a chunk: its checksum, its compressed form.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::io;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, find_frame_compressed_size, get_frame_content_size};

use crate::pack::MAX_CHUNK_BYTES;

const LEVEL: i32 = 1;
const MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";

/// Of a frame's window descriptor: the exponent of a window of 1 MiB. Our own frames need no more.
const MAX_WINDOW_EXPONENT: u8 = 10;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Returns the CRC-32C (Castagnoli) of `data`, going on from `seed`.
pub fn crc32c(data: &[u8], seed: u32) -> u32 {
    crc32c::crc32c_append(seed, data)
}

/// Returns one zstd frame with its content's size and checksum; None if there is no memory.
pub fn compress(data: &[u8]) -> Option<Vec<u8>> {
    with(&COMPRESSOR, compressor, |context| context.compress(data))
}

fn compressor() -> io::Result<Compressor<'static>> {
    let mut context = Compressor::new(LEVEL)?;
    context.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(context)
}

/// Returns the `size` bytes that one zstd frame holds, or None.
///
/// No more than `size` bytes are asked of memory, and never more than MAX_CHUNK_BYTES.
pub fn decompress(frame: &[u8], size: usize) -> Option<Vec<u8>> {
    let stated = get_frame_content_size(frame).ok()??;
    let sound = size <= MAX_CHUNK_BYTES
        && stated == u64::try_from(size).ok()?
        && frame.starts_with(MAGIC)
        && has_small_window(frame)?
        && find_frame_compressed_size(frame) == Ok(frame.len());
    if !sound {
        return None;
    }
    let data = with(&DECOMPRESSOR, Decompressor::new, |context| context.decompress(frame, size))?;
    (data.len() == size).then_some(data)
}

/// Reads the frame header (RFC 8878, 3.1.1.1): a single segment has no window of its own.
fn has_small_window(frame: &[u8]) -> Option<bool> {
    let single_segment = frame.get(4)? & 0x20 != 0;
    Some(single_segment || frame.get(5)? >> 3 <= MAX_WINDOW_EXPONENT)
}

/// Uses this thread's context; one that failed is not used again.
fn with<C, T>(
    slot: &'static std::thread::LocalKey<RefCell<Option<C>>>,
    make: impl FnOnce() -> io::Result<C>,
    work: impl FnOnce(&mut C) -> io::Result<T>,
) -> Option<T> {
    let mut context = match slot.take() {
        Some(context) => context,
        None => make().ok()?,
    };
    let done = work(&mut context).ok()?;
    slot.set(Some(context));
    Some(done)
}

#[cfg(test)]
mod tests {
    use super::{compress, crc32c, decompress};

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        assert_eq!(crc32c(&[0; 32], 0), 0x8a91_36aa);
        assert_eq!(crc32c(b"6789", crc32c(b"12345", 0)), 0xe306_9283);
    }

    #[test]
    fn only_the_whole_frame_and_nothing_more_is_taken() {
        let data = b"abc".repeat(100);
        let frame = compress(&data).expect("memory");
        assert_eq!(decompress(&frame, 300).as_deref(), Some(&data[..]));
        assert_eq!(decompress(&frame, 299), None);
        assert_eq!(decompress(&frame[..frame.len() - 1], 300), None);
        assert_eq!(decompress(&[frame.clone(), frame].concat(), 300), None);
        assert_eq!(decompress(b"\x50\x2a\x4d\x18\x00\x00\x00\x00", 0), None); // skippable
    }
}
