//! Every error that has a name, and the test that causes it on a running daemon.
//!
//! | error | cause | test |
//! |---|---|---|
//! | E_INVALIDARG | policy, count or path list that contradicts itself | `codes` |
//! | E_NOINTERFACE | an interface that the object does not have | `errors` |
//! | VDS_E_NOT_SUPPORTED | round robin on unequal paths | `codes` |
//! | VDS_E_ANOTHER_CALL_IN_PROGRESS | a target that holds what it was told or asked | `busy` |
//! | VDS_E_OBJECT_NOT_FOUND | an id of nobody | `codes`, `errors` |
//! | VDS_E_OBJECT_DELETED | a LUN that was closed | `codes` |
//! | VDS_E_OBJECT_STATUS_FAILED | a LUN that its target does not have | `codes` |
//! | VDS_E_PATH_NOT_FOUND | a path id of nobody | `codes` |
//! | VDS_E_INITIATOR_ADAPTER_NOT_FOUND, VDS_E_TARGET_PORTAL_NOT_FOUND | ids of nobody | `errors` |
//! | VDS_E_INVALID_OBJECT_TYPE, VDS_E_INVALID_QUERY_PROVIDER_FLAG | numbers that mean nothing | `errors` |
//! | VDS_E_PROVIDER_CACHE_CORRUPT | files of the state in other hands; a path that vanished from a reactor | `busy`, `registry::mend` |
//! | VDS_E_PROVIDER_FAILURE | a Refresh before Reenumerate; reactors that do not agree | `busy`, `registry::pending` |
//! | VDS_E_IO_ERROR | a target that refuses SET TARGET PORT GROUPS | `busy` |
//! | VDS_E_PROVIDER_EXITING | a daemon that is stopping | `control::daemon::surface` |
//! | VDS_E_TIMEOUT | a Refresh that takes longer than targets may: told by the model's kit alone | `control::vds::tests` |
//! | STATUS_INVALID_PARAMETER | dsm-wmi 4.1, checks 1, 6 to 14 | `codes`, `busy` (1) |
//! | STATUS_BUFFER_TOO_SMALL | checks 2 and 4 | `codes` |
//! | STATUS_NOT_SUPPORTED | check 5 | `codes` |
//! | STATUS_IO_DEVICE_ERROR | check 15: a target that refuses, a path that is lost meanwhile | `busy` |
//! | STATUS_DEVICE_BUSY | a set request while another waits | `busy` |
//! | STATUS_WMI_GUID_NOT_FOUND, STATUS_WMI_INSTANCE_NOT_FOUND, STATUS_WMI_ITEMID_NOT_FOUND | class, instance, method of nobody | `codes` |
//! | ISDSC 55h to 5Bh, 61h and those beside | each refusal of SetLoadBalancePolicy | `sessions` |
//! | JSON-RPC -32700, -32600, -32601, -32602, -32000, -32001 | what is no JSON, no request, no method… | `errors` |

use crate::kit::{Daemon, Dir, call};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

const ONE: &str = "[[lun]]\nname = \"a\"\npaths = [\"null:1M\"]\n";

/// What comes back when these bytes are sent.
fn exchange(socket: &Path, bytes: &[u8]) -> Value {
    let mut stream = UnixStream::connect(socket).expect("the daemon is there");
    // A daemon that has seen enough may have closed its end.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn each_error_of_json_rpc_has_its_code() {
    let dir = Dir::new("wire");
    let text = format!("{ONE}[rpc]\nconnections = 2\n");
    let d = Daemon::start(&dir, &dir.write("umpio.toml", &text));
    let nexus = d.await_paths("a", 1)["paths"][0]["nexus_id"].clone();
    let request = |method: &str, params: Value| {
        json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string()
    };
    let last = request("path_remove", json!({ "lun": "a", "path": nexus }));
    for (bytes, code) in [
        ("{\"jsonrpc\": ]", -32700),
        ("{\"jsonrpc\": 2.0.0}", -32700),
        ("{\"jsonrpc\": \"2.0\", \"id\": 7, \"method\"", -32700),
        ("[]", -32600),
        ("{\"jsonrpc\": \"2.0\", \"id\": 7}", -32600),
        ("{\"jsonrpc\": \"2.0\", \"id\": 7, \"method\": 1}", -32600),
        (&request("lun_get", json!(1)), -32600),
        (&request("lun_gets", json!({})), -32601),
        (&request("lun_get", json!({})), -32602),
        (&request("lun_get", json!({ "lun": "a", "x": 1 })), -32602),
        (&request("lun_get", json!([1])), -32602),
        (&last, -32000),
    ] {
        let answer = exchange(&d.socket, bytes.as_bytes());
        assert_eq!(answer["error"]["code"], code, "{bytes}: {answer}");
        assert!(answer["error"]["message"].is_string(), "{bytes}: {answer}");
    }
    let field = exchange(
        &d.socket,
        request("lun_get", json!({ "lun": 1 })).as_bytes(),
    );
    assert_eq!(field["error"]["data"]["field"], "lun", "{field}");
    // As many connections as there may be, each one taken: an answer has come over it.
    let open: Vec<UnixStream> = (0..2)
        .map(|_| {
            let mut stream = UnixStream::connect(&d.socket).expect("the daemon is there");
            let call = request("rpc_nothing", json!({}));
            stream.write_all(call.as_bytes()).expect("sent");
            let mut answer = [0; 1];
            stream.read_exact(&mut answer).expect("answered");
            stream
        })
        .collect();
    let many = exchange(&d.socket, b"");
    assert_eq!(many["error"]["code"], -32001, "{many}");
    drop(open);
}

#[test]
fn ids_types_and_interfaces_of_nobody_have_their_codes() {
    let dir = Dir::new("nobody");
    let d = Daemon::start(&dir, &dir.write("umpio.toml", ONE));
    let lun = d.await_paths("a", 1)["guid"].clone();
    let nobody = json!("00000000-0000-0000-0000-000000000009");
    let object = |kind: u32| json!({ "id": nobody, "type": kind });
    let asked = |id: &Value, iid: &str| json!({ "id": id, "type": 33, "iid": iid });
    for (method, params, want) in [
        (
            "vds_service_get_object",
            object(1),
            "VDS_E_OBJECT_NOT_FOUND",
        ),
        (
            "vds_service_get_object",
            object(33),
            "VDS_E_OBJECT_NOT_FOUND",
        ),
        (
            "vds_service_get_object",
            object(36),
            "VDS_E_TARGET_PORTAL_NOT_FOUND",
        ),
        (
            "vds_service_get_object",
            object(91),
            "VDS_E_INITIATOR_ADAPTER_NOT_FOUND",
        ),
        (
            "vds_service_get_object",
            object(77),
            "VDS_E_INVALID_OBJECT_TYPE",
        ),
        (
            "vds_service_query_providers",
            json!({ "masks": 8 }),
            "VDS_E_INVALID_QUERY_PROVIDER_FLAG",
        ),
        (
            "vds_iscsi_portal_get_properties",
            json!({ "id": nobody }),
            "VDS_E_TARGET_PORTAL_NOT_FOUND",
        ),
        (
            "vds_iscsi_initiator_adapter_get_properties",
            json!({ "id": nobody }),
            "VDS_E_INITIATOR_ADAPTER_NOT_FOUND",
        ),
        (
            "vds_query_interface",
            asked(&lun, "IVdsLunPlex"),
            "E_NOINTERFACE",
        ),
        (
            "vds_query_interface",
            asked(&nobody, "IVdsLunMpio"),
            "VDS_E_OBJECT_NOT_FOUND",
        ),
        ("vds_query_interface", asked(&lun, "IVdsLunMpio"), "S_OK"),
    ] {
        let answer = call(&d.socket, method, params.clone());
        assert_eq!(
            answer["result"]["name"], want,
            "{method} {params}: {answer}"
        );
    }
}
