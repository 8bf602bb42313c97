//! The NTSTATUS values that the policy methods answer with.

use std::fmt;

/// An NTSTATUS, by value: callers on the wire want the number, people want the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NtStatus(pub u32);

impl NtStatus {
    /// Done.
    pub const SUCCESS: Self = Self(0x0000_0000);
    /// The request contradicts itself, the LUN, or what the target allows.
    pub const INVALID_PARAMETER: Self = Self(0xC000_000D);
    /// In or out buffer shorter than what the call needs.
    pub const BUFFER_TOO_SMALL: Self = Self(0xC000_0023);
    /// A structure version from the future.
    pub const NOT_SUPPORTED: Self = Self(0xC000_00BB);
    /// The target refused SET TARGET PORT GROUPS.
    pub const IO_DEVICE_ERROR: Self = Self(0xC000_0185);
    /// No such class.
    pub const WMI_GUID_NOT_FOUND: Self = Self(0xC000_0295);
    /// No such instance.
    pub const WMI_INSTANCE_NOT_FOUND: Self = Self(0xC000_0296);
    /// No such method or item.
    pub const WMI_ITEMID_NOT_FOUND: Self = Self(0xC000_0297);

    /// NT_SUCCESS: the two severity values below "warning".
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.0 < 0x8000_0000
    }

    /// Symbolic name, `STATUS_…`; an unknown value has none of its own.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SUCCESS => "STATUS_SUCCESS",
            Self::INVALID_PARAMETER => "STATUS_INVALID_PARAMETER",
            Self::BUFFER_TOO_SMALL => "STATUS_BUFFER_TOO_SMALL",
            Self::NOT_SUPPORTED => "STATUS_NOT_SUPPORTED",
            Self::IO_DEVICE_ERROR => "STATUS_IO_DEVICE_ERROR",
            Self::WMI_GUID_NOT_FOUND => "STATUS_WMI_GUID_NOT_FOUND",
            Self::WMI_INSTANCE_NOT_FOUND => "STATUS_WMI_INSTANCE_NOT_FOUND",
            Self::WMI_ITEMID_NOT_FOUND => "STATUS_WMI_ITEMID_NOT_FOUND",
            _ => "STATUS_OTHER",
        }
    }
}

/// `0x` and eight hex digits, the form that traces and RPC carry.
impl fmt::Display for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08X}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_prints_as_traces_want_it() {
        assert_eq!(NtStatus::SUCCESS.to_string(), "0x00000000");
        assert_eq!(NtStatus::INVALID_PARAMETER.to_string(), "0xC000000D");
        assert!(NtStatus::SUCCESS.is_success());
        assert!(!NtStatus::BUFFER_TOO_SMALL.is_success());
    }
}
