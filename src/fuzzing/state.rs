//! The daemon's state: the file, and the journal of changes since.

use crate::control::state::{HostState, State, open, replay};
use std::collections::BTreeMap;
use uuid::Uuid;

fn start() -> State {
    State {
        generation: 1,
        host: HostState {
            id: Uuid::nil(),
            initiator_name: "iqn.2026-01.io.umpio:fuzz".to_owned(),
            seed: 1,
        },
        luns: BTreeMap::new(),
        timers: None,
        default_policy: None,
        target_defaults: BTreeMap::new(),
        sessions: BTreeMap::new(),
    }
}

/// A line with the checksum that it needs to be looked into.
fn line(body: &[u8]) -> Vec<u8> {
    let mut out = format!("{:08x} ", crc32c::crc32c(body)).into_bytes();
    out.extend_from_slice(body);
    out.push(b'\n');
    out
}

/// Neither panics; a journal is taken over in whole changes, whose state can be kept and read again;
/// what was left out does not come in later.
pub(super) fn run(bytes: &[u8]) {
    // An error says what is wrong; what it is does not matter here.
    let _ = open(bytes, "fuzz");
    let sealed: Vec<u8> = bytes.split(|b| *b == b'\n').flat_map(line).collect();
    for journal in [bytes, &sealed] {
        let mut state = start();
        let found = replay(&mut state, journal);
        assert_eq!(state.generation, 1 + found.changes);
        let text = serde_json::to_string(&state).expect("a state can be written");
        let again: State = serde_json::from_str(&text).expect("what was written can be read");
        assert_eq!(again, state);
        let taken = &journal[..journal.len() - found.left];
        let mut same = start();
        assert_eq!(replay(&mut same, taken).left, 0);
        assert_eq!(same, state);
        // Over again, it is known already.
        assert_eq!(replay(&mut same, taken).changes, 0);
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let lun = r#"{"generation":2,"luns":{"a":{"disk":3,"policy":{"value":{"policy":"failover","preferred":"0x1"},"file":""},"wishes":{"value":{"0x1":{"weight":7,"primary_optimized":[true,false]}},"file":"[]"}}}}"#;
    let gone = r#"{"generation":3,"luns":{"a":null}}"#;
    let mut rest = start();
    rest.generation = 4;
    let rest = format!(
        r#"{{"generation":4,"rest":{}}}"#,
        serde_json::to_string(&rest).expect("a state can be written")
    );
    let sealed = [lun, gone, &rest].map(|l| line(l.as_bytes())).concat();
    let plain = [lun, gone, &rest].join("\n").into_bytes();
    vec![
        plain,
        sealed,
        b"umpio-state 1 crc32c=0a016cf1 bytes=2\n{}".to_vec(),
    ]
}
