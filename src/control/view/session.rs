//! An iSCSI session and its connections (MC/S), as the MSiSCSI classes see them.

use std::fmt;
use std::net::SocketAddr;

/// Policy over the connections of one session, numbered as MSiSCSI_LB_* number them: there is no
/// Least Blocks here, and vendor specific is 6, not 7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum McsPolicy {
    /// One connection carries all.
    #[default]
    Failover = 1,
    /// All in turn.
    RoundRobin = 2,
    /// The primary ones in turn.
    RoundRobinWithSubset = 3,
    /// Fewest requests in flight.
    LeastQueueDepth = 4,
    /// By weight.
    WeightedPaths = 5,
    /// Of the implementation's own.
    VendorSpecific = 6,
}

impl McsPolicy {
    /// All of them, by number.
    pub const ALL: [Self; 6] = [
        Self::Failover,
        Self::RoundRobin,
        Self::RoundRobinWithSubset,
        Self::LeastQueueDepth,
        Self::WeightedPaths,
        Self::VendorSpecific,
    ];

    /// The number on the wire.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The policy of a number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.number() == number)
    }

    /// `MSiSCSI_LB_…`
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failover => "MSiSCSI_LB_FAILOVER",
            Self::RoundRobin => "MSiSCSI_LB_ROUND_ROBIN",
            Self::RoundRobinWithSubset => "MSiSCSI_LB_ROUND_ROBIN_WITH_SUBSET",
            Self::LeastQueueDepth => "MSiSCSI_LB_DYN_LEAST_QUEUE_DEPTH",
            Self::WeightedPaths => "MSiSCSI_LB_WEIGHTED_PATHS",
            Self::VendorSpecific => "MSiSCSI_LB_VENDOR_SPECIFIC",
        }
    }
}

impl fmt::Display for McsPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One iSCSI session: on one reactor, over one nexus.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// UniqueSessionId. Never 0, unique in this process.
    pub id: u64,
    /// Its nexus.
    pub nexus_id: u64,
    /// Target IQN.
    pub target_name: String,
    /// Policy in force over its connections.
    pub policy: McsPolicy,
    /// Policies that it can do.
    pub supported: Vec<McsPolicy>,
    /// Connections that it may have.
    pub max_connections: u16,
    /// In list order.
    pub connections: Vec<ConnectionView>,
}

/// One connection of a session.
#[derive(Clone, Debug)]
pub struct ConnectionView {
    /// UniqueConnectionId. Not the CID of the protocol.
    pub id: u64,
    /// CID.
    pub cid: u16,
    /// Our end.
    pub source: Option<SocketAddr>,
    /// The target's end.
    pub portal: Option<SocketAddr>,
    /// Whether it is there.
    pub state: ConnectionState,
    /// Speed of the link in Mbit/s, 0 where unknown (EstimatedLinkSpeed).
    pub link_mbit: u64,
    /// Weight.
    pub weight: u32,
    /// Carries I/O under FAILOVER and with subset.
    pub primary: bool,
}

/// ConnectionStatus of ISCSI_Path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ConnectionState {
    /// Carries I/O, or may.
    Connected = 1,
    /// Gone for good, or not tried yet.
    Disconnected = 2,
    /// Lost, and being made again.
    Reconnecting = 3,
}

impl ConnectionState {
    /// The number on the wire.
    pub const fn number(self) -> u32 {
        self as u32
    }
}
