//! Which path carries the next request: the Windows MPIO / VDS policy set.
//!
//! | file | holds |
//! |---|---|
//! | `selector` | the policy state of one LUN on one reactor: `choose`, events, live changes |
//! | `topology` | paths, groups, stored desires, and who outranks whom in a failover |
//! | `load` | what policies know of a nexus: requests and bytes in flight, last block, service time |
//! | `failover` … `share` | one policy each: who is active, and which of the active is next |
//! | `validate` | the ordered checks of a set request, each with its NTSTATUS |
//! | `set`, `query` | a granted request takes effect; the answer to "what is set" |
//! | `defaults` | explicit, per target, engine-wide, by capability: who wins |
//! | `replay` | policy traces, line by line, through all of the above |
//!
//! Rules and reasons for a reader without the source: `docs/policies.md`.

pub mod defaults;
mod failover;
pub mod hardware;
mod latency;
mod least_blocks;
mod least_queue_depth;
pub mod load;
pub mod query;
pub mod replay;
mod round_robin;
mod round_robin_with_subset;
mod rule;
pub mod selector;
pub mod set;
mod share;
pub mod status;
pub mod topology;
pub mod validate;
mod weighted_paths;

pub use load::{IoClass, IoShape, NexusLoad};
pub use selector::{Options, Prospects, Selector};
pub use set::SetStep;
pub use status::NtStatus;
pub use topology::{AddPathError, Alua, GroupState, PathInit, PathIx, PathState, StpgRequest};
pub use validate::{SetMethod, SetPath, SetRequest};

use std::fmt;

/// Load-balance policy of a LUN, numbered as VDS_LBP_* and DSM_LB_* number them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Policy {
    /// One path carries all, the others wait.
    Failover = 1,
    /// Every path in turn. Refused where paths are not equal.
    RoundRobin = 2,
    /// The optimized paths in turn, a stand-in when all of them are gone.
    RoundRobinWithSubset = 3,
    /// Fewest requests in flight on the nexus.
    LeastQueueDepth = 4,
    /// Lowest weight wins, and takes everything.
    WeightedPaths = 5,
    /// Fewest bytes in flight on the nexus, with a preference for sequential runs.
    LeastBlocks = 6,
    /// One of ours, see [`VendorPolicy`].
    VendorSpecific = 7,
}

/// The names of one policy: number, VDS, display, abbreviation, command line.
type Names = (
    Policy,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const NAMES: [Names; 7] = [
    (
        Policy::Failover,
        "VDS_LBP_FAILOVER",
        "Fail Over Only",
        "FOO",
        "failover",
    ),
    (
        Policy::RoundRobin,
        "VDS_LBP_ROUND_ROBIN",
        "Round Robin",
        "RR",
        "round-robin",
    ),
    (
        Policy::RoundRobinWithSubset,
        "VDS_LBP_ROUND_ROBIN_WITH_SUBSET",
        "Round Robin with Subset",
        "RRWS",
        "round-robin-with-subset",
    ),
    (
        Policy::LeastQueueDepth,
        "VDS_LBP_DYN_LEAST_QUEUE_DEPTH",
        "Dynamic Least Queue Depth",
        "LQD",
        "least-queue-depth",
    ),
    (
        Policy::WeightedPaths,
        "VDS_LBP_WEIGHTED_PATHS",
        "Weighted Paths",
        "WP",
        "weighted-paths",
    ),
    (
        Policy::LeastBlocks,
        "VDS_LBP_LEAST_BLOCKS",
        "Least Blocks",
        "LB",
        "least-blocks",
    ),
    (
        Policy::VendorSpecific,
        "VDS_LBP_VENDOR_SPECIFIC",
        "Vendor Specific",
        "VS",
        "vendor-specific",
    ),
];

impl Policy {
    /// All of them, by number.
    pub const ALL: [Self; 7] = [
        Self::Failover,
        Self::RoundRobin,
        Self::RoundRobinWithSubset,
        Self::LeastQueueDepth,
        Self::WeightedPaths,
        Self::LeastBlocks,
        Self::VendorSpecific,
    ];

    /// The number on the wire, 1 to 7.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The policy of a number; 0 ("unknown", "clear") and 8 upwards are none.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.number() == number)
    }

    /// The bit in a VDS mask of supported policies.
    #[must_use]
    pub const fn vds_bit(self) -> u32 {
        1 << (self.number() - 1)
    }

    const fn names(self) -> &'static Names {
        &NAMES[self as usize - 1]
    }

    /// `VDS_LBP_…`
    #[must_use]
    pub const fn vds_name(self) -> &'static str {
        self.names().1
    }

    /// As management tools show it: "Round Robin with Subset".
    #[must_use]
    pub const fn display_name(self) -> &'static str {
        self.names().2
    }

    /// As mpclaim shows it: "RRWS".
    #[must_use]
    pub const fn abbreviation(self) -> &'static str {
        self.names().3
    }

    /// As our command line, config and RPC spell it: "round-robin-with-subset".
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.names().4
    }

    /// Reads any of the names, in any case, words joined by `-`, `_` or blanks, or the number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.trim().parse::<u32>() {
            return Self::from_number(number);
        }
        let wanted = fold(text);
        let wanted = wanted
            .strip_prefix("vds-lbp-")
            .or_else(|| wanted.strip_prefix("dsm-lb-"))
            .unwrap_or(&wanted);
        let hit = NAMES.iter().find(|n| {
            let vds = fold(n.1);
            wanted == n.4
                || wanted == fold(n.2)
                || wanted == fold(n.3)
                || vds.ends_with(&format!("lbp-{wanted}"))
        });
        hit.map(|n| n.0)
    }
}

fn fold(text: &str) -> String {
    text.trim().to_ascii_lowercase().replace(['_', ' '], "-")
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What "vendor specific" stands for here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum VendorPolicy {
    /// The path on which the request is expected to complete first.
    #[default]
    Latency,
    /// In proportion to the weights.
    Share,
}

impl VendorPolicy {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Latency, Self::Share];

    /// As config, RPC and command line spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Share => "share",
        }
    }

    /// Reads the name, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|v| text.trim().eq_ignore_ascii_case(v.name()))
    }
}

impl fmt::Display for VendorPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A policy together with what 7 stands for, so that neither goes without the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PolicySpec {
    policy: Policy,
    vendor: VendorPolicy,
}

impl PolicySpec {
    /// One of the six of Windows, or 7 with our default algorithm.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self {
            policy,
            vendor: VendorPolicy::Latency,
        }
    }

    /// Number 7, with the algorithm named.
    #[must_use]
    pub const fn vendor(vendor: VendorPolicy) -> Self {
        Self {
            policy: Policy::VendorSpecific,
            vendor,
        }
    }

    /// The number's policy.
    #[must_use]
    pub const fn policy(self) -> Policy {
        self.policy
    }

    /// Our algorithm, when the number is 7.
    #[must_use]
    pub const fn vendor_policy(self) -> Option<VendorPolicy> {
        match self.policy {
            Policy::VendorSpecific => Some(self.vendor),
            _ => None,
        }
    }

    /// Any name that [`Policy::parse`] or [`VendorPolicy::parse`] reads.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        VendorPolicy::parse(text)
            .map(Self::vendor)
            .or_else(|| Policy::parse(text).map(Self::new))
    }
}

impl From<Policy> for PolicySpec {
    fn from(policy: Policy) -> Self {
        Self::new(policy)
    }
}

impl fmt::Display for PolicySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vendor_policy() {
            Some(vendor) => f.pad(vendor.name()),
            None => f.pad(self.policy.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_vds_and_dsm() {
        let numbers: Vec<u32> = Policy::ALL.iter().map(|p| p.number()).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(Policy::from_number(0), None);
        assert_eq!(Policy::from_number(8), None);
        assert_eq!(Policy::VendorSpecific.vds_bit(), 0x40);
        for (i, names) in NAMES.iter().enumerate() {
            assert_eq!(names.0, Policy::ALL[i]);
        }
    }

    #[test]
    fn every_name_of_a_policy_reads_back() {
        for p in Policy::ALL {
            for text in [
                p.vds_name(),
                p.display_name(),
                p.abbreviation(),
                p.name(),
                &p.number().to_string(),
            ] {
                assert_eq!(Policy::parse(text), Some(p), "{text}");
                assert_eq!(Policy::parse(&text.to_ascii_lowercase()), Some(p), "{text}");
            }
        }
        assert_eq!(
            Policy::parse("DSM_LB_LEAST_BLOCKS"),
            Some(Policy::LeastBlocks)
        );
        assert_eq!(Policy::parse("round_robin"), Some(Policy::RoundRobin));
        assert_eq!(
            Policy::parse("dyn_least_queue_depth"),
            Some(Policy::LeastQueueDepth)
        );
        assert_eq!(Policy::parse("robin"), None);
        assert_eq!(Policy::parse(""), None);
    }

    #[test]
    fn a_vendor_algorithm_is_named_by_itself() {
        let share = PolicySpec::parse("share").expect("known name");
        assert_eq!(share.policy(), Policy::VendorSpecific);
        assert_eq!(share.vendor_policy(), Some(VendorPolicy::Share));
        assert_eq!(share.to_string(), "share");
        assert_eq!(
            PolicySpec::parse("7"),
            Some(PolicySpec::vendor(VendorPolicy::Latency))
        );
        assert_eq!(
            PolicySpec::parse("lqd").map(PolicySpec::vendor_policy),
            Some(None)
        );
    }
}
