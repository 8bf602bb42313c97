//! Errors as JSON-RPC has them: a code, a text, and the field that is meant.

use serde_json::{Value, json};

/// Codes of errors.
pub mod code {
    /// What came is no JSON.
    pub const PARSE: i32 = -32700;
    /// It is JSON, and no request.
    pub const INVALID_REQUEST: i32 = -32600;
    pub const METHOD_NOT_FOUND: i32 = -32601;
    pub const INVALID_PARAMS: i32 = -32602;
    /// The call was right and could not be carried out.
    pub const FAILED: i32 = -32000;
    /// Too much at once: connections, or the answer to a batch.
    pub const TOO_MUCH: i32 = -32001;
}

/// The error of a call.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message} ({code})")]
pub struct RpcError {
    pub code: i32,
    pub message: String,
    /// The parameter that is wrong.
    pub field: Option<String>,
}

impl RpcError {
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            field: None,
        }
    }

    pub fn no_method(name: &str) -> Self {
        let text = format!("there is no method '{name}'; rpc_get_methods lists them");
        Self::new(code::METHOD_NOT_FOUND, text)
    }

    /// A parameter is wrong: which, and in what way.
    pub fn field(field: &str, wrong: impl std::fmt::Display) -> Self {
        Self {
            code: code::INVALID_PARAMS,
            message: format!("{field}: {wrong}"),
            field: Some(field.to_owned()),
        }
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(code::FAILED, message)
    }

    /// The `error` member of an answer.
    pub fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(field) = &self.field {
            error["data"] = json!({ "field": field });
        }
        error
    }
}
