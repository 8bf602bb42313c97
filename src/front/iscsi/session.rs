//! Targets, their port groups, and sessions with their unit attentions.

use super::{Portal, TargetConfig};
use crate::front::scsi::{LogicalUnit, SUPPORTED_STATES, View, group_state};
use crate::path::access::AccessState;
use crate::path::identity::Identity;
use crate::proto::iscsi::login::{
    Access, Admission, Directory, LoginStatus, Opened, SessionRequest,
};
use crate::proto::scsi::PortGroup;

/// Unit attentions that wait on one unit at most; what comes beyond is said by the first.
const ATTENTIONS_MAX: usize = 8;
/// Sessions at most.
const SESSIONS_MAX: usize = 512;

/// A serial number: the identity's, so that it is the same whoever serves the LUN.
pub(super) fn serial(identity: &Identity, lun: u16) -> String {
    let hex = |b: &[u8]| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
    match (
        &identity.uuid,
        &identity.nguid,
        &identity.eui64,
        &identity.naa,
    ) {
        (Some(u), ..) => hex(u),
        (_, Some(n), ..) => hex(n),
        (_, _, Some(e), _) => hex(e),
        (.., Some(n)) => hex(n),
        _ => format!("{lun:016}"),
    }
}

/// A target with its units and port groups.
#[derive(Debug)]
pub(super) struct TargetNode {
    pub(super) name: String,
    /// Sorted by number.
    pub(super) units: Vec<LogicalUnit>,
    /// Group, state, and what changed it last (SPC-4, table 262).
    groups: Vec<(u16, AccessState, u8)>,
}

impl TargetNode {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            units: Vec::new(),
            groups: Vec::new(),
        }
    }

    pub(super) fn group(&mut self, group: u16, state: AccessState) {
        if !self.has_group(group) {
            self.groups.push((group, state, 0));
        }
    }

    pub(super) fn has_group(&self, group: u16) -> bool {
        self.groups.iter().any(|(g, ..)| *g == group)
    }

    /// True when that changed something.
    pub(super) fn set_group(&mut self, group: u16, state: AccessState, status: u8) -> bool {
        let found = self.groups.iter_mut().find(|(g, ..)| *g == group);
        let Some((_, s, why)) = found else {
            return false;
        };
        let changed = *s != state;
        *s = state;
        if changed {
            *why = status;
        }
        changed
    }

    pub(super) fn state(&self, group: u16) -> AccessState {
        let found = self.groups.iter().find(|(g, ..)| *g == group);
        found.map_or(AccessState::Unavailable, |(_, s, _)| *s)
    }

    /// What its units look like through a group. A portal group is one SCSI target port
    /// (RFC 7143, 4.4.1), so its tag is relative port identifier and port group in one.
    pub(super) fn view(&self, group: u16) -> View {
        View {
            target: self.name.clone(),
            group,
            port: group,
            access: self.state(group),
            groups: self
                .groups
                .iter()
                .map(|(g, s, status)| PortGroup {
                    group: *g,
                    state: group_state(*s) as u8,
                    preferred: false,
                    supported: SUPPORTED_STATES,
                    status: *status,
                    ports: vec![*g],
                })
                .collect(),
            luns: self.units.iter().map(|u| u.lun).collect(),
        }
    }
}

/// An I_T nexus: one initiator port, one portal group of one target.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) tsih: u16,
    pub(super) node: usize,
    pub(super) group: u16,
    pub(super) initiator: String,
    pub(super) isid: [u8; 6],
    /// Its connections, by index: one, until sessions of several come.
    pub(super) connections: Vec<usize>,
    attentions: Vec<(u16, Vec<u16>)>,
}

impl Session {
    pub(super) fn attention(&mut self, lun: u16, code: u16) {
        let at = match self.attentions.iter().position(|(l, _)| *l == lun) {
            Some(at) => at,
            None => {
                self.attentions.push((lun, Vec::new()));
                self.attentions.len() - 1
            }
        };
        let list = &mut self.attentions[at].1;
        if !list.contains(&code) && list.len() < ATTENTIONS_MAX {
            list.push(code);
        }
    }

    /// Takes the oldest unit attention of a unit.
    pub(super) fn take_attention(&mut self, lun: u16) -> Option<u16> {
        let (_, list) = self.attentions.iter_mut().find(|(l, _)| *l == lun)?;
        (!list.is_empty()).then(|| list.remove(0))
    }
}

/// What a login asks of the target.
pub(super) struct Desk<'a> {
    pub(super) config: &'a TargetConfig,
    pub(super) nodes: &'a [TargetNode],
    pub(super) sessions: &'a mut Vec<Session>,
    pub(super) portal: &'a Portal,
    pub(super) last_tsih: &'a mut u16,
    pub(super) connection: usize,
    /// The connections of a session that this login takes the place of.
    pub(super) replaced: Vec<usize>,
}

impl Desk<'_> {
    fn tsih(&mut self) -> u16 {
        loop {
            *self.last_tsih = self.last_tsih.checked_add(1).unwrap_or(1);
            if !self.sessions.iter().any(|s| s.tsih == *self.last_tsih) {
                return *self.last_tsih;
            }
        }
    }
}

impl Directory for Desk<'_> {
    fn access(&self, target: Option<&str>, _initiator: &str) -> Result<Access, LoginStatus> {
        if let Some(name) = target
            && self.nodes[self.portal.target].name != name
        {
            return Err(LoginStatus::NotFound);
        }
        // Discovery tells names and addresses, to anybody.
        let chap = match target {
            Some(_) => self.config.chap.clone(),
            None => Vec::new(),
        };
        Ok(Access {
            alias: None,
            chap,
            ours: self.config.ours.clone(),
        })
    }

    fn open(&mut self, request: &SessionRequest) -> Result<Opened, LoginStatus> {
        if request.target_name.is_none() {
            let tsih = self.tsih();
            return Ok(Opened { tsih, window: None });
        }
        let (node, group) = (self.portal.target, self.portal.group);
        let here = self
            .sessions
            .iter()
            .filter(|s| s.node == node && s.group == group);
        let seen = here.map(|s| (s.initiator.as_str(), s.isid, s.tsih, false));
        match request.admission(seen) {
            Admission::New => {}
            Admission::Reinstate { old } => {
                if let Some(at) = self.sessions.iter().position(|s| s.tsih == old) {
                    self.replaced = self.sessions.swap_remove(at).connections;
                }
            }
            Admission::Join { .. } | Admission::Replace { .. } => {
                return Err(LoginStatus::TooManyConnections);
            }
            Admission::NoSession => return Err(LoginStatus::SessionDoesNotExist),
        }
        if self.sessions.len() >= SESSIONS_MAX {
            return Err(LoginStatus::OutOfResources);
        }
        let tsih = self.tsih();
        self.sessions.push(Session {
            tsih,
            node,
            group,
            initiator: request.initiator_name.clone(),
            isid: request.isid,
            connections: vec![self.connection],
            attentions: Vec::new(),
        });
        Ok(Opened { tsih, window: None })
    }
}
