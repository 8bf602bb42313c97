//! What happened, in order: always as a hash, as text when somebody wants to read it.

use crate::base::clock::Time;
use crate::base::rng::mix64;

/// The kinds of things noted, so that the hash tells them apart.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Kind {
    Fault = 1,
    Submit,
    Done,
    Association,
    Fence,
    Phase,
    Wrong,
    Memory,
}

/// The record of one run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    notes: u64,
    keep: bool,
    lines: Vec<String>,
}

impl Trace {
    /// `keep`: the text too, not only the hash.
    pub fn new(seed: u64, keep: bool) -> Self {
        Self {
            hash: mix64(seed),
            notes: 0,
            keep,
            lines: Vec::new(),
        }
    }

    /// Notes an event; `text` is made only when it is kept.
    pub fn note(&mut self, now: Time, kind: Kind, a: u64, b: u64, text: impl FnOnce() -> String) {
        self.notes += 1;
        let h = mix64(self.hash ^ now.as_nanos());
        let h = mix64(h ^ a.wrapping_mul(31) ^ ((kind as u64) << 56));
        self.hash = mix64(h ^ b);
        if self.keep {
            let ns = now.as_nanos();
            self.lines.push(format!(
                "{:>3}.{:06} {}",
                ns / 1_000_000_000,
                ns % 1_000_000_000 / 1000,
                text()
            ));
        }
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Events noted.
    pub fn notes(&self) -> u64 {
        self.notes
    }

    /// The text, seconds of virtual time first.
    pub fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }
}
