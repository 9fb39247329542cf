//! Bodies become chunks of whole entries: packed, hashed, compressed.

#![forbid(unsafe_code)]

use memchr::memchr_iter;

use crate::json;
use crate::merkle::LeafHasher;
use crate::stored;

/// The limit of C2SP tlog-tiles: an entry's length is a uint16.
pub const MAX_ENTRY_BYTES: usize = u16::MAX as usize;

/// A chunk is closed by the entry that reaches this many packed bytes.
pub const CHUNK_BYTES: usize = 1 << 20;

/// No packed chunk is larger.
pub const MAX_CHUNK_BYTES: usize = CHUNK_BYTES + MAX_ENTRY_BYTES + 2;

/// A chunk of fewer packed bytes is not worth compressing.
pub const COMPRESS_CHUNK_BYTES: usize = 64 << 10;

/// Whole entries that become one frame; see the class of this name in Python.
#[derive(Debug, Default)]
pub struct Chunk {
    /// (uint16 big-endian length || entry)*
    pub payload: Vec<u8>,
    /// The number of entries.
    pub count: usize,
    /// Their RFC 6962 leaf hashes, end to end.
    pub leaves: Vec<u8>,
    /// The payload as one zstd frame where that saves an eighth, else empty.
    pub compressed: Vec<u8>,
}

/// Packs one entry a line; None where the body is empty or a line does not fit.
pub fn pack_lines(body: &[u8], header: &[u8]) -> Option<Vec<Chunk>> {
    let mut packer = Packer::new(header, body.len());
    let mut start = 0;
    for newline in memchr_iter(b'\n', body) {
        packer.push(&body[start..newline])?;
        start = newline + 1;
    }
    if start < body.len() {
        packer.push(&body[start..])?;
    }
    packer.finish()
}

/// Packs one JSON object a line, passing over blank lines; None for what the twin must judge.
pub fn pack_json_lines(body: &[u8], header: &[u8]) -> Option<Vec<Chunk>> {
    str::from_utf8(body).ok()?;
    let mut packer = Packer::new(header, body.len());
    let mut start = 0;
    while start < body.len() {
        let mut at = json::skip_blanks(body, start);
        let blank = matches!(body.get(at), None | Some(b'\n'));
        if !blank {
            at = json::skip_blanks(body, json::object_end(body, at)?);
        }
        if !matches!(body.get(at), None | Some(b'\n')) {
            return None;
        }
        if !blank {
            packer.push(&body[start..at])?;
        }
        start = at + 1;
    }
    packer.finish()
}

/// Packs each record as one entry; None where there is none or one does not fit.
pub fn pack_records<R: AsRef<[u8]>>(records: &[R], header: &[u8]) -> Option<Vec<Chunk>> {
    let bytes = records.iter().map(|record| record.as_ref().len()).sum();
    let mut packer = Packer::new(header, bytes);
    for record in records {
        packer.push(record.as_ref())?;
    }
    packer.finish()
}

struct Packer<'a> {
    header: &'a [u8],
    hasher: LeafHasher,
    open: Chunk,
    closed: Vec<Chunk>,
    /// Bytes of records that are still to come, at most.
    remaining: usize,
}

impl<'a> Packer<'a> {
    fn new(header: &'a [u8], remaining: usize) -> Self {
        let (hasher, closed) = (LeafHasher::new(header), Vec::new());
        Self { header, hasher, open: Chunk::default(), closed, remaining }
    }

    fn push(&mut self, record: &[u8]) -> Option<()> {
        let length = u16::try_from(self.header.len() + record.len()).ok()?;
        let payload = &mut self.open.payload;
        if payload.capacity() == 0 {
            // headers often weigh as much as records; what is not written to is not used
            let guess = self.remaining.saturating_mul(2) + self.header.len() + 2;
            payload.reserve(guess.min(MAX_CHUNK_BYTES));
        }
        payload.extend_from_slice(&length.to_be_bytes());
        payload.extend_from_slice(self.header);
        payload.extend_from_slice(record);
        self.open.leaves.extend_from_slice(&self.hasher.hash(record));
        self.open.count += 1;
        self.remaining = self.remaining.saturating_sub(record.len());
        if payload.len() >= CHUNK_BYTES {
            self.close();
        }
        Some(())
    }

    fn close(&mut self) {
        let mut chunk = std::mem::take(&mut self.open);
        chunk.compressed = compressed(&chunk.payload);
        self.closed.push(chunk);
    }

    fn finish(mut self) -> Option<Vec<Chunk>> {
        if self.open.count > 0 {
            self.close();
        }
        (!self.closed.is_empty()).then_some(self.closed)
    }
}

fn compressed(payload: &[u8]) -> Vec<u8> {
    if payload.len() < COMPRESS_CHUNK_BYTES {
        return Vec::new();
    }
    let frame = stored::compress(payload).unwrap_or_default();
    if frame.len() <= payload.len() * 7 / 8 { frame } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK_BYTES, Chunk, MAX_ENTRY_BYTES, pack_json_lines, pack_lines, pack_records};
    use crate::unpack::unpack;

    fn entries(chunks: &[Chunk]) -> Vec<&[u8]> {
        chunks.iter().flat_map(|chunk| unpack(&chunk.payload).expect("packed here")).collect()
    }

    #[test]
    fn blank_lines_are_passed_over_in_json_alone() {
        let body = b"{}\r\n \n\n {\"a\":1} \n";
        let chunks = pack_json_lines(body, b"h\n").expect("two objects");
        assert_eq!(entries(&chunks), [&b"h\n{}\r"[..], b"h\n {\"a\":1} "]);
        let chunks = pack_lines(b"\n\na", b"").expect("three lines");
        assert_eq!(entries(&chunks), [&b""[..], b"", b"a"]);
    }

    #[test]
    fn what_the_twin_must_judge_is_refused() {
        for body in [&b""[..], b"\n", b"{}\n[]", b"{}{}", b"{\n}", b"{}\x0b", b"{\"\xff\":1}"] {
            assert!(pack_json_lines(body, b"").is_none());
        }
        assert!(pack_lines(b"", b"h").is_none());
        assert!(pack_records::<&[u8]>(&[], b"h").is_none());
        assert!(pack_records(&[[0; MAX_ENTRY_BYTES]], b"h").is_none());
    }

    #[test]
    fn a_chunk_is_closed_by_the_entry_that_fills_it() {
        let chunks = pack_records(&[[b'x'; 60_000]; 40], b"").expect("they fit");
        assert_eq!(chunks.iter().map(|chunk| chunk.count).collect::<Vec<_>>(), [18, 18, 4]);
        assert!(chunks[..2].iter().all(|chunk| chunk.payload.len() >= CHUNK_BYTES));
        assert!(chunks.iter().all(|chunk| !chunk.compressed.is_empty()));
    }
}
