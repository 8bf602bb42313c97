//! iSCSI (RFC 7143).

pub mod initiator;
