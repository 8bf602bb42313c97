//! What clients may have done for them in a while, and who goes first.
//!
//! Control shares the machine with I/O: reactors poll, and each call wakes a thread or two that take
//! a CPU from somebody. So calls, and bytes that may never become one, are done up to a rate; what
//! comes beyond waits in the clients' sockets. Whoever keeps below the rate does not notice it.
//!
//! Nor is it noticed that others do not keep below it. Half of what is saved up is a reserve that only
//! modest clients may use: those that had less than a quarter of everything lately. The others share
//! what comes in beyond that, the one with the least first. To connect anew for every flood gains
//! nothing: a newcomer counts as one that had a modest client's share already, which fades, and a quarter
//! of all calls at most goes to connecting.

use crate::base::clock::{Clock, Time};
use std::time::Duration;

/// How often more may be done, and with it how long a client that is held back waits at least.
const TICK: Duration = Duration::from_millis(2);
/// What was not used is kept for so long.
const SAVED: Duration = Duration::from_millis(100);
/// Bytes a second that are read from clients.
const BYTES_PER_SECOND: u64 = 32 << 20;
/// A read costs this many bytes at least: it is a system call, whatever it brings.
const READ_MIN: u64 = 1 << 10;
/// The share of all that a modest client has at most, as a divisor.
const MODEST: u64 = 4;
/// Bytes that a client without an answered call has as a modest one, and reads at a time until then.
pub(super) const NEWCOMER: usize = 4 << 10;
/// The share of all calls that goes to connecting at most, as a divisor.
const ACCEPTS: u64 = 4;
/// What a client had counts half after so long.
const HALF_LIFE: Duration = Duration::from_millis(50);

/// What one client had lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    calls: u64,
    bytes: u64,
    /// When it was halved last.
    at: Time,
    /// A call of its was answered.
    known: bool,
}

impl Usage {
    /// One that begins now: behind those that are known to be modest.
    pub(super) fn new(budget: &Budget) -> Self {
        Self {
            calls: budget.calls_max() / MODEST + 1,
            at: budget.now,
            ..Self::default()
        }
    }

    /// What is left of it by now.
    fn fade(&mut self, now: Time) {
        let half = HALF_LIFE.as_nanos() as u64;
        let halves = now.nanos_since(self.at) / half;
        if halves > 0 {
            let by = halves.min(63) as u32;
            self.calls >>= by;
            self.bytes >>= by;
            self.at = now;
        }
    }

    /// Bytes that may be read at a time.
    pub(super) fn piece(&self) -> usize {
        if self.known || self.bytes >= NEWCOMER as u64 {
            usize::MAX
        } else {
            NEWCOMER
        }
    }
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Budget {
    clock: Clock,
    calls_per_second: u64,
    /// As of the last look at the clock.
    now: Time,
    /// When it was filled last.
    filled: Time,
    /// May be overdrawn by what one turn takes.
    calls: i64,
    bytes: i64,
    accepts: i64,
}

fn share(per_second: u64, time: Duration) -> u64 {
    let n = u128::from(per_second) * time.as_micros() / 1_000_000;
    (n as u64).max(1)
}

impl Budget {
    /// A full one.
    pub(super) fn new(clock: Clock, calls_per_second: u64) -> Self {
        let now = clock.now();
        let mut budget = Self {
            now,
            filled: now,
            clock,
            calls_per_second,
            calls: 0,
            bytes: 0,
            accepts: 0,
        };
        budget.fill(SAVED);
        budget
    }

    fn calls_max(&self) -> u64 {
        share(self.calls_per_second, SAVED)
    }

    fn fill(&mut self, time: Duration) {
        let calls = self.calls + share(self.calls_per_second, time) as i64;
        let bytes = self.bytes + share(BYTES_PER_SECOND, time) as i64;
        self.calls = calls.min(self.calls_max() as i64);
        self.bytes = bytes.min(share(BYTES_PER_SECOND, SAVED) as i64);
        let accepts = share(self.calls_per_second / ACCEPTS, time) as i64;
        let accepts_max = share(self.calls_per_second / ACCEPTS, SAVED) as i64;
        self.accepts = (self.accepts + accepts).min(accepts_max);
    }

    /// Looks at the clock: more may be done after a while.
    pub(super) fn look(&mut self) {
        self.now = self.clock.now();
        // Whole ticks, so that what is too little for one is not lost.
        let ticks = self.now.nanos_since(self.filled) / TICK.as_nanos() as u64;
        if ticks == 0 {
            return;
        }
        let since = TICK * u32::try_from(ticks).unwrap_or(u32::MAX);
        self.filled += since;
        self.fill(since.min(SAVED));
    }

    /// Until there is more.
    pub(super) fn wait(&self) -> Duration {
        TICK.saturating_sub(self.now.since(self.filled))
    }

    /// Nobody at all may have anything done.
    pub(super) fn is_spent(&self) -> bool {
        self.calls <= 0 || self.bytes <= 0
    }

    /// Whether another client may connect now.
    pub(super) fn may_accept(&self) -> bool {
        self.accepts > 0 && !self.is_spent()
    }

    /// A client has connected.
    pub(super) fn take_accept(&mut self) {
        self.accepts -= 1;
        self.calls -= 1;
    }

    /// Whether a client may have something done now.
    pub(super) fn allows(&self, usage: &mut Usage) -> bool {
        usage.fade(self.now);
        let (calls, bytes) = (self.calls_max(), share(BYTES_PER_SECOND, SAVED));
        let fair_bytes = match usage.known {
            true => bytes / MODEST,
            false => NEWCOMER as u64,
        };
        let reserve = |modest: bool, all: u64| if modest { 0 } else { all as i64 / 2 };
        self.calls > reserve(usage.calls <= calls / MODEST, calls)
            && self.bytes > reserve(usage.bytes < fair_bytes, bytes)
    }

    /// What puts a client behind others: the greater part of what it had, of either kind.
    pub(super) fn rank(&self, usage: &Usage) -> u64 {
        let calls = usage.calls * BYTES_PER_SECOND / self.calls_per_second.max(1);
        calls.max(usage.bytes)
    }

    /// A client had so many calls done.
    pub(super) fn take_calls(&mut self, usage: &mut Usage, calls: u64, answered: bool) {
        self.calls -= calls as i64;
        usage.calls += calls;
        usage.known |= answered;
    }

    /// So many bytes were read from a client at once.
    pub(super) fn take_read(&mut self, usage: &mut Usage, bytes: usize) {
        let cost = (bytes as u64).max(READ_MIN);
        self.bytes -= cost as i64;
        usage.bytes += cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn budget(calls: u64) -> (Budget, Arc<AtomicU64>) {
        let (clock, at) = Clock::virtual_at(Time::from_nanos(1));
        (Budget::new(clock, calls), at)
    }

    fn pass(budget: &mut Budget, at: &AtomicU64, time: Duration) {
        at.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
        budget.look();
    }

    #[test]
    fn a_flood_is_held_to_the_rate_and_a_pause_saves_a_little() {
        let (mut budget, at) = budget(2000);
        let mut usage = Usage::new(&budget);
        let mut drain = |budget: &mut Budget| {
            let mut calls = 0;
            while budget.allows(&mut usage) {
                budget.take_calls(&mut usage, 1, true);
                calls += 1;
            }
            calls
        };
        assert_eq!(
            drain(&mut budget),
            100,
            "a tenth of a second, less the reserve"
        );
        let mut calls = 0;
        for _ in 0..500 {
            let wait = budget.wait();
            assert!(wait <= TICK);
            pass(&mut budget, &at, wait);
            calls += drain(&mut budget);
        }
        assert_eq!(calls, 2000, "in a second");
        pass(&mut budget, &at, Duration::from_secs(60));
        assert_eq!(drain(&mut budget), 100, "no more is saved");
    }

    /// A client of the model below.
    struct Client {
        usage: Usage,
        /// Milliseconds between two calls; none: as many as it can.
        every: Option<u64>,
        /// Bytes of a read.
        bytes: usize,
        /// A read of its becomes a call.
        calls: bool,
        /// Reads after which it comes anew.
        stays: u64,
        wants: u64,
        had: u64,
        /// Waits to be let in.
        outside: bool,
    }

    impl Client {
        fn new(budget: &Budget, every: Option<u64>, bytes: usize, calls: bool) -> Self {
            Self {
                usage: Usage::new(budget),
                every,
                bytes,
                calls,
                stays: u64::MAX,
                wants: 0,
                had: 0,
                outside: false,
            }
        }
    }

    /// A second of time, a millisecond at a time, as the server goes about it.
    fn second(budget: &mut Budget, at: &AtomicU64, clients: &mut [Client]) {
        for ms in 0..1000 {
            pass(budget, at, Duration::from_millis(1));
            for (n, c) in clients.iter_mut().enumerate() {
                c.wants += match c.every {
                    // Not all at the same moment.
                    Some(every) => u64::from((ms + n as u64).is_multiple_of(every)),
                    None => 1000,
                };
            }
            loop {
                let mut order: Vec<usize> = (0..clients.len()).collect();
                order.sort_by_key(|&n| budget.rank(&clients[n].usage));
                let mut acted = false;
                for n in order {
                    let c = &mut clients[n];
                    if c.wants == 0 || c.outside || !budget.allows(&mut c.usage) {
                        continue;
                    }
                    let bytes = c.bytes.min(c.usage.piece());
                    budget.take_read(&mut c.usage, bytes);
                    if c.calls {
                        budget.take_calls(&mut c.usage, 1, true);
                    }
                    c.wants -= 1;
                    c.had += 1;
                    if c.had.is_multiple_of(c.stays) {
                        c.outside = true;
                    }
                    acted = true;
                }
                if !acted {
                    break;
                }
            }
            for c in clients.iter_mut().filter(|c| c.outside) {
                if budget.may_accept() {
                    budget.take_accept();
                    c.usage = Usage::new(budget);
                    c.outside = false;
                }
            }
        }
    }

    #[test]
    fn good_clients_have_all_their_calls_beside_twenty_that_send_without_end() {
        let (mut budget, at) = budget(2000);
        let mut clients: Vec<Client> = (0..4)
            .map(|_| Client::new(&budget, Some(4), 200, true))
            .collect();
        for n in 0..20 {
            let mut bulk = Client::new(&budget, None, 64 << 10, false);
            // Every other is closed after a message that is too long, and comes again.
            bulk.stays = if n % 2 == 0 { 17 } else { u64::MAX };
            clients.push(bulk);
        }
        second(&mut budget, &at, &mut clients);
        for c in &clients[..4] {
            assert_eq!((c.had, c.wants), (250, 0));
        }
        let bulk: u64 = clients[4..].iter().map(|c| c.had).sum();
        assert!(bulk > 200, "what is left is theirs: {bulk} pieces");
        assert!(bulk < 800, "and no more than the rate: {bulk} pieces");
    }

    #[test]
    fn to_connect_anew_for_every_few_calls_gains_nothing() {
        let (mut budget, at) = budget(2000);
        let mut clients: Vec<Client> = (0..4)
            .map(|_| Client::new(&budget, Some(4), 200, true))
            .collect();
        for n in 0..20 {
            let mut churning = Client::new(&budget, None, 4096, true);
            churning.stays = 1 + n % 10;
            clients.push(churning);
        }
        // Once those that were there from the beginning are known.
        second(&mut budget, &at, &mut clients);
        for c in &mut clients {
            c.had = 0;
        }
        second(&mut budget, &at, &mut clients);
        for c in &clients[..4] {
            assert!(c.had >= 250 && c.wants == 0, "{} and {}", c.had, c.wants);
        }
        let others: u64 = clients[4..].iter().map(|c| c.had).sum();
        assert!(others > 100, "what is left is theirs: {others}");
    }

    #[test]
    fn a_flood_of_calls_leaves_modest_clients_theirs_and_has_the_rest() {
        let (mut budget, at) = budget(2000);
        let mut clients: Vec<Client> = (0..4)
            .map(|_| Client::new(&budget, Some(4), 200, true))
            .collect();
        clients.push(Client::new(&budget, None, 200, true));
        clients.push(Client::new(&budget, None, 200, true));
        second(&mut budget, &at, &mut clients);
        for c in &clients[..4] {
            assert_eq!((c.had, c.wants), (250, 0));
        }
        let floods = [clients[4].had, clients[5].had];
        let all = floods[0] + floods[1];
        assert!((900..1200).contains(&all), "{floods:?}");
        assert!(floods[0].abs_diff(floods[1]) < 50, "{floods:?}");
    }
}
