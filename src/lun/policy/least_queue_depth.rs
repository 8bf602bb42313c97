//! DYN_LEAST_QUEUE_DEPTH (4): the path whose nexus has the fewest requests in flight.
//!
//! All requests of all LUNs on the nexus count, reads and writes or not. The first minimum in list
//! order wins, so an idle LUN always starts on its first path.

use super::rule::{Ask, Candidate, Rule, first_minimum};

#[derive(Clone, Copy, Debug)]
pub(crate) struct LeastQueueDepth;

impl Rule for LeastQueueDepth {
    #[inline(always)]
    fn pick(&mut self, candidates: &[Candidate], ask: &Ask<'_>) -> usize {
        first_minimum(candidates, ask.avoid, |c| {
            ask.loads[usize::from(c.nexus)].queue_depth()
        })
    }
}
