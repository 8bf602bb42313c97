//! The MSiSCSI classes over the connections of an iSCSI session (MC/S): MSiSCSI_QueryLBPolicy, and
//! MSiSCSI_LB_Operations.SetLoadBalancePolicy, whose status is an ISCSI_STATUS_QUALIFIERS.
//!
//! Not to be taken for the DSM: there a path is a nexus of a LUN, here it is a connection of a session;
//! policy 6 is vendor specific here and Least Blocks there.

pub mod status;
#[cfg(test)]
mod tests;

pub use status::IscsiStatus;

use crate::control::layout::buffer::{read, read_whole};
use crate::control::layout::msiscsi::{
    IscsiPath, SessionPolicy, SetLoadBalancePolicyOut, SupportedLbPoliciesHeader, encode_query,
};
use crate::control::layout::{Field, LayoutError};
use crate::control::view::changes::{NewConnection, SessionPath};
use crate::control::view::{ConnectionState, ConnectionView, McsPolicy, SessionView, Surface, ids};

/// Method id of SetLoadBalancePolicy in MSiSCSI_LB_Operations.
pub const SET_LOAD_BALANCE_POLICY: u32 = 10;
/// GUID of MSiSCSI_QueryLBPolicy.
pub const QUERY_LB_POLICY: uuid::Uuid = uuid::uuid!("e0aecaee-b311-426f-b67a-18d5e55d0996");
/// GUID of MSiSCSI_LB_Operations.
pub const LB_OPERATIONS: uuid::Uuid = uuid::uuid!("a7dfe761-b6bc-4490-91b0-d9cf4a24d37c");

/// Paths of a request that are looked at: more than any session has connections.
const PATHS_READ_MAX: u32 = 4096;

/// MSiSCSI_QueryLBPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryLbPolicy {
    /// UniqueAdapterId.
    pub adapter: u64,
    /// Every session.
    pub sessions: Vec<SessionPolicy>,
}

impl QueryLbPolicy {
    /// Its block.
    pub fn encode(&self) -> Vec<u8> {
        encode_query(self.adapter, &self.sessions)
    }
}

/// The policies of all sessions.
pub fn query_lb_policy(surface: &dyn Surface) -> QueryLbPolicy {
    let view = surface.view();
    QueryLbPolicy {
        adapter: ids::adapter_number(&view.host),
        sessions: view.sessions.iter().map(session).collect(),
    }
}

fn session(s: &SessionView) -> SessionPolicy {
    let path = |c: &ConnectionView| IscsiPath {
        unique_connection_id: c.id,
        estimated_link_speed: c.link_mbit,
        path_weight: c.weight,
        primary_path: u32::from(c.primary),
        connection_status: c.state.number(),
        tcp_offload_available: 0,
    };
    SessionPolicy {
        header: SupportedLbPoliciesHeader {
            unique_session_id: s.id,
            load_balance_policy: s.policy.number(),
            iscsi_path_count: s.connections.len() as u32,
        },
        paths: s.connections.iter().map(path).collect(),
    }
}

/// A request, with the size of the buffer that it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetRequest {
    /// UniqueSessionId.
    pub session: u64,
    /// LoadBalancePolicy.
    pub policy: u32,
    /// iSCSI_PathCount, whatever the array holds.
    pub count: u32,
    /// Bytes of the IN buffer.
    pub in_size: usize,
    /// The array as far as it goes.
    pub paths: Vec<SessionPath>,
    /// Every PrimaryPath of it is 0 or 1.
    pub flags_valid: bool,
}

impl SetRequest {
    /// Reads SetLoadBalancePolicy_IN as far as it goes; what it lacks is judged later.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut head = [0; SupportedLbPoliciesHeader::BYTES];
        let n = bytes.len().min(head.len());
        head[..n].copy_from_slice(&bytes[..n]);
        let head = SupportedLbPoliciesHeader::get(&head);
        let count = head.iscsi_path_count.min(PATHS_READ_MAX);
        let paths = read_whole::<IscsiPath>(bytes, SupportedLbPoliciesHeader::BYTES, count);
        let path = |p: &IscsiPath| SessionPath {
            connection: p.unique_connection_id,
            primary: p.primary_path != 0,
            weight: p.path_weight,
        };
        Self {
            session: head.unique_session_id,
            policy: head.load_balance_policy,
            count: head.iscsi_path_count,
            in_size: bytes.len(),
            paths: paths.iter().map(path).collect(),
            flags_valid: paths.iter().all(|p| p.primary_path <= 1),
        }
    }

    /// One whose sizes are right.
    pub fn new(session: u64, policy: u32, paths: Vec<SessionPath>) -> Self {
        Self {
            session,
            policy,
            count: paths.len() as u32,
            in_size: SupportedLbPoliciesHeader::BYTES + paths.len() * IscsiPath::BYTES,
            paths,
            flags_valid: true,
        }
    }

    /// SetLoadBalancePolicy_IN.
    pub fn encode(&self) -> Vec<u8> {
        let path = |p: &SessionPath| IscsiPath {
            unique_connection_id: p.connection,
            primary_path: u32::from(p.primary),
            path_weight: p.weight,
            ..IscsiPath::default()
        };
        SessionPolicy {
            header: SupportedLbPoliciesHeader {
                unique_session_id: self.session,
                load_balance_policy: self.policy,
                iscsi_path_count: self.count,
            },
            paths: self.paths.iter().map(path).collect(),
        }
        .encode()
    }
}

/// What may be put in force of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The policy.
    pub policy: McsPolicy,
    /// Every connection of the session, in its order.
    pub connections: Vec<SessionPath>,
}

/// The checks, in this order; a request that is wrong in two ways is refused for the first.
///
/// 1. the buffer holds its header and as many paths as it says, else `BUFFER_TOO_SMALL`;
/// 2. the session exists (`INVALID_SESSION_ID`) and a connection of it is up
///    (`NO_CONNECTION_AVAILABLE`);
/// 3. the policy is 1 to 6 (`INVALID_LOAD_BALANCE_POLICY`) and one that the session can do
///    (`LB_POLICY_NOT_SUPPORTED`); a vendor policy uses nothing of what follows;
/// 4. PrimaryPath is 0 or 1 (`INVALID_PARAMETER`);
/// 5. as many paths as connections (`PATH_COUNT_MISMATCH`), no id twice (`DUPLICATE_PATH_SPECIFIED`),
///    none unknown (`INVALID_PATH_ID`);
/// 6. FAILOVER has one primary, a subset at least one (`MULTIPLE_PRIMARY_PATHS_SPECIFIED`,
///    `NO_PRIMARY_PATH_SPECIFIED`). Elsewhere all connections carry I/O, and nobody looks.
///
/// # Errors
/// The status of the first check that fails.
pub fn validate(sessions: &[SessionView], request: &SetRequest) -> Result<Grant, IscsiStatus> {
    let need = SupportedLbPoliciesHeader::BYTES as u64
        + u64::from(request.count) * IscsiPath::BYTES as u64;
    require(
        request.in_size as u64 >= need,
        IscsiStatus::BUFFER_TOO_SMALL,
    )?;
    let session = find(sessions, request.session)?;
    is_connected(session)?;
    let policy =
        McsPolicy::from_number(request.policy).ok_or(IscsiStatus::INVALID_LOAD_BALANCE_POLICY)?;
    require(
        session.supported.contains(&policy),
        IscsiStatus::LB_POLICY_NOT_SUPPORTED,
    )?;
    if policy == McsPolicy::VendorSpecific {
        let keep = |c: &ConnectionView| SessionPath {
            connection: c.id,
            primary: c.primary,
            weight: c.weight,
        };
        let connections = session.connections.iter().map(keep).collect();
        return Ok(Grant {
            policy,
            connections,
        });
    }
    require(request.flags_valid, IscsiStatus::INVALID_PARAMETER)?;
    let paths = &request.paths;
    require(
        request.count as usize == session.connections.len()
            && paths.len() == request.count as usize,
        IscsiStatus::PATH_COUNT_MISMATCH,
    )?;
    let twice = |(n, p): (usize, &SessionPath)| {
        let before = &paths[..n];
        before.iter().any(|other| other.connection == p.connection)
    };
    require(
        !paths.iter().enumerate().any(twice),
        IscsiStatus::DUPLICATE_PATH_SPECIFIED,
    )?;
    let entry = |c: &ConnectionView| paths.iter().find(|p| p.connection == c.id).copied();
    let connections: Option<Vec<_>> = session.connections.iter().map(entry).collect();
    // As many, none twice, and all found: then there is no other among them.
    let connections = connections.ok_or(IscsiStatus::INVALID_PATH_ID)?;
    let primaries = connections.iter().filter(|p| p.primary).count();
    match (policy, primaries) {
        (McsPolicy::Failover | McsPolicy::RoundRobinWithSubset, 0) => {
            Err(IscsiStatus::NO_PRIMARY_PATH_SPECIFIED)
        }
        (McsPolicy::Failover, 2..) => Err(IscsiStatus::MULTIPLE_PRIMARY_PATHS_SPECIFIED),
        _ => Ok(Grant {
            policy,
            connections,
        }),
    }
}

fn require(condition: bool, status: IscsiStatus) -> Result<(), IscsiStatus> {
    if condition { Ok(()) } else { Err(status) }
}

/// MSiSCSI_LB_Operations.SetLoadBalancePolicy: the `Status`.
pub fn set_load_balance_policy(surface: &dyn Surface, request: &SetRequest) -> IscsiStatus {
    let view = surface.view();
    let grant = match validate(&view.sessions, request) {
        Ok(grant) => grant,
        Err(status) => return status,
    };
    match surface.set_session_policy(request.session, grant.policy, &grant.connections) {
        Ok(()) => IscsiStatus::SUCCESS,
        Err(error) => IscsiStatus::from(&error),
    }
}

/// A session has a connection that is up.
fn is_connected(session: &SessionView) -> Result<(), IscsiStatus> {
    let up = |c: &ConnectionView| c.state == ConnectionState::Connected;
    require(
        session.connections.iter().any(up),
        IscsiStatus::NO_CONNECTION_AVAILABLE,
    )
}

fn find(sessions: &[SessionView], id: u64) -> Result<&SessionView, IscsiStatus> {
    let found = sessions.iter().find(|s| s.id == id);
    found.ok_or(IscsiStatus::INVALID_SESSION_ID)
}

/// AddIScsiConnection: the id of the new connection.
///
/// # Errors
/// No such session, none that is up, or one that takes no more; and what became of the change.
pub fn add_connection(
    surface: &dyn Surface,
    session: u64,
    new: &NewConnection,
) -> Result<u64, IscsiStatus> {
    let view = surface.view();
    let found = find(&view.sessions, session)?;
    is_connected(found)?;
    require(
        found.connections.len() < usize::from(found.max_connections),
        IscsiStatus::TOO_MANY_CONNECTIONS,
    )?;
    surface
        .add_connection(session, new)
        .map_err(|e| IscsiStatus::from(&e))
}

/// RemoveIScsiConnection.
pub fn remove_connection(surface: &dyn Surface, session: u64, connection: u64) -> IscsiStatus {
    let view = surface.view();
    let check = || {
        let found = find(&view.sessions, session)?;
        let all = &found.connections;
        let known = all.iter().any(|c| c.id == connection);
        require(known, IscsiStatus::INVALID_CONNECTION_ID)?;
        let stays =
            |c: &ConnectionView| c.id != connection && c.state == ConnectionState::Connected;
        require(
            all.iter().any(stays),
            IscsiStatus::CANT_REMOVE_LAST_CONNECTION,
        )
    };
    let done = check().and_then(|()| {
        let done = surface.remove_connection(session, connection);
        done.map_err(|e| IscsiStatus::from(&e))
    });
    done.err().unwrap_or(IscsiStatus::SUCCESS)
}

/// SetLoadBalancePolicy_OUT.
pub fn encode_out(status: IscsiStatus) -> Vec<u8> {
    let mut out = vec![0; SetLoadBalancePolicyOut::BYTES];
    SetLoadBalancePolicyOut { status: status.0 }.put(&mut out);
    out
}

/// Reads one.
///
/// # Errors
/// It is too short.
pub fn decode_out(bytes: &[u8]) -> Result<IscsiStatus, LayoutError> {
    read::<SetLoadBalancePolicyOut>(bytes, 0).map(|out| IscsiStatus(out.status))
}
