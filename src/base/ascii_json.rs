//! JSON as it leaves this program: on one line, ASCII only, so that no locale and no pipe can
//! damage it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, Serializer};

/// Escapes what is not ASCII.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        w: &mut W,
        text: &str,
    ) -> io::Result<()> {
        let mut units = [0u16; 2];
        for c in text.chars() {
            if c.is_ascii() && c != '\x7f' {
                w.write_all(&[c as u8])?;
            } else {
                for unit in c.encode_utf16(&mut units) {
                    write!(w, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, w: &mut W, c: CharEscape) -> io::Result<()> {
        CompactFormatter.write_char_escape(w, c)
    }
}

/// `value` on one line.
pub fn to_string(value: &impl Serialize) -> String {
    let mut out = Vec::new();
    value
        .serialize(&mut Serializer::with_formatter(&mut out, Ascii))
        .expect("what we print has string keys and finite numbers");
    String::from_utf8(out).expect("the formatter writes ASCII only")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_not_ascii_is_escaped_and_reads_back() {
        let text = "µs \"x\"\n\u{1F4BE}\x7f";
        let out = to_string(&serde_json::json!({ "k": text }));
        assert!(out.is_ascii() && !out.contains('\n'), "{out}");
        let back: serde_json::Value = serde_json::from_str(&out).expect("valid");
        assert_eq!(back["k"], text);
    }
}
