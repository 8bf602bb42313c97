//! What the futures of a LUN and its reactor share: a table of the I/Os under way.
//!
//! Threads: everything is under one lock, which a future takes for each I/O it starts, and the
//! reactor once for a batch in each direction. No waker is called, and no buffer of a caller
//! dropped, while it is held. A reactor that is awake costs a future no system call.

use super::io::{Io, Refusal};
use crate::base::error::{ErrorKind, IoError};
use crate::base::mailbox;
use crate::base::sg::SgList;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Why an awaited I/O failed.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BlockError {
    /// It was not taken: nothing of it has been done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Failed(#[from] IoError),
}

/// What an I/O resolves to: how it ended, and its buffers.
pub type Outcome = (Result<(), BlockError>, SgList);

/// Where an I/O stands.
#[derive(Debug)]
enum Slot {
    Free,
    /// Handed in; the reactor has not seen it.
    Fresh(Io, Waker),
    /// On its way. The reactor has the buffers.
    Running(Waker),
    /// On its way, and its future is gone: the buffers are dropped when it ends, not before.
    Abandoned,
    Done(Outcome),
}

#[derive(Debug, Default)]
struct Inner {
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Slots that are `Fresh`, in order; or have been and were cancelled.
    fresh: Vec<usize>,
    /// Futures that found no free slot.
    no_room: Vec<Waker>,
    /// No more I/O, and why.
    ended: Option<Refusal>,
    /// Slots that are `Fresh`, `Running` or `Abandoned`.
    under_way: usize,
}

/// The I/Os of one LUN.
#[derive(Debug)]
pub(super) struct Table {
    inner: Mutex<Inner>,
    depth: usize,
    /// There may be something fresh. Set after the lock is released and before the reactor is
    /// woken; cleared by the reactor before it looks.
    has_fresh: AtomicBool,
    /// `ended` is set: what the reactor may look at without the lock.
    closed: AtomicBool,
    reactor: mailbox::Waker,
}

/// What starting an I/O came to.
#[derive(Debug)]
pub(super) enum Started {
    At(usize),
    /// The table is full; the future is woken when that changes.
    Later(Io),
    Refused(Io, Refusal),
}

impl Table {
    pub(super) fn new(depth: usize, reactor: mailbox::Waker) -> Self {
        Self {
            inner: Mutex::default(),
            depth,
            has_fresh: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            reactor,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The table is whole between any two statements that hold the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call_reactor(&self) {
        self.has_fresh.store(true, Ordering::Release);
        self.reactor.wake();
    }

    /// Hands an I/O in.
    pub(super) fn start(&self, io: Io, waker: &Waker) -> Started {
        let mut inner = self.lock();
        if let Some(why) = inner.ended {
            return Started::Refused(io, why);
        }
        let at = match inner.free.pop() {
            Some(at) => at,
            None if inner.slots.len() < self.depth => {
                inner.slots.push(Slot::Free);
                inner.slots.len() - 1
            }
            None => {
                inner.no_room.push(waker.clone());
                return Started::Later(io);
            }
        };
        inner.slots[at] = Slot::Fresh(io, waker.clone());
        inner.fresh.push(at);
        inner.under_way += 1;
        drop(inner);
        self.call_reactor();
        Started::At(at)
    }

    /// The outcome of an I/O, once; until then its future is woken through `waker`.
    pub(super) fn outcome(&self, at: usize, waker: &Waker) -> Option<Outcome> {
        let mut inner = self.lock();
        match &mut inner.slots[at] {
            Slot::Fresh(_, w) | Slot::Running(w) => {
                if !w.will_wake(waker) {
                    *w = waker.clone();
                }
                return None;
            }
            Slot::Done(_) => {}
            Slot::Free | Slot::Abandoned => {
                unreachable!("a future asks for its own slot until it has the outcome")
            }
        }
        let Slot::Done(outcome) = std::mem::replace(&mut inner.slots[at], Slot::Free) else {
            unreachable!("matched above")
        };
        let wakers = inner.release(at);
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        Some(outcome)
    }

    /// The future of an I/O is gone before it had the outcome.
    pub(super) fn abandon(&self, at: usize) {
        let mut inner = self.lock();
        let was = std::mem::replace(&mut inner.slots[at], Slot::Free);
        let mut wakers = Vec::new();
        match &was {
            // Taken back in time. Its place in `fresh` is passed over by the reactor, which also
            // frees the slot: until then nothing else may stand there.
            Slot::Fresh(..) => inner.slots[at] = Slot::Abandoned,
            Slot::Running(_) => inner.slots[at] = Slot::Abandoned,
            Slot::Done(_) => wakers = inner.release(at),
            Slot::Free | Slot::Abandoned => unreachable!("a future goes once"),
        }
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        drop(was);
    }

    /// Moves what is fresh to `out`, each marked with its slot.
    pub(super) fn take_fresh(&self, out: &mut Vec<Io>) {
        if !self.has_fresh.load(Ordering::Relaxed) {
            return;
        }
        self.has_fresh.swap(false, Ordering::AcqRel);
        let mut room = Vec::new();
        let mut inner = self.lock();
        let mut fresh = std::mem::take(&mut inner.fresh);
        for at in fresh.drain(..) {
            match std::mem::replace(&mut inner.slots[at], Slot::Free) {
                Slot::Fresh(mut io, waker) => {
                    io.user = at as u64;
                    out.push(io);
                    inner.slots[at] = Slot::Running(waker);
                }
                Slot::Abandoned => {
                    inner.under_way -= 1;
                    room.extend(inner.release(at));
                }
                Slot::Free | Slot::Running(_) | Slot::Done(_) => {
                    unreachable!("fresh slots stay until they are taken")
                }
            }
        }
        inner.fresh = fresh;
        drop(inner);
        room.into_iter().for_each(Waker::wake);
    }

    /// Hands outcomes to their futures. `wakers` and `dropped` are room to work in.
    pub(super) fn settle(
        &self,
        done: &mut Vec<(usize, Outcome)>,
        wakers: &mut Vec<Waker>,
        dropped: &mut Vec<SgList>,
    ) {
        let mut inner = self.lock();
        for (at, outcome) in done.drain(..) {
            inner.under_way -= 1;
            match std::mem::replace(&mut inner.slots[at], Slot::Free) {
                Slot::Running(waker) => {
                    inner.slots[at] = Slot::Done(outcome);
                    wakers.push(waker);
                }
                Slot::Abandoned => {
                    dropped.push(outcome.1);
                    wakers.extend(inner.release(at));
                }
                Slot::Free | Slot::Fresh(..) | Slot::Done(_) => unreachable!("an I/O ends once"),
            }
        }
        drop(inner);
        dropped.clear();
        wakers.drain(..).for_each(Waker::wake);
    }

    /// Takes no more I/O.
    pub(super) fn close(&self, why: Refusal) {
        let wakers = {
            let mut inner = self.lock();
            inner.ended.get_or_insert(why);
            self.closed.store(true, Ordering::Release);
            std::mem::take(&mut inner.no_room)
        };
        wakers.into_iter().for_each(Waker::wake);
        self.call_reactor();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// I/Os that have not ended.
    pub(super) fn under_way(&self) -> usize {
        self.lock().under_way
    }

    /// The reactor is gone, with the buffers of what was running.
    pub(super) fn stop(&self) {
        self.close(Refusal::Stopped);
        let mut wakers = Vec::new();
        let mut inner = self.lock();
        inner.fresh.clear();
        for at in 0..inner.slots.len() {
            let (waker, outcome) = match std::mem::replace(&mut inner.slots[at], Slot::Free) {
                Slot::Fresh(io, waker) => (waker, (Err(Refusal::Stopped.into()), io.data)),
                Slot::Running(waker) => {
                    let unknown = IoError::new(ErrorKind::OutcomeUnknown);
                    (waker, (Err(unknown.into()), SgList::new()))
                }
                other => {
                    inner.slots[at] = other;
                    continue;
                }
            };
            inner.slots[at] = Slot::Done(outcome);
            wakers.push(waker);
        }
        inner.under_way = 0;
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Inner {
    /// A slot is free again; those to wake since there is room now.
    fn release(&mut self, at: usize) -> Vec<Waker> {
        self.free.push(at);
        std::mem::take(&mut self.no_room)
    }
}
