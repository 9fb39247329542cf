//! Checksums go on from one another, and what is compressed comes back, at its own size only.

#![no_main]

use libfuzzer_sys::fuzz_target;
use muniment_kernel::stored::{compress, crc32c, decompress};

fn crc32c_bit_by_bit(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

fuzz_target!(|data: &[u8]| {
    let cut = data.first().map_or(0, |&byte| usize::from(byte) % (data.len() + 1));
    let (one, other) = data.split_at(cut);
    assert_eq!(crc32c(other, crc32c(one, 0)), crc32c_bit_by_bit(data));
    let frame = compress(data).expect("memory");
    assert_eq!(decompress(&frame, data.len()).as_deref(), Some(data));
    assert_eq!(decompress(&frame, data.len() + 1), None);
    assert_eq!(decompress(&frame[..frame.len() - 1], data.len()), None);
});
