//! Text of login and text PDUs (RFC 7143, 6.1): `key=value` pairs, each ended by a zero byte, that
//! may go on over several PDUs (the C bit), and binary values in them.

use std::fmt;

/// Bytes of one data segment of text: the MaxRecvDataSegmentLength of every login.
pub const SEGMENT_MAX: usize = 8192;
/// Bytes of one text over all its PDUs; who sends more is not served.
pub const TEXT_MAX: usize = 64 * 1024;
/// Bytes of a key name (RFC 7143, 6.1).
pub const KEY_MAX: usize = 63;

/// What is wrong with a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TextError {
    TooLong,
    NotUtf8,
    /// A piece that is no `key=value` with a proper name.
    NoPair(String),
    /// The same key twice in one text.
    Twice(String),
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "more than {TEXT_MAX} bytes of text"),
            Self::NotUtf8 => f.write_str("text that is not UTF-8"),
            Self::NoPair(s) => write!(f, "'{s}' is not key=value"),
            Self::Twice(k) => write!(f, "key {k} twice in one text"),
        }
    }
}

impl std::error::Error for TextError {}

/// Gathers a text over PDUs with the C bit.
#[derive(Clone, Debug, Default)]
pub struct Gather {
    bytes: Vec<u8>,
}

impl Gather {
    /// Takes the data segment of one PDU. The whole text once it is there.
    ///
    /// # Errors
    /// The text is longer than [`TEXT_MAX`].
    pub fn take(&mut self, data: &[u8], cont: bool) -> Result<Option<Vec<u8>>, TextError> {
        if self.bytes.len() + data.len() > TEXT_MAX {
            return Err(TextError::TooLong);
        }
        self.bytes.extend_from_slice(data);
        Ok((!cont).then(|| std::mem::take(&mut self.bytes)))
    }
}

/// Text to be sent, piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
}

impl Outbox {
    pub fn push(&mut self, key: &str, value: &str) {
        push(&mut self.bytes, key, value);
    }

    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All of it fits one data segment of `max` bytes.
    pub const fn fits(&self, max: usize) -> bool {
        self.bytes.len() <= max
    }

    /// The next data segment of at most `max` bytes, and whether more follows (the C bit).
    pub fn next(&mut self, max: usize) -> (Vec<u8>, bool) {
        let rest = self.bytes.split_off(self.bytes.len().min(max));
        let piece = std::mem::replace(&mut self.bytes, rest);
        (piece, !self.bytes.is_empty())
    }
}

/// Appends one pair.
pub fn push(out: &mut Vec<u8>, key: &str, value: &str) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'=');
    out.extend_from_slice(value.as_bytes());
    out.push(0);
}

/// The name is made of what RFC 7143, 6.1 allows.
fn is_name(key: &str) -> bool {
    let other = |b: u8| matches!(b, b'.' | b'-' | b'+' | b'@' | b'_' | b'#' | b'/');
    !key.is_empty()
        && key.len() <= KEY_MAX
        && key.as_bytes()[0].is_ascii_alphabetic()
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || other(b))
}

/// All pairs of a text in order. Empty pieces (superfluous zero bytes) are passed over, and the last
/// pair may lack its zero: senders do both.
///
/// # Errors
/// Says what is no pair.
pub fn pairs(text: &[u8]) -> Result<Vec<(&str, &str)>, TextError> {
    if text.len() > TEXT_MAX {
        return Err(TextError::TooLong);
    }
    let mut out = Vec::new();
    for piece in text.split(|b| *b == 0).filter(|p| !p.is_empty()) {
        let piece = std::str::from_utf8(piece).map_err(|_| TextError::NotUtf8)?;
        match piece.split_once('=') {
            Some((key, value)) if is_name(key) => out.push((key, value)),
            _ => return Err(TextError::NoPair(piece.chars().take(80).collect())),
        }
    }
    Ok(out)
}

/// The pairs of a negotiation, where each key comes once (RFC 7143, 6.2). SendTargets answers are
/// the exception: they go through [`pairs`].
///
/// # Errors
/// As [`pairs`]; a key is there twice.
pub fn unique_pairs(text: &[u8]) -> Result<Vec<(&str, &str)>, TextError> {
    let all = pairs(text)?;
    let mut seen = std::collections::HashSet::with_capacity(all.len());
    match all.iter().find(|(key, _)| !seen.insert(*key)) {
        Some((key, _)) => Err(TextError::Twice((*key).to_owned())),
        None => Ok(all),
    }
}

/// A number, decimal or hexadecimal (RFC 7143, 6.1).
pub fn number(value: &str) -> Option<u64> {
    let (digits, radix) = match value.strip_prefix("0x").or(value.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None => (value, 10),
    };
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A binary value: `0x` and hexadecimal digits, or `0b` and Base64 (RFC 7143, 6.1).
/// None when it is neither, or longer than `max` bytes.
pub fn binary(value: &str, max: usize) -> Option<Vec<u8>> {
    let (prefix, digits) = value.as_bytes().split_at_checked(2)?;
    let out = match prefix {
        b"0x" | b"0X" if digits.len() <= 2 * max => from_hex(digits)?,
        b"0b" | b"0B" if digits.len() <= max.div_ceil(3) * 4 => from_base64(digits)?,
        _ => return None,
    };
    (!out.is_empty() && out.len() <= max).then_some(out)
}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let nibble = |b: &u8| (*b as char).to_digit(16).map(|d| d as u8);
    let mut nibbles = digits.iter().map(nibble).collect::<Option<Vec<u8>>>()?;
    // An odd number of digits lacks a leading zero.
    if nibbles.len() % 2 == 1 {
        nibbles.insert(0, 0);
    }
    Some(nibbles.chunks(2).map(|n| n[0] << 4 | n[1]).collect())
}

fn from_base64(digits: &[u8]) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(4) {
        return None;
    }
    let end = digits.iter().rposition(|b| *b != b'=').map_or(0, |n| n + 1);
    if digits.len() - end > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 4 * 3);
    let (mut bits, mut have) = (0_u32, 0);
    for digit in &digits[..end] {
        let v = BASE64.iter().position(|b| b == digit)?;
        bits = bits << 6 | v as u32;
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
            bits &= (1 << have) - 1;
        }
    }
    Some(out)
}

/// `0x` and hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 + 2 * bytes.len());
    out.push_str("0x");
    for b in bytes {
        for n in [b >> 4, b & 15] {
            out.push(char::from(b"0123456789abcdef"[usize::from(n)]));
        }
    }
    out
}

/// `0b` and Base64.
pub fn base64(bytes: &[u8]) -> String {
    let mut out = String::from("0b");
    for c in bytes.chunks(3) {
        let at = |n: usize| u32::from(c.get(n).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for n in 0..4 {
            let digit = BASE64[(bits >> (18 - 6 * n) & 63) as usize];
            out.push(if n > c.len() { '=' } else { char::from(digit) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pairs_and_what_is_none() {
        let text = b"A=1\0\0SendTargets=\0X-com.example=a=b\0Last=z";
        assert_eq!(
            pairs(text),
            Ok(vec![
                ("A", "1"),
                ("SendTargets", ""),
                ("X-com.example", "a=b"),
                ("Last", "z")
            ])
        );
        assert_eq!(
            pairs(b"nothing\0"),
            Err(TextError::NoPair("nothing".into()))
        );
        assert!(pairs(b"=x\0").is_err());
        assert_eq!(pairs(b"A=\xff\0"), Err(TextError::NotUtf8));
        assert_eq!(
            unique_pairs(b"A=1\0A=1\0"),
            Err(TextError::Twice("A".into()))
        );
    }

    #[test]
    fn text_is_gathered_and_bounded() {
        let mut g = Gather::default();
        assert_eq!(g.take(b"A=", true), Ok(None));
        assert_eq!(g.take(b"1\0", false), Ok(Some(b"A=1\0".to_vec())));
        let big = vec![b'x'; SEGMENT_MAX];
        for _ in 0..8 {
            assert_eq!(g.take(&big, true), Ok(None));
        }
        assert_eq!(g.take(b"x", true), Err(TextError::TooLong));
    }

    #[test]
    fn numbers_and_binaries() {
        assert_eq!(number("0x1F"), Some(31));
        assert_eq!(number("262144"), Some(262_144));
        for wrong in ["", "0x", "-1", "+1", "1k", "99999999999999999999"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
        assert_eq!(binary("0xABc", 8), Some(vec![0x0a, 0xbc]));
        assert_eq!(binary("0bTWFu", 8), Some(b"Man".to_vec()));
        assert_eq!(binary("0bTQ==", 8), Some(b"M".to_vec()));
        for wrong in ["", "0", "0x", "0xzz", "12", "0bT===", "0bTQ=", "0x010203"] {
            assert_eq!(binary(wrong, 2), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn binaries_come_back(b in proptest::collection::vec(any::<u8>(), 1..80)) {
            prop_assert_eq!(binary(&hex(&b), 80), Some(b.clone()));
            prop_assert_eq!(binary(&base64(&b), 80), Some(b));
        }

        #[test]
        fn pieces_make_the_whole(values in proptest::collection::vec("[ -~]{0,40}", 0..20), max in 1_usize..50) {
            let (mut out, mut whole) = (Outbox::default(), Vec::new());
            for (n, v) in values.iter().enumerate() {
                out.push(&format!("K{n}"), v);
                push(&mut whole, &format!("K{n}"), v);
            }
            let mut g = Gather::default();
            let got = loop {
                let (piece, more) = out.next(max);
                prop_assert!(piece.len() <= max);
                if let Some(text) = g.take(&piece, more).unwrap() {
                    break text;
                }
            };
            prop_assert_eq!(&got, &whole);
            prop_assert_eq!(unique_pairs(&got).unwrap().len(), values.len());
        }
    }
}
