//! What the object models read, and how they ask for changes: the border between `control/{vds, wmi,
//! msiscsi}` and the daemon.
//!
//! A [`View`] is a plain copy of everything that the VDS, DSM and MSiSCSI objects show: made by the
//! daemon from what its reactors answer, immutable, shared by `Arc` (invariant I8). An object keeps no
//! state of its own but an id; each call takes a fresh view and looks itself up in it.
//!
//! The daemon implements two traits, [`Views`] and [`Changes`]; a [`Surface`] is whatever has both:
//!
//! ```text
//!   JSON-RPC ─► control/{vds, wmi, msiscsi}::…(&dyn Surface, …) ─► HRESULT | NTSTATUS | ISDSC_*
//!                     │ view()  ▲ Arc<View>       │ set_policy(…), refresh(), …
//!                     ▼         │                 ▼
//!                     daemon: registry, reactors' snapshots, Commands
//! ```
//!
//! Besides what reactors know, the daemon fills in: numbers, `call_in_progress` while a change of a LUN
//! is under way, `departed` when a LUN is taken out at run time, `provider`, `defaults`, `timers`.
//!
//! Ids that leave the process (GUIDs, DsmUniqueId, instance names) are made in [`ids`], from names
//! and addresses that survive a restart.

pub mod cache;
pub mod changes;
pub mod ids;
#[cfg(test)]
pub(crate) mod kit;
pub mod session;

pub use crate::lun::policy::hardware::HardwareId;
pub use cache::CacheState;
pub use changes::{ChangeError, Changes, CounterScope, Surface, Views};
pub use session::{ConnectionState, ConnectionView, McsPolicy, SessionView};

use crate::lun::access::AccessState;
use crate::lun::policy::defaults::{Setting, Source};
use crate::lun::policy::validate::{PathView as SetPathView, SetView};
use crate::lun::policy::{Alua, PathState, Policy, PolicySpec, Selector, VendorPolicy};
use crate::path::identity::Identity;
use crate::path::state::State;
use std::net::SocketAddr;
use uuid::Uuid;

/// Everything, as of one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Who we are.
    pub host: HostView,
    /// The provider's own condition.
    pub provider: ProviderView,
    /// Policies that LUNs without one of their own take.
    pub defaults: DefaultsView,
    /// The timers of MPIO.
    pub timers: MpioTimers,
    /// All configured LUNs, by number.
    pub luns: Vec<LunView>,
    /// GUIDs of LUNs that this process once showed and that are configured no more, latest last.
    /// Calls on their objects answer "deleted", where those on ids never seen answer "not found".
    pub departed: Vec<Uuid>,
    /// All nexuses of all LUNs, each once.
    pub nexuses: Vec<NexusView>,
    /// iSCSI sessions with their connections.
    pub sessions: Vec<SessionView>,
}

impl View {
    /// The LUN of a name.
    pub fn lun(&self, name: &str) -> Option<&LunView> {
        self.luns.iter().find(|l| l.name == name)
    }

    /// The LUN of a GUID.
    pub fn lun_by_guid(&self, guid: Uuid) -> Option<&LunView> {
        self.luns.iter().find(|l| l.guid == guid)
    }

    /// The LUN of an MPIO disk number.
    pub fn lun_by_number(&self, number: u32) -> Option<&LunView> {
        self.luns.iter().find(|l| l.number == number)
    }

    /// The nexus of an id (DsmPathId).
    pub fn nexus(&self, id: u64) -> Option<&NexusView> {
        self.nexuses.iter().find(|n| n.id == id)
    }
}

/// The host that looks at the LUNs: stable over restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostView {
    /// Host id, 16 bytes. All GUIDs derive from it.
    pub id: [u8; 16],
    /// Host NQN.
    pub nqn: String,
    /// iSCSI initiator name.
    pub initiator_name: String,
    /// Version of this program, for VDS_PROVIDER_PROP and DSM_VERSION.
    pub version: String,
}

/// The provider's own condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderView {
    /// Whether what it knows of its LUNs can be trusted.
    pub cache: CacheState,
    /// A Reenumerate or Refresh is running.
    pub call_in_progress: bool,
    /// The daemon is stopping, and takes no changes any more.
    pub exiting: bool,
}

/// Policies for LUNs that have none of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefaultsView {
    /// DSM-wide.
    pub engine: Option<Setting>,
    /// By vendor and product.
    pub targets: Vec<(HardwareId, Setting)>,
}

/// The timers and counters of MPIO under their Windows names, with Windows' defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MpioTimers {
    /// PathVerifyEnabled: verify every path every `path_verification_period_s`.
    pub path_verify_enabled: bool,
    /// PathVerificationPeriod, seconds.
    pub path_verification_period_s: u32,
    /// PDORemovePeriod, seconds: how long a LUN without any path waits for one.
    pub pdo_remove_period_s: u32,
    /// RetryCount: counted retries of one request.
    pub retry_count: u32,
    /// RetryInterval, seconds between them.
    pub retry_interval_s: u32,
    /// UseCustomPathRecoveryInterval: gate of the next.
    pub use_custom_path_recovery_interval: bool,
    /// PathRecoveryInterval, seconds.
    pub path_recovery_interval_s: u32,
    /// TimeOutValue of the disk class, seconds.
    pub disk_timeout_s: u32,
}

impl Default for MpioTimers {
    fn default() -> Self {
        Self {
            path_verify_enabled: false,
            path_verification_period_s: 30,
            pdo_remove_period_s: 20,
            retry_count: 3,
            retry_interval_s: 1,
            use_custom_path_recovery_interval: false,
            path_recovery_interval_s: 40,
            disk_timeout_s: 120,
        }
    }
}

/// One LUN.
#[derive(Clone, Debug)]
pub struct LunView {
    /// Its configured name: unique.
    pub name: String,
    /// Names it to Windows tools. [`ids::lun`], or whatever the daemon has kept for it since.
    pub guid: Uuid,
    /// N of "MPIO DiskN". Kept as long as the process lives.
    pub number: u32,
    /// Vendor and product, for defaults by hardware id.
    pub hardware: HardwareId,
    /// Product revision, 4 characters in SCSI.
    pub revision: String,
    /// Serial number; where the target tells none, its identity in hexadecimal.
    pub serial: String,
    /// Identifiers that its paths agree on.
    pub identity: Identity,
    /// `None` until its first path has told.
    pub size: Option<LunSize>,
    /// Whether it can be used.
    pub condition: LunCondition,
    /// A change of it is under way (a set that waits for the target or for reactors): its name.
    pub call_in_progress: Option<String>,
    /// Policy in force.
    pub policy: LunPolicy,
    /// What policy 7 stands for on this LUN.
    pub vendor_policy: VendorPolicy,
    /// In list order. Includes configured paths that never came up.
    pub paths: Vec<PathView>,
    /// What it has done.
    pub counters: Counters,
}

impl LunView {
    /// The path over that nexus.
    pub fn path(&self, nexus_id: u64) -> Option<&PathView> {
        self.paths.iter().find(|p| p.nexus_id == nexus_id)
    }

    /// What the validation of a set request needs of it.
    pub fn set_view(&self) -> SetView {
        let path = |p: &PathView| SetPathView {
            id: p.nexus_id,
            tpg: p.tpg,
            failed: p.failed,
            access: p.access,
        };
        SetView {
            alua: self.policy.alua,
            symmetric: self.policy.symmetric,
            any_optimized: self.policy.any_optimized,
            paths: self.paths.iter().map(path).collect(),
        }
    }
}

/// Capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LunSize {
    /// Bytes in a logical block.
    pub block_size: u32,
    /// Logical blocks.
    pub blocks: u64,
}

impl LunSize {
    /// Bytes.
    pub fn bytes(self) -> u64 {
        self.blocks.saturating_mul(u64::from(self.block_size))
    }
}

/// Whether a LUN can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LunCondition {
    /// Nothing stands against it. Paths may still be lost.
    #[default]
    Good,
    /// No path has told what the LUN is like yet.
    NotReady,
    /// Identity refused, or failed by the administrator: why.
    Failed(String),
}

/// The policy of a LUN, and what its paths allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LunPolicy {
    /// In force.
    pub spec: PolicySpec,
    /// Who chose it.
    pub source: Source,
    /// The policies that the DSM methods accept here.
    pub supported: Vec<Policy>,
    /// How the target manages access states.
    pub alua: Alua,
    /// All paths are equal.
    pub symmetric: bool,
    /// Some target port group is active/optimized.
    pub any_optimized: bool,
}

impl LunPolicy {
    /// Copied from the selector of one reactor.
    pub fn of(selector: &Selector) -> Self {
        Self {
            spec: selector.policy(),
            source: selector.policy_source(),
            supported: selector.supported(),
            alua: selector.alua(),
            symmetric: selector.symmetric(),
            any_optimized: selector.set_view().any_optimized,
        }
    }
}

/// What a path is reached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// iSCSI.
    Iscsi,
    /// NVMe over TCP.
    NvmeTcp,
    /// `mem:`, `null:`, `file:`: no transport, no target.
    Local,
}

impl Protocol {
    /// That of a path URL.
    pub fn of_url(url: &str) -> Self {
        match url.split(':').next() {
            Some("iscsi") => Self::Iscsi,
            Some("nvme-tcp") => Self::NvmeTcp,
            _ => Self::Local,
        }
    }

    /// Scheme of its URLs; "local" for local paths.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iscsi => "iscsi",
            Self::NvmeTcp => "nvme-tcp",
            Self::Local => "local",
        }
    }
}

/// One path of one LUN, over all reactors.
#[derive(Clone, Debug)]
pub struct PathView {
    /// Id of its nexus (DsmPathId). Never 0.
    pub nexus_id: u64,
    /// As configured.
    pub url: String,
    /// What it is reached by.
    pub protocol: Protocol,
    /// State of its association.
    pub state: State,
    /// Why it is not up, or not let in.
    pub reason: Option<String>,
    /// It belongs to the LUN: identity, size and block size match.
    pub joined: bool,
    /// Known, and not usable: not connected, or not let in (FailedPath).
    pub failed: bool,
    /// Access state as the target told it last.
    pub access: AccessState,
    /// The same as the target wrote it.
    pub access_raw: u8,
    /// State under the policy (PrimaryPath and OptimizedPath).
    pub placed: PathState,
    /// The preferred path of FAILOVER.
    pub preferred: bool,
    /// Weight.
    pub weight: u32,
    /// Target port group as the policy counts them; for ANA a number per controller and group.
    pub tpg: u32,
    /// The target's own number of that group.
    pub group_id: u16,
    /// The target prefers the group.
    pub tpg_preferred: bool,
    /// Relative target port; 0 where the target tells none.
    pub target_port: u32,
    /// The number of the unit at its target: LUN, or namespace id.
    pub unit: u32,
    /// What it has carried.
    pub counters: Counters,
}

/// One nexus, over all reactors.
#[derive(Clone, Debug)]
pub struct NexusView {
    /// Stable id (DsmPathId). Never 0.
    pub id: u64,
    /// What it is reached by.
    pub protocol: Protocol,
    /// Our end: the address of a live connection, else of the last one, else as configured.
    pub source: Option<SocketAddr>,
    /// Network interface that it is bound to by configuration.
    pub interface: Option<String>,
    /// The target's end.
    pub portal: Option<SocketAddr>,
    /// `HOST:PORT` as configured: what portals are told apart by. Empty for a local path.
    pub portal_name: String,
    /// Target name: IQN, or subsystem NQN. Empty for a local path.
    pub target_name: String,
    /// Target portal group tag; for NVMe the port id, 0 where untold.
    pub portal_group: u16,
    /// State of its association, the best of all reactors.
    pub state: State,
    /// Why it is not up.
    pub reason: Option<String>,
    /// Logins since it was configured.
    pub logins: u64,
    /// What all its LUNs have done over it.
    pub counters: Counters,
}

/// Health counters, as the MPIO health classes have them. Times are nanoseconds since 1970, 0 for
/// never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reads completed.
    pub reads: u64,
    /// Writes completed.
    pub writes: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Requests sent again.
    pub retries: u64,
    /// Requests that failed, or that the path was lost with.
    pub errors: u64,
    /// Requests in flight now.
    pub in_flight: u32,
    /// Times that a path of it was lost.
    pub path_failures: u64,
    /// Since when these count.
    pub created_ns: u64,
    /// When it failed last.
    pub failed_ns: u64,
}

impl std::ops::AddAssign for Counters {
    /// Sums up; the oldest beginning and the latest failure win.
    fn add_assign(&mut self, other: Self) {
        self.reads = self.reads.wrapping_add(other.reads);
        self.writes = self.writes.wrapping_add(other.writes);
        self.bytes_read = self.bytes_read.wrapping_add(other.bytes_read);
        self.bytes_written = self.bytes_written.wrapping_add(other.bytes_written);
        self.retries = self.retries.wrapping_add(other.retries);
        self.errors = self.errors.wrapping_add(other.errors);
        self.in_flight = self.in_flight.saturating_add(other.in_flight);
        self.path_failures = self.path_failures.wrapping_add(other.path_failures);
        self.created_ns = match (self.created_ns, other.created_ns) {
            (0, b) => b,
            (a, 0) => a,
            (a, b) => a.min(b),
        };
        self.failed_ns = self.failed_ns.max(other.failed_ns);
    }
}
