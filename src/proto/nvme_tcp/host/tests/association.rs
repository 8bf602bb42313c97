//! Login, upkeep and the orderly end.

use super::fake::{Fake, namespace};
use super::peer::{contents, pattern, request};
use super::world::{World, config};
use crate::base::request::Op;
use crate::proto::nvme::ana::AnaState;
use crate::proto::nvme::ccr::{CcrLogEntry, CcrStatus};
use crate::proto::nvme::fabrics::Connect;
use crate::proto::nvme::{AdminOpcode, AsyncEvent, Sqe, Status, StatusCode};
use crate::proto::nvme_tcp::host::{AssociationConfig, AssociationEvent, CcrResult};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn count(w: &World, op: AdminOpcode) -> usize {
    w.fake.seen.iter().filter(|o| **o == op.0).count()
}

#[test]
fn comes_up_and_says_what_is_there() {
    let mut w = World::new(config(), Fake::new());
    w.come_up();
    let c = w.host.controller().unwrap().clone();
    assert_eq!((c.cntlid, c.ciu, c.cirn), (7, 3, 0x1122_3344_5566_7788));
    assert_eq!((c.ccrl, c.cqt_ms, c.kato_ms), (2, 1500, 2000));
    assert_eq!((c.mdts_bytes, c.in_capsule_max), (Some(131_072), 8192));
    assert_eq!((c.serial.as_str(), c.model.as_str()), ("SERIAL", "MODEL"));
    assert_eq!((c.io_queues, c.depth), (2, 32));
    assert!(c.acre && c.vwc && c.ana && !c.tbkas);
    let n = w.host.namespaces();
    assert_eq!(n.len(), 2);
    assert_eq!((n[0].nsid, n[0].blocks, n[0].block_size), (1, 1000, 512));
    assert_eq!((n[1].nsid, n[1].blocks, n[1].ana_state), (3, 3000, 2));
    assert_eq!(n[1].uuid, Some([3; 16]));
    assert_eq!(n[1].eui64, Some([0xe3; 8]));
    assert_eq!(n[1].nguid, None);
    // One admin and two I/O queues, each with its own Connect.
    let q: Vec<_> = w.fake.connects.iter().map(|c| c.0).collect();
    assert_eq!(q.iter().map(|c| c.qid).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(q[0].kato_ms, 2000);
    assert_eq!((q[0].sqsize0, q[1].sqsize0), (31, 32));
    assert_eq!(q[1].cattr, Connect::DISABLE_SQFLOW);
    let data: Vec<_> = w.fake.connects.iter().map(|c| c.1.cntlid).collect();
    assert_eq!(data, [0xffff, 7, 7]);
    assert_eq!(w.fake.events.len(), 4);
}

#[test]
fn comes_up_with_digests_and_flow_control_in_every_combination() {
    for bits in 0..8 {
        let c = AssociationConfig {
            header_digest: bits & 1 != 0,
            data_digest: bits & 2 != 0,
            sq_flow_control: bits & 4 != 0,
            ..config()
        };
        World::new(c, Fake::new()).come_up();
    }
}

#[test]
fn io_goes_over_both_queues() {
    let mut w = World::new(config(), Fake::new());
    w.come_up();
    assert_eq!(w.host.free_slots(), 64);
    for i in 0..8 {
        let sqe = Sqe::read(1, i, 31, false);
        let token = request(Op::Read, 16_384, 16_384, i as u8);
        w.host.submit(sqe, token, w.now).unwrap();
    }
    assert_eq!(w.host.queues()[1].in_flight(), 4);
    assert_eq!(w.host.queues()[2].in_flight(), 4);
    assert_eq!(w.host.oldest_dispatch(), Some(w.now));
    let mut done = 0;
    w.run_until(100 * MS, |w| {
        w.host.drain_io(|t, c| {
            assert!(c.status.is_success());
            assert!(contents(&t.data) == pattern(16_384, t.user as u8));
            done += 1;
        });
        done == 8
    });
    assert_eq!(done, 8);
    assert_eq!(w.host.in_flight(), 0);
}

#[test]
fn fewer_queues_and_shorter_ones_when_the_controller_says_so() {
    let mut fake = Fake::new();
    fake.queues_granted = 1;
    fake.identify.maxcmd = 5;
    let mut w = World::new(config(), fake);
    w.come_up();
    let c = w.host.controller().unwrap();
    assert_eq!((c.io_queues, c.depth), (1, 5));
    assert_eq!(w.fake.connects[1].0.sqsize0, 5);
}

#[test]
fn one_namespace_when_one_is_wanted() {
    let c = AssociationConfig {
        nsid: Some(3),
        static_cntlid: Some(7),
        ..config()
    };
    let mut w = World::new(c, Fake::new());
    w.come_up();
    assert_eq!(w.host.namespaces().len(), 1);
    assert_eq!(w.host.namespaces()[0].nsid, 3);
    assert_eq!(w.fake.connects[0].1.cntlid, 7);
}

#[test]
fn a_full_page_of_namespaces_is_followed_by_the_next() {
    let mut fake = Fake::new();
    fake.identify.nn = 2048;
    fake.namespaces = (1..=1024).map(|n| (2 * n, namespace(8, 1))).collect();
    let mut w = World::new(config(), fake);
    w.come_up();
    assert_eq!(w.host.namespaces().len(), 1024);
    assert_eq!(w.host.namespaces()[1023].nsid, 2048);
}

#[test]
fn without_ana_everything_is_optimized() {
    let mut fake = Fake::new();
    fake.identify.cmic = 0;
    let mut w = World::new(config(), fake);
    w.come_up();
    assert!(w.host.namespaces().iter().all(|n| n.ana_state == 1));
    assert_eq!(count(&w, AdminOpcode::GET_LOG_PAGE), 0);
}

#[test]
fn an_ana_event_leads_to_new_states() {
    let mut w = World::new(config(), Fake::new());
    w.come_up();
    w.fake.groups[0].1 = AnaState::Inaccessible;
    w.fake.event(AsyncEvent::ANA_CHANGE);
    w.expect(&AssociationEvent::AccessChanged);
    assert_eq!(w.host.namespaces()[0].ana_state, 3);
    assert_eq!(w.host.namespaces()[1].ana_state, 2);
    // The request was sent again.
    w.run(MS);
    assert_eq!(w.fake.events.len(), 4);
    // The same on demand, after a status that blames the path.
    w.events.clear();
    w.fake.groups[0].1 = AnaState::Optimized;
    w.host.reread_ana(w.now);
    w.expect(&AssociationEvent::AccessChanged);
    assert_eq!(w.host.namespaces()[0].ana_state, 1);
}

#[test]
fn a_namespace_event_leads_to_new_namespaces() {
    let mut w = World::new(config(), Fake::new());
    w.come_up();
    w.fake.namespaces[0].1.nsze = 2000;
    w.fake.namespaces.push((5, namespace(50, 1)));
    w.fake.event(AsyncEvent::NAMESPACE_ATTRIBUTE);
    w.expect(&AssociationEvent::NamespacesChanged);
    let n = w.host.namespaces();
    assert_eq!(n.len(), 3);
    assert_eq!((n[0].blocks, n[2].nsid, n[2].ana_state), (2000, 5, 1));
}

#[test]
fn an_ana_log_in_pieces_is_read_again_when_it_changes_meanwhile() {
    let mut fake = Fake::new();
    fake.identify.mdts = 1;
    fake.identify.nanagrpid = 2000;
    fake.identify.anagrpmax = 2000;
    fake.groups = (1..=2000).map(|g| (g, AnaState::NonOptimized)).collect();
    // The log is 8 pieces; it stays as it is from the third reading on.
    fake.ana_restless = 20;
    let mut w = World::new(config(), fake);
    w.come_up();
    assert!(w.host.namespaces().iter().all(|n| n.ana_state == 2));
    assert!(count(&w, AdminOpcode::GET_LOG_PAGE) > 24);
}

#[test]
fn a_transition_that_takes_too_long_is_flagged() {
    let mut w = World::new(config(), Fake::new());
    w.come_up();
    w.fake.groups[0].1 = AnaState::Change;
    w.fake.event(AsyncEvent::ANA_CHANGE);
    w.expect(&AssociationEvent::AccessChanged);
    assert_eq!(w.host.namespaces()[0].ana_state, 15);
    w.run(3900 * MS);
    assert!(!w.host.namespaces()[0].ana_overdue);
    w.events.clear();
    w.run(200 * MS);
    assert!(w.host.namespaces()[0].ana_overdue);
    assert!(w.events.contains(&AssociationEvent::AccessChanged));
    // It ends after all, and the log is read although no event came.
    w.fake.groups[0].1 = AnaState::Optimized;
    w.host.reread_ana(w.now);
    w.run(10 * MS);
    assert_eq!(w.host.namespaces()[0].ana_state, 1);
    assert!(!w.host.namespaces()[0].ana_overdue);
}

#[test]
fn keep_alive_comes_twice_in_each_timeout() {
    let mut w = World::new(config(), Fake::new());
    w.come_up();
    let before = count(&w, AdminOpcode::KEEP_ALIVE);
    w.run(Duration::from_secs(10));
    let sent = count(&w, AdminOpcode::KEEP_ALIVE) - before;
    assert!((9..=11).contains(&sent), "{sent}");
}

#[test]
fn the_timeout_in_force_is_the_one_granted() {
    let mut fake = Fake::new();
    fake.kato_granted = Some(500);
    let mut w = World::new(config(), fake);
    w.come_up();
    assert_eq!(w.host.controller().unwrap().kato_ms, 500);
    let before = count(&w, AdminOpcode::KEEP_ALIVE);
    w.run(Duration::from_secs(10));
    let sent = count(&w, AdminOpcode::KEEP_ALIVE) - before;
    assert!((38..=42).contains(&sent), "{sent}");
}

#[test]
fn traffic_stands_in_for_keep_alive_where_it_counts() {
    let mut w = World::new(config(), Fake::new().traffic_based());
    w.come_up();
    w.run(Duration::from_secs(4));
    let before = count(&w, AdminOpcode::KEEP_ALIVE);
    assert!(before >= 4, "an idle association keeps itself alive");
    for _ in 0..100 {
        let token = request(Op::Flush, 0, 1, 0);
        w.host.submit(Sqe::flush(1), token, w.now).unwrap();
        w.run(100 * MS);
        w.host.drain_io(|_, _| {});
    }
    assert_eq!(count(&w, AdminOpcode::KEEP_ALIVE) - before, 0);
    w.run(Duration::from_secs(2));
    assert!(count(&w, AdminOpcode::KEEP_ALIVE) > before);
}

#[test]
fn no_timeout_no_keep_alive() {
    let c = AssociationConfig {
        kato: Duration::ZERO,
        ..config()
    };
    let mut w = World::new(c, Fake::new());
    w.come_up();
    w.run(Duration::from_secs(60));
    assert_eq!(count(&w, AdminOpcode::KEEP_ALIVE), 0);
    assert_eq!(w.host.controller().unwrap().kato_ms, 0);
}

fn ccr(tag: u32, result: CcrResult) -> AssociationEvent {
    AssociationEvent::CcrAnswered { tag, result }
}

#[test]
fn cross_controller_reset_done_at_once_or_refused() {
    let mut w = World::new(config(), Fake::new());
    w.come_up();
    assert!(w.host.start_ccr(8, 1, 99, 55, w.now));
    w.expect(&ccr(55, CcrResult::Done));
    let status = Status::dnr(StatusCode::CCR_LIMIT_EXCEEDED);
    w.fake.ccr_answer = Err(status);
    assert!(w.host.start_ccr(8, 1, 99, 56, w.now));
    w.expect(&ccr(56, CcrResult::Refused(status)));
    // No more than the controller takes.
    assert!(w.host.start_ccr(8, 1, 99, 1, w.now));
    assert!(w.host.start_ccr(9, 1, 99, 2, w.now));
    assert!(!w.host.start_ccr(10, 1, 99, 3, w.now));
}

#[test]
fn cross_controller_reset_that_ends_later_is_told_by_event_or_by_looking() {
    for (with_event, status, result) in [
        (true, CcrStatus::Successful, CcrResult::Done),
        (true, CcrStatus::Failed, CcrResult::Failed),
        (false, CcrStatus::Successful, CcrResult::Done),
    ] {
        let mut fake = Fake::new();
        fake.ccr_answer = Ok(0);
        if !with_event {
            fake.identify.oaes = 0;
        }
        let mut w = World::new(config(), fake);
        w.come_up();
        assert!(w.host.start_ccr(8, 1, 99, 4, w.now));
        w.expect(&ccr(4, CcrResult::Pending));
        let entry = CcrLogEntry {
            icid: 8,
            ciu: 1,
            acid: 7,
            status: CcrStatus::InProgress,
            flags: 0,
        };
        w.fake.ccr_log = vec![entry];
        w.run(300 * MS);
        assert_eq!(w.events.len(), 1);
        w.fake.ccr_log = vec![CcrLogEntry { status, ..entry }];
        if with_event {
            w.fake.event(AsyncEvent::CCR_COMPLETED);
        }
        let at = w.now;
        w.expect(&ccr(4, result));
        assert!(w.now.since(at) < 100 * MS);
    }
}

#[test]
fn an_abort_is_answered_under_its_tag() {
    let mut w = World::new(config(), Fake::new());
    w.come_up();
    assert!(w.host.abort(1, 5, 77, w.now));
    w.expect(&AssociationEvent::AbortAnswered {
        tag: 77,
        aborted: false,
    });
}

#[test]
fn shutdown_is_done_when_the_controller_says_so() {
    let mut w = World::new(config(), Fake::new());
    w.come_up();
    w.host.shutdown(w.now);
    let token = request(Op::Flush, 0, 1, 9);
    assert!(w.host.submit(Sqe::flush(1), token, w.now).is_err());
    w.expect(&AssociationEvent::ShutdownDone);
    assert_eq!(w.fake.shutdown_after, 0);
}

#[test]
fn shutdown_waits_for_io_but_not_for_ever() {
    let mut w = World::new(config(), Fake::new());
    w.come_up();
    w.fake.mute_io = true;
    let token = request(Op::Flush, 0, 1, 9);
    w.host.submit(Sqe::flush(1), token, w.now).unwrap();
    w.run(MS);
    let at = w.now;
    w.host.shutdown(at);
    w.expect(&AssociationEvent::ShutdownDone);
    assert!(w.now.since(at) >= 500 * MS);
    let mut back = 0;
    w.host.drain(|t| back += usize::from(t.on_wire));
    assert_eq!(back, 1);
}

#[test]
fn shutdown_before_any_io_needs_no_proof() {
    let mut w = World::new(config(), Fake::new());
    w.turn();
    w.host.shutdown(w.now);
    w.expect(&AssociationEvent::ShutdownDone);
}

#[test]
fn loss_gives_everything_back() {
    let mut w = World::new(config(), Fake::new());
    w.come_up();
    w.fake.mute_io = true;
    for i in 0..6 {
        let token = request(Op::Write, 512, 512, i);
        w.host
            .submit(Sqe::write(1, 0, 0, false), token, w.now)
            .unwrap();
    }
    w.turn();
    let token = request(Op::Write, 512, 512, 6);
    w.host
        .submit(Sqe::write(1, 0, 0, false), token, w.now)
        .unwrap();
    w.net.cut("portal", false, w.now);
    let mut back = vec![];
    w.host.drain(|t| back.push((t.user, t.on_wire)));
    back.sort_unstable();
    let sent = |n| (n, n < 6);
    assert_eq!(back, (0..7).map(sent).collect::<Vec<_>>());
    assert_eq!(w.host.free_slots(), 0);
}
