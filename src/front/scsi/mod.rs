//! The SCSI device server: what a logical unit answers, and what its commands ask of a LUN.
//!
//! A command becomes a [`Plan`]: parameter data, a refusal, or I/O for a port. Whoever serves the
//! unit (an iSCSI target) moves the data and carries the plan out.

mod pages;
mod plan;
#[cfg(test)]
mod tests;

pub use plan::{IoPlan, Plan};

use crate::lun::port::{Geometry, PortId};
use crate::path::access::AccessState;
use crate::path::identity::Identity;
use crate::proto::scsi::{GroupState, ModePages, PortGroup, Sense, Support, asc};
use crate::proto::scsi::{Key, status};
use std::borrow::Cow;

/// Bytes of one command's payload at most.
pub const TRANSFER_MAX: u32 = 16 << 20;
/// Bytes of parameter lists at most.
pub const PARAMETERS_MAX: u32 = 8192;
/// Descriptors of one UNMAP at most.
pub const UNMAP_DESCRIPTORS: u32 = 256;
/// Blocks of one UNMAP descriptor list at most.
pub const UNMAP_BLOCKS: u32 = 1 << 20;
/// Blocks of one COMPARE AND WRITE at most.
pub const COMPARE_AND_WRITE_BLOCKS: u32 = 128;

/// A logical unit.
#[derive(Clone, Debug)]
pub struct LogicalUnit {
    pub lun: u16,
    pub port: PortId,
    pub serial: String,
    pub identity: Identity,
    /// What the LUN is like; none until its first path has told.
    pub geometry: Option<Geometry>,
    pub descriptor_sense: bool,
}

/// What a unit looks like through one port.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// iSCSI name of the target.
    pub target: Cow<'a, str>,
    /// Target port group, and relative target port identifier.
    pub group: u16,
    pub port: u16,
    pub access: AccessState,
    /// All groups of the target.
    pub groups: Cow<'a, [PortGroup]>,
    /// Units of the target, for REPORT LUNS.
    pub luns: Cow<'a, [u16]>,
}

impl View<'_> {
    /// A copy that refers to nothing.
    pub fn into_owned(self) -> View<'static> {
        View {
            target: self.target.into_owned().into(),
            groups: self.groups.into_owned().into(),
            luns: self.luns.into_owned().into(),
            ..self
        }
    }
}

/// States that a group can be brought to: all but LBA dependent and offline.
pub const SUPPORTED_STATES: u8 = 0x8f;

/// Seconds that a change of states takes at most, as the extended header tells: a group that somebody has
/// made transitioning stays so until he goes on.
pub const TRANSITION_S: u8 = 60;

/// The state of a group as SCSI writes it. A lost path is unavailable: SCSI knows no promise.
pub const fn group_state(state: AccessState) -> GroupState {
    match state {
        AccessState::Optimized => GroupState::Optimized,
        AccessState::NonOptimized => GroupState::NonOptimized,
        AccessState::Standby => GroupState::Standby,
        AccessState::Unavailable | AccessState::Lost => GroupState::Unavailable,
        AccessState::Transitioning => GroupState::Transitioning,
    }
}

/// The refusal of a command that the state of its port group does not allow (SPC-4, 5.15.2.4).
pub const fn not_ready(state: AccessState) -> Sense {
    let code = match state {
        AccessState::Standby => asc::STANDBY,
        AccessState::Transitioning => asc::TRANSITION,
        _ => asc::UNAVAILABLE,
    };
    Sense::new(Key::NotReady, code)
}

impl LogicalUnit {
    /// What it can do, as its LUN stands.
    pub fn support(&self) -> Support {
        let g = self.geometry.as_ref();
        Support {
            unmap: g.is_some_and(|g| g.discard),
            compare_and_write: g.is_some_and(|g| g.compare_and_write),
            alua: true,
            explicit_alua: true,
            block_status: false,
        }
    }

    fn mode_pages(&self) -> ModePages {
        let g = self.geometry.as_ref();
        ModePages {
            write_cache: g.is_some_and(|g| g.volatile_cache),
            read_only: false,
            descriptor_sense: self.descriptor_sense,
            blocks: g.map_or(0, |g| g.blocks),
            block_size: g.map_or(512, |g| g.block_size),
        }
    }
}

/// Status and sense of a failed I/O.
pub fn failure(e: crate::base::error::IoError, write: bool) -> (u8, Option<Sense>) {
    use crate::base::error::ErrorKind;
    let sense = match e.kind {
        ErrorKind::Medium if write => Sense::new(Key::MediumError, asc::WRITE_ERROR),
        ErrorKind::Medium => Sense::new(Key::MediumError, asc::READ_ERROR),
        ErrorKind::OutOfRange => Sense::illegal(asc::LBA_OUT_OF_RANGE),
        ErrorKind::Invalid => Sense::illegal(asc::INVALID_FIELD_IN_CDB),
        ErrorKind::Unsupported => Sense::illegal(asc::INVALID_OPCODE),
        ErrorKind::WriteProtected => Sense::new(Key::DataProtect, asc::WRITE_PROTECTED),
        ErrorKind::ReservationConflict => return (status::RESERVATION_CONFLICT, None),
        ErrorKind::Miscompare => Sense::new(Key::Miscompare, asc::MISCOMPARE),
        ErrorKind::NoSpace => Sense::new(Key::DataProtect, asc::SPACE_FAILED),
        // Another try may find a path again; an outcome that is unknown must not look like it.
        ErrorKind::NoPath | ErrorKind::TimedOut => Sense::new(Key::NotReady, asc::BECOMING_READY),
        ErrorKind::Aborted => Sense::new(Key::AbortedCommand, asc::NONE),
        ErrorKind::OutcomeUnknown | ErrorKind::Device => {
            Sense::new(Key::HardwareError, asc::INTERNAL_FAILURE)
        }
    };
    (status::CHECK_CONDITION, Some(sense))
}
