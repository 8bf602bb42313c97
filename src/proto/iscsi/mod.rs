//! iSCSI (RFC 7143): PDUs, text negotiation and login, the initiator half and the target half.

pub mod pdu;
pub mod serial;
