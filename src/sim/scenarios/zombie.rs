//! The zombie proof: a write is held on nexus A, A is lost, the same block is written again over B,
//! the old PDU arrives late.

use super::super::content::Content;
use super::super::failure::Failure;
use super::super::workload::Ended;
use super::super::world::World;
use super::{ms, world};
use crate::base::error::ErrorKind;
use crate::base::request::Op;
use crate::path::loss::Fencing;

/// Write 1 is under way on nexus A when A is lost; write 2 of the same block is asked for at once.
fn lost_with_a_write(w: &mut World, blocks: u32) -> Result<(), Failure> {
    w.hold(0);
    w.ask(Op::Write, 0, blocks);
    w.pass(ms(1))?;
    w.lose(0);
    w.pass(ms(1))
}

fn done(ended: &[Ended]) -> usize {
    ended.iter().filter(|e| e.result.is_ok()).count()
}

fn kinds(ended: &[Ended]) -> Vec<(Op, Option<ErrorKind>)> {
    ended
        .iter()
        .map(|e| (e.op, e.result.err().map(|e| e.kind)))
        .collect()
}

#[test]
fn a_with_cross_controller_reset_the_fence_opens_in_milliseconds_and_the_late_pdu_finds_nobody()
-> Result<(), Failure> {
    let mut w = world(|_| {});
    let lost = w.now;
    lost_with_a_write(&mut w, 1)?;
    assert_eq!(done(&w.all_ended()?), 1, "write 1, sent again");
    assert!(w.now.since(lost) < ms(20), "{:?}", w.now.since(lost));
    assert_eq!(w.proofs(), [("cross-controller reset", 1)]);
    w.ask(Op::Write, 0, 1);
    assert_eq!(done(&w.all_ended()?), 1);
    w.release(0);
    w.pass(ms(50))?;
    assert_eq!(w.stored(0), Content::Written(2));
    w.ask(Op::Read, 0, 1);
    assert_eq!(done(&w.all_ended()?), 1);
    Ok(())
}

/// 2 × KATO + CQT, with KATO 500 ms and CQT 100 ms.
const BOUND: std::time::Duration = ms(1100);

#[test]
fn b_with_only_the_time_bound_the_fence_stays_shut_until_it_has_passed() -> Result<(), Failure> {
    let mut w = world(|s| s.ccr = false);
    lost_with_a_write(&mut w, 1)?;
    let lost = w.now;
    w.ask(Op::Write, 0, 1);
    w.ask(Op::Read, 0, 1);
    w.ask(Op::Write, 8, 1);
    w.pass(ms(300))?;
    assert_eq!(
        kinds(&w.ended()),
        [(Op::Write, None)],
        "only the other block's write is through"
    );
    // The target still knows the controller: the old PDU is executed now. Nobody was told anything.
    w.release(0);
    w.pass(ms(10))?;
    assert_eq!(w.stored(0), Content::Written(1));
    assert_eq!(done(&w.all_ended()?), 3);
    let took = w.now.since(lost);
    assert!(took + ms(1) >= BOUND && took < BOUND + ms(100), "{took:?}");
    assert_eq!(w.proofs(), [("time bound", 1)]);
    assert_eq!(w.stored(0), Content::Written(2));
    Ok(())
}

#[test]
fn b_after_the_time_bound_the_target_has_given_the_controller_up() -> Result<(), Failure> {
    let mut w = world(|s| s.ccr = false);
    lost_with_a_write(&mut w, 1)?;
    assert_eq!(done(&w.all_ended()?), 1);
    w.ask(Op::Write, 0, 1);
    assert_eq!(done(&w.all_ended()?), 1);
    w.release(0);
    w.pass(ms(50))?;
    assert_eq!(w.stored(0), Content::Written(2));
    Ok(())
}

#[test]
fn c_without_any_bound_the_write_fails_as_unknown_and_its_blocks_stay_closed() -> Result<(), Failure>
{
    let mut w = world(|s| {
        s.ccr = false;
        s.kato = ms(0);
    });
    lost_with_a_write(&mut w, 1)?;
    let unknown = (Op::Write, Some(ErrorKind::OutcomeUnknown));
    assert_eq!(kinds(&w.all_ended()?), [unknown]);
    // Later I/O to its block waits in vain; all else flows.
    w.ask(Op::Write, 0, 1);
    w.ask(Op::Read, 0, 1);
    w.ask(Op::Write, 1, 1);
    w.pass(ms(100))?;
    assert_eq!(kinds(&w.ended()), [(Op::Write, None)]);
    let no_path = Some(ErrorKind::NoPath);
    assert_eq!(
        kinds(&w.all_ended()?),
        [(Op::Write, no_path), (Op::Read, no_path)]
    );
    // Minutes later the old PDU is executed, as it well may be. Nobody was told anything else.
    w.pass(ms(120_000))?;
    w.release(0);
    w.pass(ms(50))?;
    assert_eq!(w.stored(0), Content::Written(1));
    w.ask(Op::Read, 0, 1);
    assert_eq!(
        kinds(&w.all_ended()?),
        [(Op::Read, no_path)],
        "there is still no proof"
    );
    Ok(())
}

#[test]
fn d_a_caller_that_overwrites_its_buffer_on_completion_never_reaches_the_lun_with_it()
-> Result<(), Failure> {
    // The workload overwrites every buffer the moment it comes back; here it comes back while the
    // old PDU, in the capsule or in data PDUs after an R2T, is still under way.
    for blocks in [1, 16, 48] {
        let mut w = world(|s| {
            s.ccr = false;
            s.kato = ms(0);
        });
        if blocks > 16 {
            // Let the command through, and hold the data that the R2T asks for.
            w.ask(Op::Write, 0, blocks);
            w.run_until(w.now + std::time::Duration::from_micros(120))?;
            w.hold(0);
            w.pass(ms(1))?;
            w.lose(0);
        } else {
            lost_with_a_write(&mut w, blocks)?;
        }
        assert_eq!(
            kinds(&w.all_ended()?),
            [(Op::Write, Some(ErrorKind::OutcomeUnknown))]
        );
        w.release(0);
        w.pass(ms(50))?;
        for lba in 0..u64::from(blocks) {
            assert_eq!(
                w.stored(lba),
                Content::Written(1),
                "{blocks} blocks, block {lba}"
            );
        }
    }
    Ok(())
}

#[test]
fn control_with_the_fence_off_the_old_pdu_lands_on_the_new_data() {
    let story = || -> Result<(), Failure> {
        let mut w = world(|s| s.fence = Fencing::Off);
        lost_with_a_write(&mut w, 1)?;
        assert_eq!(done(&w.all_ended()?), 1);
        w.ask(Op::Write, 0, 1);
        assert_eq!(done(&w.all_ended()?), 1);
        w.release(0);
        w.pass(ms(50))
    };
    let failure = story().expect_err("a ghost");
    assert!(
        matches!(&failure, Failure::Memory(v) if v.found == Content::Written(1)),
        "{failure}"
    );
}
