//! For tests: a surface whose LUNs have real selectors, so that what is refused is refused by the
//! code that refuses it in earnest, and states arise from events.

use super::changes::{NewConnection, SessionPath};
use super::*;
use crate::lun::policy::defaults::Scope;
use crate::lun::policy::selector::Options;
use crate::lun::policy::{GroupState, NtStatus, PathInit, SetRequest, SetStep};
use std::cell::RefCell;
use std::sync::Arc;

pub(crate) struct KitLun {
    pub(crate) view: LunView,
    pub(crate) selector: Selector,
}

pub(crate) struct Inner {
    pub(crate) base: View,
    pub(crate) luns: Vec<KitLun>,
    /// The target's answer to the next STPG: `None` refuses it.
    pub(crate) stpg: Option<Vec<GroupState>>,
    /// What a change fails with, from now on.
    pub(crate) fails: Option<ChangeError>,
    /// What was asked for.
    pub(crate) log: Vec<String>,
}

pub(crate) struct Kit(pub(crate) RefCell<Inner>);

fn nexus(id: u64) -> NexusView {
    NexusView {
        id,
        protocol: Protocol::NvmeTcp,
        source: Some(format!("10.0.{id}.1:40000").parse().expect("address")),
        interface: None,
        portal: Some(format!("10.0.{id}.9:4420").parse().expect("address")),
        portal_name: format!("10.0.{id}.9:4420"),
        target_name: "nqn.2024-01.test:array".to_owned(),
        portal_group: id as u16,
        state: State::Up,
        reason: None,
        logins: 1,
        counters: Counters::default(),
    }
}

fn path(init: &PathInit) -> PathView {
    PathView {
        nexus_id: init.id,
        url: format!("nvme-tcp://10.0.{}.9/nqn.2024-01.test:array", init.id),
        protocol: Protocol::NvmeTcp,
        state: State::Up,
        reason: None,
        joined: true,
        failed: false,
        access: AccessState::Optimized,
        access_raw: 1,
        placed: PathState::Optimized,
        preferred: false,
        weight: init.weight,
        tpg: init.tpg,
        group_id: init.tpg as u16,
        tpg_preferred: false,
        target_port: init.id as u32,
        unit: 1,
        counters: Counters {
            reads: 10 * init.id,
            bytes_read: 40960 * init.id,
            ..Counters::default()
        },
    }
}

impl Kit {
    pub(crate) fn empty() -> Self {
        let base = View {
            host: HostView {
                id: [7; 16],
                nqn: "nqn.2024-01.test:host".into(),
                initiator_name: "iqn.2024-01.test:host".into(),
                version: "1.2.3".into(),
            },
            ..View::default()
        };
        Self(RefCell::new(Inner {
            base,
            luns: Vec::new(),
            stpg: None,
            fails: None,
            log: Vec::new(),
        }))
    }

    /// One LUN "data" over nexuses 1, 2, …, each in a group of its own.
    pub(crate) fn new(alua: Alua, access: &[AccessState]) -> Self {
        let kit = Self::empty();
        kit.add_lun("data", alua, access);
        kit
    }

    pub(crate) fn add_lun(&self, name: &str, alua: Alua, access: &[AccessState]) {
        let mut selector = Selector::new(Options {
            alua,
            ..Options::default()
        });
        let groups = (1..).zip(access).map(|(tpg, &access)| GroupState {
            tpg,
            access,
            preferred: false,
        });
        let groups: Vec<_> = groups.collect();
        if alua != Alua::None {
            selector.set_groups(&groups);
        }
        let init = |n: usize| PathInit {
            id: n as u64 + 1,
            nexus: n as u16,
            tpg: n as u32 + 1,
            weight: 0,
        };
        let inits: Vec<_> = (0..access.len()).map(init).collect();
        selector.add_paths(&inits).expect("distinct ids");
        let mut inner = self.0.borrow_mut();
        for init in &inits {
            if inner.base.nexus(init.id).is_none() {
                inner.base.nexuses.push(nexus(init.id));
            }
        }
        let view = LunView {
            name: name.to_owned(),
            guid: ids::lun(&inner.base.host, name),
            number: inner.luns.len() as u32,
            hardware: HardwareId::new("UMPIO", name),
            revision: "1".into(),
            serial: "S123".into(),
            identity: Identity {
                uuid: Some([3; 16]),
                ..Identity::default()
            },
            size: Some(LunSize {
                block_size: 512,
                blocks: 2048,
            }),
            condition: LunCondition::Good,
            call_in_progress: None,
            policy: LunPolicy::of(&selector),
            vendor_policy: VendorPolicy::Latency,
            paths: inits.iter().map(path).collect(),
            counters: Counters::default(),
        };
        inner.luns.push(KitLun { view, selector });
    }

    /// Does something to a LUN.
    pub(crate) fn with<T>(&self, lun: &str, f: impl FnOnce(&mut KitLun) -> T) -> T {
        let mut inner = self.0.borrow_mut();
        let lun = inner.luns.iter_mut().find(|l| l.view.name == lun);
        f(lun.expect("a LUN of the kit"))
    }

    /// A path is lost.
    pub(crate) fn lose(&self, lun: &str, id: u64) {
        self.with(lun, |l| {
            let ix = l.selector.find_path(id).expect("a path of it");
            l.selector.path_down(ix);
        });
    }

    /// A LUN is taken out of the configuration.
    pub(crate) fn remove(&self, lun: &str) {
        let mut inner = self.0.borrow_mut();
        let at = inner.luns.iter().position(|l| l.view.name == lun);
        let gone = inner.luns.remove(at.expect("a LUN of the kit"));
        inner.base.departed.push(gone.view.guid);
    }

    pub(crate) fn guid(&self, lun: &str) -> Uuid {
        self.with(lun, |l| l.view.guid)
    }

    pub(crate) fn base(&self, f: impl FnOnce(&mut View)) {
        f(&mut self.0.borrow_mut().base);
    }

    pub(crate) fn fail_with(&self, error: Option<ChangeError>) {
        self.0.borrow_mut().fails = error;
    }

    pub(crate) fn stpg(&self, answer: Option<Vec<GroupState>>) {
        self.0.borrow_mut().stpg = answer;
    }

    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().log)
    }

    fn may_change(&self) -> Result<(), ChangeError> {
        match &self.0.borrow().fails {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }
}

impl Views for Kit {
    fn view(&self) -> Arc<View> {
        let inner = self.0.borrow();
        let mut view = inner.base.clone();
        for lun in &inner.luns {
            let mut shown = lun.view.clone();
            shown.policy = LunPolicy::of(&lun.selector);
            let answer = lun.selector.query();
            for (p, a) in shown.paths.iter_mut().zip(&answer.paths) {
                p.failed = a.failed;
                p.access = a.access;
                p.placed = a.state;
                p.preferred = a.preferred;
                p.weight = a.weight;
                p.tpg_preferred = a.tpg_preferred;
            }
            view.luns.push(shown);
        }
        Arc::new(view)
    }

    fn refresh_access(&self, lun: &str) -> Result<(), ChangeError> {
        self.0.borrow_mut().log.push(format!("refresh {lun}"));
        Ok(())
    }
}

impl Changes for Kit {
    fn set_policy(&self, lun: &str, request: &SetRequest) -> Result<NtStatus, ChangeError> {
        self.may_change()?;
        let stpg = self.0.borrow_mut().stpg.take();
        Ok(self.with(lun, |l| match l.selector.begin_set(request) {
            SetStep::Done(status) => status,
            SetStep::SendStpg(_) => l.selector.finish_set(stpg.as_deref()),
        }))
    }

    fn set_vendor_policy(
        &self,
        lun: &str,
        vendor: VendorPolicy,
        weights: &[(u64, u32)],
    ) -> Result<(), ChangeError> {
        self.may_change()?;
        self.with(lun, |l| {
            for (id, weight) in weights {
                let ix = l.selector.find_path(*id).ok_or(ChangeError::Gone)?;
                l.selector.set_weight(ix, *weight);
            }
            let setting = Setting::new(PolicySpec::vendor(vendor));
            l.selector
                .set_explicit(Some(setting))
                .map_err(|s| ChangeError::Failed(s.to_string()))
        })
    }

    fn set_engine_default(&self, setting: Option<Setting>) -> Result<(), ChangeError> {
        self.may_change()?;
        let mut inner = self.0.borrow_mut();
        inner.base.defaults.engine = setting;
        for l in &mut inner.luns {
            l.selector.set_default(Scope::Engine, setting);
        }
        Ok(())
    }

    fn set_target_default(
        &self,
        hardware: &HardwareId,
        setting: Option<Setting>,
    ) -> Result<(), ChangeError> {
        self.may_change()?;
        let mut inner = self.0.borrow_mut();
        inner.base.defaults.targets.retain(|(h, _)| h != hardware);
        if let Some(setting) = setting {
            inner
                .base
                .defaults
                .targets
                .push((hardware.clone(), setting));
        }
        for l in inner
            .luns
            .iter_mut()
            .filter(|l| l.view.hardware == *hardware)
        {
            l.selector.set_default(Scope::Target, setting);
        }
        Ok(())
    }

    fn set_timers(&self, timers: MpioTimers) -> Result<(), ChangeError> {
        self.may_change()?;
        self.0.borrow_mut().base.timers = timers;
        Ok(())
    }

    fn clear_counters(&self, scope: CounterScope) -> Result<(), ChangeError> {
        self.may_change()?;
        self.0.borrow_mut().log.push(format!("clear {scope:?}"));
        Ok(())
    }

    fn set_session_policy(
        &self,
        session: u64,
        policy: McsPolicy,
        connections: &[SessionPath],
    ) -> Result<(), ChangeError> {
        self.may_change()?;
        let mut inner = self.0.borrow_mut();
        let sessions = &mut inner.base.sessions;
        let session = sessions.iter_mut().find(|s| s.id == session);
        let session = session.ok_or(ChangeError::Gone)?;
        session.policy = policy;
        for c in &mut session.connections {
            let new = connections.iter().find(|n| n.connection == c.id);
            let new = new.ok_or(ChangeError::Gone)?;
            (c.primary, c.weight) = (new.primary, new.weight);
        }
        Ok(())
    }

    fn add_connection(&self, session: u64, new: &NewConnection) -> Result<u64, ChangeError> {
        self.may_change()?;
        let mut inner = self.0.borrow_mut();
        let mut all = inner.base.sessions.iter_mut();
        let session = all.find(|s| s.id == session).ok_or(ChangeError::Gone)?;
        let id = 100 + session.connections.len() as u64;
        session.connections.push(ConnectionView {
            id,
            cid: session.connections.len() as u16,
            source: None,
            portal: format!("{}:{}", new.host, new.port).parse().ok(),
            state: ConnectionState::Reconnecting,
            link_mbit: 0,
            weight: new.weight,
            primary: new.primary,
        });
        Ok(id)
    }

    fn remove_connection(&self, session: u64, connection: u64) -> Result<(), ChangeError> {
        self.may_change()?;
        let mut inner = self.0.borrow_mut();
        let mut all = inner.base.sessions.iter_mut();
        let session = all.find(|s| s.id == session).ok_or(ChangeError::Gone)?;
        session.connections.retain(|c| c.id != connection);
        Ok(())
    }

    fn reenumerate(&self) -> Result<(), ChangeError> {
        self.may_change()?;
        self.0.borrow_mut().base.provider.cache.reenumerated();
        Ok(())
    }

    fn refresh(&self) -> Result<(), ChangeError> {
        self.may_change()?;
        self.0.borrow_mut().base.provider.cache.refreshed();
        Ok(())
    }
}
