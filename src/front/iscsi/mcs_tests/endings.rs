//! Connections that join, are lost, logged out, replaced; sessions that end.

use super::*;
use crate::proto::iscsi::pdu::LogoutResult;

const BLOCK: [u8; 512] = [7; 512];

#[test]
fn a_session_takes_as_many_connections_as_were_agreed_on() {
    let mut b = Bench::session(4);
    assert_eq!(b.target.sessions(), 1);
    let (line, mut login) = b.begin_login(b.tsih, 5, 1);
    let refused = b.go_on(line, &mut login).expect("an answer");
    let LoginFailure::Refused { class, detail, .. } = refused.unwrap_err() else {
        panic!("not refused")
    };
    assert_eq!((class, detail), (2, 6), "too many connections");
    let (line, mut login) = b.begin_login(b.tsih + 1, 5, 1);
    let refused = b.go_on(line, &mut login).expect("an answer");
    assert!(
        matches!(
            refused,
            Err(LoginFailure::Refused {
                class: 2,
                detail: 10,
                ..
            })
        ),
        "no such session: {refused:?}"
    );
}

#[test]
fn a_lost_connection_is_logged_out_on_another_once_nothing_of_it_executes() {
    let mut b = Bench::session(2);
    b.ports.stuck = true;
    b.say(1, &write(1, 1, &BLOCK, 512));
    b.run();
    assert_eq!(b.ports.handed_in, [1]);
    b.lose(1);
    b.run();
    assert_eq!(b.target.sessions(), 1, "the session stays with the other");
    b.say(0, &logout(LogoutReason::CloseConnection, 2, 2, 50));
    b.run();
    assert!(
        b.answers_to(0, 50).is_empty(),
        "the write may still take effect: no answer yet"
    );
    b.ports.stuck = false;
    b.run();
    let a = b.answer(0, 50);
    assert_eq!((a.opcode, a.response), (0x26, LogoutResult::Closed as u8));
    assert_eq!(b.ports.carried_out, [1], "it was over before the answer");
    // It is forgotten now, and others were never there.
    b.say(0, &logout(LogoutReason::CloseConnection, 2, 2, 51));
    b.say(0, &logout(LogoutReason::CloseConnection, 9, 2, 52));
    b.say(0, &logout(LogoutReason::Recovery, 2, 2, 53));
    b.run();
    let response = |itt| b.answer(0, itt).response;
    assert_eq!(response(51), LogoutResult::NoCid as u8);
    assert_eq!(response(52), LogoutResult::NoCid as u8);
    assert_eq!(response(53), LogoutResult::RecoveryNotSupported as u8);
    b.say(0, &write(2, 2, &BLOCK, 512));
    b.run();
    assert_eq!(b.answer(0, 2).status, 0);
}

#[test]
fn a_connection_that_is_silent_only_is_ended_by_its_logout() {
    let mut b = Bench::session(2);
    // Its bytes are under way when the other connection logs it out: too late.
    b.net.set_link("p0:3260", |l| l.hold_to_target = true);
    b.say(1, &write(1, 1, &BLOCK, 512));
    b.step();
    b.say(0, &logout(LogoutReason::CloseConnection, 2, 2, 50));
    b.run();
    assert_eq!(b.answer(0, 50).response, LogoutResult::Closed as u8);
    b.net.release("p0:3260", b.now, |_| Duration::ZERO);
    b.run();
    assert!(b.ports.handed_in.is_empty(), "no ghost write");
}

#[test]
fn numbers_that_never_come_are_plugged() {
    let mut b = Bench::session(2);
    b.say(0, &write(3, 3, &BLOCK, 512));
    b.lose(1);
    b.run();
    assert!(b.ports.handed_in.is_empty());
    b.say(0, &logout(LogoutReason::CloseConnection, 2, 4, 50));
    b.say(0, &task(TaskFunction::AbortTask, 4, 51, 1, 1));
    b.run();
    assert_eq!(b.answer(0, 51).response, 0);
    assert_eq!(b.answer(0, 51).exp_cmd_sn, 2);
    b.say(0, &task(TaskFunction::AbortTask, 4, 52, 2, 2));
    b.run();
    assert_eq!(
        (b.answer(0, 52).response, b.answer(0, 52).exp_cmd_sn),
        (0, 3)
    );
    assert_eq!(b.ports.handed_in, [3], "what was behind the gap goes on");
    assert_eq!(b.answer(0, 3).status, 0);
    // A number behind the window, and one that is over: no such task.
    b.say(0, &task(TaskFunction::AbortTask, 4, 53, 9, 3));
    b.say(0, &task(TaskFunction::AbortTask, 4, 54, 9, 900));
    b.run();
    assert_eq!((b.answer(0, 53).response, b.answer(0, 54).response), (1, 1));
}

#[test]
fn what_a_lost_connection_held_early_is_not_waited_for() {
    let mut b = Bench::session(2);
    b.say(1, &write(2, 2, &BLOCK, 512));
    b.run();
    b.lose(1);
    b.run();
    b.say(0, &write(1, 1, &BLOCK, 512));
    b.say(0, &write(3, 3, &BLOCK, 512));
    b.run();
    assert_eq!(b.ports.handed_in, [1, 3], "2 ended with its connection");
}

#[test]
fn an_early_command_can_be_aborted() {
    let mut b = Bench::session(2);
    b.say(1, &write(2, 2, &BLOCK, 0));
    b.run();
    b.say(1, &task(TaskFunction::AbortTask, 3, 60, 2, 2));
    b.run();
    assert_eq!(b.answer(1, 60).response, 0);
    b.say(0, &write(1, 1, &BLOCK, 512));
    b.say(0, &write(3, 3, &BLOCK, 512));
    b.run();
    assert_eq!(b.ports.handed_in, [1, 3]);
}

#[test]
fn a_command_that_was_aborted_in_the_same_piece_is_not_acted_on() {
    let mut b = Bench::session(2);
    // The abort is acted on when the command behind it is there already, in turn and early.
    for cmd_sn in [1, 3] {
        let mut piece = task(
            TaskFunction::AbortTask,
            cmd_sn + 1,
            60 + cmd_sn,
            cmd_sn,
            cmd_sn,
        );
        piece.extend(write(cmd_sn, u32::from(cmd_sn == 1), &BLOCK, 512));
        b.say(0, &piece);
        b.run();
        assert_eq!(b.answer(0, 60 + cmd_sn).response, 0);
    }
    b.say(1, &write(2, 2, &BLOCK, 512));
    b.say(0, &write(4, 4, &BLOCK, 512));
    b.run();
    assert_eq!(b.ports.handed_in, [2, 4]);
}

#[test]
fn a_reset_of_the_unit_acts_on_all_connections_and_waits_for_the_commands_before_it() {
    let mut b = Bench::session(2);
    b.ports.stuck = true;
    b.say(0, &write(1, 1, &BLOCK, 512));
    b.run();
    // Number 2 is still under way on the other connection when the reset comes.
    b.say(0, &task(TaskFunction::LogicalUnitReset, 3, 60, NO_TAG, 0));
    b.run();
    assert!(b.answers_to(0, 60).is_empty());
    b.say(1, &write(2, 2, &BLOCK, 512));
    b.run();
    assert!(b.answers_to(0, 60).is_empty(), "both still execute");
    b.ports.stuck = false;
    b.run();
    assert_eq!(b.answer(0, 60).response, 0);
    assert!(b.answers_to(0, 1).is_empty() && b.answers_to(1, 2).is_empty());
    // Both connections are one nexus: it is told once.
    b.say(1, &write(3, 3, &BLOCK, 512));
    b.run();
    b.say(0, &write(4, 4, &BLOCK, 512));
    b.run();
    assert_eq!((b.answer(1, 3).status, b.answer(0, 4).status), (2, 0));
}

#[test]
fn a_connection_is_reinstated_by_a_login_with_its_cid() {
    let mut b = Bench::session(2);
    b.ports.stuck = true;
    b.say(1, &write(1, 1, &BLOCK, 512));
    b.run();
    let (line, mut login) = b.begin_login(b.tsih, 2, 2);
    assert!(
        b.go_on(line, &mut login).is_none(),
        "the tasks of the old one end before the new one begins"
    );
    assert!(b.lines[1].gone);
    b.ports.stuck = false;
    b.go_on(line, &mut login)
        .expect("an answer")
        .expect("a login");
    assert_eq!(b.ports.carried_out, [1]);
    b.say(line, &write(3, 3, &BLOCK, 512));
    b.say(0, &write(2, 2, &BLOCK, 512));
    b.run();
    assert_eq!((b.answer(0, 2).status, b.answer(line, 3).status), (0, 0));
}

#[test]
fn the_session_ends_with_its_last_connection_or_by_logout() {
    let mut b = Bench::session(2);
    b.lose(0);
    b.run();
    assert_eq!(b.target.sessions(), 1);
    b.say(1, &logout(LogoutReason::CloseConnection, 2, 1, 50));
    b.run();
    assert_eq!(b.answer(1, 50).response, 0);
    assert!(b.lines[1].gone);
    assert_eq!(b.target.sessions(), 0);

    let mut b = Bench::session(3);
    b.say(1, &logout(LogoutReason::CloseSession, 0, 1, 50));
    b.run();
    assert_eq!(b.answer(1, 50).response, 0);
    assert!(b.lines.iter().all(|l| l.gone));
    assert_eq!(b.target.sessions(), 0);
}

#[test]
fn a_login_in_the_place_of_a_lost_session_waits_for_its_requests() {
    let mut b = Bench::session(2);
    b.ports.stuck = true;
    b.say(0, &write(1, 1, &BLOCK, 512));
    b.run();
    b.lose(0);
    b.lose(1);
    b.run();
    assert_eq!(b.target.sessions(), 0);
    let (line, mut login) = b.begin_login(0, 1, 1);
    assert!(b.go_on(line, &mut login).is_none(), "the write is not over");
    b.ports.stuck = false;
    b.go_on(line, &mut login)
        .expect("an answer")
        .expect("a login");
    assert_eq!(b.ports.carried_out, [1]);
}
