//! Asymmetric Namespace Access log, LID 0Ch (Base 2.3 clause 5.2.12.1.13).
//!
//! Header, 16 bytes: 0–7 CHGCNT, 8–9 NGD number of groups. Then per group a descriptor, 32 bytes:
//! 0–3 AGID, 4–7 NNV number of NSIDs, 8–15 CHGCNT, 16 state in bits 3:0; then NNV × 4 bytes NSIDs.
//! With LSP bit 0 (RGO, groups only) every NNV is 0.

use super::bytes::{get16, get32, get64, need_mut, put16, put32, put64};
use super::error::{CodecError, Result};
use super::log::{GetLogPage, Lid};

/// Bytes of the header.
pub const ANA_HEADER_LEN: usize = 16;
/// Bytes of a group descriptor without its NSIDs.
pub const ANA_GROUP_LEN: usize = 32;
/// LSP bit 0: return groups only.
pub const ANA_LSP_GROUPS_ONLY: u8 = 1;

/// ANA state of a group on this controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnaState {
    /// 1h: best way to the namespace.
    Optimized = 0x1,
    /// 2h: works, with less.
    NonOptimized = 0x2,
    /// 3h: does not work now.
    Inaccessible = 0x3,
    /// 4h: will not work again.
    PersistentLoss = 0x4,
    /// Fh: between two states, for ANATT seconds at most.
    Change = 0xf,
}

impl AnaState {
    /// From the low four bits; the rest of the byte is reserved.
    pub const fn from_raw(raw: u8) -> Result<Self> {
        Ok(match raw & 0xf {
            0x1 => Self::Optimized,
            0x2 => Self::NonOptimized,
            0x3 => Self::Inaccessible,
            0x4 => Self::PersistentLoss,
            0xf => Self::Change,
            value => {
                return Err(CodecError::BadValue {
                    field: "ANA state",
                    value: value as u64,
                });
            }
        })
    }

    /// The value on the wire.
    pub const fn to_raw(self) -> u8 {
        self as u8
    }
}

/// A group descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnaGroup {
    /// Group identifier, not 0.
    pub grpid: u32,
    /// NSIDs that follow.
    pub nsids: u32,
    /// Change count of the group.
    pub chgcnt: u64,
    /// State.
    pub state: AnaState,
}

/// What the parser has come across.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnaItem {
    /// The header: first, once.
    Header {
        /// Change count of the log.
        chgcnt: u64,
        /// Groups that follow.
        groups: u16,
    },
    /// A group; its NSIDs come next.
    Group(AnaGroup),
    /// An NSID of the last group.
    Namespace {
        /// The group.
        group: AnaGroup,
        /// The namespace.
        nsid: u32,
    },
}

/// Bounds on what a controller may report; beyond them the log is refused as `TooLong`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnaLimits {
    /// Most groups: NANAGRPID of Identify Controller, or what we are willing to keep.
    pub groups: u16,
    /// Most NSIDs of all groups together.
    pub nsids: u32,
    /// Largest group identifier: ANAGRPMAX.
    pub grpid: u32,
}

/// Reads an ANA log that comes in consecutive pieces of any size. Keeps no more than one
/// unfinished descriptor: whoever wants the groups collects the items.
#[derive(Clone, Debug)]
pub struct AnaLogParser {
    limits: AnaLimits,
    state: State,
    /// Bytes fed so far, whole items and parts; the LPO to go on from.
    offset: u64,
    /// NSIDs announced so far.
    nsids: u32,
    /// The front of an item that did not fit the last piece.
    part: [u8; ANA_GROUP_LEN],
    part_len: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Header,
    /// Before a group descriptor, this many to come (at least one).
    Group(u16),
    /// Among the NSIDs of a group: NSIDs to come (at least one), groups to come after it.
    Nsids(AnaGroup, u32, u16),
    Done,
    Failed(CodecError),
}

impl State {
    const fn item_len(&self) -> usize {
        match self {
            Self::Header => ANA_HEADER_LEN,
            Self::Group(_) => ANA_GROUP_LEN,
            Self::Nsids(..) => 4,
            Self::Done | Self::Failed(_) => 0,
        }
    }

    /// Before the next group, or at the end.
    const fn group_or_done(groups: u16) -> Self {
        if groups == 0 {
            Self::Done
        } else {
            Self::Group(groups)
        }
    }
}

impl AnaLogParser {
    /// At the front of a log.
    pub const fn new(limits: AnaLimits) -> Self {
        let part = [0; ANA_GROUP_LEN];
        Self {
            limits,
            state: State::Header,
            offset: 0,
            nsids: 0,
            part,
            part_len: 0,
        }
    }

    /// Takes the next piece and hands over the items it completes; `true` once the log is whole.
    /// Bytes after its end are ignored. After an error every call answers the same error.
    pub fn feed(&mut self, mut piece: &[u8], mut item: impl FnMut(AnaItem)) -> Result<bool> {
        loop {
            match self.state {
                State::Done => return Ok(true),
                State::Failed(e) => return Err(e),
                State::Header | State::Group(_) | State::Nsids(..) => {}
            }
            let take = (self.state.item_len() - self.part_len).min(piece.len());
            let (front, rest) = piece.split_at(take);
            self.part[self.part_len..self.part_len + take].copy_from_slice(front);
            self.part_len += take;
            self.offset += take as u64;
            piece = rest;
            if self.part_len < self.state.item_len() {
                return Ok(false);
            }
            self.part_len = 0;
            match self.step() {
                Ok(found) => item(found),
                Err(e) => self.state = State::Failed(e),
            }
        }
    }

    /// Bytes of the log taken so far: where the next piece starts.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Checks that the log came to its end.
    pub const fn finish(&self) -> Result<()> {
        match self.state {
            State::Done => Ok(()),
            State::Failed(e) => Err(e),
            State::Header | State::Group(_) | State::Nsids(..) => {
                let missing = self.state.item_len() - self.part_len;
                let got = self.offset as usize;
                Err(CodecError::Truncated {
                    need: got.saturating_add(missing),
                    got,
                })
            }
        }
    }

    /// Interprets the item in `part`, which is whole.
    fn step(&mut self) -> Result<AnaItem> {
        let b = &self.part;
        match self.state {
            State::Header => {
                let (chgcnt, groups) = (get64(b, 0), get16(b, 8));
                too_long("ANA groups", groups.into(), self.limits.groups.into())?;
                self.state = State::group_or_done(groups);
                Ok(AnaItem::Header { chgcnt, groups })
            }
            State::Group(groups) => {
                let group = AnaGroup {
                    grpid: get32(b, 0),
                    nsids: get32(b, 4),
                    chgcnt: get64(b, 8),
                    state: AnaState::from_raw(b[16])?,
                };
                if group.grpid == 0 || group.grpid > self.limits.grpid {
                    let value = u64::from(group.grpid);
                    return Err(CodecError::BadValue {
                        field: "ANA group",
                        value,
                    });
                }
                self.nsids = self.nsids.saturating_add(group.nsids);
                too_long("ANA NSIDs", self.nsids, self.limits.nsids)?;
                self.state = match group.nsids {
                    0 => State::group_or_done(groups - 1),
                    nsids => State::Nsids(group, nsids, groups - 1),
                };
                Ok(AnaItem::Group(group))
            }
            State::Nsids(group, nsids, groups) => {
                self.state = match nsids - 1 {
                    0 => State::group_or_done(groups),
                    nsids => State::Nsids(group, nsids, groups),
                };
                Ok(AnaItem::Namespace {
                    group,
                    nsid: get32(b, 0),
                })
            }
            State::Failed(e) => Err(e),
            State::Done => unreachable!("feed() stops at the end of the log"),
        }
    }
}

fn too_long(field: &'static str, len: u32, max: u32) -> Result<()> {
    if len > max {
        return Err(CodecError::TooLong {
            field,
            len: len as usize,
            max: max as usize,
        });
    }
    Ok(())
}

/// Writes an ANA log group by group. A controller that serves pieces of the log writes it whole
/// and cuts.
#[derive(Debug)]
pub struct AnaLogWriter<'a> {
    buf: &'a mut [u8],
    len: usize,
    groups: u16,
}

impl<'a> AnaLogWriter<'a> {
    /// Starts a log in `buf` with the header.
    pub fn new(buf: &'a mut [u8], chgcnt: u64) -> Result<Self> {
        put64(need_mut::<ANA_HEADER_LEN>(buf)?, 0, chgcnt);
        Ok(Self {
            buf,
            len: ANA_HEADER_LEN,
            groups: 0,
        })
    }

    /// Adds a group with its NSIDs. On an error the log is as it was before.
    pub fn group(
        &mut self,
        grpid: u32,
        chgcnt: u64,
        state: AnaState,
        nsids: impl IntoIterator<Item = u32>,
    ) -> Result<()> {
        let Some(groups) = self.groups.checked_add(1) else {
            let max = usize::from(u16::MAX);
            return Err(CodecError::TooLong {
                field: "ANA groups",
                len: max + 1,
                max,
            });
        };
        let got = self.buf.len() - self.len;
        let full = |need| CodecError::Truncated { need, got };
        let rest = &mut self.buf[self.len..];
        put32(need_mut::<ANA_GROUP_LEN>(rest)?, 0, grpid);
        put64(rest, 8, chgcnt);
        rest[16] = state.to_raw();
        let mut len = ANA_GROUP_LEN;
        let mut count = 0u32;
        for nsid in nsids {
            let Some(slot) = rest.get_mut(len..len + 4) else {
                return Err(full(len + 4));
            };
            put32(slot, 0, nsid);
            len += 4;
            count += 1;
        }
        put32(rest, 4, count);
        self.len += len;
        self.groups = groups;
        Ok(())
    }

    /// Completes the header; returns the length of the log in bytes.
    pub fn finish(self) -> usize {
        put16(self.buf, 8, self.groups);
        self.len
    }
}

/// Get Log Page for a piece of the ANA log, `len` bytes from `offset`. RAE is set: clear it for the
/// last piece, so that the next change is told again.
pub const fn get_ana_log(offset: u64, len: u32) -> GetLogPage {
    GetLogPage::new(Lid::ANA, len)
        .with_rae(true)
        .with_offset(offset)
}
