//! Parameters of a call. They go by name; every complaint says which one is meant.

use super::error::{RpcError, code};
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// The parameters that have not been taken yet. What is left at the end nobody knows.
#[derive(Debug, Default)]
pub struct Params(Map<String, Value>);

impl From<Map<String, Value>> for Params {
    /// Members of an object inside the parameters.
    fn from(members: Map<String, Value>) -> Self {
        Self(members)
    }
}

impl Params {
    /// From the `params` member of a request, where there is one.
    pub(super) fn new(params: Option<Value>) -> Result<Self, RpcError> {
        match params {
            None => Ok(Self::default()),
            Some(Value::Object(map)) => Ok(Self(map)),
            Some(Value::Array(list)) if list.is_empty() => Ok(Self::default()),
            Some(Value::Array(_)) => Err(RpcError::field(
                "params",
                "give parameters by name, in an object",
            )),
            Some(_) => Err(RpcError::new(
                code::INVALID_REQUEST,
                "params: must be an object",
            )),
        }
    }

    /// A whole number that must be there.
    pub fn number(&mut self, field: &str, range: RangeInclusive<u64>) -> Result<u64, RpcError> {
        let wanted = number_wanted(&range);
        self.optional_number(field, range)?
            .ok_or_else(|| RpcError::field(field, format!("missing; {wanted}")))
    }

    /// A whole number that may be there.
    pub fn optional_number(
        &mut self,
        field: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, RpcError> {
        let Some(value) = self.0.remove(field) else {
            return Ok(None);
        };
        match value.as_u64().filter(|n| range.contains(n)) {
            Some(n) => Ok(Some(n)),
            None => Err(wrong(field, &value, &number_wanted(&range))),
        }
    }

    /// One of these names, which must be there.
    pub fn one_of<T: Copy>(&mut self, field: &str, choices: &[(&str, T)]) -> Result<T, RpcError> {
        let names: Vec<&str> = choices.iter().map(|(n, _)| *n).collect();
        let wanted = format!("one of {}", names.join(", "));
        self.optional_one_of(field, choices)?
            .ok_or_else(|| RpcError::field(field, format!("missing; {wanted}")))
    }

    /// One of these names, which may be there.
    pub fn optional_one_of<T: Copy>(
        &mut self,
        field: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, RpcError> {
        let Some(value) = self.0.remove(field) else {
            return Ok(None);
        };
        let found = choices.iter().find(|(n, _)| value == *n);
        match found {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let names: Vec<&str> = choices.iter().map(|(n, _)| *n).collect();
                Err(wrong(
                    field,
                    &value,
                    &format!("one of {}", names.join(", ")),
                ))
            }
        }
    }

    /// A text that must be there.
    pub fn text(&mut self, field: &str, wanted: &str) -> Result<String, RpcError> {
        match self.0.remove(field) {
            Some(Value::String(text)) => Ok(text),
            Some(value) => Err(wrong(field, &value, wanted)),
            None => Err(RpcError::field(field, format!("missing; {wanted}"))),
        }
    }

    /// A truth value that may be there.
    pub fn optional_flag(&mut self, field: &str) -> Result<Option<bool>, RpcError> {
        match self.0.remove(field) {
            Some(Value::Bool(b)) => Ok(Some(b)),
            Some(value) => Err(wrong(field, &value, "true or false")),
            None => Ok(None),
        }
    }

    /// Whatever is there.
    pub fn optional(&mut self, field: &str) -> Option<Value> {
        self.0.remove(field)
    }

    /// Nothing is there but these.
    ///
    /// # Errors
    /// There is something else.
    pub fn only<'a>(&self, known: impl Iterator<Item = &'a str>) -> Result<(), RpcError> {
        let known: Vec<&str> = known.collect();
        match self.0.keys().find(|k| !known.contains(&k.as_str())) {
            Some(field) => Err(RpcError::field(field, "the method has no such parameter")),
            None => Ok(()),
        }
    }

    /// All that is known has been taken.
    ///
    /// # Errors
    /// Something is left.
    pub fn finish(self) -> Result<(), RpcError> {
        match self.0.keys().next() {
            Some(field) => Err(RpcError::field(field, "the method has no such parameter")),
            None => Ok(()),
        }
    }
}

fn number_wanted(range: &RangeInclusive<u64>) -> String {
    format!("a whole number from {} to {}", range.start(), range.end())
}

/// Longest value that is told back to who sent it.
const TOLD_MAX: usize = 64;

fn wrong(field: &str, value: &Value, wanted: &str) -> RpcError {
    let given = value.to_string();
    if given.len() > TOLD_MAX {
        return RpcError::field(field, format!("must be {wanted}"));
    }
    RpcError::field(field, format!("{given} given; must be {wanted}"))
}

#[cfg(test)]
impl Params {
    pub(crate) fn of(object: Value) -> Self {
        Self::new(Some(object)).expect("an object")
    }
}
