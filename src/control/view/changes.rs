//! How objects ask for changes. The daemon implements this with its commands.

use super::{HardwareId, McsPolicy, MpioTimers, View};
use crate::lun::policy::defaults::Setting;
use crate::lun::policy::{NtStatus, SetRequest, VendorPolicy};
use std::sync::Arc;

/// Where the present view comes from.
pub trait Views {
    /// The picture as of now. Cheap: a copy of a pointer. Where the reactors have to be asked first,
    /// that is the implementer's to do, with a bound on how long it waits.
    fn view(&self) -> Arc<View>;

    /// The target's groups are read again before a policy query is answered
    /// (`Selector::refresh_before_query`). By default the last word of the target stands.
    ///
    /// # Errors
    /// [`ChangeError::Gone`], [`ChangeError::Failed`].
    fn refresh_access(&self, _lun: &str) -> Result<(), ChangeError> {
        Ok(())
    }
}

/// What can be asked for. Each call returns when it is in force on every reactor, or refused; a LUN
/// is named by [`super::LunView::name`].
pub trait Changes {
    /// A DSM set request, policy 0 ("clear") included. The reactors' selectors judge it
    /// (`Selector::begin_set`, and `finish_set` after the STPG where there is one): their NTSTATUS is
    /// the answer. Nothing of a request refused by its status stays behind.
    ///
    /// # Errors
    /// It could not be judged at all, or one reactor refuses what the first grants: then what was set
    /// before is in force on all. Only the states that the target was told meanwhile stay.
    fn set_policy(&self, lun: &str, request: &SetRequest) -> Result<NtStatus, ChangeError>;

    /// Policy 7 with the algorithm named, and the weights of these paths (by nexus id); other paths
    /// keep theirs.
    ///
    /// # Errors
    /// As `set_policy`.
    fn set_vendor_policy(
        &self,
        lun: &str,
        vendor: VendorPolicy,
        weights: &[(u64, u32)],
    ) -> Result<(), ChangeError>;

    /// The DSM-wide default; `None` removes it. Applies to LUNs without a setting of their own.
    ///
    /// # Errors
    /// Not kept.
    fn set_engine_default(&self, setting: Option<Setting>) -> Result<(), ChangeError>;

    /// The default of one vendor and product; `None` removes it.
    ///
    /// # Errors
    /// Not kept.
    fn set_target_default(
        &self,
        hardware: &HardwareId,
        setting: Option<Setting>,
    ) -> Result<(), ChangeError>;

    /// All timers at once.
    ///
    /// # Errors
    /// Not kept, or a value that this engine can not work with.
    fn set_timers(&self, timers: MpioTimers) -> Result<(), ChangeError>;

    /// Starts health counters anew.
    ///
    /// # Errors
    /// What they belong to is gone.
    fn clear_counters(&self, scope: CounterScope) -> Result<(), ChangeError>;

    /// Policy, primary flags and weights of the connections of one iSCSI session. Checked before.
    ///
    /// # Errors
    /// The session is gone, or can not do it.
    fn set_session_policy(
        &self,
        session: u64,
        policy: McsPolicy,
        connections: &[SessionPath],
    ) -> Result<(), ChangeError>;

    /// Adds a connection to a session; its id. It logs in by and by.
    ///
    /// # Errors
    /// The session is gone, is not up, or has as many as it may have.
    fn add_connection(&self, session: u64, new: &NewConnection) -> Result<u64, ChangeError>;

    /// Takes a connection out of a session, in order.
    ///
    /// # Errors
    /// The session or connection is gone, or it is the last that is up.
    fn remove_connection(&self, session: u64, connection: u64) -> Result<(), ChangeError>;

    /// Reads the inventory again: which LUNs, over which nexuses.
    ///
    /// # Errors
    /// [`ChangeError::Busy`] while one runs, [`ChangeError::Failed`] when it is still not to be had.
    fn reenumerate(&self) -> Result<(), ChangeError>;

    /// Reads every LUN and nexus again.
    ///
    /// # Errors
    /// As `reenumerate`.
    fn refresh(&self) -> Result<(), ChangeError>;
}

/// Both.
pub trait Surface: Views + Changes {}

impl<T: Views + Changes + ?Sized> Surface for T {}

/// A connection to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewConnection {
    /// The target's end, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Our end, where it matters.
    pub source: Option<std::net::IpAddr>,
    /// Weight.
    pub weight: u32,
    /// Carries I/O from the beginning.
    pub primary: bool,
}

/// One connection of a [`Changes::set_session_policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionPath {
    /// Its id.
    pub connection: u64,
    /// Carries I/O from now on (as opposed to standing by).
    pub primary: bool,
    /// Weight.
    pub weight: u32,
}

/// Whose counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CounterScope {
    /// Everything.
    All,
    /// All nexuses.
    Nexuses,
    /// One nexus.
    Nexus(u64),
    /// All LUNs, with their paths.
    Luns,
    /// One LUN.
    Lun(String),
    /// All paths of one LUN.
    Paths(String),
    /// One path of one LUN.
    Path(String, u64),
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Another change of the same thing is under way.
    #[error("{0} is under way on it")]
    Busy(String),
    /// The LUN, nexus or session is not there (any more).
    #[error("it is not there any more")]
    Gone,
    /// It can not be done here, now or ever.
    #[error("not supported: {0}")]
    NotSupported(String),
    /// A value that is not allowed: what, and what is.
    #[error("{0}")]
    Invalid(String),
    /// It was tried: what came of it.
    #[error("{0}")]
    Failed(String),
    /// It did not end in time; it may still happen.
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
}
