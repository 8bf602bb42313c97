//! Structures of iscsimgt.h for policies over the connections of a session.

use super::buffer::{Buffer, LayoutError, read, read_array};
use super::{Field, c_struct};

c_struct! {
    /// ISCSI_Path.
    IscsiPath, 32 / 8 {
        unique_connection_id: u64 = 0,
        /// Mbit/s.
        estimated_link_speed: u64 = 8,
        path_weight: u32 = 16,
        primary_path: u32 = 20,
        connection_status: u32 = 24,
        tcp_offload_available: u32 = 28,
    }
}

c_struct! {
    /// What ISCSI_Supported_LB_Policies begins with, and so SetLoadBalancePolicy_IN.
    SupportedLbPoliciesHeader, 16 / 8 {
        unique_session_id: u64 = 0,
        load_balance_policy: u32 = 8,
        iscsi_path_count: u32 = 12,
    }
}

c_struct! {
    /// What MSiSCSI_QueryLBPolicy begins with.
    QueryLbPolicyHeader, 16 / 8 {
        unique_adapter_id: u64 = 0,
        reserved: u32 = 8,
        session_count: u32 = 12,
    }
}

c_struct! {
    /// SetLoadBalancePolicy_OUT.
    SetLoadBalancePolicyOut, 4 / 4 {
        /// ISCSI_STATUS_QUALIFIERS.
        status: u32 = 0,
    }
}

/// ISCSI_Supported_LB_Policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPolicy {
    /// Whose, and which.
    pub header: SupportedLbPoliciesHeader,
    /// Its connections.
    pub paths: Vec<IscsiPath>,
}

impl SessionPolicy {
    fn push(&self, out: &mut Buffer) {
        out.push(&self.header);
        for path in &self.paths {
            out.push(path);
        }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Buffer::new();
        self.push(&mut out);
        out.into_bytes()
    }

    /// Reads one that begins at `at`.
    ///
    /// # Errors
    /// The buffer is too short.
    pub fn decode(bytes: &[u8], at: usize) -> Result<Self, LayoutError> {
        let header: SupportedLbPoliciesHeader = read(bytes, at)?;
        let paths = read_array(
            bytes,
            at + SupportedLbPoliciesHeader::BYTES,
            header.iscsi_path_count,
        )?;
        Ok(Self { header, paths })
    }

    fn bytes(&self) -> usize {
        SupportedLbPoliciesHeader::BYTES + self.paths.len() * IscsiPath::BYTES
    }
}

/// MSiSCSI_QueryLBPolicy: sessions of any length one behind the other.
pub fn encode_query(adapter: u64, sessions: &[SessionPolicy]) -> Vec<u8> {
    let mut out = Buffer::new();
    out.push(&QueryLbPolicyHeader {
        unique_adapter_id: adapter,
        reserved: 0,
        session_count: sessions.len() as u32,
    });
    for session in sessions {
        session.push(&mut out);
    }
    out.into_bytes()
}

/// Reads one.
///
/// # Errors
/// The buffer is too short.
pub fn decode_query(bytes: &[u8]) -> Result<(u64, Vec<SessionPolicy>), LayoutError> {
    let head: QueryLbPolicyHeader = read(bytes, 0)?;
    let mut at = QueryLbPolicyHeader::BYTES;
    // No room is made ahead: the count is the sender's word.
    let mut sessions = Vec::new();
    for _ in 0..head.session_count {
        let session = SessionPolicy::decode(bytes, at)?;
        at += session.bytes();
        sessions.push(session);
    }
    Ok((head.unique_adapter_id, sessions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_different_length_follow_each_other() {
        let session = |id, n: u64| SessionPolicy {
            header: SupportedLbPoliciesHeader {
                unique_session_id: id,
                load_balance_policy: 2,
                iscsi_path_count: n as u32,
            },
            paths: (0..n)
                .map(|i| IscsiPath {
                    unique_connection_id: i,
                    connection_status: 1,
                    ..IscsiPath::default()
                })
                .collect(),
        };
        let all = vec![session(1, 2), session(2, 0), session(3, 1)];
        let bytes = encode_query(7, &all);
        assert_eq!(bytes.len(), 16 + 3 * 16 + 3 * 32);
        assert_eq!(decode_query(&bytes), Ok((7, all)));
        assert!(decode_query(&bytes[..bytes.len() - 1]).is_err());
        let mut many = bytes;
        many[12..16].fill(0xff);
        assert!(decode_query(&many).is_err());
    }
}
