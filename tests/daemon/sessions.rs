//! MSiSCSI: the connections of an iSCSI session, and each refusal of SetLoadBalancePolicy.

use crate::kit::{Daemon, Dir, Running, bench, call, report, strings, umpio};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const ADD: &str = "msiscsi_add_connection";
const REMOVE: &str = "msiscsi_remove_connection";
const SET: &str = "msiscsi_lb_operations_set_load_balance_policy";

/// A target with two portals in one portal group, and a LUN over one session with a connection to each.
fn start(dir: &Dir) -> (Running, Daemon) {
    let rpc = dir.path("target");
    let mut command = umpio(&["target", "--json", "--backing", "mem:16M", "--rpc"]);
    command.arg(&rpc);
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
        (
            id.clone(),
            1,
            &both,
            "ISDSC_MULTIPLE_PRIMARY_PATHS_SPECIFIED",
        ),
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
    // PrimaryPath is 0 or 1: the IN buffer with another value.
    let u64_of = |v: &Value| {
        let text = v.as_str().expect("an id");
        u64::from_str_radix(&text[2..], 16).expect("hex digits")
    };
    let mut odd = Vec::new();
    odd.extend_from_slice(&u64_of(&id).to_le_bytes());
    odd.extend_from_slice(&2_u32.to_le_bytes());
    odd.extend_from_slice(&2_u32.to_le_bytes());
    for n in 0..2 {
        odd.extend_from_slice(&u64_of(&one(n)).to_le_bytes());
        odd.extend_from_slice(&[0; 12]);
        odd.extend_from_slice(&2_u32.to_le_bytes());
        odd.extend_from_slice(&[0; 8]);
    }
    let odd = d.ok(SET, json!({ "raw": STANDARD.encode(odd) }));
    assert_eq!(odd["name"], "ISDSC_INVALID_PARAMETER", "{odd}");
    assert_eq!(odd["status"], 0xefff_0056_u32);
    assert_eq!(session(&d)["policy"], s["policy"]);
    // Both portals are gone: a session without a connection.
    for portal in [0, 1] {
        for fault in ["refuse", "reset"] {
            let params = json!({ "portal": portal, "fault": fault });
            let done = call(&dir.path("target"), "target_set_fault", params);
            assert_eq!(done["result"], true, "{done}");
        }
    }
    d.until("msiscsi_query_lb_policy", json!({}), |q| {
        let paths = q["sessions"][0]["paths"].as_array();
        paths.is_some_and(|p| p.len() == 2 && p.iter().all(|c| c["connection_status"] != 1))
    });
    let params = json!({ "session_id": id, "policy": 2, "paths": both });
    let done = d.ok(SET, params);
    assert_eq!(done["name"], "ISDSC_NO_CONNECTION_AVAILABLE", "{done}");
    let add = json!({ "session_id": id, "portal": "127.0.0.1" });
    assert_eq!(d.ok(ADD, add)["name"], "ISDSC_NO_CONNECTION_AVAILABLE");
}

/// A target that takes one connection in a session: there is nothing to balance.
#[test]
fn a_session_of_one_connection_has_no_policy_but_failover() {
    let dir = Dir::new("single");
    let mut command = umpio(&["target", "--json", "--backing", "mem:16M"]);
    let url = "iscsi://127.0.0.1:0/iqn.2024-01.io.umpio:single/0?connections=1";
    let target = Running::start(command.args(["--listen", url]));
    let url = strings(&target.hello["listening"])[0].clone();
    let text = format!("[[lun]]\nname = \"a\"\npaths = [\"{url}\"]\n");
    let d = Daemon::start(&dir, &dir.write("umpio.toml", &text));
    d.await_paths("a", 1);
    let s = d.ok("msiscsi_query_lb_policy", json!({}))["sessions"][0].take();
    assert_eq!(s["max_connections"], 1, "{s}");
    let path = json!([{ "connection_id": s["paths"][0]["connection_id"] }]);
    let id = &s["session_id"];
    let set = |policy: u32| {
        let done = d.ok(
            SET,
            json!({ "session_id": id, "policy": policy, "paths": path }),
        );
        (done["status"].clone(), done["name"].clone())
    };
    let refused = (
        json!(0xefff_0061_u32),
        json!("ISDSC_LB_POLICY_NOT_SUPPORTED"),
    );
    for policy in 2..=6 {
        assert_eq!(set(policy), refused, "{policy}");
    }
    assert_eq!(set(1).0, 0);
    let add = json!({ "session_id": id, "portal": "127.0.0.1" });
    assert_eq!(d.ok(ADD, add)["name"], "ISDSC_TOO_MANY_CONNECTIONS");
    let remove = json!({ "session_id": id, "connection_id": path[0]["connection_id"] });
    assert_eq!(
        d.ok(REMOVE, remove)["name"],
        "ISDSC_CANT_REMOVE_LAST_CONNECTION"
    );
}

#[test]
fn connections_come_and_go_and_all_that_was_set_survives_a_kill() {
    let dir = Dir::new("kept-mcs");
    let (target, d) = start(&dir);
    let s = session(&d);
    let id = s["session_id"].clone();
    let umpio_session = |args: &[&str]| {
        let mut command = umpio(&["session"]);
        let out = command.args(args).arg("--socket").arg(&d.socket).output();
        let out = out.expect("it runs");
        (
            out.status.success(),
            String::from_utf8_lossy(&out.stdout).into_owned(),
        )
    };
    // A third connection, by the CLI; the same portal will do.
    let portal = strings(&target.hello["listening"])[1].clone();
    let portal = portal
        .trim_start_matches("iscsi://")
        .split('/')
        .next()
        .expect("a portal");
    let session_id = id.as_str().expect("an id");
    let (ok, said) = umpio_session(&["add", session_id, portal, "--weight", "9"]);
    assert!(ok, "{said}");
    let three = |q: &Value, n: usize| {
        let paths = q["sessions"][0]["paths"].as_array();
        paths.is_some_and(|p| p.len() == n && p.iter().all(|c| c["connection_status"] == 1))
    };
    let query = |d: &Daemon, n: usize| {
        d.until("msiscsi_query_lb_policy", json!({}), |q| three(q, n))["sessions"][0].take()
    };
    let now = query(&d, 3);
    assert_eq!(now["paths"][2]["weight"], 9, "{now}");
    let first = now["paths"][0]["connection_id"].as_str().expect("an id");
    let weight = format!("{first}=4");
    let (ok, said) = umpio_session(&[
        "policy",
        session_id,
        "weighted-paths",
        "--connection",
        &weight,
    ]);
    assert!(ok, "{said}");
    let (ok, said) = umpio_session(&["list"]);
    assert!(
        ok && said.lines().count() == 4 && said.contains("weighted-paths"),
        "{said}"
    );
    let work = bench(&d.served("a"), 2);
    // One goes, in the midst of I/O.
    let second = now["paths"][1]["connection_id"].clone();
    let remove = json!({ "session_id": id, "connection_id": second });
    assert_eq!(d.ok(REMOVE, remove.clone())["name"], "ISDSC_SUCCESS");
    let d_now = query(&d, 2);
    assert_eq!(d.ok(REMOVE, remove)["name"], "ISDSC_INVALID_CONNECTION_ID");
    let unknown = json!({ "session_id": "0x1", "connection_id": second });
    assert_eq!(d.ok(REMOVE, unknown)["name"], "ISDSC_INVALID_SESSION_ID");
    report(work);
    let kept = |s: &Value| {
        let of = |c: &Value| {
            (
                c["weight"].clone(),
                c["primary"].clone(),
                c["portal"].clone(),
            )
        };
        let paths = s["paths"].as_array().expect("a list");
        (
            s["session_id"].clone(),
            s["policy"].clone(),
            paths.iter().map(of).collect::<Vec<_>>(),
        )
    };
    assert_eq!(d_now["policy"], 5, "{d_now}");
    let before = kept(&d_now);
    let file = dir.path("umpio.toml");
    d.process.end(Signal::SIGKILL);
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let daemon = Daemon::start(&dir, &file);
        assert_eq!(kept(&query(&daemon, 2)), before, "{signal}");
        daemon.process.end(signal);
    }
    // The URL says something else: it has the last word.
    let text = std::fs::read_to_string(&file).expect("there");
    dir.write(
        "umpio.toml",
        &text.replacen("?conn=", "?conn_policy=4&conn=", 1),
    );
    let daemon = Daemon::start(&dir, &file);
    let now = query(&daemon, 2);
    assert_eq!(
        (&now["policy"], &now["paths"][0]["weight"]),
        (&json!(4), &json!(0)),
        "{now}"
    );
}
