//! The control plane cannot stall I/O: idle clients, clients that misbehave, and policy changes as
//! fast as they go, while verified I/O runs.

use crate::kit::{Daemon, Dir, bench, report, target};
use serde_json::json;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

#[test]
fn two_hundred_idle_and_twenty_bad_clients_and_policy_changes_cost_no_io() {
    let dir = Dir::new("load");
    let (_target, urls, _) = target("load", &dir, ["optimized", "optimized"]);
    let text = format!(
        "[[lun]]\nname = \"a\"\npaths = {}\n[[serve]]\nlun = \"a\"\nlisten = [\"nvme-tcp://127.0.0.1:0/nqn.2024-01.io.umpio:l\"]\n",
        serde_json::to_string(&urls).expect("texts")
    );
    let daemon = Daemon::start(&dir, &dir.write("umpio.toml", &text));
    daemon.await_paths("a", 2);
    let work = bench(&daemon.served("a"), 5);
    let connect = || UnixStream::connect(&daemon.socket).expect("the daemon is there");
    let idle: Vec<UnixStream> = (0..200).map(|_| connect()).collect();
    let over = Arc::new(AtomicBool::new(false));
    let changes = Arc::new(AtomicU64::new(0));
    let mut threads = Vec::new();
    for n in 0..20 {
        let (socket, over) = (daemon.socket.clone(), over.clone());
        threads.push(std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let Ok(mut s) = UnixStream::connect(&socket) else {
                    continue;
                };
                // Whatever comes of it.
                let _ = s.set_write_timeout(Some(Duration::from_millis(200)));
                match n % 4 {
                    0 => drop(s.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"meth")),
                    1 => {
                        // 64 MiB that never end.
                        let piece = vec![b'1'; 1 << 20];
                        let _ = s.write_all(b"[");
                        for _ in 0..64 {
                            if s.write_all(&piece).is_err() {
                                break;
                            }
                        }
                    }
                    2 => drop(s.write_all(&[0xFF; 4096])),
                    _ => {
                        // Asks a lot and takes no answer.
                        let ask =
                            json!({ "jsonrpc": "2.0", "id": 1, "method": "lun_list" }).to_string();
                        for _ in 0..200 {
                            if s.write_all(ask.as_bytes()).is_err() {
                                break;
                            }
                        }
                    }
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }));
    }
    let (socket, ends, counts) = (daemon.socket.clone(), over.clone(), changes.clone());
    threads.push(std::thread::spawn(move || {
        let mut s = UnixStream::connect(&socket).expect("the daemon is there");
        let policies = ["RR", "LQD", "LB", "FOO", "WP", "latency"];
        let mut answer = [0; 8192];
        for n in 0.. {
            if ends.load(Ordering::Relaxed) {
                return;
            }
            let params = json!({ "lun": "a", "policy": policies[n % policies.len()] });
            let ask =
                json!({ "jsonrpc": "2.0", "id": n, "method": "policy_set", "params": params });
            s.write_all(ask.to_string().as_bytes()).expect("sent");
            let mut got = Vec::new();
            while !got.ends_with(b"\n") {
                let n = s.read(&mut answer).expect("answered");
                got.extend_from_slice(&answer[..n]);
            }
            assert!(!String::from_utf8_lossy(&got).contains("\"error\""));
            counts.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let report = report(work);
    over.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("no client panicked");
    }
    assert!(report["iops"].as_f64() > Some(0.0));
    let changes = changes.load(Ordering::Relaxed);
    assert!(changes > 20, "only {changes} policy changes came through");
    let lun = daemon.ok("lun_get", json!({ "lun": "a" }));
    assert_eq!(lun["failed"], 0, "{lun}");
    assert_eq!(lun["paths_up"], 2, "{lun}");
    eprintln!("{changes} policy changes, {} I/O/s", report["iops"]);
    drop(idle);
}
