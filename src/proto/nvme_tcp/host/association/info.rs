//! What an association is asked for, and what it has learned of the controller.

use crate::base::limits::NVME_QUEUE_DEPTH;
use crate::proto::nvme::Nqn;
use std::time::Duration;

/// What to log in to, and how.
#[derive(Clone, Debug)]
pub struct AssociationConfig {
    pub subsystem_nqn: Nqn,
    pub host_nqn: Nqn,
    pub host_id: [u8; 16],
    /// Keep Alive Timeout; zero turns it off, and with it any bound on what a lost association may
    /// still do.
    pub kato: Duration,
    /// I/O queues, each a connection of its own; the controller may grant fewer.
    pub io_queues: u16,
    /// Commands outstanding on each I/O queue at most.
    pub depth: u16,
    pub header_digest: bool,
    pub data_digest: bool,
    /// R2Ts outstanding per command at most, from 1.
    pub max_r2t: u32,
    pub sq_flow_control: bool,
    /// The one namespace wanted; all active ones when `None`.
    pub nsid: Option<u32>,
    /// The controller wanted, in the static controller model; any when `None`.
    pub static_cntlid: Option<u16>,
    /// How long one answer to an admin command or to ICReq may take.
    pub admin_timeout: Duration,
}

impl AssociationConfig {
    /// With the defaults of everything that has one.
    pub const fn new(subsystem_nqn: Nqn, host_nqn: Nqn, host_id: [u8; 16]) -> Self {
        Self {
            subsystem_nqn,
            host_nqn,
            host_id,
            kato: Duration::from_secs(5),
            io_queues: 1,
            depth: NVME_QUEUE_DEPTH,
            header_digest: false,
            data_digest: false,
            max_r2t: 16,
            sq_flow_control: false,
            nsid: None,
            static_cntlid: None,
            admin_timeout: Duration::from_secs(10),
        }
    }

    /// KATO as Connect carries it: milliseconds, and not rounded down to "off".
    pub(super) fn kato_ms(&self) -> u32 {
        let ms = u32::try_from(self.kato.as_millis()).unwrap_or(u32::MAX);
        ms.max(u32::from(!self.kato.is_zero()))
    }
}

/// The controller at the other end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControllerInfo {
    pub cntlid: u16,
    /// Controller Instance Uniquifier and Random Number: what a Cross-Controller Reset names.
    pub ciu: u8,
    pub cirn: u64,
    /// Cross-Controller Resets that may be in progress here at a time; 0: not supported.
    pub ccrl: u8,
    /// Command Quiesce Time in milliseconds; 0: not reported.
    pub cqt_ms: u32,
    /// Keep Alive Timeout in force, in milliseconds; 0: off.
    pub kato_ms: u32,
    /// Traffic counts as Keep Alive.
    pub tbkas: bool,
    /// Bytes of data in one command at most; `None`: no limit.
    pub mdts_bytes: Option<u32>,
    /// Bytes of data in the capsule of an I/O command at most.
    pub in_capsule_max: u32,
    pub maxcmd: u16,
    pub model: String,
    pub serial: String,
    pub firmware: String,
    /// (major, minor, tertiary)
    pub version: (u16, u8, u8),
    /// There is a volatile write cache.
    pub vwc: bool,
    /// Optional NVM commands, see `nvme::id_ctrl::oncs`.
    pub oncs: u16,
    /// Fused Compare and Write is supported.
    pub fused_compare_and_write: bool,
    /// Command retry delays 1 to 3 in units of 100 ms.
    pub crdt: [u16; 3],
    /// The controller was told that we honour them.
    pub acre: bool,
    /// ANA is reported.
    pub ana: bool,
    /// Longest time an ANA group may stay in transition, in seconds.
    pub anatt_s: u8,
    /// Events the controller can send.
    pub oaes: u32,
    /// Abort commands outstanding at most, from 1.
    pub abort_limit: u16,
    /// I/O queues and commands outstanding on each, as granted.
    pub io_queues: u16,
    pub depth: u16,
}

/// ANA state of a namespace whose controller does not report ANA: optimized.
pub const ANA_STATE_OPTIMIZED: u8 = 1;
/// ANA state "change": the group is in transition.
pub const ANA_STATE_CHANGE: u8 = 0xf;

/// One namespace that is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamespaceInfo {
    pub nsid: u32,
    pub blocks: u64,
    pub block_size: u32,
    /// Identifiers, big-endian as they stand; all optional.
    pub eui64: Option<[u8; 8]>,
    pub nguid: Option<[u8; 16]>,
    pub uuid: Option<[u8; 16]>,
    /// 0 without ANA.
    pub ana_group: u32,
    /// Raw ANA state: 1 optimized, 2 non-optimized, 3 inaccessible, 4 persistent loss, 15 change.
    pub ana_state: u8,
    /// In transition for longer than ANATT allows.
    pub ana_overdue: bool,
    pub write_protected: bool,
    /// Deallocated blocks read as zeros.
    pub deallocated_reads_zero: bool,
    /// Write Zeroes may deallocate.
    pub write_zeroes_deallocates: bool,
    /// Optimal I/O boundary in blocks; 0: none.
    pub optimal_boundary_blocks: u16,
    /// Preferred write granularity in blocks; 1: none.
    pub preferred_write_blocks: u32,
}
