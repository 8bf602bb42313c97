//! ISCSI_STATUS_QUALIFIERS: what the MSiSCSI methods answer in `Status`.

use crate::control::view::ChangeError;
use std::fmt;

/// A qualifier, by value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IscsiStatus(pub u32);

macro_rules! qualifiers {
    ($($name:ident = $value:literal;)*) => {
        #[allow(missing_docs, reason = "the header says no more than the names do")]
        impl IscsiStatus {
            $(pub const $name: Self = Self($value);)*

            /// All of them, success apart.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// `ISDSC_…` as the header spells it, its three odd spellings included.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    0 => "ISDSC_SUCCESS",
                    $($value => concat!("ISDSC_", stringify!($name)),)*
                    _ => "ISDSC_OTHER",
                }
            }
        }
    };
}

qualifiers! {
    NON_SPECIFIC_ERROR = 0xEFFF_0001;
    LOGIN_FAILED = 0xEFFF_0002;
    CONNECTION_FAILED = 0xEFFF_0003;
    INITIATOR_NODE_ALREADY_EXISTS = 0xEFFF_0004;
    INITIATOR_NODE_NOT_FOUND = 0xEFFF_0005;
    TARGET_MOVED_TEMPORARILY = 0xEFFF_0006;
    TARGET_MOVED_PERMANENTLY = 0xEFFF_0007;
    INITIATOR_ERROR = 0xEFFF_0008;
    AUTHENTICATION_FAILURE = 0xEFFF_0009;
    AUTHORIZATION_FAILURE = 0xEFFF_000A;
    NOT_FOUND = 0xEFFF_000B;
    TARGET_REMOVED = 0xEFFF_000C;
    UNSUPPORTED_VERSION = 0xEFFF_000D;
    TOO_MANY_CONNECTIONS = 0xEFFF_000E;
    MISSING_PARAMETER = 0xEFFF_000F;
    CANT_INCLUDE_IN_SESSION = 0xEFFF_0010;
    SESSION_TYPE_NOT_SUPPORTED = 0xEFFF_0011;
    TARGET_ERROR = 0xEFFF_0012;
    SERVICE_UNAVAILABLE = 0xEFFF_0013;
    OUT_OF_RESOURCES = 0xEFFF_0014;
    CONNECTION_ALREADY_EXISTS = 0xEFFF_0015;
    SESSION_ALREADY_EXISTS = 0xEFFF_0016;
    INITIATOR_INSTANCE_NOT_FOUND = 0xEFFF_0017;
    TARGET_ALREADY_EXISTS = 0xEFFF_0018;
    DRIVER_BUG = 0xEFFF_0019;
    INVALID_TEXT_KEY = 0xEFFF_001A;
    INVALID_SENDTARGETS_TEXT = 0xEFFF_001B;
    INVALID_SESSION_ID = 0xEFFF_001C;
    SCSI_REQUEST_FAILED = 0xEFFF_001D;
    TOO_MANY_SESSIONS = 0xEFFF_001E;
    SESSION_BUSY = 0xEFFF_001F;
    TARGET_MAPPING_UNAVAILABLE = 0xEFFF_0020;
    ADDRESS_TYPE_NOT_SUPPORTED = 0xEFFF_0021;
    LOGON_FAILED = 0xEFFF_0022;
    SEND_FAILED = 0xEFFF_0023;
    TRANSPORT_ERROR = 0xEFFF_0024;
    VERSION_MISMATCH = 0xEFFF_0025;
    TARGET_MAPPING_OUT_OF_RANGE = 0xEFFF_0026;
    TARGET_PRESHAREDKEY_UNAVAILABLE = 0xEFFF_0027;
    TARGET_AUTHINFO_UNAVAILABLE = 0xEFFF_0028;
    TARGET_NOT_FOUND = 0xEFFF_0029;
    LOGIN_USER_INFO_BAD = 0xEFFF_002A;
    TARGET_MAPPING_EXISTS = 0xEFFF_002B;
    HBA_SECURITY_CACHE_FULL = 0xEFFF_002C;
    INVALID_PORT_NUMBER = 0xEFFF_002D;
    OPERATION_NOT_ALL_SUCCESS = 0xEFFF_002E;
    HBA_SECURITY_CACHE_NOT_SUPPORTED = 0xEFFF_002F;
    IKE_ID_PAYLOAD_TYPE_NOT_SUPPORTED = 0xEFFF_0030;
    IKE_ID_PAYLOAD_INCORRECT_SIZE = 0xEFFF_0031;
    TARGET_PORTAL_ALREADY_EXISTS = 0xEFFF_0032;
    TARGET_ADDRESS_ALREADY_EXISTS = 0xEFFF_0033;
    NO_AUTH_INFO_AVAILABLE = 0xEFFF_0034;
    NO_TUNNEL_OUTER_MODE_ADDRESS = 0xEFFF_0035;
    CACHE_CORRUPTED = 0xEFFF_0036;
    REQUEST_NOT_SUPPORTED = 0xEFFF_0037;
    TARGET_OUT_OF_RESORCES = 0xEFFF_0038;
    SERVICE_DID_NOT_RESPOND = 0xEFFF_0039;
    ISNS_SERVER_NOT_FOUND = 0xEFFF_003A;
    OPERATION_REQUIRES_REBOOT = 0xAFFF_003B;
    NO_PORTAL_SPECIFIED = 0xEFFF_003C;
    CANT_REMOVE_LAST_CONNECTION = 0xEFFF_003D;
    SERVICE_NOT_RUNNING = 0xEFFF_003E;
    TARGET_ALREADY_LOGGED_IN = 0xEFFF_003F;
    DEVICE_BUSY_ON_SESSION = 0xEFFF_0040;
    COULD_NOT_SAVE_PERSISTENT_LOGIN_DATA = 0xEFFF_0041;
    COULD_NOT_REMOVE_PERSISTENT_LOGIN_DATA = 0xEFFF_0042;
    PORTAL_NOT_FOUND = 0xEFFF_0043;
    INITIATOR_NOT_FOUND = 0xEFFF_0044;
    DISCOVERY_MECHANISM_NOT_FOUND = 0xEFFF_0045;
    IPSEC_NOT_SUPPORTED_ON_OS = 0xEFFF_0046;
    PERSISTENT_LOGIN_TIMEOUT = 0xEFFF_0047;
    SHORT_CHAP_SECRET = 0xEFFF_0048;
    EVALUATION_PEROID_EXPIRED = 0xEFFF_0049;
    INVALID_CHAP_SECRET = 0xEFFF_004A;
    INVALID_TARGET_CHAP_SECRET = 0xEFFF_004B;
    INVALID_INITIATOR_CHAP_SECRET = 0xEFFF_004C;
    INVALID_CHAP_USER_NAME = 0xEFFF_004D;
    INVALID_LOGON_AUTH_TYPE = 0xEFFF_004E;
    INVALID_TARGET_MAPPING = 0xEFFF_004F;
    INVALID_TARGET_ID = 0xEFFF_0050;
    INVALID_ISCSI_NAME = 0xEFFF_0051;
    INCOMPATIBLE_ISNS_VERSION = 0xEFFF_0052;
    FAILED_TO_CONFIGURE_IPSEC = 0xEFFF_0053;
    BUFFER_TOO_SMALL = 0xEFFF_0054;
    INVALID_LOAD_BALANCE_POLICY = 0xEFFF_0055;
    INVALID_PARAMETER = 0xEFFF_0056;
    DUPLICATE_PATH_SPECIFIED = 0xEFFF_0057;
    PATH_COUNT_MISMATCH = 0xEFFF_0058;
    INVALID_PATH_ID = 0xEFFF_0059;
    MULTIPLE_PRIMARY_PATHS_SPECIFIED = 0xEFFF_005A;
    NO_PRIMARY_PATH_SPECIFIED = 0xEFFF_005B;
    DEVICE_ALREADY_PERSISTENTLY_BOUND = 0xEFFF_005C;
    DEVICE_NOT_FOUND = 0xEFFF_005D;
    DEVICE_NOT_ISCSI_OR_PERSISTENT = 0xEFFF_005E;
    DNS_NAME_UNRESOLVED = 0xEFFF_005F;
    NO_CONNECTION_AVAILABLE = 0xEFFF_0060;
    LB_POLICY_NOT_SUPPORTED = 0xEFFF_0061;
    REMOVE_CONNECTION_IN_PROGRESS = 0xEFFF_0062;
    INVALID_CONNECTION_ID = 0xEFFF_0063;
    CANNOT_REMOVE_LEADING_CONNECTION = 0xEFFF_0064;
    RESTRICTED_BY_GROUP_POLICY = 0xEFFF_0065;
    ISNS_FIREWALL_BLOCKED = 0xEFFF_0066;
}

impl IscsiStatus {
    /// Done. The header has no name for it.
    pub const SUCCESS: Self = Self(0);
}

/// What became of a change.
impl From<&ChangeError> for IscsiStatus {
    fn from(error: &ChangeError) -> Self {
        match error {
            ChangeError::Busy(_) => Self::SESSION_BUSY,
            ChangeError::Gone => Self::INVALID_SESSION_ID,
            ChangeError::NotSupported(_) => Self::LB_POLICY_NOT_SUPPORTED,
            ChangeError::Invalid(_) => Self::INVALID_PARAMETER,
            ChangeError::Failed(_) => Self::NON_SPECIFIC_ERROR,
            ChangeError::Timeout(_) => Self::SERVICE_DID_NOT_RESPOND,
            ChangeError::Stopping => Self::SERVICE_NOT_RUNNING,
        }
    }
}

/// `0x` and eight hex digits.
impl fmt::Display for IscsiStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08X}", self.0)
    }
}

impl fmt::Debug for IscsiStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} {}", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_dense_but_for_its_one_odd_prefix() {
        for (n, status) in (1..).zip(IscsiStatus::ALL) {
            let prefix = if n == 0x3b { 0xafff_0000 } else { 0xefff_0000 };
            assert_eq!(status.0, prefix | n, "{status:?}");
        }
        assert_eq!(IscsiStatus::ALL.len(), 0x66);
        assert_eq!(
            IscsiStatus(0xefff_0061).name(),
            "ISDSC_LB_POLICY_NOT_SUPPORTED"
        );
    }
}
