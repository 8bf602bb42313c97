//! FAILOVER (1): one path carries everything.
//!
//! The running path stays, whatever else works, until it is lost or its group loses its rank. Two
//! paths take I/O back when they return: the preferred one always, and one with a stored wish for
//! active/optimized while the preferred one is not running. So after an explicit set the chosen path
//! does take I/O back, and with a mere default nobody does.

use super::rule::{Ask, Candidate, Rule};
use super::topology::{Event, PathIx, PathState, Topology};
use crate::lun::access::AccessState;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Failover;

impl Rule for Failover {
    fn place(topology: &mut Topology, event: Event<'_>) {
        if matches!(event, Event::Granted | Event::Reset) {
            topology.running = first_choice(topology, event);
        }
        topology.running = topology.running.filter(|&ix| topology.is_live(ix));
        ensure_running(topology, event);
        if let Event::Arrived(paths) | Event::Groups { gained: paths } = event {
            for &ix in paths {
                take_back(topology, ix);
            }
        }
        if matches!(event, Event::Reset)
            && let Some(ix) = preferred(topology)
        {
            take_back(topology, ix);
        }
        show(topology);
    }

    /// There is one candidate, so nobody asks.
    #[inline]
    fn pick(&mut self, _candidates: &[Candidate], _ask: &Ask<'_>) -> usize {
        0
    }
}

/// The preferred path, when it is there.
fn preferred(topology: &Topology) -> Option<PathIx> {
    topology
        .preferred
        .and_then(|id| topology.find(id))
        .filter(|&ix| topology.is_live(ix))
}

/// Who runs after the policy itself changed: the path that the request named; without a request the
/// preferred path, a wished one, or the first that was active so far.
fn first_choice(topology: &Topology, event: Event<'_>) -> Option<PathIx> {
    let first = |test: &dyn Fn(PathIx) -> bool| {
        topology.live().find(|&ix| topology.may_run(ix) && test(ix))
    };
    let wished = first(&|ix| topology.wished(ix));
    if matches!(event, Event::Granted) {
        return wished;
    }
    let favourite = preferred(topology).filter(|&ix| topology.may_run(ix));
    let active = || first(&|ix| topology.path(ix).state == PathState::Optimized);
    favourite.or(wished).or_else(active)
}

fn ensure_running(topology: &mut Topology, event: Event<'_>) {
    if topology.running.is_some_and(|ix| topology.may_run(ix)) {
        return;
    }
    let best = if topology.symmetric() {
        match event {
            // The first to come runs; the target's preference counts only in a failover.
            Event::Arrived(_) => topology.live().find(|&ix| topology.access(ix).usable_now()),
            _ => topology.first_standby(),
        }
    } else {
        topology.best_asymmetric(|_| true)
    };
    let Some(best) = best else { return };
    let keeps = topology
        .running
        .is_some_and(|ix| topology.access(ix).usable_now());
    if topology.may_run(best) || !keeps {
        topology.running = Some(best);
    }
}

fn take_back(topology: &mut Topology, ix: PathIx) {
    if !topology.is_live(ix) || topology.running == Some(ix) {
        return;
    }
    let favourite = topology.preferred.and_then(|id| topology.find(id));
    let entitled = favourite == Some(ix)
        || (topology.wished(ix) && (favourite.is_none() || topology.running != favourite));
    if !entitled {
        return;
    }
    if topology.may_run(ix) {
        topology.running = Some(ix);
    } else {
        topology.failback = Some(ix);
    }
}

/// Everyone but the running path waits: as standby where paths are equal, as active/unoptimized
/// where they are not, or as wished. What the target itself holds back is shown as it is.
fn show(topology: &mut Topology) {
    let symmetric = topology.symmetric();
    let live: Vec<PathIx> = topology.live().collect();
    for ix in live {
        let access = topology.access(ix);
        let runs = topology.running == Some(ix);
        let masked =
            !runs && (access == AccessState::Optimized || (symmetric && access.usable_now()));
        let waiting = if symmetric {
            PathState::Standby
        } else {
            PathState::NonOptimized
        };
        let path = topology.path_mut(ix);
        path.state = match path.desired {
            _ if !masked => PathState::of(access),
            Some(wish) if wish != PathState::Optimized => wish,
            _ => waiting,
        };
    }
}
