//! LUNs, their paths, and what is set on them.

use super::answer::fold;
use super::desired::{self, Desired};
use super::look::no_reactor;
use super::{Lun, Registry, watch};
use crate::control::command::{CommandError, NewLun, NewPolicy};
use crate::control::config::{self, LunFlags, Timers};
use crate::control::events::EventKind;
use crate::control::state::{self, Override, Presence, SettingState, WishState};
use crate::engine::driver::Driver;
use crate::lun::channel::LunSettings;
use crate::lun::plane::{ChannelId, Overview, PathToOpen, Plane, WhatIsSet};
use crate::lun::policy::defaults::{Scope, Setting};
use crate::lun::policy::{NtStatus, Policy, PolicySpec};
use crate::path::local::{LocalDevice, LocalSpec};
use crate::path::reason::DownReason;
use crate::path::url::{NexusSpec, PathSpec};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a path that was taken out may take to let go of what is on it.
const LEAVE_MAX: Duration = Duration::from_secs(2);

impl Registry {
    pub(super) fn lun(&self, name: &str) -> Result<&Lun, CommandError> {
        let found = self.luns.iter().find(|l| l.name == name);
        found.ok_or_else(|| CommandError::NoLun(name.to_owned()))
    }

    /// A LUN as each reactor sees it.
    pub(super) fn overviews(&self, lun: &Lun) -> Result<Vec<Overview>, CommandError> {
        self.on_each(lun, |r, channel| r.plane().overview(channel))
    }

    /// Runs an order on every reactor for a LUN, one after the other.
    pub(super) fn on_each<T: Send + 'static>(
        &self,
        lun: &Lun,
        f: impl Fn(&mut crate::engine::reactor::Reactor, ChannelId) -> T + Send + Clone + 'static,
    ) -> Result<Vec<T>, CommandError> {
        let mut out = Vec::with_capacity(self.drivers.len());
        for (driver, channel) in self.drivers.iter().zip(lun.channels.clone()) {
            let f = f.clone();
            out.push(driver.ask(move |r| f(r, channel))?);
        }
        Ok(out)
    }

    /// Changes what is set of a LUN, on every reactor or on none: where one refuses or is gone, those
    /// before it get back what they had. What a reactor refuses is the inner error, with its number.
    pub(super) fn set_on_each<T: Send + 'static>(
        &self,
        lun: &Lun,
        f: impl Fn(&mut Plane, ChannelId) -> Result<T, NtStatus> + Send + Clone + 'static,
    ) -> Result<Result<Vec<T>, (usize, NtStatus)>, CommandError> {
        let mut were = Vec::with_capacity(self.drivers.len());
        let mut out = Vec::with_capacity(self.drivers.len());
        for (at, (driver, &channel)) in self.drivers.iter().zip(&lun.channels).enumerate() {
            let f = f.clone();
            let set = driver.ask(move |r| {
                let plane = r.plane();
                let was = plane.what_is_set(channel);
                let set = f(plane, channel);
                if set.is_err() {
                    plane.set_back(channel, &was);
                }
                set.map(|t| (was, t))
            });
            match set {
                Ok(Ok((was, t))) => {
                    were.push(was);
                    out.push(t);
                }
                Ok(Err(status)) => {
                    self.set_back(lun, were);
                    return Ok(Err((at, status)));
                }
                Err(e) => {
                    self.set_back(lun, were);
                    return Err(e.into());
                }
            }
        }
        Ok(Ok(out))
    }

    /// Gives the first reactors back what they had.
    pub(super) fn set_back(&self, lun: &Lun, were: Vec<WhatIsSet>) {
        for ((driver, &channel), was) in self.drivers.iter().zip(&lun.channels).zip(were) {
            // A reactor that is gone has nothing in force.
            let _ = driver.ask(move |r| r.plane().set_back(channel, &was));
        }
    }

    pub(super) fn settings(&self, flags: LunFlags) -> LunSettings {
        LunSettings {
            trust_paths: flags.trust_paths,
            explicit_alua: flags.explicit_alua,
            ..self.timers().settings()
        }
    }

    pub(super) fn timers(&self) -> Timers {
        desired::timers(&self.config, &self.state)
    }

    /// Opens a LUN on every reactor.
    pub(super) fn open(&mut self, want: &Desired) -> Result<(), String> {
        let mut by_reactor: Vec<Vec<PathToOpen>> = Vec::new();
        by_reactor.resize_with(self.drivers.len(), Vec::new);
        for (n, url) in want.paths.iter().enumerate() {
            let weight = want.weights.get(n).copied().unwrap_or(0);
            for (i, mut path) in open_path(url, weight, self.drivers.len())?
                .into_iter()
                .enumerate()
            {
                self.restore_session(&mut path.spec, i);
                by_reactor[i].push(path);
            }
        }
        let settings = self.settings(want.flags);
        let default = desired::default_policy(&self.config, &self.state);
        let mut channels = Vec::with_capacity(self.drivers.len());
        for (driver, paths) in self.drivers.iter().zip(by_reactor) {
            let (want, settings) = (want.clone(), settings.clone());
            let opened = driver.ask(move |r| {
                let channel = r.open_paths(&want.name, paths, None, settings);
                let plane = r.plane();
                plane.set_default(channel, Scope::Engine, default);
                apply_wishes(plane, channel, &want.wishes);
                // Round robin is refused later if the paths turn out not to be equal.
                let _ = plane.set_explicit(channel, want.policy);
                channel
            });
            channels.push(opened.map_err(|e| e.to_string())?);
        }
        let kept = self.state.lun(&want.name);
        let lun = Lun {
            name: want.name.clone(),
            disk: kept.disk,
            channels,
            paths: want.paths.clone(),
            flags: want.flags,
            hardware: None,
            seen: watch::Seen::default(),
        };
        let guid = self.guid(&want.name);
        self.departed.retain(|g| *g != guid);
        let text = format!("opened over {} paths", lun.paths.len());
        self.luns.push(lun);
        self.note(EventKind::LunOpened, &want.name, None, text);
        Ok(())
    }

    /// Closes a LUN on every reactor.
    pub(super) fn close(&mut self, name: &str) -> Result<(), CommandError> {
        self.lun(name)?;
        if self.serves.iter().any(|s| s.lun() == name) {
            return Err(CommandError::Served(name.to_owned()));
        }
        let at = self.luns.iter().position(|l| l.name == name);
        let lun = self.luns.swap_remove(at.expect("it was just found"));
        let closed = self.on_each(&lun, |r, channel| r.plane().close(channel));
        self.depart(name);
        self.note(EventKind::LunClosed, name, None, "closed");
        closed.map(drop)
    }

    pub(super) fn lun_create(&mut self, new: NewLun) -> Result<(), CommandError> {
        let invalid = |field, what| CommandError::Invalid { field, what };
        config::check_name(&new.name).map_err(|what| {
            invalid("name", format!("{what}; allowed: {}", config::NAME_ALLOWED))
        })?;
        if self.lun(&new.name).is_ok() {
            return Err(CommandError::LunExists(new.name));
        }
        if self.luns.len() >= config::LUNS_MAX {
            return Err(CommandError::Failed(format!(
                "a daemon has {} LUNs at most",
                config::LUNS_MAX
            )));
        }
        let paths: Vec<&str> = new.paths.iter().map(String::as_str).collect();
        config::check_paths(&paths)
            .map_err(|(n, what)| invalid("paths", format!("[{n}]: {what}")))?;
        if new.weights.len() > paths.len() {
            return Err(invalid("weights", "more weights than paths".to_owned()));
        }
        let ids = new.paths.iter().map(|url| nexus_of(url));
        let weights = new.weights.iter().map(|&weight| WishState {
            weight,
            primary_optimized: None,
        });
        let wishes: BTreeMap<_, _> = ids.map(state::id).zip(weights).collect();
        let want = Desired {
            name: new.name.clone(),
            paths: new.paths.clone(),
            weights: new.weights,
            policy: new.policy.map(Setting::new),
            wishes: wishes.clone(),
            flags: LunFlags::default(),
        };
        self.open(&want).map_err(CommandError::Failed)?;
        let file = desired::file_keys(&self.config, &new.name);
        let kept = self.state.lun(&new.name);
        kept.presence = Some(Override {
            value: Presence::Created,
            file: file.presence,
        });
        kept.paths = Some(Override {
            value: new.paths,
            file: file.paths,
        });
        kept.policy = Some(Override {
            value: want.policy.map(SettingState),
            file: file.policy,
        });
        kept.wishes = Some(Override {
            value: wishes,
            file: file.weights,
        });
        Ok(self.persist()?)
    }

    pub(super) fn lun_close(&mut self, name: &str) -> Result<(), CommandError> {
        self.close(name)?;
        let file = desired::file_keys(&self.config, name);
        if file.presence.is_empty() {
            // It was created at run time; nothing of it is left.
            self.state.luns.remove(name);
        } else {
            let kept = self.state.lun(name);
            kept.presence = Some(Override {
                value: Presence::Closed,
                file: file.presence,
            });
        }
        Ok(self.persist()?)
    }

    pub(super) fn path_add(
        &mut self,
        name: &str,
        url: &str,
        weight: u32,
    ) -> Result<(), CommandError> {
        let lun = self.lun(name)?;
        let invalid = |what: String| CommandError::Invalid { field: "url", what };
        let mut paths: Vec<&str> = lun.paths.iter().map(String::as_str).collect();
        paths.push(url);
        config::check_paths(&paths).map_err(|(_, what)| invalid(what))?;
        self.attach(name, url, weight)?;
        self.keep_paths(name);
        Ok(self.persist()?)
    }

    /// Adds a path on every reactor.
    pub(super) fn attach(
        &mut self,
        name: &str,
        url: &str,
        weight: u32,
    ) -> Result<(), CommandError> {
        let id = nexus_of(url);
        let opened = open_path(url, weight, self.drivers.len());
        let mut opened = opened.map_err(CommandError::Failed)?;
        for (reactor, path) in opened.iter_mut().enumerate() {
            self.restore_session(&mut path.spec, reactor);
        }
        let lun = self.lun(name)?;
        self.await_gone(lun, id)?;
        for ((driver, channel), path) in self.drivers.iter().zip(lun.channels.clone()).zip(opened) {
            driver.ask(move |r| r.add_path(channel, path))?;
        }
        let at = self.luns.iter().position(|l| l.name == name);
        self.luns[at.expect("it was just found")]
            .paths
            .push(url.to_owned());
        self.note(EventKind::PathAdded, name, Some(id), url);
        Ok(())
    }

    /// Waits until a path that was taken out has let go of its place.
    fn await_gone(&self, lun: &Lun, id: u64) -> Result<(), CommandError> {
        let until = self.clock.now() + LEAVE_MAX;
        loop {
            let here = self.on_each(lun, move |r, channel| {
                r.plane().channel(channel).selector.find_path(id).is_some()
            })?;
            if !here.contains(&true) {
                return Ok(());
            }
            if self.clock.now() >= until {
                return Err(CommandError::Failed(format!(
                    "the path of nexus {id:#018x} that was taken out still has I/O on it; try again"
                )));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(super) fn path_remove(&mut self, name: &str, path: u64) -> Result<(), CommandError> {
        let paths = &self.lun(name)?.paths;
        if paths.len() == 1 && nexus_of(&paths[0]) == path {
            return Err(CommandError::Failed(format!(
                "this is the last path of LUN '{name}'; close the LUN instead"
            )));
        }
        self.detach(name, path)?;
        self.keep_paths(name);
        if let Some(wishes) = self.state.lun(name).wishes.as_mut() {
            wishes.value.remove(&state::id(path));
        }
        Ok(self.persist()?)
    }

    /// Takes a path out on every reactor; the last one too, where nothing is to be left or another
    /// follows: until that has come, requests wait.
    pub(super) fn detach(&mut self, name: &str, path: u64) -> Result<(), CommandError> {
        let lun = self.lun(name)?;
        let Some(at) = lun.paths.iter().position(|url| nexus_of(url) == path) else {
            return Err(CommandError::NoPath {
                lun: name.to_owned(),
                path,
            });
        };
        self.on_each(lun, move |r, channel| r.plane().remove_path(channel, path))?;
        let lun_at = self.luns.iter().position(|l| l.name == name);
        let url = self.luns[lun_at.expect("it was just found")]
            .paths
            .remove(at);
        self.note(EventKind::PathRemoved, name, Some(path), url);
        Ok(())
    }

    fn keep_paths(&mut self, name: &str) {
        let paths = self.luns.iter().find(|l| l.name == name);
        let paths = paths.map_or_else(Vec::new, |l| l.paths.clone());
        let file = desired::file_keys(&self.config, name);
        self.state.lun(name).paths = Some(Override {
            value: paths,
            file: file.paths,
        });
    }

    pub(super) fn nexus_reset(&mut self, nexus: u64) -> Result<(), CommandError> {
        let mut found = false;
        for driver in &self.drivers {
            found |= driver.ask(move |r| {
                let plane = r.plane();
                let at = plane
                    .paths
                    .iter()
                    .position(|a| a.nexus.id == nexus && !a.is_ending());
                if let Some(ix) = at {
                    let why = "reset by the operator".to_owned();
                    plane.take_down(ix, DownReason::Transport(why));
                }
                at.is_some()
            })?;
        }
        found.then_some(()).ok_or(CommandError::NoNexus(nexus))
    }

    /// Sets a policy, and tells what it has made of the LUN.
    pub(super) fn policy_set(&mut self, new: &NewPolicy) -> Result<Overview, CommandError> {
        let lun = self.lun(&new.lun)?;
        let known: Vec<u64> = lun.paths.iter().map(|url| nexus_of(url)).collect();
        let named = new.paths.iter().map(|p| p.path).chain(new.preferred);
        for path in named {
            if !known.contains(&path) {
                return Err(CommandError::NoPath {
                    lun: new.lun.clone(),
                    path,
                });
            }
        }
        let is_failover = new.policy.is_some_and(|p| p.policy() == Policy::Failover);
        if new.preferred.is_some() && !is_failover {
            return Err(CommandError::Invalid {
                field: "preferred",
                what: "only failover has a preferred path".to_owned(),
            });
        }
        let setting = new.policy.map(|spec| Setting {
            spec,
            preferred: new.preferred,
        });
        let paths = new.paths.clone();
        let done = self.set_on_each(lun, move |plane, channel| {
            plane.set_explicit(channel, setting)?;
            for p in &paths {
                if let Some(weight) = p.weight {
                    plane.set_weight(channel, p.path, weight);
                }
                if p.state.is_some() {
                    plane.set_desired(channel, p.path, p.state);
                }
            }
            // In the same turn: a change costs each reactor one order.
            Ok(plane.overview(channel))
        })?;
        let done = done.map_err(|(_, status)| CommandError::Refused {
            status,
            hint: "round-robin needs paths that are all equal; try round-robin-with-subset",
        })?;
        let name = new
            .policy
            .map_or_else(|| "cleared".to_owned(), |p| p.to_string());
        self.note(
            EventKind::PolicyChanged,
            &new.lun,
            None,
            format!("policy {name}"),
        );
        let now = fold(done).ok_or_else(no_reactor)?;
        self.keep_policy(&new.lun, &now);
        self.persist()?;
        Ok(now)
    }

    /// Keeps the policy, the wishes and the weights of a LUN as they are in force.
    pub(super) fn keep_policy(&mut self, name: &str, now: &Overview) {
        let file = desired::file_keys(&self.config, name);
        let wish = |p: &crate::lun::plane::PathOverview| WishState {
            weight: p.weight,
            primary_optimized: p.desired.map(|d| (d.primary(), d.optimized())),
        };
        let wishes = now
            .paths
            .iter()
            .map(|p| (state::id(p.nexus_id), wish(p)))
            .collect();
        let kept = self.state.lun(name);
        kept.policy = Some(Override {
            value: now.explicit.map(SettingState),
            file: file.policy,
        });
        kept.wishes = Some(Override {
            value: wishes,
            file: file.weights,
        });
    }

    pub(super) fn defaults_set(&mut self, policy: Option<PolicySpec>) -> Result<(), CommandError> {
        if policy.is_some_and(|p| p.policy() == Policy::VendorSpecific) {
            return Err(CommandError::Invalid {
                field: "policy",
                what: "a vendor policy is no DSM-wide default".to_owned(),
            });
        }
        let setting = policy.map(Setting::new);
        self.put_default(setting)?;
        self.state.default_policy = Some(Override {
            value: setting.map(SettingState),
            file: desired::default_key(&self.config),
        });
        let name = policy.map_or_else(|| "cleared".to_owned(), |p| p.to_string());
        self.note(
            EventKind::DefaultChanged,
            "",
            None,
            format!("DSM-wide policy {name}"),
        );
        Ok(self.persist()?)
    }

    pub(super) fn put_default(&self, setting: Option<Setting>) -> Result<(), CommandError> {
        for lun in &self.luns {
            self.on_each(lun, move |r, channel| {
                r.plane().set_default(channel, Scope::Engine, setting);
            })?;
        }
        Ok(())
    }

    pub(super) fn timers_set(
        &mut self,
        values: &[(&'static str, u32)],
    ) -> Result<(), CommandError> {
        let mut timers = self.timers();
        for (name, value) in values {
            timers
                .set(name, *value)
                .map_err(|allowed| CommandError::Invalid {
                    field: name,
                    what: format!("is {value}; allowed: {allowed}"),
                })?;
        }
        self.state.timers = Some(Override {
            value: timers,
            file: desired::timers_key(&self.config),
        });
        self.put_settings()?;
        let text = Timers::NAMES.iter().zip(timers.values());
        let text: Vec<String> = text.map(|(n, v)| format!("{n}={v}")).collect();
        self.note(EventKind::TimersChanged, "", None, text.join(" "));
        Ok(self.persist()?)
    }

    pub(super) fn put_settings(&self) -> Result<(), CommandError> {
        self.put_recovery();
        for lun in &self.luns {
            let settings = self.settings(lun.flags);
            self.on_each(lun, move |r, channel| {
                r.plane().set_settings(channel, settings.clone());
            })?;
        }
        Ok(())
    }

    /// A driver by its number.
    pub(super) fn driver(&self, index: usize) -> Option<&Driver> {
        self.drivers.get(index)
    }
}

/// Puts wishes from an earlier life in force.
pub(super) fn apply_wishes(
    plane: &mut Plane,
    channel: ChannelId,
    wishes: &BTreeMap<String, WishState>,
) {
    for (id, wish) in wishes {
        let Some(nexus) = state::parse_id(id) else {
            continue;
        };
        // A path that is no longer configured has no wishes.
        if plane.set_weight(channel, nexus, wish.weight) {
            plane.set_desired(channel, nexus, wish.state());
        }
    }
}

/// The id of the nexus that a checked URL leads over.
pub(super) fn nexus_of(url: &str) -> u64 {
    PathSpec::parse(url).map_or(0, |p| p.nexus.id())
}

/// A path for each of `count` reactors; a local device is opened once and shared.
pub(super) fn open_path(url: &str, weight: u32, count: usize) -> Result<Vec<PathToOpen>, String> {
    let spec = PathSpec::parse(url).map_err(|e| e.to_string())?;
    let mut out = Vec::with_capacity(count);
    let first = match &spec.nexus {
        NexusSpec::NvmeTcp(_) | NexusSpec::Iscsi(_) => None,
        NexusSpec::Local(text) => {
            let local: LocalSpec = text.parse().map_err(|e| format!("'{url}': {e}"))?;
            Some(LocalDevice::open(&local).map_err(|e| format!("'{url}': {e}"))?)
        }
    };
    for _ in 1..count {
        let local = match &first {
            Some(device) => Some(device.share().map_err(|e| format!("'{url}': {e}"))?),
            None => None,
        };
        out.push(PathToOpen {
            spec: spec.clone(),
            local,
            weight,
        });
    }
    out.push(PathToOpen {
        spec,
        local: first,
        weight,
    });
    Ok(out)
}
