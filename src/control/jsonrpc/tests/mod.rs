//! Framing and messages; the server in a file of its own.

mod server;

use super::framer::{Framer, Spoilt};
use super::message::{BATCH_MAX, answer, parse};
use super::*;
use crate::base::rng::Rng;
use serde_json::json;

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

#[test]
fn a_message_costs_as_many_calls_as_it_holds_wherever_it_is_carried_out() {
    let calls = |text: String| parse(text.as_bytes()).expect("JSON").calls();
    let one = json!({ "jsonrpc": "2.0", "id": 1, "method": "count" });
    let batch = |n: usize| Value::Array(vec![one.clone(); n]).to_string();
    assert_eq!(calls(one.to_string()), 1);
    assert_eq!(calls(batch(BATCH_MAX)), BATCH_MAX);
    assert_eq!(calls(batch(BATCH_MAX + 1)), 1, "refused as a whole");
}
