//! The ghost write on one connection of an iSCSI session that has several: the session goes on, and
//! the logout of the lost connection, answered on another, is the proof.

use super::super::content::Content;
use super::super::failure::Failure;
use super::super::faults::{Cut, Fault, Link};
use super::super::swarm::Setup;
use super::super::world::World;
use super::iscsi::{done, iscsi_world, written_again};
use super::ms;
use crate::base::request::Op;
use crate::path::loss::Fencing;
use crate::proto::iscsi::initiator::MemberState;
use std::time::Duration;

/// Sessions of several connections, all of them up. Failover: the first one of the first session
/// carries everything.
fn mcs_world(connections: usize, change: impl FnOnce(&mut Setup)) -> Result<World, Failure> {
    let mut w = iscsi_world(|s| {
        s.iscsi.connections = connections;
        s.iscsi.conn_policy = 1;
        change(s);
    });
    w.run_while(ms(5000), "all connections", |w| up(w) < 2 * connections)?;
    Ok(w)
}

/// Connections that are up.
fn up(w: &World) -> usize {
    let sessions = w.hosts[0].plane.paths.sessions();
    let all = sessions.iter().flat_map(|s| &s.connections);
    all.filter(|c| c.state == MemberState::Up).count()
}

const fn link(connection: usize) -> Link {
    Link {
        portal: 0,
        connection,
    }
}

fn keep(w: &mut World, connection: usize, on: bool) {
    let link = link(connection);
    w.apply(&Fault::Keep { link, on });
}

fn hold(w: &mut World, connection: usize) {
    w.apply(&Fault::Hold {
        link: link(connection),
        to_target: true,
        to_host: false,
    });
}

fn cut(w: &mut World, connection: usize, how: Cut) {
    let link = link(connection);
    w.apply(&Fault::Cut { link, how });
}

/// Write 1 is under way on the first connection when that is lost, unseen by the target; it arrives
/// `late`.
fn lost_with_a_write(w: &mut World, late: Duration) -> Result<(), Failure> {
    hold(w, 0);
    w.ask(Op::Write, 0, 1);
    w.pass(ms(1))?;
    cut(w, 0, Cut::Silent);
    let address = w.setup.address_of(link(0));
    w.net
        .release(&address, w.now, |nth| if nth == 0 { late } else { ms(0) });
    Ok(())
}

fn logins(w: &World) -> u64 {
    w.hosts[0].plane.paths.get(0).counters.logins
}

#[test]
fn the_fence_opens_when_the_connection_is_logged_out_and_the_late_pdu_finds_nobody()
-> Result<(), Failure> {
    let mut w = mcs_world(2, |_| {})?;
    let lost = w.now;
    lost_with_a_write(&mut w, ms(2000))?;
    assert_eq!(done(&w.all_ended()?), 1, "write 1, sent again");
    assert!(w.now.since(lost) < ms(100), "{:?}", w.now.since(lost));
    assert_eq!(w.proofs(), [("connection logout", 1)]);
    written_again(&mut w, ms(3000))?;
    assert_eq!(logins(&w), 1, "the session has gone on");
    assert_eq!(up(&w), 4, "with all its connections");
    Ok(())
}

#[test]
fn a_logout_is_not_answered_before_the_target_has_done_what_it_was_given() -> Result<(), Failure> {
    for how in [Cut::Gone, Cut::Late, Cut::Silent] {
        let mut w = mcs_world(2, |_| {})?;
        keep(&mut w, 0, true);
        w.ask(Op::Write, 0, 1);
        w.pass(ms(1))?;
        cut(&mut w, 0, how);
        w.ask(Op::Write, 0, 1);
        w.pass(ms(1000))?;
        assert!(w.ended().is_empty(), "{how:?}: the logout is not answered");
        keep(&mut w, 0, false);
        assert_eq!(done(&w.all_ended()?), 2, "{how:?}");
        assert_eq!(w.proofs(), [("connection logout", 1)], "{how:?}");
        w.pass(ms(50))?;
        assert_eq!(w.stored(0), Content::Written(2), "{how:?}");
        assert_eq!(logins(&w), 1, "{how:?}");
    }
    Ok(())
}

#[test]
fn control_with_the_logout_taken_for_granted_the_old_write_lands_on_the_new_data() {
    let story = || -> Result<(), Failure> {
        let mut w = mcs_world(2, |s| s.fence = Fencing::LogoutTakenForGranted)?;
        keep(&mut w, 0, true);
        w.ask(Op::Write, 0, 1);
        w.pass(ms(1))?;
        cut(&mut w, 0, Cut::Silent);
        assert_eq!(done(&w.all_ended()?), 1);
        w.ask(Op::Write, 0, 1);
        assert_eq!(done(&w.all_ended()?), 1);
        keep(&mut w, 0, false);
        w.pass(ms(50))
    };
    let failure = story().expect_err("a ghost");
    assert!(
        matches!(&failure, Failure::Memory(v) if v.found == Content::Written(1)),
        "{failure}"
    );
}

#[test]
fn numbers_that_never_arrived_are_plugged_so_that_what_waits_behind_them_goes_on()
-> Result<(), Failure> {
    for lost in [0, 1] {
        // Round robin: every second command is on the connection that is lost, and the target has
        // the others, and waits.
        let mut w = mcs_world(2, |s| s.iscsi.conn_policy = 2)?;
        hold(&mut w, lost);
        for lba in 0..8 {
            w.ask(Op::Write, lba, 1);
        }
        w.pass(ms(5))?;
        let before = done(&w.ended());
        assert!(before <= 1, "all but the first wait for their turn");
        cut(&mut w, lost, Cut::Gone);
        w.apply(&Fault::Release {
            link: link(lost),
            spread: ms(0),
        });
        assert_eq!(done(&w.all_ended()?), 8 - before);
        assert_eq!(w.proofs(), [("connection logout", 1)]);
        assert_eq!(logins(&w), 1);
        w.read_all()?;
    }
    Ok(())
}

#[test]
fn when_the_helper_is_lost_as_well_a_third_connection_logs_both_out() -> Result<(), Failure> {
    let mut w = mcs_world(3, |s| s.iscsi.conn_policy = 2)?;
    // All are on their way; then one after the other is gone, the second before it can have helped.
    (0..3).for_each(|c| hold(&mut w, c));
    for lba in 0..9 {
        w.ask(Op::Write, lba, 1);
    }
    w.pass(ms(1))?;
    cut(&mut w, 0, Cut::Silent);
    w.pass(ms(1))?;
    cut(&mut w, 1, Cut::Silent);
    w.pass(ms(1))?;
    for (connection, late) in [(0, ms(500)), (1, ms(300)), (2, ms(10))] {
        let address = w.setup.address_of(link(connection));
        w.net
            .release(&address, w.now, |nth| if nth == 0 { late } else { ms(0) });
    }
    assert_eq!(done(&w.all_ended()?), 9);
    assert_eq!(w.proofs(), [("connection logout", 2)]);
    assert_eq!(logins(&w), 1);
    for lba in 0..9 {
        w.ask(Op::Write, lba, 1);
    }
    assert_eq!(done(&w.all_ended()?), 9);
    w.pass(ms(1000))?;
    w.read_all()
}

#[test]
fn with_the_last_connection_the_session_is_lost_and_the_next_login_proves_it_all()
-> Result<(), Failure> {
    let mut w = mcs_world(2, |_| {})?;
    hold(&mut w, 1);
    lost_with_a_write(&mut w, ms(2000))?;
    // The logout of the first is under way on the second, which is lost with it.
    w.pass(ms(5))?;
    w.ask(Op::Write, 8, 1);
    w.pass(ms(5))?;
    assert!(w.ended().is_empty());
    cut(&mut w, 1, Cut::Silent);
    let address = w.setup.address_of(link(1));
    w.net.release(
        &address,
        w.now,
        |nth| {
            if nth == 0 { ms(2500) } else { ms(0) }
        },
    );
    assert_eq!(done(&w.all_ended()?), 2);
    assert_eq!(w.proofs(), [("session reinstatement", 2)]);
    assert_eq!(logins(&w), 2);
    w.ask(Op::Write, 0, 1);
    assert_eq!(done(&w.all_ended()?), 1);
    w.pass(ms(3000))?;
    assert_eq!(w.stored(0), Content::Written(3));
    w.read_all()
}
