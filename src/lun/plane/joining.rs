//! What a path's coming, going and changes of access mean to the LUNs on it.

use super::Plane;
use crate::lun::channel::{Life, SlotLife};
use crate::lun::policy::defaults::{Scope, Setting};
use crate::lun::policy::hardware::HardwareId;
use crate::lun::policy::{PathIx, Policy, PolicySpec};
use crate::path::set::PathEvent;
use crate::path::unit::Hardware;
use crate::path::url::NexusSpec;

/// What governs LUNs of such a target that have no policy of their own.
fn default_of(all: &[(HardwareId, Setting)], hardware: &Hardware) -> Option<Setting> {
    let known = !all.is_empty() && *hardware != Hardware::default();
    let id = known.then(|| HardwareId::new(&hardware.vendor, &hardware.product))?;
    all.iter()
        .find(|(h, _)| *h == id)
        .map(|(_, setting)| *setting)
}

impl Plane {
    /// The default policies by vendor and product: in force from the first path on that a LUN of such a
    /// target gets.
    pub fn set_target_defaults(&mut self, all: Vec<(HardwareId, Setting)>) {
        self.target_defaults = all;
    }

    pub(super) fn on_path_event(&mut self, event: &PathEvent) {
        if let &PathEvent::GroupsSet { tag, done } = event {
            return self.groups_set(tag, done);
        }
        let (&PathEvent::Up(ix)
        | &PathEvent::Down(ix)
        | &PathEvent::Access(ix)
        | &PathEvent::Units(ix)) = event
        else {
            return;
        };
        for c in 0..self.channels.len() {
            for at in 0..self.channels[c].slots.len() {
                if self.channels[c].slots[at].association != ix
                    || self.channels[c].slots[at].life != SlotLife::Here
                    || self.channels[c].life == Life::Closed
                {
                    continue;
                }
                match event {
                    PathEvent::Up(_) | PathEvent::Units(_) => self.try_join(c, at),
                    PathEvent::Down(_) => {
                        let channel = &mut self.channels[c];
                        channel.slots[at].joined = false;
                        channel.slots[at].usable_since = None;
                        channel.selector.path_down(PathIx::new(at));
                    }
                    _ => self.refresh_access(c, at),
                }
            }
            self.unpark(c);
        }
    }

    /// Reads a path's unit again and lets it into the LUN, or keeps it out and says why.
    pub(super) fn try_join(&mut self, c: usize, at: usize) {
        let channel = &mut self.channels[c];
        let slot = &channel.slots[at];
        let association = self.paths.get(slot.association);
        let wanted = match slot.spec.nexus {
            NexusSpec::NvmeTcp(_) | NexusSpec::Iscsi(_) => slot.spec.nsid,
            NexusSpec::Local(_) => None,
        };
        let ix = PathIx::new(at);
        let mut default = None;
        let verdict = match association.unit(wanted) {
            Some(unit) => {
                default = default_of(&self.target_defaults, &unit.hardware);
                channel.join(at, unit).map(|()| unit.carrying_access())
            }
            None => Err(match (wanted, association.units().len()) {
                (Some(n), _) => {
                    let have: Vec<_> = association
                        .units()
                        .iter()
                        .map(|u| u.nsid.to_string())
                        .collect();
                    format!(
                        "namespace {n} is absent; the target offers: {}",
                        if have.is_empty() {
                            "none".to_owned()
                        } else {
                            have.join(", ")
                        }
                    )
                }
                (None, 0) => "the target offers no namespace".to_owned(),
                (None, n) => format!("the target offers {n} namespaces: choose one with nsid="),
            }),
        };
        match verdict {
            Ok(access) => {
                if let Some(setting) = default {
                    channel.selector.set_default(Scope::Target, Some(setting));
                }
                channel.selector.set_access(ix, access);
                channel.selector.path_up(ix);
                self.check_policy(c);
            }
            Err(why) => {
                tracing::warn!(lun = %channel.name, path = %channel.slots[at].spec.url, "path refused: {why}");
                channel.slots[at].joined = false;
                channel.slots[at].refused = Some(why);
                channel.selector.path_down(ix);
            }
        }
        self.unpark(c);
    }

    /// A LUN that turned out asymmetric does not keep round robin (it is refused there).
    pub(super) fn check_policy(&mut self, c: usize) {
        let channel = &mut self.channels[c];
        if channel.selector.policy().policy() == Policy::RoundRobin && !channel.selector.symmetric()
        {
            tracing::warn!(lun = %channel.name, "round robin is refused on an asymmetric LUN; using round robin with subset");
            let rrws = Setting::new(PolicySpec::new(Policy::RoundRobinWithSubset));
            // Granted by the rule just checked.
            let _ = channel.selector.set_explicit(Some(rrws));
        }
    }

    pub(super) fn refresh_access(&mut self, c: usize, at: usize) {
        let channel = &mut self.channels[c];
        let slot = &mut channel.slots[at];
        if !slot.joined {
            return;
        }
        let nsid = slot.nsid;
        if let Some(unit) = self.paths.get(slot.association).unit(Some(nsid)) {
            let was = std::mem::replace(&mut slot.access, unit.carrying_access());
            if slot.access != was {
                slot.usable_since = slot.access.usable_now().then_some(self.now);
            }
            channel.selector.set_access(PathIx::new(at), slot.access);
        }
        self.check_policy(c);
    }
}
