//! From what is to what should be. Only what differs is touched.

use super::answer::ReloadAnswer;
use super::desired::{self, Desired};
use super::luns::{apply_wishes, nexus_of};
use super::{Registry, serve};
use crate::control::config::Config;

impl Registry {
    /// Takes a config as what should be from now on.
    pub(super) fn converge(&mut self, new: Config) -> ReloadAnswer {
        let mut told = ReloadAnswer {
            restart_needed: restart_needed(&self.config, &new),
            ..ReloadAnswer::default()
        };
        let timers = self.timers();
        let default = desired::default_policy(&self.config, &self.state);
        let before = desired::luns(&self.config, &self.state);
        let first = self.luns.is_empty() && self.serves.is_empty();
        // What takes a restart stays as it is, so that it is told again with the next reload.
        self.config = Config {
            socket: self.config.socket.clone(),
            connections: self.config.connections,
            calls_per_second: self.config.calls_per_second,
            state_dir: self.config.state_dir.clone(),
            host: self.config.host.clone(),
            reactors: self.config.reactors.clone(),
            metrics: self.config.metrics,
            log: self.config.log.clone(),
            ..new
        };
        for key in desired::prune(&mut self.state, &self.config) {
            told.changed.push(format!(
                "{key}: the file overrules what was set at run time"
            ));
        }
        let after = desired::luns(&self.config, &self.state);
        self.drop_serves(&mut told);
        let gone: Vec<String> = self.luns.iter().map(|l| l.name.clone()).collect();
        for name in gone.iter().filter(|n| !after.iter().any(|d| d.name == **n)) {
            match self.close(name) {
                Ok(()) => told.changed.push(format!("LUN {name}: closed")),
                Err(e) => told.failed.push(format!("LUN {name}: {e}")),
            }
        }
        if timers != self.timers() {
            told.changed.push("timers".to_owned());
            if let Err(e) = self.put_settings() {
                told.failed.push(format!("timers: {e}"));
            }
        }
        let new_default = desired::default_policy(&self.config, &self.state);
        if default != new_default && !first {
            told.changed.push("defaults.policy".to_owned());
            if let Err(e) = self.put_default(new_default) {
                told.failed.push(format!("defaults.policy: {e}"));
            }
        }
        for want in &after {
            if self.lun(&want.name).is_err() {
                match self.open(want) {
                    Ok(()) => told.changed.push(format!("LUN {}: opened", want.name)),
                    Err(e) => {
                        tracing::error!(lun = want.name, "cannot be opened: {e}");
                        told.failed.push(format!("LUN {}: {e}", want.name));
                    }
                }
            } else if let Some(was) = before.iter().find(|d| d.name == want.name) {
                self.adjust(was, want, &mut told);
            }
        }
        self.add_serves(&mut told);
        told
    }

    /// Brings an open LUN from one wish to the next.
    fn adjust(&mut self, was: &Desired, want: &Desired, told: &mut ReloadAnswer) {
        let name = &want.name;
        let have = self
            .lun(name)
            .map_or_else(|_| Vec::new(), |l| l.paths.clone());
        let fresh: Vec<usize> = (0..want.paths.len())
            .filter(|&n| !have.contains(&want.paths[n]))
            .collect();
        let stale: Vec<&String> = have
            .iter()
            .filter(|url| !want.paths.contains(url))
            .collect();
        // A path over a nexus that is new to the LUN comes before any goes, so that I/O always has
        // one; a path whose options alone have changed has to go first. Where it is the only one, I/O
        // waits in between, as it does while no path is up.
        let renewed = |n: &usize| {
            stale
                .iter()
                .any(|url| nexus_of(url) == nexus_of(&want.paths[*n]))
        };
        let (second, first): (Vec<usize>, Vec<usize>) = fresh.into_iter().partition(renewed);
        let weight = |n: usize| want.weights.get(n).copied().unwrap_or(0);
        for n in first {
            let url = &want.paths[n];
            match self.attach(name, url, weight(n)) {
                Ok(()) => told.changed.push(format!("LUN {name}: path {url} added")),
                Err(e) => told
                    .failed
                    .push(format!("LUN {name}: path {url} not added: {e}")),
            }
        }
        for url in stale {
            match self.detach(name, nexus_of(url)) {
                Ok(()) => told.changed.push(format!("LUN {name}: path {url} removed")),
                Err(e) => told
                    .failed
                    .push(format!("LUN {name}: path {url} not removed: {e}")),
            }
        }
        for n in second {
            let url = &want.paths[n];
            match self.attach(name, url, weight(n)) {
                Ok(()) => told.changed.push(format!("LUN {name}: path {url} renewed")),
                Err(e) => told
                    .failed
                    .push(format!("LUN {name}: path {url} not renewed: {e}")),
            }
        }
        let weights_differ = was.weights != want.weights || was.wishes != want.wishes;
        if was.policy == want.policy && !weights_differ && was.flags == want.flags {
            return;
        }
        let Some(at) = self.luns.iter().position(|l| l.name == *name) else {
            return;
        };
        self.luns[at].flags = want.flags;
        let settings = self.settings(want.flags);
        let (policy, was_policy) = (want.policy, was.policy);
        let wishes = want.wishes.clone();
        let weights: Vec<(u64, u32)> = want
            .paths
            .iter()
            .enumerate()
            .map(|(n, url)| (nexus_of(url), weight(n)))
            .collect();
        let set = self.on_each(&self.luns[at], move |r, channel| {
            r.plane().set_settings(channel, settings.clone());
        });
        if let Err(e) = set {
            told.failed.push(format!("LUN {name}: {e}"));
            return;
        }
        let done = self.set_on_each(&self.luns[at], move |plane, channel| {
            if weights_differ {
                for (id, weight) in &weights {
                    plane.set_weight(channel, *id, *weight);
                    plane.set_desired(channel, *id, None);
                }
                apply_wishes(plane, channel, &wishes);
            }
            if policy != was_policy {
                return plane.set_explicit(channel, policy);
            }
            Ok(())
        });
        match done {
            Ok(Ok(_)) => told.changed.push(format!("LUN {name}: policy, weights or settings")),
            Ok(Err((_, status))) => told.failed.push(format!(
                "LUN {name}: policy refused: {status} {}; round-robin needs paths that are all equal",
                status.name()
            )),
            Err(e) => told.failed.push(format!("LUN {name}: {e}")),
        }
    }

    /// Ends serving what should not be served any more, or not like this.
    fn drop_serves(&mut self, told: &mut ReloadAnswer) {
        let wanted = self.config.serves.clone();
        let serves = std::mem::take(&mut self.serves);
        for s in serves {
            if wanted.contains(s.config()) {
                self.serves.push(s);
            } else {
                told.changed
                    .push(format!("LUN {}: no longer served as it was", s.lun()));
                self.end_serve(s);
            }
        }
    }

    fn add_serves(&mut self, told: &mut ReloadAnswer) {
        for want in self.config.serves.clone() {
            if self.serves.iter().any(|s| *s.config() == want) {
                continue;
            }
            told.changed.push(format!("LUN {}: to be served", want.lun));
            self.serves.push(serve::Serve::new(want));
        }
        self.try_serves();
    }
}

/// Keys that take a restart, where they differ.
fn restart_needed(old: &Config, new: &Config) -> Vec<String> {
    let keys = [
        ("rpc.socket", old.socket != new.socket),
        ("rpc.connections", old.connections != new.connections),
        (
            "rpc.calls_per_second",
            old.calls_per_second != new.calls_per_second,
        ),
        ("state.dir", old.state_dir != new.state_dir),
        ("host", old.host != new.host),
        ("reactors", old.reactors != new.reactors),
        ("metrics.listen", old.metrics != new.metrics),
        ("log", old.log != new.log),
    ];
    let differ = keys.iter().filter(|(_, differs)| *differs);
    differ.map(|(key, _)| (*key).to_owned()).collect()
}
