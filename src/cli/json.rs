//! JSON for scripts: one object, one line, ASCII only.

use std::io::{self, Write};

use serde::Serialize;

pub use crate::base::ascii_json::to_string;

/// Prints the one object of a `--json` run. A reader that has gone away is no error of ours.
pub fn print(value: &impl Serialize) {
    let mut line = to_string(value);
    line.push('\n');
    let _ = io::stdout().write_all(line.as_bytes());
}

/// A 64-bit id or mask as scripts get it: beyond 2^53 many JSON readers lose digits.
pub fn id(n: u64) -> String {
    format!("{n:#018x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_strings_of_sixteen_digits() {
        assert_eq!(id(0x1F), "0x000000000000001f");
        assert_eq!(id(u64::MAX), "0xffffffffffffffff");
    }
}
