//! Result of an Asynchronous Event Request (Base 2.3 clause 5.2.2, figures 154, 156 and 157).
//!
//! DW0: AET 2:0 type, AEI 15:8 information, LID 23:16 log page to read (which clears the event).

use super::codes::codes;
use super::log::Lid;
use super::opcode::AdminOpcode;
use super::sqe::Sqe;

codes! {
    /// Asynchronous Event Type, 3 bits.
    EventType: u8 {
        ERROR = 0 => "Error Status",
        HEALTH = 1 => "SMART / Health Status",
        NOTICE = 2 => "Notice",
        IMMEDIATE = 3 => "Immediate",
        ONE_SHOT = 4 => "One-Shot",
        COMMAND_SET = 6 => "I/O Command Specific Status",
        VENDOR = 7 => "Vendor Specific",
    }
}

codes! {
    /// Asynchronous Event Information of a Notice.
    Notice: u8 {
        NAMESPACE_ATTRIBUTE = 0x00 => "Attached Namespace Attribute Changed",
        FIRMWARE_ACTIVATION = 0x01 => "Firmware Activation Starting",
        TELEMETRY = 0x02 => "Telemetry Log Changed",
        ANA_CHANGE = 0x03 => "Asymmetric Namespace Access Change",
        DISCOVERY_LOG = 0xf0 => "Discovery Log Page Change",
        CCR_COMPLETED = 0xf4 => "Cross-Controller Reset Completed",
        LOST_HOST = 0xf5 => "Lost Host Communication",
    }
}

/// An asynchronous event. Every DW0 has this form, so reading cannot fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncEvent {
    /// AET.
    pub kind: EventType,
    /// AEI; a [`Notice`] where `kind` is [`EventType::NOTICE`].
    pub info: u8,
    /// LID.
    pub lid: Lid,
}

impl AsyncEvent {
    /// The namespaces changed: read the Changed Attached Namespace List.
    pub const NAMESPACE_ATTRIBUTE: Self =
        Self::notice(Notice::NAMESPACE_ATTRIBUTE, Lid::CHANGED_NAMESPACES);
    /// ANA states changed: read the ANA log.
    pub const ANA_CHANGE: Self = Self::notice(Notice::ANA_CHANGE, Lid::ANA);
    /// A Cross-Controller Reset came to an end: read its log.
    pub const CCR_COMPLETED: Self =
        Self::notice(Notice::CCR_COMPLETED, Lid::CROSS_CONTROLLER_RESET);

    /// A notice.
    pub const fn notice(info: Notice, lid: Lid) -> Self {
        Self {
            kind: EventType::NOTICE,
            info: info.0,
            lid,
        }
    }

    /// From DW0.
    pub const fn from_dw0(dw0: u32) -> Self {
        Self {
            kind: EventType(dw0 as u8 & 7),
            info: (dw0 >> 8) as u8,
            lid: Lid((dw0 >> 16) as u8),
        }
    }

    /// To DW0.
    pub const fn to_dw0(self) -> u32 {
        (self.kind.0 & 7) as u32 | (self.info as u32) << 8 | (self.lid.0 as u32) << 16
    }

    /// Which notice, if it is one.
    pub const fn as_notice(self) -> Option<Notice> {
        match self.kind {
            EventType::NOTICE => Some(Notice(self.info)),
            _ => None,
        }
    }
}

/// The Asynchronous Event Request command.
pub fn async_event_request() -> Sqe {
    Sqe::new(AdminOpcode::ASYNC_EVENT_REQUEST.0)
}

/// The Keep Alive command.
pub fn keep_alive() -> Sqe {
    Sqe::new(AdminOpcode::KEEP_ALIVE.0)
}
