//! The device server: every command, what it comes to and what it is refused for.

use super::*;
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::Op;
use crate::proto::scsi::{
    Association, Command, DesignatorKind, Designators, Provisioning, UnmapRange, put_unmap,
    read_caching, read_capacity10, read_capacity16, read_luns, read_page, read_serial,
    read_target_port_groups,
};

const BLOCKS: u64 = 4096;

fn unit() -> LogicalUnit {
    let identity = Identity {
        uuid: Some([7; 16]),
        nguid: Some([8; 16]),
        eui64: Some([9; 8]),
        ..Identity::default()
    };
    LogicalUnit {
        lun: 0,
        port: PortId(0),
        serial: "0707".to_owned(),
        identity: identity.clone(),
        geometry: Some(Geometry {
            block_size: 512,
            blocks: BLOCKS,
            max_transfer_blocks: 2048,
            volatile_cache: true,
            discard: true,
            write_zeroes: true,
            compare: true,
            compare_and_write: true,
            identity,
        }),
        descriptor_sense: false,
    }
}

fn plain() -> LogicalUnit {
    let mut u = unit();
    let g = u.geometry.as_mut().expect("it has one");
    (g.discard, g.write_zeroes, g.compare, g.compare_and_write) = (false, false, false, false);
    u
}

fn view(access: AccessState) -> View<'static> {
    let group = |group: u16, state: AccessState| PortGroup {
        group,
        state: group_state(state) as u8,
        preferred: false,
        supported: SUPPORTED_STATES,
        status: 0,
        ports: vec![group],
    };
    View {
        target: "iqn.2026-01.io.umpio:t".into(),
        group: 1,
        port: 1,
        access,
        groups: vec![group(1, access), group(2, AccessState::Standby)].into(),
        luns: vec![0, 1, 300].into(),
    }
}

/// What a descriptor block comes to, with its parameter data.
fn through(u: &LogicalUnit, access: AccessState, cdb: &[u8]) -> (Plan, Vec<u8>) {
    let mut block = [0; 16];
    block[..cdb.len()].copy_from_slice(cdb);
    let mut out = Vec::new();
    let plan = match Command::parse(&block) {
        Ok(c) => u.plan(&c, &view(access), &mut out),
        Err(sense) => Plan::Refused(sense),
    };
    (plan, out)
}

fn ask(u: &LogicalUnit, cdb: &[u8]) -> Plan {
    through(u, AccessState::Optimized, cdb).0
}

fn data(u: &LogicalUnit, cdb: &[u8]) -> Vec<u8> {
    let (plan, out) = through(u, AccessState::Optimized, cdb);
    assert_eq!(plan, Plan::Data, "{cdb:02x?}");
    out
}

fn parameters(u: &mut LogicalUnit, cdb: &[u8], list: &[u8]) -> Plan {
    let mut block = [0; 16];
    block[..cdb.len()].copy_from_slice(cdb);
    let c = Command::parse(&block).expect("a known command");
    let v = view(AccessState::Optimized);
    let n = list.len() as u32;
    assert_eq!(u.plan(&c, &v, &mut Vec::new()), Plan::Parameters(n));
    u.parameters(&c, list, &v)
}

/// Sense key, ASC and ASCQ of a refusal.
fn refusal(plan: &Plan) -> (Key, u16) {
    match plan {
        Plan::Refused(sense) => (sense.key, sense.code),
        other => panic!("{other:?}"),
    }
}

const ILLEGAL_FIELD: (Key, u16) = (Key::IllegalRequest, asc::INVALID_FIELD_IN_CDB);
const ILLEGAL_LIST: (Key, u16) = (Key::IllegalRequest, asc::INVALID_FIELD_IN_PARAMETERS);
const ILLEGAL_LENGTH: (Key, u16) = (Key::IllegalRequest, asc::PARAMETER_LIST_LENGTH);
const OUT_OF_RANGE: (Key, u16) = (Key::IllegalRequest, asc::LBA_OUT_OF_RANGE);
const NO_COMMAND: (Key, u16) = (Key::IllegalRequest, asc::INVALID_OPCODE);

fn refused(u: &LogicalUnit, cdb: &[u8], with: (Key, u16)) {
    assert_eq!(refusal(&ask(u, cdb)), with, "{cdb:02x?}");
}

/// The byte that a refusal points to.
fn points_to(u: &LogicalUnit, cdb: &[u8], byte: u16) {
    let Plan::Refused(sense) = ask(u, cdb) else {
        panic!("{cdb:02x?}")
    };
    assert_eq!(sense.code, asc::INVALID_FIELD_IN_CDB);
    let field = sense.field.expect("it points somewhere");
    assert!(field.in_cdb);
    assert_eq!(field.byte, byte, "{cdb:02x?}");
}

/// A block command of 10, 12 or 16 bytes.
fn block(opcode: u8, flags: u8, lba: u64, blocks: u32) -> Vec<u8> {
    let mut c = vec![opcode, flags];
    match opcode >> 5 {
        1 | 2 => {
            c.extend_from_slice(&(lba as u32).to_be_bytes());
            c.push(0);
            c.extend_from_slice(&(blocks as u16).to_be_bytes());
        }
        5 => {
            c.extend_from_slice(&(lba as u32).to_be_bytes());
            c.extend_from_slice(&blocks.to_be_bytes());
            c.push(0);
        }
        _ => {
            c.extend_from_slice(&lba.to_be_bytes());
            c.extend_from_slice(&blocks.to_be_bytes());
            c.push(0);
        }
    }
    c.push(0);
    c
}

fn io(plan: &Plan) -> IoPlan {
    match plan {
        Plan::Io(io) => *io,
        other => panic!("{other:?}"),
    }
}

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
fn naca_is_refused_in_every_command() {
    let u = unit();
    for cdb in [
        vec![0, 0, 0, 0, 0, 4],
        vec![0x12, 0, 0, 0, 96, 4],
        vec![0x28, 0, 0, 0, 0, 0, 0, 0, 1, 4],
        vec![0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 4],
    ] {
        points_to(&u, &cdb, cdb.len() as u16 - 1);
    }
}

#[test]
fn what_is_reported_as_supported_is_what_is_known() {
    for u in [unit(), plain()] {
        let all = data(&u, &[0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0]);
        let listed: Vec<(u8, u8)> = all[4..].chunks_exact(8).map(|d| (d[0], d[3])).collect();
        assert_eq!(
            u32::from_be_bytes([all[0], all[1], all[2], all[3]]) as usize,
            all.len() - 4
        );
        for opcode in 0..=0xff_u8 {
            for action in 0..0x20 {
                let actions = matches!(opcode, 0x9e | 0xa3 | 0xa4);
                let mut cdb = [0; 16];
                cdb[0] = opcode;
                cdb[1] = if actions { action } else { 0 };
                let known = listed.contains(&(opcode, if actions { action } else { 0 }));
                let plan = ask(&u, &cdb);
                let no_command = refusal_of(&plan).is_some_and(|s| {
                    s.code == asc::INVALID_OPCODE
                        || actions && s.field.is_some_and(|f| (f.byte, f.bit) == (1, Some(4)))
                });
                assert_eq!(known, !no_command, "{opcode:02x}/{action:02x}: {plan:?}");
                // One by one it says the same.
                let how = if actions { 2 } else { 1 };
                let one = data(&u, &[0xa3, 0x0c, how, opcode, 0, action, 0, 0, 0, 64, 0, 0]);
                assert_eq!(one[1] & 7, if known { 3 } else { 1 }, "{opcode:02x}");
                if known {
                    let len = usize::from(u16::from_be_bytes([one[2], one[3]]));
                    assert_eq!((one[4], one.len()), (opcode, 4 + len));
                }
            }
        }
        // Neither kind of reservations: they come with the gateway.
        for opcode in [0x16, 0x17, 0x56, 0x57, 0x5e, 0x5f] {
            refused(&u, &[opcode], NO_COMMAND);
        }
    }
}

fn refusal_of(plan: &Plan) -> Option<&Sense> {
    match plan {
        Plan::Refused(sense) => Some(sense),
        _ => None,
    }
}

#[test]
fn opcodes_are_asked_for_in_the_way_that_fits_them() {
    let u = unit();
    let ask_for = |options: u8, opcode: u8, action: u8| {
        ask(
            &u,
            &[0xa3, 0x0c, options, opcode, 0, action, 0, 0, 0, 64, 0, 0],
        )
    };
    assert_eq!(refusal(&ask_for(1, 0x9e, 0)), ILLEGAL_FIELD);
    assert_eq!(refusal(&ask_for(2, 0x28, 0)), ILLEGAL_FIELD);
    assert_eq!(refusal(&ask_for(4, 0x28, 0)), ILLEGAL_FIELD);
    assert_eq!(ask_for(3, 0x28, 0), Plan::Data);
    assert_eq!(ask_for(3, 0x9e, 0x10), Plan::Data);
    // With command timeouts, of which none is named.
    let timed = data(&u, &[0xa3, 0x0c, 0x81, 0x28, 0, 0, 0, 0, 0, 64, 0, 0]);
    assert_eq!(timed[1] & 0x80, 0x80);
    assert_eq!(timed.len(), 4 + 10 + 12);
    let functions = data(&u, &[0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0]);
    assert_eq!(functions, [0xd8, 0, 0, 0]);
    let extended = data(&u, &[0xa3, 0x0d, 0x80, 0, 0, 0, 0, 0, 0, 16, 0, 0]);
    assert_eq!(extended.len(), 16);
    refused(
        &u,
        &[0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0],
        ILLEGAL_FIELD,
    );
}

#[test]
fn each_access_state_lets_through_what_it_may() {
    let u = unit();
    let not_ready = |access, cdb: &[u8]| refusal(&through(&u, access, cdb).0);
    let always: [&[u8]; 5] = [
        &[0x12, 0, 0, 0, 96, 0],
        &[0x12, 1, 0x83, 1, 0, 0],
        &[0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
        &[0x03, 0, 0, 0, 18, 0],
        &[0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
    ];
    let medium = [
        vec![0, 0, 0, 0, 0, 0],
        vec![0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0],
        block(0x88, 0, 0, 1),
        block(0x8a, 0, 0, 1),
        block(0x91, 0, 0, 0),
        block(0x93, 0, 0, 1),
        vec![0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0],
    ];
    for (access, code) in [
        (AccessState::Standby, asc::STANDBY),
        (AccessState::Unavailable, asc::UNAVAILABLE),
        (AccessState::Transitioning, asc::TRANSITION),
        (AccessState::Lost, asc::UNAVAILABLE),
    ] {
        for cdb in always {
            assert_eq!(
                through(&u, access, cdb).0,
                Plan::Data,
                "{access:?} {cdb:x?}"
            );
        }
        for cdb in &medium {
            assert_eq!(not_ready(access, cdb), (Key::NotReady, code), "{cdb:x?}");
        }
    }
    // Mode parameters are there in standby (SPC-4, 5.15.2.4.4), not beyond.
    let mode: &[u8] = &[0x1a, 0, 0x08, 0, 255, 0];
    assert_eq!(through(&u, AccessState::Standby, mode).0, Plan::Data);
    assert_eq!(
        not_ready(AccessState::Unavailable, mode),
        (Key::NotReady, asc::UNAVAILABLE)
    );
    for access in [AccessState::Optimized, AccessState::NonOptimized] {
        for cdb in &medium {
            let (plan, _) = through(&u, access, cdb);
            assert!(refusal_of(&plan).is_none(), "{access:?} {cdb:x?}: {plan:?}");
        }
    }
}

#[test]
fn a_unit_that_does_not_know_its_lun_yet_is_not_ready() {
    let mut u = unit();
    u.geometry = None;
    let not_ready = (Key::NotReady, asc::UNAVAILABLE);
    refused(&u, &[0], not_ready);
    refused(&u, &block(0x28, 0, 0, 1), not_ready);
    assert_eq!(ask(&u, &[0x12, 0, 0, 0, 96, 0]), Plan::Data);
    assert_eq!(ask(&u, &[0x12, 1, 0xb0, 0, 96, 0]), Plan::Data);
}

#[test]
fn inquiry_tells_the_unit_its_port_and_its_limits() {
    let u = unit();
    let standard = data(&u, &[0x12, 0, 0, 0, 255, 0]);
    assert_eq!((standard[0], standard.len()), (0, 96));
    assert_eq!(standard[5] >> 4 & 3, 3, "implicit and explicit ALUA");
    assert_eq!(&standard[8..13], b"UMPIO");
    assert_eq!(data(&u, &[0x12, 0, 0, 0, 5, 0]).len(), 5);
    assert_eq!(ask(&u, &[0x12, 0, 0, 0, 0, 0]), Plan::Good);
    let page = |code: u8| data(&u, &[0x12, 1, code, 4, 0, 0]);
    assert_eq!(read_page(&page(0), 0), [0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2]);
    for code in read_page(&page(0), 0) {
        let p = page(code);
        assert_eq!(p[1], code);
        assert_eq!(usize::from(u16::from_be_bytes([p[2], p[3]])), p.len() - 4);
    }
    assert_eq!(read_serial(&page(0x80)), "0707");
    let ids = Designators::parse(&page(0x83)).expect("page 83h");
    assert_eq!(
        (ids.uuid, ids.nguid, ids.eui64, ids.naa),
        (Some([7; 16]), Some([8; 16]), Some([9; 8]), None)
    );
    assert_eq!((ids.relative_port, ids.port_group), (Some(1), Some(1)));
    let limits = crate::proto::scsi::BlockLimits::parse(&page(0xb0)).expect("page B0h");
    assert!(limits.write_same_non_zero);
    assert_eq!(
        (
            limits.compare_and_write,
            limits.unmap_max,
            limits.unmap_descriptors
        ),
        (128, UNMAP_BLOCKS, UNMAP_DESCRIPTORS)
    );
    assert_eq!(limits.write_same_max, u64::from(TRANSFER_MAX / 512));
    assert_eq!(page(0xb1)[4..6], [0, 1], "not a rotating medium");
    let thin = Provisioning::parse(&page(0xb2)).expect("page B2h");
    assert!(thin.unmap && thin.write_same16 && thin.write_same10 && thin.thin);
    let p = plain();
    let thick = data(&p, &[0x12, 1, 0xb2, 4, 0, 0]);
    assert_eq!(
        Provisioning::parse(&thick),
        Some(Provisioning::default()),
        "nothing is said that is not so"
    );
    points_to(&u, &[0x12, 1, 0xc0, 0, 255, 0], 2);
    points_to(&u, &[0x12, 0, 0x83, 0, 255, 0], 2);
}

#[test]
fn a_unit_with_a_uuid_only_gets_an_naa_that_is_no_ones_nguid() {
    let mut u = unit();
    u.identity.nguid = None;
    u.identity.eui64 = None;
    let ids = Designators::parse(&data(&u, &[0x12, 1, 0x83, 4, 0, 0])).expect("page 83h");
    let naa = ids.naa.expect("made of the UUID");
    assert_eq!((naa.len(), naa[0] >> 4), (8, 3), "locally assigned");
    assert_eq!((ids.nguid, ids.eui64), (None, None));
    // The port's own designators are not the unit's.
    let mut page = Vec::new();
    crate::proto::scsi::vpd_page(0, 0x83, &mut page, |p| {
        crate::proto::scsi::put_designator(
            p,
            Association::TargetPort,
            DesignatorKind::Naa,
            &[5; 8],
        );
    });
    assert_eq!(Designators::parse(&page).expect("page 83h").naa, None);
}

#[test]
fn report_luns_tells_the_targets_units() {
    let u = unit();
    let luns = |select: u8| {
        let cdb = [0xa0, 0, select, 0, 0, 0, 0, 0, 1, 0, 0, 0];
        read_luns(&data(&u, &cdb), 8)
    };
    assert_eq!(luns(0), [0, 1, 300]);
    assert_eq!(luns(2), [0, 1, 300]);
    assert_eq!(luns(1), [0_u16; 0]);
    points_to(&u, &[0xa0, 0, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0], 2);
    points_to(&u, &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0], 6);
    assert_eq!(
        data(&u, &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0]).len(),
        16
    );
}

#[test]
fn capacity_is_told_in_both_lengths() {
    let mut u = unit();
    let sixteen = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
    assert_eq!(read_capacity10(&data(&u, &[0x25])), Some((BLOCKS, 512)));
    assert_eq!(
        read_capacity16(&data(&u, &sixteen)),
        Some((BLOCKS, 512, true, false))
    );
    assert_eq!(
        read_capacity16(&data(&plain(), &sixteen)).map(|c| c.2),
        Some(false)
    );
    u.geometry.as_mut().expect("it has one").blocks = 1 << 33;
    assert_eq!(data(&u, &[0x25])[..4], [0xff; 4], "ask with 16 bytes");
    assert_eq!(
        read_capacity16(&data(&u, &sixteen)).map(|c| c.0),
        Some(1 << 33)
    );
    refused(&u, &[0x9e, 0x11], ILLEGAL_FIELD);
    refused(&u, &[0x9e, 0x12], ILLEGAL_FIELD);
}

#[test]
fn mode_pages_tell_the_cache_and_what_may_be_changed() {
    let u = unit();
    for long in [false, true] {
        let sense = |control: u8, page: u8, subpage: u8| -> Vec<u8> {
            if long {
                vec![0x5a, 0x08, control << 6 | page, subpage, 0, 0, 0, 1, 0, 0]
            } else {
                vec![0x1a, 0x08, control << 6 | page, subpage, 255, 0]
            }
        };
        let head = if long { 8 } else { 4 };
        let caching = read_caching(&data(&u, &sense(0, 0x08, 0)), long).expect("page 08h");
        assert!(caching.write_cache && caching.dpofua && !caching.write_protected);
        let changeable = data(&u, &sense(1, 0x08, 0));
        assert!(changeable[head + 2..].iter().all(|b| *b == 0));
        assert_eq!(data(&u, &sense(1, 0x0a, 0))[head + 2], 0x04, "D_SENSE");
        for (page, subpage) in [
            (0x0a, 0),
            (0x0a, 1),
            (0x1a, 0),
            (0x1c, 0),
            (0x3f, 0),
            (0x3f, 0xff),
        ] {
            let all = data(&u, &sense(0, page, subpage));
            let told = if long {
                usize::from(u16::from_be_bytes([all[0], all[1]])) + 2
            } else {
                usize::from(all[0]) + 1
            };
            assert_eq!(told, all.len());
        }
        refused(
            &u,
            &sense(3, 0x08, 0),
            (Key::IllegalRequest, asc::SAVING_NOT_SUPPORTED),
        );
        points_to(&u, &sense(0, 0x02, 0), 2);
        points_to(&u, &sense(0, 0x08, 1), 3);
        points_to(&u, &sense(0, 0x3f, 1), 3);
    }
    let with_descriptor = data(&u, &[0x1a, 0, 0x08, 0, 255, 0]);
    assert_eq!(with_descriptor[3], 8);
    assert_eq!(with_descriptor[9..12], [0, 2, 0], "blocks of 512 bytes");
    let mut through = unit();
    through
        .geometry
        .as_mut()
        .expect("it has one")
        .volatile_cache = false;
    let caching = read_caching(&data(&through, &[0x1a, 8, 8, 0, 255, 0]), false);
    assert!(!caching.expect("page 08h").write_cache);
}

#[test]
fn mode_select_changes_the_format_of_sense_data_and_nothing_else() {
    let mut u = unit();
    let select = [0x15, 0x10, 0, 0, 16, 0];
    let mut list = vec![0; 4];
    list.extend_from_slice(&data(&u, &[0x1a, 8, 0x0a, 0, 255, 0])[4..]);
    assert_eq!(parameters(&mut u, &select, &list), Plan::Good, "as it is");
    list[6] |= 0x04;
    assert_eq!(parameters(&mut u, &select, &list), Plan::ModeChanged);
    assert!(u.descriptor_sense);
    assert_eq!(data(&u, &[0x1a, 8, 0x0a, 0, 255, 0])[6] & 4, 4);
    list[7] ^= 0xf0;
    assert_eq!(refusal(&parameters(&mut u, &select, &list)), ILLEGAL_LIST);
    // The cache follows the backing.
    let mut cache = vec![0; 4];
    cache.extend_from_slice(&data(&u, &[0x1a, 8, 0x08, 0, 255, 0])[4..]);
    cache[6] ^= 0x04;
    let select = [0x15, 0x10, 0, 0, 24, 0];
    assert_eq!(refusal(&parameters(&mut u, &select, &cache)), ILLEGAL_LIST);
    assert!(u.descriptor_sense, "what is refused changes nothing");
    // The list ends in the middle of a page.
    let select = [0x15, 0x10, 0, 0, 10, 0];
    assert_eq!(
        refusal(&parameters(&mut u, &select, &list[..10])),
        ILLEGAL_LENGTH
    );
    assert_eq!(ask(&u, &[0x15, 0x10, 0, 0, 0, 0]), Plan::Good);
    points_to(&u, &[0x15, 0, 0, 0, 16, 0], 1);
    points_to(&u, &[0x15, 0x11, 0, 0, 16, 0], 1);
    let long = PARAMETERS_MAX as u16 + 1;
    let [hi, lo] = long.to_be_bytes();
    refused(&u, &[0x55, 0x10, 0, 0, 0, 0, 0, hi, lo, 0], ILLEGAL_FIELD);
}

#[test]
fn port_groups_are_told_and_set() {
    let mut u = unit();
    for extended in [0, 0x20] {
        let cdb = [0xa3, extended | 0x0a, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
        let (groups, time) = read_target_port_groups(&data(&u, &cdb));
        assert_eq!(time, if extended == 0 { 0 } else { TRANSITION_S });
        let told: Vec<_> = groups.iter().map(|g| (g.group, g.state)).collect();
        assert_eq!(told, [(1, 0), (2, 2)]);
        assert_eq!(groups[1].ports, [2]);
    }
    let set = |n: u8| [0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, n, 0, 0];
    let list = [0, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 2];
    assert_eq!(
        parameters(&mut u, &set(12), &list),
        Plan::SetGroups(vec![(1, AccessState::Standby), (2, AccessState::Optimized)])
    );
    assert_eq!(ask(&u, &set(0)), Plan::Good);
    assert_eq!(parameters(&mut u, &set(4), &[0; 4]), Plan::Good);
    let wrong = |state: u8, group: u8| [0, 0, 0, 0, state, 0, 0, group];
    for (state, group) in [(15, 1), (4, 1), (14, 1), (0, 3)] {
        let plan = parameters(&mut u, &set(8), &wrong(state, group));
        assert_eq!(refusal(&plan), ILLEGAL_LIST, "{state} {group}");
    }
    let plan = parameters(&mut u, &set(7), &[0; 7]);
    assert_eq!(refusal(&plan), ILLEGAL_LENGTH);
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
