//! The control plane: what may be looked at and changed while I/O runs.
//!
//! - [`jsonrpc`]: JSON-RPC 2.0 over a Unix socket; knows messages, and no object of umpio's
//! - [`target`]: the commands of a served target, and their JSON
//! - [`view`]: the copy of LUNs, paths and nexuses that the Windows-shaped objects read
//!
//! I/O is reached through a reactor's mailbox only, and never waits for anything here.

pub mod jsonrpc;
pub mod target;
pub mod view;
