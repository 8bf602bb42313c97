//! The registry as the object models see it, and what they may change.

use super::hardware::{hardware, hardware_id};
use super::{Lun, Registry, desired};
use crate::control::command::{CommandError, NewPath, NewPolicy, ObjectAnswer, ObjectCommand};
use crate::control::config::Timers;
use crate::control::events::EventKind;
use crate::control::state::{Override, SettingState};
use crate::control::view::{
    ChangeError, Counters, DefaultsView, HostView, LunCondition, LunPolicy, LunSize, LunView,
    MpioTimers, NexusView, PathView, Protocol, ProviderView, View, ids,
};
use crate::lun::plane::{Overview, PathOverview, target_name};
use crate::lun::policy::defaults::Setting;
use crate::lun::policy::query::PathAnswer;
use crate::lun::policy::{PolicySpec, VendorPolicy};
use crate::path::identity::Identity;
use crate::path::url::NexusSpec;
use std::sync::Arc;

/// Closed LUNs that are remembered.
const DEPARTED_MAX: usize = 256;

impl Registry {
    /// Carries out what an object wants.
    pub(super) fn object(&mut self, command: ObjectCommand) -> Result<ObjectAnswer, ChangeError> {
        if self.stopping && !matches!(command, ObjectCommand::View) {
            return Err(ChangeError::Stopping);
        }
        match command {
            ObjectCommand::View => Ok(ObjectAnswer::View(Arc::new(self.view()))),
            // They may have to wait, see `begin`.
            ObjectCommand::SetPolicy { .. } | ObjectCommand::Refresh => {
                Err(ChangeError::Failed("begun in the wrong place".to_owned()))
            }
            ObjectCommand::SetVendor {
                lun,
                vendor,
                weights,
            } => self.set_vendor(lun, vendor, weights),
            ObjectCommand::EngineDefault(setting) => self.set_engine_default(setting),
            ObjectCommand::TargetDefault(id, setting) => {
                self.set_target_default(&id, setting)
                    .map_err(|e| change_error(&e))?;
                Ok(ObjectAnswer::Done)
            }
            ObjectCommand::SessionPolicy {
                session,
                policy,
                connections,
            } => {
                self.set_session_policy(session, policy, &connections)?;
                Ok(ObjectAnswer::Done)
            }
            ObjectCommand::AddConnection { session, new } => {
                self.add_connection(session, &new).map(ObjectAnswer::Id)
            }
            ObjectCommand::RemoveConnection {
                session,
                connection,
            } => {
                self.remove_connection(session, connection)?;
                Ok(ObjectAnswer::Done)
            }
            ObjectCommand::ClearCounters(scope) => {
                self.clear_counters(&scope)?;
                Ok(ObjectAnswer::Done)
            }
            ObjectCommand::Timers(timers) => {
                let values = Timers::NAMES.into_iter().zip(of_view(&timers).values());
                let values: Vec<(&'static str, u32)> = values.collect();
                self.timers_set(&values).map_err(|e| change_error(&e))?;
                Ok(ObjectAnswer::Done)
            }
            ObjectCommand::Reenumerate => {
                self.reenumerate()?;
                Ok(ObjectAnswer::Done)
            }
        }
    }

    fn set_vendor(
        &mut self,
        lun: String,
        vendor: VendorPolicy,
        weights: Vec<(u64, u32)>,
    ) -> Result<ObjectAnswer, ChangeError> {
        let path = |(path, weight): (u64, u32)| NewPath {
            path,
            weight: Some(weight),
            state: None,
        };
        let new = NewPolicy {
            lun,
            policy: Some(PolicySpec::vendor(vendor)),
            preferred: None,
            paths: weights.into_iter().map(path).collect(),
        };
        self.policy_set(&new).map_err(|e| change_error(&e))?;
        Ok(ObjectAnswer::Done)
    }

    fn set_engine_default(
        &mut self,
        setting: Option<Setting>,
    ) -> Result<ObjectAnswer, ChangeError> {
        self.put_default(setting).map_err(|e| change_error(&e))?;
        self.state.default_policy = Some(Override {
            value: setting.map(SettingState),
            file: desired::default_key(&self.config),
        });
        let name = setting.map_or_else(|| "cleared".to_owned(), |s| s.spec.to_string());
        let text = format!("DSM-wide policy {name}");
        self.note(EventKind::DefaultChanged, "", None, text);
        self.persist()
            .map_err(|e| ChangeError::Failed(e.to_string()))?;
        Ok(ObjectAnswer::Done)
    }

    /// Who we are, for ids.
    pub(super) fn host_view(&self) -> HostView {
        HostView {
            id: self.host.id,
            nqn: self.host.nqn.clone(),
            initiator_name: self.initiator_name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Names a LUN to Windows tools.
    pub(super) fn guid(&self, lun: &str) -> uuid::Uuid {
        ids::lun(&self.host_view(), lun)
    }

    /// A LUN is configured no more.
    pub(super) fn depart(&mut self, name: &str) {
        let guid = self.guid(name);
        self.departed.retain(|g| *g != guid);
        if self.departed.len() >= DEPARTED_MAX {
            self.departed.remove(0);
        }
        self.departed.push(guid);
    }

    /// What the objects see: without what was cleared.
    fn view(&mut self) -> View {
        let mut view = self.counted();
        self.cleared.apply(&mut view);
        view
    }

    /// All as the reactors count it.
    pub(super) fn counted(&mut self) -> View {
        self.check_kept();
        if let Some(why) = self.contradiction() {
            self.cache.corrupt(why);
        }
        let mut luns = Vec::with_capacity(self.luns.len());
        let mut nexuses: Vec<NexusView> = Vec::new();
        for lun in &self.luns {
            // A reactor that does not answer has spoilt the cache already.
            let Ok(o) = self.overview(lun) else { continue };
            for p in &o.paths {
                match nexuses.iter_mut().find(|n| n.id == p.nexus_id) {
                    Some(nexus) => {
                        nexus.counters += counters(p);
                        // Lost once, whatever number of LUNs were on it.
                        nexus.counters.path_failures = p.departed.losses + p.losses;
                    }
                    None => nexuses.push(nexus_view(p)),
                }
            }
            let mut seen = lun_view(lun, self.guid(&lun.name), &o);
            seen.call_in_progress = self.call_on(&lun.name).map(str::to_owned);
            luns.push(seen);
        }
        luns.sort_by_key(|l| l.number);
        View {
            host: self.host_view(),
            provider: ProviderView {
                cache: self.cache.clone(),
                call_in_progress: self.refreshes(),
                exiting: self.stopping,
            },
            defaults: DefaultsView {
                engine: desired::default_policy(&self.config, &self.state),
                targets: self.target_defaults(),
            },
            timers: to_view(&self.timers()),
            luns,
            departed: self.departed.clone(),
            nexuses,
            sessions: self.sessions(),
        }
    }
}

fn lun_view(lun: &Lun, guid: uuid::Uuid, o: &Overview) -> LunView {
    let identity = o
        .geometry
        .as_ref()
        .map_or_else(Identity::default, |g| g.identity.clone());
    let serial = super::look::names(&identity).into_iter().next();
    let serial =
        serial.and_then(|s| Some(s.split_once(':')?.1.replace('-', "").to_ascii_uppercase()));
    let refused = !o.paths.is_empty() && o.paths.iter().all(|p| p.refused && !p.joined);
    let condition = match &o.geometry {
        _ if refused => LunCondition::Failed(o.paths[0].reason.clone().unwrap_or_default()),
        None => LunCondition::NotReady,
        Some(_) => LunCondition::Good,
    };
    let mut total = Counters::default();
    for p in &o.paths {
        total += counters(p);
    }
    total.retries = o.retries + o.rerouted;
    total.errors = o.failed;
    let answers = o.query.paths.iter().zip(&o.paths);
    let hardware = hardware(o);
    LunView {
        name: lun.name.clone(),
        guid,
        number: lun.disk,
        hardware: hardware_id(&hardware),
        revision: match hardware.revision.is_empty() {
            true => "0001".to_owned(),
            false => hardware.revision,
        },
        serial: serial.unwrap_or_default(),
        identity,
        size: o.geometry.as_ref().map(|g| LunSize {
            block_size: g.block_size,
            blocks: g.blocks,
        }),
        condition,
        call_in_progress: None,
        policy: LunPolicy {
            spec: o.policy,
            source: o.source,
            supported: o.supported.clone(),
            alua: o.alua,
            symmetric: o.symmetric,
            any_optimized: o.set_view.any_optimized,
        },
        vendor_policy: o.policy.vendor_policy().unwrap_or_default(),
        paths: answers.map(|(a, p)| path_view(a, p)).collect(),
        counters: total,
    }
}

fn path_view(a: &PathAnswer, p: &PathOverview) -> PathView {
    PathView {
        nexus_id: p.nexus_id,
        url: p.spec.url.clone(),
        protocol: Protocol::of_url(&p.spec.url),
        state: p.state,
        reason: p.reason.clone(),
        joined: p.joined,
        failed: a.failed || !p.joined,
        access: a.access,
        access_raw: p.access_raw,
        placed: a.state,
        preferred: a.preferred,
        weight: a.weight,
        tpg: a.tpg,
        group_id: u16::try_from(p.group).unwrap_or(u16::MAX),
        tpg_preferred: a.tpg_preferred,
        target_port: 0,
        unit: p.unit,
        counters: counters(p),
    }
}

fn nexus_view(p: &PathOverview) -> NexusView {
    let (interface, portal_name, configured) = match &p.spec.nexus {
        NexusSpec::NvmeTcp(s) => (
            s.tcp.interface.clone(),
            s.portal(),
            s.tcp.source.map(|ip| std::net::SocketAddr::new(ip, 0)),
        ),
        _ => (None, String::new(), None),
    };
    NexusView {
        id: p.nexus_id,
        protocol: Protocol::of_url(&p.spec.url),
        source: p.local_addr.parse().ok().or(configured),
        interface,
        portal: p
            .remote_addr
            .parse()
            .ok()
            .or_else(|| portal_name.parse().ok()),
        target_name: match Protocol::of_url(&p.spec.url) {
            Protocol::Local => String::new(),
            _ => target_name(&p.spec.nexus).to_owned(),
        },
        portal_name,
        portal_group: 0,
        state: p.state,
        reason: p.reason.clone(),
        logins: p.logins,
        counters: nexus_counters(p),
    }
}

/// What is counted for the nexus of the first of its paths: with it, what has gone.
fn nexus_counters(p: &PathOverview) -> Counters {
    let gone = &p.departed;
    let mut all = counters(p);
    all += Counters {
        reads: gone.reads,
        writes: gone.writes,
        bytes_read: gone.bytes_read,
        bytes_written: gone.bytes_written,
        errors: gone.failed,
        path_failures: gone.losses,
        ..Counters::default()
    };
    all
}

fn counters(p: &PathOverview) -> Counters {
    Counters {
        reads: p.reads,
        writes: p.writes,
        bytes_read: p.bytes_read,
        bytes_written: p.bytes_written,
        retries: 0,
        errors: p.errors + p.lost,
        in_flight: p.in_flight,
        path_failures: p.losses,
        created_ns: 0,
        failed_ns: 0,
    }
}

fn of_view(t: &MpioTimers) -> Timers {
    Timers {
        path_verify_enabled: t.path_verify_enabled,
        path_verification_period: t.path_verification_period_s,
        pdo_remove_period: t.pdo_remove_period_s,
        retry_count: t.retry_count,
        retry_interval: t.retry_interval_s,
        use_custom_path_recovery_interval: t.use_custom_path_recovery_interval,
        path_recovery_interval: t.path_recovery_interval_s,
        disk_timeout_value: t.disk_timeout_s,
    }
}

fn to_view(t: &Timers) -> MpioTimers {
    MpioTimers {
        path_verify_enabled: t.path_verify_enabled,
        path_verification_period_s: t.path_verification_period,
        pdo_remove_period_s: t.pdo_remove_period,
        retry_count: t.retry_count,
        retry_interval_s: t.retry_interval,
        use_custom_path_recovery_interval: t.use_custom_path_recovery_interval,
        path_recovery_interval_s: t.path_recovery_interval,
        disk_timeout_s: t.disk_timeout_value,
    }
}

pub(super) fn change_error(e: &CommandError) -> ChangeError {
    match e {
        CommandError::NoLun(_) | CommandError::NoPath { .. } | CommandError::NoNexus(_) => {
            ChangeError::Gone
        }
        CommandError::Invalid { what, .. } => ChangeError::Invalid(what.clone()),
        CommandError::Refused { .. } => ChangeError::Invalid(e.to_string()),
        CommandError::Stopping => ChangeError::Stopping,
        CommandError::Busy(what) => ChangeError::Busy(what.clone()),
        _ => ChangeError::Failed(e.to_string()),
    }
}
