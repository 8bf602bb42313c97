//! What a policy is: a way to place the paths when something changed, and a way to pick among the
//! active ones for every request. [`AnyRule`] dispatches statically.

use super::failover::Failover;
use super::latency::Latency;
use super::least_blocks::LeastBlocks;
use super::least_queue_depth::LeastQueueDepth;
use super::load::{IoShape, NexusLoad};
use super::round_robin::RoundRobin;
use super::round_robin_with_subset::RoundRobinWithSubset;
use super::share::Share;
use super::topology::{Alua, Event, PATHS_MAX, PathIx, PathState, Topology};
use super::weighted_paths::WeightedPaths;
use super::{Policy, PolicySpec, VendorPolicy};
use crate::lun::access::AccessState;

/// No place in the list of candidates.
pub(crate) const NOWHERE: usize = usize::MAX;

/// A path that may be picked, with what picking needs, eight bytes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) path: PathIx,
    pub(crate) nexus: u16,
    pub(crate) weight: u32,
}

/// One question to a policy. At least two candidates exist when it is asked; those that rotate are
/// asked even about one, for the sake of their cursor.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) io: &'a IoShape,
    pub(crate) loads: &'a [NexusLoad],
    pub(crate) now_ns: u64,
    /// Place of the candidate to pass over, or [`NOWHERE`].
    pub(crate) avoid: usize,
    /// Place of the LUN's previous pick, or [`NOWHERE`] when that is no candidate.
    pub(crate) last: usize,
}

/// A policy.
pub(crate) trait Rule {
    /// Without an optimized path, use every non-optimized one and not only one of them.
    const SPREADS_NON_OPTIMIZED: bool = false;

    /// Gives every live path its state. The default puts every path to work that the target lets.
    fn place(topology: &mut Topology, _event: Event<'_>) {
        place_all_active(topology);
    }

    /// The candidates changed.
    fn rebuild(&mut self, _candidates: &[Candidate]) {}

    /// Place of the candidate that carries the request.
    fn pick(&mut self, candidates: &[Candidate], ask: &Ask<'_>) -> usize;
}

/// Every usable path works. Without ALUA an administrator may have wished a path active/unoptimized,
/// which keeps it out of the rotation; any other leftover wish is from a policy that had standbys.
pub(crate) fn place_all_active(topology: &mut Topology) {
    let live: Vec<PathIx> = topology.live().collect();
    for ix in live {
        let access = topology.access(ix);
        let held_back = topology.alua == Alua::None
            && access == AccessState::Optimized
            && topology.path(ix).desired == Some(PathState::NonOptimized);
        topology.path_mut(ix).state = if held_back {
            PathState::NonOptimized
        } else {
            PathState::of(access)
        };
    }
}

/// The first candidate of least `cost`, leaving out the one to avoid.
///
/// Cost and place are compared as one number, so that the loop has no branch to mispredict: which
/// path is the least loaded is close to random by design. To avoid a path is rare and has a loop of
/// its own. Costs are below 2^56; a greater one (a week's age times a full queue) loses its upper
/// bits, which costs a good choice and nothing else. Both together save a tenth of a choice among
/// eight.
#[inline]
pub(crate) fn first_minimum(
    candidates: &[Candidate],
    avoid: usize,
    cost: impl Fn(&Candidate) -> u64,
) -> usize {
    const PLACE_BITS: u32 = 8;
    const _: () = assert!(PATHS_MAX <= 1 << PLACE_BITS);
    let key =
        |(place, candidate): (usize, &Candidate)| cost(candidate) << PLACE_BITS | place as u64;
    let all = candidates.iter().enumerate();
    let best = if avoid == NOWHERE {
        all.map(key).fold(u64::MAX, u64::min)
    } else {
        all.filter(|(place, _)| *place != avoid)
            .map(key)
            .fold(u64::MAX, u64::min)
    };
    (best & ((1 << PLACE_BITS) - 1)) as usize
}

/// The policy in force.
#[derive(Clone, Debug)]
pub(crate) enum AnyRule {
    Failover(Failover),
    RoundRobin(RoundRobin),
    RoundRobinWithSubset(RoundRobinWithSubset),
    LeastQueueDepth(LeastQueueDepth),
    WeightedPaths(WeightedPaths),
    LeastBlocks(LeastBlocks),
    Latency(Latency),
    Share(Share),
}

/// The same expression for whichever rule is in force.
macro_rules! each_rule {
    ($any:expr, $rule:ident => $body:expr) => {
        match $any {
            AnyRule::Failover($rule) => $body,
            AnyRule::RoundRobin($rule) => $body,
            AnyRule::RoundRobinWithSubset($rule) => $body,
            AnyRule::LeastQueueDepth($rule) => $body,
            AnyRule::WeightedPaths($rule) => $body,
            AnyRule::LeastBlocks($rule) => $body,
            AnyRule::Latency($rule) => $body,
            AnyRule::Share($rule) => $body,
        }
    };
}

fn place_as<R: Rule>(_rule: &R, topology: &mut Topology, event: Event<'_>) {
    R::place(topology, event);
}

fn spreads<R: Rule>(_rule: &R) -> bool {
    R::SPREADS_NON_OPTIMIZED
}

impl AnyRule {
    pub(crate) fn new(spec: PolicySpec, cache_bytes: Option<u64>) -> Self {
        match (spec.policy(), spec.vendor_policy()) {
            (Policy::Failover, _) => Self::Failover(Failover),
            (Policy::RoundRobin, _) => Self::RoundRobin(RoundRobin::default()),
            (Policy::RoundRobinWithSubset, _) => {
                Self::RoundRobinWithSubset(RoundRobinWithSubset::default())
            }
            (Policy::LeastQueueDepth, _) => Self::LeastQueueDepth(LeastQueueDepth),
            (Policy::WeightedPaths, _) => Self::WeightedPaths(WeightedPaths::default()),
            (Policy::LeastBlocks, _) => Self::LeastBlocks(LeastBlocks::new(cache_bytes)),
            (Policy::VendorSpecific, Some(VendorPolicy::Share)) => Self::Share(Share::default()),
            (Policy::VendorSpecific, _) => Self::Latency(Latency::default()),
        }
    }

    pub(crate) fn place(&self, topology: &mut Topology, event: Event<'_>) {
        each_rule!(self, rule => place_as(rule, topology, event));
    }

    pub(crate) fn spreads_non_optimized(&self) -> bool {
        each_rule!(self, rule => spreads(rule))
    }

    pub(crate) fn rebuild(&mut self, candidates: &[Candidate]) {
        each_rule!(self, rule => rule.rebuild(candidates));
    }

    /// Inlined with all rules into `choose`: else the question is built in memory for each answer.
    #[inline(always)]
    pub(crate) fn pick(&mut self, candidates: &[Candidate], ask: &Ask<'_>) -> usize {
        each_rule!(self, rule => rule.pick(candidates, ask))
    }

    /// The rotation, for the policies that rotate.
    pub(crate) fn rotation(&mut self) -> Option<&mut RoundRobin> {
        match self {
            Self::RoundRobin(rotation) => Some(rotation),
            Self::RoundRobinWithSubset(subset) => Some(&mut subset.rotation),
            _ => None,
        }
    }
}
