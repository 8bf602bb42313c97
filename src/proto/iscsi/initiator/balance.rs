//! Which connection of a session carries the next command: the policies of MSiSCSI_LB_*, which act on
//! connections as those of a LUN act on paths. The numbers are MSiSCSI's: there is no Least Blocks
//! here, and 6 is vendor specific.

use std::fmt;

/// Policy over the connections of one session.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum ConnectionPolicy {
    /// The primary connection carries all; without it the first one that is up.
    FailOverOnly = 1,
    /// All in turn.
    #[default]
    RoundRobin = 2,
    /// The primary ones in turn; without any, the others.
    RoundRobinWithSubset = 3,
    /// The one with the fewest commands under way.
    LeastQueueDepth = 4,
    /// The one with the lowest weight carries all. (One page of Microsoft's says that the highest
    /// wins, the dialog and the DSM that the lowest does; the same rule as for paths is kept.)
    WeightedPaths = 5,
    /// Vendor specific, of our own: the one with the fewest bytes under way.
    LeastBytes = 6,
}

impl ConnectionPolicy {
    pub const ALL: [Self; 6] = [
        Self::FailOverOnly,
        Self::RoundRobin,
        Self::RoundRobinWithSubset,
        Self::LeastQueueDepth,
        Self::WeightedPaths,
        Self::LeastBytes,
    ];

    /// MSiSCSI's number.
    pub const fn number(self) -> u32 {
        self as u32
    }

    pub fn from_number(n: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.number() == n)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::FailOverOnly => "FAILOVER",
            Self::RoundRobin => "ROUND_ROBIN",
            Self::RoundRobinWithSubset => "ROUND_ROBIN_WITH_SUBSET",
            Self::LeastQueueDepth => "DYN_LEAST_QUEUE_DEPTH",
            Self::WeightedPaths => "WEIGHTED_PATHS",
            Self::LeastBytes => "VENDOR_SPECIFIC (least bytes)",
        }
    }
}

impl fmt::Display for ConnectionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a policy sees of a connection.
#[derive(Copy, Clone, Debug)]
pub(super) struct Candidate {
    /// It is logged in and stays.
    pub(super) up: bool,
    /// Commands that it has room for.
    pub(super) free: usize,
    pub(super) in_flight: usize,
    pub(super) bytes: u64,
    pub(super) weight: u32,
    pub(super) primary: bool,
}

impl Candidate {
    const fn ready(&self) -> bool {
        self.up && self.free > 0
    }
}

#[derive(Debug)]
pub(super) struct Balance {
    pub(super) policy: ConnectionPolicy,
    /// Who is first in turn.
    next: usize,
}

impl Balance {
    pub(super) const fn new(policy: ConnectionPolicy) -> Self {
        Self { policy, next: 0 }
    }

    /// The one that carries all, under the policies that have one.
    fn sole(&self, n: usize, of: &impl Fn(usize) -> Candidate) -> Option<usize> {
        let up = (0..n).filter(|i| of(*i).up);
        match self.policy {
            ConnectionPolicy::FailOverOnly => up.min_by_key(|i| !of(*i).primary),
            _ => up.min_by_key(|i| of(*i).weight),
        }
    }

    const fn has_sole(&self) -> bool {
        matches!(
            self.policy,
            ConnectionPolicy::FailOverOnly | ConnectionPolicy::WeightedPaths
        )
    }

    /// Whether only primary connections count now.
    fn subset(&self, n: usize, of: &impl Fn(usize) -> Candidate) -> bool {
        self.policy == ConnectionPolicy::RoundRobinWithSubset
            && (0..n).map(of).any(|c| c.up && c.primary)
    }

    /// The connection for the next command; None while those that may carry it are full.
    pub(super) fn pick(&mut self, n: usize, of: impl Fn(usize) -> Candidate) -> Option<usize> {
        if self.has_sole() {
            return self.sole(n, &of).filter(|i| of(*i).ready());
        }
        let next = self.next;
        let mut in_turn = (0..n).map(|k| (next + k) % n).filter(|i| of(*i).ready());
        let picked = match self.policy {
            ConnectionPolicy::RoundRobinWithSubset => {
                let subset = self.subset(n, &of);
                in_turn.find(|i| !subset || of(*i).primary)
            }
            ConnectionPolicy::LeastQueueDepth => in_turn.min_by_key(|i| of(*i).in_flight),
            ConnectionPolicy::LeastBytes => {
                in_turn.min_by_key(|i| (of(*i).bytes, of(*i).in_flight))
            }
            _ => in_turn.next(),
        };
        if let Some(i) = picked {
            self.next = i + 1;
        }
        picked
    }

    /// Commands that there is room for.
    pub(super) fn free(&self, n: usize, of: impl Fn(usize) -> Candidate) -> usize {
        if self.has_sole() {
            return self.sole(n, &of).map_or(0, |i| of(i).free);
        }
        let subset = self.subset(n, &of);
        let counts = (0..n).map(of).filter(|c| c.up && (!subset || c.primary));
        counts.map(|c| c.free).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Candidate = Candidate {
        up: true,
        free: 4,
        in_flight: 0,
        bytes: 0,
        weight: 0,
        primary: false,
    };

    fn picks(policy: ConnectionPolicy, all: &[Candidate], n: usize) -> Vec<Option<usize>> {
        let mut b = Balance::new(policy);
        (0..n).map(|_| b.pick(all.len(), |i| all[i])).collect()
    }

    #[test]
    fn in_turn_over_those_that_have_room() {
        let full = Candidate { free: 0, ..UP };
        let down = Candidate { up: false, ..UP };
        let all = [UP, full, UP, down];
        let policy = ConnectionPolicy::RoundRobin;
        assert_eq!(picks(policy, &all, 3), [Some(0), Some(2), Some(0)]);
        assert_eq!(picks(policy, &[full, down], 1), [None]);
        assert_eq!(Balance::new(policy).free(4, |i| all[i]), 8);
    }

    #[test]
    fn one_carries_all_and_is_not_relieved_when_it_is_full() {
        let primary = Candidate {
            primary: true,
            ..UP
        };
        let policy = ConnectionPolicy::FailOverOnly;
        assert_eq!(picks(policy, &[UP, primary], 2), [Some(1), Some(1)]);
        let full = Candidate { free: 0, ..primary };
        assert_eq!(picks(policy, &[UP, full], 1), [None]);
        assert_eq!(Balance::new(policy).free(2, |i| [UP, full][i]), 0);
        let down = Candidate {
            up: false,
            ..primary
        };
        assert_eq!(picks(policy, &[UP, down], 1), [Some(0)]);
        let heavy = Candidate { weight: 9, ..UP };
        let policy = ConnectionPolicy::WeightedPaths;
        assert_eq!(picks(policy, &[heavy, UP], 2), [Some(1), Some(1)]);
    }

    #[test]
    fn a_subset_is_kept_to_while_any_of_it_is_up() {
        let primary = Candidate {
            primary: true,
            ..UP
        };
        let policy = ConnectionPolicy::RoundRobinWithSubset;
        assert_eq!(
            picks(policy, &[primary, UP, primary], 3),
            [Some(0), Some(2), Some(0)]
        );
        let down = Candidate {
            up: false,
            ..primary
        };
        assert_eq!(picks(policy, &[down, UP, UP], 2), [Some(1), Some(2)]);
    }

    #[test]
    fn least_goes_first_and_ties_are_taken_in_turn() {
        let busy = Candidate {
            in_flight: 3,
            bytes: 512,
            ..UP
        };
        let large = Candidate {
            in_flight: 1,
            bytes: 65536,
            ..UP
        };
        let all = [busy, large, large];
        let policy = ConnectionPolicy::LeastQueueDepth;
        assert_eq!(picks(policy, &all, 3), [Some(1), Some(2), Some(1)]);
        let policy = ConnectionPolicy::LeastBytes;
        assert_eq!(picks(policy, &all, 2), [Some(0), Some(0)]);
    }
}
