//! Seeded pseudo-random numbers: the same seed gives the same run on every machine.
//!
//! Nothing here is fit for secrets. Whoever needs randomness is handed a seed (invariant I2), so
//! that a simulator run or a workload can be repeated to the byte.

/// Weyl increment of splitmix64: 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Scrambles a number so that neighbours come out unrelated (the finaliser of splitmix64).
#[inline]
pub const fn mix64(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A further seed made from a seed and a number: for giving each part of a run its own stream.
#[inline]
pub const fn derive(seed: u64, stream: u64) -> u64 {
    mix64(mix64(seed.wrapping_add(GOLDEN)).wrapping_add(stream.wrapping_mul(GOLDEN)))
}

/// xoshiro256++: 256 bits of state, about a nanosecond a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng([u64; 4]);

impl Rng {
    /// Any seed will do, zero too.
    pub const fn new(seed: u64) -> Self {
        let mut s = [0; 4];
        let mut i = 0;
        let mut x = seed;
        while i < 4 {
            x = x.wrapping_add(GOLDEN);
            s[i] = mix64(x);
            i += 1;
        }
        Self(s)
    }

    #[inline]
    pub const fn next_u64(&mut self) -> u64 {
        let s = &mut self.0;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// A number below `n`, which is not zero. The bias of the plain multiply is below 2^-32 for
    /// any `n` that fits 32 bits and never matters to a load pattern.
    #[inline]
    pub const fn below(&mut self, n: u64) -> u64 {
        assert!(n != 0, "a number below zero was asked for");
        ((self.next_u64() as u128 * n as u128) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    #[inline]
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "an empty range was asked for");
        match (high - low).checked_add(1) {
            Some(n) => low + self.below(n),
            None => self.next_u64(),
        }
    }

    /// True in `num` of `den` cases.
    #[inline]
    pub const fn chance(&mut self, num: u64, den: u64) -> bool {
        self.below(den) < num
    }

    /// Fills `out` with noise.
    pub fn fill(&mut self, out: &mut [u8]) {
        for part in out.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            part.copy_from_slice(&bytes[..part.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_seed_others() {
        let take = |seed| {
            let mut r = Rng::new(seed);
            [r.next_u64(), r.next_u64(), r.next_u64()]
        };
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
        assert_ne!(derive(7, 0), derive(7, 1));
    }

    #[test]
    fn xoshiro_gives_the_published_sequence() {
        // First outputs of the reference implementation for the state 1, 2, 3, 4.
        let mut r = Rng([1, 2, 3, 4]);
        assert_eq!(r.next_u64(), 41_943_041);
        assert_eq!(r.next_u64(), 58_720_359);
        assert_eq!(r.next_u64(), 3_588_806_011_781_223);
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let mut r = Rng::new(1);
        let mut seen = [0u32; 10];
        for _ in 0..100_000 {
            seen[r.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (9_500..10_500).contains(&n)));
        assert_eq!(Rng::new(3).between(5, 5), 5);
    }
}
