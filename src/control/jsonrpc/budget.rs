//! What clients may have done for them in a while, all together.
//!
//! Control shares the machine with I/O: reactors poll, and each call wakes a thread or two that take
//! a CPU from somebody. So calls, and bytes that may never become one, are done up to a rate; what
//! comes beyond waits in the clients' sockets. Whoever keeps below the rate does not notice it.

use crate::base::clock::{Clock, Time};
use std::time::Duration;

/// How often more may be done, and with it how long a client that is held back waits at least.
const TICK: Duration = Duration::from_millis(5);
/// What was not used is kept for so long.
const SAVED: Duration = Duration::from_millis(100);
/// Bytes a second that are read from clients.
const BYTES_PER_SECOND: u64 = 32 << 20;

/// See the module's description.
#[derive(Debug)]
pub(super) struct Budget {
    clock: Clock,
    calls_per_second: u64,
    /// When it was filled last.
    filled: Time,
    calls: u64,
    bytes: u64,
}

impl Budget {
    /// A full one.
    pub(super) fn new(clock: Clock, calls_per_second: u64) -> Self {
        let mut budget = Self {
            filled: clock.now(),
            clock,
            calls_per_second,
            calls: 0,
            bytes: 0,
        };
        budget.fill(SAVED);
        budget
    }

    fn fill(&mut self, time: Duration) {
        let share = |per_second: u64, time: Duration| {
            let n = u128::from(per_second) * time.as_micros() / 1_000_000;
            (n as u64).max(1)
        };
        let calls = self.calls + share(self.calls_per_second, time);
        let bytes = self.bytes + share(BYTES_PER_SECOND, time);
        self.calls = calls.min(share(self.calls_per_second, SAVED));
        self.bytes = bytes.min(share(BYTES_PER_SECOND, SAVED));
    }

    /// How long nothing may be done; nothing when something may.
    pub(super) fn wait(&mut self) -> Option<Duration> {
        let now = self.clock.now();
        let since = now.since(self.filled);
        if since >= TICK {
            self.filled = now;
            self.fill(since.min(SAVED));
        }
        self.is_spent()
            .then(|| TICK.saturating_sub(now.since(self.filled)))
    }

    pub(super) fn is_spent(&self) -> bool {
        self.calls == 0 || self.bytes == 0
    }

    pub(super) fn take_calls(&mut self, calls: u64) {
        self.calls = self.calls.saturating_sub(calls);
    }

    pub(super) fn take_bytes(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn a_flood_is_held_to_the_rate_and_a_pause_saves_a_little() {
        let (clock, at) = Clock::virtual_at(Time::from_nanos(1));
        let mut budget = Budget::new(clock, 2000);
        let pass = |time: Duration| at.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
        let drain = |budget: &mut Budget| {
            let mut calls = 0;
            while budget.wait().is_none() {
                budget.take_calls(1);
                calls += 1;
            }
            calls
        };
        assert_eq!(drain(&mut budget), 200, "a tenth of a second");
        let mut calls = 0;
        for _ in 0..200 {
            let wait = budget.wait().expect("spent");
            assert!(wait <= TICK);
            pass(wait);
            calls += drain(&mut budget);
        }
        assert_eq!(calls, 2000, "in a second");
        pass(Duration::from_secs(60));
        assert_eq!(drain(&mut budget), 200, "no more is saved");
        pass(Duration::from_secs(1));
        assert_eq!(budget.wait(), None);
        budget.take_bytes(64 << 20);
        assert!(budget.wait().is_some(), "bytes count as well");
        pass(TICK);
        assert_eq!(budget.wait(), None, "a tick later there is more");
    }
}
