//! What a session is set up with, learns and says.

use super::super::chap::Credentials;
use super::failure::Failure;
use super::scsi::{BlockLimits, Designators};
use crate::base::limits;
use std::fmt;
use std::time::Duration;

/// Settings of one session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionConfig {
    pub initiator_name: String,
    pub target_name: String,
    pub isid: [u8; 6],
    /// Who we are to the target.
    pub chap: Option<Credentials>,
    /// Who the target must prove to be.
    pub target_chap: Option<Credentials>,
    pub header_digest: bool,
    pub data_digest: bool,
    pub immediate_data: bool,
    pub initial_r2t: bool,
    pub first_burst: u32,
    pub max_burst: u32,
    pub max_recv: u32,
    /// Commands outstanding on one connection.
    pub depth: u16,
    /// Silence after which the session counts as lost; zero: never.
    pub nop_timeout: Duration,
    /// Time for the login, and for each answer of the bring-up.
    pub answer_timeout: Duration,
    /// Makes CHAP challenges: from the operating system wherever CHAP protects anything.
    pub entropy: [u8; 32],
}

impl SessionConfig {
    pub fn new(initiator_name: String, target_name: String, isid: [u8; 6]) -> Self {
        Self {
            initiator_name,
            target_name,
            isid,
            chap: None,
            target_chap: None,
            header_digest: false,
            data_digest: false,
            immediate_data: true,
            initial_r2t: false,
            first_burst: 256 * 1024,
            max_burst: 1024 * 1024,
            max_recv: 1024 * 1024,
            depth: 128,
            nop_timeout: limits::ISCSI_NOP_TIMEOUT,
            answer_timeout: limits::ISCSI_ANSWER_TIMEOUT,
            entropy: [0; 32],
        }
    }
}

/// What is known of one logical unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitInfo {
    pub lun: u32,
    pub serial: String,
    pub designators: Designators,
    /// Both 0 while the present access state does not allow to ask.
    pub block_size: u32,
    pub blocks: u64,
    pub limits: BlockLimits,
    pub unmap: bool,
    pub write_same: bool,
    pub write_cache: bool,
    pub dpofua: bool,
    /// 1 implicit, 2 explicit, 3 both; 0: access is symmetric.
    pub tpgs: u8,
    pub group: u16,
    /// Asymmetric access state as in REPORT TARGET PORT GROUPS.
    pub state: u8,
    pub preferred: bool,
    /// How long the target says that a change of states takes at most; zero: it does not say.
    pub transition: Duration,
    /// Since when its state is transitioning.
    pub transitioning_since: Option<crate::base::clock::Time>,
    /// It is transitioning for longer than that.
    pub overdue: bool,
    /// Vendor, product and revision of standard INQUIRY data.
    pub vendor: String,
    pub product: String,
    pub revision: String,
}

/// What a session has to say. Completed I/O is taken by `drain_io`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SessionEvent {
    /// I/O may be submitted; `units` is complete.
    Up,
    AccessChanged,
    UnitsChanged,
    TaskAnswered {
        tag: u32,
        response: u8,
    },
    /// SET TARGET PORT GROUPS is over. Where the target did it, the states were read again, and
    /// `units` has them.
    GroupsSet {
        tag: u32,
        done: bool,
    },
    /// A further connection has joined.
    ConnectionUp {
        ix: usize,
    },
    /// The login of a connection was sent on to another portal, `address` as in TargetAddress: its
    /// transport is to be closed, and one to that portal made.
    ConnectionMoved {
        ix: usize,
        address: String,
        /// For good, or for now.
        permanent: bool,
    },
    /// A connection of several is of no use any more: its transport is to be reset, then
    /// `Session::lost` called.
    ConnectionFailed {
        ix: usize,
        why: SessionFailure,
    },
    /// The target has ended a lost connection: nothing it was given there is executed any more.
    ConnectionLoggedOut {
        cid: u16,
    },
    /// A connection has left in order: its transport is to be closed, then `Session::closed` called.
    ConnectionLeft {
        ix: usize,
    },
    /// The target has ended the session in order: nothing it was given is executed any more.
    LoggedOut,
    Failed(SessionFailure),
}

/// Why a session ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SessionFailure {
    /// Refused, or not understood; says by whom and why.
    Login(String),
    /// Login, logout or a command of the session's own was not answered.
    NoAnswer {
        what: &'static str,
        after_ms: u64,
    },
    /// No byte came for so long, not even the answer to a ping.
    NopTimeout {
        after_ms: u64,
    },
    Connection(Failure),
    /// A command that the bring-up cannot do without failed.
    BringUp {
        what: &'static str,
        lun: u32,
        status: u8,
        sense: Option<(u8, u8, u8)>,
    },
    /// The target announced that it ends the connection or the session (RFC 7143, 11.9.1).
    TargetEnds {
        event: u8,
    },
    /// The logout was refused.
    LogoutRefused {
        response: u8,
    },
    /// Another initiator's task management, or a reset, has ended commands without an answer; the unit
    /// attention that said so.
    Cleared {
        asc: u8,
        ascq: u8,
    },
}

impl fmt::Display for SessionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login(why) => f.write_str(why),
            Self::NoAnswer { what, after_ms } => {
                write!(f, "no answer to {what} within {after_ms} ms")
            }
            Self::NopTimeout { after_ms } => {
                write!(
                    f,
                    "no answer to NOP-Out, nothing received for {after_ms} ms"
                )
            }
            Self::Connection(failure) => failure.fmt(f),
            Self::BringUp {
                what,
                lun,
                status,
                sense,
            } => {
                write!(f, "{what} of LUN {lun} failed: status {status:#04x}")?;
                match sense {
                    Some((k, a, q)) => write!(f, ", sense {k:x}/{a:02x}/{q:02x}"),
                    None => Ok(()),
                }
            }
            Self::TargetEnds { event } => write!(
                f,
                "the target ends {}",
                match event {
                    1 => "the session and asked for a logout",
                    2 => "the connection",
                    3 => "all connections of the session",
                    _ => "the session: it asked for a new negotiation",
                }
            ),
            Self::Cleared { asc, ascq } => write!(
                f,
                "another initiator, or a reset, has ended commands without an answer (unit attention {asc:02x}/{ascq:02x})"
            ),
            Self::LogoutRefused { response } => write!(
                f,
                "the target refused the logout: response {response} ({})",
                match response {
                    1 => "no such connection",
                    2 => "connection recovery is not supported",
                    3 => "cleanup failed",
                    _ => "unknown",
                }
            ),
        }
    }
}

impl std::error::Error for SessionFailure {}
