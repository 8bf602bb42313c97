//! An iSCSI session and its connections as others see them, and what may be asked of them while it runs.

use super::iscsi_lane::Lane;
use super::reason::DownReason;
pub use crate::proto::iscsi::initiator::{CONNECTIONS_MAX, ConnectionPolicy, MemberState};
use crate::proto::iscsi::initiator::{MemberError, MemberInfo};

/// A copied view of one session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionStatus {
    /// Id of its nexus.
    pub nexus: u64,
    pub target_name: String,
    pub isid: [u8; 6],
    /// The target's handle; 0 before the first login.
    pub tsih: u16,
    /// How commands are spread over the connections.
    pub policy: ConnectionPolicy,
    /// Connections that the target takes in this session.
    pub max_connections: u16,
    /// In the order of the configuration.
    pub connections: Vec<ConnectionStatus>,
}

/// One connection of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionStatus {
    pub cid: u16,
    pub state: MemberState,
    /// Why it is not up.
    pub reason: Option<DownReason>,
    /// Our end, `ADDRESS:PORT`; empty while there is no connection.
    pub source: String,
    /// The target's end; while there is no connection, as configured.
    pub portal: String,
    /// Commands under way.
    pub outstanding: usize,
    pub weight: u32,
    pub primary: bool,
}

impl ConnectionStatus {
    pub(super) fn new(lane: &Lane, m: &MemberInfo) -> Self {
        let (source, portal) = lane
            .addrs()
            .unwrap_or_else(|| (String::new(), lane.endpoint.portal()));
        Self {
            cid: m.cid,
            state: m.state,
            reason: lane.reason.clone().filter(|_| m.state != MemberState::Up),
            source,
            portal,
            outstanding: m.outstanding,
            weight: m.weight,
            primary: m.primary,
        }
    }
}

/// Weight and primary flag of one connection.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ConnectionSetting {
    pub cid: u16,
    pub weight: u32,
    pub primary: bool,
}

/// Why something asked of a session was not done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SessionError {
    #[error("the nexus is no iSCSI nexus")]
    NotIscsi,
    #[error("the session is not up: {0}")]
    Down(String),
    #[error("the session has no connection with CID {0}")]
    NoConnection(u16),
    #[error(transparent)]
    Member(#[from] MemberError),
}
