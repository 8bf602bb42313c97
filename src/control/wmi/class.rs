//! The classes by GUID, as WMI addresses them: query a block, set one, execute a method, each from and
//! to raw bytes.

use super::defaults::{self, DefaultPolicy};
use super::{Result, health, mpio, operations, policy, timers};
use crate::control::layout::LayoutError;
use crate::control::layout::dsm::DsmQueryUniqueId;
use crate::control::layout::mpio::encode_counted;
use crate::control::layout::{Field, buffer::Buffer};
use crate::control::view::{Surface, ids};
use crate::lun::policy::{NtStatus, SetMethod};
use uuid::Uuid;

/// What a class is addressed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instance {
    /// The MPIO pseudo-LUN: every LUN is an instance.
    Lun,
    /// The MPIO control object: one instance.
    Control,
}

macro_rules! classes {
    ($($name:ident = $guid:literal, $text:literal, $instance:ident;)*) => {
        /// A class of root\WMI, by its name in the MOF.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Class {
            $(#[doc = $text] $name,)*
        }

        impl Class {
            /// All that are answered.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its GUID.
            pub const fn guid(self) -> Uuid {
                match self {
                    $(Self::$name => uuid::uuid!($guid),)*
                }
            }

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What its instances are.
            pub const fn instance(self) -> Instance {
                match self {
                    $(Self::$name => Instance::$instance,)*
                }
            }
        }
    };
}

classes! {
    QueryLbPolicy = "20a4663b-bf54-4738-b403-0cfc71ecfc90", "DSM_QueryLBPolicy", Lun;
    QueryLbPolicyV2 = "d14fed0e-bdfb-4615-8578-350c4c2b06d7", "DSM_QueryLBPolicy_V2", Lun;
    QuerySupported = "ffcf3f4e-bab6-455c-ba99-d60cfbc5887d", "DSM_QuerySupportedLBPolicies", Lun;
    QuerySupportedV2 = "fc777b74-7bcc-47ae-aa63-59656ba593fe", "DSM_QuerySupportedLBPolicies_V2", Lun;
    QueryUniqueId = "7b47cbe2-63d0-4e6b-b987-4bfcbd6c368e", "DSM_QueryUniqueId", Lun;
    LbOperations = "c944053c-c90f-4012-b775-1f1a261d4be4", "DSM_LB_Operations", Lun;
    GetDescriptor = "85134d46-d17c-4992-83f9-070dd4c48e0b", "MPIO_GET_DESCRIPTOR", Lun;
    DeviceHealth = "9e4f39ac-cbaa-4298-b600-488ac5652ea9", "MPIO_DEVINSTANCE_HEALTH_INFO", Lun;
    DiskMethods = "e6f52471-f302-49ce-990b-fa7fc9ebe666", "MPIO_DISK_WMI_METHODS", Lun;
    DevicePerf = "875b8871-4889-4114-93f6-cd064c001cea", "MSDSM_DEVICE_PERF", Lun;
    MsdsmMethods = "04517f7e-92bb-4ebe-aed0-54339fa5f544", "MSDSM_WMI_METHODS", Lun;
    DiskInfo = "9f9765ed-c3a0-451f-86c1-470a1ddd3217", "MPIO_DISK_INFO", Control;
    RegisteredDsm = "0c2c484b-030b-4540-8890-bb6681941ce3", "MPIO_REGISTERED_DSM", Control;
    PathInformation = "b3a05997-2077-40a3-bf36-ebd91ff8b254", "MPIO_PATH_INFORMATION", Control;
    PathHealth = "01ea1dfb-668b-48bc-a86e-a8b4cabfce33", "MPIO_PATH_HEALTH_INFO", Control;
    DiskHealth = "ef04568a-782b-443c-a3db-966ab43775f9", "MPIO_DISK_HEALTH_INFO", Control;
    TimersCounters = "ce49b95b-690f-4cd0-8a95-ece3fad8efc2", "MPIO_TIMERS_COUNTERS", Control;
    MpioMethods = "e37bc327-f7b1-4675-8018-852732e2ede1", "MPIO_WMI_METHODS", Control;
    DefaultPolicy = "c81b5681-f3ca-4c98-9325-707d0d62ffc4", "MSDSM_DEFAULT_LOAD_BALANCE_POLICY", Control;
    TargetDefaults = "5ccbcd91-1b56-4327-a2f3-0960335f8846", "MSDSM_TARGETS_DEFAULT_LOAD_BALANCE_POLICY", Control;
    SupportedDevices = "c362d67c-371e-44d8-8bba-044619e4f245", "MSDSM_SUPPORTED_DEVICES_LIST", Control;
}

impl Class {
    /// By GUID or by name in any case.
    ///
    /// # Errors
    /// `STATUS_WMI_GUID_NOT_FOUND`.
    pub fn parse(text: &str) -> Result<Self> {
        let guid = Uuid::try_parse(text).ok();
        let hit =
            |c: &Self| c.name().eq_ignore_ascii_case(text) || guid.is_some_and(|g| g == c.guid());
        let found = Self::ALL.iter().copied().find(hit);
        found.ok_or(NtStatus::WMI_GUID_NOT_FOUND)
    }

    /// InstanceNames of it, as of now.
    pub fn instances(self, surface: &dyn Surface) -> Vec<String> {
        match self.instance() {
            Instance::Control => vec![ids::CONTROL_INSTANCE.to_owned()],
            Instance::Lun => surface.view().luns.iter().map(ids::lun_instance).collect(),
        }
    }

    /// Its data block.
    ///
    /// # Errors
    /// No such instance; a class without data.
    pub fn query(self, surface: &dyn Surface, instance: &str) -> Result<Vec<u8>> {
        self.check(instance)?;
        Ok(match self {
            Self::QueryLbPolicy => policy::query_lb_policy(surface, instance)?.encode_v1(),
            Self::QueryLbPolicyV2 => policy::query_lb_policy(surface, instance)?.encode_v2(),
            Self::QuerySupported => supported(surface, instance, 1)?,
            Self::QuerySupportedV2 => supported(surface, instance, 2)?,
            Self::QueryUniqueId => structure(&DsmQueryUniqueId {
                dsm_unique_id: policy::query_unique_id(surface, instance)?,
            }),
            Self::GetDescriptor => mpio::get_descriptor(surface, instance)?.encode(),
            Self::DeviceHealth => encode_counted(8, &health::device_health(surface, instance)?),
            Self::DevicePerf => {
                defaults::encode_device_perf(&defaults::device_perf(surface, instance)?)
            }
            Self::DiskInfo => encode_counted(4, &mpio::disk_info(surface)),
            Self::RegisteredDsm => encode_counted(8, &mpio::registered_dsm(surface)),
            Self::PathInformation => encode_counted(8, &mpio::path_information(surface)),
            Self::PathHealth => encode_counted(8, &health::path_health(surface)),
            Self::DiskHealth => encode_counted(8, &health::disk_health(surface)),
            Self::TimersCounters => structure(&timers::timers_counters(surface)),
            Self::DefaultPolicy => defaults::get_default(surface).encode(),
            Self::TargetDefaults => {
                defaults::encode_target_defaults(&defaults::get_target_defaults(surface))
            }
            Self::SupportedDevices => {
                defaults::encode_supported_devices(&defaults::supported_devices(surface))
            }
            Self::LbOperations | Self::DiskMethods | Self::MsdsmMethods | Self::MpioMethods => {
                return Err(NtStatus::WMI_ITEMID_NOT_FOUND);
            }
        })
    }

    /// Sets its data block, where it can be set: the two kinds of default policy.
    ///
    /// # Errors
    /// A class that is read only; a block that is too short; what the setter says. Of several
    /// defaults the first that is refused ends the call.
    pub fn set(self, surface: &dyn Surface, instance: &str, block: &[u8]) -> Result<()> {
        self.check(instance)?;
        match self {
            Self::DefaultPolicy => {
                defaults::set_default(surface, DefaultPolicy::decode(block).map_err(short)?)
            }
            Self::TargetDefaults => {
                for (id, new) in defaults::decode_target_defaults(block).map_err(short)? {
                    defaults::set_target_default(surface, &id, new)?;
                }
                Ok(())
            }
            _ => Err(NtStatus::NOT_SUPPORTED),
        }
    }

    /// Executes a method; the answer is its OUT buffer, of at most `out_size` bytes.
    ///
    /// # Errors
    /// No such instance or method; what the method itself says, unless its OUT structure has a place
    /// for that.
    pub fn execute(
        self,
        surface: &dyn Surface,
        instance: &str,
        method: u32,
        input: &[u8],
        out_size: u32,
    ) -> Result<Vec<u8>> {
        self.check(instance)?;
        let out = match self {
            Self::LbOperations => {
                let method =
                    SetMethod::from_number(method).ok_or(NtStatus::WMI_ITEMID_NOT_FOUND)?;
                let request = operations::parse_in(method, input, out_size);
                let status = operations::set_load_balance_policy(surface, instance, &request)?;
                if out_size < crate::lun::policy::validate::OUT_BYTES {
                    // No room to say so.
                    return Err(status);
                }
                operations::encode_out(status)
            }
            Self::DiskMethods => timers::disk_method(surface, instance, method, input)?,
            Self::MpioMethods => timers::mpio_method(surface, method, input)?,
            Self::MsdsmMethods if method == 1 => timers::clear_perf(surface, instance)?,
            _ => return Err(NtStatus::WMI_ITEMID_NOT_FOUND),
        };
        if out.len() > out_size as usize {
            return Err(NtStatus::BUFFER_TOO_SMALL);
        }
        Ok(out)
    }

    /// The control object has one name; a LUN's is looked up by whoever needs it.
    fn check(self, instance: &str) -> Result<()> {
        let ours = instance.is_empty() || instance.eq_ignore_ascii_case(ids::CONTROL_INSTANCE);
        match self.instance() {
            Instance::Control if !ours => Err(NtStatus::WMI_INSTANCE_NOT_FOUND),
            Instance::Control | Instance::Lun => Ok(()),
        }
    }
}

fn supported(surface: &dyn Surface, instance: &str, version: u32) -> Result<Vec<u8>> {
    let policies = policy::query_supported_lb_policies(surface, instance)?;
    Ok(policy::encode_supported_lb_policies(version, &policies))
}

fn structure<T: Field>(value: &T) -> Vec<u8> {
    let mut out = Buffer::new();
    out.push(value);
    out.into_bytes()
}

/// What is wrong with a block, as an NTSTATUS.
fn short(error: LayoutError) -> NtStatus {
    match error {
        LayoutError::Short { .. } => NtStatus::BUFFER_TOO_SMALL,
        LayoutError::Pointer { .. } | LayoutError::Text { .. } | LayoutError::Value { .. } => {
            NtStatus::INVALID_PARAMETER
        }
    }
}
