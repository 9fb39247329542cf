//! The tree grown in two steps has the root of RFC 6962 at each, and odd bytes are refused.

#![no_main]

use checks::{leaf, naive_root};
use libfuzzer_sys::fuzz_target;
use muniment_kernel::merkle::{extend, leaf_hashes, root};
use muniment_kernel::unpack::unpack;

fuzz_target!(|data: &[u8]| {
    let Some((cut, payload)) = data.split_first_chunk::<8>() else {
        return;
    };
    let claimed = u64::from_le_bytes(*cut);
    if let Some((frontier, _)) = extend(payload, claimed, payload) {
        let leaves = payload.len() as u64 / 32;
        assert_eq!(frontier.len() as u64 / 32, u64::from((claimed + leaves).count_ones()));
    }
    assert_eq!(root(payload).is_some(), payload.len() % 32 == 0);
    let Some(leaves) = leaf_hashes(payload) else {
        assert!(unpack(payload).is_none());
        return;
    };
    let expected: Vec<[u8; 32]> =
        unpack(payload).expect("it was hashed").into_iter().map(leaf).collect();
    assert_eq!(leaves, expected.concat());
    let middle = usize::from(cut[0]) % (expected.len() + 1);
    let (first, second) = leaves.split_at(32 * middle);
    let (frontier, mut tiles) = extend(b"", 0, first).expect("an empty tree");
    assert_eq!(root(&frontier), Some(naive_root(&expected[..middle])));
    let (frontier, more) = extend(&frontier, middle as u64, second).expect("it fits");
    assert_eq!(root(&frontier), Some(naive_root(&expected)));
    tiles.extend(more);
    let whole: Vec<u8> = expected.chunks_exact(256).flat_map(|leaves| naive_root(leaves)).collect();
    let level_one: Vec<u8> = tiles.concat();
    if expected.len() < 65_536 {
        assert_eq!(level_one, whole);
    }
});
