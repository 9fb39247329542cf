//! Whatever a frame claims: the stated size comes out, or nothing.

#![no_main]

use checks::header_and_body;
use libfuzzer_sys::fuzz_target;
use muniment_kernel::pack::MAX_CHUNK_BYTES;
use muniment_kernel::stored::{compress, decompress};

/// A sound frame of the body with some bytes replaced: (place, value)* says which.
fn damaged(edits: &[u8], body: &[u8]) -> Vec<u8> {
    let mut frame = compress(body).expect("memory");
    for edit in edits.chunks_exact(2) {
        let place = usize::from(edit[0]) % frame.len();
        frame[place] = edit[1];
    }
    frame
}

fuzz_target!(|data: &[u8]| {
    let Some((size, rest)) = data.split_first_chunk::<4>() else {
        return;
    };
    let size = u32::from_le_bytes(*size) as usize;
    let (edits, body) = header_and_body(rest);
    for frame in [rest, &[b"\x28\xb5\x2f\xfd", rest].concat(), &damaged(edits, body)] {
        for size in [size, size % 4096, body.len()] {
            if let Some(found) = decompress(frame, size) {
                assert!(found.len() == size && size <= MAX_CHUNK_BYTES);
                let again = compress(&found).expect("memory");
                assert_eq!(decompress(&again, size), Some(found));
            }
        }
    }
});
