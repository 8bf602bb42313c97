//! A call becomes a command, its answer becomes JSON.

use super::methods::{self, Means};
use super::{openrpc, write};
use crate::control::command::CommandError;
use crate::control::daemon::ControlHandle;
use crate::control::jsonrpc::{Methods, Params, RpcError};
use crate::control::objects;
use serde_json::{Value, json};

/// The daemon's methods.
#[derive(Debug)]
pub struct DaemonRpc(ControlHandle);

impl DaemonRpc {
    pub fn new(control: ControlHandle) -> Self {
        Self(control)
    }
}

impl Methods for DaemonRpc {
    fn waits(&self, method: &str) -> bool {
        objects::find(method).is_some_and(|m| m.waits)
    }

    fn fork(&self) -> Option<Box<dyn Methods>> {
        Some(Box::new(Self(self.0.clone())))
    }

    fn call(&mut self, method: &str, mut params: Params) -> Result<Value, RpcError> {
        let Some(found) = methods::find(method) else {
            let object = objects::find(method).ok_or_else(|| RpcError::no_method(method))?;
            return object.call(&self.0, params);
        };
        match found.means {
            Means::Discover => {
                params.finish()?;
                Ok(openrpc::document())
            }
            Means::GetMethods => {
                // SPDK's clients send these; every method here is current, and none has an alias.
                params.optional_flag("current")?;
                params.optional_flag("include_aliases")?;
                params.finish()?;
                Ok(methods::names().map(|n| json!(n)).collect())
            }
            Means::Command(read) => {
                let command = read(&mut params)?;
                params.finish()?;
                match self.0.run(command) {
                    Ok(answer) => Ok(write::answer(&answer)),
                    Err(e) => Err(refused(&e)),
                }
            }
        }
    }
}

/// An error names the parameter that is to blame, where one is.
fn refused(error: &CommandError) -> RpcError {
    let mut told = match error {
        CommandError::NoLun(_) | CommandError::LunExists(_) | CommandError::Served(_) => {
            RpcError::field("lun", error)
        }
        CommandError::NoPath { .. } => RpcError::field("path", error),
        CommandError::NoNexus(_) => RpcError::field("nexus", error),
        CommandError::Invalid { field, what } => RpcError::field(field, what),
        CommandError::Refused { .. } => RpcError::field("policy", error),
        _ => RpcError::failed(error.to_string()),
    };
    if matches!(error, CommandError::LunExists(_)) {
        told.field = Some("name".to_owned());
    }
    told
}
