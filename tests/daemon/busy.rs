//! States of the provider that last: a call that waits for the target, a picture that is not to be
//! trusted; each caused for real, and seen by other clients meanwhile.

use crate::kit::{Daemon, Dir, PATIENCE, Running, call, strings, umpio};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const SET: &str = "vds_lun_mpio_set_load_balance_policy";
const ALUA: &str = "dsm_lb_operations_dsm_set_load_balance_policy_alua";
const PLAIN: &str = "dsm_lb_operations_dsm_set_load_balance_policy";
const GET: &str = "vds_lun_mpio_get_load_balance_policy";
const INFO: &str = "vds_lun_mpio_get_path_info";

/// An iSCSI target with a portal in each of groups 1 and 2.
fn target(dir: &Dir) -> (Running, Vec<String>, PathBuf) {
    let rpc = dir.path("target");
    let mut command = umpio(&["target", "--json", "--backing", "mem:16M", "--rpc"]);
    command.arg(&rpc);
    for (group, access) in [(1, "optimized"), (2, "non-optimized")] {
        let url = format!(
            "iscsi://127.0.0.{group}:0/iqn.2024-01.io.umpio:busy/0?group={group}&access={access}"
        );
        command.args(["--listen", &url]);
    }
    let process = Running::start(&mut command);
    let urls = strings(&process.hello["listening"]);
    (process, urls, rpc)
}

/// A LUN that tells its target which states to have, and one that has none to tell. What the target
/// does not answer is waited for: only the target ends it.
fn daemon(dir: &Dir, urls: &[String]) -> Daemon {
    let patient = |url: &String| format!("{url}?answer_timeout=3600000");
    let urls: Vec<String> = urls.iter().map(patient).collect();
    let text = format!(
        "[reactors]\ncount = 2\n[[lun]]\nname = \"a\"\nexplicit_alua = true\npaths = {}\n\
         [[lun]]\nname = \"b\"\npaths = [\"null:1M\"]\n",
        serde_json::to_string(&urls).expect("texts")
    );
    let d = Daemon::start(dir, &dir.write("umpio.toml", &text));
    d.await_paths("a", 2);
    d
}

fn fault(rpc: &Path, fault: &str) {
    for portal in 0..2 {
        let params = json!({ "portal": portal, "fault": fault });
        let answer = call(rpc, "target_set_fault", params);
        assert_eq!(answer["result"], true, "{answer}");
    }
}

/// States of the two groups as the target has them.
fn states(rpc: &Path) -> Vec<String> {
    let status = call(rpc, "target_status", json!({}));
    let of = |n: usize| &status["result"]["portals"][n]["access"][0]["state"];
    strings(&json!([of(0), of(1)]))
}

fn name(d: &Daemon, method: &str, params: Value) -> String {
    d.ok(method, params)["name"]
        .as_str()
        .expect("a name")
        .to_owned()
}

/// A call that does not come back for a while.
fn away(d: &Daemon, method: &'static str, params: Value) -> JoinHandle<Value> {
    let socket = d.socket.clone();
    std::thread::spawn(move || call(&socket, method, params))
}

/// Both paths active: the second one's group has to become so first.
fn both(d: &Daemon) -> Value {
    let paths = d.ok("path_list", json!({ "lun": "a" }));
    let path = |n: usize| json!({ "path_id": paths[n]["nexus_id"] });
    json!([path(0), path(1)])
}

/// Waits until the target has what was asked of it and holds it: it is in progress until the target
/// lets go.
fn is_held(d: &Daemon, rpc: &Path) {
    d.until(INFO, json!({ "lun": "a" }), |i| {
        i["name"] == "VDS_E_ANOTHER_CALL_IN_PROGRESS"
    });
    let began = Instant::now();
    while call(rpc, "target_status", json!({}))["result"]["iscsi"]["held"] == 0 {
        assert!(began.elapsed() < PATIENCE, "nothing is held");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn another_call_is_in_progress_while_the_target_is_told() {
    let dir = Dir::new("progress");
    let (_target, urls, rpc) = target(&dir);
    let d = daemon(&dir, &urls);
    let a = json!({ "lun": "a" });
    assert_eq!(states(&rpc), ["optimized", "non_optimized"]);
    fault(&rpc, "hold_groups");
    let first = away(
        &d,
        SET,
        json!({ "lun": "a", "policy": 6, "paths": both(&d) }),
    );
    is_held(&d, &rpc);
    let busy = "VDS_E_ANOTHER_CALL_IN_PROGRESS";
    assert_eq!(name(&d, GET, a.clone()), busy);
    assert_eq!(name(&d, SET, json!({ "lun": "a", "policy": 4 })), busy);
    assert_eq!(name(&d, SET, json!({ "lun": "a", "policy": 7 })), busy);
    let dsm = json!({ "instance": "a", "policy": 4, "paths": both(&d) });
    for method in [ALUA, PLAIN] {
        assert_eq!(name(&d, method, dsm.clone()), "STATUS_DEVICE_BUSY");
    }
    assert_eq!(name(&d, "vds_service_refresh", json!({})), busy);
    for (method, params) in [
        ("policy_set", json!({ "lun": "a", "policy": "LQD" })),
        ("lun_close", a.clone()),
    ] {
        let e = d.call(method, params).expect_err("busy");
        let text = e["message"].as_str().expect("a text");
        assert!(text.contains("SetLoadBalancePolicy of LUN 'a'"), "{text}");
    }
    // What a LUN could do is known; and another LUN is none of its business.
    let known = "vds_lun_mpio_get_supported_lb_policies";
    assert_eq!(name(&d, known, a.clone()), "S_OK");
    assert_eq!(name(&d, SET, json!({ "lun": "b", "policy": 4 })), "S_OK");
    fault(&rpc, "none");
    let first = first.join().expect("answered")["result"].take();
    assert_eq!(first["name"], "S_OK", "{first}");
    assert_eq!(states(&rpc), ["optimized", "optimized"]);
    let now = d.ok(GET, a);
    assert_eq!(now["policy"], 6, "{now}");
    d.until("path_list", json!({ "lun": "a" }), |p| {
        p[1]["access"] == "optimized"
    });
}

#[test]
fn a_daemon_that_stops_does_not_wait_for_a_call_that_waits() {
    let dir = Dir::new("stopping");
    let (_target, urls, rpc) = target(&dir);
    let d = daemon(&dir, &urls);
    fault(&rpc, "hold_groups");
    let first = away(
        &d,
        SET,
        json!({ "lun": "a", "policy": 6, "paths": both(&d) }),
    );
    is_held(&d, &rpc);
    // Nobody lets go, so only a daemon that does not wait for the target comes to its end.
    let out = d.process.end(Signal::SIGTERM);
    assert!(out.status.success(), "{:?}", out.status);
    // It was told, or the connection was closed first.
    drop(first.join());
}

#[test]
fn a_target_that_refuses_its_orders_leaves_everything_as_it_was() {
    let dir = Dir::new("orders");
    let (_target, urls, rpc) = target(&dir);
    let d = daemon(&dir, &urls);
    let before = d.ok(GET, json!({ "lun": "a" }));
    let vds = json!({ "lun": "a", "policy": 6, "paths": both(&d) });
    let dsm = json!({ "instance": "a", "policy": 6, "paths": both(&d) });
    fault(&rpc, "refuse_groups");
    assert_eq!(name(&d, ALUA, dsm.clone()), "STATUS_IO_DEVICE_ERROR");
    assert_eq!(name(&d, PLAIN, dsm.clone()), "STATUS_IO_DEVICE_ERROR");
    assert_eq!(name(&d, SET, vds), "VDS_E_IO_ERROR");
    assert_eq!(d.ok(GET, json!({ "lun": "a" })), before);
    assert_eq!(states(&rpc), ["optimized", "non_optimized"]);
    fault(&rpc, "none");
    // The path that was to be raised is lost while the target is told.
    fault(&rpc, "hold_groups");
    let first = away(&d, ALUA, dsm.clone());
    is_held(&d, &rpc);
    for lost in ["refuse", "reset"] {
        let params = json!({ "portal": 1, "fault": lost });
        assert_eq!(call(&rpc, "target_set_fault", params)["result"], true);
    }
    fault(&rpc, "none");
    let first = first.join().expect("answered")["result"].take();
    assert_eq!(first["name"], "STATUS_IO_DEVICE_ERROR", "{first}");
    d.await_paths("a", 2);
    assert_eq!(name(&d, ALUA, dsm), "STATUS_SUCCESS");
    assert_eq!(states(&rpc), ["optimized", "optimized"]);
}

#[test]
fn a_standby_group_is_raised_when_no_other_is_left() {
    let dir = Dir::new("raise");
    let (_target, urls, rpc) = target(&dir);
    let d = daemon(&dir, &urls);
    for (group, state) in [(2, "standby"), (1, "standby")] {
        let params = json!({ "group": group, "state": state });
        assert_eq!(call(&rpc, "target_set_access", params)["result"], true);
    }
    // Nobody but the daemon can have raised one.
    let began = Instant::now();
    while !states(&rpc).contains(&"optimized".to_owned()) {
        assert!(began.elapsed() < PATIENCE, "still {:?}", states(&rpc));
        std::thread::sleep(Duration::from_millis(10));
    }
    d.until("path_list", json!({ "lun": "a" }), |p| {
        p[0]["access"] == "optimized" || p[1]["access"] == "optimized"
    });
}

#[test]
fn a_refresh_asks_the_targets_and_is_in_progress_meanwhile() {
    let dir = Dir::new("refresh");
    let (_target, urls, rpc) = target(&dir);
    let d = daemon(&dir, &urls);
    fault(&rpc, "hold_groups");
    let first = away(&d, "vds_service_refresh", json!({}));
    is_held(&d, &rpc);
    let busy = "VDS_E_ANOTHER_CALL_IN_PROGRESS";
    let known = "vds_lun_mpio_get_supported_lb_policies";
    for (method, params) in [
        (known, json!({ "lun": "b" })),
        (SET, json!({ "lun": "b", "policy": 4 })),
        ("vds_service_refresh", json!({})),
        ("vds_service_reenumerate", json!({})),
    ] {
        assert_eq!(name(&d, method, params), busy, "{method}");
    }
    let dsm = json!({ "instance": "b", "policy": 0 });
    assert_eq!(name(&d, ALUA, dsm), "STATUS_DEVICE_BUSY");
    fault(&rpc, "none");
    let first = first.join().expect("answered")["result"].take();
    assert_eq!(first["name"], "S_OK", "{first}");
    assert_eq!(name(&d, INFO, json!({ "lun": "a" })), "S_OK");
}

#[test]
fn a_state_in_other_hands_spoils_the_cache_until_it_is_read_again() {
    let dir = Dir::new("corrupt");
    let file = dir.write(
        "umpio.toml",
        "[[lun]]\nname = \"a\"\npaths = [\"null:1M\"]\n",
    );
    let mut d = Daemon::start(&dir, &file);
    let a = json!({ "lun": "a" });
    let corrupt = "VDS_E_PROVIDER_CACHE_CORRUPT";
    let journal = dir.path("state/journal");
    let garbage = || std::fs::write(&journal, "somebody else's\n").expect("written");
    let gone = || std::fs::remove_file(&journal).expect("removed");
    let state = || std::fs::remove_file(dir.path("state/state")).expect("removed");
    let cases: [&dyn Fn(); 3] = [&garbage, &gone, &state];
    for (n, damage) in cases.into_iter().enumerate() {
        let policy = [4, 5, 6][n];
        let set = json!({ "lun": "a", "policy": policy });
        assert_eq!(name(&d, SET, set.clone()), "S_OK");
        damage();
        for method in [INFO, GET, "vds_lun_mpio_get_supported_lb_policies"] {
            assert_eq!(name(&d, method, a.clone()), corrupt, "{n} {method}");
        }
        assert_eq!(name(&d, SET, set), corrupt);
        let told = d.ok(INFO, a.clone());
        let why = told["why"].as_str().or(told["message"].as_str());
        assert!(why.is_some_and(|w| w.contains("Reenumerate")), "{told}");
        // Refresh alone mends nothing, nor Reenumerate alone.
        let refresh = || name(&d, "vds_service_refresh", json!({}));
        assert_eq!(refresh(), "VDS_E_PROVIDER_FAILURE");
        assert_eq!(name(&d, INFO, a.clone()), corrupt);
        assert_eq!(name(&d, "vds_service_reenumerate", json!({})), "S_OK");
        assert_eq!(name(&d, INFO, a.clone()), corrupt);
        assert_eq!(refresh(), "S_OK");
        let now = d.ok(GET, a.clone());
        assert_eq!(
            (&now["name"], &now["policy"]),
            (&json!("S_OK"), &json!(policy))
        );
        // What was set is there after a kill, whatever became of the files.
        d.process.end(Signal::SIGKILL);
        d = Daemon::start(&dir, &file);
        assert_eq!(d.ok(GET, a.clone())["policy"], policy);
    }
}

#[test]
fn a_lun_without_paths_is_there_and_has_none() {
    let dir = Dir::new("pathless");
    let file = dir.write("umpio.toml", "[[lun]]\nname = \"a\"\npaths = []\n");
    let d = Daemon::start(&dir, &file);
    let info = d.ok(INFO, json!({ "lun": "a" }));
    assert_eq!(info["name"], "S_OK", "{info}");
    assert_eq!(
        (&info["number_of_paths"], &info["paths"]),
        (&json!(0), &json!([]))
    );
    let policy = d.ok(GET, json!({ "lun": "a" }));
    assert_eq!(policy["name"], "S_OK", "{policy}");
    assert_eq!(policy["number_of_paths"], 0);
    // 1 of the DSM's checks: there is nothing to set a policy on.
    for method in [ALUA, PLAIN] {
        let set = json!({ "instance": "a", "policy": 4, "paths": [] });
        assert_eq!(name(&d, method, set), "STATUS_INVALID_PARAMETER");
    }
    d.ok("path_add", json!({ "lun": "a", "url": "null:1M" }));
    d.await_paths("a", 1);
    assert_eq!(d.ok(INFO, json!({ "lun": "a" }))["number_of_paths"], 1);
}
