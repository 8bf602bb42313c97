//! From a command to what has to be done.

use super::{
    LogicalUnit, PARAMETERS_MAX, TRANSFER_MAX, TRANSITION_S, UNMAP_BLOCKS, UNMAP_DESCRIPTORS, View,
    not_ready,
};
use crate::base::request::Op;
use crate::path::access::AccessState;
use crate::proto::scsi::{
    Command, Rw, Sense, asc, capacity10, capacity16, mode_sense, put_target_port_groups,
    read_mode_select, read_set_target_port_groups, read_unmap, report_luns, report_opcodes,
    report_task_functions,
};

/// I/O that a command asks for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct IoPlan {
    pub op: Op,
    pub fua: bool,
    pub lba: u64,
    pub blocks: u32,
    /// Payload between initiator and unit.
    pub bytes: u32,
    /// The one block sent stands for each of the range.
    pub repeat: bool,
    /// Read again and compared after writing.
    pub verify: bool,
}

/// What a command comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Plan {
    /// GOOD, with the parameter data that was written to `out`.
    Data,
    Good,
    Refused(Sense),
    /// A parameter list of that many bytes is to be fetched, and given to `parameters`.
    Parameters(u32),
    Io(IoPlan),
    /// UNMAP of these blocks.
    Unmap(Vec<(u64, u32)>),
    /// Port groups to be brought to states, as SET TARGET PORT GROUPS says.
    SetGroups(Vec<(u16, AccessState)>),
    /// The mode parameters changed: others are to be told.
    ModeChanged,
}

impl LogicalUnit {
    /// What a command asks for, seen through a port. Parameter data goes to `out`, cut to the
    /// allocation length.
    pub fn plan(&self, command: &Command, view: &View<'_>, out: &mut Vec<u8>) -> Plan {
        out.clear();
        match self.decide(command, view, out) {
            Ok(plan) => plan,
            Err(sense) => Plan::Refused(sense),
        }
    }

    fn decide(&self, c: &Command, view: &View<'_>, out: &mut Vec<u8>) -> Result<Plan, Sense> {
        let cdb = c.cdb();
        if !self.support().knows(cdb.bytes[0], cdb.bytes[1]) {
            return Err(match cdb.bytes[0] {
                0x9e | 0xa3 | 0xa4 => Sense::cdb_bit(1, 4),
                _ => Sense::illegal(asc::INVALID_OPCODE),
            });
        }
        let always = matches!(
            c,
            Command::Inquiry { .. }
                | Command::ReportLuns { .. }
                | Command::RequestSense { .. }
                | Command::ReportTargetPortGroups { .. }
                | Command::SetTargetPortGroups { .. }
                | Command::ReportOpcodes { .. }
                | Command::ReportTaskFunctions { .. }
        );
        // Mode parameters are to be had in standby as well (SPC-4, 5.15.2.4.4).
        let in_standby = view.access == AccessState::Standby
            && matches!(c, Command::ModeSense { .. } | Command::ModeSelect { .. });
        if !always && !in_standby {
            if !view.access.usable_now() {
                return Err(not_ready(view.access));
            }
            if self.geometry.is_none() {
                return Err(not_ready(AccessState::Unavailable));
            }
        }
        let block_size = self.geometry.as_ref().map_or(512, |g| g.block_size);
        let blocks = self.geometry.as_ref().map_or(0, |g| g.blocks);
        let data = |out: &mut Vec<u8>, alloc: u32| {
            out.truncate(alloc as usize);
            Ok(if out.is_empty() {
                Plan::Good
            } else {
                Plan::Data
            })
        };
        match *c {
            Command::TestUnitReady => Ok(Plan::Good),
            Command::RequestSense { descriptor, alloc } => {
                let mut room = [0; Sense::MAX];
                let none = Sense::new(crate::proto::scsi::Key::NoSense, asc::NONE);
                let n = none.emit(descriptor, &mut room);
                out.extend_from_slice(&room[..n]);
                data(out, alloc.into())
            }
            Command::Inquiry { page: None, alloc } => {
                self.inquiry(out);
                data(out, alloc.into())
            }
            Command::Inquiry {
                page: Some(p),
                alloc,
            } => {
                self.page(p, view, out)?;
                data(out, alloc.into())
            }
            Command::ReportLuns { select, alloc } => {
                if alloc < 16 {
                    return Err(Sense::cdb_field(6));
                }
                match select {
                    0 | 2 => report_luns(view.luns.iter().copied(), out),
                    // Well known units only: there are none.
                    1 => report_luns(std::iter::empty(), out),
                    _ => return Err(Sense::cdb_field(2)),
                }
                data(out, alloc)
            }
            Command::ReadCapacity10 => {
                out.extend_from_slice(&capacity10(blocks, block_size));
                Ok(Plan::Data)
            }
            Command::ReadCapacity16 { alloc } => {
                let thin = self.support().unmap;
                out.extend_from_slice(&capacity16(blocks, block_size, thin, false));
                data(out, alloc)
            }
            Command::ModeSense {
                long,
                no_descriptors,
                control,
                page,
                subpage,
                alloc,
            } => {
                let m = self.mode_pages();
                mode_sense(&m, long, no_descriptors, control, page, subpage, out)?;
                data(out, alloc.into())
            }
            Command::ModeSelect {
                format, save, len, ..
            } => {
                if !format {
                    return Err(Sense::cdb_bit(1, 4));
                }
                if save {
                    return Err(Sense::cdb_bit(1, 0));
                }
                fetch(len.into(), 0, PARAMETERS_MAX)
            }
            Command::ReportTargetPortGroups { extended, alloc } => {
                put_target_port_groups(&view.groups, extended, TRANSITION_S, out);
                data(out, alloc)
            }
            Command::SetTargetPortGroups { len } => fetch(len, 6, PARAMETERS_MAX),
            Command::ReportOpcodes {
                timeouts,
                options,
                opcode,
                action,
                alloc,
            } => {
                report_opcodes(&self.support(), timeouts, options, opcode, action, out)?;
                data(out, alloc)
            }
            Command::ReportTaskFunctions { extended, alloc } => {
                if alloc < 4 {
                    return Err(Sense::cdb_field(6));
                }
                report_task_functions(extended, out);
                data(out, alloc)
            }
            Command::Read(rw) => self.transfer(Op::Read, &rw),
            Command::Write(rw) => self.transfer(Op::Write, &rw),
            Command::WriteVerify { rw, compare } => {
                let known = self.geometry.as_ref().is_some_and(|g| g.compare);
                if compare && !known {
                    return Err(Sense::cdb_bit(1, 2));
                }
                let plan = self.transfer(Op::Write, &rw)?;
                Ok(match plan {
                    Plan::Io(io) => Plan::Io(IoPlan {
                        fua: true,
                        verify: compare,
                        ..io
                    }),
                    other => other,
                })
            }
            Command::Verify { rw, check } => self.verify(&rw, check),
            Command::SynchronizeCache { lba, blocks: n, .. } => {
                self.range(lba, n)?;
                Ok(Plan::Io(flush()))
            }
            Command::Prefetch { lba, blocks: n, .. } => {
                self.range(lba, n)?;
                Ok(Plan::Good)
            }
            Command::Unmap { anchor, len } => {
                if anchor {
                    return Err(Sense::cdb_bit(1, 0));
                }
                fetch(len.into(), 7, PARAMETERS_MAX)
            }
            Command::WriteSame {
                rw,
                anchor,
                unmap,
                no_data,
            } => self.write_same(&rw, anchor, unmap, no_data),
            Command::CompareAndWrite(rw) => {
                protection(&rw)?;
                if rw.blocks > self.compare_max() {
                    return Err(Sense::cdb_field(13));
                }
                self.range(rw.lba, rw.blocks)?;
                if rw.blocks == 0 {
                    return Ok(Plan::Good);
                }
                Ok(Plan::Io(IoPlan {
                    op: Op::CompareAndWrite,
                    fua: rw.fua,
                    lba: rw.lba,
                    blocks: rw.blocks,
                    bytes: 2 * rw.blocks * block_size,
                    repeat: false,
                    verify: false,
                }))
            }
            Command::StartStop {
                power,
                eject,
                start,
                no_flush,
                ..
            } => {
                // A disk that is always on: nothing to eject, and stopping it is a flush.
                if eject {
                    return Err(Sense::cdb_bit(4, 1));
                }
                if power != 0 || start || no_flush {
                    return Ok(Plan::Good);
                }
                Ok(Plan::Io(flush()))
            }
            Command::GetLbaStatus { .. } => Err(Sense::cdb_bit(1, 4)),
        }
    }

    /// The range lies within the unit.
    fn range(&self, lba: u64, blocks: u32) -> Result<(), Sense> {
        let max = self.geometry.as_ref().map_or(0, |g| g.blocks);
        match lba.checked_add(u64::from(blocks)) {
            Some(end) if end <= max => Ok(()),
            _ => Err(Sense::illegal(asc::LBA_OUT_OF_RANGE)),
        }
    }

    fn block_size(&self) -> u32 {
        self.geometry.as_ref().map_or(512, |g| g.block_size)
    }

    fn transfer(&self, op: Op, rw: &Rw) -> Result<Plan, Sense> {
        protection(rw)?;
        self.range(rw.lba, rw.blocks)?;
        if rw.blocks > TRANSFER_MAX / self.block_size() {
            return Err(Sense::illegal(asc::INVALID_FIELD_IN_CDB));
        }
        if rw.blocks == 0 {
            return Ok(Plan::Good);
        }
        Ok(Plan::Io(IoPlan {
            op,
            fua: rw.fua,
            lba: rw.lba,
            blocks: rw.blocks,
            bytes: rw.blocks * self.block_size(),
            repeat: false,
            verify: false,
        }))
    }

    fn verify(&self, rw: &Rw, check: u8) -> Result<Plan, Sense> {
        protection(rw)?;
        self.range(rw.lba, rw.blocks)?;
        let compare = self.geometry.as_ref().is_some_and(|g| g.compare);
        if check == 0 || rw.blocks == 0 {
            return Ok(Plan::Good);
        }
        if !compare {
            return Err(Sense::cdb_bit(1, 2));
        }
        let plan = self.transfer(Op::Compare, rw)?;
        Ok(match plan {
            Plan::Io(io) if check == 3 => Plan::Io(IoPlan {
                bytes: self.block_size(),
                repeat: true,
                ..io
            }),
            other => other,
        })
    }

    fn write_same(&self, rw: &Rw, anchor: bool, unmap: bool, no_data: bool) -> Result<Plan, Sense> {
        protection(rw)?;
        if anchor {
            return Err(Sense::cdb_bit(1, 4));
        }
        // With UNMAP blocks may be unmapped or written: written they are, and read as they should.
        if unmap && !self.support().unmap {
            return Err(Sense::cdb_bit(1, 3));
        }
        // WSNZ: the whole of the rest is not to be written by one command.
        if rw.blocks == 0 || rw.blocks > TRANSFER_MAX / self.block_size() {
            let at = if rw.form == crate::proto::scsi::Form::Ten {
                7
            } else {
                10
            };
            self.range(rw.lba, rw.blocks)?;
            return Err(Sense::cdb_field(at));
        }
        self.range(rw.lba, rw.blocks)?;
        let zeroes = self.geometry.as_ref().is_some_and(|g| g.write_zeroes);
        if no_data && !zeroes {
            return Err(Sense::cdb_bit(1, 0));
        }
        Ok(Plan::Io(IoPlan {
            op: if no_data { Op::WriteZeroes } else { Op::Write },
            fua: false,
            lba: rw.lba,
            blocks: rw.blocks,
            bytes: if no_data { 0 } else { self.block_size() },
            repeat: !no_data,
            verify: false,
        }))
    }

    /// What a command asks for once its parameter list is there.
    pub fn parameters(&mut self, command: &Command, list: &[u8], view: &View<'_>) -> Plan {
        let result = match *command {
            Command::ModeSelect { long, .. } => {
                let mut m = self.mode_pages();
                read_mode_select(list, long, &mut m).map(|changed| {
                    self.descriptor_sense = m.descriptor_sense;
                    if changed {
                        Plan::ModeChanged
                    } else {
                        Plan::Good
                    }
                })
            }
            Command::Unmap { .. } => self.unmap(list),
            Command::SetTargetPortGroups { .. } => set_groups(list, view),
            _ => Err(Sense::illegal(asc::INVALID_OPCODE)),
        };
        result.unwrap_or_else(Plan::Refused)
    }

    fn unmap(&self, list: &[u8]) -> Result<Plan, Sense> {
        let ranges = read_unmap(list, UNMAP_DESCRIPTORS as usize)?;
        // All are checked before the first is carried out.
        let mut total = 0_u64;
        for r in &ranges {
            self.range(r.lba, r.blocks)?;
            total += u64::from(r.blocks);
        }
        if total > u64::from(UNMAP_BLOCKS) {
            return Err(Sense::illegal(asc::INVALID_FIELD_IN_PARAMETERS));
        }
        let ranges = ranges.iter().filter(|r| r.blocks > 0);
        let ranges: Vec<_> = ranges.map(|r| (r.lba, r.blocks)).collect();
        Ok(if ranges.is_empty() {
            Plan::Good
        } else {
            Plan::Unmap(ranges)
        })
    }
}

const fn flush() -> IoPlan {
    IoPlan {
        op: Op::Flush,
        fua: false,
        lba: 0,
        blocks: 0,
        bytes: 0,
        repeat: false,
        verify: false,
    }
}

/// No protection information here: INQUIRY says PROTECT 0.
fn protection(rw: &Rw) -> Result<(), Sense> {
    if rw.protect == 0 {
        Ok(())
    } else {
        Err(Sense::cdb_bit(1, 7))
    }
}

/// A parameter list, of none of which nothing follows.
fn fetch(len: u32, at: u16, max: u32) -> Result<Plan, Sense> {
    match len {
        0 => Ok(Plan::Good),
        n if n > max => Err(Sense::cdb_field(at)),
        n => Ok(Plan::Parameters(n)),
    }
}

fn set_groups(list: &[u8], view: &View<'_>) -> Result<Plan, Sense> {
    let mut out = Vec::new();
    for (i, (group, state)) in read_set_target_port_groups(list)?.into_iter().enumerate() {
        let at = 4 + 4 * i as u16;
        // What can be set: not transitioning, nor states that are not supported (SPC-4, 6.45).
        let state = match state {
            0 => AccessState::Optimized,
            1 => AccessState::NonOptimized,
            2 => AccessState::Standby,
            3 => AccessState::Unavailable,
            _ => return Err(Sense::parameter(at)),
        };
        if !view.groups.iter().any(|g| g.group == group) {
            return Err(Sense::parameter(at + 2));
        }
        out.push((group, state));
    }
    Ok(if out.is_empty() {
        Plan::Good
    } else {
        Plan::SetGroups(out)
    })
}
