//! One controller association: what it answers to admin and Fabrics commands, its keep alive
//! timer and its events.
//!
//! No I/O, no clock, no queues: the owner hands in commands with their data and a [`View`] of the
//! subsystem, and carries out what a [`Reply`] asks for. I/O commands do not pass through here,
//! but for [`io::decode`].

mod ccr;
pub mod connect;
mod events;
mod features;
mod identify;
pub mod io;
mod logs;
mod registers;
mod view;
pub mod wire;

pub use events::Notice;
pub use identify::NSID_MAX;
pub use registers::{Change, VERSION};
pub use view::{AnaState, Limits, NamespaceInfo, SubsystemInfo, View};

use crate::base::clock::Time;
use crate::proto::nvme::ccr::CcrCompletion;
use crate::proto::nvme::fabrics::{PropertyGet, PropertySet, fabrics_type};
use crate::proto::nvme::{AdminOpcode, CrossControllerReset, FabricsType, Sqe};
use events::Events;
use features::{Effect, Features};
use registers::Registers;
use std::time::Duration;
use wire::status;

/// Which controller this is: its id is used again, the instance is not (TP8028).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Instance {
    pub cntlid: u16,
    /// Controller Instance Uniquifier: changes each time the id is used again, never 0.
    pub ciu: u8,
    /// Controller Instance Random Number.
    pub cirn: u64,
}

/// What an admin or Fabrics command comes to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Answer now.
    Done { result: u64, status: u16 },
    /// Answer now with the data in the buffer handed in.
    Data { result: u64 },
    /// An Asynchronous Event Request, answered when [`Controller::take_event`] names its slot.
    Held,
    /// Abort of a command; the owner answers, bit 0 of the result clear if it was aborted.
    Abort { sqid: u16, cid: u16 },
    /// A cross-controller reset; the owner answers by [`Controller::reset_result`].
    Reset(CrossControllerReset),
    /// CC was written: answer success, and end queues or I/O as it says, then call `quiet`.
    Configure(Change),
    /// The host gives up this I/O queue: answer success and close.
    Disconnect,
}

impl Reply {
    const fn done(result: u64) -> Self {
        Self::Done {
            result,
            status: status::SUCCESS,
        }
    }

    const fn error(status: u16) -> Self {
        Self::Done { result: 0, status }
    }
}

/// One controller and what its host has set.
#[derive(Debug)]
pub struct Controller {
    pub instance: Instance,
    pub hostnqn: String,
    pub host_id: [u8; 16],
    registers: Registers,
    /// It has been enabled before.
    enabled: bool,
    features: Features,
    events: Events,
    changed: logs::Changed,
    resets: ccr::ResetLog,
    ana_changes: u64,
    /// When the association ends unless the host says something.
    alive_until: Time,
    /// A command has come since `alive_until` was set.
    traffic: bool,
}

/// Events a controller of this subsystem tells (OAES).
fn supported_events(view: &View<'_>) -> u32 {
    if view.subsystem.discovery {
        return Notice::DiscoveryChanged.config_bit();
    }
    let mut bits = Notice::NamespaceChanged.config_bit() | Notice::AnaChange.config_bit();
    if view.limits.ccr_limit > 0 {
        bits |= Notice::ResetCompleted.config_bit();
    }
    bits
}

impl Controller {
    /// A controller that a Connect has just made.
    pub fn new(instance: Instance, connect: &connect::Connect, limits: &Limits, now: Time) -> Self {
        let mut c = Self {
            instance,
            hostnqn: connect.hostnqn.clone(),
            host_id: connect.host_id,
            registers: Registers::default(),
            enabled: false,
            features: Features::default(),
            events: Events::default(),
            changed: logs::Changed::default(),
            resets: ccr::ResetLog::default(),
            ana_changes: 1,
            alive_until: Time::NEVER,
            traffic: false,
        };
        c.features.kato = Features::rounded_kato(connect.kato_ms, limits.kas);
        c.heard(now);
        c
    }

    /// The keep alive timeout in force; zero when there is none.
    pub fn kato(&self) -> Duration {
        self.features.kato
    }

    /// I/O queues granted to the host; 0 before it has asked.
    pub fn queues(&self) -> u16 {
        self.features.queues
    }

    /// When `expired` may next become true.
    pub fn deadline(&self) -> Time {
        self.alive_until
    }

    fn heard(&mut self, now: Time) {
        self.traffic = false;
        self.alive_until = if self.features.kato.is_zero() {
            Time::NEVER
        } else {
            now + self.features.kato
        };
    }

    /// A command of any queue has come.
    #[inline]
    pub fn note_traffic(&mut self) {
        self.traffic = true;
    }

    /// Whether the host has been silent for the keep alive timeout. Where any traffic counts, an
    /// interval with a command in it starts another one (CTRATT.TBKAS).
    pub fn expired(&mut self, limits: &Limits, now: Time) -> bool {
        if now < self.alive_until {
            return false;
        }
        if limits.traffic_keep_alive && self.traffic {
            self.heard(now);
            return false;
        }
        true
    }

    /// I/O commands may be executed now.
    #[inline]
    pub fn accepts_io(&self, now: Time) -> bool {
        self.registers.accepts_io(now)
    }

    /// Commands may be executed now: the enable handshake is over.
    pub fn is_ready(&self, now: Time) -> bool {
        self.registers.is_ready(now)
    }

    /// Something waits until no I/O of this controller can be executed any more.
    pub fn wants_quiet(&self) -> bool {
        self.registers.wants_quiet()
    }

    /// No I/O of this controller can be executed any more: ends reset or shutdown.
    pub fn quiet(&mut self) {
        self.registers.quiet();
    }

    /// An access state that this controller reports has changed.
    pub fn ana_changed(&mut self) {
        self.ana_changes += 1;
        self.events.raise(Notice::AnaChange);
    }

    /// A namespace has come, gone, or changed.
    pub fn namespace_changed(&mut self, nsid: u32) {
        self.changed.add(nsid);
        self.events.raise(Notice::NamespaceChanged);
    }

    /// The discovery log has changed.
    pub fn discovery_changed(&mut self) {
        self.events.raise(Notice::DiscoveryChanged);
    }

    /// A reset takes longer: the host will be told by event and log.
    pub fn reset_begun(&mut self, which: CrossControllerReset) {
        self.resets.begin(which);
    }

    /// A controller is gone; tells the host if it has asked for that.
    pub fn reset_finished(&mut self, which: &CrossControllerReset) {
        if self.resets.finish(which) {
            self.events.raise(Notice::ResetCompleted);
        }
    }

    /// Dword 0 of the answer to a reset: bit 0 says that it is done.
    pub const fn reset_result(immediate: bool) -> u64 {
        CcrCompletion { immediate }.to_dw0() as u64
    }

    /// An Asynchronous Event Request to answer, with its result.
    #[inline]
    pub fn take_event(&mut self) -> Option<(u16, u64)> {
        let (slot, dword) = self.events.take()?;
        Some((slot, dword.into()))
    }

    /// Forgets a waiting Asynchronous Event Request; true when there was one in that slot.
    pub fn withdraw_event(&mut self, slot: u16) -> bool {
        self.events.withdraw(slot)
    }

    pub fn events_waiting(&self) -> usize {
        self.events.requests()
    }

    /// Adds a retry delay to a status that a later try may cure, for hosts that heed it.
    pub fn delayed(&self, status: u16) -> u16 {
        if self.features.retry_delays() {
            status | status::CRD1
        } else {
            status
        }
    }

    /// Answers a command of the admin queue that is no Connect. `data` is what the host sent with
    /// it, `out` takes what goes back, `io_queues` says that the host has connected some.
    pub fn admin(&mut self, sqe: &Sqe, data: &[u8], call: Call<'_>, out: &mut Vec<u8>) -> Reply {
        let Call { view, now, .. } = call;
        self.note_traffic();
        out.clear();
        if let Some(kind) = fabrics_type(sqe) {
            return self.fabrics(kind, sqe, view, now);
        }
        if !self.registers.is_ready(now) {
            return Reply::error(status::COMMAND_SEQUENCE);
        }
        let result = match AdminOpcode(sqe.opcode()) {
            AdminOpcode::IDENTIFY => identify::identify(sqe, view, &self.instance, out)
                .map(|()| Reply::Data { result: 0 }),
            AdminOpcode::GET_LOG_PAGE => self.log_page(sqe, view, out),
            AdminOpcode::SET_FEATURES => self.set_feature(sqe, data, &call),
            AdminOpcode::GET_FEATURES => self.get_feature(sqe, view, out),
            AdminOpcode::ASYNC_EVENT_REQUEST => {
                if self.events.request(call.slot, view.limits.async_events) {
                    Ok(Reply::Held)
                } else {
                    Err(status::AER_LIMIT)
                }
            }
            AdminOpcode::KEEP_ALIVE => {
                self.heard(now);
                Ok(Reply::done(0))
            }
            AdminOpcode::ABORT => Ok(Reply::Abort {
                sqid: sqe.cdw10() as u16,
                cid: (sqe.cdw10() >> 16) as u16,
            }),
            AdminOpcode::CROSS_CONTROLLER_RESET
                if view.limits.ccr_limit > 0 && !view.subsystem.discovery =>
            {
                self.cross_reset(sqe, view)
            }
            _ => Err(status::INVALID_OPCODE),
        };
        result.unwrap_or_else(Reply::error)
    }

    /// Property Get and Set, and Disconnect.
    fn fabrics(&mut self, kind: FabricsType, sqe: &Sqe, view: &View<'_>, now: Time) -> Reply {
        let result = match kind {
            FabricsType::PROPERTY_GET => PropertyGet::parse(sqe)
                .map_err(|_| status::INVALID_FIELD)
                .and_then(|p| self.registers.get(&p, view.limits, now))
                .map(Reply::done),
            FabricsType::PROPERTY_SET => PropertySet::parse(sqe)
                .map_err(|_| status::INVALID_FIELD)
                .and_then(|p| self.registers.set(&p, view.limits, now))
                .map(|change| self.changed_cc(change)),
            FabricsType::DISCONNECT => Ok(Reply::Disconnect),
            // A second Connect on a connected queue.
            FabricsType::CONNECT => Err(status::COMMAND_SEQUENCE),
            _ => Err(status::INVALID_OPCODE),
        };
        result.unwrap_or_else(Reply::error)
    }

    fn changed_cc(&mut self, change: Change) -> Reply {
        match change {
            Change::None => Reply::done(0),
            Change::Enabled => {
                // TP8028: an instance lasts from one enabling to the next.
                if std::mem::replace(&mut self.enabled, true) {
                    let i = &mut self.instance;
                    i.ciu = i.ciu.checked_add(1).unwrap_or(1);
                    i.cirn = i.cirn.rotate_left(17) ^ 0x9e37_79b9_7f4a_7c15;
                }
                Reply::done(0)
            }
            Change::Reset => {
                self.forget();
                Reply::Configure(change)
            }
            Change::Shutdown => Reply::Configure(change),
        }
    }

    /// A controller reset: features and logs are as at the start (section 3.7.2).
    fn forget(&mut self) {
        self.features.reset();
        self.events.reset();
        self.changed.clear();
        self.resets.clear();
    }

    fn log_page(&mut self, sqe: &Sqe, view: &View<'_>, out: &mut Vec<u8>) -> Result<Reply, u16> {
        let request = logs::parse(sqe)?;
        let mut sources = logs::Sources {
            changed: &mut self.changed,
            resets: &mut self.resets,
            ana_changes: self.ana_changes,
        };
        logs::read(&request, view, &mut sources, out)?;
        if !request.rae {
            self.events.log_read(request.lid);
        }
        Ok(Reply::Data { result: 0 })
    }

    fn set_feature(&mut self, sqe: &Sqe, data: &[u8], call: &Call<'_>) -> Result<Reply, u16> {
        let effect = self
            .features
            .set(sqe, data, call.view, call.io_queues_in_use)?;
        Ok(Reply::done(match effect {
            Effect::None(dword) => dword.into(),
            Effect::AsyncEvents(config) => {
                self.events.set_config(config & supported_events(call.view));
                0
            }
            Effect::KeepAlive(ms) => {
                self.heard(call.now);
                ms.into()
            }
        }))
    }

    fn get_feature(&mut self, sqe: &Sqe, view: &View<'_>, out: &mut Vec<u8>) -> Result<Reply, u16> {
        let config = self.events.config();
        let dword = self
            .features
            .get(sqe, view, config, &self.host_id, out)?
            .into();
        Ok(if out.is_empty() {
            Reply::done(dword)
        } else {
            Reply::Data { result: dword }
        })
    }

    fn cross_reset(&self, sqe: &Sqe, view: &View<'_>) -> Result<Reply, u16> {
        let which = CrossControllerReset::parse(sqe).map_err(|_| status::INVALID_FIELD)?;
        // A controller does not end itself this way.
        if which.icid == self.instance.cntlid {
            return Err(status::INVALID_FIELD);
        }
        if self.resets.names(&which) {
            return Err(status::CCR_IN_PROGRESS);
        }
        if self.resets.is_full() {
            return Err(status::CCR_LOG_FULL);
        }
        if self.resets.in_progress() >= usize::from(view.limits.ccr_limit) {
            return Err(status::CCR_LIMIT);
        }
        Ok(Reply::Reset(which))
    }
}

/// The circumstances of one admin command.
#[derive(Copy, Clone, Debug)]
pub struct Call<'a> {
    pub view: &'a View<'a>,
    pub now: Time,
    /// Where the command lives, for those that are answered later.
    pub slot: u16,
    /// The host has I/O queues connected.
    pub io_queues_in_use: bool,
}
