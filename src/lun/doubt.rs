//! Blocks that a write nobody waits for any more may still change (invariant I6).
//!
//! A fenced write may be given up on before there is a proof that it cannot land late, and a LUN may
//! be closed while writes are held. From then on its blocks are in doubt for everybody in this
//! process, not only for the channel that lost the write: for other reactors' channels of the same
//! LUN, and for the LUN when it is opened again. They stay closed until the reactor that saw the loss
//! has a proof, or until the loss's time bound has passed, whichever is first.
//!
//! Other processes know nothing of this: two programs that write the same blocks over one LUN need
//! reservations.

use crate::base::clock::{Clock, Time};
use crate::base::request::Token;
use crate::path::identity::{Identity, Match};
use crate::path::loss::LossId;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A range of a LUN in doubt.
#[derive(Clone, Debug)]
struct Doubt {
    lun: Identity,
    name: String,
    lba: u64,
    end: u64,
    /// Which plane will have the proof, and of what.
    plane: u64,
    loss: LossId,
    /// The bound by the clock of that plane, which goes on when the plane is gone.
    until: Time,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Shared {
    /// How many there are: all that a request pays while there are none.
    count: AtomicUsize,
    planes: AtomicU64,
    list: Mutex<Vec<Doubt>>,
}

impl Shared {
    fn list(&self) -> MutexGuard<'_, Vec<Doubt>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what is settled, and what a time bound has settled.
    fn settle(&self, settled: impl Fn(&Doubt) -> bool) {
        let mut list = self.list();
        list.retain(|d| !settled(d) && d.clock.now() < d.until);
        self.count.store(list.len(), Ordering::Release);
    }
}

/// All doubts of an engine: one for its reactors to share.
#[derive(Clone, Debug, Default)]
pub struct Doubts(Arc<Shared>);

impl Doubts {
    /// One plane's handle.
    pub fn join(&self, clock: Clock) -> DoubtsOf {
        DoubtsOf {
            shared: self.0.clone(),
            plane: self.0.planes.fetch_add(1, Ordering::Relaxed),
            clock,
        }
    }
}

/// The doubts as one plane publishes and reads them.
#[derive(Debug)]
pub struct DoubtsOf {
    shared: Arc<Shared>,
    plane: u64,
    clock: Clock,
}

impl DoubtsOf {
    /// Whether there are any at all.
    #[inline]
    pub fn any(&self) -> bool {
        self.shared.count.load(Ordering::Acquire) > 0
    }

    /// Puts blocks of a LUN in doubt until this plane settles the loss, or until `until`.
    pub fn publish(
        &self,
        lun: &Identity,
        name: &str,
        (lba, end, loss): (u64, u64, LossId),
        until: Time,
    ) {
        let mut list = self.shared.list();
        let known = list
            .iter()
            .any(|d| (d.plane, d.loss, d.lba, d.end) == (self.plane, loss, lba, end));
        if !known {
            list.push(Doubt {
                lun: lun.clone(),
                name: name.to_owned(),
                lba,
                end,
                plane: self.plane,
                loss,
                until,
                clock: self.clock.clone(),
            });
        }
        self.shared.count.store(list.len(), Ordering::Release);
    }

    /// Nothing of this loss can be executed any more.
    pub fn settle(&self, loss: LossId) {
        if self.any() {
            self.shared
                .settle(|d| (d.plane, d.loss) == (self.plane, loss));
        }
    }

    /// Whether a request touches blocks in doubt.
    pub fn blocks(&self, lun: &Identity, name: &str, token: &Token) -> bool {
        if !token.op.has_range() {
            return false;
        }
        self.shared.settle(|_| false);
        let (lba, end) = (token.lba, token.end());
        self.shared.list().iter().any(|d| {
            d.lba < end
                && lba < d.end
                && match d.lun.compare(lun) {
                    Match::Same => true,
                    Match::Different => false,
                    // Nothing to tell them apart by but what the operator calls them.
                    Match::Unknown => d.name == name,
                }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::request::{Op, Request};

    fn lun(n: u8) -> Identity {
        Identity {
            nguid: Some([n; 16]),
            ..Identity::default()
        }
    }

    fn write(lba: u64) -> Token {
        let mut t = Request::new();
        t.op = Op::Write;
        t.lba = lba;
        t.blocks = 8;
        t
    }

    #[test]
    fn blocks_in_doubt_are_closed_to_every_plane_until_the_proof() {
        let all = Doubts::default();
        let (clock, _) = Clock::virtual_at(Time::ZERO);
        let (a, b) = (all.join(clock.clone()), all.join(clock));
        assert!(!b.any());
        a.publish(&lun(1), "x", (8, 16, LossId(1)), Time::NEVER);
        assert!(b.any());
        assert!(b.blocks(&lun(1), "y", &write(9)));
        assert!(a.blocks(&lun(1), "x", &write(1)), "its end reaches in");
        assert!(!b.blocks(&lun(1), "x", &write(16)));
        assert!(!b.blocks(&lun(2), "x", &write(9)), "another LUN");
        b.settle(LossId(1));
        assert!(b.any(), "another plane's loss of the same number");
        a.settle(LossId(1));
        assert!(!b.any());
    }

    #[test]
    fn the_time_bound_holds_when_the_plane_is_gone() {
        let all = Doubts::default();
        let (clock, time) = Clock::virtual_at(Time::ZERO);
        let a = all.join(clock.clone());
        let bound = Time::from_nanos(70);
        a.publish(&lun(1), "x", (0, 8, LossId(1)), bound);
        drop(a);
        let b = all.join(clock);
        time.store(69, Ordering::Relaxed);
        assert!(b.blocks(&lun(1), "x", &write(0)));
        time.store(70, Ordering::Relaxed);
        assert!(!b.blocks(&lun(1), "x", &write(0)));
        assert!(!b.any());
    }

    #[test]
    fn luns_that_report_no_identity_are_told_apart_by_name() {
        let all = Doubts::default();
        let a = all.join(Clock::virtual_at(Time::ZERO).0);
        a.publish(&Identity::default(), "x", (0, 8, LossId(1)), Time::NEVER);
        assert!(a.blocks(&Identity::default(), "x", &write(0)));
        assert!(!a.blocks(&Identity::default(), "y", &write(0)));
    }
}
