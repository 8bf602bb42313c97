//! Commands through a session: data both ways, residuals, refusals, unit attentions.

use super::*;
use crate::base::error::ErrorKind;
use crate::base::request::Op;
use crate::proto::scsi::asc;

#[test]
fn blocks_are_written_read_compared_and_unmapped() {
    let mut w = World::new();
    let h = w.login("a", 1);
    w.write(h, 3, 2, 0xa5).good();
    let back = w.read(h, 3, 2);
    back.good();
    assert!(back.data.iter().all(|b| *b == 0xa5) && back.data.len() == 1024);
    assert_eq!(back.residual, Some(Residual::None));
    // COMPARE AND WRITE: the first half is compared, the second written.
    let mut caw = [0; 16];
    (caw[0], caw[9], caw[13]) = (0x89, 3, 1);
    let swap = [[0xa5; 512], [0x11; 512]].concat();
    w.call(h, &caw, 0, &swap).good();
    assert_eq!(w.read(h, 3, 1).data, [0x11; 512]);
    let missed = w.call(h, &caw, 0, &swap);
    assert_eq!(missed.check(), (Key::Miscompare, asc::MISCOMPARE));
    assert_eq!(w.read(h, 3, 1).data, [0x11; 512], "nothing was written");
    // WRITE SAME: a block many times; zeroes as such.
    let mut same = [0; 16];
    (same[0], same[9], same[13]) = (0x93, 16, 64);
    w.call(h, &same, 0, &[0x22; 512]).good();
    assert!(w.ports.data[16 * 512..80 * 512].iter().all(|b| *b == 0x22));
    w.ports.log.clear();
    w.call(h, &same, 0, &[0; 512]).good();
    assert_eq!(w.ports.log, [(Op::WriteZeroes, 16, 64)]);
    // VERIFY with data; WRITE AND VERIFY.
    let verify = |lba: u8| [0x2f, 2, 0, 0, 0, lba, 0, 0, 1, 0];
    w.call(h, &verify(3), 0, &[0x11; 512]).good();
    let other = w.call(h, &verify(3), 0, &[0x12; 512]);
    assert_eq!(other.check(), (Key::Miscompare, asc::MISCOMPARE));
    w.ports.log.clear();
    w.call(h, &[0x2e, 2, 0, 0, 0, 5, 0, 0, 1, 0], 0, &[9; 512])
        .good();
    assert_eq!(w.ports.log, [(Op::Write, 5, 1), (Op::Compare, 5, 1)]);
    // UNMAP: each range is a request.
    let mut list = Vec::new();
    let range = |lba, blocks| crate::proto::scsi::UnmapRange { lba, blocks };
    crate::proto::scsi::put_unmap(&[range(3, 1), range(5, 1)], &mut list);
    w.ports.log.clear();
    w.call(
        h,
        &[0x42, 0, 0, 0, 0, 0, 0, 0, list.len() as u8, 0],
        0,
        &list,
    )
    .good();
    assert_eq!(w.ports.log, [(Op::Discard, 3, 1), (Op::Discard, 5, 1)]);
    w.ports.log.clear();
    w.call(h, &[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0, &[]).good();
    assert_eq!(w.ports.log, [(Op::Flush, 0, 0)]);
}

#[test]
fn residuals_tell_what_did_not_move() {
    let mut w = World::new();
    let h = w.login("a", 1);
    let read = [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    let more = w.call(h, &read, 4096, &[]);
    assert_eq!(more.residual, Some(Residual::Underflow(4096 - 512)));
    let less = w.call(h, &read, 100, &[]);
    assert_eq!(less.residual, Some(Residual::Overflow(412)));
    assert_eq!(less.data.len(), 100);
    // A write with less data than it names: whole blocks of it.
    let short = w.send_as(h, 0, &write_cdb(0, 2), 0, &[1; 700], 700);
    w.run(5);
    let short = w.answer(h, short).unwrap();
    short.good();
    assert_eq!(short.residual, Some(Residual::Overflow(324)));
    assert_eq!((w.ports.data[511], w.ports.data[512]), (1, 0));
    // And one with more.
    let long = w.call(h, &write_cdb(0, 1), 0, &[2; 1024]);
    long.good();
    assert_eq!(long.residual, Some(Residual::Underflow(512)));
    assert_eq!((w.ports.data[511], w.ports.data[512]), (2, 0));
    // Parameter data in a small room.
    let inquiry = w.call(h, &[0x12, 0, 0, 0, 96, 0], 36, &[]);
    assert_eq!(inquiry.data.len(), 36);
    assert_eq!(inquiry.residual, Some(Residual::Overflow(60)));
}

#[test]
fn what_is_not_there_says_so() {
    let mut w = World::new();
    let h = w.login("a", 1);
    let at = |w: &mut World, lun, cdb: &[u8], room| {
        let itt = w.send_to(h, lun, cdb, room, &[]);
        w.run(5);
        w.answer(h, itt).expect("an answer")
    };
    let no_unit = (Key::IllegalRequest, asc::LUN_NOT_SUPPORTED);
    assert_eq!(at(&mut w, 9, &[0; 6], 0).check(), no_unit);
    assert_eq!(
        at(&mut w, 9, &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], 512).check(),
        no_unit
    );
    let inquiry = at(&mut w, 9, &[0x12, 0, 0, 0, 96, 0], 96);
    inquiry.good();
    assert_eq!(inquiry.data[0], 0x7f, "no unit, and never one");
    // INQUIRY's pages are of units that are there.
    assert_eq!(
        at(&mut w, 9, &[0x12, 1, 0x83, 0, 96, 0], 96).check(),
        no_unit
    );
    let unknown = w.call(h, &[0x5e, 0, 0, 0, 0, 0, 0, 0, 8, 0], 8, &[]);
    assert_eq!(unknown.check(), (Key::IllegalRequest, asc::INVALID_OPCODE));
    let beyond = w.call(h, &[0x28, 0, 0, 0, 0xff, 0, 0, 0, 1, 0], 512, &[]);
    assert_eq!(beyond.check(), (Key::IllegalRequest, asc::LBA_OUT_OF_RANGE));
}

#[test]
fn what_fails_below_comes_back_as_sense_data() {
    let mut w = World::new();
    let h = w.login("a", 1);
    w.ports.error = Some(ErrorKind::Medium);
    assert_eq!(w.read(h, 0, 1).check(), (Key::MediumError, asc::READ_ERROR));
    assert_eq!(
        w.write(h, 0, 1, 1).check(),
        (Key::MediumError, asc::WRITE_ERROR)
    );
    w.ports.error = Some(ErrorKind::ReservationConflict);
    let conflict = w.write(h, 0, 1, 1);
    assert_eq!(
        (conflict.status, conflict.sense),
        (status::RESERVATION_CONFLICT, None)
    );
    w.ports.error = None;
    w.write(h, 0, 1, 1).good();
}

#[test]
fn a_change_of_access_is_told_to_each_session_once() {
    let mut w = World::new();
    let (a, b) = (w.login("a", 1), w.login("b", 2));
    w.ready(a).good();
    w.target.set_access(1, AccessState::NonOptimized).unwrap();
    let changed = (Key::UnitAttention, asc::ACCESS_STATE_CHANGED);
    for h in [a, b] {
        // INQUIRY and REPORT LUNS are answered and leave it (SAM-5, 5.14).
        w.call(h, &[0x12, 0, 0, 0, 96, 0], 96, &[]).good();
        w.call(h, &[0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], 256, &[])
            .good();
        assert_eq!(w.ready(h).check(), changed);
        w.ready(h).good();
    }
    // The same state again is none.
    w.target.set_access(1, AccessState::NonOptimized).unwrap();
    w.ready(a).good();
    // REQUEST SENSE gives it as data.
    w.target.set_access(1, AccessState::Optimized).unwrap();
    let told = w.call(a, &[0x03, 0, 0, 0, 18, 0], 18, &[]);
    told.good();
    let sense = Sense::parse(&told.data).unwrap();
    assert_eq!((sense.key, sense.code), changed);
    w.ready(a).good();
    // A session that comes later knows already.
    let c = w.login("a", 3);
    w.ready(c).good();
}

#[test]
fn each_state_refuses_io_in_its_own_words_even_when_the_data_was_long_on_its_way() {
    let mut w = World::new();
    let h = w.login("a", 1);
    for (state, code) in [
        (AccessState::Standby, asc::STANDBY),
        (AccessState::Unavailable, asc::UNAVAILABLE),
        (AccessState::Transitioning, asc::TRANSITION),
    ] {
        w.target.set_access(1, state).unwrap();
        w.ready(h);
        assert_eq!(w.read(h, 0, 1).check(), (Key::NotReady, code));
        assert_eq!(w.write(h, 0, 1, 1).check(), (Key::NotReady, code));
        w.target.set_access(1, AccessState::Optimized).unwrap();
        w.ready(h);
        w.read(h, 0, 1).good();
    }
    // The command was taken, its data is asked for; meanwhile the state changes.
    let itt = w.send(h, &write_cdb(0, 1), 0, &[5; 512]);
    w.now += Duration::from_micros(50);
    while w.target.poll(&mut w.ports, w.now) {}
    w.target.set_access(1, AccessState::Standby).unwrap();
    w.run(5);
    let late = w.answer(h, itt).unwrap();
    assert_eq!(late.check(), (Key::NotReady, asc::STANDBY));
    assert_eq!(w.ports.data[0], 0);
}

#[test]
fn an_initiator_sets_groups_and_the_others_hear_of_it() {
    let mut w = World::new();
    let (a, b) = (w.login("a", 1), w.login("b", 2));
    let list = [0, 0, 0, 0, 2, 0, 0, 2];
    let stpg = [0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0];
    w.call(a, &stpg, 0, &list).good();
    w.ready(a).good();
    assert_eq!(
        w.ready(b).check(),
        (Key::UnitAttention, asc::ACCESS_STATE_CHANGED)
    );
    assert_eq!(w.ready(b).check(), (Key::NotReady, asc::STANDBY));
    let rtpg = [0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    let (groups, _) = crate::proto::scsi::read_target_port_groups(&w.call(b, &rtpg, 256, &[]).data);
    let told: Vec<_> = groups
        .iter()
        .map(|g| (g.group, g.state, g.status))
        .collect();
    assert_eq!(told, [(1, 0, 0), (2, 2, 1)]);
    let wrong = [0, 0, 0, 0, 2, 0, 0, 9];
    assert_eq!(
        w.call(a, &stpg, 0, &wrong).check(),
        (Key::IllegalRequest, asc::INVALID_FIELD_IN_PARAMETERS)
    );
}

#[test]
fn a_lun_that_grew_says_so_and_mode_changes_are_told_to_the_others() {
    let mut w = World::new();
    let (a, b) = (w.login("a", 1), w.login("b", 2));
    w.ports.blocks += 8;
    w.run(5);
    for h in [a, b] {
        assert_eq!(
            w.ready(h).check(),
            (Key::UnitAttention, asc::CAPACITY_CHANGED)
        );
        w.ready(h).good();
    }
    // D_SENSE by MODE SELECT: sense data have the other format from then on.
    let mut list = vec![0; 4];
    let page = w.call(a, &[0x1a, 8, 0x0a, 0, 255, 0], 255, &[]).data;
    list.extend_from_slice(&page[4..]);
    list[6] |= 4;
    let select = [0x15, 0x10, 0, 0, list.len() as u8, 0];
    w.call(a, &select, 0, &list).good();
    w.ready(a).good();
    assert_eq!(
        w.ready(b).check(),
        (Key::UnitAttention, asc::MODE_PARAMETERS_CHANGED)
    );
    let refused = w.call(a, &[0x5e], 0, &[]);
    assert_eq!(
        (refused.check().1, refused.format),
        (asc::INVALID_OPCODE, 0x72)
    );
}
