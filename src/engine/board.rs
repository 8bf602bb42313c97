//! What reactors know of each other: their load on a nexus (invariant I3), published and read once
//! per tick with relaxed atomics, never per I/O; and the blocks that nobody may touch (I6).

use crate::lun::doubt::Doubts;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Reactors that can share a board.
pub const REACTORS_MAX: usize = 64;

/// One reactor's figures for one nexus, on a cache line of their own. Written by that reactor
/// alone; a reader may see them a tick late, which only makes two reactors lean the same way.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Slot {
    in_flight: AtomicU32,
    bytes: AtomicU64,
}

/// All reactors' figures for one nexus.
#[derive(Debug)]
pub struct NexusCell {
    slots: Box<[Slot]>,
    users: AtomicU32,
}

impl NexusCell {
    fn new() -> Self {
        Self {
            slots: (0..REACTORS_MAX).map(|_| Slot::default()).collect(),
            users: AtomicU32::new(0),
        }
    }

    /// Writes this reactor's figures and sums up the others'. `None` while it is alone.
    pub fn exchange(&self, reactor: usize, in_flight: u32, bytes: u64) -> Option<(u32, u64)> {
        if self.users.load(Ordering::Relaxed) < 2 {
            return None;
        }
        let own = &self.slots[reactor];
        own.in_flight.store(in_flight, Ordering::Relaxed);
        own.bytes.store(bytes, Ordering::Relaxed);
        let others = self.slots.iter().enumerate().filter(|(i, _)| *i != reactor);
        Some(others.fold((0, 0), |(n, b), (_, s)| {
            (
                n + s.in_flight.load(Ordering::Relaxed),
                b + s.bytes.load(Ordering::Relaxed),
            )
        }))
    }
}

/// What the reactors of one engine share.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// By nexus id. Locked when a path is configured, never per tick.
    nexuses: Arc<Mutex<HashMap<u64, Arc<NexusCell>>>>,
    /// Blocks closed to all of them (invariant I6).
    pub doubts: Doubts,
}

impl Board {
    /// The cell of a nexus, with this reactor counted among its users.
    pub fn join(&self, nexus_id: u64) -> Arc<NexusCell> {
        let mut cells = self
            .nexuses
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let cell = cells
            .entry(nexus_id)
            .or_insert_with(|| Arc::new(NexusCell::new()))
            .clone();
        cell.users.fetch_add(1, Ordering::Relaxed);
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reactor_reads_the_others_and_not_itself() {
        let board = Board::default();
        let a = board.join(7);
        assert_eq!(a.exchange(0, 5, 500), None, "alone: nothing to exchange");
        let b = board.join(7);
        assert_eq!(b.exchange(1, 2, 200), Some((0, 0)));
        assert_eq!(a.exchange(0, 5, 500), Some((2, 200)));
        assert_eq!(b.exchange(1, 3, 300), Some((5, 500)));
        assert!(board.join(8).exchange(0, 1, 1).is_none());
    }
}
