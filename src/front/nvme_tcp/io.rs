//! I/O commands: down to `Ports` as requests, and back as answers.

use super::Target;
use super::admin::shape_error;
use super::connection::{Command, Connection, Delayed, Held, Stage};
use crate::base::clock::Time;
use crate::base::request::{Op, Token};
use crate::base::sg::SgList;
use crate::lun::port::Ports;
use crate::proto::nvme::NvmOpcode;
use crate::proto::nvme::controller::io::{Io, decode, dsm_ranges, status_of};
use crate::proto::nvme::controller::wire::status;
use crate::proto::nvme_tcp::controller::{Fetch, Shape};

/// The cookie of a request: connection and slot.
const fn cookie(index: usize, slot: u16) -> u64 {
    (index as u64) << 16 | slot as u64
}

const fn uncookie(user: u64) -> (usize, u16) {
    ((user >> 16) as usize, user as u16)
}

/// Whether a command brings data from the host.
const fn fetches(io: &Io) -> bool {
    io.op.sends_data() || io.ranges > 0
}

impl Target {
    #[inline]
    pub(super) fn io_command<P: Ports>(
        &mut self,
        conn: &mut Connection,
        index: usize,
        slot: u16,
        ports: &mut P,
        now: Time,
    ) {
        match self.admit(conn, slot, now) {
            Ok(command) => {
                conn.commands[usize::from(slot)] = command;
                self.begin(conn, index, slot, ports, now);
            }
            Err(status::SUCCESS) => self.io_fabrics(conn, slot),
            Err(status) => {
                self.counters.refused_commands += 1;
                conn.complete(slot, 0, status, None);
            }
        }
    }

    /// Checks a command; `SUCCESS` as the error means that it is a Fabrics command.
    #[inline]
    fn admit(&mut self, conn: &Connection, slot: u16, now: Time) -> Result<Command, u16> {
        let sqe = conn.queue.sqe(slot);
        let m = conn
            .member
            .and_then(|at| self.members[at].as_mut())
            .ok_or(status::COMMAND_SEQUENCE)?;
        m.controller.note_traffic();
        if sqe.opcode() == NvmOpcode::FABRICS.0 {
            return Err(status::SUCCESS);
        }
        if !m.controller.accepts_io(now) || m.ending.is_some() {
            return Err(status::COMMAND_SEQUENCE);
        }
        let s = &self.subsystems[m.subsystem];
        let at = s.find(sqe.nsid()).ok_or(status::INVALID_NAMESPACE)?;
        let ns = &s.namespaces[at];
        let portal = &self.portals[conn.portal];
        if let Some(refusal) = portal.refusal(ns.ana_group) {
            return Err(refusal);
        }
        let shape = conn.queue.shape(slot);
        if let Some(s) = shape_error(shape) {
            return Err(s);
        }
        let io = match decode(sqe, ns, shape.len(), portal.limits.transfer_max()) {
            Ok(io) => io,
            Err(status::NAMESPACE_NOT_READY) => {
                return Err(m.controller.delayed(status::NAMESPACE_NOT_READY));
            }
            Err(s) => return Err(s),
        };
        if matches!(shape, Shape::Capsule(_)) && !fetches(&io) {
            return Err(status::SGL_TYPE);
        }
        Ok(Command {
            stage: Stage::Idle,
            io,
            nsid: ns.nsid,
            port: s.ports[at],
            pending: 0,
            status: status::SUCCESS,
        })
    }

    /// Gets a command its buffer, and its data where the host sends some.
    #[inline]
    fn begin<P: Ports>(
        &mut self,
        conn: &mut Connection,
        index: usize,
        slot: u16,
        ports: &mut P,
        now: Time,
    ) {
        let at = usize::from(slot);
        let io = conn.commands[at].io;
        if io.bytes == 0 {
            return self.start(conn, index, slot, None, ports, now);
        }
        // Capsule data blocks what is behind it, and is bounded by the queue: it never waits.
        let capsule = matches!(conn.queue.shape(slot), Shape::Capsule(_));
        let data = if capsule {
            Some(self.buffers.get_now(io.bytes as usize))
        } else {
            self.buffers.get(io.bytes as usize)
        };
        let Some(data) = data else {
            conn.commands[at].stage = Stage::Starved;
            conn.starved.push_back(slot);
            self.counters.starved += 1;
            return;
        };
        if !fetches(&io) {
            return self.start(conn, index, slot, Some(data), ports, now);
        }
        match conn.queue.give_buffer(slot, data) {
            Fetch::Ready => {
                let data = conn.queue.take_data(slot);
                self.start(conn, index, slot, Some(data), ports, now);
            }
            Fetch::Pending => conn.commands[at].stage = Stage::Data,
        }
    }

    /// Tries again for commands that found no buffer, in order.
    pub(super) fn feed_starved<P: Ports>(
        &mut self,
        conn: &mut Connection,
        index: usize,
        ports: &mut P,
        now: Time,
    ) {
        for _ in 0..conn.starved.len() {
            let Some(slot) = conn.starved.pop_front() else {
                return;
            };
            self.begin(conn, index, slot, ports, now);
            if conn.commands[usize::from(slot)].stage == Stage::Starved {
                // It has gone to the end of the line: put it back to its front.
                if let Some(last) = conn.starved.pop_back() {
                    conn.starved.push_front(last);
                }
                return;
            }
        }
    }

    /// A command has all it needs: executes it, or holds it where that fault is on.
    #[inline]
    pub(super) fn start<P: Ports>(
        &mut self,
        conn: &mut Connection,
        index: usize,
        slot: u16,
        data: Option<SgList>,
        ports: &mut P,
        now: Time,
    ) {
        // Its data may have been long on the way: what was admitted may no longer be allowed.
        let alive = conn.member.is_some_and(|at| {
            let m = self.member(at);
            m.ending.is_none() && m.controller.accepts_io(now)
        });
        if !alive {
            self.buffers.returned.extend(data);
            self.buffers.take_returned();
            return conn.complete(slot, 0, status::ABORT_REQUESTED, None);
        }
        if self.portals[conn.portal].faults.hold {
            conn.commands[usize::from(slot)].stage = Stage::Held;
            conn.held.push_back(Held { slot, data });
            self.counters.held += 1;
            return;
        }
        self.execute(conn, index, slot, data, ports, now);
    }

    #[inline]
    fn execute<P: Ports>(
        &mut self,
        conn: &mut Connection,
        index: usize,
        slot: u16,
        data: Option<SgList>,
        ports: &mut P,
        now: Time,
    ) {
        let command = &mut conn.commands[usize::from(slot)];
        command.stage = Stage::Running;
        let io = command.io;
        if io.ranges > 0 {
            return self.execute_ranges(conn, index, slot, data, ports, now);
        }
        command.pending = 1;
        let port = command.port;
        let mut token = ports.take();
        token.op = io.op;
        token.fua = io.fua;
        token.lba = io.lba;
        token.blocks = io.blocks;
        token.user = cookie(index, slot);
        token.submitted = now;
        if let Some(mut data) = data {
            std::mem::swap(&mut token.data, &mut data);
            self.buffers.put_list(data);
        }
        conn.in_execution += 1;
        self.in_execution += 1;
        ports.submit(port, token);
    }

    /// Dataset Management: one request for each range that is to be deallocated.
    fn execute_ranges<P: Ports>(
        &mut self,
        conn: &mut Connection,
        index: usize,
        slot: u16,
        data: Option<SgList>,
        ports: &mut P,
        now: Time,
    ) {
        let command = &mut conn.commands[usize::from(slot)];
        let (io, nsid) = (command.io, command.nsid);
        command.pending = 0;
        let mut bytes = vec![0; io.bytes as usize];
        if let Some(data) = data {
            data.read_at(0, &mut bytes);
            self.buffers.put(data);
        }
        let subsystem = conn.member.map_or(0, |at| self.member(at).subsystem);
        let s = &self.subsystems[subsystem];
        let Some(ns) = s.find(nsid).map(|at| &s.namespaces[at]) else {
            return conn.complete(slot, 0, status::INVALID_NAMESPACE, None);
        };
        // All ranges are checked before the first is carried out.
        let ranges = match dsm_ranges(&bytes, io.ranges, ns) {
            Ok(r) => r,
            Err(s) => return conn.complete(slot, 0, s, None),
        };
        if io.op == Op::Discard {
            for range in ranges.iter().filter(|r| r.blocks > 0) {
                let mut token = ports.take();
                token.op = Op::Discard;
                token.lba = range.slba;
                token.blocks = range.blocks;
                token.user = cookie(index, slot);
                token.submitted = now;
                command.pending += 1;
                conn.in_execution += 1;
                self.in_execution += 1;
                ports.submit(command.port, token);
            }
        }
        if command.pending == 0 {
            conn.complete(slot, 0, status::SUCCESS, None);
        }
    }

    /// Executes what was held, in the order it came; that of lost connections too.
    pub(super) fn release_held<P: Ports>(&mut self, ports: &mut P, now: Time) {
        for index in 0..self.connections.len() {
            let Some(c) = &self.connections[index] else {
                continue;
            };
            if c.held.is_empty() || self.portals[c.portal].faults.hold {
                continue;
            }
            let mut conn = self.connections[index].take().expect("looked at above");
            while let Some(h) = conn.held.pop_front() {
                self.execute(&mut conn, index, h.slot, h.data, ports, now);
            }
            self.connections[index] = Some(conn);
        }
    }

    /// Takes back what `Ports` has completed.
    #[inline]
    pub(super) fn collect<P: Ports>(&mut self, ports: &mut P, now: Time) -> bool {
        if self.in_execution == 0 {
            return false;
        }
        let mut done = std::mem::take(&mut self.done);
        for port in &self.io_ports {
            ports.completions(*port, &mut done);
        }
        let work = !done.is_empty();
        for token in done.drain(..) {
            self.finished(token, ports, now);
        }
        self.done = done;
        work
    }

    #[inline]
    fn finished<P: Ports>(&mut self, mut token: Token, ports: &mut P, now: Time) {
        let (index, slot) = uncookie(token.user);
        self.in_execution -= 1;
        let op = token.op;
        let result = token.result;
        let mut data = self.buffers.list();
        std::mem::swap(&mut token.data, &mut data);
        ports.recycle(token);
        let conn = self.connections[index]
            .as_mut()
            .expect("a connection stays until its requests are back");
        conn.in_execution -= 1;
        let command = &mut conn.commands[usize::from(slot)];
        command.pending -= 1;
        if let Err(e) = result {
            self.counters.io_errors += 1;
            command.status = status_of(e, op);
        }
        let last = command.pending == 0;
        let status = command.status;
        if conn.link.is_none() {
            self.buffers.put(data);
            if conn.is_quiet() {
                self.attention |= conn.member.is_some();
                self.connections[index] = None;
            }
            return;
        }
        if !last {
            return self.buffers.put(data);
        }
        let data = if op == Op::Read && status == status::SUCCESS {
            Some(data)
        } else {
            self.buffers.put(data);
            None
        };
        let delay = self.portals[conn.portal].faults.delay;
        if delay.is_zero() && conn.delayed.is_empty() {
            conn.complete(slot, 0, status, data);
        } else {
            conn.delayed.push_back(Delayed {
                at: now + delay,
                slot,
                status,
                data,
            });
        }
    }
}
