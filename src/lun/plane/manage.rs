//! What the control plane changes on a running LUN, and the light snapshot it looks at.

use super::{ChannelId, Plane};
use crate::base::clock::Time;
use crate::lun::channel::{Life, LunSettings, PathSlot, SlotLife};
use crate::lun::fence::FenceCounters;
use crate::lun::policy::defaults::{Scope, Setting, Source};
use crate::lun::policy::query::PolicyAnswer;
use crate::lun::policy::validate::SetView;
use crate::lun::policy::{Alua, NtStatus, PathIx, PathState, Policy, PolicySpec, Selector};
use crate::lun::port::Geometry;
use crate::lun::route::RouteCounters;
use crate::path::access::AccessState;
use crate::path::state::State;
use crate::path::unit::Hardware;
use crate::path::url::{NexusSpec, PathSpec};

/// A LUN without its histograms: cheap enough to be copied in the midst of I/O.
#[derive(Clone, Debug)]
pub struct Overview {
    pub name: String,
    pub open: bool,
    pub geometry: Option<Geometry>,
    pub policy: PolicySpec,
    pub source: Source,
    /// The LUN's own setting, whatever is in force.
    pub explicit: Option<Setting>,
    pub alua: Alua,
    pub symmetric: bool,
    /// What the DSM methods take.
    pub supported: Vec<Policy>,
    /// In the order of `paths`.
    pub query: PolicyAnswer,
    pub set_view: SetView,
    pub paths: Vec<PathOverview>,
    pub completed: u64,
    pub bytes: u64,
    pub failed: u64,
    pub retries: u64,
    pub rerouted: u64,
    pub longest_stall_ns: u64,
    pub routes: RouteCounters,
    pub fence: FenceCounters,
    pub fenced_now: (usize, usize),
    pub parked_now: usize,
}

/// Counts without a histogram.
#[derive(Copy, Clone, Default, Debug, PartialEq, Eq)]
pub struct Carried {
    pub reads: u64,
    pub bytes_read: u64,
    pub writes: u64,
    pub bytes_written: u64,
    /// Answers that were not success, and requests that a nexus was lost with.
    pub failed: u64,
    /// Losses of associations that are gone.
    pub losses: u64,
}

impl std::ops::AddAssign for Carried {
    fn add_assign(&mut self, other: Self) {
        self.reads += other.reads;
        self.bytes_read += other.bytes_read;
        self.writes += other.writes;
        self.bytes_written += other.bytes_written;
        self.failed += other.failed;
        self.losses += other.losses;
    }
}

/// One path of an [`Overview`], in list order.
#[derive(Clone, Debug)]
pub struct PathOverview {
    pub ix: PathIx,
    pub spec: PathSpec,
    pub nexus_id: u64,
    pub state: State,
    pub reason: Option<String>,
    /// Identity, size or block size kept it out.
    pub refused: bool,
    pub joined: bool,
    pub access: AccessState,
    pub weight: u32,
    /// The stored wish.
    pub desired: Option<PathState>,
    pub local_addr: String,
    pub remote_addr: String,
    pub nexus_in_flight: u32,
    /// Requests of this LUN that are on the path.
    pub in_flight: u32,
    pub attempts: u64,
    pub logins: u64,
    pub losses: u64,
    pub ios: u64,
    pub bytes: u64,
    pub errors: u64,
    pub lost: u64,
    pub reads: u64,
    pub bytes_read: u64,
    pub writes: u64,
    pub bytes_written: u64,
    /// What gone paths of any LUN have carried over its nexus.
    pub departed: Carried,
    /// The access state as the target wrote it.
    pub access_raw: u8,
    /// The target's own number of the path's group.
    pub group: u32,
    /// Number of the unit at its target.
    pub unit: u32,
    /// What its target says that it is; empty until it has.
    pub hardware: Hardware,
}

impl Plane {
    /// What a LUN looks like now.
    pub fn overview(&self, id: ChannelId) -> Overview {
        let channel = self.channel(id);
        let mut query = channel.selector.query();
        let here = |ix: PathIx| channel.slots[ix.index()].life == SlotLife::Here;
        query.paths.retain(|p| here(p.path));
        let path = |ix: PathIx| PathOverview {
            desired: channel.selector.desired(ix),
            ..self.path_overview(&channel.slots[ix.index()], ix)
        };
        Overview {
            name: channel.name.clone(),
            open: !channel.is_closing(),
            geometry: channel.geometry.clone(),
            policy: query.spec,
            source: query.source,
            explicit: channel.selector.explicit(),
            alua: channel.selector.alua(),
            symmetric: channel.selector.symmetric(),
            supported: channel.selector.supported(),
            set_view: channel.selector.set_view(),
            paths: query.paths.iter().map(|p| path(p.path)).collect(),
            query,
            completed: channel.stats.completed,
            bytes: channel.stats.bytes,
            failed: channel.stats.failed,
            retries: channel.stats.retries,
            rerouted: channel.stats.rerouted,
            longest_stall_ns: channel
                .stats
                .longest_stall_ns
                .max(channel.stalled_for(self.now)),
            routes: channel.routes,
            fence: channel.fence.counters,
            fenced_now: channel.fence.occupants(),
            parked_now: channel.parked.len() + channel.backlog.len() + channel.delayed.len(),
        }
    }

    fn path_overview(&self, slot: &PathSlot, ix: PathIx) -> PathOverview {
        let a = self.paths.get(slot.association);
        let down = a.reason().map(ToString::to_string);
        let unit = a.unit(Some(slot.nsid));
        PathOverview {
            ix,
            spec: slot.spec.clone(),
            nexus_id: a.nexus.id,
            state: a.state(),
            // A path that works may still remember why it once did not.
            reason: down
                .or_else(|| slot.refused.clone())
                .filter(|_| !slot.joined),
            refused: slot.refused.is_some(),
            joined: slot.joined,
            access: slot.access,
            weight: slot.weight,
            desired: None,
            local_addr: a.nexus.local_addr.clone(),
            remote_addr: a.nexus.remote_addr.clone(),
            nexus_in_flight: self.loads[slot.association].in_flight,
            in_flight: slot.in_flight,
            attempts: a.counters.attempts,
            logins: a.counters.logins,
            losses: a.counters.losses,
            ios: slot.stats.ios,
            bytes: slot.stats.bytes,
            errors: slot.stats.errors,
            lost: slot.stats.lost,
            reads: slot.stats.reads,
            bytes_read: slot.stats.bytes_read,
            writes: slot.stats.writes,
            bytes_written: slot.stats.bytes_written,
            departed: self
                .departed(a.nexus.id)
                .map_or_else(Carried::default, |d| Carried {
                    reads: d.stats.reads,
                    bytes_read: d.stats.bytes_read,
                    writes: d.stats.writes,
                    bytes_written: d.stats.bytes_written,
                    failed: d.stats.errors + d.stats.lost,
                    losses: d.losses,
                }),
            access_raw: unit.map_or(0, |u| u.access_raw),
            group: unit.map_or(0, |u| u.group),
            unit: slot.nsid,
            hardware: unit.map_or_else(Hardware::default, |u| u.hardware.clone()),
        }
    }

    /// Changes what a LUN works by, from the next request on.
    pub fn set_settings(&mut self, id: ChannelId, settings: LunSettings) {
        let explicit = settings.explicit_alua;
        let channel = &mut self.channels[id.0 as usize];
        let before = std::mem::replace(&mut channel.settings, settings).explicit_alua;
        if before != explicit && channel.selector.alua() != Alua::None {
            let alua = if explicit { Alua::Both } else { Alua::Implicit };
            channel.selector.set_alua(alua);
            self.changed(id);
        }
    }

    /// Looks at the access states of all paths again.
    pub fn verify_paths(&mut self) {
        self.paths.verify(self.now);
    }

    /// The LUN's own policy; `None` clears it.
    ///
    /// # Errors
    /// What Windows refuses.
    pub fn set_explicit(
        &mut self,
        id: ChannelId,
        setting: Option<Setting>,
    ) -> Result<(), NtStatus> {
        self.selector_mut(id).set_explicit(setting)?;
        self.changed(id);
        Ok(())
    }

    /// A default that governs LUNs without a policy of their own.
    pub fn set_default(&mut self, id: ChannelId, scope: Scope, setting: Option<Setting>) {
        self.selector_mut(id).set_default(scope, setting);
        self.changed(id);
    }

    /// The weight of a path, by nexus id. False: the LUN has no such path.
    pub fn set_weight(&mut self, id: ChannelId, nexus: u64, weight: u32) -> bool {
        let Some(ix) = self.channel(id).selector.find_path(nexus) else {
            return false;
        };
        self.selector_mut(id).set_weight(ix, weight);
        self.changed(id);
        true
    }

    /// A wish from an earlier life, by nexus id. False: the LUN has no such path.
    pub fn set_desired(&mut self, id: ChannelId, nexus: u64, desired: Option<PathState>) -> bool {
        let Some(ix) = self.channel(id).selector.find_path(nexus) else {
            return false;
        };
        self.selector_mut(id).set_desired(ix, desired);
        self.changed(id);
        true
    }

    pub(super) fn selector_mut(&mut self, id: ChannelId) -> &mut Selector {
        &mut self.channels[id.0 as usize].selector
    }

    /// After any change: weights are kept twice, and what waits for a path may have one now.
    pub(super) fn changed(&mut self, id: ChannelId) {
        let channel = &mut self.channels[id.0 as usize];
        for p in channel.selector.query().paths {
            channel.slots[p.path.index()].weight = p.weight;
        }
        self.unpark(id.0 as usize);
    }

    /// Takes a path out of a LUN: it carries nothing new from now on, and is given up when what
    /// is on it has ended. False: the LUN has no such path.
    pub fn remove_path(&mut self, id: ChannelId, nexus: u64) -> bool {
        let c = id.0 as usize;
        let channel = &mut self.channels[c];
        let Some(ix) = channel.selector.find_path(nexus) else {
            return false;
        };
        if channel.slots[ix.index()].life != SlotLife::Here {
            return false;
        }
        // It keeps its index while requests know it by that.
        channel.selector.path_down(ix);
        channel.slots[ix.index()].joined = false;
        channel.slots[ix.index()].life = SlotLife::Leaving;
        channel.leaving += 1;
        self.leave_stats(c, ix.index());
        self.unpark(c);
        true
    }

    /// Gives up the paths that were taken out and have nothing on them any more.
    pub(super) fn finish_leaving(&mut self, c: usize) {
        let channel = &mut self.channels[c];
        if channel.life == Life::Closed {
            channel.leaving = 0;
            return;
        }
        for at in 0..channel.slots.len() {
            let channel = &mut self.channels[c];
            let slot = &mut channel.slots[at];
            if slot.life == SlotLife::Leaving && slot.in_flight == 0 {
                slot.life = SlotLife::Gone;
                channel.leaving -= 1;
                channel.selector.remove_path(PathIx::new(at));
                self.leave(c, at);
            }
        }
    }

    /// Whether a LUN has given up all its paths.
    pub fn is_closed(&self, id: ChannelId) -> bool {
        self.channel(id).life == Life::Closed
    }

    /// Whether everything that is with a LUN now waits or is on its way.
    pub fn is_idle(&self, id: ChannelId) -> bool {
        self.channel(id).outstanding() == 0
    }

    /// The turn's time.
    pub fn turn(&self) -> Time {
        self.now
    }
}

/// What makes the target of a path: portal and name, or the device.
pub fn target_name(spec: &NexusSpec) -> &str {
    match spec {
        NexusSpec::NvmeTcp(s) => &s.subsystem_nqn,
        NexusSpec::Iscsi(s) => &s.target_name,
        NexusSpec::Local(text) => text,
    }
}
