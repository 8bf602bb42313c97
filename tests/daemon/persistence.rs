//! What was acknowledged is there after kill -9, wherever that hits.
//!
//! At 200 points, with what came of it (tests/wide.sh does that):
//! `UMPIO_KILLS=200 cargo test --test daemon kills_lose_nothing -- --nocapture`

use crate::kit::{Daemon, Dir, call};
use nix::sys::signal::Signal;
use serde_json::json;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Kills at so many points; $UMPIO_KILLS says otherwise.
const KILLS: u64 = 40;

const LUN: &str = "[[lun]]\nname = \"a\"\npolicy = \"WP\"\npaths = [\"null:1M\"]\n";

/// Sets the weight to 1, 2, 3… until the daemon is gone; the last that was acknowledged.
fn count_up(socket: &Path, nexus: &str, from: u64) -> u64 {
    let mut acknowledged = from;
    let Ok(mut stream) = UnixStream::connect(socket) else {
        return acknowledged;
    };
    loop {
        let next = acknowledged + 1;
        let request = json!({ "jsonrpc": "2.0", "id": next, "method": "policy_set", "params": {
            "lun": "a", "policy": "WP", "paths": [{ "path": nexus, "weight": next }],
        }});
        if stream.write_all(request.to_string().as_bytes()).is_err() {
            return acknowledged;
        }
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while !answer.ends_with(b"\n") {
            match stream.read(&mut piece) {
                Ok(n) if n > 0 => answer.extend_from_slice(&piece[..n]),
                _ => return acknowledged,
            }
        }
        assert!(!String::from_utf8_lossy(&answer).contains("\"error\""));
        acknowledged = next;
    }
}

#[test]
fn kills_lose_nothing_that_was_acknowledged() {
    let dir = Dir::new("kills");
    let file = dir.write("umpio.toml", LUN);
    // A fixed sequence: only where in a write it hits is left to chance.
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut weight = 0;
    let mut guid = None;
    let kills = std::env::var("UMPIO_KILLS").ok();
    let kills = kills.map_or(KILLS, |n| n.parse().expect("a number"));
    let mut under_way = 0;
    // One load more than kills: what the last one has left is looked at too.
    for kill in 0..=kills {
        let daemon = Daemon::start(&dir, &file);
        let lun = call(&daemon.socket, "lun_get", json!({ "lun": "a" }))["result"].take();
        let found = lun["paths"][0]["weight"].as_u64().expect("a weight");
        // The change that was under way may be there or not; none that was acknowledged is missing.
        assert!(
            (weight..=weight + 1).contains(&found),
            "kill {kill}: {found} after {weight}"
        );
        under_way += found - weight;
        weight = found;
        assert_eq!(
            *guid.get_or_insert_with(|| lun["guid"].clone()),
            lun["guid"]
        );
        if kill == kills {
            break;
        }
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let after = Duration::from_micros((random >> 33) % 12_000);
        let nexus = lun["paths"][0]["nexus_id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let socket = daemon.socket.clone();
        let counting = std::thread::spawn(move || count_up(&socket, &nexus, weight));
        std::thread::sleep(after);
        daemon.process.end(Signal::SIGKILL);
        weight = counting.join().expect("it counts");
    }
    println!(
        "{kills} kills, {} loads, {weight} changes in force, none of those acknowledged lost; \
         {under_way} were under way when the kill came and are there",
        kills + 1
    );
    assert!(weight > 0, "some changes came through");
}
