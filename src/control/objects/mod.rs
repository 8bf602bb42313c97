//! The Windows-shaped objects as JSON-RPC methods: a table of them, and their JSON. Whoever serves
//! JSON-RPC and has a [`Surface`] mounts the table: [`find`] a method, [`Method::call`] it.
//!
//! A result carries what Windows would answer: `{"hresult" | "status": number, "name": …, …}`. A
//! JSON-RPC error is for calls that Windows could not have made: a parameter missing, a GUID that is
//! none. Where there is a C structure for an answer, it is there as base64 under `raw`; where a method
//! takes one, `raw` takes its place.
//!
//! - `args`: parameters
//! - `vds`, `wmi`, `msiscsi`: the methods, each beside its JSON

mod args;
mod msiscsi;
#[cfg(test)]
mod tests;
mod vds;
mod vds_json;
mod wmi;

use crate::control::jsonrpc::{Params, RpcError};
use crate::control::view::Surface;
use serde_json::Value;

/// What a method is called with and gives back.
type Call = fn(&dyn Surface, &mut Params) -> Result<Value, RpcError>;

/// A method of an object.
#[derive(Clone, Copy)]
pub struct Method {
    /// As JSON-RPC calls it.
    pub name: &'static str,
    /// As Windows calls it.
    pub summary: &'static str,
    /// Members of the result, beside the code and its name.
    pub result: &'static str,
    /// Its parameters.
    pub params: &'static [Param],
    /// It may have to wait for a target: a set request that tells it something, a Refresh that asks it.
    pub waits: bool,
    call: Call,
}

impl std::fmt::Debug for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A parameter, for documents.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// JSON type: `string`, `integer`, `boolean` or `array`.
    pub kind: &'static str,
    /// It can not be left out.
    pub required: bool,
    /// What it is.
    pub text: &'static str,
}

impl Method {
    /// The member that holds the code: `hresult`, or `status` of the WMI classes.
    pub fn code(&self) -> &'static str {
        if self.name.starts_with("vds_") {
            "hresult"
        } else {
            "status"
        }
    }

    /// Calls it. Parameters that it does not know are refused.
    ///
    /// # Errors
    /// A parameter is wrong. What the object refuses is no error, but in the result.
    pub fn call(&self, surface: &dyn Surface, mut params: Params) -> Result<Value, RpcError> {
        params.only(self.params.iter().map(|p| p.name))?;
        (self.call)(surface, &mut params)
    }
}

/// All of them.
pub fn methods() -> impl Iterator<Item = &'static Method> {
    vds::METHODS
        .iter()
        .chain(wmi::METHODS)
        .chain(msiscsi::METHODS)
}

/// The method of a name.
pub fn find(name: &str) -> Option<&'static Method> {
    methods().find(|m| m.name == name)
}

const fn must(name: &'static str, kind: &'static str, text: &'static str) -> Param {
    Param {
        name,
        kind,
        required: true,
        text,
    }
}

const fn may(name: &'static str, kind: &'static str, text: &'static str) -> Param {
    Param {
        name,
        kind,
        required: false,
        text,
    }
}

const fn method(
    name: &'static str,
    summary: &'static str,
    result: &'static str,
    params: &'static [Param],
    call: Call,
) -> Method {
    Method {
        name,
        summary,
        result,
        params,
        waits: false,
        call,
    }
}

/// A row whose method may have to wait for a target.
const fn waits(method: Method) -> Method {
    Method {
        waits: true,
        ..method
    }
}
