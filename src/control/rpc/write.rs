//! Answers as JSON. 64-bit ids are texts; counters are numbers.

use crate::control::command::Answer;
use crate::control::events::Event;
use crate::control::state::id;
use serde::Serialize;
use serde_json::{Value, json};

pub(super) fn answer(answer: &Answer) -> Value {
    match answer {
        Answer::Done => Value::Bool(true),
        Answer::Version(a) => plain(a),
        Answer::Status(a) => plain(a),
        Answer::Config(a) => plain(a),
        Answer::Luns(a) => plain(a),
        Answer::Lun(a) => plain(a),
        Answer::Paths(a) => plain(a),
        Answer::Nexuses(a) => plain(a),
        Answer::Policy(a) => plain(a),
        Answer::Defaults(a) => plain(a),
        Answer::Timers(a) => plain(a),
        Answer::Events { events, last } => json!({
            "events": events.iter().map(event).collect::<Vec<_>>(),
            "last": last,
        }),
        Answer::Serves(a) => plain(a),
        Answer::Reload(a) => plain(a),
        Answer::Text(text) => json!(text),
        // Objects write their own answers; no method gives this one.
        Answer::Object(_) => Value::Null,
    }
}

fn plain(a: &impl Serialize) -> Value {
    serde_json::to_value(a).expect("answers are plain data")
}

fn event(e: &Event) -> Value {
    json!({
        "seq": e.seq,
        "time_ns": e.wall_ns,
        "kind": e.kind.name(),
        "lun": (!e.lun.is_empty()).then_some(&e.lun),
        "nexus_id": e.nexus.map(id),
        "text": e.text,
    })
}
