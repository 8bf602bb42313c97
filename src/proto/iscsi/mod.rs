//! iSCSI (RFC 7143): PDUs, text negotiation and login, the initiator half and the target half.
//!
//! Who logs in begins with [`login`]; what both halves agreed on is [`login::Negotiated`].

pub mod chap;
pub mod discovery;
pub mod keys;
pub mod login;
pub mod pdu;
pub mod send_targets;
pub mod serial;
pub mod text;
