//! Why a nexus is not there (yet): shown as is in status and logs.

use std::fmt;

/// Why an association is down, or not up yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DownReason {
    /// Nothing was tried so far.
    NotTriedYet,
    /// The host name has no address.
    Resolve(String),
    /// The connection could not be made.
    Connect(String),
    /// The connection took longer than allowed.
    ConnectTimeout,
    /// The target, or what it sent, ended the login.
    Login(String),
    /// The connection broke.
    Transport(String),
    /// The peer closed the connection.
    PeerClosed,
    /// What came in was not the protocol.
    Protocol(String),
    /// The target announced that it ends the session.
    TargetEnds(String),
    /// No answer to Keep Alive in time.
    KeepAliveExpired,
    /// It was told to go.
    Administrative,
    /// A local device could not be opened.
    Local(String),
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTriedYet => f.write_str("not tried yet"),
            Self::Resolve(what) => write!(f, "name not resolved: {what}"),
            Self::Connect(what) => write!(f, "cannot connect: {what}"),
            Self::ConnectTimeout => f.write_str("cannot connect: no answer in time"),
            Self::Login(what) => write!(f, "login failed: {what}"),
            Self::Transport(what) => write!(f, "connection lost: {what}"),
            Self::PeerClosed => f.write_str("connection closed by the target"),
            Self::Protocol(what) => write!(f, "protocol error: {what}"),
            Self::TargetEnds(what) => f.write_str(what),
            Self::KeepAliveExpired => f.write_str("keep-alive unanswered"),
            Self::Administrative => f.write_str("taken down by the operator"),
            Self::Local(what) => write!(f, "cannot open: {what}"),
        }
    }
}
