//! iSCSI sessions and their connections, as the MSiSCSI classes see and change them.
//!
//! A session belongs to one reactor, so a nexus has one for each. What is set here stays over logins,
//! and ends with the daemon: the URL of the path says what it begins with.

use super::Registry;
use crate::control::view::changes::SessionPath;
use crate::control::view::{
    ChangeError, ConnectionState, ConnectionView, HostView, McsPolicy, SessionView, ids,
};
use crate::path::iscsi_session::{
    ConnectionPolicy, ConnectionSetting, ConnectionStatus, MemberState, SessionError, SessionStatus,
};

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

    /// Policy, primary flags and weights of the connections of one session.
    pub(super) fn set_session_policy(
        &mut self,
        session: u64,
        policy: McsPolicy,
        paths: &[SessionPath],
    ) -> Result<(), ChangeError> {
        let host = self.host_view();
        let failed = |e: &dyn std::fmt::Display| ChangeError::Failed(e.to_string());
        let policy = ConnectionPolicy::from_number(policy.number());
        let policy = policy.ok_or_else(|| failed(&"a policy of no number"))?;
        for (reactor, driver) in self.drivers.iter().enumerate() {
            let all = driver.ask(|r| r.plane().paths.sessions());
            let all = all.map_err(|e| failed(&e))?;
            let found = all
                .iter()
                .find(|s| ids::session(&host, s.nexus, reactor) == session);
            let Some(s) = found else { continue };
            let setting = |p: &SessionPath| {
                let same =
                    |c: &&ConnectionStatus| ids::connection(&host, session, c.cid) == p.connection;
                let cid = s.connections.iter().find(same)?.cid;
                Some(ConnectionSetting {
                    cid,
                    weight: p.weight,
                    primary: p.primary,
                })
            };
            let settings: Option<Vec<_>> = paths.iter().map(setting).collect();
            let settings = settings.ok_or(ChangeError::Gone)?;
            let nexus = s.nexus;
            let done = driver.ask(move |r| match r.plane().paths.by_nexus(nexus) {
                Some(a) => a.set_connection_policy(policy, &settings),
                None => Err(SessionError::NotIscsi),
            });
            return match done.map_err(|e| failed(&e))? {
                Ok(()) => Ok(()),
                Err(SessionError::NotIscsi | SessionError::NoConnection(_)) => {
                    Err(ChangeError::Gone)
                }
                Err(e) => Err(failed(&e)),
            };
        }
        Err(ChangeError::Gone)
    }
}

fn session(host: &HostView, reactor: usize, s: &SessionStatus) -> SessionView {
    let id = ids::session(host, s.nexus, reactor);
    SessionView {
        id,
        nexus_id: s.nexus,
        target_name: s.target_name.clone(),
        policy: McsPolicy::from_number(s.policy.number()).unwrap_or_default(),
        supported: McsPolicy::ALL.to_vec(),
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
