//! Why a queue's connection cannot go on: one variant per rule that the peer broke.

use crate::proto::nvme_tcp::pdu::{Digests, Fes, Field, PduError, PduType};
use std::fmt;

/// The named reason that ends a connection. Each names the field and the value at fault.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// A header that is wrong by itself.
    Pdu(PduError),
    /// A PDU type that has no place here: sent by hosts only, or before or after its time.
    UnexpectedPdu { kind: PduType, state: &'static str },
    /// The controller ended the connection with C2HTermReq.
    Terminated { fes: u16, fei: u32 },
    /// ICResp enables other digests than ICReq asked for.
    DigestsNotAgreed { asked: Digests, got: Digests },
    /// A CID that names no command on its way.
    UnknownCommand { kind: PduType, cid: u16 },
    /// Data or an R2T for a command that moves data the other way, or none.
    WrongDirection { kind: PduType, cid: u16 },
    /// C2HData does not continue where the last one ended.
    DataOffset { cid: u16, expected: u32, got: u32 },
    /// C2HData reaches beyond the command's data.
    DataRange {
        cid: u16,
        offset: u32,
        len: u32,
        size: u32,
    },
    /// C2HData after the one marked as the last.
    DataAfterLast { cid: u16 },
    /// Success, but not all data has come.
    DataShort { cid: u16, received: u32, size: u32 },
    /// R2T for no bytes.
    R2tEmpty { cid: u16 },
    /// R2T does not continue where the last one ended, or asks for data that was in the capsule.
    R2tOffset { cid: u16, expected: u32, got: u32 },
    /// R2T reaches beyond the command's data.
    R2tRange {
        cid: u16,
        offset: u32,
        len: u32,
        size: u32,
    },
    /// More R2Ts outstanding than MAXR2T allows.
    R2tLimit { cid: u16, limit: u32 },
    /// Success before the data was asked for and sent.
    SuccessBeforeData { cid: u16, asked: u32, size: u32 },
    /// A submission queue head outside the queue.
    SqHead { head: u16, entries: u16 },
}

impl Failure {
    /// What a termination request says of it; `None` when the peer has ended it anyway.
    pub const fn term(&self) -> Option<(Fes, u32)> {
        Some(match self {
            Self::Terminated { .. } => return None,
            Self::Pdu(e) => e.term(),
            Self::UnexpectedPdu { .. } | Self::DataAfterLast { .. } => (Fes::SequenceError, 0),
            Self::DigestsNotAgreed { .. } => (Fes::InvalidHeaderField, Field::Digest.offset()),
            Self::UnknownCommand { kind, .. } => (
                Fes::InvalidHeaderField,
                match kind {
                    // The CID of a completion queue entry, behind the common header.
                    PduType::CapsuleResp => 20,
                    _ => Field::Cccid.offset(),
                },
            ),
            Self::WrongDirection { .. } => (Fes::InvalidHeaderField, Field::Cccid.offset()),
            Self::DataOffset { .. } | Self::R2tOffset { .. } => {
                (Fes::InvalidHeaderField, Field::Offset.offset())
            }
            Self::DataRange { .. } | Self::R2tRange { .. } => (Fes::OutOfRange, 0),
            Self::DataShort { .. } | Self::SuccessBeforeData { .. } => (Fes::SequenceError, 0),
            Self::R2tEmpty { .. } => (Fes::InvalidHeaderField, Field::DataLen.offset()),
            Self::R2tLimit { .. } => (Fes::LimitExceeded, 0),
            // SQHD of a completion queue entry.
            Self::SqHead { .. } => (Fes::InvalidHeaderField, 16),
        })
    }
}

impl From<PduError> for Failure {
    fn from(e: PduError) -> Self {
        Self::Pdu(e)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Pdu(e) => e.fmt(f),
            Self::UnexpectedPdu { kind, state } => write!(f, "unexpected {kind} while {state}"),
            Self::Terminated { fes, fei } => write!(
                f,
                "C2HTermReq: {} (FES {fes:#x}, FEI {fei:#x})",
                Fes::name(fes)
            ),
            Self::DigestsNotAgreed { asked, got } => write!(
                f,
                "ICResp: DGST {:#x} where {:#x} was asked for",
                got.to_byte(),
                asked.to_byte()
            ),
            Self::UnknownCommand { kind, cid } => {
                write!(f, "{kind}: CID {cid} names no outstanding command")
            }
            Self::WrongDirection { kind, cid } => {
                write!(f, "{kind}: CID {cid} is a command without such data")
            }
            Self::DataOffset { cid, expected, got } => write!(
                f,
                "C2HData: CID {cid}: DATAO {got} where {expected} was expected"
            ),
            Self::DataRange {
                cid,
                offset,
                len,
                size,
            } => write!(
                f,
                "C2HData: CID {cid}: DATAO {offset} DATAL {len} reaches beyond {size} bytes"
            ),
            Self::DataAfterLast { cid } => {
                write!(f, "C2HData: CID {cid}: data after LAST_PDU")
            }
            Self::DataShort {
                cid,
                received,
                size,
            } => write!(
                f,
                "CID {cid}: success after {received} of {size} bytes of data"
            ),
            Self::R2tEmpty { cid } => write!(f, "R2T: CID {cid}: R2TL 0"),
            Self::R2tOffset { cid, expected, got } => write!(
                f,
                "R2T: CID {cid}: R2TO {got} where {expected} was expected"
            ),
            Self::R2tRange {
                cid,
                offset,
                len,
                size,
            } => write!(
                f,
                "R2T: CID {cid}: R2TO {offset} R2TL {len} reaches beyond {size} bytes"
            ),
            Self::R2tLimit { cid, limit } => {
                write!(f, "R2T: CID {cid}: more than MAXR2T {limit} outstanding")
            }
            Self::SuccessBeforeData { cid, asked, size } => write!(
                f,
                "CapsuleResp: CID {cid}: success when {asked} of {size} bytes were asked for and \
                 not all of them were sent"
            ),
            Self::SqHead { head, entries } => write!(
                f,
                "CapsuleResp: SQHD {head} is outside a queue of {entries} entries"
            ),
        }
    }
}

impl std::error::Error for Failure {}
