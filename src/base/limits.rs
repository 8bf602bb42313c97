//! Every bound in one place, with what happens at it.

use std::time::Duration;

/// Paths of one LUN at most, as in MSDSM. A further one is refused when configured.
pub const PATHS_PER_LUN: usize = 32;

/// Commands outstanding on one NVMe I/O queue that umpio asks for. A request beyond it waits in
/// the channel.
pub const NVME_QUEUE_DEPTH: u16 = 128;

/// Commands outstanding in one iSCSI session that umpio keeps room for; the target's MaxCmdSN may
/// allow fewer. A request beyond it waits in the channel.
pub const ISCSI_DEPTH: u16 = 128;

/// Time without any answer after which an iSCSI session counts as lost, by default.
pub const ISCSI_NOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for an iSCSI login, and for each answer of the target about its units and their groups, by
/// default.
pub const ISCSI_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long, by default, a target is assumed to go on with the commands of a lost iSCSI session
/// when nothing proves that it has stopped: iSCSI itself has no such bound.
pub const ISCSI_FENCE_ASSUME: Duration = Duration::from_secs(10);

/// Payload from which bytes are received straight into the caller's buffer (invariant I11).
pub const DIRECT_MIN: usize = 16 * 1024;

/// Staging buffer of a connection for headers and small payloads, in bytes.
pub const STAGING: usize = 64 * 1024;

/// Payload of one request at most; the block API refuses more.
pub const REQUEST_MAX: usize = 32 * 1024 * 1024;

/// First reconnect attempt after a loss.
pub const RECONNECT_FIRST: Duration = Duration::from_millis(10);
/// Back-off cap while a sibling path carries I/O.
pub const RECONNECT_CAP_SIBLING: Duration = Duration::from_secs(1);
/// Back-off cap while nothing carries I/O.
pub const RECONNECT_CAP_ALONE: Duration = Duration::from_secs(30);

/// How long I/O waits for a path before it fails, by default (PDORemovePeriod of MPIO).
pub const PARK_MAX: Duration = Duration::from_secs(20);

const _: () = assert!(
    DIRECT_MIN <= STAGING,
    "a small payload must fit the staging buffer"
);
