//! ROUND_ROBIN_WITH_SUBSET (3): the optimized paths in turn; a stand-in when all of them are gone.
//!
//! Default of LUNs whose paths are not equal. Paths wished standby or unavailable rest, even where
//! the target would let them work. When no active path is left, one of the resting takes over alone;
//! it goes back to rest when a path of the subset returns, provided that its own wish is standby.
//! (One wished unavailable or active/unoptimized stays: nobody asked for it to be kept in reserve.)

use super::round_robin::RoundRobin;
use super::rule::{Ask, Candidate, Rule};
use super::topology::{Event, PathIx, PathState, Topology};
use crate::lun::access::AccessState;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoundRobinWithSubset {
    pub(crate) rotation: RoundRobin,
}

/// Works in the target's eyes and in the administrator's.
fn in_subset(topology: &Topology, ix: PathIx) -> bool {
    let wanted = matches!(topology.path(ix).desired, None | Some(PathState::Optimized));
    wanted && topology.access(ix) == AccessState::Optimized
}

impl Rule for RoundRobinWithSubset {
    fn place(topology: &mut Topology, event: Event<'_>) {
        let live: Vec<PathIx> = topology.live().collect();
        if matches!(event, Event::Granted | Event::Reset) {
            for &ix in &live {
                topology.path_mut(ix).stand_in = false;
            }
        }
        let subset_back = live.iter().any(|&ix| in_subset(topology, ix));
        for &ix in &live {
            let rests = subset_back && topology.path(ix).desired == Some(PathState::Standby);
            let works = topology.access(ix) == AccessState::Optimized && !in_subset(topology, ix);
            let path = topology.path_mut(ix);
            path.stand_in = path.stand_in && works && !rests;
        }
        for &ix in &live {
            let access = topology.access(ix);
            let active = in_subset(topology, ix) || topology.path(ix).stand_in;
            let path = topology.path_mut(ix);
            path.state = match path.desired {
                _ if active => PathState::Optimized,
                Some(wish) if access == AccessState::Optimized => wish,
                _ => PathState::of(access),
            };
        }
        if !topology.any_active() {
            promote(topology);
        }
        recall(topology, event);
    }

    #[inline(always)]
    fn pick(&mut self, candidates: &[Candidate], ask: &Ask<'_>) -> usize {
        self.rotation.turn(candidates, ask.avoid)
    }
}

/// One resting path that the target lets work becomes active. On an asymmetric LUN without such a
/// path the target has to be asked first; the selector does that for every policy alike.
fn promote(topology: &mut Topology) {
    let optimized = |ix: &PathIx| topology.access(*ix) == AccessState::Optimized;
    let chosen = if topology.symmetric() {
        topology.first_standby()
    } else {
        topology.best_asymmetric(|_| true)
    };
    if let Some(ix) = chosen.filter(optimized) {
        let path = topology.path_mut(ix);
        path.stand_in = true;
        path.state = PathState::Optimized;
    }
}

/// A wished path came back in a group that meanwhile lost its rank: have it restored.
fn recall(topology: &mut Topology, event: Event<'_>) {
    let Event::Arrived(arrived) = event else {
        return;
    };
    let back = arrived
        .iter()
        .copied()
        .find(|&ix| topology.is_live(ix) && topology.wished(ix));
    if let Some(ix) = back.filter(|&ix| topology.access(ix) != AccessState::Optimized) {
        topology.failback = Some(ix);
    }
}
