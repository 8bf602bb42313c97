//! Bytes read as choices. What is missing reads as zero, so that every prefix of an input is one.

use crate::base::rng::Rng;

#[derive(Debug)]
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else {
            return 0;
        };
        self.rest = rest;
        *first
    }

    pub(super) fn bit(&mut self) -> bool {
        self.byte() & 1 != 0
    }

    pub(super) fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    pub(super) fn dword(&mut self) -> u32 {
        u32::from(self.word()) | u32::from(self.word()) << 16
    }

    /// Up to `max` bytes.
    pub(super) const fn bytes(&mut self, max: usize) -> &'a [u8] {
        let n = if max < self.rest.len() {
            max
        } else {
            self.rest.len()
        };
        let (front, rest) = self.rest.split_at(n);
        self.rest = rest;
        front
    }

    pub(super) const fn rest(&mut self) -> &'a [u8] {
        self.bytes(usize::MAX)
    }
}

/// A seed of operations for targets that read a stream of choices: noise, the same every time.
pub(super) fn noise(stream: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Rng::new(stream).fill(&mut bytes);
    bytes
}
