//! The next I/O of a pattern.

use super::spec::{Pattern, Sizes, Spec};
use crate::base::rng::{Rng, derive};

/// One I/O to do, in the LUN's blocks.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Access {
    pub write: bool,
    pub lba: u64,
    pub blocks: u32,
}

/// Draws I/Os, endlessly and repeatably.
#[derive(Clone, Debug)]
pub struct Generator {
    rng: Rng,
    pattern: Pattern,
    read_percent: u64,
    sizes: Lengths,
    first: u64,
    blocks: u64,
    /// Where a sequential pattern goes on, relative to `first`.
    cursor: u64,
}

/// `Sizes` in blocks.
#[derive(Clone, Debug)]
enum Lengths {
    List(Vec<u64>),
    /// Smallest, largest, and how often the smallest can be doubled.
    Range(u64, u64, u64),
}

impl Generator {
    /// `first` and `blocks` come from [`Spec::fit`] and have been checked there.
    pub fn new(spec: &Spec, block_size: u32, first: u64, blocks: u64) -> Self {
        let size = u64::from(block_size);
        let sizes = match &spec.sizes {
            Sizes::List(l) => Lengths::List(l.iter().map(|b| b / size).collect()),
            Sizes::Range(low, high) => {
                Lengths::Range(low / size, high / size, u64::from((high / low).ilog2()))
            }
        };
        Self {
            rng: Rng::new(derive(spec.seed, 0x10AD)),
            pattern: spec.pattern,
            read_percent: u64::from(spec.read_percent),
            sizes,
            first,
            blocks,
            cursor: 0,
        }
    }

    /// Whether drawing again gives another place.
    pub fn is_random(&self) -> bool {
        self.pattern.is_random()
    }

    /// The next I/O.
    pub fn draw(&mut self) -> Access {
        let (len, aligned) = self.length();
        assert!(len <= self.blocks, "sizes were checked against the range");
        let at = if !self.pattern.is_random() {
            if self.cursor + len > self.blocks {
                self.cursor = 0;
            }
            let at = self.cursor;
            self.cursor += len;
            at
        } else if aligned {
            self.rng.below(self.blocks / len) * len
        } else {
            self.rng.below(self.blocks - len + 1)
        };
        let write = match self.pattern {
            Pattern::RandRead | Pattern::Read => false,
            Pattern::RandWrite | Pattern::Write => true,
            Pattern::RandRw => !self.rng.chance(self.read_percent, 100),
        };
        Access {
            write,
            lba: self.first + at,
            blocks: len as u32,
        }
    }

    /// A length, and whether I/Os of it lie at multiples of it.
    fn length(&mut self) -> (u64, bool) {
        match &self.sizes {
            Lengths::List(l) if l.len() == 1 => (l[0], true),
            Lengths::List(l) => (l[self.rng.below(l.len() as u64) as usize], true),
            Lengths::Range(low, high, doublings) => {
                let base = low << self.rng.below(doublings + 1);
                ((base + self.rng.below(base)).min(*high), false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generator(pattern: Pattern, sizes: Sizes) -> Generator {
        let spec = Spec {
            pattern,
            sizes,
            ..Spec::default()
        };
        Generator::new(&spec, 512, 100, 1000)
    }

    #[test]
    fn random_ios_of_one_size_are_aligned_and_stay_inside() {
        let mut g = generator(Pattern::RandRead, Sizes::one(4096));
        for _ in 0..10_000 {
            let a = g.draw();
            assert!(!a.write && a.blocks == 8 && (a.lba - 100).is_multiple_of(8));
            assert!(a.lba >= 100 && a.lba + 8 <= 1100);
        }
    }

    #[test]
    fn a_range_of_sizes_reaches_both_ends_of_sizes_and_of_the_lun() {
        let mut g = generator(Pattern::RandRw, Sizes::Range(512, 65_536));
        let drawn: Vec<_> = (0..20_000).map(|_| g.draw()).collect();
        assert!(drawn.iter().all(|a| a.lba + u64::from(a.blocks) <= 1100));
        assert!(drawn.iter().any(|a| a.blocks == 1) && drawn.iter().any(|a| a.blocks == 128));
        assert!(drawn.iter().any(|a| a.lba == 100));
        assert!(drawn.iter().any(|a| a.lba + u64::from(a.blocks) == 1100));
        let reads = drawn.iter().filter(|a| !a.write).count();
        assert!((13_500..14_500).contains(&reads), "70 in 100 are reads");
    }

    #[test]
    fn a_sequential_pattern_wraps_before_the_end() {
        let mut g = generator(Pattern::Write, Sizes::one(300 * 512));
        let at: Vec<_> = (0..4).map(|_| g.draw().lba).collect();
        assert_eq!(at, [100, 400, 700, 100]);
    }
}
