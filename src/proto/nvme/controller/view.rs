//! What a controller knows of its surroundings: the subsystem, its namespaces, the limits it
//! keeps, and the access states it reports. All of it is handed in; the controller keeps none.

pub use crate::proto::nvme::AnaState;
use std::time::Duration;

impl AnaState {
    /// The status that I/O gets in this state; none where it is done.
    #[inline]
    pub const fn refusal(self) -> Option<u16> {
        use super::wire::status;
        match self {
            Self::Optimized | Self::NonOptimized => None,
            Self::Inaccessible => Some(status::ANA_INACCESSIBLE),
            Self::PersistentLoss => Some(status::ANA_PERSISTENT_LOSS),
            Self::Change => Some(status::ANA_TRANSITION),
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Optimized => "optimized",
            Self::NonOptimized => "non-optimized",
            Self::Inaccessible => "inaccessible",
            Self::PersistentLoss => "persistent-loss",
            Self::Change => "change",
        }
    }

    /// Reads a name as it stands in URLs (`access=`).
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Optimized,
            Self::NonOptimized,
            Self::Inaccessible,
            Self::PersistentLoss,
            Self::Change,
        ]
        .into_iter()
        .find(|s| s.name() == text)
        .or(match text {
            "nonoptimized" | "non_optimized" => Some(Self::NonOptimized),
            "transitioning" => Some(Self::Change),
            _ => None,
        })
    }
}

/// A subsystem as its controllers present it.
#[derive(Clone, Debug)]
pub struct SubsystemInfo {
    pub nqn: String,
    /// Serial number, up to 20 ASCII characters.
    pub serial: String,
    /// Model number, up to 40 ASCII characters.
    pub model: String,
    /// Firmware revision, up to 8 ASCII characters.
    pub firmware: String,
    /// This is the discovery subsystem.
    pub discovery: bool,
}

/// What a controller offers and keeps to.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest transfer: 2^mdts pages of 4 KiB (MDTS).
    pub mdts: u8,
    /// In-capsule data of I/O queues in bytes; a multiple of 16.
    pub capsule_data: u32,
    /// Entries of one queue at most.
    pub queue_entries: u16,
    /// I/O queues at most.
    pub io_queues: u16,
    /// Asynchronous events outstanding at most, at least 1 and up to 16.
    pub async_events: u8,
    /// Keep alive granularity in 100 ms (KAS); never 0 over fabrics.
    pub kas: u16,
    /// Any command counts as keep alive (CTRATT.TBKAS).
    pub traffic_keep_alive: bool,
    /// Longest time commands go on after communication is lost, in ms (CQT).
    pub cqt_ms: u16,
    /// Cross-controller resets in progress at most (CCRL); 0: the command is not known.
    pub ccr_limit: u8,
    /// Longest ANA transition in seconds (ANATT).
    pub anatt: u8,
    /// CAP.TO: longest time to become ready, in 500 ms.
    pub ready_timeout: u8,
    /// How long enabling really takes.
    pub ready_delay: Duration,
    /// CRDT1 in 100 ms.
    pub retry_delay: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mdts: 8,
            capsule_data: 8192,
            queue_entries: 128,
            io_queues: 16,
            async_events: 4,
            kas: 1,
            traffic_keep_alive: false,
            cqt_ms: 1000,
            ccr_limit: 4,
            anatt: 10,
            ready_timeout: 20,
            ready_delay: Duration::ZERO,
            retry_delay: 1,
        }
    }
}

impl Limits {
    /// Largest transfer in bytes.
    pub const fn transfer_max(&self) -> u32 {
        4096 << self.mdts
    }
}

/// A namespace as its controllers present it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct NamespaceInfo {
    pub nsid: u32,
    /// Capacity in logical blocks; 0 while not known.
    pub blocks: u64,
    /// Logical block size as a power of two.
    pub block_shift: u8,
    pub volatile_cache: bool,
    pub discard: bool,
    pub write_zeroes: bool,
    pub compare: bool,
    pub ana_group: u32,
    pub uuid: Option<[u8; 16]>,
    pub nguid: Option<[u8; 16]>,
    pub eui64: Option<[u8; 8]>,
}

impl NamespaceInfo {
    /// Its capacity is known: I/O can be done.
    pub const fn is_ready(&self) -> bool {
        self.blocks > 0
    }
}

/// All a controller is told when it answers a command.
#[derive(Copy, Clone, Debug)]
pub struct View<'a> {
    pub subsystem: &'a SubsystemInfo,
    /// Sorted by NSID.
    pub namespaces: &'a [NamespaceInfo],
    pub limits: &'a Limits,
    /// State of each ANA group over this controller's port, sorted by group.
    pub access: &'a [(u32, AnaState)],
    /// The discovery log page; empty but in the discovery subsystem.
    pub discovery_log: &'a [u8],
}

impl View<'_> {
    pub fn namespace(&self, nsid: u32) -> Option<&NamespaceInfo> {
        self.namespaces.iter().find(|n| n.nsid == nsid)
    }

    pub fn access(&self, group: u32) -> AnaState {
        self.access
            .iter()
            .find(|(g, _)| *g == group)
            .map_or(AnaState::Optimized, |(_, s)| *s)
    }
}
