//! The NVMe/TCP half of an association: the protocol machine and the connections under it.

use super::access::AccessState;
use super::dialer::{Dialer, Dialing, Endpoint};
use super::identity::Identity;
use super::loss::{ControllerName, QuiesceTiming};
use super::outcome::{Outcome, from_nvme};
use super::reason::DownReason;
use super::unit::{Hardware, Unit};
use super::url::NvmeTcpSpec;
use crate::base::clock::Time;
use crate::base::request::{Op, Token};
use crate::proto::nvme::id_ctrl::oncs;
use crate::proto::nvme::{Nqn, Sqe};
use crate::proto::nvme_tcp::host::association::{
    Association as Machine, AssociationConfig, AssociationEvent, AssociationFailure, CcrResult,
    NamespaceInfo,
};
use crate::transport::Conn;
use std::time::Duration;

/// How often connections without outstanding commands are looked at, to notice their end.
const IDLE_LOOK: Duration = Duration::from_millis(1);

/// Who this host is, towards every target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostIdentity {
    pub nqn: String,
    pub id: [u8; 16],
    /// iSCSI initiator name (RFC 7143, 4.2.7).
    pub initiator_name: String,
    /// Place of the reactor among those of this host: each has sessions of its own.
    pub reactor: usize,
}

/// What a pump of the link brought up besides completions.
#[derive(Debug)]
pub enum LinkNews {
    Up,
    /// Access states were read again.
    Access,
    /// Namespaces came, went or changed size.
    Units,
    /// The target was told to change the states of its groups; whether it did. The states were read
    /// again then.
    GroupsSet {
        tag: u32,
        done: bool,
    },
    /// A Cross-Controller Reset was answered; whether it proved the reset.
    CcrAnswered {
        tag: u32,
        proven: bool,
    },
    /// One connection of several is lost with requests under way, which wait to be fetched.
    ConnectionLost {
        tag: u64,
    },
    /// The target has ended that connection: nothing of it is executed any more.
    ConnectionEnded {
        tag: u64,
    },
    /// The target acknowledged the orderly teardown.
    ShutdownDone,
    Down(DownReason),
}

/// One NVMe/TCP association.
#[derive(Debug)]
pub struct NvmeLink {
    endpoint: Endpoint,
    machine: Machine,
    conns: Vec<Option<Conn>>,
    dialing: Option<Dialing>,
    /// The queue that `dialing` is for.
    dialing_queue: usize,
    dial_deadline: Time,
    next_idle_look: Time,
    retry_delays: [Duration; 3],
    was_up: bool,
}

/// Time one connection may take to come up.
const CONNECT_MAX: Duration = Duration::from_secs(5);

impl NvmeLink {
    pub fn start(
        spec: &NvmeTcpSpec,
        host: &HostIdentity,
        dialer: &Dialer,
        now: Time,
    ) -> std::io::Result<Self> {
        let name =
            |nqn: &str| Nqn::new(nqn).map_err(|e| std::io::Error::other(format!("'{nqn}': {e}")));
        let config = AssociationConfig {
            kato: spec.kato,
            io_queues: spec.io_queues,
            depth: spec.depth,
            header_digest: spec.header_digest,
            data_digest: spec.data_digest,
            sq_flow_control: spec.sq_flow_control,
            ..AssociationConfig::new(name(&spec.subsystem_nqn)?, name(&host.nqn)?, host.id)
        };
        let machine = Machine::new(config, now);
        let mut conns = Vec::new();
        conns.resize_with(usize::from(spec.io_queues) + 1, || None);
        let endpoint = spec.endpoint();
        let dialing = Some(dialer.start(&endpoint, now)?);
        Ok(Self {
            endpoint,
            machine,
            conns,
            dialing,
            dialing_queue: 0,
            dial_deadline: now + CONNECT_MAX,
            next_idle_look: now,
            retry_delays: [Duration::ZERO; 3],
            was_up: false,
        })
    }

    /// Hands a request to an I/O queue; back it comes when all are full.
    pub fn submit(&mut self, nsid: u32, token: Token, now: Time) -> Result<(), Token> {
        let nlb = token.blocks.wrapping_sub(1);
        let sqe = match token.op {
            Op::Read => Sqe::read(nsid, token.lba, nlb as u16, token.fua),
            Op::Write => Sqe::write(nsid, token.lba, nlb as u16, token.fua),
            Op::Flush => Sqe::flush(nsid),
            Op::WriteZeroes => Sqe::write_zeroes(nsid, token.lba, nlb as u16, token.fua, false),
            Op::Discard => Sqe::dataset_management(nsid, 0, true),
            Op::Compare => Sqe::compare(nsid, token.lba, nlb as u16, token.fua),
            // Refused by the channel before it gets here: NVMe needs a fused pair for it.
            Op::CompareAndWrite => unreachable!("compare and write is refused on NVMe paths"),
        };
        self.machine.submit(sqe, token, now)
    }

    pub fn free_slots(&self) -> usize {
        self.machine.free_slots()
    }

    /// One turn: receives, completes, advances bring-up. Completions go to `done`.
    pub fn pump(
        &mut self,
        dialer: &Dialer,
        now: Time,
        done: &mut Vec<(Token, Outcome)>,
        news: &mut Vec<LinkNews>,
    ) -> bool {
        let mut worked = false;
        if self.dialing.is_some() {
            match self.pump_dial(dialer, now) {
                Ok(up) => worked |= up,
                Err(reason) => {
                    news.push(LinkNews::Down(reason));
                    return true;
                }
            }
        } else if let Some(q) = self.machine.wants_connection() {
            match dialer.start(&self.endpoint, now) {
                Ok(d) => {
                    self.dialing = Some(d);
                    self.dialing_queue = q;
                    self.dial_deadline = now + CONNECT_MAX;
                }
                Err(e) => {
                    news.push(LinkNews::Down(DownReason::Connect(e.to_string())));
                    return true;
                }
            }
            worked = true;
        }
        let look_at_idle = now >= self.next_idle_look;
        if look_at_idle {
            self.next_idle_look = now + IDLE_LOOK;
        }
        for (q, conn) in self.conns.iter_mut().enumerate() {
            let Some(conn) = conn else { continue };
            let queue = self.machine.queue_mut(q);
            // The admin queue always has event requests outstanding: it counts as idle once up.
            if !look_at_idle && (queue.in_flight() == 0 || (q == 0 && self.machine.is_up())) {
                continue;
            }
            let queue = self.machine.queue_mut(q);
            match conn.recv(queue, now) {
                Ok(turn) => {
                    worked |= turn.bytes > 0;
                    if turn.eof {
                        news.push(LinkNews::Down(DownReason::PeerClosed));
                    }
                }
                Err(e) => news.push(LinkNews::Down(DownReason::Transport(e.to_string()))),
            }
        }
        if worked || look_at_idle || now >= self.machine.next_deadline() {
            self.machine.poll(now);
            let delays = self.retry_delays;
            self.machine
                .drain_io(|token, cqe| done.push((token, from_nvme(cqe.status, delays))));
            self.drain_events(news);
        }
        worked
    }

    fn drain_events(&mut self, news: &mut Vec<LinkNews>) {
        while let Some(event) = self.machine.poll_event() {
            match event {
                AssociationEvent::Up => {
                    self.was_up = true;
                    if let Some(c) = self.machine.controller() {
                        self.retry_delays = c
                            .crdt
                            .map(|units| Duration::from_millis(100) * u32::from(units));
                    }
                    news.push(LinkNews::Up);
                }
                AssociationEvent::AccessChanged => news.push(LinkNews::Access),
                AssociationEvent::NamespacesChanged => news.push(LinkNews::Units),
                // Accepted only; the answer that counts is still to come.
                AssociationEvent::CcrAnswered {
                    result: CcrResult::Pending,
                    ..
                } => {}
                AssociationEvent::CcrAnswered { tag, result } => {
                    tracing::debug!(tag, ?result, "cross-controller reset");
                    news.push(LinkNews::CcrAnswered {
                        tag,
                        proven: result == CcrResult::Done,
                    });
                }
                AssociationEvent::AbortAnswered { .. } => {}
                AssociationEvent::ShutdownDone => news.push(LinkNews::ShutdownDone),
                AssociationEvent::Failed(failure) => {
                    let reason = match &failure {
                        AssociationFailure::KeepAliveExpired { .. } => DownReason::KeepAliveExpired,
                        AssociationFailure::Queue { .. } => {
                            DownReason::Protocol(failure.to_string())
                        }
                        _ if self.was_up => DownReason::Protocol(failure.to_string()),
                        _ => DownReason::Login(failure.to_string()),
                    };
                    news.push(LinkNews::Down(reason));
                }
            }
        }
    }

    fn pump_dial(&mut self, dialer: &Dialer, now: Time) -> Result<bool, DownReason> {
        let resolving = matches!(self.dialing, Some(Dialing::Resolving(_)));
        match dialer.poll(&mut self.dialing, &self.endpoint, now) {
            Ok(Some(conn)) => {
                self.conns[self.dialing_queue] = Some(conn);
                self.machine.connected(self.dialing_queue, now);
                Ok(true)
            }
            Ok(None) if now >= self.dial_deadline => Err(DownReason::ConnectTimeout),
            Ok(None) => Ok(false),
            Err(e) if resolving => Err(DownReason::Resolve(e.to_string())),
            Err(e) => Err(DownReason::Connect(format!(
                "{}: {e}",
                self.endpoint.portal()
            ))),
        }
    }

    /// Sends what the queues have: one call a connection.
    pub fn flush(&mut self, now: Time, news: &mut Vec<LinkNews>) -> bool {
        let mut worked = false;
        for (q, conn) in self.conns.iter_mut().enumerate() {
            let Some(conn) = conn else { continue };
            let queue = self.machine.queue_mut(q);
            if !crate::transport::Source::has_output(queue) {
                continue;
            }
            match conn.send(queue, now) {
                Ok(turn) => worked |= turn.bytes > 0,
                Err(e) => news.push(LinkNews::Down(DownReason::Transport(e.to_string()))),
            }
        }
        worked
    }

    /// Ends the association: every connection is reset. What had been answered goes to `done`;
    /// every other request to `f`, which reads `on_wire` to see whether it may have left this host.
    pub fn tear_down(mut self, now: Time, done: &mut Vec<(Token, Outcome)>, f: impl FnMut(Token)) {
        for (q, conn) in self.conns.iter_mut().enumerate() {
            let Some(mut conn) = conn.take() else {
                continue;
            };
            // One last send carries a TermReq, if the machine has one to explain itself with; no
            // command must slip out behind it.
            if self.machine.queues()[q].failure().is_some() {
                let _ = conn.send_last(self.machine.queue_mut(q), now);
            }
            conn.abort();
        }
        self.machine.drain(f);
        // Early answers that waited for their payload to leave the socket come out only now.
        let delays = self.retry_delays;
        self.machine
            .drain_io(|token, cqe| done.push((token, from_nvme(cqe.status, delays))));
    }

    pub fn shutdown(&mut self, now: Time) {
        self.machine.shutdown(now);
    }

    pub fn start_ccr(&mut self, name: ControllerName, tag: u32, now: Time) -> bool {
        let able = self.machine.controller().is_some_and(|c| c.ccrl > 0);
        able && self
            .machine
            .start_ccr(name.cntlid, name.ciu, name.cirn, tag, now)
    }

    pub fn reread_access(&mut self, now: Time) {
        self.machine.reread_ana(now);
    }

    pub fn is_reading_access(&self) -> bool {
        self.machine.is_reading_ana()
    }

    pub fn controller_name(&self) -> Option<ControllerName> {
        // A controller without a CIRN does not know Cross-Controller Reset.
        let c = self.machine.controller().filter(|c| c.cirn != 0)?;
        Some(ControllerName {
            cntlid: c.cntlid,
            ciu: c.ciu,
            cirn: c.cirn,
        })
    }

    pub fn timing(&self) -> Option<QuiesceTiming> {
        let c = self.machine.controller()?;
        let ms = |n: u32| Duration::from_millis(u64::from(n));
        Some(QuiesceTiming {
            kato: ms(c.kato_ms),
            cqt: ms(c.cqt_ms),
            traffic_based: c.tbkas,
        })
    }

    pub fn units(&self) -> Vec<Unit> {
        let Some(c) = self.machine.controller() else {
            return Vec::new();
        };
        let ana = c.ana;
        let unit = |n: &NamespaceInfo| Unit {
            nsid: n.nsid,
            identity: Identity {
                uuid: n.uuid,
                nguid: n.nguid,
                eui64: n.eui64,
                naa: None,
            },
            block_size: n.block_size,
            blocks: n.blocks,
            max_transfer: c.mdts_bytes.unwrap_or(u32::MAX),
            volatile_cache: c.vwc,
            discard: c.oncs & oncs::DATASET_MANAGEMENT != 0,
            write_zeroes: c.oncs & oncs::WRITE_ZEROES != 0,
            compare: c.oncs & oncs::COMPARE != 0,
            // A fused pair is two commands; umpio does not send it.
            compare_and_write: false,
            group: n.ana_group,
            access: if ana {
                AccessState::from_ana(n.ana_state).unwrap_or(AccessState::Unavailable)
            } else {
                AccessState::Optimized
            },
            access_raw: n.ana_state,
            asymmetric: ana,
            hardware: Hardware {
                vendor: "NVMe".to_owned(),
                product: c.model.trim().to_owned(),
                revision: c.firmware.trim().to_owned(),
            },
        };
        self.machine.namespaces().iter().map(unit).collect()
    }

    pub fn addrs(&self) -> Option<(String, String)> {
        self.conns.first()?.as_ref().map(Conn::addrs)
    }

    pub fn next_deadline(&self) -> Time {
        let dial = if self.dialing.is_some() {
            self.dial_deadline
        } else {
            Time::NEVER
        };
        self.machine.next_deadline().min(dial)
    }

    /// Descriptors to sleep on, and whether each has something to send that did not fit.
    pub fn fds(&self, out: &mut Vec<(std::os::fd::RawFd, bool)>) {
        for (q, conn) in self.conns.iter().enumerate() {
            let Some(conn) = conn else { continue };
            if let Some(fd) = conn.fd() {
                let full = crate::transport::Source::has_output(&self.machine.queues()[q]);
                out.push((fd, full || conn.is_clogged()));
            }
        }
        if let Some(Dialing::Connecting(conn)) = &self.dialing
            && let Some(fd) = conn.fd()
        {
            out.push((fd, true));
        }
    }

    /// Payload bytes of large requests that were copied in user space (invariant I11: stays 0).
    pub fn copied_bytes_large(&self) -> u64 {
        self.machine
            .queues()
            .iter()
            .map(|q| q.counters().copied_bytes_large)
            .sum()
    }
}
