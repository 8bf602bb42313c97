//! Whether the control plane takes anything from I/O.
//!
//! The daemon serves a LUN in memory over NVMe/TCP; a reactor of this process reads from it, 4 KiB
//! at depth 32, while clients use the daemon's socket. In turn, again and again:
//!
//! - `quiet`: nobody does;
//! - `empty`: `rpc_nothing` at a fixed rate over four connections;
//! - `changes`: policy changes at the same rate, each kept over restarts;
//! - `crowd empty`, `crowd changes`: the same with 200 idle clients and 20 that send half a message,
//!   64 MiB in one, or garbage, and come again;
//! - `flood`: `rpc_nothing` as fast as one client can.
//!
//! Printed as JSON: reads a second (median, least, largest), calls a second, and `changes` as a share
//! of `empty`. Fails when a read or a call fails. Arguments: `--rounds N`, `--ms N` of each phase,
//! `--rate N` calls a second.

#[path = "../kit/mod.rs"]
mod kit;

use kit::{Load, argument, rate, spread};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use umpio::engine::reactor::{LunSpec, Reactor, ReactorConfig};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

const DEPTH: usize = 32;
const CLIENTS: u64 = 4;
const IDLE: usize = 200;
const BAD: usize = 20;
const POLICIES: [&str; 5] = ["LQD", "FOO", "LB", "RRWS", "WP"];

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("{failed} reads or calls failed");
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("control: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The daemon, in a directory of its own.
struct Daemon {
    child: Child,
    dir: PathBuf,
    socket: PathBuf,
}

impl Daemon {
    fn start() -> Fallible<Self> {
        let dir = std::env::temp_dir().join(format!("umpio-control-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let config = dir.join("umpio.toml");
        std::fs::write(
            &config,
            "[[lun]]\nname = \"a\"\npaths = [\"mem:64M\"]\n[[serve]]\nlun = \"a\"\n\
             listen = [\"nvme-tcp://127.0.0.1:0/nqn.2026-01.io.umpio:control\"]\n",
        )?;
        let socket = dir.join("rpc");
        let mut child = Command::new(env!("CARGO_BIN_EXE_umpio"))
            .args(["serve", "--json", "--config"])
            .arg(&config)
            .arg("--socket")
            .arg(&socket)
            .arg("--state-dir")
            .arg(dir.join("state"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().ok_or("no pipe")?).read_line(&mut line)?;
        Ok(Self { child, dir, socket })
    }

    /// Where the LUN is served.
    fn url(&self) -> Fallible<String> {
        for _ in 0..500 {
            let answer = Caller::new(&self.socket)?.call(&request("serve_list", ""))?;
            let answer: serde_json::Value = serde_json::from_str(&answer)?;
            if let Some(url) = answer["result"][0]["urls"][0].as_str() {
                return Ok(url.to_owned());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("the LUN is not served".into())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn request(method: &str, params: &str) -> String {
    let params = if params.is_empty() { "{}" } else { params };
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

/// A client that waits for each answer.
struct Caller(BufReader<UnixStream>);

impl Caller {
    fn new(socket: &Path) -> Fallible<Self> {
        Ok(Self(BufReader::new(UnixStream::connect(socket)?)))
    }

    fn call(&mut self, request: &str) -> std::io::Result<String> {
        self.0.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line)
    }
}

/// What clients do in a phase.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Calls {
    None,
    Empty,
    Changes,
    Flood,
}

#[derive(Default)]
struct Tally {
    over: AtomicBool,
    calls: AtomicU64,
    failed: AtomicU64,
}

/// Clients at work until they are told to end.
struct Crowd {
    tally: Arc<Tally>,
    threads: Vec<JoinHandle<()>>,
    _idle: Vec<UnixStream>,
}

impl Crowd {
    fn start(socket: &Path, calls: Calls, crowd: bool, per_second: u64) -> Fallible<Self> {
        let tally = Arc::new(Tally::default());
        let mut threads = Vec::new();
        let callers = match calls {
            Calls::None => 0,
            Calls::Flood => 1,
            _ => CLIENTS,
        };
        for n in 0..callers {
            let caller = Caller::new(socket)?;
            let tally = tally.clone();
            let pause = match calls {
                Calls::Flood => Duration::ZERO,
                _ => Duration::from_nanos(1_000_000_000 * CLIENTS / per_second),
            };
            let ask = move |i: u64| match calls {
                Calls::Changes => {
                    let policy = POLICIES[((i + n) % POLICIES.len() as u64) as usize];
                    let params = format!(r#"{{"lun":"a","policy":"{policy}"}}"#);
                    request("policy_set", &params)
                }
                _ => request("rpc_nothing", ""),
            };
            threads.push(std::thread::spawn(move || work(caller, &tally, pause, ask)));
        }
        let mut idle = Vec::new();
        if crowd {
            for _ in 0..IDLE {
                idle.push(UnixStream::connect(socket)?);
            }
            for n in 0..BAD {
                let (socket, tally) = (socket.to_owned(), tally.clone());
                threads.push(std::thread::spawn(move || misbehave(&socket, &tally, n)));
            }
        }
        Ok(Self {
            tally,
            threads,
            _idle: idle,
        })
    }

    fn end(self) -> Fallible<(u64, u64)> {
        self.tally.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| "a client panicked")?;
        }
        let of = |n: &AtomicU64| n.load(Ordering::Relaxed);
        Ok((of(&self.tally.calls), of(&self.tally.failed)))
    }
}

fn work(mut caller: Caller, tally: &Tally, pause: Duration, ask: impl Fn(u64) -> String) {
    let began = Instant::now();
    for i in 0.. {
        let due = pause * i as u32;
        if let Some(early) = due.checked_sub(began.elapsed()) {
            std::thread::sleep(early);
        }
        if tally.over.load(Ordering::Relaxed) {
            return;
        }
        match caller.call(&ask(i)) {
            Ok(answer) if answer.contains("\"result\"") => {
                tally.calls.fetch_add(1, Ordering::Relaxed);
            }
            _ => {
                tally.failed.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }
}

/// Whatever comes of it.
fn misbehave(socket: &Path, tally: &Tally, n: usize) {
    let piece = vec![b'1'; 1 << 20];
    while !tally.over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
        let Ok(mut s) = UnixStream::connect(socket) else {
            continue;
        };
        let _ = s.set_write_timeout(Some(Duration::from_millis(500)));
        match n % 3 {
            0 => drop(s.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"meth")),
            1 => {
                let _ = s.write_all(b"[");
                for _ in 0..64 {
                    let over = tally.over.load(Ordering::Relaxed);
                    if over || s.write_all(&piece).is_err() {
                        break;
                    }
                }
            }
            _ => drop(s.write_all(&[0xFF; 4096])),
        }
        let _ = s.set_read_timeout(Some(Duration::from_millis(10)));
        let _ = s.read(&mut [0; 512]);
    }
}

/// A phase, and what was seen of it in each round.
struct Phase {
    name: &'static str,
    calls: Calls,
    crowd: bool,
    reads: Vec<f64>,
    called: Vec<f64>,
}

fn run() -> Fallible<u64> {
    let rounds = argument("--rounds", 5);
    let time = Duration::from_millis(argument("--ms", 1000) as u64);
    let per_second = argument("--rate", 1000) as u64;
    let daemon = Daemon::start()?;
    let config = ReactorConfig::default();
    let clock = config.clock.clone();
    let mut reactor = Reactor::new(config)?;
    let lun = reactor.open_lun(&LunSpec {
        name: "load".to_owned(),
        urls: vec![daemon.url()?],
        ..LunSpec::default()
    })?;
    reactor.await_paths(lun, Duration::from_secs(10))?;
    let port = reactor.open_port(lun);
    let mut load = Load::new(clock);
    load.begin(&mut reactor, port, DEPTH);
    load.run(&mut reactor, &[port], Duration::from_millis(300));
    let phase = |name, calls, crowd| Phase {
        name,
        calls,
        crowd,
        reads: Vec::new(),
        called: Vec::new(),
    };
    let mut phases = [
        phase("quiet", Calls::None, false),
        phase("empty", Calls::Empty, false),
        phase("changes", Calls::Changes, false),
        phase("crowd empty", Calls::Empty, true),
        phase("crowd changes", Calls::Changes, true),
        phase("flood", Calls::Flood, false),
    ];
    let mut failed = 0;
    for _ in 0..rounds {
        for p in &mut phases {
            let crowd = Crowd::start(&daemon.socket, p.calls, p.crowd, per_second)?;
            load.run(&mut reactor, &[port], Duration::from_millis(100));
            let before = crowd.tally.calls.load(Ordering::Relaxed);
            let seen = load.run(&mut reactor, &[port], time);
            let calls = crowd.tally.calls.load(Ordering::Relaxed) - before;
            p.reads.push(rate(seen));
            p.called.push(rate((calls, seen.1)));
            failed += crowd.end()?.1;
        }
    }
    load.end(&mut reactor, port, DEPTH);
    let mut out = serde_json::Map::new();
    for p in &mut phases {
        let (median, least, largest) = spread(&mut p.reads);
        let told = serde_json::json!({
            "reads": median.round(), "least": least.round(), "largest": largest.round(),
            "calls": spread(&mut p.called).0.round(),
        });
        out.insert(p.name.to_owned(), told);
    }
    let reads = |n: usize| spread(&mut phases[n].reads.clone()).0;
    out.insert("changes_of_empty".into(), (reads(2) / reads(1)).into());
    out.insert(
        "crowd_changes_of_empty".into(),
        (reads(4) / reads(3)).into(),
    );
    out.insert("failed".into(), (failed + load.failed).into());
    println!("{}", serde_json::to_string_pretty(&out)?);
    Ok(failed + load.failed)
}
