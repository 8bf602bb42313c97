//! The way of a user: a target, a daemon from a config file, policies under verified I/O, restarts.

use crate::kit::{Daemon, Dir, bench, report, target, umpio};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

fn config(dir: &Dir, urls: &[String], more: &str) -> std::path::PathBuf {
    let paths = serde_json::to_string(urls).expect("texts");
    dir.write(
        "umpio.toml",
        &format!(
            "[[lun]]\nname = \"a\"\npaths = {paths}\n{more}\n[[serve]]\nlun = \"a\"\n\
             listen = [\"nvme-tcp://127.0.0.1:0/nqn.2024-01.io.umpio:served\"]\n"
        ),
    )
}

fn ios(daemon: &Daemon) -> Vec<u64> {
    let paths = daemon.ok("path_list", json!({ "lun": "a" }));
    let paths = paths.as_array().expect("a list");
    paths
        .iter()
        .map(|p| p["ios"].as_u64().expect("a count"))
        .collect()
}

fn nexuses(daemon: &Daemon) -> Vec<String> {
    let paths = daemon.ok("path_list", json!({ "lun": "a" }));
    let paths = paths.as_array().expect("a list");
    paths
        .iter()
        .map(|p| p["nexus_id"].as_str().expect("an id").to_owned())
        .collect()
}

/// What must be the same after a restart.
fn kept(daemon: &Daemon) -> Value {
    let lun = daemon.await_paths("a", 2);
    let policy = daemon.ok("policy_get", json!({ "lun": "a" }));
    let status = daemon.ok("daemon_status", json!({}));
    json!({
        "guid": lun["guid"], "disk": lun["disk"], "identity": lun["identity"],
        "policy": policy["policy"], "source": policy["source"],
        "paths": policy["paths"],
        "nqn": status["host_nqn"], "id": status["host_id"], "name": status["initiator_name"],
    })
}

#[test]
fn every_policy_moves_the_io_and_survives_a_restart() {
    let dir = Dir::new("story");
    let (_target, urls, _) = target("story", &dir, ["optimized", "optimized"]);
    let config = config(&dir, &urls, "");
    let daemon = Daemon::start(&dir, &config);
    daemon.await_paths("a", 2);
    let served = daemon.served("a");
    let [one, two]: [String; 2] = nexuses(&daemon).try_into().expect("two paths");
    let work = bench(&served, 6);
    // Until the load is there.
    daemon.until("lun_get", json!({ "lun": "a" }), |l| {
        l["ios"].as_u64() > Some(100)
    });
    for policy in ["FOO", "RR", "RRWS", "LQD", "WP", "LB", "latency", "share"] {
        daemon.ok("policy_set", json!({ "lun": "a", "policy": policy }));
        let before = ios(&daemon);
        daemon.until("lun_get", json!({ "lun": "a" }), |l| {
            l["ios"].as_u64() > Some(before.iter().sum::<u64>() + 200)
        });
    }
    // The lowest weight takes everything that is new.
    for (light, heavy, at) in [(&one, &two, 0), (&two, &one, 1)] {
        daemon.ok(
            "policy_set",
            json!({ "lun": "a", "policy": "weighted-paths", "paths": [
                { "path": light, "weight": 1 }, { "path": heavy, "weight": 9 },
            ]}),
        );
        // What was on its way still ends on the other.
        let start = ios(&daemon);
        daemon.until("path_list", json!({ "lun": "a" }), |p| {
            p[at]["ios"].as_u64() > Some(start[at] + 100)
        });
        let middle = ios(&daemon);
        daemon.until("path_list", json!({ "lun": "a" }), |p| {
            p[at]["ios"].as_u64() > Some(middle[at] + 100)
        });
        let end = ios(&daemon);
        assert!(end[1 - at] - middle[1 - at] <= 8, "{middle:?} {end:?}");
    }
    // The preferred path of failover.
    daemon.ok(
        "policy_set",
        json!({ "lun": "a", "policy": "failover", "preferred": one }),
    );
    report(work);
    let before = kept(&daemon);
    assert_eq!(before["policy"], "failover");
    assert_eq!(before["paths"][0]["preferred"], true, "{before}");
    assert_eq!(before["paths"][1]["weight"], 1, "{before}");
    // Killed, and ended in order.
    daemon.process.end(Signal::SIGKILL);
    let daemon = Daemon::start(&dir, &config);
    assert_eq!(kept(&daemon), before);
    let out = daemon.process.end(Signal::SIGTERM);
    assert!(out.status.success());
    let daemon = Daemon::start(&dir, &config);
    assert_eq!(kept(&daemon), before);
    // The command line sees the same.
    let out = umpio(&["policy", "get", "a", "--json", "--socket"])
        .arg(&daemon.socket)
        .output()
        .expect("it runs");
    let told: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert!(out.status.success() && out.stdout.is_ascii());
    assert_eq!(told["paths"], before["paths"]);
    let out = umpio(&["policy", "set", "b", "LQD", "--json", "--socket"])
        .arg(&daemon.socket)
        .output()
        .expect("it runs");
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("no LUN 'b'"));
}

#[test]
fn what_windows_refuses_is_refused() {
    let dir = Dir::new("refused");
    let (_target, urls, _) = target("refused", &dir, ["optimized", "non-optimized"]);
    let daemon = Daemon::start(&dir, &config(&dir, &urls, "policy = \"LQD\""));
    let lun = daemon.await_paths("a", 2);
    assert_eq!(lun["symmetric"], false, "{lun}");
    let e = daemon
        .call("policy_set", json!({ "lun": "a", "policy": "RR" }))
        .expect_err("round robin on unequal paths");
    assert_eq!(e["data"]["field"], "policy", "{e}");
    assert!(
        e["message"]
            .to_string()
            .contains("STATUS_INVALID_PARAMETER"),
        "{e}"
    );
    let e = daemon
        .call("defaults_set", json!({ "policy": "latency" }))
        .expect_err("a vendor policy as a default");
    assert_eq!(e["data"]["field"], "policy", "{e}");
    let now = daemon.ok("policy_get", json!({ "lun": "a" }));
    assert_eq!(
        now["policy"], "least-queue-depth",
        "a refusal changes nothing"
    );
    let nobody = json!({ "lun": "a", "policy": "WP", "paths": [{ "path": "0x1", "weight": 1 }] });
    let e = daemon.call("policy_set", nobody).expect_err("no such path");
    assert_eq!(e["data"]["field"], "path", "{e}");
}
