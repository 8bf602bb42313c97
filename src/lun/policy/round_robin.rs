//! ROUND_ROBIN (2): every active path in turn.
//!
//! The cursor names the path to use *next*, so a path that becomes active between the last pick and
//! the named one waits for its turn in the following round. The selector puts the cursor back on the
//! first active path at every arrival, loss and granted set; a mere change of access states leaves it
//! where it is: then the turn goes to the first active path at or behind it, and the cursor moves only
//! with that pick.

use super::rule::{Ask, Candidate, Rule};

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoundRobin {
    /// Place among the candidates.
    pub(crate) next: usize,
    /// A pick was made since the selector placed the cursor.
    pub(crate) moved: bool,
}

impl RoundRobin {
    #[inline]
    pub(crate) fn turn(&mut self, candidates: &[Candidate], avoid: usize) -> usize {
        let count = candidates.len();
        let after = |place: usize| if place + 1 >= count { 0 } else { place + 1 };
        let place = if self.next == avoid {
            after(self.next)
        } else {
            self.next
        };
        debug_assert!(place < count);
        self.next = after(place);
        self.moved = true;
        place
    }
}

impl Rule for RoundRobin {
    #[inline(always)]
    fn pick(&mut self, candidates: &[Candidate], ask: &Ask<'_>) -> usize {
        self.turn(candidates, ask.avoid)
    }
}
