//! Admin commands as hosts use them.

use super::*;

fn identify(cns: u32, nsid: u32) -> [u8; 64] {
    dword(sqe(0x06, nsid, 4096), 10, cns)
}

fn log_page(page: u32, len: u32, offset: u32) -> [u8; 64] {
    let s = dword(sqe(0x02, u32::MAX, len), 10, page | (len / 4 - 1) << 16);
    dword(s, 12, offset)
}

fn set_feature(id: u32, value: u32) -> [u8; 64] {
    dword(dword(sqe(0x09, 0, 0), 10, id), 11, value)
}

fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(b[at..at + 4].try_into().unwrap())
}

#[test]
fn identify_controller_has_what_hosts_check() {
    let mut w = World::new();
    let (h, cntlid) = w.admin("a", 0);
    let d = w.call(h, identify(1, 0), &[]).data;
    assert_eq!(d.len(), 4096);
    assert_eq!(u16_at(&d, 78), cntlid);
    assert_eq!(u32_at(&d, 80), 0x0002_0100);
    assert_eq!(d[111], 1);
    assert_ne!(d[135], 0, "CIU is never 0");
    assert_ne!(u16_at(&d, 320), 0, "KAS is never 0 over fabrics");
    assert_eq!(u16_at(&d, 386), 1000, "CQT");
    assert_eq!((d[512], d[513]), (0x66, 0x44));
    assert_eq!(u16_at(&d, 514), 128);
    assert_eq!(u16_at(&d, 520), 0x0d);
    assert_eq!(u32_at(&d, 536) & 1 << 20, 1 << 20);
    assert_eq!(u32_at(&d, 1792), (64 + 8192) / 16);
    assert_eq!(d[1807], 4, "CCRL");
    assert_eq!(&d[768..768 + NQN.len()], NQN.as_bytes());
}

#[test]
fn identify_namespace_lists_and_descriptors() {
    let mut w = World::new();
    let (h, _) = w.admin("a", 0);
    let d = w.call(h, identify(0, 1), &[]).data;
    assert_eq!(u32_at(&d, 0), 4096);
    assert_eq!(d[130], 9);
    assert_eq!(d[104..120], [8; 16]);
    assert_eq!(u32_at(&d, 92), 1, "ANA group");
    let d = w.call(h, identify(2, 0), &[]).data;
    assert_eq!((u32_at(&d, 0), u32_at(&d, 4)), (1, 0));
    let d = w.call(h, identify(3, 1), &[]).data;
    assert_eq!(d[..4], [2, 16, 0, 0]);
    assert_eq!(d[20..24], [3, 16, 0, 0]);
    assert_eq!(d[40..45], [4, 1, 0, 0, 0]);
    let d = w.call(h, identify(8, 1), &[]).data;
    assert_eq!(d[14], 1, "ready");
    for cns in [5, 6] {
        assert_eq!(w.call(h, identify(cns, 1), &[]).status, 0);
    }
    let inactive = w.call(h, identify(0, 2), &[]);
    assert_eq!(inactive.status, 0);
    assert_eq!(inactive.data, vec![0; 4096]);
    assert_eq!(w.call(h, identify(0, 0), &[]).status, 0x400b);
    assert_eq!(w.call(h, identify(3, 2), &[]).status, 0x400b);
    assert_eq!(w.call(h, identify(0x55, 0), &[]).status, 0x4002);
}

#[test]
fn features_are_kept_and_bounded() {
    let mut w = World::with(limits(|l| l.io_queues = 4));
    let (h, cntlid) = w.admin("a", 0);
    let a = w.call(h, set_feature(7, 0x0009_0009), &[]);
    assert_eq!((a.status, a.result), (0, 0x0003_0003));
    assert_eq!(w.call(h, set_feature(7, 0xffff), &[]).status, 0x4002);
    let a = w.call(h, set_feature(0x0f, 5050), &[]);
    assert_eq!((a.status, a.result), (0, 5100), "rounded up to KAS");
    let mut get = sqe(0x0a, 0, 0);
    get[40] = 0x0f;
    assert_eq!(w.call(h, get, &[]).result, 5100);
    assert_eq!(w.call(h, set_feature(0x0b, 0x900), &[]).status, 0);
    get[40] = 0x0b;
    assert_eq!(w.call(h, get, &[]).result, 0x900);
    assert_eq!(w.call(h, set_feature(1 << 31 | 7, 0), &[]).status, 0x410d);
    assert_eq!(w.call(h, set_feature(0x77, 0), &[]).status, 0x4002);
    let mut behaviour = sqe(0x09, 0, 512);
    behaviour[40] = 0x16;
    assert_eq!(w.call(h, inline(behaviour), &[1; 512]).status, 0);
    w.io("a", cntlid, 1);
    assert_eq!(w.call(h, set_feature(7, 0), &[]).status, 0x400c);
}

#[test]
fn the_ana_log_is_the_same_in_pieces() {
    let mut w = World::new();
    for nsid in 2..20 {
        w.target
            .add_namespace(NQN, nsid, PortId(0), &Identity::default(), &w.ports)
            .unwrap();
        let group = nsid % 5 + 1;
        w.target.set_ana_group(NQN, nsid, group).unwrap();
    }
    w.target
        .set_access_of(1, 3, AnaState::Inaccessible)
        .unwrap();
    let (h, _) = w.admin("a", 0);
    let whole = w.call(h, log_page(0x0c, 4096, 0), &[]).data;
    assert_eq!(u16_at(&whole, 8), 5);
    let mut pieces = Vec::new();
    for at in (0..256).step_by(12) {
        pieces.extend(w.call(h, log_page(0x0c, 12, at), &[]).data);
    }
    assert_eq!(pieces[..], whole[..pieces.len()]);
    let groups = w.call(h, log_page(0x10c, 4096, 0), &[]).data;
    let states: Vec<u8> = (0..5).map(|g| groups[16 + g * 32 + 16]).collect();
    assert_eq!(states, [1, 1, 3, 1, 1]);
    assert_eq!(w.call(h, log_page(0x0c, 4, 2), &[]).status, 0x4002);
    assert_eq!(w.call(h, log_page(0x0c, 4, 1 << 20), &[]).status, 0x4002);
    for page in [1, 2, 3, 5, 0x1e] {
        assert_eq!(w.call(h, log_page(page, 512, 0), &[]).status, 0);
    }
    assert_eq!(w.call(h, log_page(0x66, 512, 0), &[]).status, 0x4109);
}

#[test]
fn an_ana_change_is_told_once_until_the_log_is_read() {
    let mut w = World::new();
    let (h, _) = w.admin("a", 0);
    let (other, _) = w.admin("b", 0);
    for host in [h, other] {
        w.call(host, set_feature(0x0b, 1 << 11), &[]);
    }
    let first = w.send(h, sqe(0x0c, 0, 0), &[]);
    let second = w.send(h, sqe(0x0c, 0, 0), &[]);
    let elsewhere = w.send(other, sqe(0x0c, 0, 0), &[]);
    w.run(5);
    w.target.set_access(1, AnaState::Inaccessible).unwrap();
    w.run(5);
    assert_eq!(w.answer(h, first).unwrap().result, 0x000c_0302);
    w.target.set_access(1, AnaState::Change).unwrap();
    w.run(5);
    assert!(w.answer(h, second).is_none(), "masked");
    let retained = log_page(0x0c | 1 << 15, 64, 0);
    assert_eq!(w.call(h, retained, &[]).data[32], 0x0f);
    w.target.set_access(1, AnaState::Optimized).unwrap();
    w.run(5);
    assert!(
        w.answer(h, second).is_none(),
        "a retaining read unmasks nothing"
    );
    w.call(h, log_page(0x0c, 64, 0), &[]);
    w.target.set_access(1, AnaState::NonOptimized).unwrap();
    w.run(5);
    assert!(w.answer(h, second).is_some());
    assert!(
        w.answer(other, elsewhere).is_none(),
        "another group's portal"
    );
}

#[test]
fn namespace_changes_are_told_and_listed() {
    let mut w = World::new();
    let (h, _) = w.admin("a", 0);
    w.call(h, set_feature(0x0b, 1 << 8), &[]);
    let aer = w.send(h, sqe(0x0c, 0, 0), &[]);
    w.run(5);
    w.ports.blocks = 100;
    w.run(5);
    assert_eq!(w.answer(h, aer).unwrap().result, 0x0004_0002);
    let list = w.call(h, log_page(4, 4096, 0), &[]).data;
    assert_eq!((u32_at(&list, 0), u32_at(&list, 4)), (1, 0));
    let list = w.call(h, log_page(4, 4096, 0), &[]).data;
    assert_eq!(u32_at(&list, 0), 0, "read is cleared");
}

#[test]
fn aer_beyond_the_limit_is_refused_and_abort_takes_one_back() {
    let mut w = World::with(limits(|l| l.async_events = 1));
    let (h, _) = w.admin("a", 0);
    let aer = w.send(h, sqe(0x0c, 0, 0), &[]);
    assert_eq!(w.call(h, sqe(0x0c, 0, 0), &[]).status, 0x4105);
    let abort = dword(sqe(0x08, 0, 0), 10, u32::from(aer) << 16);
    let a = w.call(h, abort, &[]);
    assert_eq!((a.status, a.result), (0, 0));
    assert_eq!(w.answer(h, aer).unwrap().status, 0x007);
    assert_eq!(w.call(h, abort, &[]).result, 1, "nothing there to abort");
}

#[test]
fn unknown_admin_opcodes_are_invalid() {
    let mut w = World::new();
    let (h, _) = w.admin("a", 0);
    assert_eq!(w.call(h, sqe(0x99, 0, 0), &[]).status, 0x4001);
    assert_eq!(w.call(h, sqe(0x0d, 0, 0), &[]).status, 0x4001);
}

#[test]
fn shutdown_is_acknowledged_after_io_has_ended() {
    let mut w = World::new();
    let (h, _, io) = w.association("a", 0);
    w.ports.stuck = true;
    let write = w.send(io, inline(rw(1, 0, 1)), &pattern(512, 1));
    w.run(1);
    w.call(h, set_property(0x14, 0x0046_4001), &[]);
    let shst = |w: &mut World| w.call(h, get_property(0x1c, false), &[]).result >> 2 & 3;
    assert_eq!(shst(&mut w), 1, "still executing");
    w.ports.stuck = false;
    w.run(1);
    assert_eq!(shst(&mut w), 2);
    assert_eq!(w.answer(io, write).unwrap().status, 0);
    assert_eq!(w.call(io, rw(2, 0, 1), &[]).status, 0x400c);
}

#[test]
fn a_controller_reset_ends_io_queues_and_keeps_the_admin_queue() {
    let mut w = World::new();
    let (h, cntlid, io) = w.association("a", 0);
    w.call(h, set_property(0x14, 0x0046_0000), &[]);
    assert!(w.hosts[io].gone);
    assert_eq!(w.call(h, get_property(0x1c, false), &[]).result, 0);
    w.call(h, set_property(0x14, 0x0046_0001), &[]);
    let io = w.io("a", cntlid, 1);
    assert_eq!(w.call(io, rw(2, 0, 1), &[]).status, 0);
}

#[test]
fn the_discovery_subsystem_answers() {
    let mut w = World::new();
    let h = w.open("a", Digests::NONE);
    let mut d = connect_data(0xffff);
    d[256..512].fill(0);
    let nqn = b"nqn.2014-08.org.nvmexpress.discovery";
    d[256..256 + nqn.len()].copy_from_slice(nqn);
    assert_eq!(w.call(h, connect_sqe(0, 31, 0), &d).status, 0);
    w.call(h, set_property(0x14, 0x0046_0001), &[]);
    let id = w.call(h, identify(1, 0), &[]).data;
    assert_eq!(id[111], 2);
    let log = w.call(h, log_page(0x70, 1024, 0), &[]);
    assert_eq!(log.status, 0);
    assert_eq!(log.data[8], 0, "portals in memory have no address to tell");
}
