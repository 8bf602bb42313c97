//! The controller's half of a connection against a host that sends anything, with an owner that
//! answers in any order.

use super::Input;
use super::input::noise;
use super::wire::{feed, pull, pull_all};
use crate::base::clock::Time;
use crate::base::crc::crc32c;
use crate::base::sg::SgList;
use crate::proto::nvme::Direction;
use crate::proto::nvme_tcp::controller::{ControllerQueue, Event, Fetch, QueueConfig, Shape};
use crate::proto::nvme_tcp::pdu::{CapsuleCmd, DataRange, Digests, HEADER_AREA, IcReq, PduType};
use std::collections::VecDeque;

const NOW: Time = Time::from_nanos(1_000);
const OPERATIONS: usize = 1000;
/// Longer transfers are refused by the owner, as a target refuses what is beyond MDTS.
const TRANSFER_MAX: u32 = 128 << 10;

/// The owner, with what it has not answered yet.
#[derive(Debug)]
struct Owner {
    q: ControllerQueue,
    /// Commands to answer; true: with data to the host.
    waiting: VecDeque<(u16, bool)>,
    lent: usize,
    returned: usize,
}

impl Owner {
    fn events(&mut self) {
        while let Some(event) = self.q.next_event() {
            match event {
                Event::Command { slot } => self.command(slot),
                Event::DataReady { slot, .. } => self.take(slot),
                Event::Released { .. } => self.returned += 1,
            }
        }
    }

    fn take(&mut self, slot: u16) {
        drop(self.q.take_data(slot));
        self.returned += 1;
        self.waiting.push_back((slot, false));
    }

    fn command(&mut self, slot: u16) {
        let shape = self.q.shape(slot);
        let from_host = Direction::of(self.q.sqe(slot).opcode()) == Direction::ToController;
        match shape {
            Shape::Capsule(n) | Shape::Transport(n) if n <= TRANSFER_MAX && from_host => {
                self.lent += 1;
                match self.q.give_buffer(slot, SgList::zeroed(n as usize)) {
                    Fetch::Ready => self.take(slot),
                    Fetch::Pending => {}
                }
            }
            Shape::Transport(n) if n <= TRANSFER_MAX => self.waiting.push_back((slot, true)),
            _ => self.waiting.push_back((slot, false)),
        }
    }

    fn answer(&mut self, n: u8) {
        if self.waiting.is_empty() {
            return;
        }
        let (slot, with_data) = self
            .waiting
            .remove(usize::from(n) % self.waiting.len())
            .expect("in range");
        let data = with_data.then(|| SgList::zeroed(self.q.shape(slot).len() as usize));
        self.lent += usize::from(data.is_some());
        self.q.complete(
            slot,
            u64::from(n >> 7),
            if n % 8 == 7 { 6 } else { 0 },
            data,
        );
    }
}

/// A PDU with fields of the input's choice.
fn pdu(input: &mut Input<'_>, d: Digests) -> Vec<u8> {
    let what = input.byte();
    let len = [0, 512, 4096, 16_384, 65_536, 1 << 20][usize::from(input.byte()) % 6];
    let mut b = [0; HEADER_AREA];
    let payload = |mut b: Vec<u8>, data: &[u8]| {
        b.extend_from_slice(data);
        if d.data && !data.is_empty() {
            b.extend_from_slice(&crc32c(data).to_le_bytes());
        }
        b
    };
    if what.is_multiple_of(2) {
        let mut sqe = [0; 64];
        sqe[0] = [1, 2, 0, 5, 9, 0x7f, 6, input.byte()][usize::from(what / 2) % 8];
        sqe[2] = input.byte();
        let inline = what & 64 != 0 && len <= 8192;
        sqe[39] = if inline { 0x01 } else { 0x5a };
        sqe[32..36].copy_from_slice(&(len as u32).to_le_bytes());
        let data = vec![0x11; if inline { len } else { 0 }];
        let n = CapsuleCmd::emit(&sqe, data.len() as u32, d, 4, &mut b);
        return payload(b[..n].to_vec(), &data);
    }
    let tag = input.word();
    let offset = u32::from(input.byte()) * 512;
    let data = vec![0x22; len.clamp(4, 65_536)];
    let range = DataRange {
        cccid: u16::from(input.byte()),
        ttag: tag,
        offset,
        len: data.len() as u32,
    };
    let n = range.emit_data(PduType::H2cData, input.byte() & 4, d, 4, &mut b);
    payload(b[..n].to_vec(), &data)
}

/// An answer to the last R2T that was sent, if there is one in `sent`: what an honest host sends.
fn honest(sent: &[u8], d: Digests) -> Vec<u8> {
    const R2T: usize = 24;
    let at = sent
        .windows(3)
        .rposition(|w| w[0] == PduType::R2t as u8 && w[2] == R2T as u8);
    let Some(r2t) = at.and_then(|at| sent.get(at..at + R2T)) else {
        return Vec::new();
    };
    let range = DataRange::parse(r2t);
    let range = DataRange {
        len: range.len.clamp(1, 65_536),
        ..range
    };
    let data = vec![0x33; range.len as usize];
    let mut b = [0; HEADER_AREA];
    let n = range.emit_data(PduType::H2cData, 4, d, 4, &mut b);
    let mut out = [&b[..n], &data].concat();
    if d.data {
        out.extend_from_slice(&crc32c(&data).to_le_bytes());
    }
    out
}

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let digests = Digests::from_byte(input.byte());
    let config = QueueConfig {
        capsule_data: u32::from(input.byte()) * 64,
        r2t_size: 4096 << (input.byte() % 8),
        c2h_size: 4096 << (input.byte() % 8),
        ..QueueConfig::default()
    };
    let mut o = Owner {
        q: ControllerQueue::new(config),
        waiting: VecDeque::new(),
        lent: 0,
        returned: 0,
    };
    if input.bit() {
        let mut b = [0; HEADER_AREA];
        let n = IcReq {
            pfv: 0,
            hpda: input.byte() % 32,
            digests,
            max_r2t: u32::from(input.byte() % 4),
        }
        .emit(&mut b);
        feed(&mut o.q, &b[..n], usize::MAX, NOW);
        o.q.open(1 + u16::from(input.byte()), input.bit(), input.bit());
    }
    let mut sent = Vec::new();
    for _ in 0..OPERATIONS {
        if input.is_empty() || o.q.failure().is_some() {
            break;
        }
        match input.byte() % 8 {
            0 | 1 => o.answer(input.byte()),
            2 => sent = pull(&mut o.q, 1 + usize::from(input.word()), NOW),
            3 => sent = pull_all(&mut o.q, NOW),
            4 => drop(feed(&mut o.q, &honest(&sent, digests), usize::MAX, NOW)),
            5 => {
                let n = usize::from(input.byte());
                feed(&mut o.q, input.bytes(n), 1 + n / 3, NOW);
            }
            _ => {
                let pdu = pdu(&mut input, digests);
                feed(&mut o.q, &pdu, 1 + usize::from(input.byte()) * 40, NOW);
            }
        }
        o.events();
    }
    o.events();
    assert_eq!(o.q.counters().copied_bytes_large, 0);
    let mut rest = Vec::new();
    o.q.drain_buffers(&mut rest);
    assert_eq!(
        o.lent,
        o.returned + rest.len(),
        "every buffer lent is given back"
    );
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let seed = |n: u8| {
        let mut s = noise(200 + u64::from(n), 1500);
        s[..9].copy_from_slice(&[n % 4, 128, n, n / 2, 1, 0, 3, 30, n / 8]);
        s
    };
    (0..16).map(seed).collect()
}
