//! The kept traces replay as written, and a wrong expectation is found.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use umpio::lun::policy::replay::{ReplayError, replay};

fn traces() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/traces");
    let entries = fs::read_dir(folder).expect("the folder of traces");
    let mut found: Vec<PathBuf> = entries.map(|e| e.expect("readable").path()).collect();
    found.retain(|path| path.extension().is_some_and(|ext| ext == "jsonl"));
    found.sort();
    found
}

#[test]
fn every_kept_trace_replays_as_written() {
    let found = traces();
    assert!(found.len() >= 8, "{found:?}");
    for path in found {
        let lines = BufReader::new(File::open(&path).expect("readable")).lines();
        match replay(lines, &mut Vec::new(), true) {
            Ok(summary) => assert!(summary.checked > 5, "{}: {summary:?}", path.display()),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
}

#[test]
fn a_replay_of_its_own_output_agrees_with_itself() {
    for path in traces() {
        let text = fs::read_to_string(&path).expect("readable");
        let mut once = Vec::new();
        replay(text.lines().map(|l| Ok(l.to_owned())), &mut once, false).expect("well-formed");
        let once = String::from_utf8(once).expect("text");
        let mut twice = Vec::new();
        replay(once.lines().map(|l| Ok(l.to_owned())), &mut twice, true).expect("agrees");
        assert_eq!(once.as_bytes(), twice, "{}", path.display());
    }
}

fn run(lines: &[&str]) -> Result<u64, ReplayError> {
    let lines = lines.iter().map(|l| Ok((*l).to_owned()));
    replay(lines, &mut Vec::new(), true).map(|summary| summary.checked)
}

const INIT: &str = r#"{"ev":"init","luns":[{"paths":[{"id":1},{"id":2}]}]}"#;

#[test]
fn the_first_wrong_answer_ends_the_replay() {
    let wrong = r#"{"ev":"submit","io":1,"op":"read16","lba":0,"blocks":8,"pick":2}"#;
    let outcome = run(&["# a comment", INIT, wrong, "never read"]);
    let Err(ReplayError::Mismatch {
        line,
        field,
        expected,
        got,
    }) = outcome
    else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        (line, field.as_str(), expected.as_str(), got.as_str()),
        (3, "pick", "2", "1")
    );
}

#[test]
fn a_line_that_is_no_event_is_named() {
    let cases: [(&[&str], &str); 8] = [
        (&["{"], "line 1:"),
        (&["[]"], "line 1: not an object"),
        (
            &[r#"{"ev":"submit"}"#],
            "line 1: the first event has to be init",
        ),
        (&[INIT, INIT], "line 2: init is the first event"),
        (&[INIT, r#"{"ev":"jump"}"#], "line 2: no event is called"),
        (&[INIT, r#"{"ev":"fail","path":9}"#], "line 2: no path 9"),
        (
            &[INIT, r#"{"ev":"complete","io":9}"#],
            "line 2: io 9 is not in flight",
        ),
        (
            &[INIT, r#"{"ev":"submit","lun":4,"io":1,"op":"other"}"#],
            "line 2: no LUN 4",
        ),
    ];
    for (lines, want) in cases {
        let error = run(lines).expect_err(want).to_string();
        assert!(error.starts_with(want), "{error}");
    }
}
