//! The tree of RFC 6962: leaf hashes, its frontier, its root.

#![forbid(unsafe_code)]

use sha2::{Digest, Sha256};

use crate::unpack::Entries;

/// Bytes of a SHA-256 hash.
pub const HASH_BYTES: usize = 32;

/// One SHA-256 hash.
pub type Hash = [u8; HASH_BYTES];

/// Leaf hashes of entries that begin alike: what they share is hashed once.
pub(crate) struct LeafHasher(Sha256);

impl LeafHasher {
    pub(crate) fn new(prefix: &[u8]) -> Self {
        Self(Sha256::new_with_prefix([0]).chain_update(prefix))
    }

    pub(crate) fn hash(&self, rest: &[u8]) -> Hash {
        self.0.clone().chain_update(rest).finalize().into()
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 1 + 2 * HASH_BYTES];
    bytes[1..=HASH_BYTES].copy_from_slice(left);
    bytes[1 + HASH_BYTES..].copy_from_slice(right);
    Sha256::digest(bytes).into()
}

fn hashes(bytes: &[u8]) -> Option<&[Hash]> {
    let (hashes, rest) = bytes.as_chunks();
    rest.is_empty().then_some(hashes)
}

/// Returns the leaf hashes of a packed chunk's entries, or None where its lengths do not add up.
pub fn leaf_hashes(payload: &[u8]) -> Option<Vec<u8>> {
    let hasher = LeafHasher::new(b"");
    let mut leaves = Vec::with_capacity(payload.len() / 8);
    for entry in Entries::of(payload) {
        leaves.extend_from_slice(&hasher.hash(entry?));
    }
    Some(leaves)
}

/// Appends leaf hashes to a tree of `size` leaves with this frontier.
///
/// Returns the new frontier and the hashes completed on tile levels 1, 2, ...; None where the
/// frontier does not fit the size, or where the bytes are not whole hashes.
pub fn extend(frontier: &[u8], size: u64, leaves: &[u8]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let mut stack = hashes(frontier)?.to_vec();
    let mut level = hashes(leaves)?.to_vec();
    size.checked_add(u64::try_from(level.len()).ok()?)?;
    if stack.len() != size.count_ones() as usize {
        return None;
    }
    let mut right = Vec::new();
    let mut tiles = Vec::new();
    let mut height = 0;
    while !level.is_empty() {
        if height > 0 && height % 8 == 0 {
            tiles.push(level.concat());
        }
        let left = if size >> height & 1 == 1 { Some(stack.pop()?) } else { None };
        right.extend(raise(&mut level, left));
        height += 1;
    }
    right.reverse();
    stack.append(&mut right);
    Some((stack.concat(), tiles))
}

/// Replaces the hashes of one level, with `left` before them, by their parents; returns the hash
/// that has no partner yet. In place: a parent is written where its children have been read.
fn raise(level: &mut Vec<Hash>, left: Option<Hash>) -> Option<Hash> {
    let shift = usize::from(left.is_some());
    let total = level.len() + shift;
    let last = level.last().or(left.as_ref()).copied();
    let single = if total % 2 == 1 { last } else { None };
    let parents = total / 2;
    for place in 0..parents {
        let first = match left {
            Some(left) if place == 0 => left,
            _ => level[2 * place - shift],
        };
        level[place] = node(&first, &level[2 * place + 1 - shift]);
    }
    level.truncate(parents);
    single
}

/// Returns the root of the tree whose frontier this is, or None where it is not whole hashes.
pub fn root(frontier: &[u8]) -> Option<Hash> {
    let hashes = hashes(frontier)?;
    let Some((last, rest)) = hashes.split_last() else {
        return Some(Sha256::digest(b"").into());
    };
    Some(rest.iter().rev().fold(*last, |top, left| node(left, &top)))
}

#[cfg(test)]
mod tests {
    use super::{Hash, extend, leaf_hashes, node, root};

    fn naive(leaves: &[Hash]) -> Hash {
        match leaves {
            [one] => *one,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node(&naive(left), &naive(right))
            }
        }
    }

    fn leaves(count: u8) -> Vec<Hash> {
        (0..count).map(|n| leaf_hashes(&[0, 1, n]).expect("an entry")).map(|h| hash(&h)).collect()
    }

    fn hash(bytes: &[u8]) -> Hash {
        bytes.try_into().expect("a hash")
    }

    #[test]
    fn every_tree_of_up_to_40_leaves_grown_in_two_steps() {
        let leaves = leaves(40);
        for size in 1..=leaves.len() {
            for middle in 0..=size {
                let (first, second) = leaves[..size].split_at(middle);
                let (frontier, _) = extend(b"", 0, &first.concat()).expect("empty");
                let grown = extend(&frontier, middle as u64, &second.concat()).expect("it fits");
                assert_eq!(root(&grown.0), Some(naive(&leaves[..size])));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(extend(b"", 1, b""), None);
        assert_eq!(extend(&[0; 32], 0, b""), None);
        assert_eq!(extend(b"", 0, &[0; 33]), None);
        assert_eq!(extend(&[0; 32 * 64], u64::MAX, &[0; 32]), None);
        assert_eq!(root(&[0; 31]), None);
        assert_eq!(leaf_hashes(&[0]), None);
    }
}
