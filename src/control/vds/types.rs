//! Enumerations and property structures of vds.h, as values.

use std::net::{IpAddr, SocketAddr};
use uuid::Uuid;

macro_rules! c_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $value:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum $name {
            $($(#[$vmeta])* $variant = $value,)*
        }

        impl $name {
            /// The number in the header.
            pub const fn number(self) -> i32 {
                self as i32
            }

            /// The name in the header.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// The value of a number; `None` where we know none.
            pub const fn from_number(number: i32) -> Option<Self> {
                match number {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

c_enum! {
    /// VDS_OBJECT_TYPE, as far as a hardware provider has such objects.
    ObjectType {
        Provider = 1, "VDS_OT_PROVIDER";
        SubSystem = 30, "VDS_OT_SUB_SYSTEM";
        Lun = 33, "VDS_OT_LUN";
        Portal = 36, "VDS_OT_PORTAL";
        Target = 37, "VDS_OT_TARGET";
        PortalGroup = 38, "VDS_OT_PORTAL_GROUP";
        InitiatorAdapter = 91, "VDS_OT_INIT_ADAPTER";
        InitiatorPortal = 92, "VDS_OT_INIT_PORTAL";
    }
}

c_enum! {
    /// VDS_PROVIDER_TYPE.
    ProviderType {
        Hardware = 2, "VDS_PT_HARDWARE";
    }
}

c_enum! {
    /// VDS_HWPROVIDER_TYPE.
    HwProviderType {
        /// Here: a local path, which no transport carries. The unions of VDS_PATH_INFO are empty.
        Unknown = 0, "VDS_HWT_UNKNOWN";
        FibreChannel = 2, "VDS_HWT_FIBRE_CHANNEL";
        /// iSCSI, and NVMe/TCP, which VDS has no word for.
        Iscsi = 3, "VDS_HWT_ISCSI";
        /// Not legal in VDS_PATH_INFO.
        Hybrid = 5, "VDS_HWT_HYBRID";
    }
}

c_enum! {
    /// VDS_PATH_STATUS.
    PathStatus {
        Unknown = 0, "VDS_MPS_UNKNOWN";
        Online = 1, "VDS_MPS_ONLINE";
        Failed = 5, "VDS_MPS_FAILED";
        Standby = 7, "VDS_MPS_STANDBY";
    }
}

c_enum! {
    /// VDS_LUN_STATUS, VDS_SUB_SYSTEM_STATUS and VDS_ISCSI_PORTAL_STATUS, whose numbers agree.
    Status {
        Unknown = 0, "UNKNOWN";
        Online = 1, "ONLINE";
        NotReady = 2, "NOT_READY";
        Offline = 4, "OFFLINE";
        Failed = 5, "FAILED";
    }
}

c_enum! {
    /// VDS_HEALTH.
    Health {
        Unknown = 0, "VDS_H_UNKNOWN";
        Healthy = 1, "VDS_H_HEALTHY";
        /// One path is left of several.
        FailedRedundancy = 6, "VDS_H_FAILED_REDUNDANCY";
        /// No path is left.
        Failed = 8, "VDS_H_FAILED";
        /// Some paths are gone, more than one is left.
        Degraded = 11, "VDS_H_DEGRADED";
    }
}

c_enum! {
    /// VDS_LUN_TYPE. What the target makes its LUNs of is its own business.
    LunType {
        Unknown = 0, "VDS_LT_UNKNOWN";
    }
}

c_enum! {
    /// VDS_TRANSITION_STATE.
    TransitionState {
        Stable = 1, "VDS_TS_STABLE";
    }
}

/// Bits of QueryProviders.
pub const QUERY_SOFTWARE_PROVIDERS: u32 = 1;
/// Hardware providers.
pub const QUERY_HARDWARE_PROVIDERS: u32 = 2;
/// Virtual disk providers.
pub const QUERY_VIRTUALDISK_PROVIDERS: u32 = 4;

/// VDS_PATH_ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PathId {
    /// DsmUniqueId.
    pub source: u64,
    /// DsmPathId.
    pub path: u64,
}

/// VDS_PATH_POLICY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathPolicy {
    /// Which path.
    pub id: PathId,
    /// Active under the policy, as opposed to standing by.
    pub primary: bool,
    /// Weight. Least wins under WEIGHTED_PATHS.
    pub weight: u32,
}

/// VDS_IPADDRESS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IpAddress {
    /// VDS_IPT_TEXT: a name that was not resolved yet.
    Text(String),
    /// VDS_IPT_IPV4 or VDS_IPT_IPV6.
    Socket(SocketAddr),
    /// VDS_IPT_EMPTY: not known yet.
    Empty,
}

impl IpAddress {
    /// VDS_IPADDRESS_TYPE.
    pub const fn number(&self) -> i32 {
        match self {
            Self::Text(_) => 0,
            Self::Socket(SocketAddr::V4(_)) => 1,
            Self::Socket(SocketAddr::V6(_)) => 2,
            Self::Empty => 3,
        }
    }

    /// VDS_IPT_…
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "VDS_IPT_TEXT",
            Self::Socket(SocketAddr::V4(_)) => "VDS_IPT_IPV4",
            Self::Socket(SocketAddr::V6(_)) => "VDS_IPT_IPV6",
            Self::Empty => "VDS_IPT_EMPTY",
        }
    }

    /// What is known of an address: the socket's, else the name as configured.
    pub fn known(socket: Option<SocketAddr>, name: &str) -> Self {
        match (socket, name) {
            (Some(socket), _) => Self::Socket(socket),
            (None, "") => Self::Empty,
            (None, name) => match name.parse() {
                Ok(socket) => Self::Socket(socket),
                Err(_) => Self::Text(name.to_owned()),
            },
        }
    }

    /// Without its port, for an end whose port changes with every connection.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Socket(s) => Some(s.ip()),
            Self::Text(_) | Self::Empty => None,
        }
    }
}

/// VDS_PATH_INFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathInfo {
    /// Which path.
    pub id: PathId,
    /// Whether it can be used.
    pub status: PathStatus,
    /// Its ends.
    pub ends: PathEnds,
}

impl PathInfo {
    /// VDS_PATH_INFO.type.
    pub const fn hw_type(&self) -> HwProviderType {
        match self.ends {
            PathEnds::Ip { .. } => HwProviderType::Iscsi,
            PathEnds::Local => HwProviderType::Unknown,
        }
    }
}

/// The unions of VDS_PATH_INFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathEnds {
    /// The iSCSI arm.
    Ip {
        /// targetPortalId.
        target_portal: Uuid,
        /// initiatorAdapterId.
        initiator_adapter: Uuid,
        /// *pInitiatorPortalIpAddr.
        initiator_portal: IpAddress,
    },
    /// The default arm, which is empty.
    Local,
}

/// VDS_SERVICE_PROP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceProp {
    pub version: String,
    pub flags: u32,
}

/// VDS_PROVIDER_PROP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderProp {
    pub id: Uuid,
    pub name: String,
    pub version_id: Uuid,
    pub version: String,
    pub provider_type: ProviderType,
    pub flags: u32,
    pub stripe_size_flags: u32,
    pub rebuild_priority: i16,
}

/// VDS_SUB_SYSTEM_PROP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubSystemProp {
    pub id: Uuid,
    pub friendly_name: String,
    pub identification: String,
    pub flags: u32,
    pub stripe_size_flags: u32,
    pub status: Status,
    pub health: Health,
    pub number_of_internal_buses: i16,
    pub max_number_of_slots_each_bus: i16,
    pub max_number_of_controllers: i16,
    pub rebuild_priority: i16,
}

/// VDS_LUN_PROP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LunProp {
    pub id: Uuid,
    /// Bytes; 0 until a path has told.
    pub size: u64,
    pub friendly_name: String,
    pub identification: String,
    /// Initiators that may see it, with `;` between.
    pub unmasking_list: String,
    pub flags: u32,
    pub lun_type: LunType,
    pub status: Status,
    pub health: Health,
    pub transition_state: TransitionState,
    pub rebuild_priority: i16,
}

/// VDS_ISCSI_TARGET_PROP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetProp {
    pub id: Uuid,
    /// IQN, or the subsystem NQN.
    pub iscsi_name: String,
    pub friendly_name: String,
    pub chap_enabled: bool,
}

/// VDS_ISCSI_PORTALGROUP_PROP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalGroupProp {
    pub id: Uuid,
    pub tag: u16,
}

/// VDS_ISCSI_PORTAL_PROP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalProp {
    pub id: Uuid,
    pub address: IpAddress,
    pub status: Status,
}

/// VDS_ISCSI_INITIATOR_ADAPTER_PROP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitiatorAdapterProp {
    pub id: Uuid,
    pub name: String,
}

/// VDS_ISCSI_INITIATOR_PORTAL_PROP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitiatorPortalProp {
    pub id: Uuid,
    pub address: IpAddress,
    pub port_index: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_as_good_as_what_is_known_of_it() {
        let known = |s: Option<&str>, name| {
            IpAddress::known(s.map(|s| s.parse().expect("address")), name).number()
        };
        assert_eq!(known(Some("10.0.0.1:4420"), "array:4420"), 1);
        assert_eq!(known(None, "[fe80::1]:4420"), 2);
        assert_eq!(known(None, "array:4420"), 0);
        assert_eq!(known(None, ""), 3);
    }

    #[test]
    fn numbers_read_back() {
        for number in -1..100 {
            if let Some(t) = ObjectType::from_number(number) {
                assert_eq!(t.number(), number);
            }
        }
        assert_eq!(ObjectType::from_number(33), Some(ObjectType::Lun));
        assert_eq!(ObjectType::from_number(10), None);
        assert_eq!(PathStatus::Standby.number(), 7);
    }
}
