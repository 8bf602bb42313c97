//! The table of methods as an OpenRPC document, and as a page for people.

use super::methods::{Kind, METHODS, Method, Param};
use crate::control::objects;
use serde_json::{Value, json};
use std::fmt::Write;

/// A method as it is documented.
struct Entry {
    name: &'static str,
    summary: &'static str,
    result: String,
    params: Vec<Parameter>,
}

struct Parameter {
    name: &'static str,
    text: &'static str,
    required: bool,
    schema: Value,
    /// The schema in words.
    kind: &'static str,
}

/// All methods: the daemon's own, then those of the Windows-shaped objects.
fn entries() -> impl Iterator<Item = Entry> {
    METHODS
        .iter()
        .map(own)
        .chain(objects::methods().map(mounted))
}

fn own(m: &Method) -> Entry {
    let param = |p: &Param| Parameter {
        name: p.name,
        text: p.text,
        required: p.required,
        schema: schema(p.kind),
        kind: kind(p.kind),
    };
    Entry {
        name: m.name,
        summary: m.summary,
        result: m.result.to_owned(),
        params: m.params.iter().map(param).collect(),
    }
}

fn mounted(m: &objects::Method) -> Entry {
    let param = |p: &objects::Param| Parameter {
        name: p.name,
        text: p.text,
        required: p.required,
        schema: json!({ "type": p.kind }),
        kind: p.kind,
    };
    let more = if m.result.is_empty() { "" } else { ", " };
    Entry {
        name: m.name,
        summary: m.summary,
        result: format!("{}, name{more}{}", m.code(), m.result),
        params: m.params.iter().map(param).collect(),
    }
}

/// What `rpc.discover` answers (OpenRPC 1.3).
pub fn document() -> Value {
    let methods: Vec<Value> = entries()
        .map(|m| {
            json!({
                "name": m.name,
                "summary": m.summary,
                "paramStructure": "by-name",
                "params": m.params.iter().map(param).collect::<Vec<_>>(),
                "result": { "name": "result", "description": m.result, "schema": {} },
            })
        })
        .collect();
    json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "umpio",
            "description": "Control of the umpio daemon: JSON-RPC 2.0 over a Unix socket, messages one after the other.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "methods": methods,
    })
}

fn param(p: &Parameter) -> Value {
    json!({
        "name": p.name,
        "description": p.text,
        "required": p.required,
        "schema": p.schema,
    })
}

fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Id => json!({ "type": "string", "pattern": "^0x[0-9a-fA-F]{1,16}$" }),
        Kind::Number => json!({ "type": "integer", "minimum": 0 }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::TextList => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::NumberList => {
            json!({ "type": "array", "items": { "type": "integer", "minimum": 0 } })
        }
        Kind::PathList => json!({
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path"],
                "additionalProperties": false,
                "properties": {
                    "path": schema(Kind::Id),
                    "weight": { "type": "integer", "minimum": 0, "maximum": u32::MAX },
                    "state": { "enum": ["active_optimized", "active_unoptimized", "standby", "unavailable"] },
                },
            },
        }),
    }
}

const HEAD: &str = "\
# RPC methods

<!-- Made from the table of methods: `umpio rpc rpc.discover --markdown > docs/rpc.md` -->

The daemon takes JSON-RPC 2.0 on a Unix socket (`[rpc] socket`, mode 0600). Messages follow each
other as in SPDK, so PyPI's `spdk` client talks to it unchanged; batches and notifications work.
Parameters go by name. 64-bit ids are texts, `0x` and 16 hex digits. An error names the parameter
that is wrong in `error.data.field`.

```
umpio rpc lun_list
umpio rpc policy_set '{\"lun\": \"a\", \"policy\": \"least-queue-depth\"}'
```

Methods that begin with vds_, dsm_, msdsm_, mpio_, wmi_ and msiscsi_ are those of Windows' objects. What
Windows would refuse is no error of the call, but a code in its result (`hresult`, or `status`, and `name`).
`raw` is the C structure, little-endian, in base64: given by queries, and taken in place of the readable
parameters.

A policy is one of failover, round-robin, round-robin-with-subset, least-queue-depth,
weighted-paths, least-blocks, vendor-specific, latency, share; or its Windows abbreviation or number.
";

/// `docs/rpc.md`.
pub fn markdown() -> String {
    let mut out = HEAD.to_owned();
    for m in entries() {
        // Writing to a String cannot fail.
        let _ = write!(out, "\n## {}\n\n{}\n\n", m.name, m.summary);
        if !m.params.is_empty() {
            out.push_str("| parameter | type | | |\n|---|---|---|---|\n");
        }
        for p in &m.params {
            let need = if p.required { "required" } else { "" };
            let _ = writeln!(out, "| `{}` | {} | {need} | {} |", p.name, p.kind, p.text);
        }
        if !m.params.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "Result: {}.", m.result);
    }
    out
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Id => "id",
        Kind::Number => "number",
        Kind::Flag => "true or false",
        Kind::TextList => "list of texts",
        Kind::NumberList => "list of numbers",
        Kind::PathList => "list of objects",
    }
}
