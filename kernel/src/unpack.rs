//! Packed chunks taken apart: (uint16 big-endian length || entry)*.

#![forbid(unsafe_code)]

use std::collections::HashMap;

use memchr::memchr;

/// The entries of a packed chunk, in order; a None among them is where the lengths go wrong.
pub struct Entries<'a>(&'a [u8]);

impl<'a> Entries<'a> {
    /// Begins at the first byte of `payload`.
    pub fn of(payload: &'a [u8]) -> Self {
        Self(payload)
    }

    fn take(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (entry, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        self.0 = rest;
        Some(entry)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let entry = self.take();
        if entry.is_none() {
            self.0 = &[];
        }
        Some(entry)
    }
}

/// Returns the entries of a packed chunk, or None where the lengths do not add up.
pub fn unpack(payload: &[u8]) -> Option<Vec<&[u8]>> {
    Entries::of(payload).collect()
}

/// Entries taken apart at their first newline; see the class of this name in Python.
#[derive(Debug, Default)]
pub struct Split<'a> {
    /// The distinct headers in order of first appearance, newline included.
    pub headers: Vec<&'a [u8]>,
    /// Native-endian uint32 for each entry: the place of its header.
    pub which: Vec<u8>,
    /// Native-endian int32, one more than entries: where each begins in `raw`.
    pub offsets: Vec<u8>,
    /// What follows the first newline of each entry, end to end.
    pub raw: Vec<u8>,
}

/// Splits the entries of a packed chunk, or returns None where the lengths do not add up.
pub fn split(payload: &[u8]) -> Option<Split<'_>> {
    i32::try_from(payload.len()).ok()?; // then every offset is one
    let mut split = Split { raw: Vec::with_capacity(payload.len()), ..Split::default() };
    let mut places = HashMap::new();
    let (mut last, mut place): (&[u8], u32) = (b"", 0);
    split.offsets.extend_from_slice(&0_i32.to_ne_bytes());
    for entry in Entries::of(payload) {
        let entry = entry?;
        if !(last.ends_with(b"\n") && entry.starts_with(last)) {
            let end = memchr(b'\n', entry).map_or(entry.len(), |newline| newline + 1);
            last = &entry[..end];
            place = *places.entry(last).or_insert_with(|| {
                split.headers.push(last);
                split.headers.len() as u32 - 1
            });
        }
        split.which.extend_from_slice(&place.to_ne_bytes());
        split.raw.extend_from_slice(&entry[last.len()..]);
        split.offsets.extend_from_slice(&(split.raw.len() as i32).to_ne_bytes());
    }
    Some(split)
}

#[cfg(test)]
mod tests {
    use super::{split, unpack};

    #[test]
    fn lengths_must_add_up() {
        assert_eq!(unpack(b""), Some(vec![]));
        assert_eq!(unpack(b"\x00\x01a\x00\x00"), Some(vec![&b"a"[..], b""]));
        for broken in [&b"\x00"[..], b"\x00\x01", b"\x00\x01a\x00", b"\xff\xffa"] {
            assert_eq!(unpack(broken), None);
            assert!(split(broken).is_none());
        }
    }

    #[test]
    fn headers_are_kept_once() {
        let split = split(b"\x00\x03h\na\x00\x04i\nbc\x00\x02h\n\x00\x01h\x00\x00\x00\x03h\n\n");
        let split = split.expect("the lengths add up");
        assert_eq!(split.headers, [&b"h\n"[..], b"i\n", b"h", b""]);
        let which: Vec<u8> = [0_u32, 1, 0, 2, 3, 0].iter().flat_map(|n| n.to_ne_bytes()).collect();
        assert_eq!(split.which, which);
        let offsets: Vec<u8> =
            [0_i32, 1, 3, 3, 3, 3, 4].iter().flat_map(|n| n.to_ne_bytes()).collect();
        assert_eq!(split.offsets, offsets);
        assert_eq!(split.raw, b"abc\n");
    }
}
