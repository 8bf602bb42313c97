//! The one conversation on the admin queue: a step is a command and what its answer leads to.

use super::*;
use crate::proto::nvme::aer::async_event_request;
use crate::proto::nvme::ccr::get_ccr_log;
use crate::proto::nvme::fabrics::{
    CNTLID_DYNAMIC, CONNECT_DATA_LEN, Connect, ConnectData, ConnectResponse,
};
use crate::proto::nvme::features::{
    Fid, GetFeatures, HOST_BEHAVIOR_LEN, HostBehavior, NumberOfQueues, Select, SetFeatures,
    async_event_config,
};
use crate::proto::nvme::identify::IDENTIFY_LEN;
use crate::proto::nvme::log::{CHANGED_NAMESPACES_LEN, GetLogPage, Lid};
use crate::proto::nvme::property::{
    Csts, PropertyGet, PropertySet, PropertySize, offset as property,
};
use crate::proto::nvme::{Cns, Identify};
use std::time::Duration;

/// Event requests kept outstanding, if the controller takes as many.
const EVENT_REQUESTS: u16 = 4;
/// First pause between two looks at CSTS; each is twice the last, up to the second.
const STATUS_PAUSE: Duration = Duration::from_millis(1);
const STATUS_PAUSE_MAX: Duration = Duration::from_millis(50);

/// What the admin queue is being asked.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Nothing.
    Idle,
    Cap,
    Version,
    Enable,
    /// Looks at CSTS until RDY, with a growing pause.
    Ready {
        pause: Duration,
        waiting: bool,
    },
    Controller,
    Behavior,
    KeepAliveTimer,
    Events,
    QueueCount,
    /// The I/O queues connect; nothing is asked meanwhile.
    Queues,
    /// Clears the event that told of changed namespaces.
    Changed,
    /// Active namespaces above this NSID.
    List {
        after: u32,
    },
    Namespace,
    Identifiers,
    Access,
    /// Whether the ANA log has changed while it was read in pieces.
    AccessCheck,
    /// A pause before the ANA log is read once more.
    AccessPause,
    CcrLog,
}

impl Step {
    const fn what(self) -> &'static str {
        match self {
            Self::Idle => "nothing",
            Self::Cap => "Property Get CAP",
            Self::Version => "Property Get VS",
            Self::Enable => "Property Set CC",
            Self::Ready { .. } => "Property Get CSTS",
            Self::Controller => "Identify Controller",
            Self::Behavior => "Set Features Host Behavior Support",
            Self::KeepAliveTimer => "Get Features Keep Alive Timer",
            Self::Events => "Set Features Asynchronous Event Configuration",
            Self::QueueCount => "Set Features Number of Queues",
            Self::Queues => "I/O queues",
            Self::Changed => "Get Log Page Changed Namespaces",
            Self::List { .. } => "Identify Active Namespace List",
            Self::Namespace => "Identify Namespace",
            Self::Identifiers => "Identify Namespace Identification Descriptors",
            Self::Access | Self::AccessCheck | Self::AccessPause => "Get Log Page ANA",
            Self::CcrLog => "Get Log Page Cross-Controller Reset",
        }
    }
}

impl Association {
    /// Asks: `sqe` with no data, or with room for `room` bytes of answer.
    pub(super) fn ask(&mut self, step: Step, sqe: Sqe, room: usize, now: Time) {
        let data = match room {
            0 => AdminData::None,
            n => AdminData::ToHost(SgList::zeroed(n)),
        };
        self.ask_with(step, sqe, data, now);
    }

    fn ask_with(&mut self, step: Step, sqe: Sqe, data: AdminData, now: Time) {
        self.step = step;
        self.step_until = now + self.config.admin_timeout;
        self.admin(sqe, tag::STEP, data, now);
    }

    pub(super) fn pause(&mut self, step: Step, until: Time) {
        self.step = step;
        self.step_until = until;
    }

    pub(super) fn rest(&mut self, step: Step) {
        self.pause(step, Time::NEVER);
    }

    fn property(&mut self, step: Step, offset: u32, size: PropertySize, now: Time) {
        self.ask(step, PropertyGet { size, offset }.to_sqe(), 0, now);
    }

    fn ask_csts(&mut self, pause: Duration, now: Time) {
        let step = Step::Ready {
            pause,
            waiting: false,
        };
        self.property(step, property::CSTS, PropertySize::Dword, now);
    }

    /// The time of a step is over: a pause ends, or the answer is late.
    pub(super) fn step_due(&mut self, now: Time) {
        match self.step {
            Step::Ready {
                pause,
                waiting: true,
            } => self.ask_csts((pause * 2).min(STATUS_PAUSE_MAX), now),
            Step::AccessPause => self.ask_access(now),
            // Its answer does not matter any more.
            _ if self.life == Life::Stopping => self.rest(Step::Idle),
            step => {
                let after_ms = self.config.admin_timeout.as_millis() as u64;
                let what = step.what();
                self.fail(AssociationFailure::CommandTimeout { what, after_ms });
            }
        }
    }

    /// Fabrics Connect of queue `q` (Base clause 6.3).
    pub(super) fn send_connect(&mut self, q: usize, now: Time) {
        let any = self.config.static_cntlid.unwrap_or(CNTLID_DYNAMIC);
        let data = ConnectData {
            hostid: self.config.host_id,
            cntlid: if q == 0 { any } else { self.cntlid },
            subnqn: self.config.subsystem_nqn.clone(),
            hostnqn: self.config.host_nqn.clone(),
        };
        let mut room = SgList::zeroed(CONNECT_DATA_LEN);
        for seg in room.segments_mut() {
            data.emit(seg.as_mut_slice())
                .expect("the buffer has the length of Connect data");
        }
        let queue = &mut self.queues[q];
        let command = Connect {
            qid: q as u16,
            sqsize0: queue.config().entries() - 1,
            cattr: if self.config.sq_flow_control {
                0
            } else {
                Connect::DISABLE_SQFLOW
            },
            kato_ms: if q == 0 { self.config.kato_ms() } else { 0 },
        };
        // Fails only when the queue has failed, which `poll` finds out.
        let _ = queue.submit_admin(
            command.to_sqe(),
            tag::CONNECT,
            AdminData::FromHost(room),
            now,
        );
        self.lines[q] = Line::Connecting {
            until: now + self.config.admin_timeout,
        };
    }

    pub(super) fn connect_answered(&mut self, q: usize, cqe: Cqe, now: Time) {
        if !cqe.status.is_success() {
            self.fail(AssociationFailure::Connect {
                queue: q as u16,
                refusal: ConnectRefusal::of(cqe.status, cqe.dw0()),
                status: cqe.status,
            });
            return;
        }
        let answer = ConnectResponse::from_dw0(cqe.dw0());
        if answer.authentication_required || answer.secure_channel_required {
            self.fail(AssociationFailure::AuthenticationRequired);
            return;
        }
        self.lines[q] = Line::Ready;
        if q == 0 {
            self.cntlid = answer.cntlid;
            self.property(Step::Cap, property::CAP, PropertySize::Qword, now);
        } else if answer.cntlid != self.cntlid {
            self.fail(AssociationFailure::ControllerMismatch {
                connected: self.cntlid,
                identified: answer.cntlid,
            });
        } else if self.step == Step::Queues && self.lines.iter().all(|l| *l == Line::Ready) {
            self.start_scan(now);
        }
    }

    /// The answer to the step.
    pub(super) fn answered(&mut self, cqe: Cqe, data: SgList, now: Time) {
        let step = self.step;
        self.rest(Step::Idle);
        if self.life == Life::Stopping {
            return;
        }
        let ok = cqe.status.is_success();
        let optional = matches!(
            step,
            Step::Behavior
                | Step::KeepAliveTimer
                | Step::Changed
                | Step::Namespace
                | Step::Identifiers
                | Step::CcrLog
        );
        if !ok && !optional {
            let what = step.what();
            let status = cqe.status;
            self.fail(AssociationFailure::Command { what, status });
            return;
        }
        match step {
            // Between conversations nothing is asked.
            Step::Idle | Step::Queues | Step::AccessPause => {}
            Step::Cap => {
                self.cap = Cap(cqe.result);
                self.property(Step::Version, property::VS, PropertySize::Dword, now);
            }
            Step::Version => {
                self.version = Version(cqe.dw0());
                self.enable(now);
            }
            Step::Enable => {
                self.ready_until = now + self.ready_timeout();
                self.ask_csts(STATUS_PAUSE, now);
            }
            Step::Ready { pause, .. } => {
                let csts = Csts(cqe.dw0());
                if csts.cfs() {
                    self.fail(AssociationFailure::ControllerFatal);
                } else if csts.rdy() {
                    self.ready_until = Time::NEVER;
                    self.keep_alive_start(now);
                    let sqe = Identify::new(Cns::CONTROLLER, 0).to_sqe();
                    self.ask(Step::Controller, sqe, IDENTIFY_LEN, now);
                } else {
                    let step = Step::Ready {
                        pause,
                        waiting: true,
                    };
                    self.pause(step, now + pause);
                }
            }
            Step::Controller => self.controller_identified(&data, now),
            Step::Behavior => {
                self.acre = ok;
                self.ask_keep_alive_timer(now);
            }
            Step::KeepAliveTimer => {
                if ok {
                    self.kato_granted = Some(cqe.dw0());
                }
                self.configure_events(now);
            }
            Step::Events => self.ask_queue_count(now),
            Step::QueueCount => {
                let granted = NumberOfQueues::from_raw(cqe.dw0()).usable();
                self.open_queues(granted, now);
            }
            Step::Changed => self.start_scan(now),
            Step::List { .. } => self.listed(&data, now),
            Step::Namespace => self.namespace_identified(cqe, &data, now),
            Step::Identifiers => self.identifiers_read(cqe, &data, now),
            Step::Access => self.access_read(&data, now),
            Step::AccessCheck => self.access_checked(&data, now),
            Step::CcrLog => self.ccr_log_read(ok, &data, now),
        }
    }

    /// CAP.TO; a controller that says 0 still gets half a second.
    pub(super) fn ready_timeout(&self) -> Duration {
        Duration::from_millis(500) * u32::from(self.cap.timeout_500ms().max(1))
    }

    /// CC.EN with the entry sizes of the NVM command set. A fresh association finds EN cleared.
    fn enable(&mut self, now: Time) {
        let mut cc = Cc::ENABLE.0 | u32::from(self.cap.mpsmin()) << 7;
        // Only "all supported command sets" can be selected when CAP.CSS lacks the NVM bit.
        if self.cap.css() & 0x01 == 0 && self.cap.css() & 0x40 != 0 {
            cc |= 0b110 << 4;
        }
        self.cc = Cc(cc);
        let sqe = PropertySet {
            size: PropertySize::Dword,
            offset: property::CC,
            value: u64::from(cc),
        }
        .to_sqe();
        self.ask(Step::Enable, sqe, 0, now);
    }

    /// After Identify Controller: tell it that we honour retry delays, when it has any.
    pub(super) fn set_behavior(&mut self, crdt: [u16; 3], now: Time) {
        if crdt == [0; 3] {
            self.ask_keep_alive_timer(now);
            return;
        }
        let behavior = HostBehavior {
            acre: true,
            ..HostBehavior::default()
        };
        let mut room = SgList::zeroed(HOST_BEHAVIOR_LEN);
        for seg in room.segments_mut() {
            behavior
                .emit(seg.as_mut_slice())
                .expect("the buffer has the length of the feature's data");
        }
        let data = AdminData::FromHost(room);
        self.ask_with(Step::Behavior, behavior.to_sqe(), data, now);
    }

    /// Which KATO is in force: a controller may have rounded it to its granularity.
    fn ask_keep_alive_timer(&mut self, now: Time) {
        if self.config.kato_ms() == 0 {
            self.configure_events(now);
            return;
        }
        let get = GetFeatures {
            fid: Fid::KEEP_ALIVE_TIMER,
            select: Select::Current,
            cdw11: 0,
        };
        self.ask(Step::KeepAliveTimer, get.to_sqe(), 0, now);
    }

    fn configure_events(&mut self, now: Time) {
        const WANTED: u32 = async_event_config::NAMESPACE_ATTRIBUTE
            | async_event_config::ANA_CHANGE
            | async_event_config::CCR_COMPLETED;
        let oaes = self.identify.as_ref().map_or(0, |i| i.oaes);
        self.learn_controller();
        self.keep_alive_start(now);
        if oaes & WANTED == 0 {
            self.ask_queue_count(now);
            return;
        }
        let set = SetFeatures::new(Fid::ASYNC_EVENT_CONFIG, oaes & WANTED);
        self.ask(Step::Events, set.to_sqe(), 0, now);
    }

    fn ask_queue_count(&mut self, now: Time) {
        let count = u32::from(self.config.io_queues.max(1));
        let set = SetFeatures::new(Fid::NUMBER_OF_QUEUES, NumberOfQueues::pairs(count).to_raw());
        self.ask(Step::QueueCount, set.to_sqe(), 0, now);
    }

    /// Makes the I/O queues; `wants_connection` names them from now on.
    fn open_queues(&mut self, granted: u32, now: Time) {
        let limit = self.identify.as_ref().map_or(0, |i| i.aerl);
        for _ in 0..EVENT_REQUESTS.min(u16::from(limit) + 1) {
            self.request_event(now);
        }
        let count = u32::from(self.config.io_queues.max(1)).min(granted) as u16;
        let Some(info) = &mut self.info else {
            return;
        };
        info.io_queues = count;
        let (depth, in_capsule) = (info.depth, info.in_capsule_max);
        for qid in 1..=count {
            let mut queue = HostQueue::new(self.queue_config(qid, depth));
            queue.set_in_capsule_max(in_capsule);
            self.queues.push(queue);
            self.lines.push(Line::Wanted);
        }
        self.rest(Step::Queues);
    }

    pub(super) fn request_event(&mut self, now: Time) {
        self.admin(async_event_request(), tag::EVENT, AdminData::None, now);
    }

    /// Starts the next piece of upkeep when the conversation rests.
    pub(super) fn upkeep(&mut self, now: Time) {
        if self.life != Life::Up || self.step != Step::Idle {
            return;
        }
        if std::mem::take(&mut self.want_ccr_log) {
            let page = get_ccr_log(true);
            let len = page.len_bytes() as usize;
            self.ask(Step::CcrLog, page.to_sqe(), len, now);
        } else if std::mem::take(&mut self.want_access) {
            self.start_access(now);
        } else if std::mem::take(&mut self.want_scan) {
            let page = GetLogPage::new(Lid::CHANGED_NAMESPACES, CHANGED_NAMESPACES_LEN as u32);
            self.ask(Step::Changed, page.to_sqe(), CHANGED_NAMESPACES_LEN, now);
        }
    }
}
