//! The initiator half of iSCSI: [`connection`] is one connection, [`session`] a session with
//! everything that has to be said before and beside I/O: login, logical units, access states, pings,
//! asynchronous messages, logout.

pub mod connection;
pub mod failure;
pub mod info;
mod login;
mod rx;
mod scan;
pub mod scsi;
pub mod session;
mod slots;
mod tx;
mod wire;

#[cfg(test)]
mod tests;

pub use connection::{Completion, Connection, Counters, Params};
pub use failure::Failure;
pub use info::{SessionConfig, SessionEvent, SessionFailure, UnitInfo};
pub use session::Session;
