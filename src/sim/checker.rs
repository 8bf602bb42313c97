//! The checker: what may a block hold, given everything that was asked for and answered so far?
//!
//! Each block is a register with a set of values that it may show. Time is the order of calls in
//! here, so that events of one virtual instant still have an order. A value dies, for good,
//!
//! - when a write that was handed in after the value's own write had ended is acknowledged: that
//!   write took effect after it;
//! - when a read that was handed in after the value's own write had ended shows another value: it
//!   was overwritten, and a write that has ended may not take effect again.
//!
//! A read may not return a value that was dead when the read was handed in. That covers lost
//! writes, stale reads, and ghosts: an old write that lands late. Writes that overlap in time may
//! land in any order, and until it has ended a write may land more than once (it is sent again
//! after a loss).
//!
//! A write that failed may have been done, and it may be done late *for as long as its blocks are
//! closed* to the host that failed it. A read by that host completes only when they are open
//! again, so what such a read did not show never comes (`settles`). What is seen in the LUN's
//! memory directly, or by another host, does not settle a failed write.

use super::content::{BLOCK, Content, HEAD, WriteId, claim, content};
pub use super::violation::{Observer, Violation, Wrong};

/// Place in the order of events.
pub type Seq = u64;

/// Never (yet).
const NEVER: Seq = Seq::MAX;

#[derive(Copy, Clone, Debug)]
struct Value {
    /// The write it comes from, 0: the initial content.
    write: WriteId,
    /// What a block shows: `write`, or 0 for zeroes.
    shows: WriteId,
    ended: Seq,
    failed: bool,
    host: usize,
    dead: Seq,
}

#[derive(Clone, Debug)]
struct Block {
    values: Vec<Value>,
    /// What was last seen in the LUN's memory.
    seen: WriteId,
}

#[derive(Copy, Clone, Debug)]
struct Writing {
    write: WriteId,
    lun: usize,
    lba: u64,
    blocks: u32,
    started: Seq,
}

/// All blocks of all LUNs of a run.
#[derive(Clone, Debug)]
pub struct Checker {
    luns: Vec<Vec<Block>>,
    now: Seq,
    next_write: WriteId,
    writing: Vec<Writing>,
    /// Starts of reads that are under way.
    reading: Vec<Seq>,
    /// Blocks judged so far.
    pub checked: u64,
}

impl Checker {
    /// LUNs of so many blocks, full of zeroes.
    pub fn new(luns: usize, blocks: u64) -> Self {
        let initial = Value {
            write: 0,
            shows: 0,
            ended: 0,
            failed: false,
            host: usize::MAX,
            dead: NEVER,
        };
        let block = || Block {
            values: vec![initial],
            seen: 0,
        };
        Self {
            luns: (0..luns)
                .map(|_| (0..blocks).map(|_| block()).collect())
                .collect(),
            now: 1,
            next_write: 1,
            writing: Vec::new(),
            reading: Vec::new(),
            checked: 0,
        }
    }

    fn tick(&mut self) -> Seq {
        self.now += 1;
        self.now
    }

    /// A write is about to be handed in; `zeroes`: it leaves zeroes.
    pub fn write_started(
        &mut self,
        host: usize,
        lun: usize,
        lba: u64,
        blocks: u32,
        zeroes: bool,
    ) -> WriteId {
        let started = self.tick();
        let write = self.next_write;
        self.next_write += 1;
        self.writing.push(Writing {
            write,
            lun,
            lba,
            blocks,
            started,
        });
        let shows = if zeroes { 0 } else { write };
        // Values that no read under way may still return are forgotten.
        let horizon = self.reading.iter().copied().min().unwrap_or(started);
        for block in &mut self.luns[lun][lba as usize..(lba + u64::from(blocks)) as usize] {
            block.values.retain(|v| v.dead >= horizon);
            block.values.push(Value {
                write,
                shows,
                ended: NEVER,
                failed: false,
                host,
                dead: NEVER,
            });
        }
        write
    }

    /// A write came back.
    pub fn write_ended(&mut self, write: WriteId, acknowledged: bool) {
        let ended = self.tick();
        let at = self
            .writing
            .iter()
            .position(|w| w.write == write)
            .expect("a write ends once");
        let w = self.writing.swap_remove(at);
        for block in &mut self.luns[w.lun][w.lba as usize..(w.lba + u64::from(w.blocks)) as usize] {
            for v in &mut block.values {
                if v.write == write {
                    v.ended = ended;
                    v.failed = !acknowledged;
                } else if acknowledged && v.ended < w.started && v.dead == NEVER {
                    v.dead = ended;
                }
            }
        }
    }

    /// Whether a write of any of these blocks is under way.
    pub fn is_writing(&self, lun: usize, lba: u64, blocks: u32) -> bool {
        let end = lba + u64::from(blocks);
        self.writing
            .iter()
            .any(|w| w.lun == lun && w.lba < end && lba < w.lba + u64::from(w.blocks))
    }

    /// A read is about to be handed in.
    pub fn read_started(&mut self) -> Seq {
        let started = self.tick();
        self.reading.push(started);
        started
    }

    /// A read failed: it shows nothing.
    pub fn read_failed(&mut self, started: Seq) {
        let at = self
            .reading
            .iter()
            .position(|s| *s == started)
            .expect("a read ends once");
        self.reading.swap_remove(at);
    }

    /// Judges what a read returned.
    ///
    /// # Errors
    /// The first block that shows what it may not.
    pub fn read_done(
        &mut self,
        host: usize,
        lun: usize,
        lba: u64,
        started: Seq,
        data: &[u8],
    ) -> Result<(), Violation> {
        self.read_failed(started);
        let ended = self.tick();
        for (part, lba) in data.chunks_exact(BLOCK).zip(lba..) {
            let found = content(part, lun, lba);
            self.judge(Observer::Host(host), lun, lba, started, ended, found)?;
        }
        Ok(())
    }

    /// Judges a LUN's memory as it is now: the blocks that have changed since the last look, or
    /// `all`. (A block that stays as it is cannot revert; that it should have changed is found by
    /// the reads.) `read` copies memory out, from a byte offset.
    ///
    /// # Errors
    /// As `read_done`.
    pub fn look(
        &mut self,
        lun: usize,
        all: bool,
        read: impl Fn(u64, &mut [u8]),
    ) -> Result<(), Violation> {
        let now = self.tick();
        let mut part = [0; BLOCK];
        for lba in 0..self.luns[lun].len() as u64 {
            let block = &mut self.luns[lun][lba as usize];
            let at = lba * BLOCK as u64;
            read(at, &mut part[..HEAD]);
            let write = claim(&part);
            if block.seen == write && !all {
                continue;
            }
            block.seen = write;
            read(at, &mut part);
            self.judge(
                Observer::Memory,
                lun,
                lba,
                now,
                now,
                content(&part, lun, lba),
            )?;
        }
        Ok(())
    }

    fn judge(
        &mut self,
        by: Observer,
        lun: usize,
        lba: u64,
        started: Seq,
        ended: Seq,
        found: Content,
    ) -> Result<(), Violation> {
        self.checked += 1;
        let block = &mut self.luns[lun][lba as usize];
        let newest = block
            .values
            .iter()
            .filter(|v| v.ended != NEVER && !v.failed)
            .map(|v| v.write)
            .max();
        let newest = newest.unwrap_or(0);
        let violation = |wrong| Violation {
            wrong,
            by,
            lun,
            lba,
            found,
            newest,
        };
        let shows = match found {
            Content::Zeroes => 0,
            Content::Written(write) => write,
            Content::Damaged(_) => return Err(violation(Wrong::Damaged)),
        };
        let mut known = block.values.iter().filter(|v| v.shows == shows).peekable();
        if known.peek().is_none() {
            let past = shows < self.next_write || shows == 0;
            return Err(violation(if past { Wrong::Stale } else { Wrong::Unknown }));
        }
        let mut last = None;
        let alive = known
            .inspect(|v| last = Some(**v))
            .filter(|v| v.dead >= started)
            .count();
        if alive == 0 {
            let revived = last.is_some_and(|v| v.failed);
            return Err(violation(if revived {
                Wrong::Revived
            } else {
                Wrong::Stale
            }));
        }
        for v in &mut block.values {
            // Zeroes do not tell which write they are from.
            if v.shows != shows
                && v.ended < started
                && v.dead == NEVER
                && (!v.failed || by == Observer::Host(v.host))
            {
                v.dead = ended;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::content::put;
    use super::*;

    fn block(write: WriteId) -> Vec<u8> {
        let mut b = vec![0; BLOCK];
        if write != 0 {
            put(&mut b, 0, 0, write);
        }
        b
    }

    fn look(c: &mut Checker, write: WriteId) -> Option<Wrong> {
        let found = c.look(0, true, |at, out| {
            out.copy_from_slice(&block(write)[at as usize..][..out.len()])
        });
        found.err().map(|v| v.wrong)
    }

    fn read(c: &mut Checker, host: usize, write: WriteId) -> Option<Wrong> {
        let s = c.read_started();
        c.read_done(host, 0, 0, s, &block(write))
            .err()
            .map(|v| v.wrong)
    }

    fn write(c: &mut Checker) -> WriteId {
        c.write_started(0, 0, 0, 1, false)
    }

    #[test]
    fn a_read_after_the_acknowledgement_sees_the_write_and_one_before_may_see_either() {
        let mut c = Checker::new(1, 1);
        let w = write(&mut c);
        assert_eq!(read(&mut c, 0, 0), None);
        let early = c.read_started();
        c.write_ended(w, true);
        assert!(c.read_done(0, 0, 0, early, &block(0)).is_ok());
        assert_eq!(read(&mut c, 0, 0), Some(Wrong::Stale));
        assert_eq!(read(&mut c, 0, w), None);
    }

    #[test]
    fn what_a_read_has_seen_is_not_undone_though_the_write_is_not_acknowledged_yet() {
        let mut c = Checker::new(1, 1);
        let w = write(&mut c);
        assert_eq!((read(&mut c, 0, 0), read(&mut c, 0, w)), (None, None));
        assert_eq!(read(&mut c, 0, 0), Some(Wrong::Stale));
    }

    #[test]
    fn a_ghost_is_seen_in_memory_even_if_nobody_reads_it() {
        let mut c = Checker::new(1, 1);
        for _ in 0..2 {
            let w = write(&mut c);
            c.write_ended(w, true);
        }
        assert_eq!(look(&mut c, 2), None);
        assert_eq!(look(&mut c, 1), Some(Wrong::Stale));
    }

    #[test]
    fn overlapping_writes_land_in_any_order_but_stay_once_both_have_ended() {
        let mut c = Checker::new(1, 1);
        let (a, b) = (write(&mut c), write(&mut c));
        assert_eq!(
            (read(&mut c, 0, a), read(&mut c, 0, b), read(&mut c, 0, a)),
            (None, None, None)
        );
        c.write_ended(b, true);
        c.write_ended(a, true);
        assert_eq!(read(&mut c, 0, b), None);
        assert_eq!(
            read(&mut c, 0, a),
            Some(Wrong::Stale),
            "b was shown after both had ended"
        );
    }

    #[test]
    fn a_failed_write_may_be_there_until_its_own_host_has_seen_that_it_is_not() {
        let mut c = Checker::new(1, 1);
        let w = write(&mut c);
        c.write_ended(w, false);
        assert_eq!(read(&mut c, 1, 0), None);
        assert_eq!(look(&mut c, 0), None);
        assert_eq!(look(&mut c.clone(), w), None, "it may come late");
        assert_eq!(read(&mut c, 0, 0), None);
        assert_eq!(read(&mut c, 0, w), Some(Wrong::Revived));
    }

    #[test]
    fn an_acknowledged_write_after_a_failed_one_ends_it() {
        let mut c = Checker::new(1, 1);
        let a = write(&mut c);
        c.write_ended(a, false);
        let b = write(&mut c);
        c.write_ended(b, true);
        assert_eq!(read(&mut c, 1, a), Some(Wrong::Revived));
        assert_eq!(read(&mut c, 0, b), None);
    }

    #[test]
    fn foreign_bytes_are_damage() {
        let mut c = Checker::new(1, 1);
        let s = c.read_started();
        let v = c.read_done(0, 0, 0, s, &[0xEE; BLOCK]).unwrap_err();
        assert_eq!(v.wrong, Wrong::Damaged);
    }
}
