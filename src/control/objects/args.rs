//! Parameters of the objects' methods, and the forms of ids and buffers in JSON.

use crate::control::jsonrpc::{Params, RpcError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use uuid::Uuid;

/// Bytes of a raw buffer at most: more than any structure of a LUN with all its paths has.
const RAW_MAX: usize = 1 << 20;
/// Entries of an array at most.
const ARRAY_MAX: usize = 4096;

pub(super) use crate::control::state::{id, parse_id};

/// A buffer.
pub(super) fn raw(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A GUID in any of its spellings.
pub(super) fn guid(p: &mut Params, field: &str) -> Result<Uuid, RpcError> {
    let text = p.text(field, "a GUID")?;
    Uuid::try_parse(text.trim()).map_err(|_| RpcError::field(field, "is no GUID"))
}

/// The bytes of a buffer, where one is given.
pub(super) fn optional_raw(p: &mut Params, field: &str) -> Result<Option<Vec<u8>>, RpcError> {
    match p.optional(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() > RAW_MAX / 3 * 4 => Err(RpcError::field(
            field,
            format!("has more than {RAW_MAX} bytes"),
        )),
        Some(Value::String(text)) => match STANDARD.decode(text.trim()) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) => Err(RpcError::field(field, format!("is no base64: {e}"))),
        },
        Some(_) => Err(RpcError::field(field, "must be base64 text")),
    }
}

/// A 32-bit number, with a value for when it is not given.
pub(super) fn number_or(p: &mut Params, field: &str, or: u32) -> Result<u32, RpcError> {
    let given = p.optional_number(field, 0..=u64::from(u32::MAX))?;
    Ok(given.map_or(or, |n| n as u32))
}

/// A 32-bit number.
pub(super) fn number(p: &mut Params, field: &str) -> Result<u32, RpcError> {
    Ok(p.number(field, 0..=u64::from(u32::MAX))? as u32)
}

/// An object of an array, whose members are taken one by one.
pub(super) struct Entry {
    field: String,
    map: Map<String, Value>,
}

/// The objects of an array, where one is given.
pub(super) fn optional_entries(
    p: &mut Params,
    field: &str,
) -> Result<Option<Vec<Entry>>, RpcError> {
    let list = match p.optional(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(RpcError::field(field, "must be an array of objects")),
    };
    if list.len() > ARRAY_MAX {
        let text = format!("has more than {ARRAY_MAX} entries");
        return Err(RpcError::field(field, text));
    }
    let entry = |(n, value): (usize, Value)| match value {
        Value::Object(map) => Ok(Entry {
            field: format!("{field}[{n}]"),
            map,
        }),
        _ => Err(RpcError::field(
            &format!("{field}[{n}]"),
            "must be an object",
        )),
    };
    let all: Result<_, _> = list.into_iter().enumerate().map(entry).collect();
    all.map(Some)
}

impl Entry {
    fn wrong(&self, key: &str, text: &str) -> RpcError {
        RpcError::field(&format!("{}.{key}", self.field), text)
    }

    /// A 64-bit id, as text or as a number; `None` when it is not there.
    pub(super) fn optional_id(&mut self, key: &str) -> Result<Option<u64>, RpcError> {
        let found = match self.map.remove(key) {
            None => return Ok(None),
            Some(Value::String(text)) => parse_id(&text),
            Some(value) => value.as_u64(),
        };
        let wanted = "must be an id: 0x and up to 16 hex digits";
        found.map(Some).ok_or_else(|| self.wrong(key, wanted))
    }

    /// The same where it must be there.
    pub(super) fn id(&mut self, key: &str) -> Result<u64, RpcError> {
        self.optional_id(key)?
            .ok_or_else(|| self.wrong(key, "missing"))
    }

    /// A 32-bit number, with a value for when it is not there.
    pub(super) fn number_or(&mut self, key: &str, or: u32) -> Result<u32, RpcError> {
        match self.map.remove(key) {
            None => Ok(or),
            Some(value) => {
                let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
                number.ok_or_else(|| self.wrong(key, "must be a whole number of 32 bits"))
            }
        }
    }

    /// A truth value, also as 0 and 1, with a value for when it is not there.
    pub(super) fn flag_or(&mut self, key: &str, or: bool) -> Result<bool, RpcError> {
        match self.map.remove(key) {
            None => Ok(or),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(value) => match value.as_u64() {
                Some(n @ 0..=1) => Ok(n == 1),
                _ => Err(self.wrong(key, "must be true or false")),
            },
        }
    }

    /// Nothing else was in it.
    pub(super) fn finish(self) -> Result<(), RpcError> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(key) => Err(self.wrong(key, "is not known here")),
        }
    }
}
