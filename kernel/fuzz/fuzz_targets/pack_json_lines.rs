//! What is taken as JSON lines is JSON objects to serde_json too, and is kept byte for byte.

#![no_main]

use checks::{chunks_hold, header_and_body};
use libfuzzer_sys::fuzz_target;
use muniment_kernel::pack::pack_json_lines;
use serde::Deserialize;
use serde_json::{Deserializer, Value};

fn parsed(line: &[u8]) -> serde_json::Result<Value> {
    let mut reader = Deserializer::from_slice(line);
    reader.disable_recursion_limit();
    let value = Value::deserialize(&mut reader)?;
    reader.end().map(|()| value)
}

fuzz_target!(|data: &[u8]| {
    let (header, body) = header_and_body(data);
    let Some(chunks) = pack_json_lines(body, header) else {
        return;
    };
    let mut entries = Vec::new();
    for line in body.split(|&byte| byte == b'\n') {
        if line.trim_ascii().is_empty() {
            continue;
        }
        assert!(parsed(line).expect("serde_json takes it").is_object());
        entries.push([header, line].concat());
    }
    chunks_hold(&chunks, &entries);
});
