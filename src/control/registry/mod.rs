//! Everything the daemon has open, owned by the control thread.
//!
//! | file | holds |
//! |---|---|
//! | `desired` | what should be: the file and the run-time settings that win over it |
//! | `converge` | from what is to what should be: at the start, after a reload |
//! | `luns` | LUNs and their paths, policies, defaults, timers |
//! | `serve` | LUNs served on |
//! | `counters` | where counting began anew |
//! | `hardware` | defaults by vendor and product; looking after paths |
//! | `watch` | what has changed on the reactors since the last look: events |
//! | `sessions` | iSCSI sessions and their connections |
//! | `pending` | calls that have begun and wait for a target |
//! | `mend` | whether the objects' picture can be trusted; Reenumerate and Refresh |
//! | `surface` | what the Windows-shaped objects see and change |
//! | `look` | answers to questions |
//! | [`answer`] | what is answered |
//!
//! The reactors are reached through their mailboxes only; what comes back is a copy.

pub mod answer;
mod converge;
mod counters;
mod desired;
mod hardware;
#[cfg(test)]
pub(in crate::control) mod kit;
mod look;
mod luns;
mod mend;
mod pending;
mod serve;
mod sessions;
mod surface;
mod watch;

use super::command::{Answer, Command, CommandError};
use super::config::{Config, ConfigError, LunFlags};
use super::events::{EventKind, Events};
use super::state::{State, StateError, Store};
use super::view::{CacheState, HardwareId};
use crate::base::clock::{Clock, Time, wall_nanos};
use crate::engine::board::Board;
use crate::engine::driver::{Driver, DriverConfig};
use crate::engine::reactor::ReactorConfig;
use crate::lun::plane::ChannelId;
use crate::path::nvme_link::HostIdentity;
use answer::ReloadAnswer;
pub use pending::Reply;
use std::io;

/// A LUN that is open.
#[derive(Debug)]
struct Lun {
    name: String,
    disk: u32,
    /// By reactor.
    channels: Vec<ChannelId>,
    /// URLs in force, in the order they were added.
    paths: Vec<String>,
    flags: LunFlags,
    /// What its target is, once that has told.
    hardware: Option<HardwareId>,
    seen: watch::Seen,
}

/// The registry.
#[derive(Debug)]
pub struct Registry {
    config: Config,
    store: Store,
    state: State,
    state_kept: bool,
    host: HostIdentity,
    initiator_name: String,
    drivers: Vec<Driver>,
    luns: Vec<Lun>,
    serves: Vec<serve::Serve>,
    events: Events,
    /// Whether the objects' picture can be trusted.
    cache: CacheState,
    /// LUNs that were closed while this process lives.
    departed: Vec<uuid::Uuid>,
    cleared: counters::Cleared,
    pending: Vec<pending::Pending>,
    /// When paths are looked at again.
    verified: Time,
    clock: Clock,
    started: Time,
    stopping: bool,
}

/// Why a daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("cannot start a reactor: {0}")]
    Reactor(io::Error),
}

impl Registry {
    /// Takes the state's directory, starts the reactors, and opens what should be open. A LUN that
    /// cannot be opened is an event, and no reason not to start.
    ///
    /// # Errors
    /// No state, or no reactor.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let (store, state) = Store::open(&config.state_dir)?;
        let id = config.host.id.unwrap_or(state.host.id);
        let nqn = format!("nqn.2014-08.org.nvmexpress:uuid:{id}");
        let name = config.host.initiator_name.clone();
        let initiator_name = name.unwrap_or_else(|| state.host.initiator_name.clone());
        let host = HostIdentity {
            nqn: config.host.nqn.clone().unwrap_or(nqn),
            id: *id.as_bytes(),
            initiator_name: initiator_name.clone(),
            reactor: 0,
        };
        let clock = Clock::monotonic();
        let mut registry = Self {
            initiator_name,
            host,
            started: clock.now(),
            clock,
            config,
            store,
            state,
            state_kept: true,
            drivers: Vec::new(),
            luns: Vec::new(),
            serves: Vec::new(),
            events: Events::default(),
            cache: CacheState::default(),
            departed: Vec::new(),
            cleared: counters::Cleared::default(),
            pending: Vec::new(),
            verified: Time::ZERO,
            stopping: false,
        };
        registry.start_reactors().map_err(StartError::Reactor)?;
        let text = format!("umpio {} is here", env!("CARGO_PKG_VERSION"));
        registry.note(EventKind::DaemonStarted, "", None, text);
        let idle = registry.config.timers.without_effect();
        if !idle.is_empty() {
            tracing::warn!("kept and shown, but without effect: {}", idle.join(", "));
        }
        registry.put_recovery();
        registry.tell_target_defaults();
        let config = registry.config.clone();
        registry.converge(config);
        registry.persist()?;
        Ok(registry)
    }

    fn start_reactors(&mut self) -> io::Result<()> {
        let board = Board::default();
        for index in 0..self.config.reactors.count {
            let reactor = ReactorConfig {
                clock: self.clock.clone(),
                host: self.host.clone(),
                index,
                board: board.clone(),
                ..ReactorConfig::default()
            };
            let driver = DriverConfig {
                name: format!("umpio-{index}"),
                cpu: self.config.reactors.cpus.get(index).copied(),
                spin: Some(self.config.reactors.spin),
            };
            self.drivers.push(Driver::start(reactor, driver, |_| {})?);
        }
        Ok(())
    }

    fn note(&mut self, kind: EventKind, lun: &str, nexus: Option<u64>, text: impl Into<String>) {
        self.events.note(wall_nanos(), kind, lun, nexus, text);
    }

    /// Keeps what was set at run time. An answer goes out after this.
    fn persist(&mut self) -> Result<(), StateError> {
        self.state.generation = self.state.generation.wrapping_add(1);
        self.check_kept();
        match self.store.save(&self.state) {
            Ok(()) => {
                self.state_kept = true;
                Ok(())
            }
            Err(e) => {
                self.state_kept = false;
                self.note(EventKind::StateFailed, "", None, e.to_string());
                Err(e)
            }
        }
    }

    /// What was kept may have come into other hands: from now on it is written anew, and the picture
    /// that it was half of is not to be trusted until somebody has it read again.
    fn check_kept(&mut self) {
        let Some(what) = self.store.damage() else {
            return;
        };
        self.note(EventKind::StateFailed, "", None, what.clone());
        self.cache.corrupt(what);
        // Nothing that was set is lost: this daemon has it all.
        self.state_kept = self.store.save_anew(&self.state).is_ok();
    }

    /// What was kept may turn out not to be durable: says so, and tries another way.
    fn check_store(&mut self) {
        let Some(trouble) = self.store.trouble() else {
            return;
        };
        self.note(EventKind::StateFailed, "", None, trouble.to_string());
        self.state_kept = self.store.save_whole(&self.state).is_ok();
    }

    /// The config in force, for whoever serves it.
    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Reads the config file again. A wrong one changes nothing.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn reload(&mut self) -> Result<ReloadAnswer, ConfigError> {
        let Some(file) = self.config.file.clone() else {
            return Ok(ReloadAnswer::default());
        };
        match Config::load(&file) {
            Ok(mut config) => {
                config.pin(self.config.pinned.clone());
                let answer = self.converge(config);
                if self.persist().is_err() {
                    tracing::error!("run-time settings that the file has overruled may come back");
                }
                let text = match answer.changed.len() {
                    0 => "nothing differs".to_owned(),
                    _ => answer.changed.join("; "),
                };
                self.note(EventKind::ConfigReloaded, "", None, text);
                Ok(answer)
            }
            Err(e) => {
                self.note(EventKind::ConfigRefused, "", None, e.to_string());
                Err(e)
            }
        }
    }

    /// Carries a command out.
    ///
    /// # Errors
    /// It names what is not there, is refused, or could not be done.
    fn run(&mut self, command: Command) -> Result<Answer, CommandError> {
        if self.stopping && command.changes() {
            return Err(CommandError::Stopping);
        }
        self.is_free(&command)?;
        match command {
            Command::Nothing => Ok(Answer::Done),
            Command::Version => Ok(Answer::Version(look::version())),
            Command::Status => self.status().map(|s| Answer::Status(Box::new(s))),
            Command::Config => Ok(Answer::Config(Box::new(self.config_answer()))),
            Command::LunList => self.lun_list().map(Answer::Luns),
            Command::LunGet { lun } => self.lun_get(&lun).map(|l| Answer::Lun(Box::new(l))),
            Command::LunCreate(new) => {
                let name = new.name.clone();
                self.lun_create(new)?;
                self.lun_get(&name).map(|l| Answer::Lun(Box::new(l)))
            }
            Command::LunClose { lun } => self.lun_close(&lun).map(|()| Answer::Done),
            Command::PathList { lun } => self.path_list(lun.as_deref()).map(Answer::Paths),
            Command::PathAdd { lun, url, weight } => {
                self.path_add(&lun, &url, weight).map(|()| Answer::Done)
            }
            Command::PathRemove { lun, path } => {
                self.path_remove(&lun, path).map(|()| Answer::Done)
            }
            Command::NexusList => self.nexus_list().map(Answer::Nexuses),
            Command::NexusReset { nexus } => self.nexus_reset(nexus).map(|()| Answer::Done),
            Command::PolicyGet { lun } => {
                self.policy_get(&lun).map(|p| Answer::Policy(Box::new(p)))
            }
            Command::PolicySet(new) => {
                let now = self.policy_set(&new)?;
                let answer = look::policy_answer(&new.lun, &now);
                Ok(Answer::Policy(Box::new(answer)))
            }
            Command::DefaultsGet => Ok(Answer::Defaults(self.defaults())),
            Command::DefaultsSet { policy } => {
                self.defaults_set(policy)?;
                Ok(Answer::Defaults(self.defaults()))
            }
            Command::TimersGet => Ok(Answer::Timers(self.timers())),
            Command::TimersSet(values) => {
                self.timers_set(&values)?;
                Ok(Answer::Timers(self.timers()))
            }
            Command::Events { after, max } => Ok(Answer::Events {
                events: self.events.after(after, max),
                last: self.events.last(),
            }),
            Command::ServeList => Ok(Answer::Serves(self.serve_list())),
            Command::Reload => match self.reload() {
                Ok(answer) => Ok(Answer::Reload(answer)),
                Err(e) => Err(CommandError::Failed(format!(
                    "{e}; the running state is unchanged"
                ))),
            },
            Command::Shutdown => {
                self.begin_stop("asked for over RPC");
                Ok(Answer::Done)
            }
            Command::Metrics => self.metrics().map(Answer::Text),
            Command::Object(wanted) => Ok(Answer::Object(self.object(wanted)?)),
        }
    }

    /// From now on nothing is changed any more; whoever drives the registry ends it.
    pub fn begin_stop(&mut self, why: &str) {
        if !self.stopping {
            self.stopping = true;
            self.note(EventKind::DaemonStopping, "", None, why);
        }
    }

    /// Ends everything in order: no new I/O from hosts we serve, then logout of every path.
    pub fn stop(mut self) {
        self.begin_stop("asked to");
        let serves = std::mem::take(&mut self.serves);
        for serve in serves {
            self.end_serve(serve);
        }
        for lun in &self.luns {
            for (driver, channel) in self.drivers.iter().zip(lun.channels.clone()) {
                // A reactor that is gone has nothing open.
                let _ = driver.handle().send(move |r| r.plane().close(channel));
            }
        }
        // A driver logs out of what is left while it stops.
        for driver in std::mem::take(&mut self.drivers) {
            driver.stop();
        }
        if let Err(e) = self.store.close(&self.state) {
            tracing::error!("the state could not be written: {e}");
        }
    }
}

impl Command {
    /// It changes something, and is refused while the daemon stops.
    fn changes(&self) -> bool {
        matches!(
            self,
            Self::LunCreate(_)
                | Self::LunClose { .. }
                | Self::PathAdd { .. }
                | Self::PathRemove { .. }
                | Self::NexusReset { .. }
                | Self::PolicySet(_)
                | Self::DefaultsSet { .. }
                | Self::TimersSet(_)
                | Self::Reload
        )
    }
}
