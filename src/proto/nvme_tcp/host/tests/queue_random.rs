//! Whatever a peer sends, a live queue neither panics nor loses a request.

use super::peer::*;
use crate::base::request::Op;
use crate::proto::nvme_tcp::host::{Pending, QueueConfig};
use crate::proto::nvme_tcp::pdu::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn random_pdus_never_panic_and_every_request_comes_back(
        header: bool, data: bool, hpda in 0u8..32, seed in 1u64..,
        script in proptest::collection::vec((0u8..8, 0u16..10, any::<u16>(), any::<u8>()), 1..60),
    ) {
        let (mut q, mut peer) = ready(QueueConfig {
            header_digest: header, data_digest: data, hpda, ..config()
        });
        let mut seed = seed;
        let mut given = 0;
        let mut back = 0;
        for (what, cid, value, byte) in script {
            if q.free_slots() > 0 {
                let len = [0, 512, 4096, 16_384, 20_000][usize::from(byte) % 5];
                let op = [Op::Read, Op::Write, Op::Flush, Op::Discard][usize::from(byte / 5) % 4];
                q.submit_io(sqe(), request(op, len, 3000, byte), NOW).unwrap();
                given += 1;
            }
            let _ = pull(&mut q, 1 + next(&mut seed) as usize % 30_000);
            let at = u32::from(value) / 4 * 4;
            let mut b = match what {
                0 => peer.resp(cid, 0),
                1 => peer.resp(cid, INTERNAL_ERROR),
                2 => peer.data(cid, 0, &pattern(usize::from(value) + 1, byte), byte & 0x0c),
                3 => peer.data(cid, 0, &pattern(512, byte), FLAG_LAST),
                4 => peer.r2t(cid, value, 0, u32::from(value)),
                5 => peer.r2t(cid, value, at, 512),
                6 => peer.data(cid, at, &pattern(512, byte), FLAG_LAST | FLAG_SUCCESS),
                _ => (0..u64::from(byte)).map(|_| next(&mut seed) as u8).collect(),
            };
            if byte > 240 && !b.is_empty() {
                let i = next(&mut seed) as usize % b.len();
                b[i] ^= 1 << (value & 7);
            }
            feed(&mut q, &b, Chunks::Random(seed));
            q.drain_io(|_, _| back += 1);
            if q.failure().is_some() {
                break;
            }
        }
        q.drain(|p| back += u32::from(matches!(p, Pending::Io(_))));
        q.drain_io(|_, _| back += 1);
        prop_assert_eq!(given, back);
        prop_assert_eq!(q.counters().copied_bytes_large, 0);
        peer.push(&[]);
    }
}
