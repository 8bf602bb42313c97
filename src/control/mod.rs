//! The control plane: what may be looked at and changed while I/O runs.
//!
//! - [`config`]: the file that says what should be; [`state`]: what was set at run time
//! - [`command`]: what can be asked of the daemon; [`registry`]: who does it; [`events`]: what happened
//! - [`daemon`]: the control thread; [`rpc`]: its commands as JSON-RPC methods
//! - [`metrics`]: OpenMetrics over HTTP
//! - [`jsonrpc`]: JSON-RPC 2.0 over a Unix socket; knows messages, and no object of umpio's
//! - [`layout`]: the C structures of Windows, byte for byte
//! - [`msiscsi`]: the classes over the connections of an iSCSI session
//! - [`objects`]: those objects as JSON-RPC methods
//! - [`target`]: the commands of a served target, and their JSON
//! - [`vds`]: the VDS object model
//! - [`view`]: the copy of LUNs, paths and nexuses that the Windows-shaped objects read
//! - [`wmi`]: the classes of MPIO and of its DSM
//!
//! I/O is reached through a reactor's mailbox only, and never waits for anything here.

pub mod command;
pub mod config;
pub mod daemon;
pub mod events;
pub mod jsonrpc;
pub mod layout;
pub mod metrics;
pub mod msiscsi;
pub mod registry;
pub mod rpc;
pub mod state;
pub mod target;
pub mod vds;
pub mod view;
pub mod wmi;

// Apart from the others: it is built of all of them.
pub mod objects;
