//! Targets, their port groups, and sessions with their unit attentions.

use super::{Portal, TargetConfig};
use crate::front::scsi::{LogicalUnit, SUPPORTED_STATES, View, group_state};
use crate::path::access::AccessState;
use crate::path::identity::Identity;
use crate::proto::iscsi::login::{
    Access, Admission, Directory, LoginStatus, Opened, SessionRequest,
};
use crate::proto::iscsi::pdu::TaskRequest;
use crate::proto::iscsi::target::{CommandOrder, Params};
use crate::proto::scsi::PortGroup;

/// Unit attentions that wait on one unit at most; what comes beyond is said by the first.
const ATTENTIONS_MAX: usize = 8;
/// Ended connections that a session remembers at most.
const ENDED_MAX: usize = 64;
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
    /// The groups as SCSI tells them, and the numbers of the units: made anew when these change, not
    /// for every command.
    told: Vec<PortGroup>,
    luns: Vec<u16>,
}

impl TargetNode {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            units: Vec::new(),
            groups: Vec::new(),
            told: Vec::new(),
            luns: Vec::new(),
        }
    }

    pub(super) fn add_unit(&mut self, unit: LogicalUnit) {
        self.units.push(unit);
        self.units.sort_by_key(|u| u.lun);
        self.luns = self.units.iter().map(|u| u.lun).collect();
    }

    fn tell_groups(&mut self) {
        let told = |(g, s, status): &(u16, AccessState, u8)| PortGroup {
            group: *g,
            state: group_state(*s) as u8,
            preferred: false,
            supported: SUPPORTED_STATES,
            status: *status,
            ports: vec![*g],
        };
        self.told = self.groups.iter().map(told).collect();
    }

    pub(super) fn group(&mut self, group: u16, state: AccessState) {
        if !self.has_group(group) {
            self.groups.push((group, state, 0));
            self.tell_groups();
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
            self.tell_groups();
        }
        changed
    }

    pub(super) fn state(&self, group: u16) -> AccessState {
        let found = self.groups.iter().find(|(g, ..)| *g == group);
        found.map_or(AccessState::Unavailable, |(_, s, _)| *s)
    }

    /// What its units look like through a group. A portal group is one SCSI target port
    /// (RFC 7143, 4.4.1), so its tag is relative port identifier and port group in one.
    pub(super) fn view(&self, group: u16) -> View<'_> {
        View {
            target: self.name.as_str().into(),
            group,
            port: group,
            access: self.state(group),
            groups: self.told.as_slice().into(),
            luns: self.luns.as_slice().into(),
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
    /// Its connections: CID, and the index in the target.
    pub(super) connections: Vec<(u16, usize)>,
    /// Connections that ended and were not logged out; requests of them may still execute. The index
    /// is `usize::MAX` where it names another connection by now.
    pub(super) ended: Vec<(u16, usize)>,
    /// The command numbers; not here while a connection works with them.
    pub(super) order: Option<Box<CommandOrder>>,
    /// What the leading login has agreed on for all connections.
    pub(super) params: Params,
    max_connections: u16,
    /// Task management that waits for commands before it: connection, and the request.
    pub(super) tasks: Vec<(usize, TaskRequest)>,
    attentions: Vec<(u16, Vec<u16>)>,
}

impl Session {
    /// Takes a connection out.
    pub(super) fn remove(&mut self, index: usize) {
        let Some(at) = self.connections.iter().position(|(_, i)| *i == index) else {
            return;
        };
        let (cid, _) = self.connections.swap_remove(at);
        self.tasks.retain(|(i, _)| *i != index);
        self.ended.retain(|(_, i)| *i != index);
        if self.ended.len() == ENDED_MAX {
            self.ended.remove(0);
        }
        self.ended.push((cid, index));
    }

    /// An index names another connection from now on.
    pub(super) fn forget_index(&mut self, index: usize) {
        for (_, i) in &mut self.ended {
            if *i == index {
                *i = usize::MAX;
            }
        }
    }

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
    pub(super) sessions: &'a mut Vec<Option<Session>>,
    pub(super) portal: &'a Portal,
    pub(super) last_tsih: &'a mut u16,
    pub(super) connection: usize,
    /// The connections that this login takes the place of.
    pub(super) replaced: Vec<usize>,
    /// The session that it made or joined.
    pub(super) session: Option<usize>,
}

impl Desk<'_> {
    fn tsih(&mut self) -> u16 {
        loop {
            *self.last_tsih = self.last_tsih.checked_add(1).unwrap_or(1);
            let mut all = self.sessions.iter().flatten();
            if !all.any(|s| s.tsih == *self.last_tsih) {
                return *self.last_tsih;
            }
        }
    }

    /// A further connection of a session, or one in the place of another.
    fn join(&mut self, request: &SessionRequest) -> Result<Opened, LoginStatus> {
        let is = |s: &Option<Session>| s.as_ref().is_some_and(|s| s.tsih == request.tsih);
        let at = self.sessions.iter().position(is);
        let Some((at, s)) = at.and_then(|at| Some((at, self.sessions[at].as_mut()?))) else {
            return Err(LoginStatus::SessionDoesNotExist);
        };
        // Tasks of a connection that had this CID end before the new one begins (RFC 7143, 6.3.4).
        let old = |(cid, index): &(u16, usize)| (*cid == request.cid).then_some(*index);
        self.replaced = s.connections.iter().filter_map(old).collect();
        if s.connections.len() - self.replaced.len() >= usize::from(s.max_connections) {
            return Err(LoginStatus::TooManyConnections);
        }
        self.replaced.extend(s.ended.iter().filter_map(old));
        s.connections.push((request.cid, self.connection));
        self.session = Some(at);
        let window = s.order.as_ref().map(|o| o.window());
        Ok(Opened {
            tsih: s.tsih,
            window: Some(window.ok_or(LoginStatus::TargetError)?),
        })
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

    fn moved(&self, _target: &str, _initiator: &str) -> Option<(String, bool)> {
        self.portal.moved.clone()
    }

    fn open(&mut self, request: &SessionRequest) -> Result<Opened, LoginStatus> {
        if request.target_name.is_none() {
            let tsih = self.tsih();
            return Ok(Opened { tsih, window: None });
        }
        let (node, group) = (self.portal.target, self.portal.group);
        let request_cid = request.cid;
        let here = self.sessions.iter().flatten();
        let seen = here
            .filter(|s| s.node == node && s.group == group && !s.connections.is_empty())
            .map(|s| {
                let used = s.connections.iter().any(|(cid, _)| *cid == request_cid);
                (s.initiator.as_str(), s.isid, s.tsih, used)
            });
        match request.admission(seen) {
            Admission::New | Admission::Reinstate { .. } => {}
            Admission::Join { .. } | Admission::Replace { .. } => return self.join(request),
            Admission::NoSession => return Err(LoginStatus::SessionDoesNotExist),
        }
        // Whatever this initiator port had here before, up or ended, is over before the new session
        // begins (RFC 7143, 6.3.5).
        for s in self.sessions.iter().flatten() {
            let same = s.node == node && s.group == group && s.isid == request.isid;
            if same && s.initiator == request.initiator_name {
                let all = s.connections.iter().chain(&s.ended);
                self.replaced.extend(all.map(|(_, index)| *index));
            }
        }
        let at = match self.sessions.iter().position(Option::is_none) {
            Some(at) => at,
            None if self.sessions.len() < SESSIONS_MAX => {
                self.sessions.push(None);
                self.sessions.len() - 1
            }
            None => return Err(LoginStatus::OutOfResources),
        };
        let tsih = self.tsih();
        self.sessions[at] = Some(Session {
            tsih,
            node,
            group,
            initiator: request.initiator_name.clone(),
            isid: request.isid,
            connections: vec![(request.cid, self.connection)],
            ended: Vec::new(),
            order: None,
            params: Params::default(),
            max_connections: request.max_connections.max(1),
            tasks: Vec::new(),
            attentions: Vec::new(),
        });
        self.session = Some(at);
        Ok(Opened { tsih, window: None })
    }
}
