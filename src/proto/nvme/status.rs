//! Status of a completed command (Base 2.3 clause 4.2.3, figures 102 to 104).
//!
//! The 16 bits at bytes 14–15 of the completion: 0 phase tag (0 over fabrics), 8:1 SC, 11:9 SCT,
//! 13:12 CRD, 14 M (more), 15 DNR (do not retry).

use core::fmt;

use super::codes::codes;

codes! {
    /// Status code type and status code as one number: `SCT << 8 | SC`.
    ///
    /// Command specific codes 180h–1BFh have one meaning per I/O command set and another for
    /// Fabrics commands; `name()` gives the I/O one, see [`StatusCode::fabrics_name`].
    StatusCode: u16 {
        SUCCESS = 0x000 => "Successful Completion",
        INVALID_OPCODE = 0x001 => "Invalid Command Opcode",
        INVALID_FIELD = 0x002 => "Invalid Field in Command",
        CID_CONFLICT = 0x003 => "Command ID Conflict",
        DATA_TRANSFER_ERROR = 0x004 => "Data Transfer Error",
        ABORTED_POWER_LOSS = 0x005 => "Commands Aborted due to Power Loss Notification",
        INTERNAL_ERROR = 0x006 => "Internal Error",
        ABORT_REQUESTED = 0x007 => "Command Abort Requested",
        ABORTED_SQ_DELETION = 0x008 => "Command Aborted due to SQ Deletion",
        ABORTED_FAILED_FUSED = 0x009 => "Command Aborted due to Failed Fused Command",
        ABORTED_MISSING_FUSED = 0x00a => "Command Aborted due to Missing Fused Command",
        INVALID_NAMESPACE = 0x00b => "Invalid Namespace or Format",
        COMMAND_SEQUENCE_ERROR = 0x00c => "Command Sequence Error",
        SGL_INVALID_LAST_SEGMENT = 0x00d => "Invalid SGL Segment Descriptor",
        SGL_INVALID_COUNT = 0x00e => "Invalid Number of SGL Descriptors",
        SGL_INVALID_DATA_LENGTH = 0x00f => "Data SGL Length Invalid",
        SGL_INVALID_METADATA_LENGTH = 0x010 => "Metadata SGL Length Invalid",
        SGL_INVALID_TYPE = 0x011 => "SGL Descriptor Type Invalid",
        CMB_INVALID_USE = 0x012 => "Invalid Use of Controller Memory Buffer",
        PRP_INVALID_OFFSET = 0x013 => "PRP Offset Invalid",
        ATOMIC_WRITE_UNIT_EXCEEDED = 0x014 => "Atomic Write Unit Exceeded",
        OPERATION_DENIED = 0x015 => "Operation Denied",
        SGL_INVALID_OFFSET = 0x016 => "SGL Offset Invalid",
        HOST_ID_INCONSISTENT_FORMAT = 0x018 => "Host Identifier Inconsistent Format",
        KEEP_ALIVE_EXPIRED = 0x019 => "Keep Alive Timer Expired",
        KEEP_ALIVE_INVALID = 0x01a => "Keep Alive Timeout Invalid",
        ABORTED_PREEMPT = 0x01b => "Command Aborted due to Preempt and Abort",
        SANITIZE_FAILED = 0x01c => "Sanitize Failed",
        SANITIZE_IN_PROGRESS = 0x01d => "Sanitize In Progress",
        SGL_INVALID_GRANULARITY = 0x01e => "SGL Data Block Granularity Invalid",
        CMB_QUEUE_NOT_SUPPORTED = 0x01f => "Command Not Supported for Queue in CMB",
        NAMESPACE_WRITE_PROTECTED = 0x020 => "Namespace is Write Protected",
        COMMAND_INTERRUPTED = 0x021 => "Command Interrupted",
        TRANSIENT_TRANSPORT_ERROR = 0x022 => "Transient Transport Error",
        PROHIBITED_BY_LOCKDOWN = 0x023 => "Command Prohibited by Command and Feature Lockdown",
        ADMIN_MEDIA_NOT_READY = 0x024 => "Admin Command Media Not Ready",
        HOST_ID_NOT_INITIALIZED = 0x027 => "Host Identifier Not Initialized",
        LBA_OUT_OF_RANGE = 0x080 => "LBA Out of Range",
        CAPACITY_EXCEEDED = 0x081 => "Capacity Exceeded",
        NAMESPACE_NOT_READY = 0x082 => "Namespace Not Ready",
        RESERVATION_CONFLICT = 0x083 => "Reservation Conflict",
        FORMAT_IN_PROGRESS = 0x084 => "Format In Progress",

        INVALID_QID = 0x101 => "Invalid Queue Identifier",
        INVALID_QUEUE_SIZE = 0x102 => "Invalid Queue Size",
        ABORT_LIMIT_EXCEEDED = 0x103 => "Abort Command Limit Exceeded",
        AER_LIMIT_EXCEEDED = 0x105 => "Asynchronous Event Request Limit Exceeded",
        INVALID_LOG_PAGE = 0x109 => "Invalid Log Page",
        INVALID_FORMAT = 0x10a => "Invalid Format",
        FEATURE_NOT_SAVEABLE = 0x10d => "Feature Identifier Not Saveable",
        FEATURE_NOT_CHANGEABLE = 0x10e => "Feature Not Changeable",
        FEATURE_NOT_NAMESPACE_SPECIFIC = 0x10f => "Feature Not Namespace Specific",
        NAMESPACE_NOT_ATTACHED = 0x11a => "Namespace Not Attached",
        INVALID_CONTROLLER_ID = 0x11f => "Invalid Controller Identifier",
        ANA_GROUP_INVALID = 0x124 => "ANA Group Identifier Invalid",
        CCR_IN_PROGRESS = 0x13f => "Cross-Controller Reset in Progress",
        CCR_LOG_PAGE_FULL = 0x140 => "Cross-Controller Reset Log Page Full",
        CCR_LIMIT_EXCEEDED = 0x141 => "Cross-Controller Reset Limit Exceeded",
        CONFLICTING_ATTRIBUTES = 0x180 => "Conflicting Attributes",
        INVALID_PROTECTION_INFO = 0x181 => "Invalid Protection Information",
        WRITE_TO_READ_ONLY = 0x182 => "Attempted Write to Read Only Range",
        COMMAND_SIZE_LIMIT_EXCEEDED = 0x183 => "Command Size Limit Exceeded",

        WRITE_FAULT = 0x280 => "Write Fault",
        UNRECOVERED_READ_ERROR = 0x281 => "Unrecovered Read Error",
        GUARD_CHECK_ERROR = 0x282 => "End-to-end Guard Check Error",
        APPLICATION_TAG_CHECK_ERROR = 0x283 => "End-to-end Application Tag Check Error",
        REFERENCE_TAG_CHECK_ERROR = 0x284 => "End-to-end Reference Tag Check Error",
        COMPARE_FAILURE = 0x285 => "Compare Failure",
        ACCESS_DENIED = 0x286 => "Access Denied",
        UNWRITTEN_BLOCK = 0x287 => "Deallocated or Unwritten Logical Block",
        STORAGE_TAG_CHECK_ERROR = 0x288 => "End-to-End Storage Tag Check Error",

        INTERNAL_PATH_ERROR = 0x300 => "Internal Path Error",
        ANA_PERSISTENT_LOSS = 0x301 => "Asymmetric Access Persistent Loss",
        ANA_INACCESSIBLE = 0x302 => "Asymmetric Access Inaccessible",
        ANA_TRANSITION = 0x303 => "Asymmetric Access Transition",
        CONTROLLER_PATHING_ERROR = 0x360 => "Controller Pathing Error",
        HOST_PATHING_ERROR = 0x370 => "Host Pathing Error",
        ABORTED_BY_HOST = 0x371 => "Command Aborted By Host",
    }
}

/// The Fabrics meaning of command specific codes.
impl StatusCode {
    /// Connect Incompatible Format.
    pub const CONNECT_INCOMPATIBLE_FORMAT: Self = Self(0x180);
    /// Connect Controller Busy.
    pub const CONNECT_CONTROLLER_BUSY: Self = Self(0x181);
    /// Connect Invalid Parameters; the result says which, see `fabrics::InvalidParameter`.
    pub const CONNECT_INVALID_PARAMETERS: Self = Self(0x182);
    /// Connect Restart Discovery.
    pub const CONNECT_RESTART_DISCOVERY: Self = Self(0x183);
    /// Connect Invalid Host.
    pub const CONNECT_INVALID_HOST: Self = Self(0x184);
    /// Disconnect Invalid Queue Type.
    pub const DISCONNECT_INVALID_QUEUE_TYPE: Self = Self(0x185);
    /// Discover Restart.
    pub const DISCOVER_RESTART: Self = Self(0x190);
    /// Authentication Required.
    pub const AUTHENTICATION_REQUIRED: Self = Self(0x191);

    /// The name in a completion of a Fabrics command.
    pub const fn fabrics_name(self) -> Option<&'static str> {
        Some(match self.0 {
            0x180 => "Connect Incompatible Format",
            0x181 => "Connect Controller Busy",
            0x182 => "Connect Invalid Parameters",
            0x183 => "Connect Restart Discovery",
            0x184 => "Connect Invalid Host",
            0x185 => "Disconnect Invalid Queue Type",
            0x190 => "Discover Restart",
            0x191 => "Authentication Required",
            _ => return self.name(),
        })
    }

    /// SCT: 0 generic, 1 command specific, 2 media and data integrity, 3 path, 7 vendor.
    #[inline]
    pub const fn sct(self) -> u8 {
        (self.0 >> 8) as u8 & 7
    }

    /// SC.
    #[inline]
    pub const fn sc(self) -> u8 {
        self.0 as u8
    }
}

/// A status with its retry bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Status {
    /// Status code type, 3 bits.
    pub sct: u8,
    /// Status code.
    pub sc: u8,
    /// Command retry delay: 0 none, 1 to 3 pick CRDT1 to CRDT3. 2 bits.
    pub crd: u8,
    /// More about this is in the Error Information log.
    pub more: bool,
    /// Do not retry.
    pub dnr: bool,
}

impl Status {
    /// Success.
    pub const SUCCESS: Self = Self::new(StatusCode::SUCCESS);

    /// A status without retry bits.
    #[inline]
    pub const fn new(code: StatusCode) -> Self {
        Self {
            sct: code.sct(),
            sc: code.sc(),
            crd: 0,
            more: false,
            dnr: false,
        }
    }

    /// A status with Do Not Retry.
    #[inline]
    pub const fn dnr(code: StatusCode) -> Self {
        Self {
            sct: code.sct(),
            sc: code.sc(),
            crd: 0,
            more: false,
            dnr: true,
        }
    }

    /// From the 16 bits of the completion; the phase tag is ignored.
    #[inline]
    pub const fn from_raw(raw: u16) -> Self {
        Self {
            sct: (raw >> 9) as u8 & 7,
            sc: (raw >> 1) as u8,
            crd: (raw >> 12) as u8 & 3,
            more: raw & 1 << 14 != 0,
            dnr: raw & 1 << 15 != 0,
        }
    }

    /// To the 16 bits of the completion, phase tag 0.
    #[inline]
    pub const fn to_raw(self) -> u16 {
        (self.sc as u16) << 1
            | (self.sct as u16 & 7) << 9
            | (self.crd as u16 & 3) << 12
            | (self.more as u16) << 14
            | (self.dnr as u16) << 15
    }

    /// Type and code.
    #[inline]
    pub const fn code(self) -> StatusCode {
        StatusCode((self.sct as u16 & 7) << 8 | self.sc as u16)
    }

    /// SCT 0, SC 0.
    #[inline]
    pub const fn is_success(self) -> bool {
        self.sct == 0 && self.sc == 0
    }

    /// SCT 3: the path is at fault, another one may do.
    #[inline]
    pub const fn is_path_error(self) -> bool {
        self.sct == 3
    }

    /// SCT 3, SC 01h–03h: the ANA state of this path is not what the host thought. Read the log
    /// again.
    #[inline]
    pub const fn is_ana_error(self) -> bool {
        self.sct == 3 && matches!(self.sc, 1..=3)
    }
}

impl From<StatusCode> for Status {
    fn from(code: StatusCode) -> Self {
        Self::new(code)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code();
        match (code.name(), code.fabrics_name()) {
            (Some(io), Some(fabrics)) if io != fabrics => write!(f, "{io} / {fabrics}")?,
            (Some(name), _) | (None, Some(name)) => f.write_str(name)?,
            (None, None) => f.write_str("Unknown Status")?,
        }
        write!(f, " (SCT {:X}h SC {:02X}h", self.sct, self.sc)?;
        if self.crd != 0 {
            write!(f, " CRD {}", self.crd)?;
        }
        f.write_str(match (self.more, self.dnr) {
            (false, false) => ")",
            (true, false) => " M)",
            (false, true) => " DNR)",
            (true, true) => " M DNR)",
        })
    }
}
