//! The longest time during which nothing came back although something should have.

use crate::base::clock::Time;

/// Longest gap between completions while I/O that is not fenced is outstanding.
///
/// The gap starts at the last completion, or when I/O became outstanding after a time with none,
/// whichever is later. Fenced I/O is left out because its wait has a bound and a figure of its
/// own; parked I/O (no usable path) is not, for that is what a caller sees as a stall.
#[derive(Clone, Debug, Default)]
pub struct StallMeter {
    /// Start of the present gap; `None` while nothing is outstanding.
    since: Option<Time>,
    longest_ns: u64,
}

impl StallMeter {
    /// Called once a tick: `completed` I/Os came back, `waiting` unfenced ones are outstanding
    /// after new ones were handed in.
    #[inline]
    pub fn observe(&mut self, now: Time, completed: usize, waiting: u32) {
        let Some(since) = self.since else {
            if waiting > 0 {
                self.since = Some(now);
            }
            return;
        };
        self.longest_ns = self.longest_ns.max(now.nanos_since(since));
        if waiting == 0 {
            self.since = None;
        } else if completed > 0 {
            self.since = Some(now);
        }
    }

    /// Nothing that happened so far counts (warm-up is over, or what follows is not measured).
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    pub const fn longest_ns(&self) -> u64 {
        self.longest_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_no_stall_and_an_open_gap_counts_already() {
        let at = Time::from_nanos;
        let mut m = StallMeter::default();
        m.observe(at(100), 0, 0);
        m.observe(at(500), 0, 1);
        m.observe(at(530), 1, 0);
        assert_eq!(m.longest_ns(), 30);
        m.observe(at(9_000), 0, 2);
        m.observe(at(9_050), 0, 2);
        assert_eq!(m.longest_ns(), 50, "nothing has come back yet");
        m.observe(at(9_060), 1, 1);
        m.observe(at(9_100), 1, 0);
        assert_eq!(m.longest_ns(), 60);
    }

    #[test]
    fn fenced_io_alone_does_not_stall() {
        let at = Time::from_nanos;
        let mut m = StallMeter::default();
        m.observe(at(0), 0, 4);
        m.observe(at(10), 3, 0); // the fourth is fenced now
        m.observe(at(5_000), 0, 0);
        m.observe(at(5_001), 1, 4);
        assert_eq!(m.longest_ns(), 10);
    }
}
