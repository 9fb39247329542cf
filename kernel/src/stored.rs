//! The compressed form of a chunk, made where the chunk is packed.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::io;

use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

const LEVEL: i32 = 1;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// Returns one zstd frame with its content's size and checksum; None if there is no memory.
///
/// The context is this thread's; one that failed is not used again.
pub fn compress(data: &[u8]) -> Option<Vec<u8>> {
    let mut context = match COMPRESSOR.take() {
        Some(context) => context,
        None => compressor().ok()?,
    };
    let frame = context.compress(data).ok()?;
    COMPRESSOR.set(Some(context));
    Some(frame)
}

fn compressor() -> io::Result<Compressor<'static>> {
    let mut context = Compressor::new(LEVEL)?;
    context.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(context)
}

#[cfg(test)]
mod tests {
    use super::compress;

    #[test]
    fn what_is_compressed_comes_back() {
        for data in [&b""[..], b"a", &b"abc".repeat(100_000)] {
            let frame = compress(data).expect("memory");
            assert_eq!(zstd::bulk::decompress(&frame, data.len()).expect("our own frame"), data);
        }
    }
}
