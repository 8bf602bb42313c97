//! The daemon's commands as JSON-RPC methods.
//!
//! - [`methods`]: the table: every method with its parameters, and the command it means
//! - `objects`: the same for the Windows-shaped objects
//! - `write`: answers as JSON
//! - [`openrpc`]: the OpenRPC document of `rpc.discover`, and `docs/rpc.md`, both out of the table

mod call;
pub mod methods;
mod objects;
pub mod openrpc;
#[cfg(test)]
mod tests;
mod write;

pub use call::DaemonRpc;
