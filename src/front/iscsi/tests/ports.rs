//! A LUN in memory, which can be told to be slow or to fail.

use crate::base::error::{ErrorKind, IoError};
use crate::base::request::{Op, RequestPool, Token};
use crate::lun::port::{Geometry, PortId, Ports};
use crate::path::identity::Identity;

pub(super) const BLOCKS: u64 = 4096;

#[derive(Debug)]
pub(super) struct MemPorts {
    pub(super) data: Vec<u8>,
    pool: RequestPool,
    queued: Vec<Token>,
    /// Nothing completes while this is set.
    pub(super) stuck: bool,
    pub(super) error: Option<ErrorKind>,
    pub(super) blocks: u64,
    /// Every operation carried out, in order: what, where, how long.
    pub(super) log: Vec<(Op, u64, u32)>,
}

impl MemPorts {
    pub(super) fn new() -> Self {
        Self {
            data: vec![0; BLOCKS as usize * 512],
            pool: RequestPool::default(),
            queued: Vec::new(),
            stuck: false,
            error: None,
            blocks: BLOCKS,
            log: Vec::new(),
        }
    }

    /// Requests that were handed in and are not back.
    pub(super) fn waiting(&self) -> usize {
        self.queued.len()
    }

    fn carry_out(&mut self, t: &mut Token) {
        t.result = Ok(());
        if let Some(kind) = self.error {
            t.result = Err(IoError::new(kind));
            return;
        }
        self.log.push((t.op, t.lba, t.blocks));
        let at = t.lba as usize * 512;
        let len = t.blocks as usize * 512;
        let stored = &mut self.data[at..at + len];
        let miscompare = Err(IoError::new(ErrorKind::Miscompare));
        match t.op {
            Op::Read => t.data.write_at(0, stored),
            Op::Write => t.data.read_at(0, stored),
            Op::WriteZeroes | Op::Discard => stored.fill(0),
            Op::Flush => {}
            Op::Compare | Op::CompareAndWrite => {
                let mut given = vec![0; len];
                t.data.read_at(0, &mut given);
                if given != *stored {
                    t.result = miscompare;
                } else if t.op == Op::CompareAndWrite {
                    t.data.read_at(len, stored);
                }
            }
        }
    }
}

impl Ports for MemPorts {
    fn geometry(&self, _: PortId) -> Option<Geometry> {
        Some(Geometry {
            block_size: 512,
            blocks: self.blocks,
            max_transfer_blocks: 2048,
            volatile_cache: true,
            discard: true,
            write_zeroes: true,
            compare: true,
            compare_and_write: true,
            identity: Identity::default(),
        })
    }
    fn take(&mut self) -> Token {
        self.pool.get()
    }
    fn recycle(&mut self, token: Token) {
        self.pool.put(token);
    }
    fn submit(&mut self, _: PortId, token: Token) {
        self.queued.push(token);
    }
    fn completions(&mut self, _: PortId, out: &mut Vec<Token>) {
        if self.stuck {
            return;
        }
        for mut t in std::mem::take(&mut self.queued) {
            self.carry_out(&mut t);
            out.push(t);
        }
    }
}
