//! Processes, sockets and calls that do not outlive their test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// When a thing that must happen has not: far beyond what any machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn umpio(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_umpio"));
    command.args(args).stdin(Stdio::null());
    command
}

/// A directory that goes with its test.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("umpio-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory");
        Self(dir)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("written");
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that does not outlive its test, and the one JSON line it began with.
pub(crate) struct Running {
    child: Option<Child>,
    pub(crate) hello: Value,
}

impl Running {
    /// Starts something that prints a line of JSON once it runs.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command starts");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let hello = serde_json::from_str(&line).expect("JSON");
        Self {
            child: Some(child),
            hello,
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().expect("it runs").id();
        kill(Pid::from_raw(pid as i32), signal).expect("it runs");
    }

    /// Sends a signal and waits for the end, which has to come.
    pub(crate) fn end(mut self, signal: Signal) -> Output {
        self.signal(signal);
        let began = Instant::now();
        let child = self.child.as_mut().expect("it runs");
        while child.try_wait().expect("a child").is_none() {
            assert!(began.elapsed() < PATIENCE, "{signal} does not end it");
            std::thread::sleep(Duration::from_millis(1));
        }
        let child = self.child.take().expect("it runs");
        child.wait_with_output().expect("it ends")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A daemon with its socket.
pub(crate) struct Daemon {
    pub(crate) process: Running,
    pub(crate) socket: PathBuf,
}

impl Daemon {
    pub(crate) fn start(dir: &Dir, config: &Path) -> Self {
        let socket = dir.path("rpc");
        let state = dir.path("state");
        let process = Running::start(
            umpio(&["serve", "--json", "--config"])
                .arg(config)
                .arg("--socket")
                .arg(&socket)
                .arg("--state-dir")
                .arg(&state),
        );
        Self { process, socket }
    }

    pub(crate) fn call(&self, method: &str, params: Value) -> Result<Value, Value> {
        let mut answer = call(&self.socket, method, params);
        match answer.get("error") {
            Some(e) => Err(e.clone()),
            None => Ok(answer["result"].take()),
        }
    }

    pub(crate) fn ok(&self, method: &str, params: Value) -> Value {
        self.call(method, params.clone())
            .unwrap_or_else(|e| panic!("{method} {params}: {e}"))
    }

    /// Asks until it is so.
    pub(crate) fn until(&self, method: &str, params: Value, so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let got = self.ok(method, params.clone());
            if so(&got) {
                return got;
            }
            assert!(began.elapsed() < PATIENCE, "{method}: still {got}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until that many paths of a LUN have joined.
    pub(crate) fn await_paths(&self, lun: &str, paths: u64) -> Value {
        self.until("lun_get", json!({ "lun": lun }), |l| l["paths_up"] == paths)
    }

    /// URLs of a LUN that is served on.
    pub(crate) fn served(&self, lun: &str) -> Vec<String> {
        let list = self.until("serve_list", json!({}), |l| l[0]["state"] == "serving");
        assert_eq!(list[0]["lun"], lun);
        strings(&list[0]["urls"])
    }
}

pub(crate) fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list");
    list.iter()
        .map(|v| v.as_str().expect("a text").to_owned())
        .collect()
}

/// One call on a connection of its own.
pub(crate) fn call(socket: &Path, method: &str, params: Value) -> Value {
    let mut stream = UnixStream::connect(socket).expect("the daemon is there");
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    stream
        .write_all(request.to_string().as_bytes())
        .expect("sent");
    stream.shutdown(Shutdown::Write).expect("a socket");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{method}: {e}: {text}"))
}

/// A target with two portals, in groups 1 and 2.
pub(crate) fn target(name: &str, dir: &Dir, access: [&str; 2]) -> (Running, Vec<String>, PathBuf) {
    let rpc = dir.path(&format!("{name}.target"));
    let mut command = umpio(&["target", "--json", "--backing", "mem:32M", "--rpc"]);
    command.arg(&rpc);
    for (n, access) in access.iter().enumerate() {
        let group = n + 1;
        let url = format!(
            "nvme-tcp://127.0.0.{group}:0/nqn.2024-01.io.umpio:{name}?group={group}&access={access}"
        );
        command.args(["--listen", &url]);
    }
    let process = Running::start(&mut command);
    let urls = strings(&process.hello["listening"]);
    (process, urls, rpc)
}

/// Verified I/O over these URLs, in a process of its own.
pub(crate) fn bench(urls: &[String], seconds: u32) -> Child {
    let mut command = umpio(&["bench", "--json", "--verify", "--destroy", "--rw", "randrw"]);
    command.args(["--iodepth", "8", "--runtime", &seconds.to_string()]);
    for url in urls {
        command.args(["--path", url]);
    }
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

/// Its report; it saw no error and no wrong data.
pub(crate) fn report(bench: Child) -> Value {
    let out = bench.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&out.stdout).expect("a report");
    assert!(out.status.success(), "{report}");
    assert_eq!(report["errors"], 0, "{report}");
    assert_eq!(report["miscompares"], 0, "{report}");
    report
}
