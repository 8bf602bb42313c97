//! NVM command set: what an I/O command asks for, and how its failure is told.

use super::view::NamespaceInfo;
use super::wire::status;
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::Op;
use crate::proto::nvme::dsm::{DSM_RANGE_LEN, DsmRange, parse_ranges};
use crate::proto::nvme::sqe::Fuse;
use crate::proto::nvme::{NvmOpcode, Sqe};

/// An I/O command that may be executed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Io {
    pub op: Op,
    pub fua: bool,
    pub lba: u64,
    pub blocks: u32,
    /// Bytes of data, in the direction of `op`.
    pub bytes: u32,
    /// Dataset Management: ranges in the data. They are only to be deallocated where `op` is
    /// `Discard`; other attributes are hints, taken and forgotten.
    pub ranges: u16,
}

/// Reads a command against its namespace; `announced` are the bytes that its SGL names.
#[inline]
pub fn decode(sqe: &Sqe, ns: &NamespaceInfo, announced: u32, transfer_max: u32) -> Result<Io, u16> {
    let op = match NvmOpcode(sqe.opcode()) {
        NvmOpcode::READ => Op::Read,
        NvmOpcode::WRITE => Op::Write,
        _ => return decode_rare(sqe, ns, announced, transfer_max),
    };
    with_data(sqe, op, ns, announced, transfer_max)
}

#[inline]
fn with_data(
    sqe: &Sqe,
    op: Op,
    ns: &NamespaceInfo,
    announced: u32,
    transfer_max: u32,
) -> Result<Io, u16> {
    let io = range(sqe, op, ns)?;
    // No overflow: at most 65536 blocks, of at most 2^15 bytes once `transfer_max` is kept.
    let bytes = u64::from(io.blocks) << ns.block_shift;
    if bytes > u64::from(transfer_max) {
        return Err(status::INVALID_FIELD);
    }
    if bytes != u64::from(announced) {
        return Err(status::DATA_SGL_LENGTH);
    }
    Ok(Io {
        bytes: announced,
        ..io
    })
}

/// SLBA, NLB and FUA, inside the namespace.
#[inline]
fn range(sqe: &Sqe, op: Op, ns: &NamespaceInfo) -> Result<Io, u16> {
    let io = Io {
        op,
        fua: sqe.fua(),
        lba: sqe.slba(),
        blocks: sqe.blocks(),
        bytes: 0,
        ranges: 0,
    };
    if sqe.fuse() != Fuse::None {
        return Err(status::INVALID_FIELD);
    }
    if !ns.is_ready() {
        return Err(status::NAMESPACE_NOT_READY);
    }
    match io.lba.checked_add(u64::from(io.blocks)) {
        Some(end) if end <= ns.blocks => Ok(io),
        _ => Err(status::LBA_RANGE),
    }
}

fn decode_rare(
    sqe: &Sqe,
    ns: &NamespaceInfo,
    announced: u32,
    transfer_max: u32,
) -> Result<Io, u16> {
    match NvmOpcode(sqe.opcode()) {
        NvmOpcode::COMPARE if ns.compare => {
            with_data(sqe, Op::Compare, ns, announced, transfer_max)
        }
        NvmOpcode::WRITE_ZEROES if ns.write_zeroes => range(sqe, Op::WriteZeroes, ns),
        NvmOpcode::FLUSH if !ns.is_ready() => Err(status::NAMESPACE_NOT_READY),
        NvmOpcode::FLUSH => Ok(Io {
            op: Op::Flush,
            fua: false,
            lba: 0,
            blocks: 0,
            bytes: 0,
            ranges: 0,
        }),
        NvmOpcode::DATASET_MANAGEMENT => {
            let ranges = sqe.dsm_ranges();
            // A host may send a whole page of ranges whatever their number.
            if (announced as usize) < ranges * DSM_RANGE_LEN || announced > 4096 {
                return Err(status::DATA_SGL_LENGTH);
            }
            let deallocate = sqe.dsm_deallocate() && ns.discard;
            Ok(Io {
                op: if deallocate { Op::Discard } else { Op::Flush },
                fua: false,
                lba: 0,
                blocks: 0,
                bytes: announced,
                ranges: ranges as u16,
            })
        }
        _ => Err(status::INVALID_OPCODE),
    }
}

/// The ranges of Dataset Management data, all of them checked.
pub fn dsm_ranges(data: &[u8], count: u16, ns: &NamespaceInfo) -> Result<Vec<DsmRange>, u16> {
    let ranges = parse_ranges(data, count.into()).map_err(|_| status::DATA_SGL_LENGTH)?;
    let ranges: Vec<DsmRange> = ranges.collect();
    if ranges
        .iter()
        .all(|r| r.end().is_some_and(|e| e <= ns.blocks))
    {
        Ok(ranges)
    } else {
        Err(status::LBA_RANGE)
    }
}

/// The status of an I/O that failed below. What another path or a later try may cure has no DNR.
pub fn status_of(error: IoError, op: Op) -> u16 {
    match error.kind {
        ErrorKind::Medium if op == Op::Read => status::UNRECOVERED_READ,
        ErrorKind::Medium => status::WRITE_FAULT,
        ErrorKind::OutOfRange => status::LBA_RANGE,
        ErrorKind::Invalid => status::INVALID_FIELD,
        ErrorKind::Unsupported => status::INVALID_OPCODE,
        ErrorKind::WriteProtected => status::WRITE_PROTECTED,
        ErrorKind::ReservationConflict => status::RESERVATION_CONFLICT,
        ErrorKind::Miscompare => status::COMPARE_FAILURE,
        ErrorKind::NoSpace => status::CAPACITY,
        // A gateway without a path of its own: the host may have another gateway.
        ErrorKind::NoPath | ErrorKind::TimedOut => status::INTERNAL_PATH,
        // It may have been done: nobody may send it again.
        ErrorKind::OutcomeUnknown => status::INTERNAL | status::DNR,
        ErrorKind::Aborted => status::ABORT_REQUESTED,
        ErrorKind::Device => status::INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns() -> NamespaceInfo {
        NamespaceInfo {
            nsid: 1,
            blocks: 100,
            block_shift: 9,
            discard: true,
            ..NamespaceInfo::default()
        }
    }

    #[test]
    fn the_last_block_is_the_last() {
        let s = Sqe::read(1, 99, 0, false);
        assert_eq!(decode(&s, &ns(), 512, 4096).unwrap().lba, 99);
        let s = Sqe::read(1, 99, 1, false);
        assert_eq!(decode(&s, &ns(), 1024, 4096), Err(status::LBA_RANGE));
        let s = Sqe::write(1, u64::MAX, 0, false);
        assert_eq!(decode(&s, &ns(), 512, 4096), Err(status::LBA_RANGE));
    }

    #[test]
    fn lengths_must_agree_and_keep_mdts() {
        let s = Sqe::read(1, 0, 7, false);
        assert!(decode(&s, &ns(), 4096, 4096).is_ok());
        assert_eq!(decode(&s, &ns(), 512, 4096), Err(status::DATA_SGL_LENGTH));
        let s = Sqe::read(1, 0, 8, false);
        assert_eq!(decode(&s, &ns(), 4608, 4096), Err(status::INVALID_FIELD));
    }

    #[test]
    fn what_the_namespace_cannot_do_is_an_invalid_opcode() {
        for opcode in [NvmOpcode::COMPARE.0, NvmOpcode::WRITE_ZEROES.0, 0x77] {
            let s = Sqe::new(opcode);
            assert_eq!(decode(&s, &ns(), 512, 4096), Err(status::INVALID_OPCODE));
        }
    }
}
