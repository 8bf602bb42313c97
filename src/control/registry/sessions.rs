//! iSCSI sessions and their connections, as the MSiSCSI classes see and change them.
//!
//! A session belongs to one reactor, so a nexus has one for each. What is set here stays over logins
//! and restarts, until the URL of the path says something else than it did then.

use super::Registry;
use crate::control::events::EventKind;
use crate::control::state::{self, Override, SessionState};
use crate::control::view::changes::{NewConnection, SessionPath};
use crate::control::view::{
    ChangeError, ConnectionState, ConnectionView, HostView, McsPolicy, SessionView, ids,
};
use crate::path::association::Association;
use crate::path::iscsi_session::{
    CONNECTIONS_MAX, ConnectionPolicy, ConnectionSetting, ConnectionStatus, MemberState,
    SessionError, SessionStatus,
};
use crate::path::iscsi_url::ConnectionSpec;
use crate::path::url::{NexusSpec, PathSpec};

/// Sessions that are kept at most.
const KEPT_MAX: usize = 4096;

/// A session of ours: which reactor has it, and what it looks like there.
struct Found {
    reactor: usize,
    status: SessionStatus,
}

impl Registry {
    /// All sessions of all reactors.
    pub(super) fn sessions(&self) -> Vec<SessionView> {
        let host = self.host_view();
        let mut out = Vec::new();
        for (reactor, driver) in self.drivers.iter().enumerate() {
            // A reactor that does not answer has no sessions to tell of.
            let all = driver
                .ask(|r| r.plane().paths.sessions())
                .unwrap_or_default();
            out.extend(all.iter().map(|s| session(&host, reactor, s)));
        }
        out
    }

    fn find_session(&self, id: u64) -> Result<Found, ChangeError> {
        let host = self.host_view();
        for (reactor, driver) in self.drivers.iter().enumerate() {
            let all = driver.ask(|r| r.plane().paths.sessions());
            let all = all.map_err(|e| ChangeError::Failed(e.to_string()))?;
            let is = |s: &SessionStatus| ids::session(&host, s.nexus, reactor) == id;
            if let Some(status) = all.into_iter().find(is) {
                return Ok(Found { reactor, status });
            }
        }
        Err(ChangeError::Gone)
    }

    /// Changes a session, and keeps what that has made of it.
    fn change_session<T: Send + 'static>(
        &mut self,
        found: &Found,
        text: String,
        change: impl FnOnce(&mut Association, crate::base::clock::Time) -> Result<T, SessionError>
        + Send
        + 'static,
    ) -> Result<T, ChangeError> {
        let nexus = found.status.nexus;
        let done = self.drivers[found.reactor].ask(move |r| {
            let now = r.now();
            let association = r.plane().paths.by_nexus(nexus);
            let association = association.ok_or(SessionError::NotIscsi)?;
            let done = change(association, now)?;
            let plan = association.session_plan();
            let plan = plan.map(|(policy, all)| (policy, all.to_vec()));
            Ok((done, plan))
        });
        let done = done.map_err(|e| ChangeError::Failed(e.to_string()))?;
        let (done, plan) = done.map_err(|e| match e {
            SessionError::NotIscsi | SessionError::NoConnection(_) => ChangeError::Gone,
            e => ChangeError::Failed(e.to_string()),
        })?;
        if let Some((policy, connections)) = plan {
            self.keep_session(nexus, found.reactor, policy, &connections);
        }
        self.note(EventKind::SessionChanged, "", Some(nexus), text);
        self.persist()
            .map_err(|e| ChangeError::Failed(e.to_string()))?;
        Ok(done)
    }

    /// Policy, primary flags and weights of the connections of one session.
    pub(super) fn set_session_policy(
        &mut self,
        session: u64,
        policy: McsPolicy,
        paths: &[SessionPath],
    ) -> Result<(), ChangeError> {
        let host = self.host_view();
        let number = policy.number();
        let wanted = ConnectionPolicy::from_number(number);
        let wanted = wanted.ok_or_else(|| ChangeError::Invalid(format!("policy {number}")))?;
        let found = self.find_session(session)?;
        let setting = |p: &SessionPath| {
            let mut all = found.status.connections.iter();
            let same =
                |c: &&ConnectionStatus| ids::connection(&host, session, c.cid) == p.connection;
            Some(ConnectionSetting {
                cid: all.find(same)?.cid,
                weight: p.weight,
                primary: p.primary,
            })
        };
        let settings: Option<Vec<_>> = paths.iter().map(setting).collect();
        let settings = settings.ok_or(ChangeError::Gone)?;
        let text = format!("connections by {policy}");
        self.change_session(&found, text, move |a, _| {
            a.set_connection_policy(wanted, &settings)
        })
    }

    /// Adds a connection to a session; its id.
    pub(super) fn add_connection(
        &mut self,
        session: u64,
        new: &NewConnection,
    ) -> Result<u64, ChangeError> {
        let found = self.find_session(session)?;
        let text = format!("connection to {}:{} added", new.host, new.port);
        let spec = ConnectionSpec {
            host: new.host.clone(),
            port: new.port,
            source: new.source,
            interface: None,
            weight: new.weight,
            primary: new.primary,
        };
        let cid = self.change_session(&found, text, move |a, now| a.add_connection(spec, now))?;
        Ok(ids::connection(&self.host_view(), session, cid))
    }

    /// Takes a connection out of a session.
    pub(super) fn remove_connection(
        &mut self,
        session: u64,
        connection: u64,
    ) -> Result<(), ChangeError> {
        let host = self.host_view();
        let found = self.find_session(session)?;
        let mut all = found.status.connections.iter();
        let is = |c: &&ConnectionStatus| ids::connection(&host, session, c.cid) == connection;
        let c = all.find(is).ok_or(ChangeError::Gone)?;
        let (cid, text) = (c.cid, format!("connection to {} taken out", c.portal));
        self.change_session(&found, text, move |a, now| a.remove_connection(cid, now))
    }

    fn keep_session(
        &mut self,
        nexus: u64,
        reactor: usize,
        policy: ConnectionPolicy,
        connections: &[ConnectionSpec],
    ) {
        let parse = |url: &String| PathSpec::parse(url).ok();
        let paths = self.luns.iter().flat_map(|l| &l.paths).filter_map(parse);
        let specs: Vec<PathSpec> = paths.collect();
        // Sessions of nexuses that no LUN has any more are forgotten where there are too many.
        if self.state.sessions.len() >= KEPT_MAX {
            let ids: Vec<String> = specs.iter().map(|s| state::id(s.nexus.id())).collect();
            let of_ours = |key: &String| ids.iter().any(|id| key.starts_with(id.as_str()));
            self.state.sessions.retain(|key, _| of_ours(key));
        }
        let Some(spec) = specs.iter().find(|s| s.nexus.id() == nexus) else {
            return;
        };
        let connection = |c: &ConnectionSpec| state::ConnectionState {
            host: c.host.clone(),
            port: c.port,
            source: c.source,
            interface: c.interface.clone(),
            weight: c.weight,
            primary: c.primary,
        };
        let kept = Override {
            value: SessionState {
                policy: policy.number(),
                connections: connections.iter().map(connection).collect(),
            },
            file: spec.url.clone(),
        };
        self.state.sessions.insert(key(nexus, reactor), kept);
    }

    /// Puts what was set of a path's session in place of what its URL says, if the URL is the same.
    pub(super) fn restore_session(&self, spec: &mut PathSpec, reactor: usize) {
        let kept = self.state.sessions.get(&key(spec.nexus.id(), reactor));
        let Some(kept) = kept.filter(|k| k.holds(&spec.url)) else {
            return;
        };
        let NexusSpec::Iscsi(spec) = &mut spec.nexus else {
            return;
        };
        let connection = |c: &state::ConnectionState| ConnectionSpec {
            host: c.host.clone(),
            port: c.port,
            source: c.source,
            interface: c.interface.clone(),
            weight: c.weight,
            primary: c.primary,
        };
        let all: Vec<_> = kept.value.connections.iter().map(connection).collect();
        let most = CONNECTIONS_MAX;
        // What a hand-written state says is believed as far as it makes sense.
        if (1..=most).contains(&all.len()) {
            spec.connections = all;
        }
        if let Some(policy) = ConnectionPolicy::from_number(kept.value.policy) {
            spec.policy = policy;
        }
    }
}

/// A session's name in the state.
fn key(nexus: u64, reactor: usize) -> String {
    format!("{}/{reactor}", state::id(nexus))
}

fn session(host: &HostView, reactor: usize, s: &SessionStatus) -> SessionView {
    let id = ids::session(host, s.nexus, reactor);
    // Between one connection there is nothing to choose.
    let single = s.max_connections <= 1;
    SessionView {
        id,
        nexus_id: s.nexus,
        target_name: s.target_name.clone(),
        policy: McsPolicy::from_number(s.policy.number()).unwrap_or_default(),
        supported: match single {
            true => vec![McsPolicy::Failover],
            false => McsPolicy::ALL.to_vec(),
        },
        max_connections: s.max_connections,
        connections: s
            .connections
            .iter()
            .map(|c| connection(host, id, c))
            .collect(),
    }
}

fn connection(host: &HostView, session: u64, c: &ConnectionStatus) -> ConnectionView {
    ConnectionView {
        id: ids::connection(host, session, c.cid),
        cid: c.cid,
        source: c.source.parse().ok(),
        portal: c.portal.parse().ok(),
        state: match c.state {
            MemberState::Up => ConnectionState::Connected,
            MemberState::Leaving | MemberState::LoggingOut | MemberState::Gone => {
                ConnectionState::Disconnected
            }
            MemberState::Waiting | MemberState::LoggingIn | MemberState::Broken => {
                ConnectionState::Reconnecting
            }
        },
        link_mbit: 0,
        weight: c.weight,
        primary: c.primary,
    }
}
