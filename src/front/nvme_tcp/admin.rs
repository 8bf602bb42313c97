//! Commands of the admin queue, and Fabrics commands of any queue.

use super::Target;
use super::connection::{Connection, Place, Stage};
use super::subsystem::PendingReset;
use super::teardown::EndReason;
use crate::base::clock::Time;
use crate::base::sg::SgList;
use crate::lun::port::Ports;
use crate::proto::nvme::controller::wire::status;
use crate::proto::nvme::controller::{Call, Change, Controller, Reply, View};
use crate::proto::nvme::fabrics::fabrics_type;
use crate::proto::nvme::{CrossControllerReset, Direction, FabricsType};
use crate::proto::nvme_tcp::controller::{ADMIN_CAPSULE_DATA, Fetch, Shape};

/// The status for data that is described in a way we do not take.
pub(super) const fn shape_error(shape: Shape) -> Option<u16> {
    match shape {
        Shape::BadType => Some(status::SGL_TYPE),
        Shape::BadLength => Some(status::DATA_SGL_LENGTH),
        Shape::BadOffset => Some(status::SGL_OFFSET),
        _ => None,
    }
}

impl Target {
    pub(super) fn admin_command(
        &mut self,
        conn: &mut Connection,
        index: usize,
        slot: u16,
        now: Time,
    ) {
        let sqe = conn.queue.sqe(slot);
        let fabrics = fabrics_type(sqe);
        let kind = fabrics.map_or_else(|| sqe.opcode(), |f| f.0);
        let connects = fabrics == Some(FabricsType::CONNECT);
        let sends = Direction::of(kind) == Direction::ToController;
        let shape = conn.queue.shape(slot);
        if let Some(s) = shape_error(shape) {
            return conn.complete(slot, 0, s, None);
        }
        if conn.member.is_none() && !connects {
            return conn.complete(slot, 0, status::COMMAND_SEQUENCE, None);
        }
        if !sends || shape.is_empty() {
            if connects {
                return conn.complete(slot, 0, status::DATA_SGL_LENGTH, None);
            }
            return self.admin_execute(conn, index, slot, &[], now);
        }
        if shape.len() > ADMIN_CAPSULE_DATA {
            return conn.complete(slot, 0, status::INVALID_FIELD, None);
        }
        let data = self.buffers.get_now(shape.len() as usize);
        match conn.queue.give_buffer(slot, data) {
            Fetch::Ready => self.admin_data(conn, index, slot, now),
            Fetch::Pending => conn.commands[usize::from(slot)].stage = Stage::Data,
        }
    }

    /// The data of an admin or Connect command is there.
    pub(super) fn admin_data(&mut self, conn: &mut Connection, index: usize, slot: u16, now: Time) {
        let data = conn.queue.take_data(slot);
        let connects = fabrics_type(conn.queue.sqe(slot)) == Some(FabricsType::CONNECT);
        if connects && conn.member.is_none() {
            return self.connect(conn, index, slot, data, now);
        }
        let mut bytes = vec![0; data.len()];
        data.read_at(0, &mut bytes);
        self.buffers.put(data);
        self.admin_execute(conn, index, slot, &bytes, now);
    }

    fn admin_execute(
        &mut self,
        conn: &mut Connection,
        index: usize,
        slot: u16,
        data: &[u8],
        now: Time,
    ) {
        let Some(at) = conn.member else {
            return conn.complete(slot, 0, status::COMMAND_SEQUENCE, None);
        };
        let discovery_log = self.discovery_log(at);
        let mut page = std::mem::take(&mut self.page);
        let m = self.members[at]
            .as_mut()
            .expect("a controller outlives its connections");
        let (s, p) = (&self.subsystems[m.subsystem], &self.portals[m.portal]);
        let view = View {
            subsystem: &s.info,
            namespaces: &s.namespaces,
            limits: &p.limits,
            access: &p.access,
            discovery_log: &discovery_log,
        };
        let call = Call {
            view: &view,
            now,
            slot,
            io_queues_in_use: !m.queues.is_empty(),
        };
        let sqe = conn.queue.sqe(slot);
        let reply = m.controller.admin(sqe, data, call, &mut page);
        self.carry_out(conn, index, slot, reply, &page, now);
        self.page = page;
        // A command may have asked for events, or read a log and so allowed the next one.
        self.attention = true;
    }

    fn carry_out(
        &mut self,
        conn: &mut Connection,
        index: usize,
        slot: u16,
        reply: Reply,
        page: &[u8],
        now: Time,
    ) {
        match reply {
            Reply::Done { result, status } => conn.complete(slot, result, status, None),
            Reply::Data { result } => {
                if (conn.queue.shape(slot).len() as usize) < page.len() {
                    return conn.complete(slot, 0, status::DATA_SGL_LENGTH, None);
                }
                let mut data = self.buffers.get_now(page.len());
                data.write_at(0, page);
                conn.complete(slot, result, status::SUCCESS, Some(data));
            }
            Reply::Held => conn.commands[usize::from(slot)].stage = Stage::Waiting,
            Reply::Abort { sqid, cid } => {
                let aborted = if sqid == conn.qid {
                    self.abort_on(conn, cid)
                } else {
                    self.abort_elsewhere(conn.member, sqid, cid)
                };
                conn.complete(slot, u64::from(!aborted), status::SUCCESS, None);
            }
            Reply::Reset(which) => self.cross_reset(conn, index, slot, which, now),
            Reply::Configure(change) => {
                conn.complete(slot, 0, status::SUCCESS, None);
                if let Some(at) = conn.member {
                    self.configure(at, change, now);
                }
            }
            // Only I/O queues can be given up (base specification, section 6.4).
            Reply::Disconnect => conn.complete(slot, 0, status::DISCONNECT_QUEUE_TYPE, None),
        }
    }

    /// CC was written: the I/O that this ends is ended here, `attend` waits for the rest.
    fn configure(&mut self, at: usize, change: Change, now: Time) {
        self.attention = true;
        let queues = self.member(at).queues.clone();
        for (_, index) in queues {
            match change {
                Change::Reset => {
                    self.close_at(index, super::CloseReason::ControllerReset, now);
                    self.discard_at(index);
                }
                Change::Shutdown => self.discard_at(index),
                Change::None | Change::Enabled => {}
            }
        }
    }

    /// Fabrics commands on an I/O queue: only Disconnect makes sense there.
    pub(super) fn io_fabrics(&mut self, conn: &mut Connection, slot: u16) {
        match fabrics_type(conn.queue.sqe(slot)) {
            Some(FabricsType::DISCONNECT) => {
                conn.complete(slot, 0, status::SUCCESS, None);
                conn.leaving = true;
            }
            Some(FabricsType::CONNECT) => conn.complete(slot, 0, status::COMMAND_SEQUENCE, None),
            _ => conn.complete(slot, 0, status::INVALID_OPCODE, None),
        }
    }

    fn abort_elsewhere(&mut self, member: Option<usize>, sqid: u16, cid: u16) -> bool {
        let Some(at) = member else { return false };
        let found = self.member(at).queues.iter().find(|(q, _)| *q == sqid);
        let Some(&(_, index)) = found else {
            return false;
        };
        let Some(mut conn) = self.connections[index].take() else {
            return false;
        };
        let aborted = conn.link.is_some() && self.abort_on(&mut conn, cid);
        self.put_back(conn, index);
        aborted
    }

    /// Aborts a command that has not gone down to `Ports`.
    fn abort_on(&mut self, conn: &mut Connection, cid: u16) -> bool {
        let Some(slot) = conn.queue.slot_of(cid) else {
            return false;
        };
        match conn.commands[usize::from(slot)].stage {
            Stage::Held => {
                let Some(at) = conn.held.iter().position(|h| h.slot == slot) else {
                    return false;
                };
                if let Some(data) = conn.held.remove(at).and_then(|h| h.data) {
                    self.buffers.put(data);
                }
            }
            Stage::Starved => conn.starved.retain(|s| *s != slot),
            Stage::Waiting => {
                let Some(at) = conn.member else { return false };
                if !self.member_mut(at).controller.withdraw_event(slot) {
                    return false;
                }
            }
            _ => return false,
        }
        conn.complete(slot, 0, status::ABORT_REQUESTED, None);
        true
    }

    /// TP8028: ends another controller of the same host; answered when nothing of it can be
    /// executed any more. An instance that does not exist is one that has ended.
    fn cross_reset(
        &mut self,
        conn: &mut Connection,
        index: usize,
        slot: u16,
        which: CrossControllerReset,
        now: Time,
    ) {
        let Some(asker) = conn.member else { return };
        let (subsystem, host) = {
            let m = self.member(asker);
            (m.subsystem, m.controller.hostnqn.clone())
        };
        let limit = self.portals[conn.portal].limits.ccr_limit;
        let target = self.members.iter().position(|m| {
            m.as_ref()
                .is_some_and(|m| m.subsystem == subsystem && m.impacted() == which)
        });
        let Some(target) = target else {
            return conn.complete(slot, Controller::reset_result(true), status::SUCCESS, None);
        };
        if self.member(target).controller.hostnqn != host {
            return conn.complete(slot, 0, status::INVALID_FIELD, None);
        }
        let asked = self.resets.iter().filter(|r| r.asker == asker);
        if asked.clone().any(|r| r.which == which) {
            return conn.complete(slot, 0, status::CCR_IN_PROGRESS, None);
        }
        if asked.count() >= usize::from(limit) {
            return conn.complete(slot, 0, status::CCR_LIMIT, None);
        }
        self.counters.cross_resets += 1;
        conn.commands[usize::from(slot)].stage = Stage::Waiting;
        self.resets.push(PendingReset {
            which,
            subsystem,
            asker,
            place: Place {
                index,
                epoch: conn.epoch,
            },
            slot,
            since: now,
        });
        self.end_controller(target, EndReason::CrossReset, now);
    }

    /// Data of any command is there, or could not be read.
    pub(super) fn data_ready<P: Ports>(
        &mut self,
        conn: &mut Connection,
        index: usize,
        slot: u16,
        intact: bool,
        ports: &mut P,
        now: Time,
    ) {
        if !intact {
            let data: SgList = conn.queue.take_data(slot);
            self.buffers.put(data);
            return conn.complete(slot, 0, status::TRANSIENT_TRANSPORT, None);
        }
        if conn.qid == 0 {
            self.admin_data(conn, index, slot, now);
        } else {
            let data = conn.queue.take_data(slot);
            self.start(conn, index, slot, Some(data), ports, now);
        }
    }
}
