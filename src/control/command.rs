//! What can be asked of the daemon. One RPC method is one variant; nothing here knows how it was
//! written down.

use super::config::Timers;
use super::events::Event;
use super::registry::answer::{
    ConfigAnswer, DaemonAnswer, DefaultsAnswer, LunAnswer, NexusAnswer, PathAnswer, PolicyAnswer,
    ReloadAnswer, ServeAnswer, VersionAnswer,
};
use super::state::StateError;
use crate::control::view::changes::{NewConnection, SessionPath};
use crate::control::view::{ChangeError, CounterScope, HardwareId, McsPolicy, MpioTimers, View};
use crate::engine::reactor::HandleError;
use crate::lun::policy::defaults::Setting;
use crate::lun::policy::{NtStatus, PathState, PolicySpec, SetRequest, VendorPolicy};
use std::sync::Arc;

/// A command to the daemon.
#[derive(Clone, Debug)]
pub enum Command {
    Version,
    /// The daemon as a whole.
    Status,
    /// The config in force, run-time settings included.
    Config,
    LunList,
    LunGet {
        lun: String,
    },
    LunCreate(NewLun),
    LunClose {
        lun: String,
    },
    /// Of one LUN, or of all.
    PathList {
        lun: Option<String>,
    },
    PathAdd {
        lun: String,
        url: String,
        weight: u32,
    },
    PathRemove {
        lun: String,
        path: u64,
    },
    NexusList,
    /// Takes the nexus down as if it had been lost; it comes back by itself.
    NexusReset {
        nexus: u64,
    },
    PolicyGet {
        lun: String,
    },
    PolicySet(NewPolicy),
    DefaultsGet,
    /// `None` removes the DSM-wide default.
    DefaultsSet {
        policy: Option<PolicySpec>,
    },
    TimersGet,
    TimersSet(Vec<(&'static str, u32)>),
    Events {
        after: u64,
        max: usize,
    },
    ServeList,
    /// Reads the config file again.
    Reload,
    Shutdown,
    /// OpenMetrics text.
    Metrics,
    /// Does nothing, for measuring what a call costs.
    Nothing,
    /// What a Windows-shaped object wants.
    Object(ObjectCommand),
}

/// What a Windows-shaped object may want.
#[derive(Clone, Debug)]
pub enum ObjectCommand {
    View,
    SetPolicy {
        lun: String,
        request: SetRequest,
    },
    SetVendor {
        lun: String,
        vendor: VendorPolicy,
        /// By nexus id.
        weights: Vec<(u64, u32)>,
    },
    EngineDefault(Option<Setting>),
    TargetDefault(HardwareId, Option<Setting>),
    ClearCounters(CounterScope),
    SessionPolicy {
        session: u64,
        policy: McsPolicy,
        connections: Vec<SessionPath>,
    },
    AddConnection {
        session: u64,
        new: NewConnection,
    },
    RemoveConnection {
        session: u64,
        connection: u64,
    },
    Timers(MpioTimers),
    Reenumerate,
    Refresh,
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum ObjectAnswer {
    Done,
    View(Arc<View>),
    Status(NtStatus),
    /// Of a connection.
    Id(u64),
}

/// A LUN to create.
#[derive(Clone, Debug)]
pub struct NewLun {
    pub name: String,
    pub paths: Vec<String>,
    pub weights: Vec<u32>,
    pub policy: Option<PolicySpec>,
}

/// A policy to set.
#[derive(Clone, Debug)]
pub struct NewPolicy {
    pub lun: String,
    /// `None` clears the LUN's own.
    pub policy: Option<PolicySpec>,
    /// By nexus id; the preferred path of failover.
    pub preferred: Option<u64>,
    /// Paths that are not named keep what they have.
    pub paths: Vec<NewPath>,
}

/// What is wished of one path.
#[derive(Clone, Copy, Debug)]
pub struct NewPath {
    pub path: u64,
    pub weight: Option<u32>,
    pub state: Option<PathState>,
}

/// What came of a command.
#[derive(Clone, Debug)]
pub enum Answer {
    Done,
    Version(VersionAnswer),
    Status(Box<DaemonAnswer>),
    Config(Box<ConfigAnswer>),
    Luns(Vec<LunAnswer>),
    Lun(Box<LunAnswer>),
    Paths(Vec<PathAnswer>),
    Nexuses(Vec<NexusAnswer>),
    Policy(Box<PolicyAnswer>),
    Defaults(DefaultsAnswer),
    Timers(Timers),
    Events { events: Vec<Event>, last: u64 },
    Serves(Vec<ServeAnswer>),
    Reload(ReloadAnswer),
    Text(String),
    Object(ObjectAnswer),
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("there is no LUN '{0}'; lun_list names them")]
    NoLun(String),
    #[error("LUN '{lun}' has no path over nexus {path:#018x}; path_list names them")]
    NoPath { lun: String, path: u64 },
    #[error("there is no nexus {0:#018x}; nexus_list names them")]
    NoNexus(u64),
    #[error("there is a LUN '{0}' already")]
    LunExists(String),
    /// The parameter, and what is wrong with it.
    #[error("{what}")]
    Invalid { field: &'static str, what: String },
    #[error("LUN '{0}' is served; take its [[serve]] out of the config first")]
    Served(String),
    #[error("refused: {status} {}; {hint}", .status.name())]
    Refused {
        status: NtStatus,
        hint: &'static str,
    },
    /// What is under way.
    #[error("{0} has not ended yet; try again")]
    Busy(String),
    #[error(transparent)]
    Reactor(#[from] HandleError),
    /// In force, and lost with the next restart.
    #[error("it is in force, but could not be kept for a restart: {0}")]
    NotKept(#[from] StateError),
    /// What was tried and what came of it.
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error("the daemon is stopping")]
    Stopping,
}
