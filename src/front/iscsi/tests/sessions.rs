//! Sessions: what a login or a logout proves to the initiator.

use super::fault::Fault;
use super::*;

#[test]
fn a_reinstated_session_begins_when_nothing_of_the_old_one_is_executed() {
    let mut w = World::new();
    let old = w.login("a", 1);
    w.ports.stuck = true;
    w.send(old, &write_cdb(0, 1), 0, &[1; 512]);
    w.run(5);
    let new = w.begin("a", 1);
    assert!(w.hosts[old].gone, "its connection is closed");
    assert!(!w.hosts[new].logged_in, "the write may still land");
    w.ports.stuck = false;
    w.run(5);
    assert!(w.hosts[new].logged_in);
    assert_eq!((w.target.sessions(), w.ports.log.len()), (1, 1));
    w.write(new, 0, 1, 2).good();
    assert_eq!(w.ports.data[0], 2);
}

#[test]
fn so_does_one_whose_predecessor_had_ended_by_itself() {
    let mut w = World::new();
    let old = w.login("a", 1);
    w.ports.stuck = true;
    w.send(old, &write_cdb(0, 1), 0, &[1; 512]);
    w.run(5);
    w.kill(old);
    assert_eq!(w.target.sessions(), 0);
    // A first attempt that gives up must not let the next one through.
    let impatient = w.begin("a", 1);
    assert!(!w.hosts[impatient].logged_in);
    w.kill(impatient);
    let new = w.begin("a", 1);
    assert!(!w.hosts[new].logged_in, "the write may still land");
    // Other nexuses have nothing to wait for: another ISID, another portal group.
    w.login("a", 2);
    w.login("b", 1);
    w.ports.stuck = false;
    w.run(5);
    assert!(w.hosts[new].logged_in);
    assert_eq!(w.target.sessions(), 3);
}

#[test]
fn a_logout_is_answered_when_nothing_is_executed_any_more() {
    let mut w = World::new();
    let h = w.login("a", 1);
    w.ports.stuck = true;
    let write = w.send(h, &write_cdb(0, 1), 0, &[1; 512]);
    w.run(5);
    w.logout(h);
    assert!(!w.hosts[h].logged_out, "the write may still land");
    w.ports.stuck = false;
    w.run(5);
    assert!(w.hosts[h].logged_out);
    assert_eq!(w.answer(h, write), None, "it was ended with the session");
    assert_eq!(w.target.sessions(), 0);
    assert!(w.hosts[h].gone);
}

#[test]
fn a_login_that_never_ends_is_given_up() {
    let mut w = World::new();
    let conn = w.net.connect("a", w.now).unwrap();
    w.run(5);
    assert_eq!(w.target.counters().accepted, 1);
    w.now += LOGIN_MAX;
    w.run(5);
    assert_eq!(w.target.counters().failed_logins, 1);
    drop(conn);
}

#[test]
fn a_target_is_set_up_with_care() {
    let mut w = World::new();
    let identity = Identity::default();
    let again = w.target.add_lun(TARGET, 0, PortId(0), &identity, &w.ports);
    assert_eq!(again, Err(TargetError::LunExists(0)));
    let far = w
        .target
        .add_lun(TARGET, 256, PortId(0), &identity, &w.ports);
    assert_eq!(far, Err(TargetError::BadLun(256)));
    let name = w.target.add_lun("disk", 1, PortId(0), &identity, &w.ports);
    assert_eq!(name, Err(TargetError::BadName("disk".to_owned())));
    let group = w.target.set_access(9, AccessState::Standby);
    assert_eq!(group, Err(TargetError::NoGroup(9)));
    // A new unit is told to those who are there.
    let h = w.login("a", 1);
    w.target
        .add_lun(TARGET, 1, PortId(1), &identity, &w.ports)
        .unwrap();
    assert_eq!(w.ready(h).check(), (Key::UnitAttention, asc::LUNS_CHANGED));
    w.ready(h).good();
}

#[test]
fn a_portal_that_refuses_and_resets_is_gone_until_it_is_given_back() {
    let mut w = World::new();
    let (a, b) = (w.login("a", 1), w.login("b", 2));
    let now = w.now;
    w.target.set_fault(0, Fault::Refuse(true), now).unwrap();
    w.target.set_fault(0, Fault::Reset, now).unwrap();
    w.run(5);
    assert!(w.hosts[a].gone && !w.hosts[b].gone);
    assert!(w.net.connect("a", w.now).is_err());
    w.ready(b).good();
    w.target.set_fault(0, Fault::Refuse(false), now).unwrap();
    w.login("a", 1);
    let none = w.target.set_fault(7, Fault::Reset, now);
    assert_eq!(none, Err(TargetError::NoPortal(7)));
}

#[test]
fn a_held_command_of_a_lost_session_keeps_the_next_login_waiting() {
    let mut w = World::new();
    let old = w.login("a", 1);
    let now = w.now;
    w.target.set_fault(0, Fault::Hold(true), now).unwrap();
    w.send(old, &write_cdb(0, 1), 0, &[1; 512]);
    w.run(5);
    w.ready(old).good();
    assert_eq!(w.ports.log, []);
    w.kill(old);
    let new = w.begin("a", 1);
    assert!(!w.hosts[new].logged_in, "the write may still land");
    w.target.set_fault(0, Fault::Hold(false), now).unwrap();
    w.run(5);
    assert!(w.hosts[new].logged_in);
    assert_eq!((w.ports.log.len(), w.ports.data[0]), (1, 1));
}
