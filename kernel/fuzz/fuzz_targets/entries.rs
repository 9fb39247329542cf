//! A packed chunk comes apart in one way only, and `split` agrees with `unpack`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use muniment_kernel::unpack::{Split, split, unpack};

fn number<const N: usize>(numbers: &[u8], place: usize) -> [u8; N] {
    numbers[N * place..N * place + N].try_into().expect("N bytes")
}

fn joined(split: &Split, place: usize) -> Vec<u8> {
    let header = u32::from_ne_bytes(number(&split.which, place)) as usize;
    let start = i32::from_ne_bytes(number(&split.offsets, place)) as usize;
    let stop = i32::from_ne_bytes(number(&split.offsets, place + 1)) as usize;
    [split.headers[header], &split.raw[start..stop]].concat()
}

fuzz_target!(|payload: &[u8]| {
    let (Some(entries), Some(split)) = (unpack(payload), split(payload)) else {
        assert!(unpack(payload).is_none() && split(payload).is_none());
        return;
    };
    let mut packed = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        packed.extend((entry.len() as u16).to_be_bytes());
        packed.extend(*entry);
        assert_eq!(joined(&split, place), *entry);
    }
    assert_eq!(packed, payload);
    assert_eq!(
        (split.which.len(), split.offsets.len()),
        (4 * entries.len(), 4 * entries.len() + 4)
    );
    for (place, header) in split.headers.iter().enumerate() {
        let newline = header.iter().position(|&byte| byte == b'\n');
        assert!(newline.is_none_or(|newline| newline + 1 == header.len()));
        assert!(!split.headers[..place].contains(header));
    }
});
