//! Framing, messages and the server.

use super::connection::PIECE;
use super::framer::{Framer, Spoilt};
use super::message::{BATCH_MAX, answer};
use super::socket::SocketFile;
use super::*;
use crate::base::rng::Rng;
use serde_json::json;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// `echo` gives its parameter back, `count` counts its calls, `long` answers with much.
#[derive(Debug, Default)]
struct Stub {
    calls: u64,
}

impl Methods for Stub {
    fn call(&mut self, method: &str, mut params: Params) -> Result<Value, RpcError> {
        self.calls += 1;
        match method {
            "count" => {
                params.finish()?;
                Ok(json!(self.calls))
            }
            "echo" => {
                let text = params.text("text", "a text")?;
                params.finish()?;
                Ok(json!(text))
            }
            "long" => Ok(json!("x".repeat(100_000))),
            _ => Err(RpcError::no_method(method)),
        }
    }
}

/// What a framer makes of pieces: messages, then why it stopped, if it did.
fn frame(pieces: &[&[u8]], limit: usize) -> (Vec<Vec<u8>>, Option<Spoilt>) {
    let mut framer = Framer::new(limit);
    let mut messages = Vec::new();
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.next() {
                Ok(Some(m)) => messages.push(m.to_vec()),
                Ok(None) => break,
                Err(e) => return (messages, Some(e)),
            }
        }
    }
    (messages, None)
}

const STREAM: &[&str] = &[
    r#"{"a":"}]{[\"","b":[1,{"c":"\\"}]}"#,
    " \r\n\t",
    r#"[{"x":"µ"},{}]"#,
    "{}",
    "[]",
];

#[test]
fn a_stream_gives_the_same_messages_wherever_it_is_split() {
    let stream: String = STREAM.concat();
    let want: Vec<Vec<u8>> = STREAM
        .iter()
        .filter(|s| !s.trim().is_empty())
        .map(|s| s.as_bytes().to_vec())
        .collect();
    let bytes = stream.as_bytes();
    for at in 0..=bytes.len() {
        let (head, tail) = bytes.split_at(at);
        assert_eq!(frame(&[head, tail], 1024), (want.clone(), None), "{at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(frame(&single, 1024), (want, None));
}

#[test]
fn what_can_be_no_message_ends_the_stream_and_what_came_before_counts() {
    let bad: [(&str, Spoilt); 6] = [
        ("x", Spoilt::Begins(b'x')),
        ("12", Spoilt::Begins(b'1')),
        ("\0", Spoilt::Begins(0)),
        ("}", Spoilt::Begins(b'}')),
        ("{]", Spoilt::Unbalanced),
        (r#"["}"}"#, Spoilt::Unbalanced),
    ];
    for (text, why) in bad {
        let stream = format!("{{}} {text}");
        assert_eq!(
            frame(&[stream.as_bytes()], 1024),
            (vec![b"{}".to_vec()], Some(why)),
            "{text}"
        );
    }
    let deep = "[".repeat(127);
    assert_eq!(frame(&[deep.as_bytes()], 1024).1, None);
    assert_eq!(
        frame(&[deep.as_bytes(), b"["], 1024).1,
        Some(Spoilt::TooDeep)
    );
}

#[test]
fn a_message_may_be_as_long_as_the_limit_and_no_longer() {
    let message = |n: usize| format!("[\"{}\"]", "x".repeat(n - 4));
    for piece in [1, 7, 64] {
        let pieces = |text: &str| {
            let bytes = text.as_bytes().to_vec();
            let cut: Vec<Vec<u8>> = bytes.chunks(piece).map(<[u8]>::to_vec).collect();
            cut
        };
        let run = |text: &str| {
            let cut = pieces(text);
            let cut: Vec<&[u8]> = cut.iter().map(Vec::as_slice).collect();
            frame(&cut, 64)
        };
        // White space between messages belongs to none.
        let good = format!("{}{}{}", message(64), " ".repeat(100), message(64));
        assert_eq!(run(&good).1, None);
        assert_eq!(run(&good).0.len(), 2);
        assert_eq!(run(&message(65)).1, Some(Spoilt::TooLong(64)));
    }
}

#[test]
fn random_bytes_are_the_same_in_pieces_and_as_a_whole() {
    let mut rng = Rng::new(7);
    let letters = b"{}[]\"\\ x1\n\xff";
    for _ in 0..2000 {
        let n = rng.below(40) as usize;
        let mut bytes = Vec::new();
        for _ in 0..n {
            bytes.push(letters[rng.below(letters.len() as u64) as usize]);
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        let whole = frame(&[&bytes], 16);
        assert_eq!(frame(&single, 16), whole, "{bytes:?}");
        for message in &whole.0 {
            let text = answer(message, &mut Stub::default());
            assert!(text.is_none_or(|t| t.is_ascii() && t.ends_with('\n')));
        }
    }
}

/// The answer to a message, as JSON; null when there is none.
fn ask(methods: &mut Stub, message: &str) -> Value {
    match answer(message.as_bytes(), methods) {
        Some(text) => {
            assert!(text.is_ascii() && text.ends_with('\n') && text.lines().count() == 1);
            serde_json::from_str(&text).expect("an answer is JSON")
        }
        None => Value::Null,
    }
}

#[test]
fn a_request_is_answered_with_its_id() {
    let stub = &mut Stub::default();
    let a = ask(
        stub,
        r#"{"jsonrpc":"2.0","id":"é","method":"echo","params":{"text":"µ"}}"#,
    );
    assert_eq!(a, json!({ "jsonrpc": "2.0", "id": "é", "result": "µ" }));
    let a = ask(
        stub,
        r#"{"jsonrpc":"2.0","id":null,"method":"count","params":[]}"#,
    );
    assert_eq!(a, json!({ "jsonrpc": "2.0", "id": null, "result": 2 }));
}

#[test]
fn each_kind_of_mistake_has_its_code() {
    let stub = &mut Stub::default();
    let cases = [
        (r#"{"jsonrpc":"2.0","id":1,}"#, -32700, json!(null)),
        (r#"{bad}"#, -32700, json!(null)),
        (
            r#"{"jsonrpc":"1.0","id":1,"method":"count"}"#,
            -32600,
            json!(1),
        ),
        (r#"{"id":1,"method":"count"}"#, -32600, json!(1)),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600, json!(1)),
        (
            r#"{"jsonrpc":"2.0","method":1,"params":"bar"}"#,
            -32600,
            json!(null),
        ),
        (
            r#"{"jsonrpc":"2.0","id":[1],"method":"count"}"#,
            -32600,
            json!(null),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"count","params":3}"#,
            -32600,
            json!(1),
        ),
        (r#"[]"#, -32600, json!(null)),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"cuont"}"#,
            -32601,
            json!(1),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"count","params":[1]}"#,
            -32602,
            json!(1),
        ),
    ];
    for (message, code, id) in cases {
        let a = ask(stub, message);
        assert_eq!(
            (&a["error"]["code"], &a["id"]),
            (&json!(code), &id),
            "{message}"
        );
        assert!(a.get("result").is_none());
    }
    assert_eq!(stub.calls, 1, "only the one that does not exist was called");
    let a = ask(
        stub,
        r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":{"txet":"x"}}"#,
    );
    assert_eq!(a["error"]["code"], -32602);
    assert_eq!(a["error"]["data"]["field"], "text");
    let a = answer(b"{\"a\":\"\xff\"}", stub).expect("an answer");
    assert!(a.contains("-32700"), "{a}");
}

#[test]
fn notifications_are_carried_out_and_never_answered() {
    let stub = &mut Stub::default();
    for quiet in [
        r#"{"jsonrpc":"2.0","method":"count"}"#,
        r#"{"jsonrpc":"2.0","method":"cuont"}"#,
        r#"{"jsonrpc":"2.0","method":"count","params":[1]}"#,
        r#"[{"jsonrpc":"2.0","method":"count"}]"#,
    ] {
        assert_eq!(ask(stub, quiet), Value::Null, "{quiet}");
    }
    assert_eq!(stub.calls, 3, "parameters that are no object call nothing");
}

#[test]
fn a_batch_is_answered_in_one_piece_without_its_notifications() {
    let stub = &mut Stub::default();
    let a = ask(
        stub,
        r#"[{"jsonrpc":"2.0","id":1,"method":"count"}, {"jsonrpc":"2.0","method":"count"},
            1, {"jsonrpc":"2.0","id":2,"method":"nope"}, {"jsonrpc":"2.0","id":3,"method":"count"}]"#,
    );
    let list = a.as_array().expect("a list");
    assert_eq!(list.len(), 4);
    assert_eq!(list[0]["result"], 1);
    assert_eq!(list[1]["error"]["code"], -32600);
    assert_eq!(list[2]["error"]["code"], -32601);
    assert_eq!(list[3]["result"], 4);
}

#[test]
fn a_batch_is_bounded_in_number_and_in_what_it_answers() {
    let stub = &mut Stub::default();
    let one = |method: &str| json!({ "jsonrpc": "2.0", "id": 1, "method": method });
    let many = Value::Array(vec![one("count"); BATCH_MAX + 1]).to_string();
    assert_eq!(ask(stub, &many)["error"]["code"], -32600);
    assert_eq!(stub.calls, 0);
    let long = Value::Array(vec![one("long"); 30]).to_string();
    let a = ask(stub, &long);
    let list = a.as_array().expect("a list");
    assert_eq!(list.len(), 30);
    assert!(list[0]["result"].is_string());
    assert_eq!(list[29]["error"]["code"], -32001);
    assert!(stub.calls < 12, "{}", stub.calls);
}

// The server, over real sockets:

fn path() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("umpio-rpc-unit-{}-{n}.sock", std::process::id()))
}

fn serve(path: &std::path::Path) -> Server {
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
    drop(std::os::unix::net::UnixListener::bind(&path).expect("free"));
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
