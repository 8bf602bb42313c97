use super::*;
use crate::proto::iscsi::pdu::{DataOut, InitiatorSn, TaskAttr, pad};
use proptest::prelude::*;

fn conn() -> TargetConn {
    let mut c = TargetConn::new();
    c.begin(1, 1);
    c.enter_full_feature(Params {
        initial_r2t: false,
        ..Params::default()
    });
    c
}

/// Feeds bytes and does what an owner does: buffers for writes, answers for all.
fn feed(c: &mut TargetConn, mut bytes: &[u8]) {
    while !bytes.is_empty() && c.failure().is_none() {
        let mut n = 0;
        {
            let mut out = RecvVec::new();
            c.recv_places(&mut out);
            for place in &mut out {
                let take = place.len().min(bytes.len() - n);
                place[..take].copy_from_slice(&bytes[n..n + take]);
                n += take;
            }
        }
        if n > 0 {
            c.received(n, Time::ZERO);
        }
        bytes = &bytes[n..];
        let mut worked = n > 0;
        while let Some(event) = c.next_event() {
            worked = true;
            match event {
                Event::Command { slot } if c.command(slot).write => {
                    let len = (c.command(slot).expected as usize).min(65536);
                    if len == 0 {
                        c.respond(slot, 0, &[], 0);
                    } else {
                        c.give_buffer(slot, SgList::zeroed(len));
                    }
                }
                Event::Command { slot } => c.respond_bytes(slot, &[7; 100]),
                Event::DataReady { slot, .. } => {
                    let data = c.take_data(slot);
                    c.respond(slot, 0, &[], data.len() as u64);
                }
                Event::Task(t) => c.task_response(t.itt, 0),
                Event::Text(t, _) => c.text_response(t.itt, NO_TAG, b"a=b\0", false),
                Event::Logout(l) => c.logout_response(l.itt, 0),
                Event::Room { slot } => {
                    let need = c.early_need(slot);
                    c.give_early(slot, SgList::zeroed(need));
                }
                Event::Login { .. } | Event::Released { .. } => {}
            }
        }
        if !worked {
            return;
        }
    }
}

fn write(cmd_sn: u32, data: &[u8], expected: u32) -> Vec<u8> {
    let mut out = vec![0; BHS_LEN];
    ScsiCommand {
        immediate: false,
        is_final: true,
        read: false,
        write: true,
        attr: TaskAttr::Simple,
        lun: 0,
        itt: cmd_sn,
        expected,
        sn: InitiatorSn {
            cmd_sn,
            exp_stat_sn: 1,
        },
        cdb: [0x2a; 16],
    }
    .emit(0, data.len(), &mut out);
    out.extend_from_slice(data);
    out.resize(out.len() + pad(data.len()), 0);
    out
}

#[test]
fn a_write_with_immediate_data_is_answered_and_more_is_asked_for() {
    let mut c = conn();
    feed(&mut c, &write(1, &[1; 512], 512));
    assert_eq!((c.counters().responses, c.counters().r2ts), (1, 0));
    feed(&mut c, &write(2, &[1; 512], 1024));
    assert_eq!((c.counters().responses, c.counters().r2ts), (1, 1));
}

#[test]
fn a_command_outside_the_window_is_passed_over() {
    let mut c = conn();
    feed(&mut c, &write(129, &[1; 512], 512));
    assert_eq!((c.counters().ignored, c.counters().commands), (1, 0));
    feed(&mut c, &write(1, &[1; 512], 512));
    assert_eq!(c.counters().responses, 1);
}

/// A Data-Out PDU that nobody asked for.
fn unasked(itt: u32, data_sn: u32, offset: u32, data: &[u8], is_final: bool) -> Vec<u8> {
    let mut out = vec![0; BHS_LEN];
    DataOut {
        is_final,
        lun: 0,
        itt,
        ttt: NO_TAG,
        exp_stat_sn: 1,
        data_sn,
        offset,
    }
    .emit(data.len(), &mut out);
    out.extend_from_slice(data);
    out
}

#[test]
fn unsolicited_data_that_comes_with_its_command_finds_a_place() {
    let mut c = conn();
    let mut bytes = write(1, &[], 1024);
    bytes[1] &= !0x80;
    bytes.extend(unasked(1, 0, 0, &[1; 512], false));
    bytes.extend(unasked(1, 1, 512, &[2; 512], true));
    // All in one piece: the command has no buffer when its data is there.
    feed(&mut c, &bytes);
    assert_eq!((c.counters().responses, c.counters().r2ts), (1, 0));
    assert_eq!((c.counters().bytes_in, c.counters().ignored), (1024, 0));
}

/// Data for one sequence that was asked for.
fn asked(ttt: u32, offset: u32, data: &[u8]) -> Vec<u8> {
    let mut out = unasked(1, 0, offset, data, true);
    out[20..24].copy_from_slice(&ttt.to_be_bytes());
    out
}

fn conn_with_two_r2ts() -> (TargetConn, impl Fn(u32) -> u32) {
    let mut c = TargetConn::new();
    c.begin(1, 1);
    c.enter_full_feature(Params {
        max_burst: 512,
        max_r2t: 2,
        ..Params::default()
    });
    feed(&mut c, &write(1, &[], 2048));
    let slot = c.slot_of(1).expect("it is not answered");
    let generation = c.slots[usize::from(slot)].generation;
    (c, move |sn| ttt(slot, generation, sn))
}

#[test]
fn as_many_sequences_as_agreed_on_are_asked_for_at_a_time() {
    let (mut c, ttt) = conn_with_two_r2ts();
    assert_eq!(c.counters().r2ts, 2);
    for (sn, r2ts, responses) in [(0, 3, 0), (1, 4, 0), (2, 4, 0), (3, 4, 1)] {
        feed(&mut c, &asked(ttt(sn), sn * 512, &[1; 512]));
        let k = c.counters();
        assert_eq!((k.r2ts, k.responses, k.ignored), (r2ts, responses, 0));
    }
    assert_eq!(c.counters().bytes_in, 2048);
}

#[test]
fn sequences_out_of_order_end_the_command() {
    let (mut c, ttt) = conn_with_two_r2ts();
    feed(&mut c, &asked(ttt(1), 512, &[1; 512]));
    assert_eq!((c.counters().r2ts, c.counters().responses), (2, 1));
    feed(&mut c, &asked(ttt(0), 0, &[1; 512]));
    assert_eq!((c.counters().ignored, c.failure()), (1, None));
    // A tag that was never given out.
    let (mut c, ttt) = conn_with_two_r2ts();
    feed(&mut c, &asked(ttt(2), 0, &[1; 512]));
    assert_eq!((c.counters().ignored, c.counters().responses), (1, 0));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(b in proptest::collection::vec(any::<u8>(), 0..600), opcode in 0_u8..7, at in 0_u32..4) {
        let mut c = conn();
        let mut bytes = write(1, &[1; 512], 4096);
        let mut wild = b;
        if wild.len() >= BHS_LEN {
            // A known opcode, a small segment, and a CmdSN that may be the next.
            wild[0] = opcode | wild[0] & 0x40;
            wild[4] &= 1;
            wild[5] = 0;
            wild[6] &= 1;
            wild[24..28].copy_from_slice(&at.to_be_bytes());
        }
        bytes.extend_from_slice(&wild);
        feed(&mut c, &bytes);
        let mut left = Vec::new();
        c.drain_buffers(&mut left);
    }
}
