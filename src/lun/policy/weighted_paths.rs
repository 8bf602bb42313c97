//! WEIGHTED_PATHS (5): the active path of least weight takes everything.
//!
//! Found when the candidates change and then only read. All weights are usable, the largest too.

use super::rule::{Ask, Candidate, NOWHERE, Rule, first_minimum};

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WeightedPaths {
    lightest: usize,
}

impl Rule for WeightedPaths {
    fn rebuild(&mut self, candidates: &[Candidate]) {
        self.lightest = first_minimum(candidates, NOWHERE, |c| u64::from(c.weight));
    }

    #[inline(always)]
    fn pick(&mut self, candidates: &[Candidate], ask: &Ask<'_>) -> usize {
        if ask.avoid == self.lightest {
            return first_minimum(candidates, ask.avoid, |c| u64::from(c.weight));
        }
        self.lightest
    }
}
