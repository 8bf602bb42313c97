//! The checker: what may a read return?
//!
//! Every 512 bytes (a *unit*) of a write carry a stamp with a version that counts up per unit.
//! A table holds, per unit, the oldest and the newest version a read may return:
//!
//! - A write that is handed in raises the newest; when it is acknowledged, the oldest too. So a
//!   read beside a write may see either, and a read after the acknowledgement only the new one.
//! - A write that fails leaves both: it may have been done or not.
//! - A read is judged by the oldest version as of its *submission* (what was acknowledged later
//!   need not have been seen) and by the newest as of its *completion*.
//! - With [`Rules::monotonic_reads`], a version that a read returned becomes the oldest for all
//!   reads submitted from then on. That holds on every device which does not lose what it has
//!   shown; it is what catches an old write landing on top of one not yet acknowledged.
//! - With [`Rules::failures_settle`], a read while nothing is being written pins the unit: a
//!   failed write that was not there may not appear later. That is the promise of a fence that
//!   rests on proof, and false where it rests on an assumption.
//!
//! - With [`Rules::tears_beside_writes`], a unit that is a mixture of versions which the read may
//!   return is counted as torn, not as wrong. SBC asks no more of a device while a write is under
//!   way, and a target that serves a file through the page cache does tear (ext4 copies a read and
//!   a write of one block at once). Whatever is not, byte by byte, of those versions is damage.
//!
//! Two writes of one unit are never outstanding at once; whoever generates I/O asks
//! [`Verifier::may_write`] first. The outcome of overlapping writes is undefined on any device,
//! so allowing them would only widen what must be accepted. The races that multipath adds (an
//! old write resent or delivered after a newer one was acknowledged) come from writes in
//! sequence, and those are judged exactly.
//!
//! No clock, no thread, no randomness: it is told what happened in the order it happened, so the
//! simulator uses it as it is.

mod miscompare;
mod stamp;
#[cfg(test)]
mod tests;

pub use miscompare::{Miscompare, Why};
pub use stamp::{Content, Stamp, UNIT};

use super::spec::Rules;

/// Miscompares kept in detail; all are counted.
pub const KEPT: usize = 16;

/// Set in [`Seen::next`] while a write is outstanding.
const WRITING: u32 = 1 << 31;

/// No path known.
const NO_PATH: u16 = u16::MAX;

/// What is known of one unit.
#[derive(Copy, Clone, Debug)]
struct Unit {
    /// Oldest version that a read submitted now may return; 0 is the initial content.
    oldest: u32,
    /// Newest version that a read completed now may return.
    newest: u32,
    /// Last version given out, with `WRITING` while it is outstanding.
    next: u32,
    /// Path that carried the last acknowledged write.
    path: u16,
}

/// What was known of a unit when a read was submitted.
#[derive(Copy, Clone, Debug, Default)]
pub struct Seen {
    oldest: u32,
    next: u32,
}

/// The table of one LUN (or part of one) in one run.
#[derive(Debug)]
pub struct Verifier {
    run: u64,
    rules: Rules,
    /// First unit under verification.
    first: u64,
    units_per_block: u32,
    units: Vec<Unit>,
    writes: u64,
    miscompares: u64,
    checked: u64,
    torn: u64,
    kept: Vec<Miscompare>,
}

impl Verifier {
    /// For `blocks` logical blocks of `block_size` bytes from `first_block`.
    pub fn new(run: u64, rules: Rules, block_size: u32, first_block: u64, blocks: u64) -> Self {
        assert!(
            block_size as usize >= UNIT && (block_size as usize).is_multiple_of(UNIT),
            "a logical block is a multiple of 512 bytes"
        );
        let units_per_block = block_size / UNIT as u32;
        let count = usize::try_from(blocks * u64::from(units_per_block))
            .expect("the size of a verified range is checked when the workload is made");
        let unit = Unit {
            oldest: 0,
            newest: 0,
            next: 0,
            path: NO_PATH,
        };
        Self {
            run,
            rules,
            first: first_block * u64::from(units_per_block),
            units_per_block,
            units: vec![unit; count],
            writes: 0,
            miscompares: 0,
            checked: 0,
            torn: 0,
            kept: Vec::with_capacity(KEPT),
        }
    }

    fn range(&self, lba: u64, blocks: u32) -> std::ops::Range<usize> {
        let from = (lba * u64::from(self.units_per_block))
            .checked_sub(self.first)
            .expect("an I/O lies inside the verified range") as usize;
        let to = from + (blocks * self.units_per_block) as usize;
        assert!(
            to <= self.units.len(),
            "an I/O lies inside the verified range"
        );
        from..to
    }

    /// Units in so many blocks: the room a read's `Seen` list needs.
    pub fn units_in(&self, blocks: u32) -> usize {
        (blocks * self.units_per_block) as usize
    }

    /// Whether no write of these blocks is outstanding.
    pub fn may_write(&self, lba: u64, blocks: u32) -> bool {
        let range = self.range(lba, blocks);
        self.units[range].iter().all(|u| u.next & WRITING == 0)
    }

    /// Whether any of these blocks was ever handed in for writing.
    pub fn was_written(&self, lba: u64, blocks: u32) -> bool {
        let range = self.range(lba, blocks);
        self.units[range].iter().any(|u| u.next != 0)
    }

    /// Stamps the payload of a write that is about to be handed in.
    pub fn write_started(&mut self, lba: u64, blocks: u32, data: &mut [u8]) {
        let range = self.range(lba, blocks);
        assert!(data.len() == range.len() * UNIT, "payload fits its range");
        self.writes += 1;
        let first = self.first;
        let parts = data.chunks_exact_mut(UNIT);
        for ((offset, index), part) in range.enumerate().zip(parts) {
            let unit = &mut self.units[index];
            assert!(unit.next & WRITING == 0, "one write of a unit at a time");
            assert!(unit.next < WRITING - 1, "versions of a unit are used up");
            unit.next += 1;
            unit.newest = unit.next;
            Stamp {
                run: self.run,
                unit: first + index as u64,
                version: unit.next,
                offset: offset as u32,
                write: self.writes,
            }
            .put(part);
            unit.next |= WRITING;
        }
    }

    /// A write came back: acknowledged, or failed with its outcome unknown. Every failure counts
    /// as unknown, for a large write is split, and parts of it may have been done.
    pub fn write_done(&mut self, lba: u64, blocks: u32, acknowledged: bool, path: u16) {
        let range = self.range(lba, blocks);
        for unit in &mut self.units[range] {
            assert!(unit.next & WRITING != 0, "a write ends once");
            unit.next &= !WRITING;
            if acknowledged {
                unit.oldest = unit.next;
                assert!(unit.newest == unit.next, "nothing newer was handed in");
                unit.path = path;
            }
        }
    }

    /// Notes what a read that is about to be handed in may not fall behind. `seen` is emptied.
    pub fn read_started(&self, lba: u64, blocks: u32, seen: &mut Vec<Seen>) {
        let range = self.range(lba, blocks);
        seen.clear();
        seen.extend(self.units[range].iter().map(|u| Seen {
            oldest: u.oldest,
            next: u.next,
        }));
    }

    /// Judges what a successful read returned. A failed read is not shown here.
    pub fn read_done(&mut self, lba: u64, blocks: u32, seen: &[Seen], data: &[u8], path: u16) {
        let range = self.range(lba, blocks);
        assert!(seen.len() == range.len(), "noted when it was handed in");
        assert!(data.len() == range.len() * UNIT, "payload fits its range");
        self.checked += seen.len() as u64;
        let mut bad = 0;
        let mut kept = None;
        for ((index, seen), part) in range.zip(seen).zip(data.chunks_exact(UNIT)) {
            let content = Content::of(part);
            let unit = &mut self.units[index];
            let at = self.first + index as u64;
            match judge(self.run, self.rules, at, unit, *seen, &content) {
                Ok(version) => learn(self.rules, unit, *seen, version),
                // A mixture teaches nothing: the old part may have been read before the new one
                // was written, or after.
                Err(_)
                    if self.rules.tears_beside_writes
                        && stamp::is_mixture(
                            part,
                            self.run,
                            at,
                            seen.oldest..=unit.newest,
                            self.rules.fresh,
                        ) =>
                {
                    self.torn += 1;
                }
                Err(why) => {
                    bad += 1;
                    if kept.is_none() && self.kept.len() < KEPT {
                        kept = Some(self.kept.len());
                        self.kept.push(Miscompare {
                            lba: at / u64::from(self.units_per_block),
                            unit: at,
                            why,
                            found: content,
                            oldest: seen.oldest,
                            newest: unit.newest,
                            units: 1,
                            writing: unit.next & WRITING != 0,
                            read_path: known(path),
                            write_path: known(unit.path),
                        });
                    }
                }
            }
        }
        if let Some(at) = kept {
            self.kept[at].units = bad;
        }
        self.miscompares += u64::from(bad);
    }

    /// Units that read wrong so far.
    pub fn miscompares(&self) -> u64 {
        self.miscompares
    }

    /// Units that have been checked so far.
    pub fn checked(&self) -> u64 {
        self.checked
    }

    /// Units that were torn beside a write, and allowed to be.
    pub fn torn(&self) -> u64 {
        self.torn
    }

    /// The first miscompares, one per read.
    pub fn details(&self) -> &[Miscompare] {
        &self.kept
    }
}

fn known(path: u16) -> Option<u16> {
    (path != NO_PATH).then_some(path)
}

/// The version that `content` stands for, or why it may not be there.
fn judge(
    run: u64,
    rules: Rules,
    at: u64,
    unit: &Unit,
    seen: Seen,
    content: &Content,
) -> Result<u32, Why> {
    let initial_allowed = seen.oldest == 0;
    match *content {
        Content::Stamped(s) if s.run == run => {
            if s.unit != at {
                Err(Why::Misplaced)
            } else if s.version < seen.oldest {
                Err(Why::Stale)
            } else if s.version > unit.newest {
                Err(Why::Impossible)
            } else {
                Ok(s.version)
            }
        }
        Content::Torn(s) if s.run == run => Err(Why::Damaged),
        Content::Zeroes if rules.fresh && initial_allowed => Ok(0),
        Content::Zeroes if rules.fresh => Err(Why::Stale),
        Content::Zeroes | Content::Foreign(_) | Content::Stamped(_) | Content::Torn(_)
            if !rules.fresh && initial_allowed =>
        {
            Ok(0)
        }
        Content::Zeroes | Content::Foreign(_) | Content::Stamped(_) | Content::Torn(_) => {
            Err(Why::Foreign)
        }
    }
}

/// Narrows what later reads may return by what this one did.
fn learn(rules: Rules, unit: &mut Unit, seen: Seen, version: u32) {
    if rules.monotonic_reads && version > unit.oldest {
        unit.oldest = version;
    }
    // Nothing was being written at submission and nothing has been handed in since.
    let quiet = seen.next & WRITING == 0 && seen.next == unit.next;
    if rules.failures_settle && quiet {
        unit.newest = version.max(unit.oldest);
        unit.oldest = unit.newest;
    }
}
