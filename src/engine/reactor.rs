//! One reactor: a data plane, the services on it, a clock and a mailbox.

use super::board::{Board, NexusCell};
use crate::base::clock::{Clock, Time, wall_nanos};
use crate::base::mailbox::{Mailbox, SendError, Sender, Waker, mailbox};
use crate::lun::channel::LunSettings;
use crate::lun::plane::{ChannelId, PathToOpen, Plane};
use crate::lun::policy::{NtStatus, PolicySpec};
use crate::lun::port::PortId;
use crate::lun::status::LunStatus;
use crate::path::dialer::{self, Dialer};
use crate::path::local::{LocalDevice, LocalSpec};
use crate::path::nvme_link::HostIdentity;
use crate::path::state::State;
use crate::path::url::{NexusSpec, PathSpec, UrlError};
use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

/// A LUN to open.
#[derive(Clone, Debug, Default)]
pub struct LunSpec {
    pub name: String,
    /// Path URLs, in list order.
    pub urls: Vec<String>,
    /// Weights, by place in `urls`; 0 where missing.
    pub weights: Vec<u32>,
    /// `None`: what the LUN's capability gives.
    pub policy: Option<PolicySpec>,
    pub settings: LunSettings,
}

/// Why a LUN was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error("a LUN needs at least one path")]
    NoPaths,
    #[error("{count} paths given, a LUN has {max} at most")]
    TooManyPaths { count: usize, max: usize },
    #[error(
        "'{url}': this path leads over the same nexus as '{other}'; vary the address, the port or src="
    )]
    SameNexus { url: String, other: String },
    #[error("'{url}': {source}")]
    Local { url: String, source: io::Error },
}

/// A LUN that is not usable (in full) yet: why, path by path.
#[derive(Debug, thiserror::Error)]
#[error("LUN '{name}' is not ready after {after:?}:\n{why}")]
pub struct NotReady {
    pub name: String,
    pub after: Duration,
    pub why: String,
}

/// Something that lives on a reactor and turns with it: a served target, a workload.
pub trait Service: fmt::Debug {
    /// One turn; returns whether anything was done.
    fn poll(&mut self, plane: &mut Plane, now: Time) -> bool;
    /// When it has something to do even if nothing arrives.
    fn next_deadline(&self) -> Time {
        Time::NEVER
    }
    /// It will never do anything again, and may be dropped.
    fn is_over(&self) -> bool {
        false
    }
    /// Descriptors to sleep on; true: until writable as well.
    fn fds(&self, _out: &mut Vec<(RawFd, bool)>) {}
}

/// A service's place on its reactor.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ServiceId(usize);

/// How a reactor is made.
#[derive(Clone, Debug)]
pub struct ReactorConfig {
    pub clock: Clock,
    pub dialer: Dialer,
    pub host: HostIdentity,
    /// Seed of back-off jitter and the like.
    pub seed: u64,
    /// Place among the reactors that share `board`.
    pub index: usize,
    pub board: Board,
}

impl Default for ReactorConfig {
    fn default() -> Self {
        Self {
            clock: Clock::monotonic(),
            dialer: Dialer::Tcp,
            host: random_host(),
            seed: wall_nanos(),
            index: 0,
            board: Board::default(),
        }
    }
}

/// A host identity of its own for this process: host NQN in the UUID form, and a host id to match.
pub fn random_host() -> HostIdentity {
    let id = uuid::Uuid::new_v4();
    HostIdentity {
        nqn: format!("nqn.2014-08.org.nvmexpress:uuid:{id}"),
        id: *id.as_bytes(),
        initiator_name: format!("iqn.2026-01.org.umpio:{id}"),
        reactor: 0,
    }
}

/// Work handed to a reactor from another thread.
type Order = Box<dyn FnOnce(&mut Reactor) + Send>;

/// Orders that may wait at a time.
const MAILBOX: usize = 256;

/// A handle for other threads: the only way from the control plane to the data plane.
#[derive(Clone, Debug)]
pub struct Handle(Sender<OrderBox>);

/// An order, with a `Debug` that says no more than that.
struct OrderBox(Order);

impl fmt::Debug for OrderBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("order")
    }
}

/// The reactor did not take an order.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HandleError {
    #[error("the reactor has too many orders waiting")]
    Full,
    #[error("the reactor has stopped")]
    Stopped,
}

impl Handle {
    /// Runs `f` on the reactor's thread, in its next turn. Does not wait.
    ///
    /// # Errors
    /// The mailbox is full, or the reactor gone.
    pub fn send(&self, f: impl FnOnce(&mut Reactor) + Send + 'static) -> Result<(), HandleError> {
        self.0.send(OrderBox(Box::new(f))).map_err(|e| match e {
            SendError::Full(_) => HandleError::Full,
            SendError::Closed(_) => HandleError::Stopped,
        })
    }

    /// Makes the reactor turn, asleep or not, without an order.
    pub fn waker(&self) -> Waker {
        self.0.waker()
    }

    /// Runs `f` on the reactor's thread and waits for what it returns.
    ///
    /// # Errors
    /// As `send`; also when the reactor stops before it answers.
    pub fn ask<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Reactor) -> T + Send + 'static,
    ) -> Result<T, HandleError> {
        let (tx, rx) = std::sync::mpsc::channel();
        self.send(move |r| {
            // The asker may have gone away; its answer goes with it.
            let _ = tx.send(f(r));
        })?;
        rx.recv().map_err(|_| HandleError::Stopped)
    }
}

/// A polling loop's worth of engine.
#[derive(Debug)]
pub struct Reactor {
    plane: Plane,
    services: Vec<Option<Box<dyn Service + Send>>>,
    clock: Clock,
    now: Time,
    mailbox: Mailbox<OrderBox>,
    handle: Handle,
    index: usize,
    board: Board,
    /// By association.
    cells: Vec<Arc<NexusCell>>,
    /// Time of the ticks that did work.
    busy_ns: u64,
    worked: bool,
    stopping: bool,
    fds: Vec<(RawFd, bool)>,
}

impl Reactor {
    /// # Errors
    /// No descriptor for the mailbox.
    pub fn new(config: ReactorConfig) -> io::Result<Self> {
        let (mailbox, sender) = mailbox(MAILBOX)?;
        let now = config.clock.now();
        let mut plane = Plane::new(
            config.dialer,
            HostIdentity {
                reactor: config.index,
                ..config.host
            },
            config.seed,
            now,
        );
        plane.share_doubts(&config.board.doubts, config.clock.clone());
        Ok(Self {
            plane,
            services: Vec::new(),
            clock: config.clock,
            now,
            mailbox,
            handle: Handle(sender),
            index: config.index,
            board: config.board,
            cells: Vec::new(),
            busy_ns: 0,
            worked: false,
            stopping: false,
            fds: Vec::new(),
        })
    }

    /// One turn: send what waits, receive, complete, let services work, send again. Returns
    /// whether anything was done.
    pub fn poll(&mut self) -> bool {
        let now = self.clock.now();
        if self.worked {
            self.busy_ns += now.nanos_since(self.now);
        }
        self.now = now;
        let mut worked = dialer::begin_turn();
        worked |= self.plane.flush(now);
        while let Some(OrderBox(order)) = self.mailbox.take() {
            order(self);
            worked = true;
        }
        self.exchange_loads();
        worked |= self.plane.poll(now);
        for place in &mut self.services {
            let Some(service) = place else { continue };
            if service.poll(&mut self.plane, now) {
                worked = true;
                if service.is_over() {
                    *place = None;
                }
            }
        }
        worked |= self.plane.flush(now);
        worked |= dialer::end_turn();
        self.worked = worked;
        worked
    }

    fn exchange_loads(&mut self) {
        for (ix, cell) in self.cells.iter().enumerate() {
            let load = &self.plane.loads()[ix];
            if let Some((n, bytes)) =
                cell.exchange(self.index, load.in_flight, load.outstanding_bytes)
            {
                self.plane.set_remote_load(ix, n, bytes);
            }
        }
    }

    /// Sleeps until something arrives, something is due, or `at_most` has passed.
    pub fn wait(&mut self, at_most: Duration) {
        let now = self.clock.now();
        let services = self
            .services
            .iter()
            .flatten()
            .map(|s| s.next_deadline())
            .min()
            .unwrap_or(Time::NEVER);
        let due = self.plane.next_deadline().min(services);
        let sleep = due.since(now).min(at_most);
        if sleep.is_zero() || !self.mailbox.prepare_sleep() {
            return;
        }
        self.fds.clear();
        self.plane.paths.fds(&mut self.fds);
        for service in self.services.iter().flatten() {
            service.fds(&mut self.fds);
        }
        self.fds.push((self.mailbox.fd(), false));
        crate::sys::sleep::until_ready(&self.fds, sleep);
        self.mailbox.woken();
        // Sleeping is not work.
        self.worked = false;
        self.now = self.clock.now();
    }

    pub fn now(&self) -> Time {
        self.now
    }

    pub fn plane(&mut self) -> &mut Plane {
        &mut self.plane
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Nanoseconds spent in ticks that did work (submissions of the caller between them included).
    pub fn busy_ns(&self) -> u64 {
        self.busy_ns
    }

    /// Opens a LUN; its paths log in as `poll` is called.
    ///
    /// # Errors
    /// Bad URLs, two paths over one nexus, local devices that do not open.
    pub fn open_lun(&mut self, spec: &LunSpec) -> Result<ChannelId, OpenError> {
        let mut paths = Vec::with_capacity(spec.urls.len());
        let mut seen: Vec<(u64, &str)> = Vec::new();
        if spec.urls.is_empty() {
            return Err(OpenError::NoPaths);
        }
        let max = crate::base::limits::PATHS_PER_LUN;
        if spec.urls.len() > max {
            return Err(OpenError::TooManyPaths {
                count: spec.urls.len(),
                max,
            });
        }
        for (n, url) in spec.urls.iter().enumerate() {
            let path = PathSpec::parse(url)?;
            let id = path.nexus.id();
            if let Some((_, other)) = seen.iter().find(|(i, _)| *i == id) {
                return Err(OpenError::SameNexus {
                    url: url.clone(),
                    other: (*other).to_owned(),
                });
            }
            seen.push((id, url));
            let local = match &path.nexus {
                NexusSpec::Local(text) => {
                    Some(open_local(text).map_err(|source| OpenError::Local {
                        url: url.clone(),
                        source,
                    })?)
                }
                NexusSpec::NvmeTcp(_) | NexusSpec::Iscsi(_) => None,
            };
            paths.push(PathToOpen {
                spec: path,
                local,
                weight: spec.weights.get(n).copied().unwrap_or(0),
            });
        }
        Ok(self.open_paths(&spec.name, paths, spec.policy, spec.settings.clone()))
    }

    /// As `open_lun`, over paths made by the caller (shared local devices).
    pub fn open_paths(
        &mut self,
        name: &str,
        paths: Vec<PathToOpen>,
        policy: Option<PolicySpec>,
        settings: LunSettings,
    ) -> ChannelId {
        let id = self.plane.open(name, paths, policy, settings);
        self.join_board();
        id
    }

    /// Adds a path to a LUN, at the end of its list. Its nexus must be new to the LUN.
    pub fn add_path(&mut self, lun: ChannelId, path: PathToOpen) {
        self.plane.add_path(lun, path);
        self.join_board();
    }

    fn join_board(&mut self) {
        while self.cells.len() < self.plane.paths.len() {
            let nexus = self.plane.paths.get(self.cells.len()).nexus.id;
            self.cells.push(self.board.join(nexus));
        }
    }

    pub fn open_port(&mut self, lun: ChannelId) -> PortId {
        self.plane.open_port(lun)
    }

    /// # Errors
    /// What Windows refuses.
    pub fn set_policy(&mut self, lun: ChannelId, policy: PolicySpec) -> Result<(), NtStatus> {
        self.plane.set_policy(lun, policy)
    }

    pub fn status(&self, lun: ChannelId) -> LunStatus {
        self.plane.status(lun)
    }

    pub fn add_service(&mut self, service: Box<dyn Service + Send>) -> ServiceId {
        self.services.push(Some(service));
        ServiceId(self.services.len() - 1)
    }

    pub fn remove_service(&mut self, id: ServiceId) -> Option<Box<dyn Service + Send>> {
        self.services.get_mut(id.0)?.take()
    }

    /// Polls until every path of the LUN has joined; or, once the time is up, until at least one
    /// has.
    ///
    /// # Errors
    /// None has: why, path by path.
    pub fn await_paths(&mut self, lun: ChannelId, at_most: Duration) -> Result<(), NotReady> {
        let until = self.clock.now() + at_most;
        loop {
            let worked = self.poll();
            if self.plane.all_joined(lun) {
                return Ok(());
            }
            if self.now >= until {
                break;
            }
            if !worked {
                self.wait(Duration::from_millis(1));
            }
        }
        if self.plane.channel(lun).slots.iter().any(|s| s.joined) {
            return Ok(());
        }
        let status = self.status(lun);
        Err(NotReady {
            why: status.why_not_ready(),
            name: status.name,
            after: at_most,
        })
    }

    /// Ends every association in order, for at most `at_most`.
    pub fn shut_down(&mut self, at_most: Duration) {
        let until = self.clock.now() + at_most;
        self.plane.paths.drain_all(self.now);
        while !self.plane.paths.drained() && self.clock.now() < until {
            if !self.poll() {
                self.wait(Duration::from_millis(1));
            }
        }
    }

    /// Asks the thread that polls this reactor to end.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Associations that are up, for status lines.
    pub fn links_up(&self) -> usize {
        self.plane
            .paths
            .iter()
            .filter(|a| a.state() == State::Up)
            .count()
    }
}

fn open_local(text: &str) -> io::Result<LocalDevice> {
    let spec: LocalSpec = text
        .parse()
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, format!("{e}")))?;
    LocalDevice::open(&spec)
}
