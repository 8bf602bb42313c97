//! Each rule on one block, told as a story.

use super::*;

/// One block of 512 bytes, and everything ever written to it.
struct Story {
    verifier: Verifier,
    seen: Vec<Seen>,
    versions: Vec<[u8; UNIT]>,
}

impl Story {
    fn new(rules: Rules) -> Self {
        Self {
            verifier: Verifier::new(1, rules, 512, 10, 2),
            seen: Vec::new(),
            versions: vec![[0; UNIT]],
        }
    }

    /// Hands in a write; gives its version.
    fn write(&mut self) -> usize {
        let mut data = [0; UNIT];
        self.verifier.write_started(10, 1, &mut data);
        self.versions.push(data);
        self.versions.len() - 1
    }

    fn written(&mut self, acknowledged: bool) {
        self.verifier.write_done(10, 1, acknowledged, 0);
    }

    fn read(&mut self) {
        self.verifier.read_started(10, 1, &mut self.seen);
    }

    /// The last read handed in returns that version: is it accepted?
    fn returns(&mut self, version: usize) -> bool {
        let before = self.verifier.miscompares();
        let data = self.versions[version];
        self.verifier.read_done(10, 1, &self.seen, &data, 1);
        self.verifier.miscompares() == before
    }

    fn reads(&mut self, version: usize) -> bool {
        self.read();
        self.returns(version)
    }
}

const LOOSE: Rules = Rules {
    fresh: true,
    monotonic_reads: false,
    failures_settle: false,
    tears_beside_writes: false,
};

#[test]
fn a_read_beside_a_write_may_see_either_and_after_it_only_the_new() {
    let mut s = Story::new(LOOSE);
    assert!(s.reads(0));
    let v1 = s.write();
    assert!(s.reads(0) && s.reads(v1) && s.reads(0));
    s.read();
    s.written(true);
    assert!(s.returns(0), "handed in before the acknowledgement");
    assert!(!s.reads(0) && s.reads(v1));
}

#[test]
fn a_read_handed_in_before_a_write_may_see_it() {
    let mut s = Story::new(LOOSE);
    s.read();
    let v1 = s.write();
    s.written(true);
    assert!(s.returns(v1));
}

#[test]
fn a_failed_write_leaves_both_until_one_is_acknowledged() {
    let mut s = Story::new(LOOSE);
    let v1 = s.write();
    s.written(true);
    let v2 = s.write();
    s.written(false);
    assert!(s.reads(v1) && s.reads(v2) && !s.reads(0));
    let v3 = s.write();
    assert!(s.reads(v1) && s.reads(v2) && s.reads(v3));
    s.written(true);
    assert!(s.reads(v3) && !s.reads(v2) && !s.reads(v1));
}

#[test]
fn what_was_seen_is_not_undone_though_its_write_is_still_outstanding() {
    let mut s = Story::new(Rules::default());
    let v1 = s.write();
    s.written(true);
    let v2 = s.write();
    s.read();
    let slow = s.seen.clone();
    assert!(s.reads(v1) && s.reads(v2));
    assert!(!s.reads(v1), "an old write landed on top");
    s.seen = slow;
    assert!(s.returns(v1), "handed in before anybody saw the new one");
}

#[test]
fn a_settled_failure_stays_as_it_was_found() {
    let rules = Rules {
        failures_settle: true,
        ..Rules::default()
    };
    let mut s = Story::new(rules);
    let v1 = s.write();
    s.written(true);
    let v2 = s.write();
    s.read();
    s.written(false);
    assert!(
        s.returns(v1),
        "the write was outstanding: nothing is settled"
    );
    assert!(s.reads(v1));
    assert!(!s.reads(v2), "done after its failure was told");
    let v3 = s.write();
    s.written(true);
    assert!(s.reads(v3) && !s.reads(v2));
}

#[test]
fn overlapping_writes_are_told_apart_from_neighbours() {
    let mut s = Story::new(LOOSE);
    s.write();
    assert!(!s.verifier.may_write(10, 1) && !s.verifier.may_write(10, 2));
    assert!(s.verifier.may_write(11, 1));
    assert!(s.verifier.was_written(10, 2) && !s.verifier.was_written(11, 1));
}

#[test]
fn details_name_place_versions_and_paths() {
    let mut s = Story::new(LOOSE);
    s.write();
    s.written(true);
    let v2 = s.write();
    s.written(true);
    assert!(!s.reads(1));
    let told = s.verifier.details()[0].to_string();
    assert_eq!(
        told,
        "stale data at LBA 0xa (byte 0x1400): expected version 2, found version 1 of unit 0xa \
         (write #1, its unit 0); read over path 1; last acknowledged write over path 0"
    );
    assert!(s.reads(v2));
}

#[test]
fn a_block_torn_beside_a_write_is_allowed_only_where_the_rule_says_so_and_only_beside_it() {
    let tears = Rules {
        tears_beside_writes: true,
        ..Rules::default()
    };
    for (rules, allowed) in [(Rules::default(), false), (tears, true)] {
        let mut s = Story::new(rules);
        let v1 = s.write();
        s.written(true);
        let v2 = s.write();
        s.read();
        let mut torn = s.versions[v2];
        torn[256..].copy_from_slice(&s.versions[v1][256..]);
        s.versions.push(torn);
        let mixed = s.versions.len() - 1;
        assert_eq!(s.returns(mixed), allowed);
        s.written(true);
        assert!(!s.reads(mixed), "the write is over");
        assert_eq!(s.verifier.torn(), u64::from(allowed));
        assert!(s.reads(v2));
    }
}
