//! Front ends: whoever hands I/O in.
//!
//! - [`block`]: the in-process block API, polled by the caller or awaited;
//! - [`fault`]: faults that can be switched at a portal;
//! - [`iscsi`]: the served iSCSI target, over the device server in [`scsi`];
//! - [`nvme_tcp`]: the served NVMe/TCP target;
//! - [`workload`]: generated and verified I/O.

pub mod block;
mod buffers;
pub mod fault;
pub mod iscsi;
pub mod nvme_tcp;
pub mod scsi;
pub mod workload;

/// What a portal of a served target listens with.
pub use crate::transport::listener::Listener;
