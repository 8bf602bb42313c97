//! Proof (1): associations belong to nexus and reactor, not to LUNs, and so do the loads that
//! policies count by.

use super::super::failure::Failure;
use super::{ms, world};
use crate::base::request::Op;
use crate::engine::board::Board;
use crate::lun::policy::{Policy, PolicySpec};
use crate::path::state::State;

#[test]
fn two_luns_on_two_nexuses_and_two_reactors_are_four_associations_and_eight_paths() {
    let w = world(|s| {
        s.hosts = 2;
        s.luns = 2;
    });
    let associations: Vec<_> = w.hosts.iter().flat_map(|h| h.plane.paths.iter()).collect();
    assert_eq!(associations.len(), 4);
    assert!(
        associations
            .iter()
            .all(|a| a.state() == State::Up && a.counters.logins == 1 && a.users == 2)
    );
    let paths = w
        .hosts
        .iter()
        .flat_map(|h| h.luns.iter().map(|l| h.plane.channel(*l).slots.len()));
    assert_eq!(paths.sum::<usize>(), 8);
    assert_eq!(w.target.controllers(w.now), 4);
}

#[test]
fn least_queue_depth_counts_over_both_luns_of_a_nexus() -> Result<(), Failure> {
    let mut w = world(|s| s.luns = 2);
    assert!(w.hosts[0].set_policy(1, PolicySpec::new(Policy::LeastQueueDepth)));
    w.hold(0);
    w.hold(1);
    for lba in 0..8 {
        w.ask_of(0, 0, Op::Read, lba, 1);
    }
    let in_flight = |w: &super::World| {
        w.hosts[0]
            .plane
            .loads()
            .iter()
            .map(|l| l.in_flight)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        in_flight(&w),
        [8, 0],
        "LUN 0 fails over only: all on the first nexus"
    );
    for lba in 0..8 {
        w.ask_of(0, 1, Op::Read, lba, 1);
    }
    assert_eq!(in_flight(&w), [8, 8], "LUN 1 sees what LUN 0 has in flight");
    for lba in 0..8 {
        w.ask_of(0, 1, Op::Read, lba, 1);
    }
    assert_eq!(in_flight(&w), [12, 12]);
    w.release(0);
    w.release(1);
    assert!(w.all_ended()?.iter().all(|e| e.result.is_ok()));
    assert_eq!(in_flight(&w), [0, 0]);
    Ok(())
}

#[test]
fn least_queue_depth_counts_what_another_reactor_has_in_flight() -> Result<(), Failure> {
    let mut w = world(|s| s.hosts = 2);
    assert!(w.hosts[1].set_policy(0, PolicySpec::new(Policy::LeastQueueDepth)));
    let board = Board::default();
    // By host and association, as each reactor joins its own.
    let cells: Vec<Vec<_>> = w
        .hosts
        .iter()
        .map(|h| {
            h.plane
                .paths
                .iter()
                .map(|a| board.join(a.nexus.id))
                .collect()
        })
        .collect();
    w.hold(0);
    w.hold(1);
    for lba in 0..6 {
        w.ask_of(0, 0, Op::Read, lba, 1);
    }
    for (reactor, cells) in cells.iter().enumerate() {
        for (ix, cell) in cells.iter().enumerate() {
            let plane = &mut w.hosts[reactor].plane;
            let own = &plane.loads()[ix];
            let others = cell.exchange(reactor, own.in_flight, own.outstanding_bytes);
            let (in_flight, bytes) = others.expect("two reactors share the board");
            plane.set_remote_load(ix, in_flight, bytes);
        }
    }
    for lba in 0..6 {
        w.ask_of(1, 0, Op::Read, lba, 1);
    }
    let loads = w.hosts[1].plane.loads();
    assert_eq!(
        (loads[0].in_flight, loads[1].in_flight),
        (0, 6),
        "the other reactor is on the first nexus"
    );
    w.release(0);
    w.release(1);
    w.pass(ms(5))?;
    assert!(w.all_ended()?.iter().all(|e| e.result.is_ok()));
    Ok(())
}
