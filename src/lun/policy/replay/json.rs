//! Reading the fields of a trace line, and comparing answers.

use serde_json::{Map, Value};

/// Typed access to the fields of an object. Every error names the field.
pub(super) trait Fields {
    fn text(&self, field: &str) -> Result<&str, String>;
    fn list(&self, field: &str) -> Result<&[Value], String>;
    fn list_or_empty(&self, field: &str) -> Result<&[Value], String>;
    fn number<T: TryFrom<u64>>(&self, field: &str) -> Result<T, String>;
    fn number_or<T: TryFrom<u64>>(&self, field: &str, otherwise: T) -> Result<T, String>;
    /// `true`, `false`, or a number that is or is not 0.
    fn flag_or(&self, field: &str, otherwise: bool) -> Result<bool, String>;
}

pub(super) fn malformed(field: &str, value: &Value) -> String {
    format!("{field}: {value} is not what belongs there")
}

fn missing(field: &str) -> String {
    format!("{field} is missing")
}

impl Fields for Map<String, Value> {
    fn text(&self, field: &str) -> Result<&str, String> {
        let value = self.get(field).ok_or_else(|| missing(field))?;
        value.as_str().ok_or_else(|| malformed(field, value))
    }

    fn list(&self, field: &str) -> Result<&[Value], String> {
        let value = self.get(field).ok_or_else(|| missing(field))?;
        value
            .as_array()
            .map(Vec::as_slice)
            .ok_or_else(|| malformed(field, value))
    }

    fn list_or_empty(&self, field: &str) -> Result<&[Value], String> {
        if self.contains_key(field) {
            self.list(field)
        } else {
            Ok(&[])
        }
    }

    fn number<T: TryFrom<u64>>(&self, field: &str) -> Result<T, String> {
        let value = self.get(field).ok_or_else(|| missing(field))?;
        value
            .as_u64()
            .and_then(|n| T::try_from(n).ok())
            .ok_or_else(|| malformed(field, value))
    }

    fn number_or<T: TryFrom<u64>>(&self, field: &str, otherwise: T) -> Result<T, String> {
        match self.get(field) {
            None | Some(Value::Null) => Ok(otherwise),
            Some(_) => self.number(field),
        }
    }

    fn flag_or(&self, field: &str, otherwise: bool) -> Result<bool, String> {
        match self.get(field) {
            None | Some(Value::Null) => Ok(otherwise),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(value) => value
                .as_u64()
                .map(|n| n != 0)
                .ok_or_else(|| malformed(field, value)),
        }
    }
}

/// Whether an expected answer contradicts ours. Fields that the expectation leaves out do not count,
/// `true` is 1, and hexadecimal digits may be of either case.
pub(super) fn differs(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => expected
            .iter()
            .any(|(field, value)| got.get(field).is_none_or(|mine| differs(value, mine))),
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() != got.len() || expected.iter().zip(got).any(|(e, g)| differs(e, g))
        }
        (Value::String(expected), Value::String(got)) => !expected.eq_ignore_ascii_case(got),
        (Value::Bool(expected), Value::Number(got)) => got.as_u64() != Some(u64::from(*expected)),
        (Value::Number(expected), Value::Bool(got)) => expected.as_u64() != Some(u64::from(*got)),
        (expected, got) => expected != got,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_compared_by_meaning() {
        assert!(!differs(&json!("0xc000000d"), &json!("0xC000000D")));
        assert!(!differs(
            &json!([{"ok": 1}]),
            &json!([{"ok": true, "lun": 0}])
        ));
        assert!(differs(&json!([{"ok": 0}]), &json!([{"ok": true}])));
        assert!(differs(&json!([]), &json!([1])));
        assert!(differs(&json!({"policy": 2}), &json!({})));
        assert!(differs(&json!("FAIL"), &json!(1)));
    }

    #[test]
    fn a_field_of_the_wrong_kind_is_named() {
        let Value::Object(line) = json!({"lun": "x", "on": 2, "n": 300}) else {
            unreachable!()
        };
        assert!(
            line.number::<u32>("lun")
                .is_err_and(|e| e.starts_with("lun:"))
        );
        assert_eq!(line.flag_or("on", false), Ok(true));
        assert!(line.number::<u8>("n").is_err());
        assert_eq!(line.number_or("absent", 7_u8), Ok(7));
    }
}
