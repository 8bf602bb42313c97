//! Defaults by vendor and product, counters that are cleared, timers: by the methods of Windows' classes.

use crate::kit::{Daemon, Dir, bench, report, strings, target};
use base64::Engine as _;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

fn daemon(dir: &Dir, urls: &[String]) -> Daemon {
    let text = format!(
        "[[lun]]\nname = \"a\"\npaths = {}\n[[serve]]\nlun = \"a\"\n\
         listen = [\"nvme-tcp://127.0.0.1:0/nqn.2024-01.io.umpio:d\"]\n",
        serde_json::to_string(urls).expect("texts")
    );
    let d = Daemon::start(dir, &dir.write("umpio.toml", &text));
    d.await_paths("a", 2);
    d
}

fn status(d: &Daemon, method: &str, params: Value) -> String {
    let answer = d.ok(method, params);
    answer["name"]
        .as_str()
        .expect("a code has a name")
        .to_owned()
}

/// The only entry of MSDSM_SUPPORTED_DEVICES_LIST: a count, 4 bytes of padding, a counted text.
fn hardware(d: &Daemon) -> String {
    let class = json!({ "class": "MSDSM_SUPPORTED_DEVICES_LIST" });
    let raw = d.ok("wmi_query", class)["raw"]
        .as_str()
        .expect("base64")
        .to_owned();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(raw)
        .expect("base64");
    assert_eq!(bytes[0], 1, "{bytes:?}");
    let units: Vec<u16> = bytes[8..]
        .chunks_exact(2)
        .map(|b| u16::from_le_bytes([b[0], b[1]]))
        .collect();
    let length = usize::from(units[0]) / 2;
    String::from_utf16(&units[1..=length]).expect("a text")
}

fn in_force(d: &Daemon, policy: &str, source: &str) {
    d.until("policy_get", json!({ "lun": "a" }), |p| {
        p["policy"] == policy && p["source"] == source
    });
}

#[test]
fn a_lun_takes_its_own_policy_else_that_of_its_target_else_the_engines() {
    let dir = Dir::new("defaults");
    let (_target, urls, _) = target("defaults", &dir, ["optimized", "optimized"]);
    let d = daemon(&dir, &urls);
    in_force(&d, "round-robin", "capability");
    let id = hardware(&d);
    assert!(id.starts_with("NVMe    "), "{id:?}");
    let engine = |d: &Daemon, policy: u32| {
        let name = status(
            d,
            "msdsm_set_default_load_balance_policy",
            json!({ "policy": policy }),
        );
        assert_eq!(name, "STATUS_SUCCESS");
    };
    let of_target = |d: &Daemon, policy: u32| {
        let params = json!({ "hardware_id": id, "policy": policy });
        status(d, "msdsm_set_target_default_load_balance_policy", params)
    };
    engine(&d, 6);
    in_force(&d, "least-blocks", "engine-default");
    assert_eq!(of_target(&d, 4), "STATUS_SUCCESS");
    in_force(&d, "least-queue-depth", "target-default");
    d.ok("policy_set", json!({ "lun": "a", "policy": "FOO" }));
    in_force(&d, "failover", "explicit");
    d.ok("policy_set", json!({ "lun": "a", "policy": "none" }));
    in_force(&d, "least-queue-depth", "target-default");
    let all = d.ok("msdsm_get_targets_default_load_balance_policy", json!({}));
    assert_eq!(all["targets"][0]["policy"], 4, "{all}");
    // Another vendor's is none of this LUN's business; 7 is for no default; no id is no target.
    let other = json!({ "hardware_id": "ACME    Array", "policy": 1 });
    let set = "msdsm_set_target_default_load_balance_policy";
    assert_eq!(status(&d, set, other), "STATUS_SUCCESS");
    assert_eq!(of_target(&d, 7), "STATUS_INVALID_PARAMETER");
    let none = json!({ "hardware_id": " ", "policy": 1 });
    assert_eq!(status(&d, set, none), "STATUS_INVALID_PARAMETER");
    in_force(&d, "least-queue-depth", "target-default");
    d.process.end(Signal::SIGKILL);
    // It is in force with the first path that joins, not some time after.
    let d = Daemon::start(&dir, &dir.path("umpio.toml"));
    let first = d.until("lun_get", json!({ "lun": "a" }), |l| l["paths_up"] != 0);
    assert_eq!(first["policy"], "least-queue-depth", "{first}");
    d.await_paths("a", 2);
    in_force(&d, "least-queue-depth", "target-default");
    assert_eq!(of_target(&d, 0), "STATUS_SUCCESS");
    in_force(&d, "least-blocks", "engine-default");
    engine(&d, 0);
    in_force(&d, "round-robin", "capability");
}

/// A nexus that two LUNs are on, and one of them is closed, then a path of the other taken out and put in
/// again: what the nexus has carried stays counted, for metrics and for tools.
#[test]
fn counters_of_a_nexus_do_not_fall_when_a_lun_on_it_is_closed() {
    let dir = Dir::new("monotonic");
    let (_target, urls, _) = target("monotonic", &dir, ["optimized", "optimized"]);
    let paths = serde_json::to_string(&urls).expect("texts");
    let lun = |name: &str| {
        format!(
            "[[lun]]\nname = \"{name}\"\npaths = {paths}\n[[serve]]\nlun = \"{name}\"\n\
             listen = [\"nvme-tcp://127.0.0.1:0/nqn.2024-01.io.umpio:{name}\"]\n"
        )
    };
    let file = dir.write("umpio.toml", &(lun("a") + &lun("b")));
    let d = Daemon::start(&dir, &file);
    d.await_paths("a", 2);
    d.await_paths("b", 2);
    let serves = d.until("serve_list", json!({}), |l| {
        l[0]["state"] == "serving" && l[1]["state"] == "serving"
    });
    for at in [0, 1] {
        report(bench(&strings(&serves[at]["urls"]), 1));
    }
    // By nexus, in one order: I/Os, bytes, and those in the histogram.
    let counters = || {
        let text = d.ok("metrics_get", json!({}));
        let text = text.as_str().expect("a text").to_owned();
        let of = |family: &str| {
            let lines = text
                .lines()
                .filter(|l| l.starts_with(&format!("umpio_nexus_{family}{{")));
            let mut all: Vec<(String, u64)> = lines
                .map(|l| l.rsplit_once(' ').expect("a value"))
                .map(|(series, value)| (series.to_owned(), value.parse().expect("a count")))
                .collect();
            all.sort();
            all
        };
        let all = ["ios_total", "bytes_total", "latency_seconds_count"].map(of);
        assert!(
            all.iter()
                .all(|f| f.len() == 2 && f.iter().all(|(_, n)| *n > 0)),
            "{text}"
        );
        all
    };
    let tools = || {
        let health = d.ok("mpio_path_health_info", json!({}));
        let paths = health["paths"].as_array().expect("a list").clone();
        let mut all: Vec<(String, u64)> = paths
            .iter()
            .map(|p| {
                (
                    p["path_id"].to_string(),
                    p["number_reads"].as_u64().expect("a count"),
                )
            })
            .collect();
        all.sort();
        all
    };
    let (before, seen) = (counters(), tools());
    assert!(
        seen.len() == 2 && seen.iter().all(|(_, n)| *n > 0),
        "{seen:?}"
    );
    dir.write("umpio.toml", &lun("b"));
    d.ok("config_reload", json!({}));
    assert_eq!(
        d.ok("lun_list", json!({})).as_array().map(Vec::len),
        Some(1)
    );
    // Nothing is done over them any more: what is counted is the same.
    assert_eq!(counters(), before);
    assert_eq!(tools(), seen);
    let path = d.ok("path_list", json!({ "lun": "b" }))[0].take();
    d.ok(
        "path_remove",
        json!({ "lun": "b", "path": path["nexus_id"] }),
    );
    d.ok("path_add", json!({ "lun": "b", "url": path["url"] }));
    d.await_paths("b", 2);
    assert_eq!(counters(), before);
    assert_eq!(tools(), seen);
}

#[test]
fn health_counters_are_cleared_for_tools_and_count_on_for_metrics() {
    let dir = Dir::new("counters");
    let (_target, urls, _) = target("counters", &dir, ["optimized", "optimized"]);
    let d = daemon(&dir, &urls);
    report(bench(&d.served("a"), 1));
    let reads = |d: &Daemon| {
        let health = d.ok("mpio_devinstance_health_info", json!({ "instance": "a" }));
        let paths = health["paths"].as_array().expect("a list").clone();
        paths
            .iter()
            .map(|p| p["number_reads"].as_u64().expect("a count"))
            .collect::<Vec<_>>()
    };
    let metrics = |d: &Daemon| {
        let text = d.ok("metrics_get", json!({}));
        let text = text.as_str().expect("a text").to_owned();
        let line = |l: &&str| l.starts_with("umpio_path_ios_total") && !l.ends_with(" 0");
        assert!(text.contains("umpio_path_reconnects_total"), "{text}");
        assert!(
            text.contains("umpio_path_access_to_io_seconds_count"),
            "{text}"
        );
        for family in [
            "ios_total",
            "bytes_total",
            "reconnects_total",
            "in_flight",
            "state",
        ] {
            let of = |l: &&str| l.starts_with(&format!("umpio_nexus_{family}{{"));
            let lines = text.lines().filter(of).count();
            assert!(lines >= 2, "umpio_nexus_{family}: {text}");
        }
        text.lines().filter(line).count()
    };
    assert!(reads(&d).iter().all(|n| *n > 0), "{:?}", reads(&d));
    assert_eq!(metrics(&d), 2);
    let class = json!({ "class": "MPIO_WMI_METHODS", "method": 7, "raw": "AAAAAA==" });
    assert_eq!(status(&d, "wmi_execute", class), "STATUS_SUCCESS");
    assert_eq!(reads(&d), [0, 0]);
    assert_eq!(metrics(&d), 2);
    let nobody = json!({ "class": "MPIO_WMI_METHODS", "method": 7, "raw": "CQAAAA==" });
    assert_eq!(
        status(&d, "wmi_execute", nobody),
        "STATUS_INVALID_PARAMETER"
    );
    let short = json!({ "class": "MPIO_WMI_METHODS", "method": 7, "raw": "AA==" });
    assert_eq!(status(&d, "wmi_execute", short), "STATUS_BUFFER_TOO_SMALL");
    // SetDSMCounters, and what the daemon makes of it.
    let set = json!({ "pdo_remove_period": 7, "retry_count": 2, "path_verify_enabled": 1 });
    let method = "mpio_wmi_methods_set_dsm_counters";
    assert_eq!(status(&d, method, set), "STATUS_SUCCESS");
    let timers = d.ok("timers_get", json!({}));
    assert_eq!(
        (&timers["PDORemovePeriod"], &timers["RetryCount"]),
        (&json!(7), &json!(2))
    );
    assert_eq!(timers["PathVerifyEnabled"], true, "{timers}");
    let wrong = json!({ "path_verify_enabled": 2 });
    assert_eq!(status(&d, method, wrong), "STATUS_INVALID_PARAMETER");
    let other = json!({ "dsm_context": "0x1", "retry_count": 1 });
    assert_eq!(status(&d, method, other), "STATUS_INVALID_PARAMETER");
}
