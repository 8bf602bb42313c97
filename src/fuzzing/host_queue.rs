//! The host's half of a connection against a controller that sends anything: plausible answers with
//! wrong fields, answers nobody asked for, noise.

use super::Input;
use super::input::noise;
use super::wire::{feed, pull};
use crate::base::clock::Time;
use crate::base::crc::crc32c;
use crate::base::request::{Op, Request, Token};
use crate::proto::nvme::Sqe;
use crate::proto::nvme_tcp::host::{AdminData, Event, HostQueue, Pending, QueueConfig};
use crate::proto::nvme_tcp::pdu::{
    CapsuleResp, DataRange, Digests, HEADER_AREA, IcResp, PduType, pda_bytes,
};
use crate::sys::iobuf::IoBuf;

const NOW: Time = Time::from_nanos(1_000);
const OPERATIONS: usize = 1000;

fn config(input: &mut Input<'_>) -> QueueConfig {
    let flags = input.byte();
    QueueConfig {
        qid: u16::from(flags & 1),
        depth: 1 + u16::from(input.byte() % 16),
        header_digest: flags & 2 != 0,
        data_digest: flags & 4 != 0,
        max_r2t: 1 + u32::from(flags >> 5),
        hpda: input.byte() % 32,
        sq_flow_control: flags & 8 != 0,
    }
}

fn request(n: u8, number: u64) -> Token {
    let mut t = Request::new();
    t.op = [
        Op::Read,
        Op::Write,
        Op::Flush,
        Op::Compare,
        Op::Read,
        Op::Write,
        Op::Discard,
        Op::WriteZeroes,
    ][usize::from(n) % 8];
    t.user = number;
    // A discard carries its list of ranges, of which this is one.
    let len = match t.op {
        Op::Flush | Op::WriteZeroes => 0,
        Op::Discard => 16,
        _ => [512, 4096, 16_384, 20_480, 65_536][usize::from(n) / 8 % 5],
    };
    t.blocks = (len / 512) as u32;
    let mut left = len;
    while left > 0 {
        let part = left.min(9000);
        t.data.push(IoBuf::zeroed(part));
        left -= part;
    }
    t
}

/// A PDU with fields of the input's choice.
fn answer(input: &mut Input<'_>, d: Digests, align: usize) -> Vec<u8> {
    let what = input.byte();
    let cid = u16::from(input.byte() % 20);
    let at = u32::from(input.byte()) * 512;
    let mut b = [0; HEADER_AREA];
    let mut data = &[0x5A; 4096][..];
    let n = match what % 8 {
        0 | 1 => {
            let mut cqe = [0; 16];
            cqe[8..10].copy_from_slice(&u16::from(input.byte() % 20).to_le_bytes());
            cqe[12..14].copy_from_slice(&cid.to_le_bytes());
            cqe[15] = if what & 8 == 0 { 0 } else { input.byte() };
            CapsuleResp::emit(&cqe, d, &mut b)
        }
        2 => DataRange {
            cccid: cid,
            ttag: at as u16,
            offset: at,
            len: input.dword() % 70_000,
        }
        .emit_r2t(d, &mut b),
        3 => DataRange {
            cccid: cid,
            ttag: 1,
            offset: 0,
            len: 512 << (what >> 5),
        }
        .emit_r2t(d, &mut b),
        _ => {
            data = &data[..512 << (what >> 6)];
            let offset = if what & 16 == 0 { 0 } else { at };
            let range = DataRange {
                cccid: cid,
                ttag: 0,
                offset,
                len: data.len() as u32,
            };
            let flags = input.byte() & 0x0c;
            let n = range.emit_data(PduType::C2hData, flags, d, align, &mut b);
            let mut out = [&b[..n], data].concat();
            if d.data {
                out.extend_from_slice(&crc32c(data).to_le_bytes());
            }
            return out;
        }
    };
    b[..n].to_vec()
}

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let config = config(&mut input);
    let digests = Digests {
        header: config.header_digest,
        data: config.data_digest,
    };
    let align = pda_bytes(config.hpda);
    let admin = config.qid == 0;
    let mut q = HostQueue::new(config);
    q.set_in_capsule_max(8192);
    q.start();
    let mut b = [0; HEADER_AREA];
    let n = IcResp {
        pfv: 0,
        cpda: input.byte() % 32,
        digests,
        max_h2c_data: 4096,
    }
    .emit(&mut b);
    if input.bit() {
        // Else the connection begins with whatever the input says.
        pull(&mut q, usize::MAX, NOW);
        feed(&mut q, &b[..n], usize::MAX, NOW);
    }
    // By number: how often each request came back.
    let mut back: Vec<u8> = Vec::new();
    let (mut tags, mut tags_back) = (0, 0);
    for _ in 0..OPERATIONS {
        if input.is_empty() || q.failure().is_some() {
            break;
        }
        match input.byte() % 8 {
            0 | 1 if !admin => {
                if q.submit_io(
                    Sqe::read(1, 0, 0, false),
                    request(input.byte(), back.len() as u64),
                    NOW,
                )
                .is_ok()
                {
                    back.push(0);
                }
            }
            0 | 1 => {
                let data = match input.byte() % 3 {
                    0 => AdminData::None,
                    1 => AdminData::ToHost(crate::base::sg::SgList::zeroed(4096)),
                    _ => AdminData::FromHost(crate::base::sg::SgList::zeroed(1024)),
                };
                if q.submit_admin(Sqe::new(6), tags, data, NOW).is_ok() {
                    tags += 1;
                }
            }
            2 => drop(pull(&mut q, 1 + usize::from(input.word()), NOW)),
            3 => {
                let n = usize::from(input.byte());
                feed(&mut q, input.bytes(n), 1 + n / 3, NOW);
            }
            _ => {
                let mut pdu = answer(&mut input, digests, align);
                let (flip, chunk) = (input.byte(), usize::from(input.byte()));
                if flip > 240 {
                    let at = usize::from(input.word()) % pdu.len();
                    pdu[at] ^= 1 << (flip & 7);
                }
                feed(&mut q, &pdu, 1 + chunk * 40, NOW);
            }
        }
        q.drain_io(|t, _| back[t.user as usize] += 1);
        while let Some(event) = q.poll_control() {
            tags_back += u32::from(matches!(event, Event::Admin { .. }));
        }
    }
    q.drain_io(|t, _| back[t.user as usize] += 1);
    q.drain(|p| match p {
        Pending::Io(t) => back[t.user as usize] += 1,
        Pending::Admin { .. } => tags_back += 1,
    });
    // What had been answered and was not handed over comes now.
    q.drain_io(|t, _| back[t.user as usize] += 1);
    while let Some(event) = q.poll_control() {
        tags_back += u32::from(matches!(event, Event::Admin { .. }));
    }
    assert!(
        back.iter().all(|n| *n == 1),
        "every request comes back once: {back:?}"
    );
    assert_eq!(tags, tags_back, "every admin command comes back once");
    assert_eq!(q.counters().copied_bytes_large, 0);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let seed = |n: u8| {
        let mut s = noise(100 + u64::from(n), 1500);
        s[..5].copy_from_slice(&[n, 7, if n > 8 { n } else { 0 }, 0, 1]);
        s
    };
    (0..16).map(seed).collect()
}
