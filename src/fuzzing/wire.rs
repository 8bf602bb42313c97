//! A transport made of bytes in hand.

use crate::base::clock::Time;
use crate::base::crc::crc32c;
use crate::base::iovecs::{RecvVec, SendVec};
use crate::proto::iscsi::pdu::{BHS_LEN, DIGEST_LEN, Digests, pad, seal};
use crate::transport::{Sink, Source};
use std::io::{IoSlice, IoSliceMut};

/// Gives bytes to a sink, at most `chunk` in one call; returns how many it took.
pub(super) fn feed(sink: &mut impl Sink, bytes: &[u8], chunk: usize, now: Time) -> usize {
    let mut taken = 0;
    while taken < bytes.len() {
        let part = &bytes[taken..bytes.len().min(taken.saturating_add(chunk.max(1)))];
        let mut done = 0;
        {
            let mut places = RecvVec::new();
            sink.recv_places(&mut places);
            for place in &mut places {
                let n = place.len().min(part.len() - done);
                place[..n].copy_from_slice(&part[done..done + n]);
                done += n;
            }
        }
        if done == 0 {
            break;
        }
        sink.received(done, now);
        taken += done;
    }
    taken
}

/// Takes up to `max` bytes from a source in one call.
pub(super) fn pull(source: &mut impl Source, max: usize, now: Time) -> Vec<u8> {
    let mut out = Vec::new();
    {
        let mut slices = SendVec::new();
        source.send_slices(&mut slices);
        for s in &slices {
            out.extend_from_slice(&s[..s.len().min(max - out.len())]);
        }
    }
    if !out.is_empty() {
        source.sent(out.len(), now);
    }
    out
}

/// Takes all that a source has to send.
pub(super) fn pull_all(source: &mut impl Source, now: Time) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let part = pull(source, usize::MAX, now);
        if part.is_empty() {
            return all;
        }
        all.extend(part);
    }
}

/// Bytes on their way: what a connection delivered, or shall send.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    pub(super) bytes: Vec<u8>,
    window: Vec<u8>,
}

impl Sink for Bytes {
    fn recv_places<'a>(&'a mut self, out: &mut RecvVec<'a>) {
        self.window.resize(65_536, 0);
        out.push(IoSliceMut::new(&mut self.window));
    }

    fn received(&mut self, n: usize, _: Time) {
        self.bytes.extend_from_slice(&self.window[..n]);
    }
}

impl Source for Bytes {
    fn send_slices<'a>(&'a self, out: &mut SendVec<'a>) {
        if !self.bytes.is_empty() {
            out.push(IoSlice::new(&self.bytes));
        }
    }

    fn sent(&mut self, n: usize, _: Time) {
        self.bytes.drain(..n);
    }

    fn has_output(&self) -> bool {
        !self.bytes.is_empty()
    }
}

/// Appends an iSCSI PDU whose header `emit` writes, told the length of `data`, with padding and the
/// digests that are on.
pub(super) fn put_iscsi(
    out: &mut Vec<u8>,
    digests: Digests,
    data: &[u8],
    emit: impl FnOnce(usize, &mut [u8]),
) {
    let mut head = [0; BHS_LEN + DIGEST_LEN];
    emit(data.len(), &mut head);
    let n = seal(&mut head, BHS_LEN, digests.header);
    out.extend_from_slice(&head[..n]);
    if data.is_empty() {
        return;
    }
    let padded = [data, &[0; 3][..pad(data.len())]].concat();
    out.extend_from_slice(&padded);
    if digests.data {
        out.extend_from_slice(&crc32c(&padded).to_le_bytes());
    }
}
