//! Default policies by vendor and product, and the looking after paths that Windows' timers ask for.

use super::Registry;
use crate::control::command::CommandError;
use crate::control::events::EventKind;
use crate::control::state::SettingState;
use crate::control::view::HardwareId;
use crate::lun::plane::Overview;
use crate::lun::policy::defaults::{Scope, Setting};
use crate::path::unit::Hardware;
use std::time::Duration;

/// Defaults by vendor and product that are kept at most.
const TARGETS_MAX: usize = 1024;

/// In MPIO's form. A LUN whose target does not say is one of ours.
pub(super) fn hardware_id(h: &Hardware) -> HardwareId {
    match h.vendor.is_empty() && h.product.is_empty() {
        true => HardwareId::default(),
        false => HardwareId::new(&h.vendor, &h.product),
    }
}

/// What the first path that knows says of a LUN.
pub(super) fn hardware(o: &Overview) -> Hardware {
    let known = |h: &&Hardware| **h != Hardware::default();
    let mut all = o.paths.iter().map(|p| &p.hardware);
    all.find(known).cloned().unwrap_or_default()
}

impl Registry {
    /// The defaults by vendor and product in force.
    pub(super) fn target_defaults(&self) -> Vec<(HardwareId, Setting)> {
        let all = self.state.target_defaults.iter();
        all.filter_map(|(id, s)| Some((HardwareId::parse(id)?, s.0)))
            .collect()
    }

    pub(super) fn target_default(&self, id: &HardwareId) -> Option<Setting> {
        self.state.target_defaults.get(id.padded()).map(|s| s.0)
    }

    /// Sets the default of a vendor and product, or removes it; LUNs with a policy of their own
    /// keep it.
    pub(super) fn set_target_default(
        &mut self,
        id: &HardwareId,
        setting: Option<Setting>,
    ) -> Result<(), CommandError> {
        let key = id.padded().to_owned();
        match setting {
            Some(s) => {
                let all = &mut self.state.target_defaults;
                if !all.contains_key(&key) && all.len() >= TARGETS_MAX {
                    return Err(CommandError::Failed(format!(
                        "there are {TARGETS_MAX} defaults by vendor and product, and no more"
                    )));
                }
                all.insert(key, SettingState(s));
            }
            None => drop(self.state.target_defaults.remove(&key)),
        }
        self.tell_target_defaults();
        for at in 0..self.luns.len() {
            if self.luns[at].hardware.as_ref() == Some(id) {
                self.put_target_default(at, setting)?;
            }
        }
        let name = setting.map_or_else(|| "cleared".to_owned(), |s| s.spec.to_string());
        let text = format!("policy of '{}' {name}", id.padded().trim_end());
        self.note(EventKind::DefaultChanged, "", None, text);
        Ok(self.persist()?)
    }

    /// Reactors put them in force with the first path of a LUN that joins.
    pub(super) fn tell_target_defaults(&self) {
        let all = self.target_defaults();
        for driver in &self.drivers {
            let all = all.clone();
            // A reactor that is gone opens nothing any more.
            let _ = driver.ask(move |r| r.plane().set_target_defaults(all));
        }
    }

    fn put_target_default(&self, at: usize, setting: Option<Setting>) -> Result<(), CommandError> {
        self.on_each(&self.luns[at], move |r, channel| {
            r.plane().set_default(channel, Scope::Target, setting);
        })?;
        Ok(())
    }

    /// A LUN's target has told what it is: its default is in force from now on.
    pub(super) fn meet_hardware(&mut self, at: usize, seen: &Hardware) {
        if *seen == Hardware::default() {
            return;
        }
        let id = hardware_id(seen);
        if self.luns[at].hardware.as_ref() == Some(&id) {
            return;
        }
        let setting = self.target_default(&id);
        // A reactor that does not answer is asked again with the next look.
        if self.put_target_default(at, setting).is_ok() {
            self.luns[at].hardware = Some(id);
        }
    }

    /// PathVerificationPeriod: the access states of all paths are read again.
    pub(super) fn verify_paths(&mut self) {
        let timers = self.timers();
        let now = self.clock.now();
        // From the last time on, so that another period counts at once.
        let period = Duration::from_secs(timers.path_verification_period.max(1).into());
        if !timers.path_verify_enabled || now < self.verified + period {
            return;
        }
        self.verified = now;
        for driver in &self.drivers {
            // One that is busy is asked with the next period.
            let _ = driver.handle().send(|r| r.plane().verify_paths());
        }
    }

    /// PathRecoveryInterval: how long a lost nexus waits at most before it is tried again.
    pub(super) fn put_recovery(&self) {
        let timers = self.timers();
        let seconds = u64::from(timers.path_recovery_interval.max(1));
        let custom = timers.use_custom_path_recovery_interval;
        let cap = custom.then(|| Duration::from_secs(seconds));
        for driver in &self.drivers {
            // A reactor that is gone has no paths to recover.
            let _ = driver.ask(move |r| r.plane().paths.set_retry_cap(cap));
        }
    }
}
