//! Front ends: whoever hands I/O in.
//!
//! - [`block`]: the in-process block API, polled by the caller or awaited;
//! - [`iscsi`]: the served iSCSI target, over the device server in [`scsi`];
//! - [`nvme_tcp`]: the served NVMe/TCP target;
//! - [`workload`]: generated and verified I/O.

pub mod block;
mod buffers;
pub mod iscsi;
pub mod nvme_tcp;
pub mod scsi;
pub mod workload;
