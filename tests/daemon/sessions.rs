//! MSiSCSI: the connections of an iSCSI session, and each refusal of SetLoadBalancePolicy.

use crate::kit::{Daemon, Dir, Running, bench, report, strings, umpio};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const SET: &str = "msiscsi_lb_operations_set_load_balance_policy";

/// A target with two portals in one portal group, and a LUN over one session with a connection to each.
fn start(dir: &Dir) -> (Running, Daemon) {
    let mut command = umpio(&["target", "--json", "--backing", "mem:16M"]);
    for host in [1, 2] {
        let url = format!("iscsi://127.0.0.{host}:0/iqn.2024-01.io.umpio:mcs/0");
        command.args(["--listen", &url]);
    }
    let target = Running::start(&mut command);
    let urls = strings(&target.hello["listening"]);
    let second = urls[1].trim_start_matches("iscsi://");
    let second = second.split('/').next().expect("a portal");
    let path = format!("{}?conn={second}", urls[0]);
    let text = format!(
        "[[lun]]\nname = \"a\"\npaths = [\"{path}\"]\n[[serve]]\nlun = \"a\"\n\
         listen = [\"nvme-tcp://127.0.0.1:0/nqn.2024-01.io.umpio:m\"]\n"
    );
    let d = Daemon::start(dir, &dir.write("umpio.toml", &text));
    d.await_paths("a", 1);
    (target, d)
}

/// The only session, once all its connections are there.
fn session(d: &Daemon) -> Value {
    let all = d.until("msiscsi_query_lb_policy", json!({}), |q| {
        let paths = q["sessions"][0]["paths"].as_array();
        paths.is_some_and(|p| p.len() == 2 && p.iter().all(|c| c["connection_status"] == 1))
    });
    assert_eq!(all["sessions"].as_array().map(Vec::len), Some(1), "{all}");
    all["sessions"][0].clone()
}

#[test]
fn the_policy_of_a_sessions_connections_is_set_under_io() {
    let dir = Dir::new("mcs");
    let (_target, d) = start(&dir);
    let s = session(&d);
    assert_eq!(s["policy_name"], "MSiSCSI_LB_ROUND_ROBIN", "{s}");
    let work = bench(&d.served("a"), 3);
    let path = |n: usize, primary: bool, weight: u32| {
        let id = &s["paths"][n]["connection_id"];
        json!({ "connection_id": id, "primary": primary, "weight": weight })
    };
    for policy in 1..=6 {
        let paths = [path(0, policy != 1, 3), path(1, true, 7)];
        let params = json!({ "session_id": s["session_id"], "policy": policy, "paths": paths });
        let done = d.ok(SET, params);
        assert_eq!(done["name"], "ISDSC_SUCCESS", "{policy}: {done}");
        let now = session(&d);
        assert_eq!(now["policy"], policy, "{now}");
        if policy == 5 {
            assert_eq!(now["paths"][0]["weight"], 3, "{now}");
            assert_eq!(now["paths"][1]["weight"], 7, "{now}");
        }
        if policy == 1 {
            assert_eq!(now["paths"][0]["primary"], false, "{now}");
        }
    }
    report(work);
}

#[test]
fn each_refusal_has_its_qualifier_and_changes_nothing() {
    let dir = Dir::new("qualifiers");
    let (_target, d) = start(&dir);
    let s = session(&d);
    let one = |n: usize| s["paths"][n]["connection_id"].clone();
    let path = |id: &Value, primary: bool| json!({ "connection_id": id, "primary": primary });
    let both = json!([path(&one(0), true), path(&one(1), true)]);
    let id = s["session_id"].clone();
    let none = json!([path(&one(0), false), path(&one(1), false)]);
    let twice = json!([path(&one(0), true), path(&one(0), true)]);
    let unknown = json!([path(&one(0), true), path(&json!("0x1"), true)]);
    let fewer = json!([path(&one(0), true)]);
    let cases = [
        (json!("0x1"), 2, &both, "ISDSC_INVALID_SESSION_ID"),
        (id.clone(), 0, &both, "ISDSC_INVALID_LOAD_BALANCE_POLICY"),
        (id.clone(), 7, &both, "ISDSC_INVALID_LOAD_BALANCE_POLICY"),
        (id.clone(), 2, &fewer, "ISDSC_PATH_COUNT_MISMATCH"),
        (id.clone(), 2, &twice, "ISDSC_DUPLICATE_PATH_SPECIFIED"),
        (id.clone(), 2, &unknown, "ISDSC_INVALID_PATH_ID"),
        (id.clone(), 1, &none, "ISDSC_NO_PRIMARY_PATH_SPECIFIED"),
        (id.clone(), 3, &none, "ISDSC_NO_PRIMARY_PATH_SPECIFIED"),
        (id, 1, &both, "ISDSC_MULTIPLE_PRIMARY_PATHS_SPECIFIED"),
    ];
    for (id, policy, paths, want) in cases {
        let params = json!({ "session_id": id, "policy": policy, "paths": paths });
        let done = d.ok(SET, params.clone());
        assert_eq!(done["name"], want, "{params}");
        let raw = STANDARD
            .decode(done["raw"].as_str().expect("base64"))
            .expect("base64");
        assert_eq!(
            u64::from(u32::from_le_bytes(raw[..4].try_into().expect("4 bytes"))),
            done["status"]
        );
    }
    let short = d.ok(SET, json!({ "raw": STANDARD.encode([1, 0, 0, 0]) }));
    assert_eq!(short["name"], "ISDSC_BUFFER_TOO_SMALL");
    assert_eq!(session(&d)["policy"], s["policy"]);
}
