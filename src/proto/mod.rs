//! Codecs and state machines of the storage protocols. Nothing here does I/O or reads a clock:
//! bytes and `now` go in; bytes, events and deadlines come out.

pub mod iscsi;
pub mod nvme;
pub mod nvme_tcp;
