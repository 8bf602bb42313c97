//! One message in, its answer out.

use super::Methods;
use super::error::{RpcError, code};
use super::params::Params;
use crate::base::ascii_json;
use serde_json::{Map, Value, json};

/// Requests in a batch at most: all other clients wait for a batch.
pub(super) const BATCH_MAX: usize = 256;

/// Once the answer to a batch is this long, the rest of the batch is not carried out.
const BATCH_ANSWER_MAX: usize = 1 << 20;

/// A message that is JSON.
#[derive(Debug)]
pub(super) struct Parsed(Value);

/// Reads a message.
///
/// # Errors
/// It is no JSON: what goes back.
pub(super) fn parse(message: &[u8]) -> Result<Parsed, String> {
    let refused = |e| refuse(&RpcError::new(code::PARSE, format!("no JSON: {e}")));
    serde_json::from_slice(message).map(Parsed).map_err(refused)
}

impl Parsed {
    /// Something in it may take longer than others should wait.
    pub(super) fn waits(&self, methods: &dyn Methods) -> bool {
        let one = |request: &Value| {
            let method = request.get("method").and_then(Value::as_str);
            method.is_some_and(|m| methods.waits(m))
        };
        match &self.0 {
            Value::Array(batch) => batch.iter().take(BATCH_MAX).any(one),
            single => one(single),
        }
    }

    /// Calls in it that will be carried out, at most.
    pub(super) fn calls(&self) -> usize {
        match &self.0 {
            Value::Array(batch) if batch.len() <= BATCH_MAX => batch.len(),
            _ => 1,
        }
    }

    /// Carries it out and gives what goes back: one line of JSON, or nothing for notifications.
    pub(super) fn answer(self, methods: &mut dyn Methods) -> Option<String> {
        match self.0 {
            Value::Array(batch) => answer_batch(batch, methods),
            single => answer_one(single, methods),
        }
    }
}

/// Reads a message, carries it out, gives what goes back.
pub(super) fn answer(message: &[u8], methods: &mut dyn Methods) -> Option<String> {
    match parse(message) {
        Ok(parsed) => parsed.answer(methods),
        Err(refused) => Some(refused),
    }
}

/// What goes back when there is no request to answer.
pub(super) fn refuse(error: &RpcError) -> String {
    reply(Value::Null, Err(error.clone()))
}

fn answer_batch(batch: Vec<Value>, methods: &mut dyn Methods) -> Option<String> {
    let invalid = |text: String| Some(refuse(&RpcError::new(code::INVALID_REQUEST, text)));
    if batch.is_empty() {
        return invalid("a batch holds at least one request".to_owned());
    }
    if batch.len() > BATCH_MAX {
        return invalid(format!("a batch holds {BATCH_MAX} requests at most"));
    }
    let mut out = String::new();
    for request in batch {
        let answer = if out.len() < BATCH_ANSWER_MAX {
            answer_one(request, methods)
        } else {
            skip(request)
        };
        if let Some(answer) = answer {
            out.push(if out.is_empty() { '[' } else { ',' });
            out.push_str(answer.trim_end());
        }
    }
    if out.is_empty() {
        return None;
    }
    out.push_str("]\n");
    Some(out)
}

/// The answer to a request that is not carried out, since those before it had so much to say.
fn skip(request: Value) -> Option<String> {
    let id = Request::read(request).ok()?.id?;
    let text = "not carried out: the answer to this batch is too long; ask in smaller ones";
    Some(reply(id, Err(RpcError::new(code::TOO_MUCH, text))))
}

fn answer_one(request: Value, methods: &mut dyn Methods) -> Option<String> {
    let request = match Request::read(request) {
        Ok(request) => request,
        Err(wrong) => return Some(reply(wrong.0, Err(wrong.1))),
    };
    let result = Params::new(request.params).and_then(|p| methods.call(&request.method, p));
    // Nobody waits for what comes of a notification, not even if that is an error.
    Some(reply(request.id?, result))
}

/// A request that has the form of one.
struct Request {
    /// None for a notification.
    id: Option<Value>,
    method: String,
    params: Option<Value>,
}

impl Request {
    /// Where it is none: the id to answer to, as far as there is one, and what is wrong.
    fn read(request: Value) -> Result<Self, Box<(Value, RpcError)>> {
        let invalid = |id: Option<Value>, text: &str| {
            let error = RpcError::new(code::INVALID_REQUEST, text);
            Err(Box::new((id.unwrap_or(Value::Null), error)))
        };
        let Value::Object(mut members) = request else {
            return invalid(None, "a request is an object");
        };
        let id = members.remove("id");
        if !matches!(
            id,
            None | Some(Value::Null | Value::Number(_) | Value::String(_))
        ) {
            return invalid(None, "id: must be a number or a text");
        }
        if members.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return invalid(id, "jsonrpc: must be \"2.0\"");
        }
        let Some(Value::String(method)) = members.remove("method") else {
            return invalid(id, "method: must be the name of a method");
        };
        let params = members.remove("params");
        if !matches!(params, None | Some(Value::Object(_) | Value::Array(_))) {
            return invalid(id, "params: must be an object");
        }
        Ok(Self { id, method, params })
    }
}

fn reply(id: Value, result: Result<Value, RpcError>) -> String {
    let mut members = Map::new();
    members.insert("jsonrpc".to_owned(), json!("2.0"));
    members.insert("id".to_owned(), id);
    match result {
        Ok(value) => members.insert("result".to_owned(), value),
        Err(error) => members.insert("error".to_owned(), error.to_json()),
    };
    let mut line = ascii_json::to_string(&members);
    line.push('\n');
    line
}
