//! One end of a connection that knows no protocol, for tests that say every byte.

use super::{Sink, Source};
use crate::base::clock::Time;
use crate::base::iovecs::{RecvVec, SendVec};
use std::io::{IoSlice, IoSliceMut};

/// Bytes taken in by one receive at most.
const WINDOW: usize = 65_536;

/// What waits to be sent, and all that was received and not taken out.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    pub(crate) tx: Vec<u8>,
    pub(crate) rx: Vec<u8>,
    window: Vec<u8>,
}

impl Raw {
    /// One with these bytes to send.
    pub(crate) fn sending(tx: Vec<u8>) -> Self {
        Self {
            tx,
            ..Self::default()
        }
    }
}

impl Sink for Raw {
    fn recv_places<'a>(&'a mut self, out: &mut RecvVec<'a>) {
        self.window.resize(WINDOW, 0);
        out.push(IoSliceMut::new(&mut self.window));
    }

    fn received(&mut self, n: usize, _: Time) {
        self.rx.extend_from_slice(&self.window[..n]);
    }
}

impl Source for Raw {
    fn send_slices<'a>(&'a self, out: &mut SendVec<'a>) {
        if !self.tx.is_empty() {
            out.push(IoSlice::new(&self.tx));
        }
    }

    fn sent(&mut self, n: usize, _: Time) {
        self.tx.drain(..n);
    }

    fn has_output(&self) -> bool {
        !self.tx.is_empty()
    }
}
