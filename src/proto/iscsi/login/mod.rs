//! Login (RFC 7143, 6.3 and 11.12 to 11.13): security stage, operational stage, both halves, sans-IO.
//!
//! ```text
//! initiator                                        target
//! InitiatorLogin::start -> (login, pdu)            TargetLogin::new
//!      pdu ─────────────────────────────────────────> receive(bhs, data, directory)
//! receive(bhs, data) <───────────────────────── Step::Send(pdu)
//!      Step::Send(pdu) ─ … until …                 Step::Done { last: Some(pdu), negotiated }
//! Step::Done { last: None, negotiated }
//! ```
//! A PDU to send is whole: header, text, padding; login PDUs have no digests. After `Done` both
//! sides hold the same [`Negotiated`], with digests from the next PDU on. After `Failed` a target
//! sends the PDU it got with it, if there is one, and closes.
//!
//! Who serves a target says what there is through [`Directory`]: which targets, with which
//! authentication, moved where; and which session a finished login makes, joins or replaces
//! ([`Admission`]).
//!
//! Randomness: `entropy` must come from the operating system where CHAP is used, or a recorded login
//! can be played again; a simulator gives what its seed gives.

mod failure;
mod initiator;
mod operational;
mod target;
#[cfg(test)]
mod tests;

pub use failure::{LoginFailure, LoginStatus};
pub use initiator::{InitiatorConfig, InitiatorLogin};
pub use operational::{DigestOffer, Offer, Operational};
pub use target::{Access, Admission, Directory, Opened, SessionRequest, TargetConfig, TargetLogin};

use super::pdu::{BHS_LEN, pad};
use super::serial::CmdWindow;

/// Stages (RFC 7143, 6.3): CSG and NSG.
pub(crate) const SECURITY: u8 = 0;
pub(crate) const OPERATIONAL: u8 = 1;
pub(crate) const FULL_FEATURE: u8 = 3;
/// PDUs of one login in one direction at most; who comes to no end is given up on.
const ROUNDS_MAX: u32 = 64;

/// What a login led to: all that full feature phase needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Negotiated {
    pub params: Operational,
    /// A discovery session: only text requests and logout.
    pub discovery: bool,
    pub initiator_name: String,
    /// Empty in a discovery session that named none.
    pub target_name: String,
    pub target_alias: Option<String>,
    pub isid: [u8; 6],
    pub tsih: u16,
    pub cid: u16,
    pub portal_group: Option<u16>,
    /// The CHAP name that the initiator proved to be.
    pub authenticated: Option<String>,
    /// CmdSN of the first command of the session (leading connection).
    pub cmd_sn: u32,
    /// The StatSN that the target sends next.
    pub stat_sn: u32,
    pub window: CmdWindow,
}

/// What follows a PDU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    Send(Vec<u8>),
    /// Full feature phase, after sending `last` where there is one.
    Done {
        last: Option<Vec<u8>>,
        negotiated: Box<Negotiated>,
    },
    /// The target is at another portal: `address` as in TargetAddress, `host[:port][,group]`.
    Redirect {
        address: String,
        permanent: bool,
    },
    /// The connection is to be closed, after sending `last` where there is one.
    Failed {
        last: Option<Vec<u8>>,
        failure: LoginFailure,
    },
}

/// A PDU from its header and text.
fn pdu(text: &[u8], emit: impl FnOnce(usize, &mut [u8])) -> Vec<u8> {
    let mut out = vec![0; BHS_LEN];
    emit(text.len(), &mut out);
    out.extend_from_slice(text);
    out.resize(out.len() + pad(text.len()), 0);
    out
}
