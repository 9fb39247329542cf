//! Is this text a JSON object (RFC 8259)? Nothing is built, nothing recurses.
//!
//! The text is valid UTF-8 already. Stricter than the RFC, as the twin's parser is: no lone
//! surrogates, no number beyond a double. Objects nested deeper than `MAX_DEPTH` and numbers
//! that come near the bound of a double are refused here and left to the twin.

#![forbid(unsafe_code)]

const MAX_DEPTH: u32 = 128;

/// A number below 10 to this power is far from the largest double.
const MAX_MAGNITUDE: usize = 300;

/// What may come next, white space aside.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    CommaOrEnd,
}

/// Returns where the object that begins at `start` ends, or None if none does on this line.
pub(crate) fn object_end(text: &[u8], start: usize) -> Option<usize> {
    if text.get(start) != Some(&b'{') {
        return None;
    }
    let mut open = Open::default();
    let mut next = Next::Value;
    let mut at = start;
    loop {
        at = skip_blanks(text, at);
        let byte = *text.get(at)?;
        next = match (next, byte) {
            (Next::Key | Next::KeyOrEnd, b'"') => {
                at = skip_blanks(text, string_end(text, at + 1)?);
                if text.get(at) != Some(&b':') {
                    return None;
                }
                at += 1;
                Next::Value
            }
            (Next::Value | Next::ValueOrEnd, b'{') => {
                open.push(true)?;
                at += 1;
                Next::KeyOrEnd
            }
            (Next::Value | Next::ValueOrEnd, b'[') => {
                open.push(false)?;
                at += 1;
                Next::ValueOrEnd
            }
            (Next::Value | Next::ValueOrEnd, _) if byte != b']' => {
                at = scalar_end(text, at, byte)?;
                Next::CommaOrEnd
            }
            (Next::CommaOrEnd, b',') => {
                at += 1;
                if open.is_object() { Next::Key } else { Next::Value }
            }
            (Next::CommaOrEnd | Next::KeyOrEnd, b'}') if open.is_object() => {
                at += 1;
                if open.pop() {
                    return Some(at);
                }
                Next::CommaOrEnd
            }
            (Next::CommaOrEnd | Next::ValueOrEnd, b']') if !open.is_object() => {
                at += 1;
                open.pop(); // never the last: the outermost is an object
                Next::CommaOrEnd
            }
            _ => return None,
        };
    }
}

/// The objects (1) and arrays (0) that are open, the innermost in the lowest bit.
#[derive(Default)]
struct Open {
    kinds: u128,
    depth: u32,
}

impl Open {
    fn push(&mut self, object: bool) -> Option<()> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.kinds = self.kinds << 1 | u128::from(object);
        self.depth += 1;
        Some(())
    }

    fn is_object(&self) -> bool {
        self.kinds & 1 == 1
    }

    /// Closes the innermost and says whether it was the last.
    fn pop(&mut self) -> bool {
        self.kinds >>= 1;
        self.depth = self.depth.saturating_sub(1);
        self.depth == 0
    }
}

/// White space but for the newline, which ends a line and with it all that is open.
pub(crate) fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\r')) {
        at += 1;
    }
    at
}

fn scalar_end(text: &[u8], at: usize, byte: u8) -> Option<usize> {
    match byte {
        b'"' => string_end(text, at + 1),
        b'-' | b'0'..=b'9' => number_end(text, at),
        b't' => literal_end(text, at, b"true"),
        b'f' => literal_end(text, at, b"false"),
        b'n' => literal_end(text, at, b"null"),
        _ => None,
    }
}

fn literal_end(text: &[u8], at: usize, literal: &[u8]) -> Option<usize> {
    text.get(at..)?.starts_with(literal).then_some(at + literal.len())
}

fn number_end(text: &[u8], start: usize) -> Option<usize> {
    let whole = start + usize::from(text.get(start) == Some(&b'-'));
    let mut at = digits_end(text, whole)?;
    let mut magnitude = at - whole;
    if magnitude > 1 && text.get(whole) == Some(&b'0') {
        return None;
    }
    if text.get(at) == Some(&b'.') {
        at = digits_end(text, at + 1)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = text.get(at + 1);
        let begin = at + 1 + usize::from(matches!(sign, Some(b'+' | b'-')));
        at = digits_end(text, begin)?;
        if sign != Some(&b'-') {
            let exponent = text.get(begin..at)?.iter().fold(0usize, |sum, digit| {
                sum.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
            });
            magnitude = magnitude.saturating_add(exponent);
        }
    }
    (magnitude <= MAX_MAGNITUDE).then_some(at)
}

/// The end of one digit or more.
fn digits_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while matches!(text.get(at), Some(b'0'..=b'9')) {
        at += 1;
    }
    (at > start).then_some(at)
}

/// The end of a string whose opening quote stands before `at`.
fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = plain_end(text, at);
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at = escape_end(text, at + 1)?,
            _ => return None, // a control character
        }
    }
}

/// Where the first quote, backslash or control character stands: eight bytes at a time.
fn plain_end(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word;
    while let Some(eight) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*eight);
        let quote = below(word ^ (ONES * b'"' as u64), 1);
        let backslash = below(word ^ (ONES * b'\\' as u64), 1);
        let found = (quote | backslash | below(word, 0x20)) & TOPS;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while text.get(at).is_some_and(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        at += 1;
    }
    at
}

/// The end of an escape whose backslash stands before `at`.
fn escape_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
        b'u' => match unit(text, at + 1)? {
            0xdc00..=0xdfff => None,
            0xd800..=0xdbff => {
                let low = text.get(at + 5..at + 7)? == b"\\u";
                (low && matches!(unit(text, at + 7)?, 0xdc00..=0xdfff)).then_some(at + 11)
            }
            _ => Some(at + 5),
        },
        _ => None,
    }
}

/// The UTF-16 code unit that four hexadecimal digits name.
fn unit(text: &[u8], at: usize) -> Option<u32> {
    text.get(at..at + 4)?
        .iter()
        .try_fold(0, |sum, &digit| Some(sum << 4 | char::from(digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::object_end;

    fn is_object(text: &str) -> bool {
        object_end(text.as_bytes(), 0) == Some(text.len())
    }

    #[test]
    fn objects_are_taken() {
        for text in [
            "{}",
            "{ }",
            r#"{"":[],"a":{},"b":[[],{}]}"#,
            "{\"a\"\t:\r[1 , -0,0.5 ,1e5, -1.25E-07]}",
            r#"{"a":true,"b":false,"c":null}"#,
            r#"{"\u00e9\ud83d\ude00":"\"\\\/\b\f\n\r\t"}"#,
            "{\"long enough for two words\":\"and é beyond, \u{7f}\"}",
        ] {
            assert!(is_object(text), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "[]",
            "1",
            "{",
            "}",
            "{]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{1:1}",
            "{\"a\":[1,]}",
            "{\"a\":[,1]}",
            "{\"a\":[1}",
            "{\"a\":{]}",
            "{\"a\" 1}",
            "{\"a\":1 2}",
            "{\"a\":01}",
            "{\"a\":-}",
            "{\"a\":1.}",
            "{\"a\":.1}",
            "{\"a\":+1}",
            "{\"a\":1e}",
            "{\"a\":1e400}",
            "{\"a\":tru}",
            "{\"a\":NaN}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\\udc00\"}",
            "{\"a\":\"\\ud800\\ud800\"}",
            "{\"a\":\"\\u12\"}",
            "{\"a\":\"\\u+123\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\u{1f}\"}",
            "{\"a\":\"",
            "{\"a\":\"12345678",
            "{\"a\":\n1}",
            "\u{feff}{}",
        ] {
            assert!(!is_object(text), "{text}");
        }
        assert_eq!(object_end(b"{}}", 0), Some(2));
    }

    #[test]
    fn nesting_has_a_bound_and_costs_no_stack() {
        let nested = |depth: usize| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
        assert!(is_object(&nested(128)));
        assert!(!is_object(&nested(129)));
        assert!(!is_object(&nested(1_000_000)));
    }
}
