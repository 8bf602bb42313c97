//! What the unit tells of itself, its port and its target.

use super::*;

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
