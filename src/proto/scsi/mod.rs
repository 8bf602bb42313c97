//! SCSI (SAM-5, SPC-4, SBC-3): commands, status, sense and parameter data, both directions.
//!
//! [`Command`] is a command descriptor block in words; it is read by a device server and written
//! by an initiator. Parameter data have a struct or a builder each, with its reader beside it.
//! Nothing panics on any bytes; what a peer can size is bounded by the slice it lies in.

mod alua;
mod bytes;
mod command;
mod designator;
mod inquiry;
mod lun;
mod mode;
mod opcodes;
mod sense;
#[cfg(test)]
mod tests;
mod unmap;
mod vpd;

pub use alua::{
    GroupState, PortGroup, put_target_port_groups, read_set_target_port_groups,
    read_target_port_groups,
};
pub use command::{Cdb, Command, Form, Rw};
pub use designator::{Association, DesignatorKind, Designators, put_designator};
pub use inquiry::{Inquiry, capacity10, capacity16, read_capacity10, read_capacity16};
pub use lun::{LUN_MAX, lun_number, lun_to_wire, read_luns, report_luns};
pub use mode::{Caching, ModePages, mode_sense, read_caching, read_mode_select};
pub use opcodes::{Support, report_opcodes, report_task_functions};
pub use sense::{FieldPointer, Key, Sense, asc};
pub use unmap::{UnmapRange, put_unmap, read_unmap};
pub use vpd::{BlockLimits, Provisioning, read_page, read_serial, vpd_page};

/// SCSI status codes (SAM-5, 5.3.1).
pub mod status {
    pub const GOOD: u8 = 0x00;
    pub const CHECK_CONDITION: u8 = 0x02;
    pub const CONDITION_MET: u8 = 0x04;
    pub const BUSY: u8 = 0x08;
    pub const RESERVATION_CONFLICT: u8 = 0x18;
    pub const TASK_SET_FULL: u8 = 0x28;
    pub const ACA_ACTIVE: u8 = 0x30;
    pub const TASK_ABORTED: u8 = 0x40;

    /// The words for a status, known or not.
    pub const fn name(status: u8) -> &'static str {
        match status {
            GOOD => "GOOD",
            CHECK_CONDITION => "CHECK CONDITION",
            CONDITION_MET => "CONDITION MET",
            BUSY => "BUSY",
            RESERVATION_CONFLICT => "RESERVATION CONFLICT",
            TASK_SET_FULL => "TASK SET FULL",
            ACA_ACTIVE => "ACA ACTIVE",
            TASK_ABORTED => "TASK ABORTED",
            _ => "unknown status",
        }
    }
}
