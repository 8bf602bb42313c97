//! How losses are proven when more than one thing goes wrong.

use super::super::faults::{Cut, Fault};
use super::super::world::Failure;
use super::{ms, world};
use crate::base::request::Op;

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
        portal: 1,
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
        portal: 0,
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
    assert_eq!(error.kind, crate::base::error::ErrorKind::OutcomeUnknown);
    Ok(())
}
