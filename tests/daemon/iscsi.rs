//! iSCSI on both sides of the daemon: paths to a target whose portals fail and change their states,
//! and a LUN served on to hosts that prove who they are.

use crate::kit::{Daemon, Dir, PATIENCE, Running, call, strings, umpio};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Instant;

const SERVE: &str = "[[serve]]\nlun = \"a\"\nlisten = [\"iscsi://127.0.0.1:0/iqn.2024-01.io.umpio:gate/3\"]\n\
chap = [{ user = \"host\", secret = \"a long secret\" }]\n\
target_chap = { user = \"gate\", secret = \"another secret\" }\n";

fn order(rpc: &Path, method: &str, params: Value) -> Value {
    let mut answer = call(rpc, method, params);
    assert!(answer.get("error").is_none(), "{method}: {answer}");
    answer["result"].take()
}

/// A portal in each of groups 1 and 2; only who knows the secret gets in.
fn target(dir: &Dir) -> (Running, Vec<String>, std::path::PathBuf) {
    let rpc = dir.path("target");
    let users = dir.write("users", "# who may log in\ndaemon%the first secret\n");
    let mut command = umpio(&["target", "--json", "--backing", "mem:16M", "--chap"]);
    command.arg(format!("@{}", users.display()));
    command.arg("--rpc").arg(&rpc);
    for group in [1, 2] {
        let url = format!("iscsi://127.0.0.{group}:0/iqn.2024-01.io.umpio:array/0?group={group}");
        command.args(["--listen", &url]);
    }
    let process = Running::start(&mut command);
    let urls = strings(&process.hello["listening"]);
    let urls = urls.iter().map(|u| as_user(u, "daemon%the first secret"));
    let urls = urls.collect();
    (process, urls, rpc)
}

fn as_user(url: &str, who: &str) -> String {
    url.replacen("://", &format!("://{who}@"), 1)
}

/// Verified I/O until it is interrupted.
fn load(url: &str) -> Child {
    let mut command = umpio(&["bench", "--json", "--verify", "--destroy", "--rw", "randrw"]);
    command.args(["--iodepth", "8", "--runtime", "1h", "--path", url]);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().expect("it starts")
}

fn ended(load: Child) -> Value {
    kill(Pid::from_raw(load.id() as i32), Signal::SIGINT).expect("it runs");
    let out = load.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&out.stdout).expect("a report");
    assert_eq!(out.status.code(), Some(130), "{report}");
    assert_eq!(report["errors"], 0, "{report}");
    assert_eq!(report["miscompares"], 0, "{report}");
    report
}

fn path(d: &Daemon, at: usize) -> Value {
    d.ok("path_list", json!({ "lun": "a" }))[at].take()
}

/// Waits until a path carries more I/O.
fn carries(d: &Daemon, at: usize) {
    let before = path(d, at)["ios"].as_u64().expect("a count");
    d.until("path_list", json!({ "lun": "a" }), |p| {
        p[at]["ios"].as_u64() > Some(before + 50)
    });
}

/// Waits until one path carries I/O and the other none meanwhile.
fn moves(d: &Daemon, from: usize, to: usize) {
    let began = Instant::now();
    loop {
        let before = path(d, from)["ios"].clone();
        carries(d, to);
        if path(d, from)["ios"] == before {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "path {from} still carries I/O");
    }
}

#[test]
fn states_and_faults_of_iscsi_portals_move_verified_io_without_an_error() {
    let dir = Dir::new("iscsi");
    let (_target, urls, rpc) = target(&dir);
    let paths = serde_json::to_string(&urls).expect("texts");
    let text = format!("[[lun]]\nname = \"a\"\npolicy = \"LQD\"\npaths = {paths}\n{SERVE}");
    let d = Daemon::start(&dir, &dir.write("umpio.toml", &text));
    d.await_paths("a", 2);
    let served = d.served("a");
    assert!(
        served[0].ends_with("/iqn.2024-01.io.umpio:gate/3"),
        "{served:?}"
    );
    let load = load(&as_user(&served[0], "host%a long secret"));
    carries(&d, 0);
    carries(&d, 1);
    let state = |group: u32, state: &str| {
        let params = json!({ "group": group, "state": state });
        assert_eq!(order(&rpc, "target_set_access", params), true);
    };
    let fault = |portal: u32, fault: &str| {
        let params = json!({ "portal": portal, "fault": fault });
        assert_eq!(order(&rpc, "target_set_fault", params), true);
    };
    let portal = |n: usize| order(&rpc, "target_status", json!({}))["portals"][n].take();
    state(1, "standby");
    moves(&d, 0, 1);
    assert_eq!(portal(0)["access"][0]["state"], "standby");
    d.until("path_list", json!({ "lun": "a" }), |p| {
        p[0]["access"] == "standby"
    });
    state(1, "optimized");
    carries(&d, 0);
    // The portal is gone, and back.
    fault(1, "refuse");
    fault(1, "reset");
    d.until("path_list", json!({ "lun": "a" }), |p| {
        p[1]["joined"] == false
    });
    assert_eq!(portal(1)["faults"], json!(["refuse"]));
    carries(&d, 0);
    fault(1, "none");
    carries(&d, 1);
    // Requests are held there, and let go.
    fault(0, "hold");
    d.until("lun_get", json!({ "lun": "a" }), |_| {
        order(&rpc, "target_status", json!({}))["iscsi"]["held"].as_u64() > Some(0)
    });
    fault(0, "none");
    carries(&d, 0);
    let slow = json!({ "portal": 0, "fault": "delay", "ms": 1 });
    assert_eq!(order(&rpc, "target_set_fault", slow), true);
    carries(&d, 0);
    fault(0, "none");
    // Nothing goes through any more, until it does.
    fault(0, "drop");
    carries(&d, 1);
    fault(0, "none");
    carries(&d, 0);
    let none = call(
        &rpc,
        "target_set_fault",
        json!({ "portal": 2, "fault": "drop" }),
    );
    assert_eq!(none["error"]["data"]["field"], "portal", "{none}");
    ended(load);
    let lun = d.ok("lun_get", json!({ "lun": "a" }));
    assert_eq!(lun["failed"], 0, "{lun}");
}

#[test]
fn a_lun_is_served_on_to_those_who_prove_who_they_are() {
    let dir = Dir::new("chap");
    let text = format!("[[lun]]\nname = \"a\"\npaths = [\"mem:8M\"]\n{SERVE}");
    let d = Daemon::start(&dir, &dir.write("umpio.toml", &text));
    let served = d.served("a")[0].clone();
    let run = |url: &str| {
        let mut command = umpio(&["bench", "--verify", "--destroy", "--rw", "randrw"]);
        let out = command.args(["--runtime", "200ms", "--path", url]).output();
        let out = out.expect("it runs");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        (out.status.code(), said)
    };
    let good = as_user(&served, "host%a long secret");
    let (code, said) = run(&good);
    assert_eq!(code, Some(0), "{said}");
    let mutual = format!("{good}?target_user=gate&target_password=another secret");
    let (code, said) = run(&mutual);
    assert_eq!(code, Some(0), "{said}");
    for wrong in [
        served.clone(),
        as_user(&served, "host%a wrong secret"),
        as_user(&served, "guest%a long secret"),
        mutual.replace("another", "other"),
    ] {
        let (code, said) = run(&wrong);
        assert_eq!(code, Some(1), "{wrong}: {said}");
    }
    // Secrets are part of the config: a new one is in force after a reload.
    dir.write(
        "umpio.toml",
        &text.replace("a long secret", "a newer secret"),
    );
    let told = d.ok("config_reload", json!({}));
    assert_eq!(told["failed"], json!([]), "{told}");
    let served = d.served("a")[0].clone();
    let (code, _) = run(&as_user(&served, "host%a long secret"));
    assert_eq!(code, Some(1));
    let (code, said) = run(&as_user(&served, "host%a newer secret"));
    assert_eq!(code, Some(0), "{said}");
    let config = d.ok("config_get", json!({})).to_string();
    assert!(!config.contains("secret"), "{config}");
}
