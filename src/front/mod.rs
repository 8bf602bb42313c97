//! Front ends: whoever hands I/O in.
//!
//! - [`block`]: the in-process block API, polled by the caller or awaited;
//! - [`nvme_tcp`]: the served NVMe/TCP target;
//! - [`workload`]: generated and verified I/O.

pub mod block;
pub mod nvme_tcp;
pub mod workload;
