//! LEAST_BLOCKS (6): the path whose nexus has the fewest bytes of reads and writes in flight, with
//! an affinity for sequential runs.
//!
//! While the cache option is on, a read that starts at or behind the last block of the previous
//! path stays there, and so does a write that keeps that path's bytes within the cache size. There
//! is no limit to the jump and the last block is the nexus's, not the LUN's: Windows has it so.
//! Requests that are neither reads nor writes follow the previous path.

use super::load::IoClass;
use super::rule::{Ask, Candidate, NOWHERE, Rule, first_minimum};

/// Cache size while nothing else is configured.
pub(crate) const CACHE_BYTES_DEFAULT: u64 = 1 << 20;

#[derive(Clone, Copy, Debug)]
pub(crate) struct LeastBlocks {
    /// `None` switches the affinity off.
    cache_bytes: Option<u64>,
}

impl LeastBlocks {
    pub(crate) const fn new(cache_bytes: Option<u64>) -> Self {
        Self { cache_bytes }
    }

    /// The request continues on the previous path.
    #[inline]
    fn follows(&self, candidates: &[Candidate], ask: &Ask<'_>) -> bool {
        let load = &ask.loads[usize::from(candidates[ask.last].nexus)];
        match (ask.io.class, self.cache_bytes) {
            (IoClass::Other, _) => true,
            (_, None) => false,
            (IoClass::Read, Some(_)) => ask.io.lba >= load.last_lba,
            (IoClass::Write, Some(cache)) => {
                ask.io.lba >= load.last_lba && load.bytes() + ask.io.counted_bytes() <= cache
            }
        }
    }
}

impl Rule for LeastBlocks {
    #[inline(always)]
    fn pick(&mut self, candidates: &[Candidate], ask: &Ask<'_>) -> usize {
        if ask.last != NOWHERE && ask.last != ask.avoid && self.follows(candidates, ask) {
            return ask.last;
        }
        first_minimum(candidates, ask.avoid, |c| {
            ask.loads[usize::from(c.nexus)].bytes()
        })
    }
}
