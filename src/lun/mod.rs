//! The protocol-free waist: requests, routes, policies, retry, the fence.
//!
//! - [`plane`]: the data plane of one reactor: channels over associations;
//! - [`channel`]: a LUN's half on this reactor;
//! - [`route`]: submit, park or fail;
//! - [`retry`]: what to do with a request that a path gave back;
//! - [`fence`]: requests of a lost nexus, and what waits behind them;
//! - [`doubt`]: blocks that stay closed, for every reactor, after nobody waits any more;
//! - [`split`]: requests larger than one command;
//! - [`policy`]: which path is next;
//! - [`stats`], [`status`]: counters, and their copy for whoever looks;
//! - [`port`]: how front ends hand I/O in.

pub mod access;
pub mod channel;
pub mod doubt;
pub mod fence;
pub mod plane;
pub mod policy;
pub mod port;
pub mod retry;
pub mod route;
pub mod split;
pub mod stats;
pub mod status;

#[cfg(test)]
mod tests;
