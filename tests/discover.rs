//! `umpio discover` where a portal sends it on, or never comes to an end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use umpio::proto::iscsi::pdu::{BHS_LEN, LoginResponse, TargetSn};

const IQN: &str = "iqn.2024-01.io.umpio:discover";

/// A target process that does not outlive its test, and the portal that it listens at.
struct Target {
    child: Child,
    portal: String,
}

impl Target {
    /// One LUN of that size; `query` goes to the end of the portal's URL.
    fn start(backing: &str, query: &str) -> Self {
        let listen = format!("iscsi://127.0.0.1:0/{IQN}/0{query}");
        let mut child = Command::new(env!("CARGO_BIN_EXE_umpio"))
            .args(["target", "--backing", backing, "--listen", &listen])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command starts");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a URL");
        let place = line.strip_prefix("iscsi://").expect("a URL");
        let portal = place.split('/').next().expect("never empty").to_owned();
        Self { child, portal }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn discover(portal: &str, more: &[&str]) -> (Option<i32>, Value, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_umpio"))
        .args(["discover", &format!("iscsi://{portal}"), "--json"])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let value = serde_json::from_slice(&out.stdout).unwrap_or(Value::Null);
    (out.status.code(), value, said)
}

/// What a portal does with whoever connects, once the whole login request is there. For as long as the
/// test process lives.
fn portal(answer: impl Fn(TcpStream, u32) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut bhs = [0; BHS_LEN];
            if stream.read_exact(&mut bhs).is_err() {
                continue;
            }
            let len = usize::from(u16::from_be_bytes([bhs[6], bhs[7]])).next_multiple_of(4);
            if stream.read_exact(&mut vec![0; len]).is_err() {
                continue;
            }
            let itt = u32::from_be_bytes(bhs[16..20].try_into().expect("4 bytes"));
            answer(stream, itt);
        }
    });
    address
}

/// The header of a login response of `len` bytes of text.
fn response(itt: u32, status: (u8, u8), len: usize) -> [u8; BHS_LEN] {
    let mut bhs = [0; BHS_LEN];
    LoginResponse {
        transit: false,
        cont: false,
        csg: 0,
        nsg: 0,
        version_max: 0,
        version_active: 0,
        isid: [0; 6],
        tsih: 0,
        itt,
        sn: TargetSn {
            stat_sn: 1,
            exp_cmd_sn: 1,
            max_cmd_sn: 1,
        },
        status_class: status.0,
        status_detail: status.1,
    }
    .emit(len, &mut bhs);
    bhs
}

/// A portal that answers every login with "target moved" (RFC 7143, 11.13.5).
fn moved(to: impl Fn() -> String + Send + 'static, for_good: bool) -> SocketAddr {
    portal(move |mut stream, itt| {
        let mut text = format!("TargetAddress={}\0", to()).into_bytes();
        let len = text.len();
        text.resize(len.next_multiple_of(4), 0);
        let status = (1, if for_good { 2 } else { 1 });
        let _ = stream.write_all(&response(itt, status, len));
        let _ = stream.write_all(&text);
        // Its end is the asker's to see.
        let _ = stream.read(&mut [0]);
    })
}

/// A portal whose answer never ends, and which is never silent either.
fn endless() -> SocketAddr {
    portal(|mut stream, itt| {
        std::thread::spawn(move || {
            let _ = stream.write_all(&response(itt, (0, 0), 8000));
            while stream.write_all(b"X").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
    })
}

/// Size of the only LUN of the only target.
fn bytes(found: &Value) -> Option<u64> {
    let targets = found["targets"].as_array()?;
    assert_eq!(targets.len(), 1, "{found}");
    found["targets"][0]["groups"][0]["luns"][0]["bytes"].as_u64()
}

#[test]
fn a_discovery_login_that_is_sent_on_leads_to_the_targets_of_the_other_portal() {
    for for_good in [false, true] {
        let target = Target::start("mem:8M", "");
        let there = target.portal.clone();
        let first = moved(move || there.clone(), for_good);
        // By a second one, which sends it on as well.
        let before = moved(move || first.to_string(), for_good);
        let (status, found, said) = discover(&before.to_string(), &[]);
        assert_eq!(status, Some(0), "{said}");
        assert_eq!(bytes(&found), Some(8 << 20), "{found}");
    }
}

#[test]
fn the_login_for_the_luns_is_followed_to_where_it_is_sent() {
    for word in ["moved", "moved_for_good"] {
        let other = Target::start("mem:16M", "");
        let first = Target::start("mem:8M", &format!("?{word}={}", other.portal));
        let (status, found, said) = discover(&first.portal, &[]);
        assert_eq!(status, Some(0), "{said}");
        assert_eq!(
            bytes(&found),
            Some(16 << 20),
            "the other one's LUN: {found}"
        );
    }
}

#[test]
fn portals_that_send_the_login_around_in_a_circle_are_given_up_on() {
    let (tx, rx) = std::sync::mpsc::channel::<SocketAddr>();
    let second = std::sync::Mutex::new((rx, None::<SocketAddr>));
    let first = moved(
        move || {
            let mut known = second.lock().expect("not poisoned");
            let to = known
                .1
                .unwrap_or_else(|| known.0.recv().expect("sent below"));
            known.1 = Some(to);
            to.to_string()
        },
        false,
    );
    let back = moved(move || first.to_string(), false);
    tx.send(back).expect("it waits");
    let (status, _, said) = discover(&first.to_string(), &[]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("from portal to portal"), "{said}");
}

#[test]
fn a_portal_that_is_never_silent_and_never_done_is_given_up_on_at_the_deadline() {
    let more = ["--deadline", "500ms"];
    let (status, _, said) = discover(&endless().to_string(), &more);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("--deadline"), "{said}");
}

#[test]
fn a_target_that_never_comes_to_tell_its_luns_is_given_up_on_at_the_deadline() {
    let target = Target::start("mem:8M", &format!("?moved={}", endless()));
    // Far longer than the answers of the first portal take.
    let (status, found, said) = discover(&target.portal, &["--deadline", "3s"]);
    assert_eq!(status, Some(1), "{said}");
    let why = &found["targets"][0]["groups"][0]["error"];
    assert!(
        why.as_str().is_some_and(|e| e.contains("--deadline")),
        "{found}"
    );
}
