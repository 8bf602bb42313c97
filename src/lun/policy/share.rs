//! `share` (7, ours): requests in proportion to the weights.
//!
//! Smooth weighted round robin: each turn every path gains its weight in credit, the richest path
//! carries the request and pays the sum of all weights. Deterministic, and as interleaved as the
//! proportion allows: weights 5, 1, 1 give A A B A C A A. A path of weight 0 carries nothing while
//! another has weight; when nobody has any, all are equal.

use super::rule::{Ask, Candidate, Rule};

#[derive(Clone, Debug, Default)]
pub(crate) struct Share {
    credit: Vec<i64>,
    weights: Vec<i64>,
    total: i64,
}

impl Rule for Share {
    const SPREADS_NON_OPTIMIZED: bool = true;

    fn rebuild(&mut self, candidates: &[Candidate]) {
        let equal = candidates.iter().all(|c| c.weight == 0);
        self.weights = candidates
            .iter()
            .map(|c| if equal { 1 } else { i64::from(c.weight) })
            .collect();
        self.total = self.weights.iter().sum();
        self.credit = vec![0; candidates.len()];
    }

    #[inline]
    fn pick(&mut self, candidates: &[Candidate], ask: &Ask<'_>) -> usize {
        assert!(self.credit.len() == candidates.len());
        let mut best = usize::from(ask.avoid == 0);
        let mut most = i64::MIN;
        for (place, (credit, weight)) in self.credit.iter_mut().zip(&self.weights).enumerate() {
            *credit += weight;
            if *credit > most && *weight > 0 && place != ask.avoid {
                most = *credit;
                best = place;
            }
        }
        self.credit[best] -= self.total;
        best
    }
}
