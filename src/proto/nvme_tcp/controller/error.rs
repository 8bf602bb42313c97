//! Why the controller half ends a connection.

use crate::proto::nvme_tcp::pdu::{Fes, Field, PduError, PduType};
use std::fmt;

/// The named reason a connection is ended for. All are fatal transport errors (section 3.5): the
/// controller sends C2HTermReq where the host has not itself asked for the end.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum QueueError {
    /// A header that cannot be accepted by itself.
    Pdu(PduError),
    /// A PDU that may not come now: anything before ICReq, a second ICReq, or one that only a
    /// controller sends.
    Sequence(PduType),
    /// More commands than the queue has entries.
    QueueOverrun,
    /// H2CData names a transfer tag that is not outstanding.
    UnknownTag(u16),
    /// H2CData names another command than its transfer tag.
    WrongCommand { tag: u16, cccid: u16 },
    /// H2CData does not start where the last one of its R2T ended, or goes beyond its R2T.
    OutOfRange { tag: u16, offset: u32, len: u32 },
    /// H2CData is longer than MAXH2CDATA.
    TooMuchData(u32),
    /// LAST_PDU set too early, or not set on the PDU that ends its R2T.
    WrongLast { tag: u16 },
    /// The host sent H2CTermReq.
    HostTerminated { fes: u16, fei: u32 },
}

impl QueueError {
    /// Status and information for C2HTermReq; nothing when the host ended the connection.
    pub(super) const fn term(&self) -> Option<(Fes, u32)> {
        Some(match self {
            Self::Pdu(e) => e.term(),
            Self::Sequence(_) | Self::QueueOverrun => (Fes::SequenceError, 0),
            Self::UnknownTag(_) => (Fes::InvalidHeaderField, Field::Ttag.offset()),
            Self::WrongCommand { .. } => (Fes::InvalidHeaderField, Field::Cccid.offset()),
            Self::OutOfRange { .. } => (Fes::OutOfRange, 0),
            Self::TooMuchData(_) => (Fes::LimitExceeded, 0),
            Self::WrongLast { .. } => (Fes::InvalidHeaderField, Field::Flags.offset()),
            Self::HostTerminated { .. } => return None,
        })
    }
}

impl From<PduError> for QueueError {
    fn from(e: PduError) -> Self {
        Self::Pdu(e)
    }
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pdu(e) => fmt::Display::fmt(e, f),
            Self::Sequence(kind) => write!(f, "{kind} may not come now"),
            Self::QueueOverrun => f.write_str("more commands than the queue has entries"),
            Self::UnknownTag(tag) => write!(f, "H2CData: transfer tag {tag:#06x} not outstanding"),
            Self::WrongCommand { tag, cccid } => write!(
                f,
                "H2CData: command {cccid:#06x} does not own transfer tag {tag:#06x}"
            ),
            Self::OutOfRange { tag, offset, len } => write!(
                f,
                "H2CData: {len} bytes at {offset} do not fit the transfer {tag:#06x}"
            ),
            Self::TooMuchData(len) => write!(f, "H2CData: {len} bytes exceed MAXH2CDATA"),
            Self::WrongLast { tag } => {
                write!(f, "H2CData: LAST_PDU is wrong for transfer {tag:#06x}")
            }
            Self::HostTerminated { fes, fei } => write!(
                f,
                "host terminated: {} (information {fei:#x})",
                Fes::name(*fes)
            ),
        }
    }
}

impl std::error::Error for QueueError {}
