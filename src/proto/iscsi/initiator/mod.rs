//! The initiator half of iSCSI.
//!
//! - `connection`: one connection, with `slots` (tasks), `rx`, `tx`, `answers` and `control` (requests
//!   that are no tasks)
//! - `session`: everything that has to be said before and beside I/O: login, logical units (`scan`),
//!   asynchronous messages, logout
//! - `member`, `balance`, `recovery`: the connections of a session (MC/S): joining and leaving, which
//!   one carries the next command, what follows the loss of one

mod answers;
pub mod balance;
pub mod connection;
mod control;
pub mod failure;
pub mod info;
mod login;
pub mod member;
mod recovery;
mod rx;
mod scan;
pub mod scsi;
pub mod session;
mod slots;
mod tx;
mod wire;

#[cfg(test)]
mod tests;

pub use balance::ConnectionPolicy;
pub use connection::{Completion, Connection, Counters, Params};
pub use failure::Failure;
pub use info::{SessionConfig, SessionEvent, SessionFailure, UnitInfo};
pub use member::{CONNECTIONS_MAX, MemberError, MemberInfo, MemberState};
pub use session::Session;
