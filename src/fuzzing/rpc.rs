//! The control socket: a client's stream through framing, messages and the reading of parameters.

use crate::control::jsonrpc::{Methods, Params, RpcError, code, converse};
use crate::control::rpc::methods;
use serde_json::Value;

/// Bytes of one message, small so that the bound is met.
const MESSAGE_MAX: usize = 2048;

/// Reads calls as the daemon does, and carries nothing out.
#[derive(Debug)]
struct Readers;

impl Methods for Readers {
    fn call(&mut self, method: &str, params: Params) -> Result<Value, RpcError> {
        methods::parse(method, params).map(|()| Value::Bool(true))
    }
}

/// What is answered does not depend on the pieces that the stream came in, is JSON in ASCII, one
/// line each, and has the codes of JSON-RPC.
pub(super) fn run(bytes: &[u8]) {
    let whole = converse(&[bytes], MESSAGE_MAX, &mut Readers);
    let size = bytes.first().map_or(1, |b| usize::from(*b % 7) + 1);
    let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
    let torn = converse(&pieces, MESSAGE_MAX, &mut Readers);
    assert_eq!(whole, torn, "in pieces of {size}");
    for line in &whole {
        assert!(line.is_ascii() && line.ends_with('\n'));
        let answer: Value = serde_json::from_str(line).expect("an answer is JSON");
        let all = match answer {
            Value::Array(batch) => batch,
            one => vec![one],
        };
        for one in all {
            assert_eq!(one["jsonrpc"], "2.0");
            if let Some(e) = one.get("error") {
                let code = e["code"].as_i64().expect("a code");
                let standard = [code::PARSE, code::INVALID_REQUEST, code::METHOD_NOT_FOUND];
                let known = standard.iter().any(|c| i64::from(*c) == code)
                    || code == i64::from(code::INVALID_PARAMS)
                    || code == i64::from(code::TOO_MUCH);
                assert!(known, "{e}");
            }
        }
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let streams = [
        r#"{"jsonrpc":"2.0","id":1,"method":"lun_get","params":{"lun":"a"}}"#,
        r#"{"jsonrpc":"2.0","id":"x","method":"policy_set","params":{"lun":"a","policy":"WP","paths":[{"path":"0x1f","weight":7,"state":"standby"}]}}"#,
        r#"[{"jsonrpc":"2.0","method":"lun_list"},{"jsonrpc":"2.0","id":2,"method":"events_get","params":{"after":1,"max":5}}]"#,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\"} \n {\"id\":null}[]{}",
        r#"{"jsonrpc":"2.0","id":1,"method":"lun_create","params":{"name":"a","paths":["mem:1M"],"weights":[1]}}"#,
        r#"{"a":"\"}]{[\\","b":[[[{}]]]}"#,
    ];
    streams.iter().map(|s| s.as_bytes().to_vec()).collect()
}
