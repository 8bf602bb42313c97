//! What nexuses have carried for paths that are gone: a LUN was closed, or a path taken out. The nexus
//! may have other LUNs on it, and its counters go on (OpenMetrics 1.0: a counter does not fall).

use super::{PathSlot, Plane};
use crate::lun::stats::PathStats;

/// Nexuses that are remembered at most; beyond that, of those no LUN uses, the one that has gone first
/// counts from nothing if it comes back. A histogram has some 20 KiB.
const DEPARTED_MAX: usize = 256;

/// What is left of a nexus' gone paths.
#[derive(Clone, Debug, Default)]
pub struct Departed {
    pub stats: PathStats,
    /// Of associations that are gone.
    pub logins: u64,
    pub losses: u64,
}

/// By nexus id, those that something has left last at the end.
#[derive(Debug, Default)]
pub(super) struct DepartedOf(Vec<(u64, Departed)>);

impl DepartedOf {
    pub(super) fn get(&self, nexus: u64) -> Option<&Departed> {
        self.0.iter().find(|(id, _)| *id == nexus).map(|(_, d)| d)
    }

    /// `used`: some LUN is on that nexus.
    fn entry(&mut self, nexus: u64, used: impl Fn(u64) -> bool) -> &mut Departed {
        let known = self.0.iter().position(|(id, _)| *id == nexus);
        let entry = match known {
            Some(at) => self.0.remove(at),
            None => {
                if self.0.len() >= DEPARTED_MAX
                    && let Some(first) = self.0.iter().position(|(id, _)| !used(*id))
                {
                    self.0.remove(first);
                }
                (nexus, Departed::default())
            }
        };
        self.0.push(entry);
        &mut self.0.last_mut().expect("just put there").1
    }
}

impl Plane {
    /// What gone paths have carried over a nexus.
    pub fn departed(&self, nexus: u64) -> Option<&Departed> {
        self.departed.get(nexus)
    }

    fn departed_mut(&mut self, nexus: u64) -> &mut Departed {
        let paths = &self.paths;
        let used = |id| paths.iter().any(|a| a.nexus.id == id && !a.is_ending());
        self.departed.entry(nexus, used)
    }

    /// A path of a LUN is on its way out: what it has carried stays with the nexus. What still ends on it
    /// follows when it is gone.
    pub(super) fn leave_stats(&mut self, c: usize, at: usize) {
        let slot: &mut PathSlot = &mut self.channels[c].slots[at];
        let stats = std::mem::take(&mut slot.stats);
        let nexus = self.paths.get(slot.association).nexus.id;
        self.departed_mut(nexus).stats.add(&stats);
    }

    /// A path of a LUN is gone.
    pub(super) fn leave(&mut self, c: usize, at: usize) {
        self.leave_stats(c, at);
        let ix = self.channels[c].slots[at].association;
        if self.paths.detach(ix, self.now) {
            let a = self.paths.get(ix);
            let (nexus, logins, losses) = (a.nexus.id, a.counters.logins, a.counters.losses);
            let departed = self.departed_mut(nexus);
            departed.logins += logins;
            departed.losses += losses;
        }
    }
}
