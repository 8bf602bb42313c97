//! No ghost write: the fence (invariant I6).
//!
//! When an association is lost, a write that was in flight on it may still be executed by the
//! target: later, after newer data has gone down another path. So such a request is held here
//! until nothing of the lost association can be executed any more (`path::loss` knows why), and
//! every later request that touches its blocks waits behind it. Reads were never held; they are
//! already on another path. Requests to other blocks never notice.
//!
//! A held request may be given up on before there is a proof: then it fails upward as "outcome
//! unknown", but *its blocks stay closed*, because the late write is still possible. Whoever waits
//! behind them fails in its own time.

use crate::base::clock::Time;
use crate::base::request::{LossClass, Token};
use crate::path::loss::LossId;

/// Blocks that a lost request may still change.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Closed {
    lba: u64,
    end: u64,
    loss: LossId,
}

/// What one loss holds up on this channel.
#[derive(Debug)]
struct Group {
    loss: LossId,
    since: Time,
    /// Requests that were in flight on the lost association.
    held: Vec<Token>,
    /// Later requests to their blocks, in order of arrival.
    waiting: Vec<Token>,
}

/// What comes out of the fence, and what is to be done with it.
#[derive(Debug)]
pub enum Release {
    /// Route it (again).
    Route(Token),
    /// It must not be sent again, or was given up on: fail it as "outcome unknown".
    Unknown(Token),
    /// It waited behind closed blocks for longer than it may wait.
    TimedOut(Token),
}

/// Counters of the fence.
#[derive(Copy, Clone, Default, Debug, PartialEq, Eq)]
pub struct FenceCounters {
    /// Requests ever held.
    pub held: u64,
    /// Requests that ever waited behind one.
    pub waited: u64,
    /// Longest time from a loss to its fence opening, in nanoseconds.
    pub longest_ns: u64,
    /// Requests that failed upward as "outcome unknown".
    pub unknown: u64,
}

/// The fence of one channel.
#[derive(Debug, Default)]
pub struct Fence {
    groups: Vec<Group>,
    closed: Vec<Closed>,
    pub counters: FenceCounters,
}

impl Fence {
    /// Nothing is held: the one check that an ordinary request pays.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.closed.is_empty() && self.groups.is_empty()
    }

    /// Holds a request that was in flight on a lost association.
    pub fn hold(&mut self, loss: LossId, token: Token, now: Time) {
        assert!(
            token.op.loss_class() != LossClass::Free,
            "a {} is never fenced",
            token.op.name()
        );
        assert!(
            token.on_wire,
            "a request that never left this host needs no fence"
        );
        self.counters.held += 1;
        // A compare changes nothing, so its blocks stay open; it is held for its answer's sake.
        if token.op.mutates() {
            self.closed.push(Closed {
                lba: token.lba,
                end: token.end(),
                loss,
            });
        }
        self.group(loss, now).held.push(token);
    }

    fn group(&mut self, loss: LossId, now: Time) -> &mut Group {
        let at = self
            .groups
            .iter()
            .position(|g| g.loss == loss)
            .unwrap_or_else(|| {
                self.groups.push(Group {
                    loss,
                    since: now,
                    held: Vec::new(),
                    waiting: Vec::new(),
                });
                self.groups.len() - 1
            });
        &mut self.groups[at]
    }

    /// The loss whose closed blocks this request touches, if any.
    pub fn blocks(&self, token: &Token) -> Option<LossId> {
        if !token.op.has_range() {
            return None;
        }
        let (lba, end) = (token.lba, token.end());
        self.closed
            .iter()
            .find(|c| c.lba < end && lba < c.end)
            .map(|c| c.loss)
    }

    /// Lets a request wait behind the blocks that `blocks` named.
    pub fn wait_behind(&mut self, loss: LossId, token: Token, now: Time) {
        self.counters.waited += 1;
        self.group(loss, now).waiting.push(token);
    }

    /// Nothing of this loss can be executed any more. Held requests come out before the ones that
    /// waited behind them.
    pub fn open(&mut self, loss: LossId, now: Time, out: &mut Vec<Release>) {
        self.closed.retain(|c| c.loss != loss);
        let Some(at) = self.groups.iter().position(|g| g.loss == loss) else {
            return;
        };
        let group = self.groups.swap_remove(at);
        if !group.held.is_empty() {
            self.counters.longest_ns = self.counters.longest_ns.max(now.nanos_since(group.since));
        }
        for token in group.held {
            match token.op.loss_class() {
                LossClass::Never => {
                    self.counters.unknown += 1;
                    out.push(Release::Unknown(token));
                }
                LossClass::Fenced | LossClass::Free => out.push(Release::Route(token)),
            }
        }
        out.extend(group.waiting.into_iter().map(Release::Route));
        assert!(
            !self.closed.iter().any(|c| c.loss == loss),
            "an open fence closes no blocks"
        );
    }

    /// Gives up on requests whose time has come. Closed blocks stay closed.
    pub fn expire(&mut self, now: Time, out: &mut Vec<Release>) {
        for group in &mut self.groups {
            for i in (0..group.held.len()).rev() {
                if group.held[i].give_up <= now {
                    self.counters.unknown += 1;
                    out.push(Release::Unknown(group.held.swap_remove(i)));
                }
            }
            let mut i = 0;
            while i < group.waiting.len() {
                if group.waiting[i].give_up <= now {
                    out.push(Release::TimedOut(group.waiting.remove(i)));
                } else {
                    i += 1;
                }
            }
        }
    }

    /// Requests inside, held and waiting.
    pub fn occupants(&self) -> (usize, usize) {
        self.groups
            .iter()
            .fold((0, 0), |(h, w), g| (h + g.held.len(), w + g.waiting.len()))
    }

    /// The earliest time at which `expire` finds something.
    pub fn next_deadline(&self) -> Time {
        let all = self
            .groups
            .iter()
            .flat_map(|g| g.held.iter().chain(&g.waiting));
        all.map(|t| t.give_up).min().unwrap_or(Time::NEVER)
    }

    /// The blocks that lost requests may still change, and by which loss.
    pub fn closed(&self) -> impl Iterator<Item = (u64, u64, LossId)> {
        self.closed.iter().map(|c| (c.lba, c.end, c.loss))
    }

    /// Everything inside, when the channel goes away. Its closed blocks are to be put in doubt first.
    pub fn take_all(&mut self, out: &mut Vec<Token>) {
        for group in self.groups.drain(..) {
            out.extend(group.held);
            out.extend(group.waiting);
        }
        self.closed.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::request::{Op, Request};

    fn token(op: Op, lba: u64, blocks: u32) -> Token {
        let mut t = Request::new();
        t.op = op;
        t.lba = lba;
        t.blocks = blocks;
        t.on_wire = true;
        t
    }

    const A: LossId = LossId(1);
    const B: LossId = LossId(2);
    const T0: Time = Time::ZERO;

    #[test]
    fn later_io_to_the_blocks_of_a_held_write_waits_and_all_else_flows() {
        let mut f = Fence::default();
        f.hold(A, token(Op::Write, 8, 8), T0);
        assert_eq!(f.blocks(&token(Op::Read, 15, 1)), Some(A));
        assert_eq!(f.blocks(&token(Op::Write, 0, 9)), Some(A));
        assert_eq!(f.blocks(&token(Op::Write, 16, 1)), None);
        assert_eq!(f.blocks(&token(Op::Read, 0, 8)), None);
        assert_eq!(f.blocks(&token(Op::Flush, 0, 0)), None);
    }

    #[test]
    fn a_held_flush_or_compare_closes_no_blocks() {
        let mut f = Fence::default();
        f.hold(A, token(Op::Flush, 0, 0), T0);
        f.hold(A, token(Op::Compare, 0, 8), T0);
        assert_eq!(f.blocks(&token(Op::Write, 0, 8)), None);
        assert!(!f.is_idle());
    }

    #[test]
    fn opening_routes_writes_first_then_the_waiters_and_never_resends_a_compare_and_write() {
        let mut f = Fence::default();
        f.hold(A, token(Op::Write, 0, 1), T0);
        f.hold(A, token(Op::CompareAndWrite, 1, 1), T0);
        f.wait_behind(A, token(Op::Read, 0, 1), T0);
        let mut out = Vec::new();
        f.open(A, Time::from_nanos(70), &mut out);
        assert!(matches!(&out[0], Release::Route(t) if t.op == Op::Write));
        assert!(matches!(&out[1], Release::Unknown(t) if t.op == Op::CompareAndWrite));
        assert!(matches!(&out[2], Release::Route(t) if t.op == Op::Read));
        assert!(f.is_idle());
        assert_eq!(f.counters.longest_ns, 70);
    }

    #[test]
    fn blocks_stay_closed_after_a_held_write_was_given_up_on() {
        let mut f = Fence::default();
        let mut t = token(Op::Write, 0, 1);
        t.give_up = Time::from_nanos(5);
        f.hold(A, t, T0);
        let mut out = Vec::new();
        f.expire(Time::from_nanos(5), &mut out);
        assert!(matches!(out.as_slice(), [Release::Unknown(_)]));
        assert_eq!(
            f.blocks(&token(Op::Write, 0, 1)),
            Some(A),
            "the late write is still possible"
        );
        f.open(A, Time::from_nanos(9), &mut out);
        assert_eq!(f.blocks(&token(Op::Write, 0, 1)), None);
    }

    #[test]
    fn two_losses_open_apart() {
        let mut f = Fence::default();
        f.hold(A, token(Op::Write, 0, 8), T0);
        f.hold(B, token(Op::Write, 4, 8), T0);
        let mut out = Vec::new();
        f.open(A, T0, &mut out);
        assert_eq!(f.blocks(&token(Op::Read, 2, 1)), None);
        assert_eq!(f.blocks(&token(Op::Read, 4, 1)), Some(B));
    }
}
