//! Which commands are known and let through.

use super::*;

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
