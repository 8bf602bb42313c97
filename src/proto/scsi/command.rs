//! Commands: the descriptor block in words, read and written.

use super::bytes::{get16, get32, get64, put16, put32, put64};
use super::opcodes;
use super::sense::{Sense, asc};

/// Length of a command's descriptor block.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub enum Form {
    Six,
    Ten,
    Twelve,
    Sixteen,
}

/// What READ, WRITE, VERIFY and their kin say of blocks.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Rw {
    pub form: Form,
    /// RDPROTECT, WRPROTECT or VRPROTECT.
    pub protect: u8,
    pub dpo: bool,
    pub fua: bool,
    pub lba: u64,
    pub blocks: u32,
}

/// A descriptor block of at most 16 bytes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Cdb {
    pub bytes: [u8; 16],
    pub len: usize,
}

/// A command. Lengths are ALLOCATION LENGTH (`alloc`) or PARAMETER LIST LENGTH (`len`) in bytes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Command {
    TestUnitReady,
    RequestSense {
        descriptor: bool,
        alloc: u8,
    },
    /// With a VPD page code when EVPD is set.
    Inquiry {
        page: Option<u8>,
        alloc: u16,
    },
    ReportLuns {
        select: u8,
        alloc: u32,
    },
    ReadCapacity10,
    ReadCapacity16 {
        alloc: u32,
    },
    /// `control`: 0 current, 1 changeable, 2 default, 3 saved values.
    ModeSense {
        long: bool,
        no_descriptors: bool,
        control: u8,
        page: u8,
        subpage: u8,
        alloc: u16,
    },
    ModeSelect {
        long: bool,
        format: bool,
        save: bool,
        len: u16,
    },
    Read(Rw),
    Write(Rw),
    /// Compares after writing when `compare`.
    WriteVerify {
        rw: Rw,
        compare: bool,
    },
    /// `check`, BYTCHK: 0 the medium only, 1 with the data, 3 each block with the one sent.
    Verify {
        rw: Rw,
        check: u8,
    },
    SynchronizeCache {
        form: Form,
        immed: bool,
        lba: u64,
        blocks: u32,
    },
    Prefetch {
        form: Form,
        immed: bool,
        lba: u64,
        blocks: u32,
    },
    Unmap {
        anchor: bool,
        len: u16,
    },
    /// `no_data`: NDOB, blocks of zeroes.
    WriteSame {
        rw: Rw,
        unmap: bool,
        anchor: bool,
        no_data: bool,
    },
    CompareAndWrite(Rw),
    StartStop {
        immed: bool,
        power: u8,
        no_flush: bool,
        eject: bool,
        start: bool,
    },
    ReportTargetPortGroups {
        extended: bool,
        alloc: u32,
    },
    SetTargetPortGroups {
        len: u32,
    },
    /// `options`: 0 all, 1 one opcode, 2 and 3 with a service action.
    ReportOpcodes {
        timeouts: bool,
        options: u8,
        opcode: u8,
        action: u16,
        alloc: u32,
    },
    ReportTaskFunctions {
        extended: bool,
        alloc: u32,
    },
    GetLbaStatus {
        lba: u64,
        alloc: u32,
    },
}

fn rw6(c: &[u8]) -> Rw {
    // A length of 0 means 256 blocks (SBC-3, 5.9).
    let blocks = if c[4] == 0 { 256 } else { u32::from(c[4]) };
    Rw {
        form: Form::Six,
        protect: 0,
        dpo: false,
        fua: false,
        lba: u64::from(get32(c, 0) & 0x001f_ffff),
        blocks,
    }
}

fn range(form: Form, c: &[u8]) -> (u64, u32) {
    match form {
        Form::Six => (0, 0),
        Form::Ten => (u64::from(get32(c, 2)), u32::from(get16(c, 7))),
        Form::Twelve => (u64::from(get32(c, 2)), get32(c, 6)),
        Form::Sixteen => (get64(c, 2), get32(c, 10)),
    }
}

fn rw(form: Form, c: &[u8]) -> Rw {
    let (lba, blocks) = range(form, c);
    Rw {
        form,
        protect: c[1] >> 5,
        dpo: c[1] & 0x10 != 0,
        fua: c[1] & 0x08 != 0,
        lba,
        blocks,
    }
}

const fn form_of(opcode: u8) -> Form {
    match opcode >> 5 {
        0 => Form::Six,
        1 | 2 => Form::Ten,
        4 => Form::Sixteen,
        _ => Form::Twelve,
    }
}

impl Command {
    /// Reads a descriptor block. Unknown opcodes and service actions, and NACA, are refused with
    /// the sense data that SPC wants; values of known fields are the device server's to judge.
    pub fn parse(cdb: &[u8; 16]) -> Result<Self, Sense> {
        let c = &cdb[..];
        let action = u16::from(c[1] & 0x1f);
        let Some(entry) = opcodes::find(c[0], Some(action)) else {
            return Err(if opcodes::has_actions(c[0]) {
                Sense::cdb_bit(1, 4)
            } else {
                Sense::illegal(asc::INVALID_OPCODE)
            });
        };
        // No ACA here: INQUIRY says NORMACA 0 (SAM-5, 5.2).
        let control = entry.usage.len() - 1;
        if c[control] & 0x04 != 0 {
            return Err(Sense::cdb_bit(control as u16, 2));
        }
        let form = form_of(c[0]);
        let rw = || rw(form, c);
        let check = c[1] >> 1 & 3;
        Ok(match c[0] {
            0x00 => Self::TestUnitReady,
            0x03 => Self::RequestSense {
                descriptor: c[1] & 1 != 0,
                alloc: c[4],
            },
            0x12 => {
                if c[1] & 1 == 0 && c[2] != 0 {
                    return Err(Sense::cdb_field(2));
                }
                Self::Inquiry {
                    page: (c[1] & 1 != 0).then_some(c[2]),
                    alloc: get16(c, 3),
                }
            }
            0xa0 => Self::ReportLuns {
                select: c[2],
                alloc: get32(c, 6),
            },
            0x25 => Self::ReadCapacity10,
            0x1a | 0x5a => Self::ModeSense {
                long: c[0] == 0x5a,
                no_descriptors: c[1] & 0x08 != 0,
                control: c[2] >> 6,
                page: c[2] & 0x3f,
                subpage: c[3],
                alloc: if c[0] == 0x5a {
                    get16(c, 7)
                } else {
                    u16::from(c[4])
                },
            },
            0x15 | 0x55 => Self::ModeSelect {
                long: c[0] == 0x55,
                format: c[1] & 0x10 != 0,
                save: c[1] & 0x01 != 0,
                len: if c[0] == 0x55 {
                    get16(c, 7)
                } else {
                    u16::from(c[4])
                },
            },
            0x08 => Self::Read(rw6(c)),
            0x0a => Self::Write(rw6(c)),
            0x28 | 0xa8 | 0x88 => Self::Read(rw()),
            0x2a | 0xaa | 0x8a => Self::Write(rw()),
            0x2e | 0xae | 0x8e => {
                if check > 1 {
                    return Err(Sense::cdb_bit(1, 2));
                }
                let rw = Rw { fua: false, ..rw() };
                Self::WriteVerify {
                    rw,
                    compare: check == 1,
                }
            }
            0x2f | 0xaf | 0x8f => {
                if check == 2 {
                    return Err(Sense::cdb_bit(1, 2));
                }
                Self::Verify {
                    rw: Rw { fua: false, ..rw() },
                    check,
                }
            }
            0x35 | 0x91 => {
                let (lba, blocks) = range(form, c);
                let immed = c[1] & 0x02 != 0;
                Self::SynchronizeCache {
                    form,
                    immed,
                    lba,
                    blocks,
                }
            }
            0x34 | 0x90 => {
                let (lba, blocks) = range(form, c);
                let immed = c[1] & 0x02 != 0;
                Self::Prefetch {
                    form,
                    immed,
                    lba,
                    blocks,
                }
            }
            0x42 => Self::Unmap {
                anchor: c[1] & 1 != 0,
                len: get16(c, 7),
            },
            0x41 | 0x93 => Self::WriteSame {
                rw: Rw {
                    dpo: false,
                    fua: false,
                    ..rw()
                },
                anchor: c[1] & 0x10 != 0,
                unmap: c[1] & 0x08 != 0,
                no_data: c[0] == 0x93 && c[1] & 0x01 != 0,
            },
            0x89 => Self::CompareAndWrite(Rw {
                blocks: u32::from(c[13]),
                ..rw()
            }),
            0x1b => Self::StartStop {
                immed: c[1] & 1 != 0,
                power: c[4] >> 4,
                no_flush: c[4] & 0x04 != 0,
                eject: c[4] & 0x02 != 0,
                start: c[4] & 0x01 != 0,
            },
            0x9e if action == 0x10 => Self::ReadCapacity16 {
                alloc: get32(c, 10),
            },
            0x9e => Self::GetLbaStatus {
                lba: get64(c, 2),
                alloc: get32(c, 10),
            },
            0xa3 if action == 0x0a => Self::ReportTargetPortGroups {
                extended: c[1] >> 5 == 1,
                alloc: get32(c, 6),
            },
            0xa3 if action == 0x0c => Self::ReportOpcodes {
                timeouts: c[2] & 0x80 != 0,
                options: c[2] & 7,
                opcode: c[3],
                action: get16(c, 4),
                alloc: get32(c, 6),
            },
            0xa3 => Self::ReportTaskFunctions {
                extended: c[2] & 0x80 != 0,
                alloc: get32(c, 6),
            },
            0xa4 => Self::SetTargetPortGroups { len: get32(c, 6) },
            _ => return Err(Sense::illegal(asc::INVALID_OPCODE)),
        })
    }

    /// Writes the descriptor block.
    pub fn cdb(&self) -> Cdb {
        let mut b = [0; 16];
        self.fill(&mut b);
        let len = opcodes::cdb_len(b[0]);
        Cdb { bytes: b, len }
    }

    fn fill(&self, b: &mut [u8; 16]) {
        match *self {
            Self::TestUnitReady => {}
            Self::RequestSense { descriptor, alloc } => {
                b[0] = 0x03;
                b[1] = u8::from(descriptor);
                b[4] = alloc;
            }
            Self::Inquiry { page, alloc } => {
                b[0] = 0x12;
                b[1] = u8::from(page.is_some());
                b[2] = page.unwrap_or(0);
                put16(b, 3, alloc);
            }
            Self::ReportLuns { select, alloc } => {
                b[0] = 0xa0;
                b[2] = select;
                put32(b, 6, alloc);
            }
            Self::ReadCapacity10 => b[0] = 0x25,
            Self::ReadCapacity16 { alloc } => {
                b[0] = 0x9e;
                b[1] = 0x10;
                put32(b, 10, alloc);
            }
            Self::ModeSense {
                long,
                no_descriptors,
                control,
                page,
                subpage,
                alloc,
            } => {
                b[0] = if long { 0x5a } else { 0x1a };
                b[1] = u8::from(no_descriptors) << 3;
                b[2] = control << 6 | page & 0x3f;
                b[3] = subpage;
                put_len(b, long, alloc);
            }
            Self::ModeSelect {
                long,
                format,
                save,
                len,
            } => {
                b[0] = if long { 0x55 } else { 0x15 };
                b[1] = u8::from(format) << 4 | u8::from(save);
                put_len(b, long, len);
            }
            Self::Read(rw) => put_rw(b, [0x08, 0x28, 0xa8, 0x88], &rw),
            Self::Write(rw) => put_rw(b, [0x0a, 0x2a, 0xaa, 0x8a], &rw),
            Self::WriteVerify { rw, compare } => {
                put_rw(b, [0x2e, 0x2e, 0xae, 0x8e], &rw);
                b[1] |= u8::from(compare) << 1;
            }
            Self::Verify { rw, check } => {
                put_rw(b, [0x2f, 0x2f, 0xaf, 0x8f], &rw);
                b[1] |= (check & 3) << 1;
            }
            Self::SynchronizeCache {
                form,
                immed,
                lba,
                blocks,
            } => {
                b[0] = if form == Form::Sixteen { 0x91 } else { 0x35 };
                b[1] = u8::from(immed) << 1;
                put_range(b, form, lba, blocks);
            }
            Self::Prefetch {
                form,
                immed,
                lba,
                blocks,
            } => {
                b[0] = if form == Form::Sixteen { 0x90 } else { 0x34 };
                b[1] = u8::from(immed) << 1;
                put_range(b, form, lba, blocks);
            }
            Self::Unmap { anchor, len } => {
                b[0] = 0x42;
                b[1] = u8::from(anchor);
                put16(b, 7, len);
            }
            Self::WriteSame {
                rw,
                unmap,
                anchor,
                no_data,
            } => {
                put_rw(b, [0x41, 0x41, 0x41, 0x93], &rw);
                b[1] = rw.protect << 5
                    | u8::from(anchor) << 4
                    | u8::from(unmap) << 3
                    | u8::from(no_data && rw.form == Form::Sixteen);
            }
            Self::CompareAndWrite(rw) => {
                b[0] = 0x89;
                b[1] = flags(&rw);
                put64(b, 2, rw.lba);
                b[13] = rw.blocks as u8;
            }
            Self::StartStop {
                immed,
                power,
                no_flush,
                eject,
                start,
            } => {
                b[0] = 0x1b;
                b[1] = u8::from(immed);
                b[4] =
                    power << 4 | u8::from(no_flush) << 2 | u8::from(eject) << 1 | u8::from(start);
            }
            Self::ReportTargetPortGroups { extended, alloc } => {
                b[0] = 0xa3;
                b[1] = u8::from(extended) << 5 | 0x0a;
                put32(b, 6, alloc);
            }
            Self::SetTargetPortGroups { len } => {
                b[0] = 0xa4;
                b[1] = 0x0a;
                put32(b, 6, len);
            }
            Self::ReportOpcodes {
                timeouts,
                options,
                opcode,
                action,
                alloc,
            } => {
                b[0] = 0xa3;
                b[1] = 0x0c;
                b[2] = u8::from(timeouts) << 7 | options & 7;
                b[3] = opcode;
                put16(b, 4, action);
                put32(b, 6, alloc);
            }
            Self::ReportTaskFunctions { extended, alloc } => {
                b[0] = 0xa3;
                b[1] = 0x0d;
                b[2] = u8::from(extended) << 7;
                put32(b, 6, alloc);
            }
            Self::GetLbaStatus { lba, alloc } => {
                b[0] = 0x9e;
                b[1] = 0x12;
                put64(b, 2, lba);
                put32(b, 10, alloc);
            }
        }
    }
}

fn put_len(b: &mut [u8; 16], long: bool, len: u16) {
    if long {
        put16(b, 7, len);
    } else {
        b[4] = len.min(255) as u8;
    }
}

fn flags(rw: &Rw) -> u8 {
    rw.protect << 5 | u8::from(rw.dpo) << 4 | u8::from(rw.fua) << 3
}

/// Opcodes by form: 6, 10, 12, 16.
fn put_rw(b: &mut [u8; 16], opcodes: [u8; 4], rw: &Rw) {
    if rw.form == Form::Six {
        put32(b, 0, rw.lba as u32 & 0x001f_ffff);
        b[0] = opcodes[0];
        // 256 blocks are written as 0.
        b[4] = rw.blocks as u8;
        return;
    }
    b[0] = match rw.form {
        Form::Six | Form::Ten => opcodes[1],
        Form::Twelve => opcodes[2],
        Form::Sixteen => opcodes[3],
    };
    b[1] = flags(rw);
    put_range(b, rw.form, rw.lba, rw.blocks);
}

fn put_range(b: &mut [u8; 16], form: Form, lba: u64, blocks: u32) {
    match form {
        Form::Six => {}
        Form::Ten => {
            put32(b, 2, lba as u32);
            put16(b, 7, blocks as u16);
        }
        Form::Twelve => {
            put32(b, 2, lba as u32);
            put32(b, 6, blocks);
        }
        Form::Sixteen => {
            put64(b, 2, lba);
            put32(b, 10, blocks);
        }
    }
}
