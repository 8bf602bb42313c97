//! A client of the daemon's socket: one call, one answer.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::error::CliError;
use crate::control::config::default_socket;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// An answer in bytes at most.
const ANSWER_MAX: usize = 256 << 20;

/// Which daemon is meant.
#[derive(Clone, Debug, Args)]
pub struct SocketArg {
    /// Control socket of the daemon; $UMPIO_SOCKET, else /run/umpio.sock (root) or
    /// $XDG_RUNTIME_DIR/umpio.sock
    #[arg(long, value_name = "PATH", global = true)]
    pub socket: Option<PathBuf>,
}

impl SocketArg {
    /// Calls a method.
    ///
    /// # Errors
    /// The daemon is not there, does not answer, or refuses.
    pub fn call(&self, method: &str, params: Value) -> Result<Value, CliError> {
        let path = self.socket.clone().unwrap_or_else(default_socket);
        call(&path, method, params)
    }
}

/// Calls a method of whoever serves a socket.
///
/// # Errors
/// Nobody does, there is no answer, or it is an error.
pub fn call(socket: &Path, method: &str, params: Value) -> Result<Value, CliError> {
    let failed = |e: &dyn std::fmt::Display| {
        CliError::new("cannot talk to the daemon")
            .tried(socket.display().to_string())
            .got(e)
            .advice("start it with: umpio serve; or name its socket with --socket")
    };
    let mut stream = UnixStream::connect(socket).map_err(|e| failed(&e))?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .map_err(|e| failed(&e))?;
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    stream
        .write_all(request.to_string().as_bytes())
        .map_err(|e| failed(&e))?;
    // The daemon answers what it has read when we say no more, and then ends.
    stream
        .shutdown(std::net::Shutdown::Write)
        .map_err(|e| failed(&e))?;
    let mut text = Vec::new();
    stream
        .take(ANSWER_MAX as u64)
        .read_to_end(&mut text)
        .map_err(|e| failed(&e))?;
    let mut answer: Value =
        serde_json::from_slice(&text).map_err(|e| failed(&format!("no answer: {e}")))?;
    if let Some(error) = answer.get("error") {
        let message = error["message"].as_str().unwrap_or("no words");
        let code = error["code"].as_i64().unwrap_or(0);
        return Err(CliError::new("the daemon refused")
            .tried(method.to_owned())
            .got(format!("{message} ({code})")));
    }
    Ok(answer["result"].take())
}
