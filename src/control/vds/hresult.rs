//! HRESULTs of the VDS interfaces.

use crate::control::view::ChangeError;
use crate::lun::policy::NtStatus;
use std::fmt;

/// An HRESULT, by value: callers on the wire want the number, people want the name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HResult(pub u32);

macro_rules! codes {
    ($($(#[$meta:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl HResult {
            $($(#[$meta])* pub const $name: Self = Self($value);)*

            /// Symbolic name, as in vdserr.h and winerror.h; an unknown value has none of its own.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($value => $text,)*
                    _ => "HRESULT",
                }
            }
        }
    };
}

codes! {
    /// Done.
    S_OK = 0x0000_0000, "S_OK";
    /// Done, with less than asked for.
    S_FALSE = 0x0000_0001, "S_FALSE";
    /// The object has no such interface.
    E_NOINTERFACE = 0x8000_4002, "E_NOINTERFACE";
    /// An argument that contradicts itself, the object, or what the target allows.
    E_INVALIDARG = 0x8007_0057, "E_INVALIDARG";
    /// HRESULT_FROM_WIN32(ERROR_INSUFFICIENT_BUFFER).
    E_INSUFFICIENT_BUFFER = 0x8007_007A, "HRESULT_FROM_WIN32(ERROR_INSUFFICIENT_BUFFER)";
    /// The object can not do this: a policy it does not offer, a method it does not have.
    VDS_E_NOT_SUPPORTED = 0x8004_2400, "VDS_E_NOT_SUPPORTED";
    /// Another call works on the object: try again.
    VDS_E_ANOTHER_CALL_IN_PROGRESS = 0x8004_2404, "VDS_E_ANOTHER_CALL_IN_PROGRESS";
    /// There never was an object of this id.
    VDS_E_OBJECT_NOT_FOUND = 0x8004_2405, "VDS_E_OBJECT_NOT_FOUND";
    /// The object is gone.
    VDS_E_OBJECT_DELETED = 0x8004_240B, "VDS_E_OBJECT_DELETED";
    /// The LUN has no such path.
    VDS_E_PATH_NOT_FOUND = 0x8004_2416, "VDS_E_PATH_NOT_FOUND";
    /// What the provider knows can not be trusted: Reenumerate, then Refresh.
    VDS_E_PROVIDER_CACHE_CORRUPT = 0x8004_241F, "VDS_E_PROVIDER_CACHE_CORRUPT";
    /// The target refused.
    VDS_E_IO_ERROR = 0x8004_242B, "VDS_E_IO_ERROR";
    /// The object is failed.
    VDS_E_OBJECT_STATUS_FAILED = 0x8004_2431, "VDS_E_OBJECT_STATUS_FAILED";
    /// The provider could not do it.
    VDS_E_PROVIDER_FAILURE = 0x8004_2442, "VDS_E_PROVIDER_FAILURE";
    /// It took too long; it may still happen.
    VDS_E_TIMEOUT = 0x8004_245F, "VDS_E_TIMEOUT";
    /// The provider is being unloaded.
    VDS_E_PROVIDER_EXITING = 0x8004_2514, "VDS_E_PROVIDER_EXITING";
    /// An object type that does not exist, or not in a hardware provider.
    VDS_E_INVALID_OBJECT_TYPE = 0x8004_2562, "VDS_E_INVALID_OBJECT_TYPE";
    /// A mask with unknown bits, or none.
    VDS_E_INVALID_QUERY_PROVIDER_FLAG = 0x8004_256C, "VDS_E_INVALID_QUERY_PROVIDER_FLAG";
    /// No such initiator adapter.
    VDS_E_INITIATOR_ADAPTER_NOT_FOUND = 0x8004_2900, "VDS_E_INITIATOR_ADAPTER_NOT_FOUND";
    /// No such target portal.
    VDS_E_TARGET_PORTAL_NOT_FOUND = 0x8004_2901, "VDS_E_TARGET_PORTAL_NOT_FOUND";
}

impl HResult {
    /// SUCCEEDED().
    pub const fn is_success(self) -> bool {
        self.0 < 0x8000_0000
    }

    /// What the DSM's answer to a set request is in VDS.
    pub const fn of_status(status: NtStatus) -> Self {
        match status {
            NtStatus::SUCCESS => Self::S_OK,
            NtStatus::BUFFER_TOO_SMALL => Self::E_INSUFFICIENT_BUFFER,
            NtStatus::NOT_SUPPORTED => Self::VDS_E_NOT_SUPPORTED,
            NtStatus::IO_DEVICE_ERROR => Self::VDS_E_IO_ERROR,
            NtStatus::INVALID_PARAMETER => Self::E_INVALIDARG,
            _ => Self::VDS_E_PROVIDER_FAILURE,
        }
    }
}

impl From<&ChangeError> for HResult {
    fn from(error: &ChangeError) -> Self {
        match error {
            ChangeError::Busy(_) => Self::VDS_E_ANOTHER_CALL_IN_PROGRESS,
            ChangeError::Gone => Self::VDS_E_OBJECT_DELETED,
            ChangeError::NotSupported(_) => Self::VDS_E_NOT_SUPPORTED,
            ChangeError::Invalid(_) => Self::E_INVALIDARG,
            ChangeError::Failed(_) => Self::VDS_E_PROVIDER_FAILURE,
            ChangeError::Timeout(_) => Self::VDS_E_TIMEOUT,
            ChangeError::Stopping => Self::VDS_E_PROVIDER_EXITING,
        }
    }
}

/// `0x` and eight hex digits.
impl fmt::Display for HResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08X}", self.0)
    }
}

impl fmt::Debug for HResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} {}", self.name())
    }
}

/// A failed call: the HRESULT, and in words what is the matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What a COM client gets.
    pub hresult: HResult,
    /// What a person gets.
    pub why: String,
}

impl Failure {
    /// A failure with its reason.
    pub fn new(hresult: HResult, why: impl Into<String>) -> Self {
        Self {
            hresult,
            why: why.into(),
        }
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        Self::new(HResult::from(&error), error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}): {}",
            self.hresult.name(),
            self.hresult,
            self.why
        )
    }
}

impl std::error::Error for Failure {}

/// What a method gives.
pub type Result<T> = std::result::Result<T, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_facility_and_severity_of_their_kind() {
        let vds = [
            HResult::VDS_E_NOT_SUPPORTED,
            HResult::VDS_E_PROVIDER_CACHE_CORRUPT,
            HResult::VDS_E_TARGET_PORTAL_NOT_FOUND,
        ];
        for code in vds {
            assert_eq!(code.0 >> 16, 0x8004, "{code:?}");
            assert!(code.name().starts_with("VDS_E_"));
            assert!(!code.is_success());
        }
        assert!(HResult::S_FALSE.is_success());
        assert_eq!(HResult::E_INVALIDARG.to_string(), "0x80070057");
        assert_eq!(HResult(0x8000_FFFF).name(), "HRESULT");
    }
}
