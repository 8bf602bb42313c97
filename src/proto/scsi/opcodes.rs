//! The commands that are known, and what REPORT SUPPORTED OPERATION CODES says of them.

use super::bytes::{put16, put32};
use super::sense::Sense;

/// One command: its usage map has a byte for each of the CDB, set bits being the ones that are
/// looked at (SPC-4, 6.35.3).
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) opcode: u8,
    pub(super) action: Option<u16>,
    pub(super) usage: &'static [u8],
    /// It needs an ability of the unit.
    needs: Needs,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Needs {
    Nothing,
    Unmap,
    CompareAndWrite,
    ExplicitAlua,
    Alua,
    BlockStatus,
}

/// What a unit can do beyond the plain.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Support {
    pub unmap: bool,
    pub compare_and_write: bool,
    pub alua: bool,
    pub explicit_alua: bool,
    /// GET LBA STATUS.
    pub block_status: bool,
}

impl Support {
    const fn has(&self, needs: Needs) -> bool {
        match needs {
            Needs::Nothing => true,
            Needs::Unmap => self.unmap,
            Needs::CompareAndWrite => self.compare_and_write,
            Needs::ExplicitAlua => self.explicit_alua,
            Needs::Alua => self.alua,
            Needs::BlockStatus => self.block_status,
        }
    }

    /// Whether the unit has the command of this opcode and service action.
    pub fn knows(&self, opcode: u8, action: u8) -> bool {
        find(opcode, Some(u16::from(action & 0x1f))).is_some_and(|e| self.has(e.needs))
    }
}

const fn entry(opcode: u8, usage: &'static [u8]) -> Entry {
    needing(opcode, None, usage, Needs::Nothing)
}

const fn action(opcode: u8, action: u16, usage: &'static [u8]) -> Entry {
    needing(opcode, Some(action), usage, Needs::Nothing)
}

const fn needing(opcode: u8, action: Option<u16>, usage: &'static [u8], needs: Needs) -> Entry {
    Entry {
        opcode,
        action,
        usage,
        needs,
    }
}

/// Control byte: NACA alone is looked at.
const C: u8 = 0x04;
const F: u8 = 0xff;

/// Every command, by opcode and service action.
const TABLE: &[Entry] = &[
    entry(0x00, &[0x00, 0, 0, 0, 0, C]),
    entry(0x03, &[0x03, 0x01, 0, 0, F, C]),
    entry(0x08, &[0x08, 0x1f, F, F, F, C]),
    entry(0x0a, &[0x0a, 0x1f, F, F, F, C]),
    entry(0x12, &[0x12, 0x01, F, F, F, C]),
    entry(0x15, &[0x15, 0x11, 0, 0, F, C]),
    entry(0x1a, &[0x1a, 0x08, F, F, F, C]),
    entry(0x1b, &[0x1b, 0x01, 0, 0x0f, 0xf7, C]),
    entry(0x25, &[0x25, 0, F, F, F, F, 0, 0, 0x01, C]),
    entry(0x28, &[0x28, 0xf8, F, F, F, F, 0, F, F, C]),
    entry(0x2a, &[0x2a, 0xf8, F, F, F, F, 0, F, F, C]),
    entry(0x2e, &[0x2e, 0xf6, F, F, F, F, 0, F, F, C]),
    entry(0x2f, &[0x2f, 0xf6, F, F, F, F, 0, F, F, C]),
    entry(0x34, &[0x34, 0x02, F, F, F, F, 0, F, F, C]),
    entry(0x35, &[0x35, 0x02, F, F, F, F, 0, F, F, C]),
    entry(0x41, &[0x41, 0xf8, F, F, F, F, 0, F, F, C]),
    needing(
        0x42,
        None,
        &[0x42, 0x01, 0, 0, 0, 0, 0, F, F, C],
        Needs::Unmap,
    ),
    entry(0x55, &[0x55, 0x11, 0, 0, 0, 0, 0, F, F, C]),
    entry(0x5a, &[0x5a, 0x08, F, F, 0, 0, 0, F, F, C]),
    entry(
        0x88,
        &[0x88, 0xf8, F, F, F, F, F, F, F, F, F, F, F, F, 0, C],
    ),
    needing(
        0x89,
        None,
        &[0x89, 0xf8, F, F, F, F, F, F, F, F, 0, 0, 0, F, 0, C],
        Needs::CompareAndWrite,
    ),
    entry(
        0x8a,
        &[0x8a, 0xf8, F, F, F, F, F, F, F, F, F, F, F, F, 0, C],
    ),
    entry(
        0x8e,
        &[0x8e, 0xf6, F, F, F, F, F, F, F, F, F, F, F, F, 0, C],
    ),
    entry(
        0x8f,
        &[0x8f, 0xf6, F, F, F, F, F, F, F, F, F, F, F, F, 0, C],
    ),
    entry(
        0x90,
        &[0x90, 0x02, F, F, F, F, F, F, F, F, F, F, F, F, 0, C],
    ),
    entry(
        0x91,
        &[0x91, 0x02, F, F, F, F, F, F, F, F, F, F, F, F, 0, C],
    ),
    entry(
        0x93,
        &[0x93, 0xf9, F, F, F, F, F, F, F, F, F, F, F, F, 0, C],
    ),
    action(
        0x9e,
        0x10,
        &[0x9e, 0x10, F, F, F, F, F, F, F, F, F, F, F, F, 0x01, C],
    ),
    needing(
        0x9e,
        Some(0x12),
        &[0x9e, 0x12, F, F, F, F, F, F, F, F, F, F, F, F, 0, C],
        Needs::BlockStatus,
    ),
    entry(0xa0, &[0xa0, 0, F, 0, 0, 0, F, F, F, F, 0, C]),
    needing(
        0xa3,
        Some(0x0a),
        &[0xa3, 0xea, 0, 0, 0, 0, F, F, F, F, 0, C],
        Needs::Alua,
    ),
    action(0xa3, 0x0c, &[0xa3, 0x0c, 0x87, F, F, F, F, F, F, F, 0, C]),
    action(0xa3, 0x0d, &[0xa3, 0x0d, 0x80, 0, 0, 0, F, F, F, F, 0, C]),
    needing(
        0xa4,
        Some(0x0a),
        &[0xa4, 0x0a, 0, 0, 0, 0, F, F, F, F, 0, C],
        Needs::ExplicitAlua,
    ),
    entry(0xa8, &[0xa8, 0xf8, F, F, F, F, F, F, F, F, 0, C]),
    entry(0xaa, &[0xaa, 0xf8, F, F, F, F, F, F, F, F, 0, C]),
    entry(0xae, &[0xae, 0xf6, F, F, F, F, F, F, F, F, 0, C]),
    entry(0xaf, &[0xaf, 0xf6, F, F, F, F, F, F, F, F, 0, C]),
];

/// The command of an opcode; of one with service actions, that of the action.
#[inline]
pub(super) fn find(opcode: u8, action: Option<u16>) -> Option<&'static Entry> {
    let at = TABLE.partition_point(|e| e.opcode < opcode);
    TABLE[at..]
        .iter()
        .take_while(|e| e.opcode == opcode)
        .find(|e| e.action.is_none() || e.action == action)
}

/// Commands of this opcode are told apart by a service action.
pub(super) fn has_actions(opcode: u8) -> bool {
    TABLE
        .iter()
        .any(|e| e.opcode == opcode && e.action.is_some())
}

/// Bytes of a CDB by its group code (SPC-4, 4.2.5.1).
pub(super) const fn cdb_len(opcode: u8) -> usize {
    match opcode >> 5 {
        0 => 6,
        1 | 2 => 10,
        4 => 16,
        _ => 12,
    }
}

/// A command timeouts descriptor that names no times (SPC-4, 6.35.4).
const TIMEOUTS: [u8; 12] = [0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The data of REPORT SUPPORTED OPERATION CODES.
pub fn report_opcodes(
    support: &Support,
    timeouts: bool,
    options: u8,
    opcode: u8,
    wanted: u16,
    out: &mut Vec<u8>,
) -> Result<(), Sense> {
    let start = out.len();
    let known = |e: &&Entry| support.has(e.needs);
    if options == 0 {
        out.extend_from_slice(&[0; 4]);
        for e in TABLE.iter().filter(known) {
            let [hi, lo] = e.action.unwrap_or(0).to_be_bytes();
            let flags = u8::from(timeouts) << 1 | u8::from(e.action.is_some());
            let len = e.usage.len() as u8;
            out.extend_from_slice(&[e.opcode, 0, hi, lo, 0, flags, 0, len]);
            if timeouts {
                out.extend_from_slice(&TIMEOUTS);
            }
        }
        let len = (out.len() - start - 4) as u32;
        put32(&mut out[start..], 0, len);
        return Ok(());
    }
    let actions = has_actions(opcode);
    let found = match options {
        // Asking without a service action for what has some, or the other way, is refused
        // (SPC-4, table 256).
        1 if actions => return Err(Sense::cdb_bit(2, 2)),
        1 => find(opcode, None),
        2 if !actions => return Err(Sense::cdb_bit(2, 2)),
        2 => find(opcode, Some(wanted)),
        3 if actions => find(opcode, Some(wanted)),
        3 if wanted == 0 => find(opcode, None),
        3 => None,
        _ => return Err(Sense::cdb_bit(2, 2)),
    };
    match found.filter(known) {
        // SUPPORT 001b: not supported; 011b: as the standard has it.
        None => out.extend_from_slice(&[0, 0x01, 0, 0]),
        Some(e) => {
            let flags = u8::from(timeouts) << 7 | 0x03;
            out.extend_from_slice(&[0, flags, 0, 0]);
            put16(&mut out[start..], 2, e.usage.len() as u16);
            out.extend_from_slice(e.usage);
            if timeouts {
                out.extend_from_slice(&TIMEOUTS);
            }
        }
    }
    Ok(())
}

/// The data of REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS: abort task, abort task set, clear task
/// set, logical unit reset; of the others none.
pub fn report_task_functions(extended: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xd8, 0, 0, 0]);
    if extended {
        let at = out.len() - 4;
        out[at + 3] = 0x0c;
        out.extend_from_slice(&[0; 12]);
    }
}
