//! One connection of a target: its commands, and moving bytes.

use super::teardown::CloseReason;
use super::{ADMIN_EVERY, IDLE_AFTER, IDLE_EVERY, Target};
use crate::base::clock::Time;
use crate::base::request::Op;
use crate::base::sg::SgList;
use crate::lun::port::{PortId, Ports};
use crate::proto::nvme::controller::io::Io;
use crate::proto::nvme_tcp::controller::{ControllerQueue, Event, QueueConfig};
use crate::transport::{Conn, Source};
use std::collections::VecDeque;
use std::time::Duration;

/// Receive calls of one connection in one turn at most, when each was cut short by a command
/// that needed a buffer.
const TURNS_MAX: usize = 16;
/// How long a connection that failed is kept for its last PDU to be read.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// Which connection, for something that comes back to it later.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) index: usize,
    pub(super) epoch: u64,
}

/// Where a command is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Idle,
    /// Its data from the host is on the way in.
    Data,
    /// It waits for a payload buffer.
    Starved,
    /// It waits for a hold to be lifted.
    Held,
    /// It is handed to `Ports`, as `pending` requests.
    Running,
    /// An admin command that is answered by something else.
    Waiting,
}

/// One command, by slot.
#[derive(Copy, Clone, Debug)]
pub(super) struct Command {
    pub(super) stage: Stage,
    pub(super) io: Io,
    pub(super) nsid: u32,
    pub(super) port: PortId,
    pub(super) pending: u32,
    pub(super) status: u16,
}

impl Default for Command {
    fn default() -> Self {
        Self {
            stage: Stage::Idle,
            io: Io {
                op: Op::Flush,
                fua: false,
                lba: 0,
                blocks: 0,
                bytes: 0,
                ranges: 0,
            },
            nsid: 0,
            port: PortId(0),
            pending: 0,
            status: 0,
        }
    }
}

/// An answer that a fault delays.
#[derive(Debug)]
pub(super) struct Delayed {
    pub(super) at: Time,
    pub(super) slot: u16,
    pub(super) status: u16,
    pub(super) data: Option<SgList>,
}

/// A command kept from being executed, with its data.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) slot: u16,
    pub(super) data: Option<SgList>,
}

#[derive(Debug)]
pub(super) struct Connection {
    /// None once it is closed. It stays until its commands in execution are back and held ones
    /// are executed or discarded.
    pub(super) link: Option<Conn>,
    pub(super) queue: ControllerQueue,
    pub(super) portal: usize,
    pub(super) member: Option<usize>,
    pub(super) qid: u16,
    pub(super) epoch: u64,
    pub(super) opened: Time,
    pub(super) peer: String,
    pub(super) commands: Vec<Command>,
    pub(super) in_execution: u32,
    pub(super) held: VecDeque<Held>,
    pub(super) delayed: VecDeque<Delayed>,
    pub(super) starved: VecDeque<u16>,
    /// It failed, and is closed at this time at the latest.
    pub(super) closing: Option<Time>,
    /// The host has given this queue up; it is closed once the answer has left.
    pub(super) leaving: bool,
    pub(super) next_look: Time,
    last_traffic: Time,
}

impl Connection {
    pub(super) fn new(
        link: Conn,
        portal: usize,
        config: QueueConfig,
        epoch: u64,
        now: Time,
    ) -> Self {
        let queue = ControllerQueue::new(config);
        let commands = vec![Command::default(); queue.slots()];
        let (_, peer) = link.addrs();
        Self {
            link: Some(link),
            queue,
            portal,
            member: None,
            qid: 0,
            epoch,
            opened: now,
            peer,
            commands,
            in_execution: 0,
            held: VecDeque::new(),
            delayed: VecDeque::new(),
            starved: VecDeque::new(),
            closing: None,
            leaving: false,
            next_look: now,
            last_traffic: now,
        }
    }

    /// Nothing of it can be executed any more.
    pub(super) fn is_quiet(&self) -> bool {
        self.in_execution == 0 && self.held.is_empty()
    }

    /// When a timer of it runs out; answers under delay are not counted.
    pub(super) fn deadline(&self, connect_timeout: Duration) -> Time {
        let mut next = self.closing.unwrap_or(Time::NEVER);
        if self.member.is_none() && self.link.is_some() {
            next = next.min(self.opened + connect_timeout);
        }
        next
    }

    /// Decides when to look again: a receive call that finds nothing costs as much as a command.
    fn looked(&mut self, bytes: usize, now: Time) {
        if bytes > 0 {
            self.last_traffic = now;
            self.next_look = now;
        } else if now.since(self.last_traffic) > IDLE_AFTER
            && matches!(self.link, Some(Conn::Tcp(_) | Conn::Uring(_)))
        {
            let every = if self.qid == 0 {
                ADMIN_EVERY
            } else {
                IDLE_EVERY
            };
            self.next_look = now + every;
        }
    }

    /// Answers a command; a closed connection only gets its buffer back.
    #[inline]
    pub(super) fn complete(&mut self, slot: u16, result: u64, status: u16, data: Option<SgList>) {
        self.commands[usize::from(slot)].stage = Stage::Idle;
        self.queue.complete(slot, result, status, data);
    }
}

impl Target {
    /// Receives on one connection and acts on what came.
    pub(super) fn receive<P: Ports>(&mut self, index: usize, ports: &mut P, now: Time) -> bool {
        let Some(c) = &self.connections[index] else {
            return false;
        };
        if c.link.is_none() || now < c.next_look || self.portals[c.portal].faults.drop {
            return false;
        }
        let mut conn = self.connections[index].take().expect("looked at above");
        let work = self.receive_on(&mut conn, index, ports, now);
        self.put_back(conn, index);
        work
    }

    /// Puts a connection back after working on it; frees it when it is over.
    pub(super) fn put_back(&mut self, conn: Box<Connection>, index: usize) {
        if conn.link.is_none() && conn.is_quiet() {
            self.attention |= conn.member.is_some();
            return;
        }
        self.connections[index] = Some(conn);
    }

    fn receive_on<P: Ports>(
        &mut self,
        conn: &mut Connection,
        index: usize,
        ports: &mut P,
        now: Time,
    ) -> bool {
        let mut bytes = 0;
        if !conn.starved.is_empty() {
            self.feed_starved(conn, index, ports, now);
        }
        for _ in 0..TURNS_MAX {
            let Some(link) = &mut conn.link else { break };
            let result = link.recv(&mut conn.queue, now);
            let stalled = conn.queue.is_stalled();
            while let Some(event) = conn.queue.next_event() {
                self.event(conn, index, event, ports, now);
            }
            if conn.closing.is_none()
                && let Some(reason) = conn.queue.failure()
            {
                self.fail(conn, reason, now);
            }
            match result {
                Err(e) => {
                    self.close(conn, CloseReason::Network(e.kind()), now);
                    break;
                }
                Ok(turn) => {
                    bytes += turn.bytes;
                    if turn.eof {
                        self.close(conn, CloseReason::HostClosed, now);
                        break;
                    }
                    // A command that waited for its buffer had stopped the receiving; with the
                    // socket found empty, the next call would be for nothing.
                    if !stalled || turn.dry {
                        break;
                    }
                }
            }
        }
        conn.looked(bytes, now);
        bytes > 0
    }

    #[inline]
    fn event<P: Ports>(
        &mut self,
        conn: &mut Connection,
        index: usize,
        event: Event,
        ports: &mut P,
        now: Time,
    ) {
        match event {
            Event::Command { slot } if conn.qid > 0 => {
                self.io_command(conn, index, slot, ports, now);
            }
            Event::Command { slot } => self.admin_command(conn, index, slot, now),
            Event::DataReady { slot, intact } => {
                self.data_ready(conn, index, slot, intact, ports, now);
            }
            Event::Released { data, .. } => self.buffers.put(data),
        }
    }

    /// Sends what one connection has to say.
    pub(super) fn send(&mut self, index: usize, now: Time) -> bool {
        let Some(conn) = &mut self.connections[index] else {
            return false;
        };
        if conn.link.is_none() {
            return false;
        }
        while conn.delayed.front().is_some_and(|d| d.at <= now) {
            let d = conn.delayed.pop_front().expect("looked at above");
            conn.complete(d.slot, 0, d.status, d.data);
        }
        if !conn.queue.has_output() {
            if conn.leaving {
                self.close_at(index, CloseReason::Disconnected, now);
                return true;
            }
            return false;
        }
        if self.portals[conn.portal].faults.drop {
            return false;
        }
        let Some(link) = &mut conn.link else {
            return false;
        };
        match link.send(&mut conn.queue, now) {
            Ok(turn) => {
                // Buffers that have left are used again at once, while they are warm.
                while let Some(data) = conn.queue.next_released() {
                    self.buffers.put(data);
                }
                turn.bytes > 0
            }
            Err(e) => {
                self.close_at(index, CloseReason::Network(e.kind()), now);
                true
            }
        }
    }
}
