//! `umpio target` under way: its control socket while verified I/O runs, and a LUN served on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const NQN: &str = "nqn.2024-01.io.umpio:rpc";

/// When a thing that must happen has not: far beyond what any machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

fn umpio(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_umpio"));
    command.args(args).stdin(Stdio::null());
    command
}

/// A process that does not outlive its test.
struct Running(Option<Child>);

impl Running {
    fn start(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null());
        Self(Some(child.spawn().expect("the command starts")))
    }

    fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("it runs")
    }

    /// Interrupts it and waits for its end.
    fn interrupt(mut self) -> Output {
        let child = self.0.take().expect("it runs");
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("it runs");
        child.wait_with_output().expect("it ends")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The name of a socket, which is taken away even when the test fails.
struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A target with two portals in groups 1 and 2, and its control socket.
struct Target {
    process: Running,
    urls: Vec<String>,
    socket: Socket,
}

impl Target {
    fn start(name: &str, args: &[&str]) -> Self {
        let socket = socket(name);
        let rpc = socket.to_str().expect("UTF-8");
        let mut command = umpio(&["target", "--rpc", rpc]);
        for group in [1, 2] {
            let url = format!("nvme-tcp://127.0.0.{group}:0/{NQN}-{name}?group={group}");
            command.args(["--listen", &url]);
        }
        let mut process = Running::start(command.args(args));
        let stdout = process.child().stdout.take().expect("piped");
        let lines = BufReader::new(stdout).lines().take(2);
        let urls: Vec<String> = lines.map(|l| l.expect("a URL")).collect();
        assert_eq!(urls.len(), 2, "the target serves");
        Self {
            process,
            urls,
            socket: Socket(socket),
        }
    }

    fn call(&self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = exchange(&self.socket.0, request.to_string().as_bytes());
        serde_json::from_str(&answer).expect("one answer")
    }

    fn result(&self, method: &str, params: Value) -> Value {
        let answer = self.call(method, params);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn status(&self) -> Value {
        self.result("target_status", json!({}))
    }

    /// I/O commands that the connections open at each portal have brought.
    fn ios(&self) -> [u64; 2] {
        let status = self.status();
        let mut ios = [0; 2];
        for c in status["connections"].as_array().expect("a list") {
            if c["qid"].as_u64() > Some(0) && c["open"] == true {
                let portal = c["portal"].as_u64().expect("a number") as usize;
                ios[portal] += c["counters"]["commands"].as_u64().expect("a number");
            }
        }
        ios
    }

    /// Waits until a portal carries I/O: until it grows by so much between two looks, or more.
    fn await_ios(&self, portal: usize) {
        let before = self.ios()[portal];
        // A new connection counts from nothing.
        until(|| {
            let now = self.ios()[portal];
            now >= before + 100 || (now < before && now >= 100)
        });
    }

    /// Waits until one portal carries I/O and the other none at all meanwhile.
    fn await_moved(&self, from: usize, to: usize) {
        until(|| {
            let before = self.ios();
            self.await_ios(to);
            self.ios()[from] == before[from]
        });
    }
}

fn until(mut happened: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !happened() {
        assert!(begin.elapsed() < PATIENCE, "it does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A name for a socket; short, since such names may have 107 bytes only.
fn socket(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("umpio-{}-{name}.sock", std::process::id()))
}

/// Sends all of it, says no more, and gives everything that comes back.
fn exchange(socket: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    stream.write_all(request).expect("it reads");
    stream.shutdown(Shutdown::Write).expect("open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.is_ascii());
    answer
}

fn verified<'a>(urls: &'a [String], runtime: &'a str) -> Command {
    let mut command = umpio(&["bench", "--rw", "randrw", "--bs", "512..16k"]);
    command.args(["--iodepth", "8", "--verify", "--destroy", "--json"]);
    command.args(["--runtime", runtime]);
    for url in urls {
        command.args(["--path", url]);
    }
    command
}

/// The report of a verified run that lost nothing.
fn clean(out: &Output, exit: i32) -> Value {
    assert_eq!(out.status.code(), Some(exit), "{out:?}");
    let v: Value = serde_json::from_slice(&out.stdout).expect("a report");
    assert_eq!((&v["errors"], &v["miscompares"]), (&json!(0), &json!(0)));
    assert!(v["checked"].as_u64() > Some(0), "{v}");
    v
}

#[test]
fn states_and_faults_change_over_the_socket_and_verified_io_moves_without_an_error() {
    let target = Target::start("move", &["--backing", "mem:8M"]);
    // It ends when all has been seen, however long that takes.
    let bench = Running::start(&mut verified(&target.urls, "1h"));
    target.await_ios(0);
    target.await_ios(1);

    let state = |group: u32, state: &str| {
        let params = json!({ "group": group, "state": state });
        assert_eq!(target.result("target_set_access", params), true);
    };
    state(1, "inaccessible");
    target.await_moved(0, 1);
    let status = target.status();
    assert_eq!(status["portals"][0]["access"][0]["state"], "inaccessible");
    assert_eq!(status["portals"][1]["access"][0]["state"], "optimized");
    state(1, "optimized");
    target.await_ios(0);
    state(2, "non_optimized");
    target.await_moved(1, 0);
    state(2, "optimized");
    target.await_ios(1);

    let fault = |portal: u32, fault: &str| {
        let params = json!({ "portal": portal, "fault": fault });
        assert_eq!(target.result("target_set_fault", params), true);
    };
    fault(1, "refuse");
    fault(1, "reset");
    target.await_ios(0);
    until(|| target.status()["portals"][1]["connections"] == 0);
    assert_eq!(target.status()["portals"][1]["faults"], json!(["refuse"]));
    fault(1, "none");
    target.await_ios(1);
    let slow = json!({ "portal": 0, "fault": "delay", "ms": 1 });
    assert_eq!(target.result("target_set_fault", slow), true);
    assert_eq!(target.status()["portals"][0]["delay_ms"], 1);
    target.await_ios(0);
    fault(0, "none");
    assert_eq!(target.status()["portals"][0]["faults"], json!([]));
    target.await_ios(1);

    let status = target.status();
    assert_eq!(status["counters"]["protocol_errors"], 0, "{status}");
    assert!(status["controllers"].as_array().map(Vec::len) >= Some(2));
    let v = clean(&bench.interrupt(), 130);
    for path in v["paths"].as_array().expect("a list") {
        assert!(path["ios"].as_u64() >= Some(200), "{path}");
    }
    let Target {
        process, socket, ..
    } = target;
    assert_eq!(process.interrupt().status.code(), Some(0));
    assert!(!socket.0.exists(), "the socket goes with the target");
}

#[test]
fn a_run_whose_io_never_comes_back_ends_and_names_it() {
    let target = Target::start("stuck", &["--backing", "mem:8M"]);
    let bench = Running::start(&mut verified(&target.urls, "1h"));
    target.await_ios(0);
    for portal in [0, 1] {
        let params = json!({ "portal": portal, "fault": "hold" });
        assert_eq!(target.result("target_set_fault", params), true);
    }
    // Until all of it is held.
    until(|| target.status()["counters"]["held"].as_u64() >= Some(8));
    let out = bench.interrupt();
    assert_eq!(out.status.code(), Some(3), "{out:?}");
    let v: Value = serde_json::from_slice(&out.stdout).expect("a report");
    assert_eq!((&v["ok"], &v["interrupted"]), (&json!(false), &json!(true)));
    let lines = v["given_up"].to_string();
    assert!(
        lines.contains("8 I/Os") && lines.contains("blocks from"),
        "{lines}"
    );
    assert!(lines.contains(&target.urls[0]), "{lines}");
}

#[test]
fn one_lun_is_served_and_reached_over_both_protocols_at_once() {
    let mut command = umpio(&["target", "--backing", "mem:8M"]);
    command.args(["--listen", &format!("nvme-tcp://127.0.0.1:0/{NQN}-both")]);
    command.args([
        "--listen",
        "iscsi://127.0.0.1:0/iqn.2024-01.io.umpio:both/0",
    ]);
    let mut target = Running::start(&mut command);
    let stdout = target.child().stdout.take().expect("piped");
    let lines = BufReader::new(stdout).lines().take(2);
    let urls: Vec<String> = lines.map(|l| l.expect("a URL")).collect();
    let report = clean(&verified(&urls, "500ms").output().expect("it runs"), 0);
    for path in report["paths"].as_array().expect("a list") {
        // A stall would let a few pass.
        assert!(path["ios"].as_u64() > Some(16), "{report}");
    }
}

#[test]
fn a_lun_over_two_portals_is_served_on() {
    let a = Target::start("array", &["--backing", "mem:8M"]);
    let paths = ["--path", &a.urls[0], "--path", &a.urls[1]];
    let mut args = vec!["--backing", "lun:x", "--policy", "RR"];
    args.extend(paths);
    let b = Target::start("gateway", &args);
    // Serving begins with the first path; here both are to take part.
    until(|| {
        let status = b.status();
        let paths = status["backing"]["paths"].as_array().expect("a list");
        paths.len() == 2 && paths.iter().all(|p| p["joined"] == true)
    });
    assert_eq!(b.status()["backing"]["policy"], "round-robin");
    let out = verified(&b.urls, "500ms").output().expect("it runs");
    clean(&out, 0);
    let status = b.status();
    assert_eq!(status["backing"]["lun"], "x");
    for path in status["backing"]["paths"].as_array().expect("a list") {
        assert!(path["ios"].as_u64() > Some(0), "{path}");
        assert_eq!(path["errors"], 0, "{path}");
    }
    assert!(a.ios().iter().all(|n| *n > 0), "{:?}", a.ios());
}

#[test]
fn the_socket_answers_mistakes_by_their_codes_and_adds_portals() {
    let target = Target::start("codes", &["--backing", "null:8M"]);
    assert_eq!(
        target.status()["backing"]["paths"][0]["url"],
        "null:8M?zero=1"
    );
    let names = target.result("rpc_get_methods", json!({}));
    assert!(
        names
            .as_array()
            .expect("a list")
            .contains(&json!("target_status"))
    );
    let cases = [
        (
            "target_set_access",
            json!({ "group": 9, "state": "change" }),
            -32602,
            "group",
        ),
        (
            "target_set_access",
            json!({ "group": 1, "state": "off" }),
            -32602,
            "state",
        ),
        (
            "target_set_fault",
            json!({ "portal": 9, "fault": "drop" }),
            -32602,
            "portal",
        ),
        (
            "target_set_fault",
            json!({ "portal": 0, "fault": "delay" }),
            -32602,
            "ms",
        ),
    ];
    for (method, params, code, field) in cases {
        let error = &target.call(method, params)["error"];
        assert_eq!(error["code"], code, "{error}");
        assert_eq!(error["data"]["field"], field, "{error}");
    }
    assert_eq!(target.call("lun_list", json!({}))["error"]["code"], -32601);
    let answers = exchange(
        &target.socket.0,
        br#"{"jsonrpc":"2.0","method":"target_status"} [{"jsonrpc":"2.0","id":7,
            "method":"target_set_access","params":{"group":2,"state":"persistent_loss"}}]{]"#,
    );
    let lines: Vec<&str> = answers.lines().collect();
    assert_eq!(lines.len(), 2, "{answers}");
    assert_eq!(lines[0], r#"[{"jsonrpc":"2.0","id":7,"result":true}]"#);
    assert!(lines[1].contains("-32700"));

    let params = json!({ "address": "127.0.0.3:0", "group": 2 });
    let added = target.result("target_add_portal", params);
    assert_eq!(added["portal"], 2);
    let portal = &target.status()["portals"][2];
    assert_eq!(portal["address"], added["address"]);
    assert_eq!(portal["access"][0]["state"], "persistent_loss");
    let taken = json!({ "address": added["address"] });
    assert_eq!(
        target.call("target_add_portal", taken)["error"]["code"],
        -32000
    );
}

#[test]
fn what_cannot_be_served_is_told_and_nothing_is_left_behind() {
    let listen = [
        "target",
        "--listen",
        "nvme-tcp://127.0.0.1:0/nqn.2024-01.io.umpio:n",
    ];
    let fails = |args: &[&str], exit: i32, say: &str| {
        let out = umpio(&listen).args(args).output().expect("it runs");
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(exit), "{text}");
        assert!(text.contains(say), "{text}");
    };
    fails(&["--backing", "lun:x"], 2, "--path");
    fails(&["--backing", "mem:1M", "--path", "mem:1M"], 2, "lun:");
    fails(&["--backing", "mem:1M", "--policy", "RR"], 2, "lun:");
    fails(
        &["--backing", "lun:x", "--path", "what:ever"],
        1,
        "what:ever",
    );
    let nobody = "nvme-tcp://127.0.0.1:1/nqn.2024-01.io.umpio:x";
    fails(&["--backing", "lun:x", "--path", nobody], 1, "refused");

    let path = socket("taken");
    let rpc = path.to_str().expect("UTF-8");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("free");
    fails(&["--backing", "mem:1M", "--rpc", rpc], 1, "another process");
    // Left by a process that has ended, it is taken over.
    drop(listener);
    let target = Target::start("taken", &["--backing", "mem:1M"]);
    target.status();
}
