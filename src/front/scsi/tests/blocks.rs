//! Commands on blocks: reads, writes, and what they come to.

use super::*;

#[test]
fn reads_and_writes_of_every_length_become_io() {
    let u = unit();
    for (opcode, op) in [
        (0x28, Op::Read),
        (0xa8, Op::Read),
        (0x88, Op::Read),
        (0x2a, Op::Write),
        (0xaa, Op::Write),
        (0x8a, Op::Write),
    ] {
        let got = io(&ask(&u, &block(opcode, 0x08, 4090, 6)));
        assert_eq!(
            (got.op, got.lba, got.blocks, got.bytes),
            (op, 4090, 6, 3072)
        );
        assert!(got.fua && !got.repeat && !got.verify);
        assert!(!io(&ask(&u, &block(opcode, 0x10, 0, 1))).fua);
        assert_eq!(ask(&u, &block(opcode, 0, 0, 0)), Plan::Good);
        refused(&u, &block(opcode, 0, 4090, 7), OUT_OF_RANGE);
        refused(&u, &block(opcode, 0, BLOCKS + 1, 0), OUT_OF_RANGE);
        points_to(&u, &block(opcode, 0x20, 0, 1), 1);
    }
    for (opcode, op) in [(0x08, Op::Read), (0x0a, Op::Write)] {
        let got = io(&ask(&u, &[opcode, 0, 0x01, 0x02, 3, 0]));
        assert_eq!((got.op, got.lba, got.blocks), (op, 0x102, 3));
        // Of six bytes, none means 256 blocks.
        assert_eq!(io(&ask(&u, &[opcode, 0, 0, 0, 0, 0])).blocks, 256);
    }
    refused(&u, &block(0x88, 0, u64::MAX, 2), OUT_OF_RANGE);
    let mut large = unit();
    large.geometry.as_mut().expect("it has one").blocks = 1 << 40;
    let most = TRANSFER_MAX / 512;
    assert_eq!(
        io(&ask(&large, &block(0x88, 0, 1 << 39, most))).blocks,
        most
    );
    refused(&large, &block(0x88, 0, 0, most + 1), ILLEGAL_FIELD);
}

#[test]
fn flushes_prefetches_and_stops_look_at_their_range() {
    let u = unit();
    for opcode in [0x35, 0x91] {
        assert_eq!(io(&ask(&u, &block(opcode, 0, 0, 0))).op, Op::Flush);
        assert_eq!(io(&ask(&u, &block(opcode, 0, 4000, 96))).op, Op::Flush);
        refused(&u, &block(opcode, 0, 4000, 97), OUT_OF_RANGE);
    }
    for opcode in [0x34, 0x90] {
        assert_eq!(ask(&u, &block(opcode, 0, 4000, 96)), Plan::Good);
        refused(&u, &block(opcode, 0, 4000, 97), OUT_OF_RANGE);
    }
    assert_eq!(io(&ask(&u, &[0x1b, 0, 0, 0, 0, 0])).op, Op::Flush);
    assert_eq!(ask(&u, &[0x1b, 0, 0, 0, 1, 0]), Plan::Good);
    points_to(&u, &[0x1b, 0, 0, 0, 2, 0], 4);
    assert_eq!(ask(&u, &[0, 0, 0, 0, 0, 0]), Plan::Good);
    let none = data(&u, &[0x03, 0, 0, 0, 255, 0]);
    assert_eq!(Sense::parse(&none).map(|s| s.key), Some(Key::NoSense));
    assert_eq!(data(&u, &[0x03, 1, 0, 0, 255, 0])[0], 0x72);
}

fn unmap_list(ranges: &[UnmapRange]) -> Vec<u8> {
    let mut out = Vec::new();
    put_unmap(ranges, &mut out);
    out
}

#[test]
fn unmap_checks_all_before_it_does_any() {
    let mut u = unit();
    let ask_for = |n: usize| {
        let [hi, lo] = (n as u16).to_be_bytes();
        [0x42, 0, 0, 0, 0, 0, 0, hi, lo, 0]
    };
    let mut unmap = |ranges: &[(u64, u32)]| {
        let ranges: Vec<_> = ranges
            .iter()
            .map(|(lba, blocks)| UnmapRange {
                lba: *lba,
                blocks: *blocks,
            })
            .collect();
        let list = unmap_list(&ranges);
        parameters(&mut u, &ask_for(list.len()), &list)
    };
    assert_eq!(
        unmap(&[(8, 8), (0, 0), (4088, 8)]),
        Plan::Unmap(vec![(8, 8), (4088, 8)])
    );
    assert_eq!(unmap(&[]), Plan::Good);
    assert_eq!(unmap(&[(0, 0)]), Plan::Good);
    assert_eq!(refusal(&unmap(&[(8, 8), (4088, 9)])), OUT_OF_RANGE);
    assert_eq!(refusal(&unmap(&[(u64::MAX, 2)])), OUT_OF_RANGE);
    let many = vec![(0, 1); UNMAP_DESCRIPTORS as usize];
    assert!(matches!(unmap(&many), Plan::Unmap(r) if r.len() == many.len()));
    let many = vec![(0, 1); UNMAP_DESCRIPTORS as usize + 1];
    assert_eq!(refusal(&unmap(&many)), ILLEGAL_LIST);
    // Each is within the unit; together they are more than page B0h says.
    let total = vec![(0, BLOCKS as u32); (UNMAP_BLOCKS / BLOCKS as u32) as usize + 1];
    if total.len() <= UNMAP_DESCRIPTORS as usize {
        assert_eq!(refusal(&unmap(&total)), ILLEGAL_LIST);
    }
    assert_eq!(
        refusal(&parameters(&mut u, &ask_for(7), &[0; 7])),
        ILLEGAL_LENGTH
    );
    assert_eq!(ask(&u, &ask_for(0)), Plan::Good);
    points_to(&u, &[0x42, 1, 0, 0, 0, 0, 0, 0, 24, 0], 1);
    refused(&plain(), &ask_for(24), NO_COMMAND);
}

#[test]
fn write_same_repeats_a_block_or_writes_zeroes() {
    let u = unit();
    for opcode in [0x41, 0x93] {
        let got = io(&ask(&u, &block(opcode, 0, 8, 64)));
        assert_eq!(
            (got.op, got.lba, got.blocks, got.bytes, got.repeat),
            (Op::Write, 8, 64, 512, true)
        );
        assert!(io(&ask(&u, &block(opcode, 0x08, 8, 64))).repeat, "UNMAP");
        // WSNZ.
        refused(&u, &block(opcode, 0, 8, 0), ILLEGAL_FIELD);
        refused(&u, &block(opcode, 0, 4090, 7), OUT_OF_RANGE);
        points_to(&u, &block(opcode, 0x10, 0, 1), 1);
        points_to(&u, &block(opcode, 0x20, 0, 1), 1);
        points_to(&plain(), &block(opcode, 0x08, 0, 1), 1);
    }
    let got = io(&ask(&u, &block(0x93, 0x01, 8, 64)));
    assert_eq!((got.op, got.bytes, got.repeat), (Op::WriteZeroes, 0, false));
    points_to(&plain(), &block(0x93, 0x01, 8, 64), 1);
    let mut large = unit();
    large.geometry.as_mut().expect("it has one").blocks = 1 << 40;
    let most = TRANSFER_MAX / 512;
    assert_eq!(io(&ask(&large, &block(0x93, 0, 0, most))).blocks, most);
    points_to(&large, &block(0x93, 0, 0, most + 1), 10);
}

#[test]
fn compare_and_write_takes_twice_its_blocks_up_to_what_is_told() {
    let u = unit();
    let caw = |flags: u8, lba: u64, blocks: u8| {
        let mut c = block(0x89, flags, lba, 0);
        c[13] = blocks;
        c
    };
    let got = io(&ask(&u, &caw(0x08, 4, 3)));
    assert_eq!(
        (got.op, got.lba, got.blocks, got.bytes, got.fua),
        (Op::CompareAndWrite, 4, 3, 3072, true)
    );
    assert_eq!(io(&ask(&u, &caw(0, 0, 128))).blocks, 128);
    assert_eq!(ask(&u, &caw(0, 0, 0)), Plan::Good);
    points_to(&u, &caw(0, 0, 129), 13);
    points_to(&u, &caw(0x20, 0, 1), 1);
    refused(&u, &caw(0, BLOCKS, 1), OUT_OF_RANGE);
    refused(&plain(), &caw(0, 0, 1), NO_COMMAND);
    // Both halves go down in one piece.
    let mut narrow = unit();
    narrow
        .geometry
        .as_mut()
        .expect("it has one")
        .max_transfer_blocks = 16;
    assert_eq!(io(&ask(&narrow, &caw(0, 0, 8))).blocks, 8);
    points_to(&narrow, &caw(0, 0, 9), 13);
}

#[test]
fn verify_compares_where_it_is_told_to_and_can() {
    let u = unit();
    for opcode in [0x2f, 0xaf, 0x8f] {
        assert_eq!(ask(&u, &block(opcode, 0, 0, 8)), Plan::Good, "the medium");
        let each = io(&ask(&u, &block(opcode, 0x02, 0, 8)));
        assert_eq!(
            (each.op, each.bytes, each.repeat),
            (Op::Compare, 4096, false)
        );
        let one = io(&ask(&u, &block(opcode, 0x06, 0, 8)));
        assert_eq!((one.op, one.bytes, one.repeat), (Op::Compare, 512, true));
        points_to(&u, &block(opcode, 0x04, 0, 8), 1);
        refused(&u, &block(opcode, 0, 4090, 7), OUT_OF_RANGE);
        points_to(&plain(), &block(opcode, 0x02, 0, 8), 1);
    }
    for opcode in [0x2e, 0xae, 0x8e] {
        let got = io(&ask(&u, &block(opcode, 0, 0, 8)));
        assert_eq!((got.op, got.fua, got.verify), (Op::Write, true, false));
        assert!(io(&ask(&u, &block(opcode, 0x02, 0, 8))).verify);
        points_to(&u, &block(opcode, 0x04, 0, 8), 1);
        // No compare: the write alone is not what was asked for.
        points_to(&plain(), &block(opcode, 0x02, 0, 8), 1);
        assert_eq!(io(&ask(&plain(), &block(opcode, 0, 0, 8))).op, Op::Write);
    }
}

#[test]
fn a_failed_io_says_whether_trying_again_may_help() {
    let sense = |kind, write| match failure(IoError::new(kind), write) {
        (status::CHECK_CONDITION, Some(s)) => (s.key, s.code),
        other => panic!("{other:?}"),
    };
    for (kind, write, key, code) in [
        (ErrorKind::Medium, false, Key::MediumError, asc::READ_ERROR),
        (ErrorKind::Medium, true, Key::MediumError, asc::WRITE_ERROR),
        (
            ErrorKind::OutOfRange,
            true,
            Key::IllegalRequest,
            asc::LBA_OUT_OF_RANGE,
        ),
        (
            ErrorKind::Miscompare,
            true,
            Key::Miscompare,
            asc::MISCOMPARE,
        ),
        (
            ErrorKind::WriteProtected,
            true,
            Key::DataProtect,
            asc::WRITE_PROTECTED,
        ),
        (
            ErrorKind::NoSpace,
            true,
            Key::DataProtect,
            asc::SPACE_FAILED,
        ),
        (ErrorKind::NoPath, true, Key::NotReady, asc::BECOMING_READY),
        (
            ErrorKind::TimedOut,
            false,
            Key::NotReady,
            asc::BECOMING_READY,
        ),
        (
            ErrorKind::OutcomeUnknown,
            true,
            Key::HardwareError,
            asc::INTERNAL_FAILURE,
        ),
        (
            ErrorKind::Device,
            true,
            Key::HardwareError,
            asc::INTERNAL_FAILURE,
        ),
        (
            ErrorKind::Unsupported,
            true,
            Key::IllegalRequest,
            asc::INVALID_OPCODE,
        ),
        (ErrorKind::Aborted, true, Key::AbortedCommand, asc::NONE),
    ] {
        assert_eq!(sense(kind, write), (key, code), "{kind:?}");
    }
    let conflict = IoError::new(ErrorKind::ReservationConflict);
    assert_eq!(
        failure(conflict, true),
        (status::RESERVATION_CONFLICT, None)
    );
}
