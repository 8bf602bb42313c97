//! SCSI: descriptor blocks, sense data and parameter data, by the readers of both halves; and the
//! device server with any command and any parameter list.

use super::Input;
use crate::front::scsi::{LogicalUnit, Plan, TRANSFER_MAX, View};
use crate::lun::port::{Geometry, PortId};
use crate::path::access::AccessState;
use crate::path::identity::Identity;
use crate::proto::iscsi::initiator::scsi as host;
use crate::proto::scsi::{self, Command, PortGroup, Sense, UnmapRange};

/// A unit with every ability.
pub(super) fn unit() -> LogicalUnit {
    let identity = Identity {
        uuid: Some([7; 16]),
        nguid: Some([8; 16]),
        eui64: Some([9; 8]),
        ..Identity::default()
    };
    LogicalUnit {
        lun: 0,
        port: PortId(0),
        serial: "a serial number".to_owned(),
        identity: identity.clone(),
        geometry: Some(Geometry {
            block_size: 512,
            blocks: 4096,
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

pub(super) fn view(access: AccessState) -> View<'static> {
    View {
        target: "iqn.t".into(),
        group: 1,
        port: 1,
        access,
        groups: (1..=2)
            .map(|group| PortGroup {
                group,
                state: 0,
                preferred: group == 1,
                supported: 0x8f,
                status: 0,
                ports: vec![group],
            })
            .collect(),
        luns: vec![0, 1, 300].into(),
    }
}

/// Sense data are read again as they were written, in both formats.
fn again(sense: &Sense) {
    for descriptor in [false, true] {
        let mut room = [0; Sense::MAX];
        let n = sense.emit(descriptor, &mut room);
        let read = Sense::parse(&room[..n]).expect("sense data");
        assert_eq!(
            (read.key, read.code, read.field, read.deferred),
            (sense.key, sense.code, sense.field, sense.deferred)
        );
        if descriptor || sense.info.is_none_or(|i| u32::try_from(i).is_ok()) {
            assert_eq!(read.info, sense.info);
        }
        let told = host::parse_sense(&room[..n]);
        assert_eq!(told, Some((sense.key as u8, sense.asc(), sense.ascq())));
    }
}

/// A descriptor block: read, written and read again, and given to a unit, with a parameter list.
pub(super) fn run_command(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let states = [
        AccessState::Optimized,
        AccessState::Standby,
        AccessState::Unavailable,
        AccessState::Transitioning,
    ];
    let choice = input.byte();
    let view = view(states[usize::from(choice) % 4]);
    let mut unit = unit();
    if choice & 0x40 != 0 {
        unit.geometry = None;
    }
    if choice & 0x20 != 0 {
        let none = |g: &mut Geometry| {
            g.discard = false;
            g.write_zeroes = false;
            g.compare = false;
            g.compare_and_write = false;
        };
        unit.geometry.iter_mut().for_each(none);
    }
    let mut cdb = [0; 16];
    let given = input.bytes(16);
    cdb[..given.len()].copy_from_slice(given);
    let command = match Command::parse(&cdb) {
        Ok(command) => command,
        Err(sense) => return again(&sense),
    };
    let written = command.cdb();
    assert_eq!(Command::parse(&written.bytes), Ok(command));
    assert!(written.bytes[written.len..].iter().all(|b| *b == 0));
    let mut page = vec![1, 2, 3];
    let mut plan = unit.plan(&command, &view, &mut page);
    if let Plan::Parameters(n) = plan {
        let mut list = input.rest().to_vec();
        list.resize(n as usize, 0);
        plan = unit.parameters(&command, &list, &view);
        assert!(!matches!(plan, Plan::Parameters(_) | Plan::Io(_)));
    }
    let blocks = unit.geometry.as_ref().map_or(0, |g| g.blocks);
    let within = |lba: u64, n: u32| lba.checked_add(n.into()).is_some_and(|end| end <= blocks);
    match plan {
        Plan::Refused(sense) => again(&sense),
        Plan::Io(io) => {
            assert!(within(io.lba, io.blocks), "{command:?}");
            assert!(io.bytes <= 2 * TRANSFER_MAX);
        }
        Plan::Unmap(ranges) => {
            assert!(!ranges.is_empty());
            assert!(ranges.iter().all(|(lba, n)| *n > 0 && within(*lba, *n)));
        }
        Plan::SetGroups(list) => assert!(list.iter().all(|(g, _)| matches!(g, 1 | 2))),
        Plan::Data => assert!(!page.is_empty()),
        Plan::Good | Plan::ModeChanged => {}
        Plan::Parameters(_) => unreachable!("asked for above"),
    }
}

/// Data that a target answers with.
pub(super) fn run_data(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let what = input.byte();
    let d = input.rest();
    let mut out = Vec::new();
    match what % 13 {
        0 => {
            if let Some(sense) = Sense::parse(d) {
                again(&sense);
            }
            // Both halves read alike what is there as a whole.
            if let (Some(a), Some((_, asc, ascq))) = (Sense::parse(d), host::parse_sense(d))
                && d.len() >= 14
            {
                assert_eq!((a.asc(), a.ascq()), (asc, ascq));
            }
        }
        1 => {
            let read = scsi::Designators::parse(d);
            let told = host::parse_designators(d);
            if let Some(read) = read {
                assert_eq!(
                    (read.uuid, read.eui64, read.nguid, read.naa),
                    (told.uuid, told.eui64, told.nguid, told.naa)
                );
            }
        }
        2 => {
            let _ = (scsi::read_serial(d), host::parse_serial(d));
            assert_eq!(scsi::read_serial(d), host::parse_serial(d));
        }
        3 => {
            let told = host::parse_limits(d);
            if let Some(read) = scsi::BlockLimits::parse(d) {
                assert_eq!(read.compare_and_write, told.compare_and_write);
                if d.len() >= 64 && u16::from_be_bytes([d[2], d[3]]) >= 60 {
                    assert_eq!(
                        (read.transfer_max, read.unmap_max, read.write_same_max),
                        (told.transfer, told.unmap, told.write_same)
                    );
                }
                scsi::vpd_page(0, 0xb0, &mut out, |p| read.emit(p));
                assert_eq!(scsi::BlockLimits::parse(&out), Some(read));
            }
        }
        4 => {
            let told = host::parse_provisioning(d);
            if let Some(read) = scsi::Provisioning::parse(d) {
                assert_eq!((read.unmap, read.write_same16), told);
            }
        }
        5 => {
            let luns = scsi::read_luns(d, 64);
            assert!(luns.len() <= 64);
            scsi::report_luns(luns.iter().copied(), &mut out);
            assert_eq!(scsi::read_luns(&out, 64), luns);
            assert!(host::parse_luns(d, 64).len() <= 64);
        }
        6 => {
            let (groups, time) = scsi::read_target_port_groups(d);
            scsi::put_target_port_groups(&groups, true, time, &mut out);
            assert_eq!(scsi::read_target_port_groups(&out), (groups, time));
        }
        7 => {
            let told = host::parse_capacity(d);
            assert_eq!(
                scsi::read_capacity16(d).map(|(blocks, size, ..)| (blocks, size)),
                told
            );
            let _ = scsi::read_capacity10(d);
        }
        8 => {
            let (wce, dpofua) = host::parse_caching(d);
            if let Some(read) = scsi::read_caching(d, false).filter(|_| d.len() >= 4) {
                assert_eq!((read.write_cache, read.dpofua), (wce, dpofua));
            }
            let _ = scsi::read_caching(d, true);
        }
        9 => {
            let mut pages = scsi::ModePages::default();
            let _ = scsi::read_mode_select(d, what & 0x80 != 0, &mut pages);
            if let Err(sense) = scsi::read_set_target_port_groups(d) {
                again(&sense);
            }
        }
        10 => match scsi::read_unmap(d, 16) {
            Ok(ranges) => {
                assert!(ranges.len() <= 16);
                scsi::put_unmap(&ranges, &mut out);
                assert_eq!(scsi::read_unmap(&out, 16), Ok(ranges));
            }
            Err(sense) => again(&sense),
        },
        11 => {
            if let Some(inquiry) = scsi::Inquiry::parse(d) {
                let told = host::parse_inquiry(d).expect("as long");
                assert_eq!(
                    (inquiry.qualifier, inquiry.device_type, inquiry.tpgs),
                    (told.qualifier, told.device_type, told.tpgs)
                );
            }
        }
        _ => {
            assert_eq!(scsi::read_page(d, 0), host::parse_pages(d));
        }
    }
}

pub(super) fn command_seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    // Every opcode and some service actions, with small numbers.
    for opcode in 0..=0xff_u8 {
        let actions: &[u8] = match opcode {
            0x9e => &[0x10, 0x12],
            0xa3 => &[0x0a, 0x0c, 0x0d, 0x2a],
            0xa4 => &[0x0a],
            _ => &[0],
        };
        for action in actions {
            let mut seed = vec![0, opcode, *action];
            seed.resize(17, 0);
            // Lengths and allocation lengths, wherever a command has them.
            for at in [5, 9, 10, 14] {
                seed[at] = 24;
            }
            if Command::parse(seed[1..17].try_into().expect("16 bytes")).is_ok() {
                all.push(seed);
            }
        }
    }
    let mut unmap = vec![0, 0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0];
    let ranges = [UnmapRange { lba: 8, blocks: 8 }];
    scsi::put_unmap(&ranges, &mut unmap);
    all.push(unmap);
    let mut groups = vec![0, 0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0];
    groups.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0, 2]);
    all.push(groups);
    for page in [0x00, 0x80, 0x83, 0x86, 0xb0, 0xb1, 0xb2] {
        all.push(vec![0, 0x12, 1, page, 1, 0]);
    }
    all
}

pub(super) fn data_seeds() -> Vec<Vec<u8>> {
    let unit = unit();
    let view = view(AccessState::NonOptimized);
    let mut all = Vec::new();
    let mut asked = |what: u8, command: Command| {
        let mut page = Vec::new();
        if unit.plan(&command, &view, &mut page) == Plan::Data {
            page.insert(0, what);
            all.push(page);
        }
    };
    let vpd = |page| Command::Inquiry {
        page: Some(page),
        alloc: 4096,
    };
    for (what, page) in [(1, 0x83), (2, 0x80), (3, 0xb0), (4, 0xb2), (12, 0x00)] {
        asked(what, vpd(page));
    }
    asked(
        11,
        Command::Inquiry {
            page: None,
            alloc: 96,
        },
    );
    asked(
        5,
        Command::ReportLuns {
            select: 0,
            alloc: 4096,
        },
    );
    for extended in [false, true] {
        let alloc = 4096;
        asked(6, Command::ReportTargetPortGroups { extended, alloc });
    }
    asked(7, Command::ReadCapacity16 { alloc: 32 });
    asked(
        8,
        Command::ModeSense {
            long: false,
            no_descriptors: true,
            control: 0,
            page: 0x3f,
            subpage: 0xff,
            alloc: 255,
        },
    );
    for descriptor in [false, true] {
        let mut room = [0; Sense::MAX];
        let n = Sense::cdb_bit(3, 5)
            .with_info(77)
            .emit(descriptor, &mut room);
        all.push([&[0], &room[..n]].concat());
    }
    let mut unmap = vec![10];
    scsi::put_unmap(&[UnmapRange { lba: 1, blocks: 2 }; 3], &mut unmap);
    all.push(unmap);
    all
}
