//! The daemon's commands as JSON-RPC methods.
//!
//! - [`methods`]: the table: every method with its parameters, and the command it means. Those of the
//!   Windows-shaped objects are in [`objects`](crate::control::objects), and mounted behind it
//! - `write`: answers as JSON
//! - [`openrpc`]: the OpenRPC document of `rpc.discover`, and `docs/rpc.md`, both out of the table

mod call;
pub mod methods;
pub mod openrpc;
#[cfg(test)]
mod tests;
mod write;

pub use call::DaemonRpc;
