//! One session over two portals (MC/S), verified, while one connection after the other is killed by
//! what lies between: the session goes on, and nothing is lost.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const IQN: &str = "iqn.2024-01.io.umpio:mcs";
/// When a thing that must happen has not: far beyond what any machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that does not outlive its test.
struct Running(Option<Child>);

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_umpio"));
        command.args(args).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        Self(Some(command.spawn().expect("the command starts")))
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

/// A hop on the way to a portal, which can be cut.
struct Hop {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    open: Mutex<Vec<TcpStream>>,
    bytes: AtomicU64,
    connections: AtomicU64,
    /// What connects is turned away.
    closed: AtomicBool,
    over: AtomicBool,
}

impl Hop {
    fn new(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let Ok(near) = near else { break };
                if shared.over.load(Ordering::Relaxed) {
                    break;
                }
                if shared.closed.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(far) = TcpStream::connect(to) else {
                    continue;
                };
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let ends = [(&near, &far), (&far, &near)];
                for (from, onto) in ends {
                    let from = from.try_clone().expect("a socket");
                    let onto = onto.try_clone().expect("a socket");
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || carry(from, onto, &shared));
                }
                let mut open = shared.open.lock().expect("not poisoned");
                open.extend([near, far]);
            }
        });
        Self { address, state }
    }

    fn bytes(&self) -> u64 {
        self.state.bytes.load(Ordering::Relaxed)
    }

    fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }

    fn cut(&self) {
        let mut open = self.state.open.lock().expect("not poisoned");
        for s in open.drain(..) {
            let _ = s.shutdown(Shutdown::Both);
        }
    }

    fn close(&self, closed: bool) {
        self.state.closed.store(closed, Ordering::SeqCst);
    }

    /// Ends what goes over it, and waits until something goes over it again.
    fn kill(&self) {
        let made = self.connections();
        self.cut();
        until(|| self.connections() > made);
    }
}

/// Waits until every hop carries commands: far more than a login and its questions have.
fn await_bytes(hops: &[Hop]) {
    let before: Vec<u64> = hops.iter().map(Hop::bytes).collect();
    until(|| {
        let mut all = hops.iter().zip(&before);
        all.all(|(hop, before)| hop.bytes() > before + 1_000_000)
    });
}

impl Drop for Hop {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        self.cut();
        let _ = TcpStream::connect(self.address);
    }
}

fn carry(mut from: TcpStream, mut onto: TcpStream, state: &State) {
    let mut room = [0; 65536];
    while let Ok(n) = from.read(&mut room) {
        if n == 0 || onto.write_all(&room[..n]).is_err() {
            break;
        }
        state.bytes.fetch_add(n as u64, Ordering::Relaxed);
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = onto.shutdown(Shutdown::Both);
}

fn until(mut happened: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !happened() {
        assert!(begin.elapsed() < PATIENCE, "it does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Verified I/O over one session with two connections, while `meddle` has the hops on the way; the
/// report.
fn session_under_load(meddle: impl FnOnce(&[Hop])) -> Value {
    let listen = format!("iscsi://127.0.0.1:0/{IQN}/0");
    let args = ["target", "--backing", "mem:8M", "--listen"];
    let args = [&args[..], &[&listen, "--listen", &listen]].concat();
    let mut target = Running::start(&args);
    let stdout = target.0.as_mut().and_then(|c| c.stdout.take());
    let lines = BufReader::new(stdout.expect("piped")).lines().take(2);
    let hops: Vec<Hop> = lines
        .map(|line| {
            let line = line.expect("a URL");
            let place = line.strip_prefix("iscsi://").expect("a URL");
            let address = place.split('/').next().expect("never empty");
            Hop::new(address.parse().expect("an address"))
        })
        .collect();
    assert_eq!(hops.len(), 2, "the target serves");

    let (first, second) = (hops[0].address, hops[1].address);
    let url = format!("iscsi://{first}/{IQN}/0?conn={second}&fence_assume=never");
    let args = [
        "bench",
        "--rw",
        "randrw",
        "--bs",
        "512..64k",
        "--iodepth",
        "16",
    ];
    let more = [
        "--verify",
        "--destroy",
        "--json",
        "--runtime",
        "1h",
        "--path",
        &url,
    ];
    let bench = Running::start(&[&args[..], &more].concat());
    meddle(&hops);
    await_bytes(&hops);
    let out = bench.interrupt();
    assert_eq!(out.status.code(), Some(130), "{out:?}");
    let v: Value = serde_json::from_slice(&out.stdout).expect("a report");
    assert_eq!((&v["errors"], &v["miscompares"]), (&json!(0), &json!(0)));
    assert!(v["checked"].as_u64() > Some(0), "{v}");
    v
}

#[test]
fn a_session_over_two_portals_outlives_each_of_its_connections() {
    let v = session_under_load(|hops| {
        for _ in 0..4 {
            for hop in hops {
                // Before one is cut the other one, cut before, is back and carries commands.
                await_bytes(hops);
                hop.kill();
            }
        }
    });
    assert_eq!(v["paths"][0]["reconnects"], 0, "the session went on: {v}");
}

/// What the test above looks at does tell when a session is lost.
#[test]
fn without_any_of_its_connections_a_session_is_lost_and_made_again() {
    let v = session_under_load(|hops| {
        await_bytes(hops);
        // None comes back before all are gone.
        hops.iter().for_each(|hop| hop.close(true));
        hops.iter().for_each(Hop::cut);
        hops.iter().for_each(|hop| hop.close(false));
    });
    assert!(v["paths"][0]["reconnects"].as_u64() > Some(0), "{v}");
}
