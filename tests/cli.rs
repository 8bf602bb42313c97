//! The command as scripts use it: exit codes, what is on stdout, what is on stderr.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

fn umpio(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_umpio"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the command starts")
}

/// The one object on stdout.
fn object(out: &Output) -> Value {
    assert!(out.stdout.is_ascii(), "JSON for scripts is ASCII");
    assert_eq!(out.stdout.iter().filter(|b| **b == b'\n').count(), 1);
    serde_json::from_slice(&out.stdout).expect("exactly one JSON object")
}

fn code(out: &Output) -> Option<i32> {
    out.status.code()
}

/// A name in the tests' own directory.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn a_verified_bench_on_memory_is_clean_and_writes_its_files() {
    let (hdr, page) = (file("bench.hgrm"), file("bench.html"));
    let out = umpio(&[
        "bench",
        "--path",
        "mem:4M",
        "--rw",
        "randrw",
        "--bs",
        "512..64k",
        "--verify",
        "--runtime",
        "300ms",
        "--json",
        "--hdr",
        hdr.to_str().expect("UTF-8"),
        "--report",
        page.to_str().expect("UTF-8"),
    ]);
    assert_eq!(code(&out), Some(0), "{out:?}");
    let v = object(&out);
    assert_eq!((&v["errors"], &v["miscompares"]), (&0.into(), &0.into()));
    assert!(v["iops"].as_f64() > Some(0.0) && v["checked"].as_u64() >= Some(8192));
    let table = std::fs::read_to_string(hdr).expect("written");
    assert!(table.contains("TotalCount"));
    let html = std::fs::read_to_string(page).expect("written");
    assert!(html.ends_with("</html>\n"));
}

#[test]
fn failures_have_their_exit_codes_and_one_json_object() {
    let out = umpio(&["bench", "--path", "what:ever", "--json"]);
    assert_eq!(code(&out), Some(1));
    assert!(
        object(&out)["error"]["got"]
            .as_str()
            .expect("text")
            .contains("what:ever")
    );
    let out = umpio(&["bench", "--path", "file:/tmp/x", "--rw", "write"]);
    assert_eq!(code(&out), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("--destroy"));
    assert_eq!(code(&umpio(&["bench"])), Some(2));
    let out = umpio(&["bench", "--path", "mem:1M", "--bs", "2M", "--runtime", "1"]);
    assert_eq!(code(&out), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("--bs 1M"));
}

#[test]
fn a_path_nobody_listens_on_is_told_with_what_came_back() {
    let out = umpio(&[
        "bench",
        "--path",
        "nvme-tcp://127.0.0.1:1/nqn.2024-01.io.umpio:x",
        "--runtime",
        "1",
    ]);
    let err = String::from_utf8_lossy(&out.stderr);
    assert_eq!(code(&out), Some(1), "{err}");
    assert!(
        err.contains("refused") && err.contains("umpio target"),
        "{err}"
    );
}

#[test]
fn a_target_serves_until_it_is_interrupted() {
    let mut target = Command::new(env!("CARGO_BIN_EXE_umpio"))
        .args(["target", "--backing", "mem:8M"])
        .args(["--listen", "nvme-tcp://127.0.0.1:0/nqn.2024-01.io.umpio:t"])
        .args(["--listen", "nvme-tcp://127.0.0.2:0/nqn.2024-01.io.umpio:t"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts");
    let lines = BufReader::new(target.stdout.take().expect("piped")).lines();
    let urls: Vec<String> = lines.take(2).map(|l| l.expect("a URL")).collect();
    let out = umpio(&[
        "bench",
        "--path",
        &urls[0],
        "--path",
        &urls[1],
        "--rw",
        "randrw",
        "--bs",
        "512..128k",
        "--verify",
        "--destroy",
        "--runtime",
        "500ms",
        "--json",
    ]);
    kill(Pid::from_raw(target.id() as i32), Signal::SIGINT).expect("it runs");
    let status = target.wait().expect("it ends");
    assert_eq!(code(&out), Some(0), "{out:?}");
    let v = object(&out);
    assert_eq!(v["miscompares"], 0);
    for path in v["paths"].as_array().expect("a list") {
        assert!(path["ios"].as_u64() > Some(0), "{path}");
    }
    assert_eq!(status.code(), Some(0));
}

#[test]
fn the_demo_loses_nothing_through_its_cuts_and_policy_changes() {
    let out = umpio(&["demo", "--seconds", "4", "--json"]);
    assert_eq!(code(&out), Some(0), "{out:?}");
    let v = object(&out);
    assert_eq!((&v["errors"], &v["miscompares"]), (&0.into(), &0.into()));
    assert!(v["cuts"].as_u64() >= Some(1) && v["policy_changes"].as_u64() >= Some(1));
    let paths = v["paths"].as_array().expect("paths");
    let of = |protocol: &str| {
        let urls = paths.iter().filter_map(|p| p["url"].as_str());
        urls.filter(|u| u.starts_with(protocol)).count()
    };
    assert_eq!((of("nvme-tcp://"), of("iscsi://")), (2, 2));
    assert!(paths.iter().all(|p| p["ios"].as_u64() > Some(0)));
}

#[test]
fn a_trace_is_answered_and_a_wrong_answer_found() {
    let trace = |pick: u32| {
        format!(
            "{}\n{}\n{}\n",
            r#"{"ev":"init","block":512,"luns":[{"alua":"none","paths":[{"id":1},{"id":2}]}]}"#,
            r#"{"ev":"submit","lun":0,"io":1,"op":"read16","lba":0,"blocks":8,"pick":1}"#,
            format_args!(
                r#"{{"ev":"submit","lun":0,"io":2,"op":"read16","lba":8,"blocks":8,"pick":{pick}}}"#
            ),
        )
    };
    let replay = |name: &str, pick| {
        let path = file(name);
        std::fs::write(&path, trace(pick)).expect("writable");
        umpio(&["policy", "replay", "--check", path.to_str().expect("UTF-8")])
    };
    assert_eq!(code(&replay("good.jsonl", 2)), Some(0));
    let bad = replay("bad.jsonl", 1);
    assert_eq!(code(&bad), Some(3));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("expected 1, got 2"));
}
