//! JSON-RPC 2.0 over a Unix socket, framed like SPDK's: messages simply follow each other, with
//! any white space between them, several on a connection, in pieces of any size.
//!
//! - `framer`: finds where each message of a stream ends
//! - `message`: a message in, its answer out; batches, notifications, error codes
//! - [`Params`]: the parameters of a call, every complaint naming its field
//! - `connection`: one client, with bounds on what it may make us hold
//! - `budget`: how much is done for all of them in a while, and for whom first
//! - `away`: calls that take longer, on threads of their own
//! - `socket`: the socket's file
//! - [`Server`]: the thread that serves them all
//!
//! Who serves brings [`Methods`].

mod away;
mod budget;
mod connection;
mod error;
mod framer;
mod message;
mod params;
mod server;
mod socket;
#[cfg(test)]
mod tests;

pub use error::{RpcError, code};
pub use params::Params;
pub use server::{CALLS_PER_SECOND, Server, ServerConfig};

use serde_json::Value;
use std::fmt;

/// What a client gets whose stream comes in these pieces: the server without its sockets. Ends
/// where the stream is of no more use, as a connection does.
pub fn converse(pieces: &[&[u8]], message_max: usize, methods: &mut dyn Methods) -> Vec<String> {
    let mut framer = framer::Framer::new(message_max);
    let mut out = Vec::new();
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.next() {
                Ok(Some(text)) => out.extend(message::answer(text, methods)),
                Ok(None) => break,
                Err(why) => {
                    out.push(message::refuse(&RpcError::new(
                        code::PARSE,
                        why.to_string(),
                    )));
                    return out;
                }
            }
        }
    }
    out
}

/// What can be called.
pub trait Methods: Send + fmt::Debug {
    /// Carries out one call. It is made on the server's thread, and all clients wait for it, unless
    /// it [`waits`](Self::waits).
    ///
    /// # Errors
    /// The method does not exist, its parameters are wrong, or it could not be done.
    fn call(&mut self, method: &str, params: Params) -> Result<Value, RpcError>;

    /// Calls of this method may take longer than other clients should wait. They are made on a
    /// thread of their own, by a [`fork`](Self::fork).
    fn waits(&self, _method: &str) -> bool {
        false
    }

    /// The same methods for another thread; none where none may wait.
    fn fork(&self) -> Option<Box<dyn Methods>> {
        None
    }
}
