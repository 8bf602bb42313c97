//! SCSI commands: planned by the device server, carried out by `Ports`, and answered.

use super::Target;
use super::connection::Connection;
use crate::base::clock::Time;
use crate::base::request::{Op, Token};
use crate::base::sg::SgList;
use crate::front::scsi::{IoPlan, Plan, failure};
use crate::lun::port::{PortId, Ports};
use crate::proto::scsi::{Command, Key, Sense, asc, lun_number, status};

/// Bytes of a command that came early which it gets room for at once, at most.
const EARLY_MAX: usize = 1024 * 1024;
/// Bytes written in one piece when one block stands for many.
const REPEAT_BYTES: u32 = 256 * 1024;

#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// It waits for a payload buffer.
    Starved,
    /// Its data is on the way in.
    Data,
    /// It is handed to `Ports`, as `pending` requests.
    Running,
}

/// What its data is for.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
enum Kind {
    #[default]
    None,
    Io(IoPlan),
    /// A parameter list of that many bytes.
    Parameters(Command, u32),
}

/// A command, by slot.
#[derive(Clone, Debug, Default)]
pub(super) struct Cmd {
    stage: Stage,
    kind: Kind,
    lun: u16,
    port: u32,
    pending: u32,
    /// What a repeated block has still to be put on: first block and blocks.
    rest: (u64, u32),
    failed: Option<(u8, Option<Sense>)>,
    /// It was aborted while it executes: it ends without an answer.
    pub(super) aborted: bool,
}

const fn cookie(index: usize, slot: u16) -> u64 {
    (index as u64) << 16 | slot as u64
}

impl Cmd {
    fn need(&self) -> u64 {
        match self.kind {
            Kind::Io(io) => io.bytes.into(),
            Kind::Parameters(_, n) => n.into(),
            Kind::None => 0,
        }
    }
}

impl Target {
    /// Ends a command with sense data, or with GOOD.
    fn answer(&mut self, c: &mut Connection, slot: u16, sense: Option<Sense>, need: u64) {
        let Some(sense) = sense else {
            return c.conn.respond(slot, status::GOOD, &[], need);
        };
        let descriptor = lun_number(c.conn.command(slot).lun)
            .and_then(|lun| self.unit(c, lun))
            .is_some_and(|(n, u)| self.nodes[n].units[u].descriptor_sense);
        let mut room = [0; Sense::MAX];
        let n = sense.emit(descriptor, &mut room);
        c.conn
            .respond(slot, status::CHECK_CONDITION, &room[..n], need);
    }

    /// Target and unit of a number.
    fn unit(&self, c: &Connection, lun: u16) -> Option<(usize, usize)> {
        let node = self.portals[c.portal].target;
        let at = self.nodes[node].units.iter().position(|u| u.lun == lun)?;
        Some((node, at))
    }

    pub(super) fn command<P: Ports>(
        &mut self,
        c: &mut Connection,
        index: usize,
        slot: u16,
        ports: &mut P,
        now: Time,
    ) {
        self.counters.commands += 1;
        c.commands[usize::from(slot)] = Cmd::default();
        let pdu = *c.conn.command(slot);
        if c.discovery {
            let sense = Sense::illegal(asc::LUN_NOT_SUPPORTED);
            return self.answer(c, slot, Some(sense), 0);
        }
        let lun = lun_number(pdu.lun);
        let node = self.portals[c.portal].target;
        let unit = lun.and_then(|lun| self.unit(c, lun));
        let command = Command::parse(&pdu.cdb);
        let Some((_, at)) = unit else {
            return self.absent(c, slot, command);
        };
        let lun = lun.unwrap_or(0);
        let opcode = pdu.cdb[0];
        // INQUIRY, REPORT LUNS and REQUEST SENSE do not report an attention as an error
        // (SAM-5, 5.14).
        if !matches!(opcode, 0x12 | 0xa0 | 0x03)
            && let Some(code) = self.take_attention(c, lun)
        {
            let sense = Sense::new(Key::UnitAttention, code);
            return self.answer(c, slot, Some(sense), 0);
        }
        let command = match command {
            Ok(command) => command,
            Err(sense) => return self.answer(c, slot, Some(sense), 0),
        };
        if self.tampering.is_on() && self.group_fault(c, slot, &command) {
            return;
        }
        let view = self.nodes[node].view(self.portals[c.portal].group);
        let mut page = std::mem::take(&mut self.page);
        let mut plan = self.nodes[node].units[at].plan(&command, &view, &mut page);
        if let Command::RequestSense { descriptor, alloc } = command
            && let Some(code) = self.take_attention(c, lun)
        {
            let mut room = [0; Sense::MAX];
            let n = Sense::new(Key::UnitAttention, code).emit(descriptor, &mut room);
            page.clear();
            page.extend_from_slice(&room[..n.min(usize::from(alloc))]);
            plan = if page.is_empty() {
                Plan::Good
            } else {
                Plan::Data
            };
        }
        // 256 blocks of COMPARE AND WRITE do not fit their byte: whoever sends data for none means
        // something else.
        if matches!(command, Command::CompareAndWrite(rw) if rw.blocks == 0) && pdu.expected > 0 {
            plan = Plan::Refused(Sense::cdb_field(13));
        }
        let cmd = &mut c.commands[usize::from(slot)];
        cmd.lun = lun;
        cmd.port = self.nodes[node].units[at].port.0;
        match plan {
            Plan::Data => c.conn.respond_bytes(slot, &page),
            Plan::Parameters(n) => cmd.kind = Kind::Parameters(command, n),
            Plan::Io(io) => cmd.kind = Kind::Io(io),
            other => self.carry_out(c, index, slot, other, ports, now),
        }
        self.page = page;
        if c.commands[usize::from(slot)].kind != Kind::None {
            self.begin(c, index, slot, ports, now);
        }
    }

    /// A fault that is about target port groups answers a command about them.
    fn group_fault(&mut self, c: &mut Connection, slot: u16, command: &Command) -> bool {
        let faults = self.tampering.at(c.portal);
        let set = matches!(command, Command::SetTargetPortGroups { .. });
        let report = matches!(command, Command::ReportTargetPortGroups { .. });
        if faults.hold_groups && (set || report) {
            c.held.push((slot, c.conn.command(slot).itt));
            return true;
        }
        if faults.busy_groups && (set || report) {
            c.conn.respond(slot, status::BUSY, &[], 0);
            return true;
        }
        if faults.refuse_groups && set {
            let sense = Sense::new(Key::HardwareError, asc::STPG_FAILED);
            self.answer(c, slot, Some(sense), 0);
            return true;
        }
        false
    }

    /// Carries out what a fault about target port groups no longer holds, unless it was aborted.
    pub(super) fn release_groups<P: Ports>(&mut self, ports: &mut P, now: Time) -> bool {
        let mut work = false;
        for index in 0..self.connections.len() {
            let ready = self.connections[index].as_ref().is_some_and(|c| {
                !c.held.is_empty() && c.link.is_some() && !self.tampering.at(c.portal).hold_groups
            });
            let Some(mut c) = ready.then(|| self.hand(index)).flatten() else {
                continue;
            };
            for (slot, itt) in std::mem::take(&mut c.held) {
                if c.conn.slot_of(itt) == Some(slot) && c.conn.is_owned(slot) {
                    self.command(&mut c, index, slot, ports, now);
                    work = true;
                }
            }
            self.put_back(c, index);
        }
        work
    }

    fn take_attention(&mut self, c: &Connection, lun: u16) -> Option<u16> {
        self.sessions[c.session?].as_mut()?.take_attention(lun)
    }

    /// A unit that is not there: INQUIRY says so, REPORT LUNS tells which are (SPC-4, 6.6.1).
    fn absent(&mut self, c: &mut Connection, slot: u16, command: Result<Command, Sense>) {
        let node = self.portals[c.portal].target;
        let mut out = Vec::new();
        match command {
            Ok(Command::Inquiry { page: None, alloc }) => {
                crate::proto::scsi::Inquiry {
                    qualifier: 3,
                    device_type: 0x1f,
                    version: 6,
                    ..crate::proto::scsi::Inquiry::default()
                }
                .emit(&mut out);
                out.truncate(alloc.into());
                c.conn.respond_bytes(slot, &out);
            }
            Ok(Command::ReportLuns { alloc, .. }) if c.conn.command(slot).lun == 0 => {
                let luns = self.nodes[node].units.iter().map(|u| u.lun);
                crate::proto::scsi::report_luns(luns, &mut out);
                out.truncate(alloc as usize);
                c.conn.respond_bytes(slot, &out);
            }
            _ => {
                let sense = Sense::illegal(asc::LUN_NOT_SUPPORTED);
                self.answer(c, slot, Some(sense), 0);
            }
        }
    }

    /// Gets a command its buffer, and its data where the initiator sends some.
    fn begin<P: Ports>(
        &mut self,
        c: &mut Connection,
        index: usize,
        slot: u16,
        ports: &mut P,
        now: Time,
    ) {
        let pdu = *c.conn.command(slot);
        let lun = c.commands[usize::from(slot)].lun;
        let unit = self.unit(c, lun).map(|(n, u)| &self.nodes[n].units[u]);
        let block_size = unit
            .and_then(|u| u.geometry.as_ref())
            .map_or(512, |g| g.block_size);
        let cmd = &mut c.commands[usize::from(slot)];
        let need = cmd.need();
        let read = matches!(cmd.kind, Kind::Io(io) if io.op == Op::Read);
        if need == 0 {
            return self.execute(c, index, slot, None, ports, now);
        }
        if read && !pdu.read {
            // There is no way for its data: nothing moves, and the residual says so.
            return self.answer(c, slot, None, 0);
        }
        let mut fetch = need as u32;
        if !read && pdu.expected < fetch {
            match &mut cmd.kind {
                // Less is sent than the command writes: whole blocks of it are written, and the
                // residual tells the rest (RFC 7143, 11.4.5.1).
                Kind::Io(io) if io.op == Op::Write && !io.repeat && (pdu.write || !pdu.read) => {
                    io.blocks = pdu.expected / block_size;
                    fetch = io.blocks * block_size;
                    if fetch == 0 {
                        return self.answer(c, slot, None, need);
                    }
                }
                _ => {
                    let sense = Sense::illegal(asc::INVALID_FIELD_IN_CDB);
                    return self.answer(c, slot, Some(sense), need);
                }
            }
        }
        if !read && !pdu.write {
            let sense = Sense::new(Key::AbortedCommand, asc::TOO_MUCH_DATA);
            return self.answer(c, slot, Some(sense), need);
        }
        if !read && c.conn.keep_early(slot, fetch as usize) {
            c.commands[usize::from(slot)].stage = Stage::Data;
            return;
        }
        // Unsolicited data cannot wait for room, and is bounded by the window.
        let waits = pdu.is_final && !c.conn.is_stalled() && !c.conn.has_early(slot);
        let data = if read || waits {
            self.buffers.get(fetch as usize)
        } else {
            Some(self.buffers.get_now(fetch as usize))
        };
        let Some(data) = data else {
            cmd.stage = Stage::Starved;
            c.starved.push_back(slot);
            self.counters.starved += 1;
            return;
        };
        if read {
            return self.execute(c, index, slot, Some(data), ports, now);
        }
        cmd.stage = Stage::Data;
        c.conn.give_buffer(slot, data);
    }

    /// Room for what comes with a command before its turn: all that it will want, so that it can stay
    /// there, where buffers are plenty; else what cannot be kept waiting.
    pub(super) fn room(&mut self, c: &mut Connection, slot: u16) {
        let expected = c.conn.command(slot).expected as usize;
        let need = c.conn.early_need(slot);
        let whole = (expected <= EARLY_MAX)
            .then(|| self.buffers.get(expected))
            .flatten();
        let data = whole.unwrap_or_else(|| self.buffers.get_now(need));
        c.conn.give_early(slot, data);
    }

    /// Tries again for commands that found no buffer, in order.
    pub(super) fn feed_starved<P: Ports>(
        &mut self,
        c: &mut Connection,
        index: usize,
        ports: &mut P,
        now: Time,
    ) {
        for _ in 0..c.starved.len() {
            let Some(slot) = c.starved.pop_front() else {
                return;
            };
            if c.commands[usize::from(slot)].stage == Stage::Starved {
                c.commands[usize::from(slot)].stage = Stage::Idle;
                self.begin(c, index, slot, ports, now);
            }
        }
    }

    pub(super) fn data_ready<P: Ports>(
        &mut self,
        c: &mut Connection,
        index: usize,
        slot: u16,
        intact: bool,
        ports: &mut P,
        now: Time,
    ) {
        let data = c.conn.take_data(slot);
        if !intact {
            self.buffers.put(data);
            let need = c.commands[usize::from(slot)].need();
            let sense = Sense::new(Key::AbortedCommand, asc::PROTOCOL_CRC);
            return self.answer(c, slot, Some(sense), need);
        }
        let cmd = &c.commands[usize::from(slot)];
        let Kind::Parameters(command, _) = cmd.kind else {
            return self.execute(c, index, slot, Some(data), ports, now);
        };
        let lun = cmd.lun;
        let mut list = vec![0; data.len()];
        data.read_at(0, &mut list);
        self.buffers.put(data);
        let Some((node, at)) = self.unit(c, lun) else {
            let sense = Sense::illegal(asc::LUN_NOT_SUPPORTED);
            return self.answer(c, slot, Some(sense), 0);
        };
        let view = self.nodes[node].view(self.portals[c.portal].group);
        let view = view.into_owned();
        let plan = self.nodes[node].units[at].parameters(&command, &list, &view);
        self.carry_out(c, index, slot, plan, ports, now);
    }

    /// Plans that need no payload of their own.
    fn carry_out<P: Ports>(
        &mut self,
        c: &mut Connection,
        index: usize,
        slot: u16,
        plan: Plan,
        ports: &mut P,
        now: Time,
    ) {
        let cmd = &mut c.commands[usize::from(slot)];
        let (need, lun, port) = (cmd.need(), cmd.lun, PortId(cmd.port));
        let node = self.portals[c.portal].target;
        match plan {
            Plan::Refused(sense) => self.answer(c, slot, Some(sense), need),
            Plan::Unmap(ranges) => {
                cmd.stage = Stage::Running;
                cmd.pending = ranges.len() as u32;
                for (lba, blocks) in ranges {
                    let mut token = ports.take();
                    token.op = Op::Discard;
                    token.lba = lba;
                    token.blocks = blocks;
                    token.user = cookie(index, slot);
                    token.submitted = now;
                    c.in_execution += 1;
                    self.in_execution += 1;
                    ports.submit(port, token);
                }
            }
            Plan::SetGroups(list) => {
                let mut changed = false;
                for (group, state) in list {
                    changed |= self.nodes[node].set_group(group, state, 1);
                }
                if changed {
                    self.tell(node, None, c.session, asc::ACCESS_STATE_CHANGED);
                }
                self.answer(c, slot, None, need);
            }
            Plan::ModeChanged => {
                self.tell(node, Some(lun), c.session, asc::MODE_PARAMETERS_CHANGED);
                self.answer(c, slot, None, need);
            }
            _ => self.answer(c, slot, None, need),
        }
    }

    fn execute<P: Ports>(
        &mut self,
        c: &mut Connection,
        index: usize,
        slot: u16,
        data: Option<SgList>,
        ports: &mut P,
        now: Time,
    ) {
        let cmd = &mut c.commands[usize::from(slot)];
        let Kind::Io(io) = cmd.kind else {
            unreachable!("only I/O is executed")
        };
        let lun = cmd.lun;
        // Its data may have been long on the way: the state may have changed meanwhile.
        let node = self.portals[c.portal].target;
        let access = self.nodes[node].state(self.portals[c.portal].group);
        if !access.usable_now() {
            if let Some(data) = data {
                self.buffers.put(data);
            }
            let sense = crate::front::scsi::not_ready(access);
            return self.answer(c, slot, Some(sense), io.bytes.into());
        }
        let cmd = &mut c.commands[usize::from(slot)];
        cmd.stage = Stage::Running;
        if !io.repeat {
            return self.submit(c, index, slot, io.op, (io.lba, io.blocks), data, ports, now);
        }
        let data = data.unwrap_or_default();
        let mut block = vec![0; data.len()];
        data.read_at(0, &mut block);
        self.buffers.put(data);
        let geometry = self
            .unit(c, lun)
            .and_then(|(n, u)| self.nodes[n].units[u].geometry.as_ref());
        let zeroes = geometry.is_some_and(|g| g.write_zeroes);
        if io.op == Op::Write && zeroes && block.iter().all(|b| *b == 0) {
            let range = (io.lba, io.blocks);
            return self.submit(c, index, slot, Op::WriteZeroes, range, None, ports, now);
        }
        let piece = (REPEAT_BYTES / io.bytes.max(1)).clamp(1, io.blocks);
        let mut data = self.buffers.get_now((piece * io.bytes) as usize);
        for i in 0..piece as usize {
            data.write_at(i * block.len(), &block);
        }
        let cmd = &mut c.commands[usize::from(slot)];
        cmd.rest = (io.lba + u64::from(piece), io.blocks - piece);
        self.submit(
            c,
            index,
            slot,
            io.op,
            (io.lba, piece),
            Some(data),
            ports,
            now,
        );
    }

    #[allow(clippy::too_many_arguments)]
    fn submit<P: Ports>(
        &mut self,
        c: &mut Connection,
        index: usize,
        slot: u16,
        op: Op,
        (lba, blocks): (u64, u32),
        data: Option<SgList>,
        ports: &mut P,
        now: Time,
    ) {
        let cmd = &mut c.commands[usize::from(slot)];
        cmd.pending = 1;
        let mut token = ports.take();
        token.op = op;
        token.fua = matches!(cmd.kind, Kind::Io(io) if io.fua);
        token.lba = lba;
        token.blocks = blocks;
        token.user = cookie(index, slot);
        token.submitted = now;
        if let Some(mut data) = data {
            std::mem::swap(&mut token.data, &mut data);
            self.buffers.put_list(data);
        }
        c.in_execution += 1;
        self.in_execution += 1;
        ports.submit(PortId(cmd.port), token);
    }

    /// Takes back what `Ports` has completed.
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
            let index = (token.user >> 16) as usize;
            let mut c = self
                .hand(index)
                .expect("a connection stays until its requests are back");
            self.finished(&mut c, index, token, ports, now);
            self.put_back(c, index);
        }
        self.done = done;
        work
    }

    fn finished<P: Ports>(
        &mut self,
        c: &mut Connection,
        index: usize,
        mut token: Token,
        ports: &mut P,
        now: Time,
    ) {
        let slot = token.user as u16;
        self.in_execution -= 1;
        c.in_execution -= 1;
        let (op, result, blocks) = (token.op, token.result, token.blocks);
        let mut data = self.buffers.list();
        std::mem::swap(&mut token.data, &mut data);
        ports.recycle(token);
        let cmd = &mut c.commands[usize::from(slot)];
        cmd.pending -= 1;
        if let Err(e) = result {
            self.counters.io_errors += 1;
            cmd.failed = Some(failure(e, op.mutates()));
        }
        if cmd.pending > 0 {
            return self.buffers.put(data);
        }
        cmd.stage = Stage::Idle;
        if c.link.is_none() || cmd.aborted {
            self.buffers.put(data);
            if cmd.aborted {
                cmd.aborted = false;
                if c.link.is_some() {
                    c.conn.abort(slot);
                }
            }
            return;
        }
        let need = cmd.need();
        if let Some((status, sense)) = cmd.failed {
            self.buffers.put(data);
            return match sense {
                Some(_) => self.answer(c, slot, sense, need),
                None => c.conn.respond(slot, status, &[], need),
            };
        }
        let Kind::Io(io) = cmd.kind else {
            self.buffers.put(data);
            return self.answer(c, slot, None, need);
        };
        let (lba, left) = cmd.rest;
        if left > 0 {
            let n = left.min(blocks);
            cmd.rest = (lba + u64::from(n), left - n);
            cmd.stage = Stage::Running;
            let mut data = data;
            if n < blocks
                && let Some(mut buf) = data.pop()
            {
                // The last piece is shorter; the buffer keeps its class.
                buf.truncate((n * io.bytes) as usize);
                data.push(buf);
            }
            return self.submit(c, index, slot, op, (lba, n), Some(data), ports, now);
        }
        if io.verify && op == Op::Write {
            cmd.stage = Stage::Running;
            let range = (io.lba, io.blocks);
            return self.submit(c, index, slot, Op::Compare, range, Some(data), ports, now);
        }
        if op == Op::Read {
            return c.conn.respond_data(slot, data);
        }
        self.buffers.put(data);
        self.answer(c, slot, None, need);
    }

    /// Aborts a command: at once, or when its requests are back.
    pub(super) fn abort(&mut self, c: &mut Connection, slot: u16) {
        self.counters.aborted += 1;
        let cmd = &mut c.commands[usize::from(slot)];
        if cmd.stage == Stage::Running {
            cmd.aborted = true;
            return;
        }
        cmd.stage = Stage::Idle;
        c.conn.abort(slot);
    }
}
