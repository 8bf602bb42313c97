//! Answers to questions.

use super::answer::{
    ConfigAnswer, DaemonAnswer, DefaultsAnswer, Id, LunAnswer, NexusAnswer, PathAnswer,
    PolicyAnswer, PolicyPathAnswer, ReactorAnswer, VersionAnswer, alua_name, fold, path,
    placed_name,
};
use super::{Lun, Registry, desired};
use crate::control::command::CommandError;
use crate::lun::plane::{Overview, target_name};
use crate::path::identity::Identity;
use uuid::Uuid;

/// Counts incompatible changes of the RPC.
const RPC_VERSION: u32 = 1;

pub(super) fn version() -> VersionAnswer {
    VersionAnswer {
        name: "umpio",
        version: env!("CARGO_PKG_VERSION"),
        rpc_version: RPC_VERSION,
    }
}

impl Registry {
    /// A LUN over all reactors.
    pub(super) fn overview(&self, lun: &Lun) -> Result<Overview, CommandError> {
        fold(self.overviews(lun)?).ok_or_else(no_reactor)
    }

    pub(super) fn status(&self) -> Result<DaemonAnswer, CommandError> {
        let mut reactors = Vec::with_capacity(self.drivers.len());
        for (index, driver) in self.drivers.iter().enumerate() {
            let (busy_ns, associations_up) = driver.ask(|r| (r.busy_ns(), r.links_up()))?;
            reactors.push(ReactorAnswer {
                index,
                cpu: self.config.reactors.cpus.get(index).copied(),
                busy_ns,
                associations_up,
            });
        }
        let (mut paths, mut paths_up) = (0, 0);
        for lun in &self.luns {
            let o = self.overview(lun)?;
            paths += o.paths.len();
            paths_up += o.paths.iter().filter(|p| p.joined).count();
        }
        Ok(DaemonAnswer {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime_ns: self.clock.now().nanos_since(self.started),
            host_nqn: self.host.nqn.clone(),
            host_id: Uuid::from_bytes(self.host.id).to_string(),
            initiator_name: self.initiator_name.clone(),
            reactors,
            luns: self.luns.len(),
            paths,
            paths_up,
            last_event: self.events.last(),
            state_kept: self.state_kept,
            config_file: self.config.file.as_ref().map(|f| f.display().to_string()),
        })
    }

    pub(super) fn config_answer(&self) -> ConfigAnswer {
        ConfigAnswer {
            file: self.config.file.as_ref().map(|f| f.display().to_string()),
            socket: self.config.socket.display().to_string(),
            state_dir: self.config.state_dir.display().to_string(),
            host_nqn: self.host.nqn.clone(),
            host_id: Uuid::from_bytes(self.host.id).to_string(),
            initiator_name: self.initiator_name.clone(),
            reactors: self.drivers.len(),
            metrics: self.config.metrics.map(|m| m.to_string()),
            default_policy: self.defaults().policy,
            timers: self.timers(),
            overridden: desired::overridden(&self.state),
        }
    }

    pub(super) fn defaults(&self) -> DefaultsAnswer {
        let setting = desired::default_policy(&self.config, &self.state);
        DefaultsAnswer {
            policy: setting.map(|s| s.spec.to_string()),
        }
    }

    pub(super) fn lun_list(&self) -> Result<Vec<LunAnswer>, CommandError> {
        let mut luns: Vec<&Lun> = self.luns.iter().collect();
        luns.sort_by_key(|l| l.disk);
        luns.into_iter()
            .map(|l| self.lun_answer(l, false))
            .collect()
    }

    pub(super) fn lun_get(&self, name: &str) -> Result<LunAnswer, CommandError> {
        self.lun_answer(self.lun(name)?, true)
    }

    fn lun_answer(&self, lun: &Lun, paths: bool) -> Result<LunAnswer, CommandError> {
        let o = self.overview(lun)?;
        let up = o.paths.iter().filter(|p| p.joined).count();
        let state = match (&o.geometry, up) {
            (None, _) => "new",
            (Some(_), 0) => "lost",
            (Some(_), n) if n < o.paths.len() => "degraded",
            _ => "ok",
        };
        let placed = o.query.paths.iter().zip(&o.paths);
        Ok(LunAnswer {
            name: lun.name.clone(),
            guid: self.guid(&lun.name).to_string(),
            disk: lun.disk,
            state,
            policy: o.policy.to_string(),
            policy_number: o.policy.policy().number(),
            policy_source: o.source.name(),
            symmetric: o.symmetric,
            alua: alua_name(o.alua),
            supported_policies: o.supported.iter().map(|p| p.name()).collect(),
            block_size: o.geometry.as_ref().map(|g| g.block_size),
            blocks: o.geometry.as_ref().map(|g| g.blocks),
            bytes: o.geometry.as_ref().map(|g| g.bytes()),
            identity: o
                .geometry
                .as_ref()
                .map_or_else(Vec::new, |g| names(&g.identity)),
            paths_up: up,
            paths_total: o.paths.len(),
            served: self.is_served(&lun.name),
            ios: o.completed,
            io_bytes: o.bytes,
            failed: o.failed,
            retries: o.retries,
            rerouted: o.rerouted,
            parked: o.parked_now,
            fenced: o.fenced_now.0 + o.fenced_now.1,
            fence_longest_ns: o.fence.longest_ns,
            paths: match paths {
                true => placed.map(|(q, p)| path(&lun.name, p, q)).collect(),
                false => Vec::new(),
            },
        })
    }

    pub(super) fn path_list(&self, name: Option<&str>) -> Result<Vec<PathAnswer>, CommandError> {
        let mut out = Vec::new();
        let all: Vec<&Lun> = match name {
            Some(name) => vec![self.lun(name)?],
            None => self.luns.iter().collect(),
        };
        for lun in all {
            let o = self.overview(lun)?;
            let placed = o.query.paths.iter().zip(&o.paths);
            out.extend(placed.map(|(q, p)| path(&lun.name, p, q)));
        }
        Ok(out)
    }

    pub(super) fn nexus_list(&self) -> Result<Vec<NexusAnswer>, CommandError> {
        let mut out: Vec<NexusAnswer> = Vec::new();
        for lun in &self.luns {
            for p in self.overview(lun)?.paths {
                if let Some(n) = out.iter_mut().find(|n| n.nexus_id == Id(p.nexus_id)) {
                    n.luns.push(lun.name.clone());
                    continue;
                }
                out.push(NexusAnswer {
                    nexus_id: Id(p.nexus_id),
                    target: target_name(&p.spec.nexus).to_owned(),
                    state: p.state.to_string(),
                    reason: p.reason,
                    local_addr: p.local_addr,
                    remote_addr: p.remote_addr,
                    in_flight: p.nexus_in_flight,
                    attempts: p.attempts,
                    logins: p.logins,
                    losses: p.losses,
                    luns: vec![lun.name.clone()],
                });
            }
        }
        Ok(out)
    }

    pub(super) fn policy_get(&self, name: &str) -> Result<PolicyAnswer, CommandError> {
        let o = self.overview(self.lun(name)?)?;
        Ok(policy_answer(name, &o))
    }

    /// OpenMetrics of everything.
    pub(super) fn metrics(&self) -> Result<String, CommandError> {
        let mut luns = Vec::with_capacity(self.luns.len());
        for lun in &self.luns {
            // One order for each: a reactor works between them.
            luns.push(self.on_each(lun, |r, channel| {
                (r.plane().overview(channel), r.status(channel))
            })?);
        }
        Ok(crate::control::metrics::text(&luns, &self.status()?))
    }
}

pub(super) fn no_reactor() -> CommandError {
    CommandError::Failed("there is no reactor".to_owned())
}

pub(super) fn policy_answer(name: &str, o: &Overview) -> PolicyAnswer {
    let policy = o.policy.policy();
    let paths = o.query.paths.iter().zip(&o.paths);
    PolicyAnswer {
        lun: name.to_owned(),
        policy: o.policy.to_string(),
        policy_number: policy.number(),
        abbreviation: policy.abbreviation(),
        display_name: policy.display_name(),
        source: o.source.name(),
        supported: o.supported.iter().map(|p| p.name()).collect(),
        symmetric: o.symmetric,
        paths: paths
            .map(|(q, p)| PolicyPathAnswer {
                url: p.spec.url.clone(),
                nexus_id: Id(p.nexus_id),
                placed: placed_name(q.state),
                wished: p.desired.map(placed_name),
                failed: q.failed,
                preferred: q.preferred,
                weight: q.weight,
                access: p.access.to_string(),
            })
            .collect(),
    }
}

/// Identifiers as text.
pub(super) fn names(identity: &Identity) -> Vec<String> {
    let hex = |b: &[u8]| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut out = Vec::new();
    out.extend(
        identity
            .uuid
            .map(|u| format!("uuid:{}", Uuid::from_bytes(u))),
    );
    out.extend(identity.nguid.map(|b| format!("nguid:{}", hex(&b))));
    out.extend(identity.eui64.map(|b| format!("eui64:{}", hex(&b))));
    out.extend(identity.naa.as_ref().map(|b| format!("naa:{}", hex(b))));
    out
}
