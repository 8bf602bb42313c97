//! Task management: who is aborted, who is told, and that the answer comes last.

use super::*;
use crate::front::fault::Fault;
use crate::proto::iscsi::pdu::TaskResult;
use crate::proto::scsi::asc;

/// A target whose LUN is stuck with a write of each of two sessions.
fn two_stuck() -> (World, [usize; 2], [u32; 2]) {
    let mut w = World::new();
    let hosts = [w.login("a", 1), w.login("b", 2)];
    w.ports.stuck = true;
    let writes = hosts.map(|h| w.send(h, &write_cdb(h as u8, 1), 0, &[1; 512]));
    w.run(5);
    assert_eq!(w.ports.waiting(), 2);
    (w, hosts, writes)
}

fn result(w: &World, host: usize, itt: u32) -> Option<u8> {
    w.hosts[host].tasks.get(&itt).copied()
}

const COMPLETE: Option<u8> = Some(TaskResult::Complete as u8);

#[test]
fn a_lun_reset_ends_every_sessions_commands_before_it_is_answered() {
    let (mut w, [a, b], writes) = two_stuck();
    let reset = w.task(a, TaskFunction::LogicalUnitReset, 0xffff_ffff);
    assert_eq!(result(&w, a, reset), None, "their writes may still land");
    w.ports.stuck = false;
    w.run(5);
    assert_eq!(result(&w, a, reset), COMPLETE);
    for (h, itt) in [(a, writes[0]), (b, writes[1])] {
        assert_eq!(w.answer(h, itt), None, "aborted commands have no answer");
        assert_eq!(w.ready(h).check(), (Key::UnitAttention, asc::DEVICE_RESET));
        w.ready(h).good();
    }
}

/// Why a fence does not open on a LUN RESET: it ends what the target has received, and says nothing of
/// what a lost connection still has under way. The unit attention that it leaves stops one command.
#[test]
fn what_comes_after_a_lun_reset_is_carried_out_whichever_session_it_comes_from() {
    let mut w = World::new();
    let [a, b] = [w.login("a", 1), w.login("b", 2)];
    let reset = w.task(b, TaskFunction::LogicalUnitReset, 0xffff_ffff);
    w.run(5);
    assert_eq!(result(&w, b, reset), COMPLETE);
    assert_eq!(w.ready(b).check(), (Key::UnitAttention, asc::DEVICE_RESET));
    for lba in [3, 4] {
        w.write(b, lba, 1, 2).good();
    }
    // Two writes of the other session, which were under way all the time.
    let late = [3, 4].map(|lba| w.send(a, &write_cdb(lba, 1), 0, &[1; 512]));
    w.run(5);
    let answers = late.map(|itt| w.answer(a, itt).expect("answered"));
    assert_eq!(answers[0].check(), (Key::UnitAttention, asc::DEVICE_RESET));
    answers[1].good();
    assert_eq!(w.read(b, 3, 1).data, [2; 512], "the first was stopped");
    assert_eq!(w.read(b, 4, 1).data, [1; 512], "a ghost");
}

#[test]
fn clear_task_set_tells_the_others_and_abort_task_set_leaves_them_alone() {
    let (mut w, [a, b], writes) = two_stuck();
    let clear = w.task(a, TaskFunction::ClearTaskSet, 0xffff_ffff);
    w.ports.stuck = false;
    w.run(5);
    assert_eq!(result(&w, a, clear), COMPLETE);
    assert_eq!(
        (w.answer(a, writes[0]), w.answer(b, writes[1])),
        (None, None)
    );
    w.ready(a).good();
    assert_eq!(
        w.ready(b).check(),
        (Key::UnitAttention, asc::COMMANDS_CLEARED)
    );

    let (mut w, [a, b], writes) = two_stuck();
    let abort = w.task(a, TaskFunction::AbortTaskSet, 0xffff_ffff);
    w.ports.stuck = false;
    w.run(5);
    assert_eq!(result(&w, a, abort), COMPLETE);
    assert_eq!(w.answer(a, writes[0]), None);
    w.answer(b, writes[1]).expect("not a's").good();
    w.ready(b).good();
}

#[test]
fn abort_task_ends_the_one_that_is_named() {
    let (mut w, [a, _], writes) = two_stuck();
    let second = w.send(a, &write_cdb(9, 1), 0, &[2; 512]);
    w.run(5);
    let abort = w.task(a, TaskFunction::AbortTask, writes[0]);
    assert_eq!(result(&w, a, abort), None);
    w.ports.stuck = false;
    w.run(5);
    assert_eq!(result(&w, a, abort), COMPLETE);
    assert_eq!(w.answer(a, writes[0]), None);
    w.answer(a, second).expect("another").good();
    let unknown = w.task(a, TaskFunction::AbortTask, 0x7777);
    assert_eq!(result(&w, a, unknown), Some(TaskResult::NoTask as u8));
    w.ready(a).good();
}

#[test]
fn commands_about_groups_are_held_until_they_are_let_go_or_aborted() {
    let mut w = World::new();
    let (a, b) = (w.login("a", 1), w.login("b", 2));
    let now = w.now;
    w.target.set_fault(0, Fault::HoldGroups(true), now).unwrap();
    let rtpg = [0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    let stpg = [0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0];
    let to_standby = [0, 0, 0, 0, 2, 0, 0, 2];
    let asked = w.send(a, &rtpg, 256, &[]);
    let aborted = w.send(a, &rtpg, 256, &[]);
    let set = w.send(a, &stpg, 0, &to_standby);
    w.run(5);
    assert_eq!(w.target.status().held, 3);
    // Other commands go on, and so does the other portal.
    w.ready(a).good();
    w.call(b, &rtpg, 256, &[]).good();
    w.ready(b).good();
    let abort = w.task(a, TaskFunction::AbortTask, aborted);
    w.run(5);
    assert_eq!(result(&w, a, abort), COMPLETE);
    assert_eq!((w.answer(a, asked), w.answer(a, set)), (None, None));
    w.target.set_fault(0, Fault::None, w.now).unwrap();
    w.run(5);
    w.answer(a, asked).expect("let go").good();
    w.answer(a, set).expect("let go").good();
    assert_eq!(w.answer(a, aborted), None);
    assert_eq!(w.target.status().held, 0);
    w.ready(a).good();
    assert_eq!(
        w.ready(b).check(),
        (Key::UnitAttention, asc::ACCESS_STATE_CHANGED)
    );
}

#[test]
fn what_is_not_done_is_refused() {
    let mut w = World::new();
    let a = w.login("a", 1);
    for (function, expected) in [
        (TaskFunction::TaskReassign, TaskResult::ReassignNotSupported),
        (TaskFunction::ClearAca, TaskResult::NotSupported),
        (TaskFunction::TargetColdReset, TaskResult::NotSupported),
    ] {
        let t = w.task(a, function, 0xffff_ffff);
        assert_eq!(result(&w, a, t), Some(expected as u8), "{function:?}");
    }
}
