//! Fault switches, and the promise that ended controllers execute nothing.

use super::*;

fn cross_reset(w: &mut World, from: usize, through: usize) -> [u8; 64] {
    let d = w.call(through, dword(sqe(0x06, 0, 4096), 10, 1), &[]).data;
    let _ = from;
    let cntlid = u32::from(u16::from_le_bytes([d[78], d[79]]));
    let mut s = dword(sqe(0x38, 0, 0), 10, cntlid | u32::from(d[135]) << 16);
    s[48..56].copy_from_slice(&d[136..144]);
    s
}

fn block(w: &World, lba: usize) -> u8 {
    w.ports.data[lba * 512]
}

#[test]
fn a_held_write_is_executed_after_its_connection_is_gone() {
    let mut w = World::new();
    let (h, _, io) = w.association("a", 0);
    w.target
        .set_fault(PortalId(0), Fault::Hold(true), w.now)
        .unwrap();
    w.send(io, inline(rw(1, 5, 1)), &[0xaa; 512]);
    w.run(2);
    w.kill(io);
    w.kill(h);
    w.run(10);
    assert_eq!(block(&w, 5), 0);
    assert_eq!(w.status().connections.len(), 1, "it stays for what is held");
    w.target
        .set_fault(PortalId(0), Fault::Hold(false), w.now)
        .unwrap();
    w.run(1);
    assert_eq!(block(&w, 5), 0xaa, "the zombie has struck");
    assert!(w.status().connections.is_empty());
    assert!(w.status().controllers.is_empty());
}

#[test]
fn a_cross_controller_reset_discards_what_is_held_before_it_answers() {
    let mut w = World::new();
    let (ha, a, io) = w.association("a", 5000);
    let (hb, _, _) = w.association("b", 0);
    let reset = cross_reset(&mut w, hb, ha);
    w.target
        .set_fault(PortalId(0), Fault::Hold(true), w.now)
        .unwrap();
    w.send(io, inline(rw(1, 5, 1)), &[0xaa; 512]);
    w.run(2);
    w.kill(io);
    w.kill(ha);
    let answer = w.call(hb, reset, &[]);
    assert_eq!((answer.status, answer.result), (0, 1));
    assert!(w.status().controllers.iter().all(|c| c.cntlid != a));
    w.target
        .set_fault(PortalId(0), Fault::Hold(false), w.now)
        .unwrap();
    w.run(10);
    assert_eq!(block(&w, 5), 0, "no ghost write");
    assert_eq!(w.status().counters.discarded, 1);
}

#[test]
fn a_cross_controller_reset_ends_a_live_association() {
    let mut w = World::new();
    let (ha, _, io) = w.association("a", 0);
    let (hb, _, _) = w.association("b", 0);
    let reset = cross_reset(&mut w, hb, ha);
    assert_eq!(w.call(hb, reset, &[]).result, 1);
    assert!(w.hosts[ha].gone && w.hosts[io].gone);
    assert_eq!(w.call(hb, reset, &[]).result, 1, "an instance that is gone");
}

#[test]
fn a_reset_that_takes_long_is_finished_by_an_event() {
    let mut w = World::new();
    let (ha, _, io) = w.association("a", 0);
    let (hb, _, _) = w.association("b", 0);
    let reset = cross_reset(&mut w, hb, ha);
    let config = dword(dword(sqe(0x09, 0, 0), 10, 0x0b), 11, 1 << 20);
    w.call(hb, config, &[]);
    let aer = w.send(hb, sqe(0x0c, 0, 0), &[]);
    w.ports.stuck = true;
    w.send(io, inline(rw(1, 5, 1)), &[0xaa; 512]);
    w.run(2);
    let cid = w.send(hb, reset, &[]);
    w.run(100);
    assert!(w.answer(hb, cid).is_none(), "its write is still executing");
    assert_eq!(w.call(hb, reset, &[]).status, 0x13f);
    w.run(500);
    assert_eq!(w.answer(hb, cid).unwrap().result, 0, "in progress");
    let log = dword(sqe(0x02, u32::MAX, 64), 10, 0x1e | 15 << 16);
    let d = w.call(hb, log, &[]).data;
    assert_eq!((d[0], d[14]), (1, 0));
    w.ports.stuck = false;
    w.run(5);
    assert_eq!(w.answer(hb, aer).unwrap().result, 0x001e_f402);
    let d = w.call(hb, log, &[]).data;
    assert_eq!((d[0], d[14]), (1, 1));
}

#[test]
fn resets_are_checked() {
    let mut w = World::with(limits(|l| l.ccr_limit = 1));
    let (ha, _, io) = w.association("a", 0);
    let (hb, _, _) = w.association("b", 0);
    let own = cross_reset(&mut w, hb, hb);
    assert_eq!(w.call(hb, own, &[]).status, 0x4002, "itself");
    let mut stale = cross_reset(&mut w, hb, ha);
    stale[48] ^= 1;
    assert_eq!(w.call(hb, stale, &[]).result, 1);
    assert!(!w.hosts[ha].gone, "another instance is not touched");
    // A second one while the first is under way.
    let (hc, _, _) = w.association("b", 0);
    let first = cross_reset(&mut w, hb, ha);
    let second = cross_reset(&mut w, hb, hc);
    w.ports.stuck = true;
    w.send(io, rw(2, 0, 1), &[]);
    w.run(1);
    w.send(hb, first, &[]);
    assert_eq!(w.call(hb, second, &[]).status, 0x141);
}

#[test]
fn another_hosts_controller_is_not_reset() {
    let mut w = World::new();
    let (ha, _, _) = w.association("a", 0);
    let h = w.open("b", Digests::NONE);
    let mut d = connect_data(0xffff);
    d[512 + HOST.len()] = b'x';
    assert_eq!(w.call(h, connect_sqe(0, 31, 0), &d).status, 0);
    w.call(h, set_property(0x14, 0x0046_0001), &[]);
    let reset = cross_reset(&mut w, h, ha);
    assert_eq!(w.call(h, reset, &[]).status, 0x4002);
    assert!(!w.hosts[ha].gone);
}

#[test]
fn keep_alive_expiry_ends_the_controller_and_what_it_holds() {
    let mut w = World::new();
    let (h, _, io) = w.association("a", 500);
    w.target
        .set_fault(PortalId(0), Fault::Hold(true), w.now)
        .unwrap();
    w.send(io, inline(rw(1, 5, 1)), &[0xaa; 512]);
    w.run(300);
    assert_eq!(w.call(h, sqe(0x18, 0, 0), &[]).status, 0);
    w.run(400);
    assert!(!w.hosts[h].gone, "Keep Alive came in time");
    w.run(120);
    assert!(w.hosts[h].gone && w.hosts[io].gone);
    let s = w.status();
    assert_eq!(s.counters.keep_alive_timeouts, 1);
    assert!(s.controllers.is_empty() && s.connections.is_empty());
    w.target.set_fault(PortalId(0), Fault::None, w.now).unwrap();
    w.run(5);
    assert_eq!(block(&w, 5), 0);
}

#[test]
fn a_zombie_lives_no_longer_than_keep_alive() {
    let mut w = World::new();
    let (h, _, io) = w.association("a", 500);
    w.target
        .set_fault(PortalId(0), Fault::Hold(true), w.now)
        .unwrap();
    w.send(io, inline(rw(1, 5, 1)), &[0xaa; 512]);
    w.run(2);
    w.kill(h);
    w.kill(io);
    w.run(100);
    assert_eq!(w.status().controllers.len(), 1);
    w.run(500);
    assert!(w.status().controllers.is_empty());
    w.target
        .set_fault(PortalId(0), Fault::Hold(false), w.now)
        .unwrap();
    w.run(5);
    assert_eq!(block(&w, 5), 0);
}

#[test]
fn any_traffic_keeps_alive_where_that_is_agreed() {
    let mut w = World::with(limits(|l| l.traffic_keep_alive = true));
    let (h, _, io) = w.association("a", 200);
    for _ in 0..10 {
        w.run(100);
        assert_eq!(w.call(io, rw(2, 0, 1), &[]).status, 0);
    }
    assert!(!w.hosts[h].gone);
    w.run(500);
    assert!(w.hosts[h].gone);
}

#[test]
fn dropped_means_silence() {
    let mut w = World::new();
    let (h, _, io) = w.association("a", 500);
    let drop = |w: &mut World, on| {
        let now = w.now;
        w.target
            .set_fault(PortalId(0), Fault::Drop(on), now)
            .unwrap();
    };
    drop(&mut w, true);
    let read = w.send(io, rw(2, 0, 1), &[]);
    w.run(100);
    assert!(w.answer(io, read).is_none());
    drop(&mut w, false);
    w.run(5);
    assert!(w.answer(io, read).is_some(), "it was only late");
    drop(&mut w, true);
    w.run(1000);
    assert!(w.status().controllers.is_empty(), "keep alive has expired");
    assert!(!w.hosts[h].gone, "but nothing was heard of that");
    drop(&mut w, false);
    w.run(5);
    assert!(w.hosts[h].gone && w.hosts[io].gone);
}

#[test]
fn answers_are_delayed_and_keep_their_order() {
    let mut w = World::new();
    let (_, _, io) = w.association("a", 0);
    let by = Duration::from_millis(20);
    w.target
        .set_fault(PortalId(0), Fault::Delay(by), w.now)
        .unwrap();
    let read = w.send(io, rw(2, 0, 1), &[]);
    let write = w.send(io, inline(rw(1, 5, 1)), &[0xaa; 512]);
    w.run(10);
    assert_eq!(block(&w, 5), 0xaa, "executed at once");
    assert!(w.answer(io, read).is_none());
    assert!(w.target.next_deadline().unwrap() > w.now);
    w.run(12);
    assert!(w.answer(io, read).is_some() && w.answer(io, write).is_some());
}

#[test]
fn reset_hits_every_connection_once() {
    let mut w = World::new();
    let (h, _, io) = w.association("a", 0);
    let (other, _, _) = w.association("b", 0);
    w.target
        .set_fault(PortalId(0), Fault::Reset, w.now)
        .unwrap();
    w.run(5);
    assert!(w.hosts[h].gone && w.hosts[io].gone && !w.hosts[other].gone);
    let (h, _, io) = w.association("a", 0);
    assert_eq!(w.call(io, rw(2, 0, 1), &[]).status, 0);
    assert!(!w.hosts[h].gone);
}

#[test]
fn refused_portals_can_be_opened_again() {
    let mut w = World::new();
    let (h, _, _) = w.association("a", 0);
    w.target
        .set_fault(PortalId(0), Fault::Refuse(true), w.now)
        .unwrap();
    assert!(w.net.connect("a", w.now).is_err());
    assert!(!w.hosts[h].gone, "who is in stays in");
    w.target
        .set_fault(PortalId(0), Fault::Refuse(false), w.now)
        .unwrap();
    w.association("a", 0);
}

#[test]
fn a_held_command_can_be_aborted() {
    let mut w = World::new();
    let (h, _, io) = w.association("a", 0);
    w.target
        .set_fault(PortalId(0), Fault::Hold(true), w.now)
        .unwrap();
    let cid = w.send(io, inline(rw(1, 5, 1)), &[0xaa; 512]);
    w.run(2);
    let abort = dword(sqe(0x08, 0, 0), 10, 1 | u32::from(cid) << 16);
    assert_eq!(w.call(h, abort, &[]).result, 0);
    assert_eq!(w.answer(io, cid).unwrap().status, 0x007);
    w.target.set_fault(PortalId(0), Fault::None, w.now).unwrap();
    w.run(2);
    assert_eq!(block(&w, 5), 0);
}

#[test]
fn the_id_of_an_ending_controller_is_not_given_again() {
    let mut w = World::new();
    let (h, cntlid, io) = w.association("a", 0);
    w.ports.stuck = true;
    w.send(io, inline(rw(1, 5, 1)), &[0xaa; 512]);
    w.run(2);
    w.kill(h);
    w.kill(io);
    w.run(5);
    let n = w.open("a", Digests::NONE);
    let a = w.call(n, connect_sqe(0, 31, 0), &connect_data(cntlid));
    assert_eq!(a.status, 0x181);
    w.ports.stuck = false;
    w.run(5);
    let n = w.open("a", Digests::NONE);
    let a = w.call(n, connect_sqe(0, 31, 0), &connect_data(cntlid));
    assert_eq!(a.status, 0);
}

#[test]
fn shutdown_under_hold_aborts_what_is_held() {
    let mut w = World::new();
    let (h, _, io) = w.association("a", 0);
    w.target
        .set_fault(PortalId(0), Fault::Hold(true), w.now)
        .unwrap();
    let cid = w.send(io, inline(rw(1, 5, 1)), &[0xaa; 512]);
    w.run(2);
    w.call(h, set_property(0x14, 0x0046_4001), &[]);
    assert_eq!(w.call(h, get_property(0x1c, false), &[]).result >> 2 & 3, 2);
    assert_eq!(w.answer(io, cid).unwrap().status, 0x007);
    w.target.set_fault(PortalId(0), Fault::None, w.now).unwrap();
    w.run(2);
    assert_eq!(block(&w, 5), 0);
}

#[test]
fn an_instance_ends_with_each_enabling() {
    let mut w = World::new();
    let (h, _) = w.admin("a", 0);
    let instance = |w: &mut World| {
        let d = w.call(h, dword(sqe(0x06, 0, 4096), 10, 1), &[]).data;
        (d[135], d[136..144].to_vec())
    };
    let before = instance(&mut w);
    w.call(h, set_property(0x14, 0x0046_0000), &[]);
    w.call(h, set_property(0x14, 0x0046_0001), &[]);
    let after = instance(&mut w);
    assert_eq!(after.0, before.0 + 1);
    assert_ne!(after.1, before.1);
}
