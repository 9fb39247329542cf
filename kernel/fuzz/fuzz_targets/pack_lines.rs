//! Lines and records of any bytes are kept byte for byte, or do not fit.

#![no_main]

use checks::{chunks_hold, header_and_body};
use libfuzzer_sys::fuzz_target;
use muniment_kernel::pack::{MAX_ENTRY_BYTES, pack_lines, pack_records};

fuzz_target!(|data: &[u8]| {
    let (header, body) = header_and_body(data);
    let whole = body.strip_suffix(b"\n").unwrap_or(body);
    let lines: Vec<&[u8]> = whole.split(|&byte| byte == b'\n').collect();
    let fits = lines.iter().all(|line| header.len() + line.len() <= MAX_ENTRY_BYTES);
    let entries: Vec<Vec<u8>> = lines.iter().map(|line| [header, line].concat()).collect();
    let packed = pack_lines(body, header);
    assert_eq!(packed.is_some(), fits && !body.is_empty());
    if let Some(chunks) = packed {
        chunks_hold(&chunks, &entries);
    }
    match pack_records(&lines, header) {
        Some(chunks) => chunks_hold(&chunks, &entries),
        None => assert!(!fits),
    }
});
