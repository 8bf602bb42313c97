//! NVMe over TCP (NVMe/TCP transport specification): PDUs, the host half and the controller half.

pub mod controller;
pub mod host;
pub mod pdu;
