//! The server, over real sockets.

use super::Stub;
use crate::control::jsonrpc::connection::PIECE;
use crate::control::jsonrpc::socket::SocketFile;
use crate::control::jsonrpc::{Methods, Params, RpcError};
use crate::control::jsonrpc::{Server, ServerConfig};
use serde_json::Value;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};

fn path() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("umpio-rpc-unit-{}-{n}.sock", std::process::id()))
}

fn serve(path: &Path) -> Server {
    Server::start(&ServerConfig::new(path), Box::new(Stub::default())).expect("it serves")
}

/// The next answer: a line.
fn line(stream: &mut UnixStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(1) if byte == [b'\n'] => break,
            Ok(1) => text.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8(text).expect("ASCII")
}

fn call(stream: &mut UnixStream, request: &str) -> Value {
    stream.write_all(request.as_bytes()).expect("it listens");
    serde_json::from_str(&line(stream)).expect("an answer")
}

const COUNT: &str = r#"{"jsonrpc":"2.0","id":1,"method":"count"}"#;

#[test]
fn the_socket_is_its_owners_and_goes_with_the_server() {
    let path = path();
    let server = serve(&path);
    let mode = fs::metadata(&path).expect("it is there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let e = SocketFile::listen(&path).expect_err("somebody listens there");
    assert_eq!(e.kind(), ErrorKind::AddrInUse);
    drop(server);
    assert!(!path.exists());
    // What an ended process leaves is replaced.
    drop(UnixListener::bind(&path).expect("free"));
    assert!(path.exists());
    drop(serve(&path));
    // A file that is none of ours is not.
    fs::write(&path, "precious").expect("writable");
    SocketFile::listen(&path).expect_err("a file is there");
    assert_eq!(fs::read_to_string(&path).expect("untouched"), "precious");
    fs::remove_file(&path).expect("there");
}

#[test]
fn requests_follow_each_other_and_the_last_is_answered_after_a_half_close() {
    let path = path();
    let _server = serve(&path);
    let mut s = UnixStream::connect(&path).expect("it listens");
    for n in 1..=3 {
        assert_eq!(call(&mut s, COUNT)["result"], n);
    }
    let three = format!("{COUNT}{COUNT} \n {COUNT}");
    let (head, tail) = three.split_at(60);
    s.write_all(head.as_bytes()).expect("it listens");
    assert!(line(&mut s).contains(":4"));
    s.write_all(tail.as_bytes()).expect("it listens");
    s.shutdown(Shutdown::Write).expect("open");
    assert!(line(&mut s).contains(":5"));
    assert!(line(&mut s).contains(":6"));
    assert_eq!(line(&mut s), "", "and closes");
    // Half a message at the end of a stream is an error.
    let mut s = UnixStream::connect(&path).expect("it listens");
    s.write_all(head.as_bytes()).expect("it listens");
    assert!(line(&mut s).contains(":7"));
    s.shutdown(Shutdown::Write).expect("open");
    assert!(line(&mut s).contains("-32700"));
}

#[test]
fn misbehaving_clients_are_told_so_and_others_do_not_notice() {
    let path = path();
    let _server = serve(&path);
    let connect = || UnixStream::connect(&path).expect("it listens");
    let mut good = connect();
    let mut half = connect();
    half.write_all(&COUNT.as_bytes()[..20]).expect("open");
    let mut garbage = connect();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("open");
    assert!(line(&mut garbage).contains("-32700"));
    assert_eq!(line(&mut garbage), "", "and closed");
    let mut huge = connect();
    // It is closed in the middle, so that writing may fail.
    let _ = huge.write_all(format!("[\"{}", "x".repeat(4 << 20)).as_bytes());
    assert!(line(&mut huge).contains("-32600"));
    let mut wrong = connect();
    assert_eq!(call(&mut wrong, "{bad}")["error"]["code"], -32700);
    assert_eq!(
        call(&mut wrong, COUNT)["result"],
        1,
        "a balanced message spoils only itself"
    );
    assert_eq!(call(&mut good, COUNT)["result"], 2);
    assert_eq!(call(&mut half, &COUNT[20..])["result"], 3);
}

#[test]
fn a_client_that_takes_no_answers_is_not_listened_to_until_it_does() {
    let path = path();
    let _server = serve(&path);
    let mut greedy = UnixStream::connect(&path).expect("it listens");
    greedy.set_nonblocking(true).expect("a socket");
    let long = r#"{"jsonrpc":"2.0","id":1,"method":"long"}"#;
    let mut sent = 0;
    let mut full = 0;
    // Until it is not read any more, and the other client has been served in between.
    while full < 3 {
        match greedy.write(long.as_bytes()) {
            Ok(n) if n == long.len() => sent += 1,
            Ok(n) => panic!("{n} bytes of a small message"),
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::WouldBlock);
                full += 1;
                let mut other = UnixStream::connect(&path).expect("it listens");
                assert!(call(&mut other, COUNT)["result"].is_number());
            }
        }
        assert!(sent < 1_000_000, "it takes everything");
    }
    greedy.set_nonblocking(false).expect("a socket");
    // None of its requests is lost.
    let mut answers = 0;
    let mut piece = vec![0; PIECE];
    while answers < sent {
        let n = greedy.read(&mut piece).expect("open");
        assert!(n > 0, "it was closed after {answers} of {sent} answers");
        answers += piece[..n].iter().filter(|b| **b == b'\n').count();
    }
    assert_eq!(answers, sent);
}

#[test]
fn a_client_too_many_is_told_so_until_another_leaves() {
    let path = path();
    let config = ServerConfig {
        connections: 2,
        ..ServerConfig::new(&path)
    };
    let _server = Server::start(&config, Box::new(Stub::default())).expect("it serves");
    let mut first = UnixStream::connect(&path).expect("it listens");
    let mut second = UnixStream::connect(&path).expect("it listens");
    assert_eq!(call(&mut first, COUNT)["result"], 1);
    assert_eq!(call(&mut second, COUNT)["result"], 2);
    let mut third = UnixStream::connect(&path).expect("it listens");
    assert!(line(&mut third).contains("-32001"));
    assert_eq!(line(&mut third), "", "and closed");
    first.shutdown(Shutdown::Write).expect("open");
    assert_eq!(line(&mut first), "", "gone");
    let mut fourth = UnixStream::connect(&path).expect("it listens");
    assert_eq!(call(&mut fourth, COUNT)["result"], 3);
}

/// `wait` is answered when `open` was called as often as it; `count` counts at once.
#[derive(Debug, Default)]
struct Gated {
    opened: Arc<(Mutex<u64>, Condvar)>,
    stub: Stub,
}

impl Methods for Gated {
    fn call(&mut self, method: &str, params: Params) -> Result<Value, RpcError> {
        let (opened, changed) = &*self.opened;
        match method {
            "wait" => {
                let at = opened.lock().expect("nobody panics");
                let mut at = changed.wait_while(at, |n| *n == 0).expect("nobody panics");
                *at -= 1;
                Ok(Value::from("waited"))
            }
            "open" => {
                *opened.lock().expect("nobody panics") += 1;
                changed.notify_one();
                Ok(Value::from(true))
            }
            _ => self.stub.call(method, params),
        }
    }

    fn waits(&self, method: &str) -> bool {
        method == "wait"
    }

    fn fork(&self) -> Option<Box<dyn Methods>> {
        Some(Box::new(Self {
            opened: self.opened.clone(),
            stub: Stub::default(),
        }))
    }
}

#[test]
fn a_call_that_waits_holds_up_its_own_client_and_nobody_else() {
    let path = path();
    let server =
        Server::start(&ServerConfig::new(&path), Box::<Gated>::default()).expect("it serves");
    let connect = || UnixStream::connect(&path).expect("it listens");
    let ask = |method: &str| format!(r#"{{"jsonrpc":"2.0","id":"{method}","method":"{method}"}}"#);
    let mut waiting: Vec<UnixStream> = (0..20).map(|_| connect()).collect();
    for s in &mut waiting {
        // What comes behind it waits for it, and a batch is as slow as its slowest.
        let both = format!("{}[{},{}]", ask("wait"), ask("echo"), ask("wait"));
        s.write_all(both.as_bytes()).expect("it listens");
    }
    let mut gone = connect();
    gone.write_all(ask("wait").as_bytes()).expect("it listens");
    drop(gone);
    let mut other = connect();
    for n in 1..=50 {
        assert_eq!(call(&mut other, &ask("count"))["result"], n);
    }
    for _ in 0..41 {
        assert_eq!(call(&mut other, &ask("open"))["result"], true);
    }
    for s in &mut waiting {
        assert!(line(s).contains("waited"));
        let batch: Value = serde_json::from_str(&line(s)).expect("JSON");
        assert_eq!(batch[0]["id"], "echo");
        assert_eq!(batch[1]["result"], "waited");
    }
    drop(server);
}
