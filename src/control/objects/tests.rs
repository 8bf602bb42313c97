//! The methods as a client calls them, and the buffers that they carry.

use super::*;
use crate::control::jsonrpc::code;
use crate::control::layout::vds::{decode_path_infos, decode_path_policies};
use crate::control::view::kit::Kit;
use crate::control::view::{ConnectionState, ConnectionView, McsPolicy, SessionView};
use crate::lun::access::AccessState::*;
use crate::lun::policy::Alua;
use base64::Engine as _;
use serde_json::json;

fn kit() -> Kit {
    let kit = Kit::new(Alua::None, &[Optimized, Optimized]);
    let connection = |id| ConnectionView {
        id,
        cid: 1,
        source: None,
        portal: None,
        state: ConnectionState::Connected,
        link_mbit: 0,
        weight: 0,
        primary: true,
    };
    kit.base(|v| {
        v.sessions = vec![SessionView {
            id: 5,
            nexus_id: 1,
            target_name: "iqn.2024-01.test:array".into(),
            policy: McsPolicy::RoundRobin,
            supported: vec![McsPolicy::Failover, McsPolicy::RoundRobin],
            max_connections: 8,
            connections: vec![connection(1), connection(2)],
        }];
    });
    kit
}

fn call(kit: &Kit, name: &str, params: Value) -> Result<Value, RpcError> {
    let method = find(name).unwrap_or_else(|| panic!("{name}"));
    method.call(kit, Params::of(params))
}

fn ok(kit: &Kit, name: &str, params: Value) -> Value {
    let answer = call(kit, name, params).unwrap_or_else(|e| panic!("{name}: {e}"));
    let key = if name.starts_with("vds") {
        "hresult"
    } else {
        "status"
    };
    assert_eq!(answer[key], 0, "{name}: {answer}");
    answer
}

fn bytes(answer: &Value) -> Vec<u8> {
    let text = answer["raw"].as_str().expect("raw");
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .expect("base64")
}

#[test]
fn the_methods_that_wait_are_those_that_may_ask_a_target() {
    let waiting: Vec<&str> = methods().filter(|m| m.waits).map(|m| m.name).collect();
    assert_eq!(
        waiting,
        [
            "vds_service_refresh",
            "vds_hw_provider_refresh",
            "vds_lun_mpio_set_load_balance_policy",
            "dsm_lb_operations_dsm_set_load_balance_policy",
            "dsm_lb_operations_dsm_set_load_balance_policy_alua",
            "wmi_execute",
        ]
    );
}

/// Every method with parameters that succeed.
fn good(kit: &Kit, method: &Method) -> Value {
    let first = |list: &str| {
        let all = ok(kit, list, json!({}));
        all["objects"][0]["id"].clone()
    };
    let of = |list: &str, id: Value| ok(kit, list, json!({ "id": id }))["objects"][0]["id"].clone();
    let target = || first("vds_sub_system_iscsi_query_targets");
    let adapter = || first("vds_service_iscsi_query_initiator_adapters");
    let mut params = json!({});
    for p in method.params.iter().filter(|p| p.required) {
        params[p.name] = match p.name {
            "lun" | "instance" => json!("data"),
            "policy" => json!(4),
            "hardware_id" => json!("UMPIO   data"),
            "iid" => json!("IVdsLunMpio"),
            "type" => json!(33),
            "method" => json!(4),
            "class" if method.name == "wmi_execute" => json!("MPIO_WMI_METHODS"),
            "class" => json!("MSDSM_DEFAULT_LOAD_BALANCE_POLICY"),
            "raw" => json!("AAAAAAAAAAAAAAAAAAAAAA=="),
            "session_id" => json!("0x5"),
            "connection_id" => json!("0x1"),
            "portal" => json!("10.0.0.1"),
            "id" if method.name.starts_with("vds_iscsi_portal_group_") => {
                of("vds_iscsi_target_query_portal_groups", target())
            }
            "id" if method.name.starts_with("vds_iscsi_initiator_adapter_") => adapter(),
            "id" if method.name.starts_with("vds_iscsi_initiator_portal_") => of(
                "vds_iscsi_initiator_adapter_query_initiator_portals",
                adapter(),
            ),
            "id" if method.name.starts_with("vds_iscsi_target_") => target(),
            "id" if method.name.starts_with("vds_iscsi_portal_") => {
                first("vds_sub_system_iscsi_query_portals")
            }
            "id" => json!(kit.guid("data").to_string()),
            other => panic!("{}: {other}", method.name),
        };
    }
    match method.name {
        "dsm_lb_operations_dsm_set_load_balance_policy"
        | "dsm_lb_operations_dsm_set_load_balance_policy_alua" => {
            params["policy"] = json!(4);
            params["paths"] = json!([{ "path_id": "0x1" }, { "path_id": 2 }]);
        }
        "msiscsi_lb_operations_set_load_balance_policy" => {
            params["session_id"] = json!("0x5");
            params["policy"] = json!(2);
            params["paths"] = json!([{ "connection_id": "0x1" }, { "connection_id": "0x2" }]);
        }
        _ => {}
    }
    params
}

#[test]
fn every_method_answers_and_refuses_what_it_does_not_know_before_it_acts() {
    let kit = kit();
    for method in methods() {
        let params = good(&kit, method);
        let answer = ok(&kit, method.name, params.clone());
        assert!(answer["name"].is_string(), "{}", method.name);
        let mut strange = params.clone();
        strange["no_such_parameter"] = json!(1);
        kit.log();
        let error = call(&kit, method.name, strange).expect_err(method.name);
        assert_eq!(error.code, code::INVALID_PARAMS);
        assert_eq!(error.field.as_deref(), Some("no_such_parameter"));
        assert!(kit.log().is_empty(), "{}", method.name);
        for p in method.params.iter().filter(|p| p.required) {
            let mut without = params.clone();
            without.as_object_mut().expect("an object").remove(p.name);
            let error = call(&kit, method.name, without).expect_err(method.name);
            assert_eq!(error.field.as_deref(), Some(p.name), "{}", method.name);
        }
    }
}

#[test]
fn names_are_unique_and_without_dots() {
    let mut names: Vec<_> = methods().map(|m| m.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
    let plain = |n: &str| {
        n.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    assert!(names.iter().all(|n| plain(n)));
}

#[test]
fn a_buffer_got_can_be_handed_back_and_means_the_same() {
    let kit = kit();
    let get = || {
        ok(
            &kit,
            "vds_lun_mpio_get_load_balance_policy",
            json!({ "lun": "data" }),
        )
    };
    let got = get();
    let policies = decode_path_policies(&bytes(&got), 2).expect("the C array");
    assert_eq!(policies.len(), 2);
    let infos = ok(
        &kit,
        "vds_lun_mpio_get_path_info",
        json!({ "lun": kit.guid("data").to_string() }),
    );
    let infos = decode_path_infos(&bytes(&infos), 2).expect("the C array");
    assert_eq!(infos[1].0.path_id, policies[1].path_id);
    let set = json!({ "lun": "data", "policy": 6, "raw": got["raw"] });
    ok(&kit, "vds_lun_mpio_set_load_balance_policy", set);
    assert_eq!(get()["policy"], 6);
    let paths = json!([
        { "path_id": "0x0000000000000002", "weight": 7, "primary": true },
        { "path_id": "0x1", "primary": 0 },
    ]);
    let set = json!({ "lun": "data", "policy": 1, "paths": paths });
    ok(&kit, "vds_lun_mpio_set_load_balance_policy", set);
    let now = get();
    assert_eq!(now["policy_name"], "VDS_LBP_FAILOVER");
    assert_eq!(now["paths"][1]["weight"], 7);
    assert_eq!(now["paths"][0]["primary"], false);
    // The DSM's block of the same LUN, back through the DSM's method. V2's query is V2's request.
    let got = ok(
        &kit,
        "dsm_query_lb_policy_v2",
        json!({ "instance": "MPIO Disk0" }),
    );
    let set = json!({ "instance": "data", "raw": got["raw"] });
    let answer = ok(
        &kit,
        "dsm_lb_operations_dsm_set_load_balance_policy_alua",
        set,
    );
    assert_eq!(bytes(&answer), [0; 4]);
    // And a connection's.
    let set = json!({ "raw": "BQAAAAAAAAABAAAAAQAAAA==" });
    let answer = call(&kit, "msiscsi_lb_operations_set_load_balance_policy", set);
    assert_eq!(answer.expect("an answer")["name"], "ISDSC_BUFFER_TOO_SMALL");
}

#[test]
fn what_windows_refuses_is_in_the_result_and_what_is_no_call_is_an_error() {
    let kit = kit();
    let set = |params: Value| call(&kit, "vds_lun_mpio_set_load_balance_policy", params);
    for (params, want) in [
        (
            json!({ "lun": "nobody", "policy": 1 }),
            "VDS_E_OBJECT_NOT_FOUND",
        ),
        (json!({ "lun": "data", "policy": 9 }), "E_INVALIDARG"),
        (
            json!({ "lun": "data", "policy": 4, "number_of_paths": 2 }),
            "E_INVALIDARG",
        ),
        (
            json!({ "lun": "data", "policy": 4, "number_of_paths": -1 }),
            "E_INVALIDARG",
        ),
        (
            json!({ "lun": "data", "policy": 4, "paths": [{ "path_id": "0x1" }], "number_of_paths": 2 }),
            "E_INVALIDARG",
        ),
        (
            json!({ "lun": "data", "policy": 4, "paths": [{ "path_id": "0x9" }, { "path_id": 1 }] }),
            "VDS_E_PATH_NOT_FOUND",
        ),
    ] {
        let answer = set(params.clone()).unwrap_or_else(|e| panic!("{params}: {e}"));
        assert_eq!(answer["name"], want, "{params}");
        assert!(answer["why"].is_string());
    }
    for (params, field) in [
        (json!({ "lun": 1, "policy": 1 }), "lun"),
        (json!({ "lun": "data", "policy": -1 }), "policy"),
        (json!({ "lun": "data", "policy": 1, "paths": 1 }), "paths"),
        (
            json!({ "lun": "data", "policy": 1, "paths": [1] }),
            "paths[0]",
        ),
        (
            json!({ "lun": "data", "policy": 1, "paths": [{}] }),
            "paths[0].path_id",
        ),
        (
            json!({ "lun": "data", "policy": 1, "paths": [{ "path_id": "1", "x": 1 }] }),
            "paths[0].path_id",
        ),
        (
            json!({ "lun": "data", "policy": 1, "paths": [{ "path_id": "0x1", "x": 1 }] }),
            "paths[0].x",
        ),
        (
            json!({ "lun": "data", "policy": 1, "paths": [{ "path_id": "0x1", "weight": -1 }] }),
            "paths[0].weight",
        ),
        (
            json!({ "lun": "data", "policy": 1, "paths": [{ "path_id": "0x1", "primary": 2 }] }),
            "paths[0].primary",
        ),
        (json!({ "lun": "data", "policy": 1, "raw": "!" }), "raw"),
        (
            json!({ "lun": "data", "policy": 1, "raw": "AAAA", "paths": [] }),
            "raw",
        ),
        (
            json!({ "lun": "data", "policy": 1, "raw": "AAAA", "number_of_paths": 1 }),
            "raw",
        ),
        (
            json!({ "lun": "data", "policy": 1, "number_of_paths": "2" }),
            "number_of_paths",
        ),
    ] {
        let error = set(params.clone()).expect_err("no call at all");
        assert_eq!(error.field.as_deref(), Some(field), "{params}");
    }
    let asymmetric = Kit::new(Alua::Implicit, &[Optimized, NonOptimized]);
    let rr = call(
        &asymmetric,
        "vds_lun_mpio_set_load_balance_policy",
        json!({ "lun": "data", "policy": 2 }),
    );
    assert_eq!(rr.expect("an answer")["name"], "VDS_E_NOT_SUPPORTED");
    let vendor = json!({
        "instance": "data", "policy": 7, "paths": [{ "path_id": "0x1" }, { "path_id": "0x2" }],
    });
    let vendor = call(
        &kit,
        "dsm_lb_operations_dsm_set_load_balance_policy_alua",
        vendor,
    );
    assert_eq!(
        vendor.expect("an answer")["name"],
        "STATUS_INVALID_PARAMETER"
    );
}

#[test]
fn interfaces_are_asked_by_name_or_iid() {
    let kit = kit();
    let ask = |object_type: u32, id: Value, iid: &str| {
        let params = json!({ "id": id, "type": object_type, "iid": iid });
        call(&kit, "vds_query_interface", params).expect("a call")["name"].clone()
    };
    let lun = json!(kit.guid("data").to_string());
    assert_eq!(
        ask(33, lun.clone(), "7C5FBAE3-333A-48A1-A982-33C15788CDE3"),
        "S_OK"
    );
    assert_eq!(ask(33, lun.clone(), "IVdsLunPlex"), "E_NOINTERFACE");
    assert_eq!(
        ask(
            33,
            json!("00000000-0000-0000-0000-000000000001"),
            "IUnknown"
        ),
        "VDS_E_OBJECT_NOT_FOUND"
    );
    let service = json!("00000000-0000-0000-0000-000000000000");
    assert_eq!(ask(0, service.clone(), "IVdsService"), "S_OK");
    assert_eq!(ask(0, service, "IVdsLunMpio"), "E_NOINTERFACE");
    kit.remove("data");
    assert_eq!(
        ask(33, lun, "IVdsLunMpio"),
        "S_OK",
        "a deleted LUN is a LUN still"
    );
}
