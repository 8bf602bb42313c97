//! Commands, parameter data and sense there and back, and against bytes of the standards.

use super::*;
use proptest::prelude::*;

fn every_command() -> Vec<Command> {
    let rw = |form| Rw {
        form,
        protect: if form == Form::Six { 0 } else { 3 },
        dpo: form != Form::Six,
        fua: form != Form::Six,
        lba: 0x12345,
        blocks: 7,
    };
    let plain = |form| Rw {
        dpo: false,
        fua: false,
        ..rw(form)
    };
    let mut all = vec![
        Command::TestUnitReady,
        Command::RequestSense {
            descriptor: true,
            alloc: 252,
        },
        Command::Inquiry {
            page: None,
            alloc: 36,
        },
        Command::Inquiry {
            page: Some(0x83),
            alloc: 0x1234,
        },
        Command::ReportLuns {
            select: 2,
            alloc: 4096,
        },
        Command::ReadCapacity10,
        Command::ReadCapacity16 { alloc: 32 },
        Command::Unmap {
            anchor: true,
            len: 24,
        },
        Command::CompareAndWrite(Rw {
            blocks: 1,
            ..rw(Form::Sixteen)
        }),
        Command::StartStop {
            immed: true,
            power: 2,
            no_flush: true,
            eject: false,
            start: true,
        },
        Command::ReportTargetPortGroups {
            extended: true,
            alloc: 512,
        },
        Command::SetTargetPortGroups { len: 8 },
        Command::ReportOpcodes {
            timeouts: true,
            options: 3,
            opcode: 0xa3,
            action: 10,
            alloc: 64,
        },
        Command::ReportTaskFunctions {
            extended: true,
            alloc: 16,
        },
        Command::GetLbaStatus {
            lba: 1 << 40,
            alloc: 24,
        },
    ];
    for long in [false, true] {
        let (control, page, subpage, alloc) = (1, 0x0a, 1, 192);
        all.push(Command::ModeSense {
            long,
            no_descriptors: true,
            control,
            page,
            subpage,
            alloc,
        });
        all.push(Command::ModeSelect {
            long,
            format: true,
            save: true,
            len: 24,
        });
    }
    for form in [Form::Six, Form::Ten, Form::Twelve, Form::Sixteen] {
        all.push(Command::Read(rw(form)));
        all.push(Command::Write(rw(form)));
        if form == Form::Six {
            continue;
        }
        let v = Rw {
            fua: false,
            ..rw(form)
        };
        all.push(Command::WriteVerify {
            rw: v,
            compare: true,
        });
        all.push(Command::Verify { rw: v, check: 3 });
        if form == Form::Twelve {
            continue;
        }
        let no_data = form == Form::Sixteen;
        all.push(Command::WriteSame {
            rw: plain(form),
            unmap: true,
            anchor: true,
            no_data,
        });
        let (lba, blocks, immed) = (77, 9, true);
        all.push(Command::SynchronizeCache {
            form,
            immed,
            lba,
            blocks,
        });
        all.push(Command::Prefetch {
            form,
            immed,
            lba,
            blocks,
        });
    }
    all
}

#[test]
fn every_command_reads_back_as_it_was_written() {
    for c in every_command() {
        let cdb = c.cdb();
        assert_eq!(Command::parse(&cdb.bytes), Ok(c), "{:02x?}", cdb.bytes);
    }
}

#[test]
fn a_six_byte_length_of_zero_is_256_blocks() {
    let mut cdb = [0; 16];
    cdb[0] = 0x08;
    let Ok(Command::Read(rw)) = Command::parse(&cdb) else {
        panic!("a READ(6)")
    };
    assert_eq!(rw.blocks, 256);
    assert_eq!(Command::Read(rw).cdb().bytes, cdb);
}

#[test]
fn unknown_commands_are_told_from_unknown_service_actions() {
    let sense = |bytes: [u8; 2]| {
        let mut cdb = [0; 16];
        cdb[..2].copy_from_slice(&bytes);
        Command::parse(&cdb).expect_err("not known").code
    };
    assert_eq!(sense([0x5f, 0]), asc::INVALID_OPCODE);
    assert_eq!(sense([0x7f, 0]), asc::INVALID_OPCODE);
    assert_eq!(sense([0xa3, 0x05]), asc::INVALID_FIELD_IN_CDB);
    assert_eq!(sense([0x9e, 0x11]), asc::INVALID_FIELD_IN_CDB);
}

#[test]
fn naca_is_refused_where_the_control_byte_is() {
    for (opcode, at) in [(0x00, 5), (0x28, 9), (0xa8, 11), (0x88, 15)] {
        let mut cdb = [0; 16];
        cdb[0] = opcode;
        cdb[at] = 4;
        let sense = Command::parse(&cdb).expect_err("NACA");
        assert_eq!(sense, Sense::cdb_bit(at as u16, 2));
    }
}

#[test]
fn the_lists_of_commands_and_lengths_agree() {
    let support = Support {
        unmap: true,
        compare_and_write: true,
        alua: true,
        explicit_alua: true,
        block_status: true,
    };
    let mut out = Vec::new();
    report_opcodes(&support, false, 0, 0, 0, &mut out).expect("all");
    for d in out[4..].chunks_exact(8) {
        let mut cdb = [0; 16];
        cdb[0] = d[0];
        cdb[1] = d[3];
        assert!(Command::parse(&cdb).is_ok(), "{d:02x?}");
        assert_eq!(
            usize::from(d[7]),
            Command::parse(&cdb).expect("known").cdb().len
        );
    }
    let mut few = Vec::new();
    report_opcodes(&Support::default(), false, 0, 0, 0, &mut few).expect("all");
    // UNMAP, COMPARE AND WRITE, GET LBA STATUS, REPORT and SET TARGET PORT GROUPS.
    assert_eq!(out.len() - few.len(), 5 * 8);
    assert!(!Support::default().knows(0x42, 0) && support.knows(0x42, 0));
}

#[test]
fn sense_reads_back_from_both_formats() {
    let samples = [
        Sense::new(Key::UnitAttention, asc::ACCESS_STATE_CHANGED),
        Sense::cdb_bit(1, 4),
        Sense::parameter(300),
        Sense::new(Key::Miscompare, asc::MISCOMPARE).with_info(511),
        Sense::illegal(asc::LBA_OUT_OF_RANGE).with_info(u64::from(u32::MAX)),
    ];
    for s in samples {
        for descriptor in [false, true] {
            let mut out = [0; Sense::MAX];
            let n = s.emit(descriptor, &mut out);
            assert_eq!(Sense::parse(&out[..n]), Some(s), "{descriptor}");
        }
    }
}

#[test]
fn numbers_of_units_have_eight_bytes() {
    assert_eq!(lun_to_wire(5), 5 << 48);
    assert_eq!(lun_to_wire(300), 0x412c << 48);
    for lun in [0, 1, 255, 256, LUN_MAX] {
        assert_eq!(lun_number(lun_to_wire(lun)), Some(lun));
    }
    for wire in [1, 0xc101 << 48, 0x0100 << 48, 0x8000 << 48] {
        assert_eq!(lun_number(wire), None, "{wire:x}");
    }
    let mut out = Vec::new();
    report_luns([0, 7, 300].into_iter(), &mut out);
    assert_eq!(read_luns(&out, 9), [0, 7, 300]);
    assert_eq!(read_luns(&out, 2), [0, 7]);
}

#[test]
fn designators_read_back_and_naa_is_no_nguid() {
    let mut page = Vec::new();
    vpd_page(0, 0x83, &mut page, |out| {
        let lu = Association::LogicalUnit;
        put_designator(out, lu, DesignatorKind::T10Vendor, b"UMPIO   x");
        put_designator(out, lu, DesignatorKind::Uuid, &[1; 16]);
        put_designator(out, lu, DesignatorKind::Eui64, &[2; 16]);
        put_designator(out, lu, DesignatorKind::Eui64, &[3; 8]);
        put_designator(out, lu, DesignatorKind::Naa, &[4; 16]);
        let port = Association::TargetPort;
        put_designator(out, port, DesignatorKind::RelativePort, &[0, 0, 0, 2]);
        put_designator(out, port, DesignatorKind::PortGroup, &[0, 0, 0, 9]);
        put_designator(out, port, DesignatorKind::ScsiName, b"iqn.x,t,0x0001");
    });
    let d = Designators::parse(&page).expect("page 83h");
    assert_eq!(d.uuid, Some([1; 16]));
    assert_eq!((d.nguid, d.eui64), (Some([2; 16]), Some([3; 8])));
    assert_eq!(d.naa, Some(vec![4; 16]));
    assert_eq!((d.relative_port, d.port_group), (Some(2), Some(9)));
    assert!(Designators::parse(&[0, 0x80, 0, 0]).is_none());
}

#[test]
fn pages_of_limits_and_provisioning_read_back() {
    let limits = BlockLimits {
        write_same_non_zero: true,
        compare_and_write: 8,
        granularity: 1,
        transfer_max: 8192,
        transfer_optimal: 256,
        unmap_max: 1 << 20,
        unmap_descriptors: 64,
        unmap_granularity: 1,
        write_same_max: 1 << 33,
    };
    let mut page = Vec::new();
    vpd_page(0, 0xb0, &mut page, |out| limits.emit(out));
    assert_eq!((page.len(), BlockLimits::parse(&page)), (64, Some(limits)));
    let p = Provisioning {
        unmap: true,
        write_same16: true,
        write_same10: false,
        zeroes: true,
        thin: true,
    };
    let mut page = Vec::new();
    vpd_page(0, 0xb2, &mut page, |out| p.emit(out));
    assert_eq!(Provisioning::parse(&page), Some(p));
}

#[test]
fn port_groups_read_back_with_either_header() {
    let groups = vec![
        PortGroup {
            group: 1,
            state: GroupState::Optimized as u8,
            preferred: true,
            supported: 0x8f,
            status: 2,
            ports: vec![1, 2],
        },
        PortGroup {
            group: 700,
            state: GroupState::Standby as u8,
            preferred: false,
            supported: 0x8f,
            status: 0,
            ports: vec![3],
        },
    ];
    for extended in [false, true] {
        let mut out = Vec::new();
        put_target_port_groups(&groups, extended, 60, &mut out);
        let time = if extended { 60 } else { 0 };
        assert_eq!(read_target_port_groups(&out), (groups.clone(), time));
        // Linux cuts its last port off under the extended header; the group counts all the same.
        let cut = read_target_port_groups(&out[..out.len() - 4]).0;
        let known = |g: &PortGroup| (g.group, g.state, g.preferred);
        assert!(cut.iter().map(known).eq(groups.iter().map(known)));
        assert!(cut[1].ports.is_empty());
    }
    let list = [0, 0, 0, 0, 1, 0, 2, 188];
    assert_eq!(read_set_target_port_groups(&list), Ok(vec![(700, 1)]));
    assert!(read_set_target_port_groups(&list[..6]).is_err());
}

#[test]
fn descriptor_sense_is_all_that_mode_select_changes() {
    let mut m = ModePages {
        blocks: 100,
        block_size: 512,
        write_cache: true,
        ..ModePages::default()
    };
    let mut out = Vec::new();
    mode_sense(&m, false, true, 0, 0x0a, 0, &mut out).expect("control page");
    out[0] = 0;
    out[2] = 0;
    assert_eq!(read_mode_select(&out, false, &mut m), Ok(false));
    out[4 + 2] |= 0x04;
    assert_eq!(read_mode_select(&out, false, &mut m), Ok(true));
    assert!(m.descriptor_sense);
    let mut caching = Vec::new();
    mode_sense(&m, true, false, 0, 0x08, 0, &mut caching).expect("caching page");
    let c = read_caching(&caching, true).expect("caching");
    assert!(c.write_cache && c.dpofua && !c.write_protected);
    caching[16 + 2] = 0;
    assert!(read_mode_select(&caching, true, &mut m).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(b in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut cdb = [0; 16];
        let n = b.len().min(16);
        cdb[..n].copy_from_slice(&b[..n]);
        if let Ok(c) = Command::parse(&cdb) {
            // What was read is written again as something that means the same.
            prop_assert_eq!(Command::parse(&c.cdb().bytes), Ok(c));
        }
        let _ = Sense::parse(&b);
        let _ = Designators::parse(&b);
        let _ = BlockLimits::parse(&b);
        let _ = Provisioning::parse(&b);
        let _ = Inquiry::parse(&b);
        let _ = (read_luns(&b, 64), read_serial(&b), read_page(&b, 0));
        let _ = (read_capacity10(&b), read_capacity16(&b));
        let _ = (read_caching(&b, true), read_caching(&b, false));
        let _ = (read_target_port_groups(&b), read_set_target_port_groups(&b));
        let _ = read_unmap(&b, 8);
        let _ = read_mode_select(&b, b.len().is_multiple_of(2), &mut ModePages::default());
    }
}
