//! The table of methods against what is read, and the documents made of it.

use super::methods::{Kind, METHODS, Means};
use super::openrpc;
use crate::control::command::Command;
use crate::control::jsonrpc::{Params, RpcError, code};
use serde_json::{Map, Value, json};

fn read(method: &str, params: Value) -> Result<Command, RpcError> {
    let m = super::methods::find(method).expect(method);
    let Means::Command(read) = m.means else {
        panic!("{method} is no command")
    };
    let mut params = Params::of(params);
    let command = read(&mut params)?;
    params.finish()?;
    Ok(command)
}

fn sample(name: &str, kind: Kind) -> Value {
    match (name, kind) {
        ("policy", _) => json!("7"),
        ("vendor_policy", _) => json!("share"),
        (_, Kind::Text) => json!("a"),
        (_, Kind::Id) => json!("0x1f"),
        (_, Kind::Number) => json!(1),
        (_, Kind::Flag) => json!(true),
        (_, Kind::TextList) => json!(["mem:1M"]),
        (_, Kind::NumberList) => json!([1]),
        (_, Kind::PathList) => json!([{ "path": "0x1", "weight": 1, "state": "standby" }]),
    }
}

#[test]
fn the_table_is_sorted_and_says_what_is_read() {
    assert!(METHODS.is_sorted_by_key(|m| m.name));
    for m in METHODS {
        let Means::Command(_) = m.means else { continue };
        let all: Map<String, Value> = m
            .params
            .iter()
            .map(|p| (p.name.to_owned(), sample(p.name, p.kind)))
            .collect();
        read(m.name, Value::Object(all.clone())).unwrap_or_else(|e| panic!("{}: {e}", m.name));
        for p in m.params {
            let mut less = all.clone();
            less.remove(p.name);
            let missing = read(m.name, Value::Object(less));
            if p.required {
                let e = missing.expect_err(p.name);
                assert_eq!(e.field.as_deref(), Some(p.name), "{}", m.name);
                assert_eq!(e.code, code::INVALID_PARAMS);
            }
            let mut wrong = all.clone();
            wrong.insert(p.name.to_owned(), json!({ "no": 1 }));
            let e = read(m.name, Value::Object(wrong)).expect_err(p.name);
            assert_eq!(e.field.as_deref(), Some(p.name), "{}", m.name);
        }
        let mut more = all;
        more.insert("surplus".to_owned(), json!(1));
        let e = read(m.name, Value::Object(more)).expect_err(m.name);
        assert_eq!(e.field.as_deref(), Some("surplus"));
    }
}

#[test]
fn a_wrong_path_of_a_policy_is_named_with_its_place() {
    let cases = [
        (json!([7]), "paths[0]"),
        (json!([{ "path": "0x1" }, { "path": 1 }]), "paths[1].path"),
        (
            json!([{ "path": "0x1" }, { "path": "0x1" }]),
            "paths[1].path",
        ),
        (json!([{ "path": "0x1", "weight": -1 }]), "paths[0].weight"),
        (json!([{ "path": "0x1", "state": "up" }]), "paths[0].state"),
        (json!([{ "path": "0x1", "wait": 1 }]), "paths[0].wait"),
    ];
    for (paths, field) in cases {
        let e = read("policy_set", json!({ "lun": "a", "paths": paths })).expect_err(field);
        assert_eq!(e.field.as_deref(), Some(field), "{e}");
    }
    let e = read("policy_set", json!({ "lun": "a", "policy": "best" })).expect_err("no policy");
    assert!(e.message.contains("least-queue-depth"), "{e}");
    let both = json!({ "lun": "a", "policy": "RR", "vendor_policy": "share" });
    let e = read("policy_set", both).expect_err("no vendor policy");
    assert_eq!(e.field.as_deref(), Some("vendor_policy"));
}

#[test]
fn the_document_holds_every_method() {
    let doc = openrpc::document();
    let names: Vec<&str> = doc["methods"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|m| m["name"].as_str())
        .collect();
    let mut once = names.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(names.len(), once.len(), "a name stands for one method");
    assert_eq!(names, super::methods::names().collect::<Vec<_>>());
    assert!(names.contains(&"vds_lun_mpio_set_load_balance_policy"));
    assert!(names.contains(&"rpc.discover"));
}

#[test]
fn the_page_in_docs_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rpc.md");
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == openrpc::markdown(),
        "make it anew: umpio rpc rpc.discover --markdown > docs/rpc.md"
    );
}
