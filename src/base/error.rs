//! How an I/O can end, in words every layer shares.

use std::fmt;

/// Why an I/O failed, as far as a caller must tell cases apart.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub enum ErrorKind {
    /// The device could not read or write the medium; another path would not help.
    Medium,
    /// The range lies outside the LUN.
    OutOfRange,
    /// A field of the request is not valid for this LUN.
    Invalid,
    /// The LUN or the device does not know this operation.
    Unsupported,
    /// The LUN is write protected.
    WriteProtected,
    /// Another host holds a reservation.
    ReservationConflict,
    /// COMPARE, or the compare half of COMPARE AND WRITE, found other data.
    Miscompare,
    /// Thinly provisioned space or capacity is used up.
    NoSpace,
    /// No path came back within the time that was allowed for waiting.
    NoPath,
    /// The time allowed for the whole I/O ran out.
    TimedOut,
    /// The request was sent and its nexus was lost: it may or may not have been done, and it is
    /// of a kind that must not be sent again (or no proof came that it can not be done late).
    OutcomeUnknown,
    /// The caller or an orderly stop took it back.
    Aborted,
    /// The device reported an error of its own that fits none of the above.
    Device,
}

impl ErrorKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Medium => "medium error",
            Self::OutOfRange => "LBA out of range",
            Self::Invalid => "invalid request",
            Self::Unsupported => "operation not supported",
            Self::WriteProtected => "write protected",
            Self::ReservationConflict => "reservation conflict",
            Self::Miscompare => "miscompare",
            Self::NoSpace => "no space",
            Self::NoPath => "no usable path",
            Self::TimedOut => "timed out",
            Self::OutcomeUnknown => "outcome unknown",
            Self::Aborted => "aborted",
            Self::Device => "device error",
        }
    }
}

/// A failed I/O: its kind, and the raw status it came from (NVMe: the 15-bit status field;
/// SCSI: key, ASC and ASCQ in one number; 0 when umpio itself failed it).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub struct IoError {
    pub kind: ErrorKind,
    pub raw: u32,
}

impl IoError {
    pub const fn new(kind: ErrorKind) -> Self {
        Self { kind, raw: 0 }
    }
    pub const fn with_raw(kind: ErrorKind, raw: u32) -> Self {
        Self { kind, raw }
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.raw == 0 {
            f.write_str(self.kind.name())
        } else {
            write!(f, "{} (status {:#x})", self.kind.name(), self.raw)
        }
    }
}

impl std::error::Error for IoError {}
