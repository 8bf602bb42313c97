//! Live reload, run-time settings against the file, LUNs and paths that come and go, signals.

use crate::kit::{Daemon, Dir, bench, report, target, umpio};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;

const ONE: &str = "[[lun]]\nname = \"a\"\npolicy = \"LQD\"\npaths = [\"mem:1M\"]\n";

#[test]
fn a_wrong_file_changes_nothing_and_a_right_one_only_what_differs() {
    let dir = Dir::new("reload");
    let file = dir.write("umpio.toml", ONE);
    let daemon = Daemon::start(&dir, &file);
    let before = daemon.await_paths("a", 1);
    dir.write("umpio.toml", &format!("{ONE}polcy = \"LB\"\n"));
    let e = daemon
        .call("config_reload", json!({}))
        .expect_err("a wrong key");
    let text = e["message"].as_str().expect("a text");
    assert!(
        text.contains("umpio.toml:5") && text.contains("polcy"),
        "{text}"
    );
    assert_eq!(
        daemon.ok("lun_get", json!({ "lun": "a" }))["guid"],
        before["guid"]
    );
    let check = umpio(&["serve", "--check", "--config"])
        .arg(&file)
        .output()
        .expect("it runs");
    assert_eq!(check.status.code(), Some(1));
    let said = String::from_utf8_lossy(&check.stderr);
    assert!(said.contains("polcy") && said.contains("weights"), "{said}");
    // A LUN more, the timers, and nothing else.
    let more = ONE.to_owned()
        + "[[lun]]\nname = \"b\"\npaths = [\"null:1M\"]\n[timers]\nPDORemovePeriod = 7\n[reactors]\ncount = 2\n";
    dir.write("umpio.toml", &more);
    let told = daemon.ok("config_reload", json!({}));
    assert_eq!(
        told["changed"],
        json!(["timers", "LUN b: opened"]),
        "{told}"
    );
    assert_eq!(told["restart_needed"], json!(["reactors"]), "{told}");
    assert_eq!(daemon.ok("timers_get", json!({}))["PDORemovePeriod"], 7);
    // SIGHUP does the same.
    dir.write("umpio.toml", ONE);
    daemon.process.signal(Signal::SIGHUP);
    daemon.until("lun_list", json!({}), |l| {
        l.as_array().is_some_and(|l| l.len() == 1)
    });
    let events = daemon.ok("events_get", json!({ "max": 4096 }));
    let kinds: Vec<&str> = events["events"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|e| e["kind"].as_str())
        .collect();
    for kind in [
        "config_refused",
        "config_reloaded",
        "lun_opened",
        "lun_closed",
    ] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
}

#[test]
fn a_run_time_setting_wins_until_that_key_of_the_file_changes() {
    let dir = Dir::new("override");
    let file = dir.write("umpio.toml", ONE);
    let daemon = Daemon::start(&dir, &file);
    daemon.ok("policy_set", json!({ "lun": "a", "policy": "failover" }));
    let policy = |d: &Daemon| d.ok("policy_get", json!({ "lun": "a" }))["policy"].clone();
    dir.write("umpio.toml", &format!("{ONE}weights = [3]\n"));
    daemon.ok("config_reload", json!({}));
    assert_eq!(policy(&daemon), "failover");
    assert_eq!(
        std::fs::read_to_string(&file)
            .expect("there")
            .lines()
            .count(),
        5
    );
    dir.write("umpio.toml", &ONE.replace("LQD", "LB"));
    daemon.ok("config_reload", json!({}));
    assert_eq!(policy(&daemon), "least-blocks");
    // While the daemon is away, too.
    daemon.ok("policy_set", json!({ "lun": "a", "policy": "share" }));
    assert_eq!(
        daemon.ok("config_get", json!({}))["overridden"],
        json!(["lun.a.policy", "lun.a.weights"])
    );
    daemon.process.end(Signal::SIGTERM);
    dir.write("umpio.toml", ONE);
    let daemon = Daemon::start(&dir, &file);
    assert_eq!(policy(&daemon), "least-queue-depth");
}

#[test]
fn luns_and_paths_come_and_go_under_load() {
    let dir = Dir::new("paths");
    let (_target, urls, _) = target("paths", &dir, ["optimized", "optimized"]);
    let text = format!(
        "[[lun]]\nname = \"a\"\npaths = [\"{}\"]\n[[serve]]\nlun = \"a\"\nlisten = [\"nvme-tcp://127.0.0.1:0/nqn.2024-01.io.umpio:p\"]\n",
        urls[0]
    );
    let daemon = Daemon::start(&dir, &dir.write("umpio.toml", &text));
    let one = daemon.await_paths("a", 1)["paths"][0]["nexus_id"].clone();
    let work = bench(&daemon.served("a"), 5);
    for _ in 0..3 {
        daemon.ok(
            "path_add",
            json!({ "lun": "a", "url": urls[1], "weight": 4 }),
        );
        let lun = daemon.await_paths("a", 2);
        let two = lun["paths"][1]["nexus_id"].clone();
        daemon.ok("path_remove", json!({ "lun": "a", "path": one }));
        let e = daemon
            .call("path_remove", json!({ "lun": "a", "path": two }))
            .expect_err("the last path");
        assert!(e["message"].to_string().contains("last path"), "{e}");
        daemon.ok("path_add", json!({ "lun": "a", "url": urls[0] }));
        daemon.await_paths("a", 2);
        daemon.ok("nexus_reset", json!({ "nexus": one }));
        daemon.ok("path_remove", json!({ "lun": "a", "path": two }));
        daemon.await_paths("a", 1);
    }
    let e = daemon
        .call("lun_close", json!({ "lun": "a" }))
        .expect_err("it is served");
    assert_eq!(e["data"]["field"], "lun", "{e}");
    report(work);
    daemon.ok(
        "lun_create",
        json!({ "name": "c", "paths": ["null:1M"], "policy": "LB" }),
    );
    let again = json!({ "name": "c", "paths": ["null:1M"] });
    let e = daemon.call("lun_create", again).expect_err("it is there");
    assert_eq!(e["data"]["field"], "name", "{e}");
    let guid = daemon.await_paths("c", 1)["guid"].clone();
    daemon.process.end(Signal::SIGKILL);
    let daemon = Daemon::start(&dir, &dir.path("umpio.toml"));
    let c = daemon.await_paths("c", 1);
    assert_eq!((&c["guid"], &c["policy"]), (&guid, &json!("least-blocks")));
    daemon.ok("lun_close", json!({ "lun": "c" }));
    daemon.process.end(Signal::SIGKILL);
    let daemon = Daemon::start(&dir, &dir.path("umpio.toml"));
    assert!(daemon.call("lun_get", json!({ "lun": "c" })).is_err());
}

/// What an operator expects of the file, also where there is one path only: it is given up and had again
/// with other options, or not at all.
#[test]
fn the_only_path_is_renewed_and_taken_away_by_the_file() {
    let dir = Dir::new("only");
    let (_target, urls, _) = target("only", &dir, ["optimized", "optimized"]);
    let text = |paths: &str| {
        let serve = "[[serve]]\nlun = \"a\"\nlisten = [\"nvme-tcp://127.0.0.1:0/nqn.2024-01.io.umpio:o\"]\n";
        format!("[[lun]]\nname = \"a\"\npaths = [{paths}]\n{serve}")
    };
    let plain = text(&format!("\"{}\"", urls[0]));
    let daemon = Daemon::start(&dir, &dir.write("umpio.toml", &plain));
    let nexus = daemon.await_paths("a", 1)["paths"][0]["nexus_id"].clone();
    let work = bench(&daemon.served("a"), 3);
    let reload = |text: &str| {
        dir.write("umpio.toml", text);
        let told = daemon.ok("config_reload", json!({}));
        assert_eq!(told["failed"], json!([]), "{told}");
        told["changed"].to_string()
    };
    for options in ["?hdgst=1", "", "?hdgst=1&ddgst=1"] {
        let url = format!("{}{options}", urls[0]);
        let told = reload(&text(&format!("\"{url}\"")));
        assert!(told.contains(&format!("path {url} renewed")), "{told}");
        let lun = daemon.await_paths("a", 1);
        assert_eq!(lun["paths"][0]["url"], url, "{lun}");
        assert_eq!(lun["paths"][0]["nexus_id"], nexus, "{lun}");
        let ios = lun["ios"].as_u64().expect("a count");
        daemon.until("lun_get", json!({ "lun": "a" }), |l| {
            l["ios"].as_u64() > Some(ios + 50)
        });
    }
    // It waited in between, and saw no error.
    report(work);
    let guid = daemon.ok("lun_get", json!({ "lun": "a" }))["guid"].clone();
    let told = reload(&text(""));
    assert!(told.contains("removed"), "{told}");
    let lun = daemon.ok("lun_get", json!({ "lun": "a" }));
    assert_eq!(
        (&lun["paths_total"], &lun["guid"]),
        (&json!(0), &guid),
        "{lun}"
    );
    let info = daemon.ok("vds_lun_mpio_get_path_info", json!({ "lun": "a" }));
    assert_eq!(
        (&info["name"], &info["number_of_paths"]),
        (&json!("S_OK"), &json!(0))
    );
    reload(&plain);
    let lun = daemon.await_paths("a", 1);
    assert_eq!(lun["guid"], guid);
    report(bench(&daemon.served("a"), 1));
}

#[test]
fn the_service_manager_is_told_and_the_socket_is_its_owners() {
    let dir = Dir::new("notify");
    let at = dir.path("notify");
    let manager = UnixDatagram::bind(&at).expect("bound");
    manager
        .set_read_timeout(Some(crate::kit::PATIENCE))
        .expect("a socket");
    // The daemon inherits it; no other test reads it.
    let file = dir.write("umpio.toml", "[metrics]\nlisten = \"127.0.0.1:0\"\n");
    let socket = dir.path("rpc");
    let process = crate::kit::Running::start(
        umpio(&["serve", "--json", "--config"])
            .arg(&file)
            .arg("--socket")
            .arg(&socket)
            .arg("--state-dir")
            .arg(dir.path("state"))
            .env("NOTIFY_SOCKET", &at),
    );
    let heard = || {
        let mut buf = [0; 256];
        let n = manager.recv(&mut buf).expect("told");
        String::from_utf8_lossy(&buf[..n]).into_owned()
    };
    assert_eq!(heard(), "READY=1");
    let mode = std::fs::metadata(&socket)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    process.signal(Signal::SIGHUP);
    assert!(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(heard(), "READY=1");
    let metrics = process.hello["metrics"]
        .as_str()
        .expect("an address")
        .to_owned();
    let page = http(&metrics, "GET /metrics HTTP/1.1\r\n\r\n");
    assert!(
        page.contains("openmetrics-text") && page.ends_with("# EOF\n"),
        "{page}"
    );
    assert!(http(&metrics, "GET /x HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
    assert!(http(&metrics, "POST / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    let out = process.end(Signal::SIGTERM);
    assert!(out.status.success());
    assert_eq!(heard(), "STOPPING=1");
    assert!(!socket.exists());
}

fn http(at: &str, request: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(at).expect("it listens");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    text
}

#[test]
fn one_daemon_at_a_time_has_a_state() {
    let dir = Dir::new("twice");
    let file = dir.write("umpio.toml", "");
    let _daemon = Daemon::start(&dir, &file);
    let out = umpio(&["serve", "--json", "--config"])
        .arg(&file)
        .arg("--socket")
        .arg(dir.path("other"))
        .arg("--state-dir")
        .arg(dir.path("state"))
        .output()
        .expect("it runs");
    assert_eq!(out.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert!(
        told["error"]["got"]
            .to_string()
            .contains("in use by another daemon"),
        "{told}"
    );
}
