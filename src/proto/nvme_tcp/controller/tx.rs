//! The send side: headers, digests and response capsules lie encoded in one byte queue, payload
//! is referred to where it is. Neighbouring headers merge into one slice, so that a tick's
//! answers go out in one call with few slices.

use super::slots::Slots;
use crate::base::iovecs::SendVec;
use crate::proto::nvme_tcp::pdu::{HEADER_AREA, SHORT_LEN, TERM_DATA_MAX};
use std::collections::VecDeque;
use std::io::IoSlice;

/// Sent header bytes that may lie in front before the rest is moved down.
const SLACK: usize = 32 * 1024;

#[derive(Copy, Clone, Debug)]
enum Seg {
    /// That many bytes of `heads`.
    Head(u32),
    /// A range of a slot's payload; with the last one the payload is free again.
    Data {
        slot: u16,
        last: bool,
        offset: u32,
        len: u32,
    },
}

#[derive(Debug)]
pub(super) struct Tx {
    heads: Vec<u8>,
    /// Bytes of `heads` already sent.
    taken: usize,
    segs: VecDeque<Seg>,
    /// Where a header is written before its length is known.
    scratch: [u8; HEADER_AREA],
}

impl Tx {
    pub(super) fn new() -> Self {
        Self {
            heads: Vec::with_capacity(4096),
            taken: 0,
            segs: VecDeque::with_capacity(64),
            scratch: [0; HEADER_AREA],
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.segs.is_empty()
    }

    /// Appends what `emit` writes into a header area and says the length of.
    #[inline]
    pub(super) fn head(&mut self, emit: impl FnOnce(&mut [u8]) -> usize) {
        let n = emit(&mut self.scratch);
        self.heads.extend_from_slice(&self.scratch[..n]);
        self.grew(n);
    }

    /// As `head`, for a termination request with its copy of the offending PDU.
    pub(super) fn head_large(&mut self, emit: impl FnOnce(&mut [u8]) -> usize) {
        let at = self.heads.len();
        self.heads.resize(at + SHORT_LEN + TERM_DATA_MAX, 0);
        let n = emit(&mut self.heads[at..]);
        self.heads.truncate(at + n);
        self.grew(n);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.heads.extend_from_slice(bytes);
        self.grew(bytes.len());
    }

    #[inline]
    fn grew(&mut self, n: usize) {
        if let Some(Seg::Head(len)) = self.segs.back_mut() {
            *len += n as u32;
        } else {
            self.segs.push_back(Seg::Head(n as u32));
        }
    }

    #[inline]
    pub(super) fn data(&mut self, slot: u16, offset: u32, len: u32, last: bool) {
        self.segs.push_back(Seg::Data {
            slot,
            last,
            offset,
            len,
        });
    }

    pub(super) fn slices<'a>(&'a self, slots: &'a Slots, out: &mut SendVec<'a>) {
        let mut at = self.taken;
        for seg in &self.segs {
            if out.is_full() {
                return;
            }
            match *seg {
                Seg::Head(len) => {
                    let end = at + len as usize;
                    out.push(IoSlice::new(&self.heads[at..end]));
                    at = end;
                }
                Seg::Data {
                    slot, offset, len, ..
                } => {
                    let put = slots
                        .at(slot)
                        .data
                        .gather(offset as usize, len as usize, out);
                    if put < len as usize {
                        return;
                    }
                }
            }
        }
    }

    /// `n` bytes have left; calls `done` with every slot whose payload is free again.
    pub(super) fn sent(&mut self, mut n: usize, mut done: impl FnMut(u16)) {
        while n > 0 {
            let seg = self.segs.front_mut().expect("more sent than was offered");
            match seg {
                Seg::Head(len) => {
                    let take = n.min(*len as usize);
                    n -= take;
                    self.taken += take;
                    *len -= take as u32;
                    if *len > 0 {
                        break;
                    }
                }
                Seg::Data {
                    slot,
                    last,
                    offset,
                    len,
                } => {
                    let take = n.min(*len as usize);
                    n -= take;
                    *offset += take as u32;
                    *len -= take as u32;
                    if *len > 0 {
                        break;
                    }
                    if *last {
                        done(*slot);
                    }
                }
            }
            self.segs.pop_front();
        }
        if self.segs.is_empty() {
            self.heads.clear();
            self.taken = 0;
        } else if self.taken > SLACK {
            self.heads.drain(..self.taken);
            self.taken = 0;
        }
    }
}
