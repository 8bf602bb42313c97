//! Hierarchical timer wheel: thousands of timers, constant cost each, no allocation once warm.
//!
//! Nine levels of 64 slots; a slot of level 0 is [`TICK_NANOS`] wide, one of each further level
//! 64 times the one below. A timer sits at the level of the highest digit in which its tick
//! differs from the wheel's, and moves down as that digit comes up. Deadlines are kept exactly:
//! a timer fires at the first `expire` at or after its deadline, never before, whatever the width
//! of its slot.

use super::clock::Time;

/// Width of the finest slot. Timers here are I/O ages and retries of a millisecond and more, so
/// a slot of 16 µs rarely holds timers that are not due together.
pub const TICK_NANOS: u64 = 1 << TICK_SHIFT;
const TICK_SHIFT: u32 = 14;
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// Levels that cover every tick of a 64-bit time.
const LEVELS: usize = (64 - TICK_SHIFT).div_ceil(DIGIT_BITS) as usize;
const NIL: u32 = u32::MAX;

/// A timer that was set. Using it after the timer has fired or was cancelled does nothing.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

#[derive(Debug)]
struct Entry<K> {
    deadline: Time,
    key: Option<K>,
    generation: u32,
    /// Where it hangs: level * SLOTS + slot.
    home: u16,
    prev: u32,
    next: u32,
}

#[derive(Debug)]
struct Level {
    /// Bit per slot that holds a timer.
    occupied: u64,
    heads: [u32; SLOTS],
}

/// The wheel; `K` says what is due.
#[derive(Debug)]
pub struct Wheel<K> {
    entries: Vec<Entry<K>>,
    /// First free entry; free ones are linked by `next`.
    free: u32,
    levels: [Level; LEVELS],
    /// Tick up to which the wheel has turned. Every timer's place is relative to it.
    current: u64,
    /// No timer is due before this.
    earliest: Time,
    len: usize,
}

impl<K: Copy> Default for Wheel<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Copy> Wheel<K> {
    pub fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: NIL,
            levels: std::array::from_fn(|_| Level {
                occupied: 0,
                heads: [NIL; SLOTS],
            }),
            current: 0,
            earliest: Time::NEVER,
            len: 0,
        }
    }

    /// Room for `n` timers, so that setting them does not allocate.
    pub fn with_capacity(n: usize) -> Self {
        let mut wheel = Self::new();
        wheel.entries.reserve(n);
        wheel
    }

    /// Timers that are set.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a timer. One whose deadline has passed is due at the next `expire`.
    pub fn insert(&mut self, deadline: Time, key: K) -> TimerId {
        let index = if self.free == NIL {
            let index = u32::try_from(self.entries.len()).expect("fewer than 2^32 timers");
            assert!(index != NIL, "timer slab is full");
            self.entries.push(Entry {
                deadline,
                key: Some(key),
                generation: 0,
                home: 0,
                prev: NIL,
                next: NIL,
            });
            index
        } else {
            let index = self.free;
            let e = &mut self.entries[index as usize];
            assert!(e.key.is_none(), "a free entry holds no key");
            self.free = e.next;
            e.deadline = deadline;
            e.key = Some(key);
            index
        };
        self.link(index);
        self.len += 1;
        self.earliest = self.earliest.min(deadline);
        TimerId {
            index,
            generation: self.entries[index as usize].generation,
        }
    }

    /// Takes a timer back; its key, or `None` when it has fired or was cancelled before.
    pub fn cancel(&mut self, id: TimerId) -> Option<K> {
        let e = self.entries.get(id.index as usize)?;
        if e.generation != id.generation || e.key.is_none() {
            return None;
        }
        self.unlink(id.index);
        self.release(id.index)
    }

    /// Appends to `due` the keys of every timer with a deadline at or before `now`, roughly in
    /// order of deadline (those within one tick in any order). Costs one comparison when nothing
    /// can be due.
    pub fn expire(&mut self, now: Time, due: &mut Vec<K>) {
        if now < self.earliest {
            return;
        }
        // Should `now` ever go back, what hangs in the current tick is still compared with it.
        let target = tick(now).max(self.current);
        let mut left_in_current = Time::NEVER;
        while let Some((level, start)) = self.first_slot() {
            if start > target {
                break;
            }
            assert!(start >= self.current, "the wheel never turns back");
            self.current = start;
            let mut next = self.take_slot(level, digit(start, level));
            while next != NIL {
                let index = next;
                let e = &self.entries[index as usize];
                next = e.next;
                let deadline = e.deadline;
                if deadline <= now {
                    due.extend(self.release(index));
                } else {
                    // Comes down a level, or stays in the tick that is under way.
                    self.link(index);
                    if tick(deadline) <= self.current {
                        left_in_current = left_in_current.min(deadline);
                    }
                }
            }
            if level == 0 && start == target {
                break;
            }
        }
        self.current = target;
        self.earliest = match self.first_slot() {
            None => Time::NEVER,
            Some((_, start)) if start == self.current => left_in_current,
            Some((_, start)) => Time::from_nanos(start << TICK_SHIFT),
        };
    }

    /// When `expire` should be called next: never later than the first deadline; possibly
    /// earlier, when a far timer has to come down a level or the first one was cancelled.
    pub fn next_deadline(&self) -> Time {
        if self.len == 0 {
            Time::NEVER
        } else {
            self.earliest
        }
    }

    /// The first slot that holds a timer, and the tick it starts with. A lower level always
    /// comes before a higher one: its timers share all higher digits with `current`.
    fn first_slot(&self) -> Option<(usize, u64)> {
        let level = self.levels.iter().position(|l| l.occupied != 0)?;
        let slot = u64::from(self.levels[level].occupied.trailing_zeros());
        let shift = DIGIT_BITS * level as u32;
        let below = (1u64 << shift) - 1;
        let here = (SLOTS as u64 - 1) << shift;
        Some((level, (self.current & !(below | here)) | (slot << shift)))
    }

    fn link(&mut self, index: u32) {
        // A deadline that has passed hangs in the current tick; it is compared exactly later.
        let at = tick(self.entries[index as usize].deadline).max(self.current);
        let level = match at ^ self.current {
            0 => 0,
            differ => (differ.ilog2() / DIGIT_BITS) as usize,
        };
        let slot = digit(at, level);
        let head = self.levels[level].heads[slot];
        let e = &mut self.entries[index as usize];
        e.home = (level * SLOTS + slot) as u16;
        e.prev = NIL;
        e.next = head;
        if head != NIL {
            self.entries[head as usize].prev = index;
        }
        self.levels[level].heads[slot] = index;
        self.levels[level].occupied |= 1 << slot;
    }

    fn unlink(&mut self, index: u32) {
        let Entry {
            home, prev, next, ..
        } = self.entries[index as usize];
        let (level, slot) = (home as usize / SLOTS, home as usize % SLOTS);
        if next != NIL {
            self.entries[next as usize].prev = prev;
        }
        if prev != NIL {
            self.entries[prev as usize].next = next;
        } else {
            assert!(
                self.levels[level].heads[slot] == index,
                "a timer without a predecessor heads its slot"
            );
            self.levels[level].heads[slot] = next;
            if next == NIL {
                self.levels[level].occupied &= !(1 << slot);
            }
        }
    }

    /// Empties a slot; returns the first of its still linked entries.
    fn take_slot(&mut self, level: usize, slot: usize) -> u32 {
        let l = &mut self.levels[level];
        l.occupied &= !(1 << slot);
        std::mem::replace(&mut l.heads[slot], NIL)
    }

    /// Back to the slab; the ids of this use are void from now on.
    fn release(&mut self, index: u32) -> Option<K> {
        let e = &mut self.entries[index as usize];
        e.generation = e.generation.wrapping_add(1);
        e.next = self.free;
        self.free = index;
        self.len -= 1;
        e.key.take()
    }
}

const fn tick(t: Time) -> u64 {
    t.as_nanos() >> TICK_SHIFT
}

const fn digit(tick: u64, level: usize) -> usize {
    (tick >> (DIGIT_BITS * level as u32)) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn at(ns: u64) -> Time {
        Time::from_nanos(ns)
    }

    #[test]
    fn fires_at_the_deadline_and_not_a_nanosecond_before() {
        let mut w = Wheel::new();
        let mut due = Vec::new();
        w.insert(at(1_000_000), 'a');
        w.expire(at(999_999), &mut due);
        assert!(due.is_empty());
        w.expire(at(1_000_000), &mut due);
        assert_eq!(due, ['a']);
        assert_eq!(w.next_deadline(), Time::NEVER);
    }

    #[test]
    fn an_id_of_a_fired_timer_does_not_cancel_its_successor() {
        let mut w = Wheel::new();
        let mut due = Vec::new();
        let first = w.insert(at(1), 1);
        w.expire(at(1), &mut due);
        let second = w.insert(at(2), 2);
        assert_eq!(w.cancel(first), None);
        assert_eq!(w.cancel(second), Some(2));
        assert!(w.is_empty());
    }

    #[test]
    fn the_slab_does_not_grow_in_steady_state() {
        let mut w = Wheel::with_capacity(8);
        let mut due = Vec::new();
        for round in 0..1000u64 {
            for i in 0..8 {
                w.insert(at((round + 1) * 100_000 + i), i);
            }
            w.expire(at((round + 2) * 100_000), &mut due);
            assert_eq!(due.len(), 8);
            due.clear();
        }
        assert_eq!(w.entries.len(), 8);
    }

    #[test]
    fn the_ends_of_time_are_places_too() {
        let mut w = Wheel::new();
        let mut due = Vec::new();
        w.insert(Time::NEVER, 1);
        w.insert(Time::ZERO, 2);
        w.expire(Time::ZERO, &mut due);
        assert_eq!(due, [2]);
        w.expire(at(u64::MAX - 1), &mut due);
        assert_eq!(due, [2]);
        w.expire(Time::NEVER, &mut due);
        assert_eq!(due, [2, 1]);
    }

    #[test]
    fn a_clock_that_goes_back_loses_no_timer() {
        let mut w = Wheel::new();
        let mut due = Vec::new();
        // Only a timer makes the wheel turn.
        w.insert(Time::ZERO, 0);
        w.expire(at(10 * TICK_NANOS), &mut due);
        w.insert(at(1), 1);
        w.insert(at(9 * TICK_NANOS), 2);
        w.expire(at(5 * TICK_NANOS), &mut due);
        assert_eq!(due, [0, 1]);
        w.expire(at(9 * TICK_NANOS), &mut due);
        assert_eq!(due, [0, 1, 2]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        Cancel(usize),
        Advance(u64),
        /// To just where the wheel says it wants to be called.
        Sleep,
    }

    fn span() -> impl Strategy<Value = u64> {
        // All magnitudes alike, or every timer would sit at the top level.
        (0u32..45, any::<u64>()).prop_map(|(bits, v)| v & ((1 << bits) - 1))
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => span().prop_map(Step::Insert),
            1 => any::<usize>().prop_map(Step::Cancel),
            2 => span().prop_map(Step::Advance),
            2 => Just(Step::Sleep),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_an_ordered_map(steps in prop::collection::vec(step(), 1..200)) {
            let mut wheel = Wheel::new();
            let mut model: BTreeMap<(Time, u32), TimerId> = BTreeMap::new();
            let mut now = Time::ZERO;
            for (n, step) in steps.into_iter().enumerate() {
                let key = n as u32;
                match step {
                    Step::Insert(after) => {
                        // Some in the past, which are due at once.
                        let deadline = at(now.as_nanos().saturating_add(after).saturating_sub(50));
                        model.insert((deadline, key), wheel.insert(deadline, key));
                    }
                    Step::Cancel(pick) if !model.is_empty() => {
                        let at = *model.keys().nth(pick % model.len()).expect("in range");
                        let id = model.remove(&at).expect("just found");
                        prop_assert_eq!(wheel.cancel(id), Some(at.1));
                        prop_assert_eq!(wheel.cancel(id), None);
                    }
                    Step::Cancel(_) => {}
                    Step::Advance(by) => now = at(now.as_nanos() + by),
                    Step::Sleep => {
                        let next = wheel.next_deadline();
                        if next != Time::NEVER {
                            now = now.max(next);
                        }
                    }
                }
                let mut got = Vec::new();
                wheel.expire(now, &mut got);
                let later = model.split_off(&(at(now.as_nanos() + 1), 0));
                let mut want: Vec<u32> = model.keys().map(|k| k.1).collect();
                model = later;
                got.sort_unstable();
                want.sort_unstable();
                prop_assert_eq!(got, want);
                prop_assert_eq!(wheel.len(), model.len());
                let first = model.keys().next().map_or(Time::NEVER, |k| k.0);
                prop_assert!(wheel.next_deadline() <= first);
                prop_assert!(wheel.next_deadline() > now, "would spin instead of sleeping");
            }
        }
    }
}
