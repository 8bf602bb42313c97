//! The send side: header bytes lie encoded in one queue, payload is referred to where it is.

use crate::base::iovecs::SendVec;
use crate::base::sg::SgList;
use crate::proto::iscsi::pdu::{BHS_LEN, DIGEST_LEN};
use std::collections::VecDeque;
use std::io::IoSlice;

/// Sent header bytes that may lie in front before the rest is moved down.
const SLACK: usize = 32 * 1024;

#[derive(Copy, Clone, Debug)]
enum Seg {
    /// That many bytes of `heads`.
    Head(usize),
    /// A range of a slot's payload; with the last one the payload is free again.
    Data {
        slot: u16,
        last: bool,
        offset: usize,
        len: usize,
    },
}

#[derive(Debug)]
pub(super) struct Tx {
    heads: Vec<u8>,
    /// Bytes of `heads` already sent.
    taken: usize,
    segs: VecDeque<Seg>,
    /// Room for the slots that one send has freed.
    pub(super) done: Vec<u16>,
}

impl Tx {
    pub(super) fn new() -> Self {
        Self {
            heads: Vec::with_capacity(4096),
            taken: 0,
            segs: VecDeque::with_capacity(64),
            done: Vec::with_capacity(16),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segs.is_empty()
    }

    /// Appends what `emit` writes into the room of one header and says the length of.
    pub(super) fn head(&mut self, emit: impl FnOnce(&mut [u8]) -> usize) {
        let mut room = [0; BHS_LEN + DIGEST_LEN];
        let n = emit(&mut room);
        self.bytes(&room[..n]);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.heads.extend_from_slice(bytes);
        if let Some(Seg::Head(len)) = self.segs.back_mut() {
            *len += bytes.len();
        } else {
            self.segs.push_back(Seg::Head(bytes.len()));
        }
    }

    pub(super) fn data(&mut self, slot: u16, offset: u32, len: u32, last: bool) {
        self.segs.push_back(Seg::Data {
            slot,
            last,
            offset: offset as usize,
            len: len as usize,
        });
    }

    pub(super) fn slices<'a>(&'a self, payload: impl Fn(u16) -> &'a SgList, out: &mut SendVec<'a>) {
        let mut at = self.taken;
        for seg in &self.segs {
            if out.is_full() {
                return;
            }
            match *seg {
                Seg::Head(len) => {
                    out.push(IoSlice::new(&self.heads[at..at + len]));
                    at += len;
                }
                Seg::Data {
                    slot, offset, len, ..
                } => {
                    if payload(slot).gather(offset, len, out) < len {
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
            let finished = match seg {
                Seg::Head(len) => {
                    let take = n.min(*len);
                    n -= take;
                    self.taken += take;
                    *len -= take;
                    *len == 0
                }
                Seg::Data {
                    slot,
                    last,
                    offset,
                    len,
                } => {
                    let take = n.min(*len);
                    n -= take;
                    *offset += take;
                    *len -= take;
                    if *len == 0 && *last {
                        done(*slot);
                    }
                    *len == 0
                }
            };
            if finished {
                self.segs.pop_front();
            }
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
