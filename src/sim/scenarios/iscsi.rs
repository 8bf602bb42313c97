//! The ghost write over iSCSI, by each proof that a lost session can have, and units that only look
//! like the LUN.

use super::super::content::Content;
use super::super::failure::Failure;
use super::super::faults::{Cut, Fault, Link};
use super::super::swarm::{Protocol, Setup};
use super::super::workload::Ended;
use super::super::world::World;
use super::{ms, world};
use crate::base::error::ErrorKind;
use crate::base::request::Op;
use crate::path::loss::Fencing;
use std::time::Duration;

pub(super) fn iscsi_world(change: impl FnOnce(&mut Setup)) -> World {
    world(|s| {
        s.protocols = vec![Protocol::Iscsi];
        change(s);
    })
}

pub(super) fn done(ended: &[Ended]) -> usize {
    ended.iter().filter(|e| e.result.is_ok()).count()
}

fn kinds(ended: &[Ended]) -> Vec<(Op, Option<ErrorKind>)> {
    ended
        .iter()
        .map(|e| (e.op, e.result.err().map(|e| e.kind)))
        .collect()
}

fn refuse(w: &mut World, portal: usize, on: bool) {
    w.apply(&Fault::Refuse {
        link: Link::first(portal),
        on,
    });
}

fn keep(w: &mut World, portal: usize, on: bool) {
    w.apply(&Fault::Keep {
        link: Link::first(portal),
        on,
    });
}

/// Write 1 is under way on nexus A when A is lost; the target does not hear of the loss, and what is
/// under way on the lost connection arrives `late`, though the network is good again.
fn lost_with_a_write(w: &mut World, late: Duration) -> Result<(), Failure> {
    w.hold(0);
    w.ask(Op::Write, 0, 1);
    w.pass(ms(1))?;
    w.lose(0);
    let address = w.setup.address(0);
    w.net
        .release(&address, w.now, |nth| if nth == 0 { late } else { ms(0) });
    Ok(())
}

/// Asks for write 2 of the same block, and waits until all that is late has arrived.
pub(super) fn written_again(w: &mut World, late: Duration) -> Result<(), Failure> {
    w.ask(Op::Write, 0, 1);
    assert_eq!(done(&w.all_ended()?), 1);
    w.pass(late)?;
    assert_eq!(w.stored(0), Content::Written(2));
    w.ask(Op::Read, 0, 1);
    assert_eq!(done(&w.all_ended()?), 1);
    Ok(())
}

#[test]
fn a_with_session_reinstatement_the_fence_opens_at_the_next_login_and_the_late_pdu_finds_nobody()
-> Result<(), Failure> {
    let mut w = iscsi_world(|_| {});
    let lost = w.now;
    lost_with_a_write(&mut w, ms(2000))?;
    assert_eq!(done(&w.all_ended()?), 1, "write 1, sent again");
    assert!(w.now.since(lost) < ms(200), "{:?}", w.now.since(lost));
    assert_eq!(w.proofs(), [("session reinstatement", 1)]);
    written_again(&mut w, ms(3000))?;
    assert_eq!(
        w.target.sessions(),
        2,
        "the lost session is none of the target's any more"
    );
    Ok(())
}

#[test]
fn a_a_login_is_no_proof_before_the_target_has_done_what_it_was_given() -> Result<(), Failure> {
    // Whether the target has heard of the loss by itself (then its session is over already when the
    // same nexus logs in again) or not.
    for how in [Cut::Gone, Cut::Late, Cut::Silent] {
        let mut w = iscsi_world(|_| {});
        keep(&mut w, 0, true);
        w.ask(Op::Write, 0, 1);
        w.pass(ms(1))?;
        w.apply(&Fault::Cut {
            link: Link::first(0),
            how,
        });
        w.ask(Op::Write, 0, 1);
        w.pass(ms(1000))?;
        assert!(w.ended().is_empty(), "{how:?}: the login is not answered");
        keep(&mut w, 0, false);
        assert_eq!(done(&w.all_ended()?), 2, "{how:?}");
        assert_eq!(w.proofs(), [("session reinstatement", 1)], "{how:?}");
        w.pass(ms(50))?;
        assert_eq!(w.stored(0), Content::Written(2), "{how:?}");
    }
    Ok(())
}

#[test]
fn b_an_acknowledged_logout_comes_after_everything_that_was_under_way() -> Result<(), Failure> {
    let mut w = iscsi_world(|_| {});
    keep(&mut w, 0, true);
    w.ask(Op::Write, 0, 1);
    w.pass(ms(1))?;
    let now = w.now;
    w.hosts[0].plane.paths.detach(0, now);
    w.pass(ms(50))?;
    assert!(w.ended().is_empty());
    assert_eq!(w.target.sessions(), 2, "no logout before the write is back");
    keep(&mut w, 0, false);
    assert_eq!(done(&w.all_ended()?), 1);
    w.pass(ms(20))?;
    assert_eq!(w.target.sessions(), 1, "logged out");
    assert_eq!(w.hosts[0].open_losses(), 0);
    written_again(&mut w, ms(100))
}

#[test]
fn b_a_logout_that_is_never_answered_proves_nothing() -> Result<(), Failure> {
    let mut w = iscsi_world(|_| {});
    w.hold(0);
    w.ask(Op::Write, 0, 1);
    w.pass(ms(1))?;
    let now = w.now;
    w.hosts[0].plane.paths.detach(0, now);
    let ended = w.all_ended()?;
    assert_eq!(
        kinds(&ended),
        [(Op::Write, Some(ErrorKind::OutcomeUnknown))]
    );
    assert_eq!(w.hosts[0].open_losses(), 1, "its blocks stay closed");
    w.release(0);
    w.pass(ms(50))?;
    assert_eq!(w.stored(0), Content::Written(1));
    // The nexus logs in once more: that ends the session that it lost, and is a proof.
    w.pass(ms(40_000))?;
    assert_eq!(w.hosts[0].open_losses(), 0);
    assert_eq!(w.target.sessions(), 1, "and logs out again");
    assert!(w.hosts[0].plane.paths.get(0).is_ending());
    // Its blocks are open again, over the other nexus.
    w.ask(Op::Write, 0, 1);
    assert_eq!(done(&w.all_ended()?), 1);
    assert_eq!(w.stored(0), Content::Written(2));
    Ok(())
}

#[test]
fn c_with_an_assumption_that_holds_the_late_pdu_comes_before_the_fence_opens() -> Result<(), Failure>
{
    let assume = ms(300);
    let mut w = iscsi_world(|s| s.iscsi.fence_assume = Some(assume));
    refuse(&mut w, 0, true);
    let lost = w.now;
    lost_with_a_write(&mut w, ms(250))?;
    w.ask(Op::Write, 8, 1);
    w.pass(ms(200))?;
    assert_eq!(done(&w.ended()), 1, "the other block's write is through");
    assert_eq!(w.stored(0), Content::Zeroes);
    w.pass(ms(80))?;
    assert_eq!(w.stored(0), Content::Written(1), "executed late");
    assert!(
        w.ended().is_empty(),
        "and nobody was told that it could not be"
    );
    assert_eq!(done(&w.all_ended()?), 1);
    assert!(w.now.since(lost) >= assume);
    assert_eq!(w.proofs(), [("assumed time (no proof)", 1)]);
    w.ask(Op::Write, 0, 1);
    assert_eq!(done(&w.all_ended()?), 1);
    w.pass(ms(1000))?;
    assert_eq!(w.stored(0), Content::Written(3));
    Ok(())
}

/// An assumption is none of the proofs: this is what it costs where it is wrong. The documentation
/// says so, and `fence_assume=never` is there for whoever does not want it.
#[test]
fn c_where_the_assumption_is_wrong_the_ghost_is_seen() {
    let story = || -> Result<(), Failure> {
        let mut w = iscsi_world(|s| s.iscsi.fence_assume = Some(ms(300)));
        refuse(&mut w, 0, true);
        lost_with_a_write(&mut w, ms(2000))?;
        assert_eq!(done(&w.all_ended()?), 1);
        written_again(&mut w, ms(3000))
    };
    let failure = story().expect_err("a ghost");
    assert!(
        matches!(&failure, Failure::Memory(v) if v.found == Content::Written(1)),
        "{failure}"
    );
}

#[test]
fn d_without_any_proof_the_write_fails_as_unknown_and_its_blocks_stay_closed_until_the_nexus_is_back()
-> Result<(), Failure> {
    let mut w = iscsi_world(|_| {});
    refuse(&mut w, 0, true);
    lost_with_a_write(&mut w, ms(60_000))?;
    assert_eq!(
        kinds(&w.all_ended()?),
        [(Op::Write, Some(ErrorKind::OutcomeUnknown))]
    );
    w.ask(Op::Write, 0, 1);
    w.ask(Op::Write, 1, 1);
    w.pass(ms(100))?;
    assert_eq!(kinds(&w.ended()), [(Op::Write, None)], "all else flows");
    let no_path = Some(ErrorKind::NoPath);
    assert_eq!(kinds(&w.all_ended()?), [(Op::Write, no_path)]);
    refuse(&mut w, 0, false);
    w.pass(ms(40_000))?;
    assert_eq!(w.hosts[0].open_losses(), 0, "reinstated");
    w.ask(Op::Write, 0, 1);
    assert_eq!(done(&w.all_ended()?), 1);
    w.pass(ms(60_000))?;
    assert_eq!(
        w.stored(0),
        Content::Written(4),
        "and the late PDU finds nobody"
    );
    Ok(())
}

/// With TAS 0 nobody says that they have ended (SAM, 5.6), but a unit attention, which the next command
/// takes, or else the next look at the access states.
#[test]
fn writes_that_another_initiators_lun_reset_has_ended_without_a_word_are_sent_again()
-> Result<(), Failure> {
    for more in [true, false] {
        let mut w = iscsi_world(|_| {});
        keep(&mut w, 0, true);
        for lba in 0..4 {
            w.ask(Op::Write, lba, 1);
        }
        w.pass(ms(1))?;
        w.apply(&Fault::ResetUnit { lun: 0 });
        keep(&mut w, 0, false);
        w.pass(ms(20))?;
        assert!(w.ended().is_empty(), "aborted commands have no answer");
        if more {
            w.ask(Op::Write, 8, 1);
        }
        assert_eq!(done(&w.all_ended()?), 4 + usize::from(more));
        assert_eq!(w.proofs(), [("session reinstatement", 1)]);
        w.pass(ms(50))?;
        w.read_all()?;
    }
    Ok(())
}

#[test]
fn a_lun_reset_with_nothing_under_way_ends_no_session() -> Result<(), Failure> {
    let mut w = iscsi_world(|_| {});
    w.apply(&Fault::ResetUnit { lun: 0 });
    for lba in 0..8 {
        w.ask(Op::Write, lba, 1);
    }
    assert_eq!(done(&w.all_ended()?), 8);
    assert_eq!(w.hosts[0].plane.paths.get(0).counters.logins, 1);
    w.read_all()
}

#[test]
fn control_with_the_fence_off_the_old_pdu_lands_on_the_new_data() {
    let story = || -> Result<(), Failure> {
        let mut w = iscsi_world(|s| s.fence = Fencing::Off);
        // Not to be saved by the new login, which ends the old session whoever asks for it.
        refuse(&mut w, 0, true);
        lost_with_a_write(&mut w, ms(500))?;
        assert_eq!(done(&w.all_ended()?), 1);
        written_again(&mut w, ms(1000))
    };
    let failure = story().expect_err("a ghost");
    assert!(
        matches!(&failure, Failure::Memory(v) if v.found == Content::Written(1)),
        "{failure}"
    );
}

#[test]
fn a_unit_with_the_luns_serial_number_and_another_designator_never_joins_it() -> Result<(), Failure>
{
    let mut w = iscsi_world(|s| s.lookalike = true);
    w.add_lookalikes();
    w.pass(ms(200))?;
    let why = w.hosts[0].lookalike_refused(0).expect("it was looked at");
    assert!(why.contains("no identifier in common"), "{why}");
    w.start_load();
    w.pass(ms(500))?;
    // Not even as the last one that is left.
    for portal in 0..2 {
        refuse(&mut w, portal, true);
        w.apply(&Fault::Cut {
            link: Link::first(portal),
            how: Cut::Gone,
        });
    }
    w.pass(ms(500))?;
    w.heal();
    w.drain()?;
    assert_eq!(w.counts().failed, 0);
    w.read_all()
}
