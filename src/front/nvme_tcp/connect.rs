//! Fabrics Connect: who may come in, as what.

use super::Target;
use super::connection::{Command, Connection, Place};
use super::subsystem::Member;
use crate::base::clock::Time;
use crate::base::sg::SgList;
use crate::proto::nvme::controller::connect::{
    CNTLID_DYNAMIC, CNTLID_MAX, CNTLID_STATIC, CONNECT_DATA_LEN, Connect, Refusal,
};
use crate::proto::nvme::controller::{Controller, Instance};

impl Target {
    /// A Connect command and its data are there.
    pub(super) fn connect(
        &mut self,
        conn: &mut Connection,
        index: usize,
        slot: u16,
        data: SgList,
        now: Time,
    ) {
        let mut bytes = [0; CONNECT_DATA_LEN];
        let len = data.len().min(CONNECT_DATA_LEN);
        data.read_at(0, &mut bytes[..len]);
        self.buffers.put(data);
        let entries_max = self.portals[conn.portal].limits.queue_entries;
        let request = Connect::parse(conn.queue.sqe(slot), &bytes[..len], entries_max);
        let result = request.and_then(|c| {
            let place = Place {
                index,
                epoch: conn.epoch,
            };
            let member = if c.qid == 0 {
                self.connect_admin(&c, conn.portal, place, now)?
            } else {
                self.connect_io(&c, conn.portal, index, now)?
            };
            Ok((c, member))
        });
        match result {
            Ok((c, member)) => {
                conn.member = Some(member);
                conn.qid = c.qid;
                conn.queue.open(c.entries, c.qid == 0, c.flow_control);
                conn.commands.resize(conn.queue.slots(), Command::default());
                let cntlid = self.member(member).controller.instance.cntlid;
                tracing::debug!(cntlid, qid = c.qid, host = c.hostnqn, "connected");
                conn.commands[usize::from(slot)] = Command::default();
                conn.queue.complete_connect(slot, cntlid.into());
            }
            Err(refusal) => {
                self.counters.refused_connects += 1;
                tracing::info!(
                    peer = conn.peer,
                    status = refusal.status,
                    at = refusal.result,
                    "Connect refused"
                );
                conn.complete(slot, refusal.result.into(), refusal.status, None);
            }
        }
    }

    /// Admin queue: makes a controller.
    fn connect_admin(
        &mut self,
        c: &Connect,
        portal: usize,
        admin: Place,
        now: Time,
    ) -> Result<usize, Refusal> {
        let subsystem = self.subsystem_for(c)?;
        let used: Vec<u16> = self
            .members
            .iter()
            .flatten()
            .filter(|m| m.subsystem == subsystem)
            .map(|m| m.controller.instance.cntlid)
            .collect();
        if used.len() >= self.config.controllers {
            return Err(Refusal::BUSY);
        }
        let s = &mut self.subsystems[subsystem];
        let cntlid = match c.cntlid {
            // An id is not given again soon: a late command must not find another owner.
            CNTLID_DYNAMIC | CNTLID_STATIC => loop {
                s.last_id = if s.last_id >= CNTLID_MAX {
                    1
                } else {
                    s.last_id + 1
                };
                if !used.contains(&s.last_id) {
                    break s.last_id;
                }
            },
            // Until the last command of its earlier instance is gone, an id is taken.
            id if id <= CNTLID_MAX && used.contains(&id) => return Err(Refusal::BUSY),
            id if id <= CNTLID_MAX => id,
            _ => return Err(Refusal::CONTROLLER),
        };
        let ciu = s.uniquifiers.entry(cntlid).or_insert(0);
        *ciu = ciu.checked_add(1).unwrap_or(1);
        let instance = Instance {
            cntlid,
            ciu: *ciu,
            cirn: next_random(&mut self.random),
        };
        let controller = Controller::new(instance, c, &self.portals[portal].limits, now);
        let member = Box::new(Member {
            controller,
            subsystem,
            portal,
            admin,
            queues: Vec::new(),
            ending: None,
            discard_at: Time::NEVER,
        });
        self.counters.controllers_created += 1;
        match self.members.iter().position(Option::is_none) {
            Some(at) => {
                self.members[at] = Some(member);
                Ok(at)
            }
            None => {
                self.members.push(Some(member));
                Ok(self.members.len() - 1)
            }
        }
    }

    /// I/O queue: joins the controller it names.
    fn connect_io(
        &mut self,
        c: &Connect,
        portal: usize,
        index: usize,
        now: Time,
    ) -> Result<usize, Refusal> {
        let subsystem = self.subsystem_for(c)?;
        let found = self.members.iter().position(|m| {
            m.as_ref().is_some_and(|m| {
                m.subsystem == subsystem
                    && m.portal == portal
                    && m.controller.instance.cntlid == c.cntlid
                    && m.ending.is_none()
            })
        });
        let at = found.ok_or(Refusal::CONTROLLER)?;
        let io_queues = self.portals[portal].limits.io_queues;
        let discovery = self.subsystems[subsystem].info.discovery;
        let m = self.members[at].as_mut().expect("found above");
        if m.controller.hostnqn != c.hostnqn {
            return Err(Refusal::HOST);
        }
        if m.controller.host_id != c.host_id {
            return Err(Refusal::HOST_ID);
        }
        let granted = match m.controller.queues() {
            0 => io_queues,
            n => n,
        };
        if c.qid > granted || discovery {
            return Err(Refusal::QUEUE);
        }
        if m.queues.iter().any(|(q, _)| *q == c.qid) || !m.controller.accepts_io(now) {
            return Err(Refusal::SEQUENCE);
        }
        m.queues.push((c.qid, index));
        Ok(at)
    }

    fn subsystem_for(&self, c: &Connect) -> Result<usize, Refusal> {
        let at = self
            .subsystems
            .iter()
            .position(|s| s.info.nqn == c.subnqn)
            .ok_or(Refusal::SUBSYSTEM)?;
        let hosts = &self.subsystems[at].hosts;
        if hosts.is_empty() || hosts.contains(&c.hostnqn) {
            Ok(at)
        } else {
            Err(Refusal::NOT_ALLOWED)
        }
    }

    pub(super) fn member(&self, at: usize) -> &Member {
        self.members[at]
            .as_ref()
            .expect("a controller outlives its connections")
    }

    pub(super) fn member_mut(&mut self, at: usize) -> &mut Member {
        self.members[at]
            .as_mut()
            .expect("a controller outlives its connections")
    }
}

/// SplitMix64: spreads a seed over instance numbers.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
