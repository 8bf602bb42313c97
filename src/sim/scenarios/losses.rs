//! How losses are proven when more than one thing goes wrong.

use super::super::content::Content;
use super::super::failure::Failure;
use super::super::faults::{Cut, Fault, Link};
use super::{ms, world};
use crate::base::error::ErrorKind;
use crate::base::request::Op;
use crate::lun::policy::{Policy, PolicySpec};
use crate::path::reason::DownReason;

#[test]
fn a_reset_asked_through_a_nexus_that_is_lost_too_is_asked_again_through_another()
-> Result<(), Failure> {
    let mut w = world(|s| {
        s.portals = 3;
        s.kato = ms(0);
        s.park_max = ms(10_000);
    });
    w.hold(0);
    w.hold(1);
    w.ask(Op::Write, 0, 1);
    w.pass(ms(1))?;
    w.lose(0);
    w.pass(ms(5))?;
    w.apply(&Fault::Cut {
        link: Link::first(1),
        how: Cut::Gone,
    });
    let ended = w.all_ended()?;
    assert!(ended[0].result.is_ok(), "{:?}", ended[0].result);
    assert_eq!(w.proofs(), [("cross-controller reset", 1)]);
    Ok(())
}

#[test]
fn a_target_that_was_started_anew_proves_the_loss_of_its_former_self() -> Result<(), Failure> {
    let mut w = world(|s| s.kato = ms(0));
    w.apply(&Fault::Keep {
        link: Link::first(0),
        on: true,
    });
    w.ask(Op::Write, 0, 1);
    w.pass(ms(1))?;
    w.apply(&Fault::TargetDown);
    w.pass(ms(50))?;
    w.apply(&Fault::TargetUp);
    let ended = w.all_ended()?;
    assert!(ended[0].result.is_ok(), "{:?}", ended[0].result);
    Ok(())
}

#[test]
fn a_lost_read_goes_to_the_other_path_at_once_and_a_lost_compare_is_never_sent_again()
-> Result<(), Failure> {
    let mut w = world(|s| s.ccr = false);
    w.hold(0);
    w.ask(Op::Read, 0, 1);
    w.ask(Op::Compare, 0, 1);
    w.pass(ms(1))?;
    w.lose(0);
    w.pass(ms(2))?;
    let read = w.ended();
    assert!(read.len() == 1 && read[0].op == Op::Read && read[0].result.is_ok());
    let compare = w.all_ended()?;
    let error = compare[0].result.expect_err("it must not be sent twice");
    assert_eq!(error.kind, ErrorKind::OutcomeUnknown);
    Ok(())
}

/// What arrives late may be a Keep Alive too: it gives the lost controller another KATO, in which a
/// write that arrives later still is executed. This is why the bound has two of them.
#[test]
fn a_late_keep_alive_makes_the_target_wait_for_another_kato() -> Result<(), Failure> {
    let mut w = world(|s| s.ccr = false);
    let kato = w.setup.kato;
    w.hold(0);
    w.ask(Op::Write, 0, 1);
    // Long enough for a Keep Alive to be under way as well, not for its absence to be noticed.
    w.pass(kato * 3 / 5)?;
    w.lose(0);
    let lost = w.now;
    // The admin connection is the older one. Its Keep Alive arrives before the target gives up,
    // the write when it would have done so without.
    w.net.release(&w.setup.address(0), w.now, |nth| {
        if nth == 0 { kato / 10 } else { kato * 9 / 10 }
    });
    w.pass(kato * 8 / 10)?;
    assert_eq!(w.stored(0), Content::Zeroes);
    w.pass(kato * 2 / 10)?;
    assert_eq!(w.stored(0), Content::Written(1), "executed late");
    assert!(
        w.ended().is_empty(),
        "and nobody was told that it could not be"
    );
    assert!(w.all_ended()?[0].result.is_ok());
    assert!(w.now.since(lost) >= kato * 2);
    Ok(())
}

#[test]
fn two_losses_at_once_are_both_proven_through_the_one_sibling_that_is_left() -> Result<(), Failure>
{
    let mut w = world(|s| {
        s.portals = 3;
        s.ccr_limit = 1;
        s.kato = ms(0);
        s.policy = Some(PolicySpec::new(Policy::LeastQueueDepth));
    });
    w.hold(0);
    w.hold(1);
    for lba in 0..9 {
        w.ask(Op::Write, lba, 1);
    }
    w.pass(ms(1))?;
    w.lose(0);
    w.lose(1);
    let ended = w.all_ended()?;
    assert!(
        ended.len() >= 6 && ended.iter().all(|e| e.result.is_ok()),
        "{ended:?}"
    );
    w.release(0);
    w.release(1);
    w.pass(ms(50))?;
    w.read_all()
}

#[test]
fn an_association_taken_down_in_the_middle_of_its_orderly_end_proves_nothing() -> Result<(), Failure>
{
    let mut w = world(|s| s.ccr = false);
    w.hold(0);
    w.ask(Op::Write, 0, 1);
    w.pass(ms(1))?;
    let now = w.now;
    let plane = &mut w.hosts[0].plane;
    plane.paths.detach(0, now);
    plane.take_down(0, DownReason::Administrative);
    w.pass(ms(10))?;
    assert!(w.ended().is_empty(), "the target has acknowledged nothing");
    assert_eq!(w.hosts[0].open_losses(), 1);
    assert!(w.all_ended()?[0].result.is_ok());
    assert_eq!(w.proofs(), [("time bound", 1)]);
    Ok(())
}
