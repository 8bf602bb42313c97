//! iSCSI (RFC 7143): PDUs, text negotiation and login, the initiator half and the target half.
//!
//! Who logs in begins with [`login`]; what both halves agreed on is [`login::Negotiated`]. A session
//! of the initiator with its logical units is [`initiator::Session`].

pub mod chap;
pub mod discovery;
pub mod initiator;
pub mod keys;
pub mod login;
pub mod pdu;
pub mod send_targets;
pub mod serial;
pub mod target;
pub mod text;
