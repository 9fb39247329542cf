//! What the targets check alike: chunks against the rules, hashes against a naive tree.

use muniment_kernel::pack::{CHUNK_BYTES, COMPRESS_CHUNK_BYTES, Chunk, MAX_CHUNK_BYTES};
use muniment_kernel::unpack;
use sha2::{Digest, Sha256};

/// Cuts the input at the first `|`: a header and a body.
pub fn header_and_body(data: &[u8]) -> (&[u8], &[u8]) {
    let cut = data.iter().position(|&byte| byte == b'|');
    cut.map_or((b"", data), |cut| (&data[..cut], &data[cut + 1..]))
}

/// Holds chunks against the entries that they must hold and against their own promises.
pub fn chunks_hold(chunks: &[Chunk], entries: &[Vec<u8>]) {
    let mut found = Vec::new();
    for (place, chunk) in chunks.iter().enumerate() {
        let inside = unpack::unpack(&chunk.payload).expect("a chunk can be unpacked");
        assert_eq!(inside.len(), chunk.count);
        assert!(chunk.count > 0 && chunk.payload.len() <= MAX_CHUNK_BYTES);
        assert!(chunk.payload.len() >= CHUNK_BYTES || place + 1 == chunks.len());
        let leaves: Vec<u8> = inside.iter().flat_map(|entry| leaf(entry)).collect();
        assert_eq!(chunk.leaves, leaves);
        if !chunk.compressed.is_empty() {
            assert!(chunk.payload.len() >= COMPRESS_CHUNK_BYTES);
            assert!(chunk.compressed.len() <= chunk.payload.len() * 7 / 8);
            let back = zstd::bulk::decompress(&chunk.compressed, chunk.payload.len()).ok();
            assert_eq!(back.as_ref(), Some(&chunk.payload));
        }
        found.extend(inside.into_iter().map(<[u8]>::to_vec));
    }
    assert_eq!(found, entries);
}

/// RFC 6962, 2.1: the hash of a leaf.
pub fn leaf(entry: &[u8]) -> [u8; 32] {
    Sha256::digest([b"\x00", entry].concat()).into()
}

/// RFC 6962, 2.1: the root over leaf hashes, word for word as it stands there.
pub fn naive_root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest(b"").into(),
        [one] => *one,
        _ => {
            let cut = leaves.len().next_power_of_two() / 2;
            let (left, right) = (naive_root(&leaves[..cut]), naive_root(&leaves[cut..]));
            Sha256::digest([&b"\x01"[..], &left, &right].concat()).into()
        }
    }
}
