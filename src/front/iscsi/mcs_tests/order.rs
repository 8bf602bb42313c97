//! Delivery in the order of CmdSN, whichever connection a command came on.

use super::*;
use proptest::prelude::*;

fn block(n: u32) -> Vec<u8> {
    vec![n as u8 ^ 0x5a; 512]
}

#[test]
fn commands_are_delivered_in_order_over_two_connections() {
    let mut b = Bench::session(2);
    b.say(1, &write(2, 2, &block(2), 512));
    b.say(1, &write(4, 4, &block(4), 0));
    b.run();
    assert!(b.ports.handed_in.is_empty(), "number 1 is still to come");
    b.say(0, &write(3, 3, &block(3), 512));
    b.run();
    assert!(b.ports.handed_in.is_empty());
    b.say(0, &write(1, 1, &block(1), 512));
    // One connection sends 3 before 1: that is early too.
    b.run();
    assert_eq!(b.ports.handed_in, [1, 2, 3, 4]);
    for (line, itt) in [(1, 2), (1, 4), (0, 3), (0, 1)] {
        assert_eq!(b.answer(line, itt).status, 0);
        let at = itt as usize * 512;
        assert_eq!(b.ports.data[at..at + 512], block(itt)[..]);
    }
}

#[test]
fn immediate_commands_do_not_wait_for_numbers() {
    let mut b = Bench::session(2);
    b.say(1, &write(2, 2, &block(2), 512));
    let ping = NopOut {
        immediate: true,
        lun: 0,
        itt: 77,
        ttt: NO_TAG,
        sn: sn(3),
    };
    b.say(1, &pdu(&[], |n, out| ping.emit(n, out)));
    b.run();
    let pong = b.answer(1, 77);
    assert_eq!((pong.opcode, pong.exp_cmd_sn), (0x20, 1));
}

#[test]
fn large_data_that_comes_early_is_not_copied() {
    let mut b = Bench::session(2);
    let data: Vec<u8> = (0..16384_u32).map(|i| (i / 5) as u8).collect();
    b.say(1, &write(2, 64, &data, 8192));
    b.run();
    b.say(0, &write(1, 1, &block(1), 512));
    b.run();
    assert_eq!(b.ports.handed_in, [1, 64]);
    assert_eq!(b.answer(1, 2).status, 0);
    assert_eq!(b.ports.data[64 * 512..64 * 512 + 16384], data[..]);
    let copied: u64 = b
        .target
        .connections
        .iter()
        .flatten()
        .map(|c| c.conn.counters().copied_bytes_large)
        .sum();
    // What a vectored receive had read ahead with the header, and nothing else.
    assert!(copied < 16384, "{copied}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever way commands are spread over connections and whenever their pieces arrive, each is
    /// carried out once, with its own data; and those that wait for no data in order (data may be
    /// late, and tasks are SIMPLE).
    #[test]
    fn nothing_is_lost_doubled_or_reordered(
        spread in proptest::collection::vec((0_usize..3, 0_usize..4, 1_u32..24), 1..60),
        arrivals in proptest::collection::vec((0_usize..3, 1_usize..3000), 1..200),
    ) {
        let mut b = Bench::session(3);
        let mut queued: [Vec<u8>; 3] = Default::default();
        let mut reads = Vec::new();
        let mut expected = Vec::new();
        for (i, (line, kind, blocks)) in spread.iter().enumerate() {
            let cmd_sn = i as u32 + 1;
            if *kind == 3 {
                queued[*line].extend(read(cmd_sn, 3000 + cmd_sn));
                reads.push(u64::from(3000 + cmd_sn));
                expected.push((cmd_sn, *line, Vec::new()));
                continue;
            }
            let data: Vec<u8> = (0..*blocks * 512).map(|k| (k / 3) as u8 ^ cmd_sn as u8).collect();
            let immediate = [0, 512, data.len().min(8192)][*kind].min(data.len());
            queued[*line].extend(write(cmd_sn, cmd_sn * 32, &data, immediate));
            expected.push((cmd_sn, *line, data));
        }
        let all_there = arrivals.iter().copied().chain((0..3).map(|line| (line, usize::MAX)));
        for (line, n) in all_there {
            let n = n.min(queued[line].len());
            let piece: Vec<u8> = queued[line].drain(..n).collect();
            b.say(line, &piece);
            b.step();
        }
        b.run();
        let order = b.ports.handed_in.iter().copied().filter(|lba| *lba >= 3000);
        prop_assert_eq!(order.collect::<Vec<_>>(), reads);
        prop_assert_eq!(b.ports.handed_in.len(), expected.len());
        for (cmd_sn, line, data) in &expected {
            let a = b.answers_to(*line, *cmd_sn);
            let opcode = if data.is_empty() { 0x25 } else { 0x21 };
            let good = a.len() == 1 && a[0].opcode == opcode && a[0].status == 0;
            prop_assert!(good, "{:?}", a);
            let at = *cmd_sn as usize * 32 * 512;
            prop_assert_eq!(&b.ports.data[at..at + data.len()], &data[..]);
        }
    }
}
