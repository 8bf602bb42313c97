//! What a session asks of its logical units: all of them after the login and when something about
//! them changed, their access states now and then. One question at a time.

use super::connection::Completion;
use super::info::{SessionEvent, SessionFailure, UnitInfo};
use super::scsi::{self, BlockLimits, Cdb, Designators};
use super::session::{Life, Session};
use super::slots::CommandData;
use crate::base::clock::Time;
use crate::base::sg::SgList;
use crate::proto::scsi::read_target_port_groups;
use std::time::Duration;

/// Logical units of one session at most; further ones are not seen.
pub(super) const UNITS_MAX: usize = 256;
/// Unit attentions absorbed per question: each clears one.
const ATTENTIONS_MAX: u8 = 16;
/// Pauses while a unit is busy or becoming ready, per question.
const PAUSES_MAX: u8 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// A question.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Ask {
    Luns,
    Inquiry,
    Pages,
    Serial,
    Designators,
    Limits,
    Provisioning,
    Groups,
    Capacity,
    Caching,
    /// An order rather than a question.
    SetGroups,
}

impl Ask {
    const fn name(self) -> &'static str {
        match self {
            Self::Luns => "REPORT LUNS",
            Self::Inquiry => "INQUIRY",
            Self::Pages => "INQUIRY of VPD page 00h",
            Self::Serial => "INQUIRY of VPD page 80h",
            Self::Designators => "INQUIRY of VPD page 83h",
            Self::Limits => "INQUIRY of VPD page B0h",
            Self::Provisioning => "INQUIRY of VPD page B2h",
            Self::Groups => "REPORT TARGET PORT GROUPS",
            Self::Capacity => "READ CAPACITY(16)",
            Self::Caching => "MODE SENSE",
            Self::SetGroups => "SET TARGET PORT GROUPS",
        }
    }

    /// `plain`: the target does not know the extended header of REPORT TARGET PORT GROUPS.
    fn command(self, plain: bool) -> (Cdb, usize) {
        let vpd = |page, room: u16| (scsi::inquiry(Some(page), room), usize::from(room));
        match self {
            Self::Luns => {
                let room = 8 + 8 * UNITS_MAX;
                (scsi::report_luns(room as u32), room)
            }
            Self::Inquiry => (scsi::inquiry(None, 96), 96),
            Self::Pages => vpd(0x00, 255),
            Self::Serial => vpd(0x80, 255),
            Self::Designators => vpd(0x83, 2048),
            Self::Limits => vpd(0xb0, 64),
            Self::Provisioning => vpd(0xb2, 64),
            Self::Groups => (scsi::report_target_port_groups(!plain, 4096), 4096),
            Self::Capacity => (scsi::read_capacity(), 32),
            // What it carries is the order's, see `send_step`.
            Self::Caching | Self::SetGroups => (scsi::mode_sense_caching(), 255),
        }
    }
}

/// Groups to be made active/optimized.
#[derive(Debug)]
pub(super) struct GroupsOrder {
    lun: u32,
    groups: Vec<u16>,
    tag: u32,
    attentions: u8,
    pauses: u8,
}

impl GroupsOrder {
    pub(super) fn new(lun: u32, groups: Vec<u16>, tag: u32) -> Self {
        Self {
            lun,
            groups,
            tag,
            attentions: 0,
            pauses: 0,
        }
    }
}

/// The question that is open.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Idle,
    /// To be sent at that time, as soon as the window has room.
    Planned {
        ask: Ask,
        lun: u32,
        at: Time,
    },
    Asked {
        ask: Ask,
        lun: u32,
        until: Time,
    },
}

/// All logical units are being looked at.
#[derive(Debug)]
pub(super) struct Scan {
    luns: Vec<u32>,
    at: usize,
    pages: Vec<u8>,
    unit: UnitInfo,
    found: Vec<UnitInfo>,
    attentions: u8,
    pauses: u8,
}

/// Access states are being read.
#[derive(Debug)]
pub(super) struct Access {
    at: usize,
    changed: bool,
    /// The capacity could not be read before, and can be now.
    rescan: bool,
    attentions: u8,
    pauses: u8,
}

/// How long a state may be called transitioning by a target that does not say (SPC-4, 6.37: 0 is "not
/// specified"); Linux's time.
const TRANSITION: Duration = Duration::from_secs(60);
/// ALUA's transitioning.
const TRANSITIONING: u8 = 0xf;

fn blank(lun: u32) -> UnitInfo {
    UnitInfo {
        lun,
        serial: String::new(),
        designators: Designators::default(),
        block_size: 0,
        blocks: 0,
        limits: BlockLimits::default(),
        unmap: false,
        write_same: false,
        write_cache: false,
        dpofua: false,
        tpgs: 0,
        group: 0,
        state: 0,
        preferred: false,
        transition: Duration::ZERO,
        transitioning_since: None,
        overdue: false,
        vendor: String::new(),
        product: String::new(),
        revision: String::new(),
    }
}

/// Puts what the groups say of the port we use into a unit. True when anything changed.
fn apply_groups(unit: &mut UnitInfo, data: &[u8], now: Time) -> bool {
    let (groups, seconds) = read_target_port_groups(data);
    let d = &unit.designators;
    let ours = match (d.target_port_group, d.relative_port) {
        (Some(g), _) => groups.iter().find(|p| p.group == g),
        (None, Some(r)) => groups.iter().find(|p| p.ports.contains(&r)),
        (None, None) if groups.len() == 1 => groups.first(),
        (None, None) => None,
    };
    let Some(g) = ours else { return false };
    let mut changed = (unit.group, unit.state, unit.preferred) != (g.group, g.state, g.preferred);
    unit.group = g.group;
    unit.state = g.state;
    unit.preferred = g.preferred;
    unit.transition = Duration::from_secs(seconds.into());
    if g.state == TRANSITIONING {
        let since = *unit.transitioning_since.get_or_insert(now);
        let limit = match unit.transition {
            Duration::ZERO => TRANSITION,
            said => said,
        };
        changed |= !unit.overdue && now >= since + limit;
        unit.overdue = now >= since + limit;
    } else {
        unit.transitioning_since = None;
        unit.overdue = false;
    }
    changed
}

impl Session {
    pub(super) fn step_due(&self) -> Time {
        match self.step {
            Step::Idle => Time::NEVER,
            Step::Planned { at, .. } => at,
            Step::Asked { until, .. } => until,
        }
    }

    pub(super) fn step_overdue(&mut self, now: Time) {
        match self.step {
            Step::Asked { ask, .. } => {
                let what = ask.name();
                let after_ms = self.config.answer_timeout.as_millis() as u64;
                self.fail(SessionFailure::NoAnswer { what, after_ms });
            }
            Step::Planned { .. } => self.send_step(now),
            Step::Idle => {}
        }
    }

    /// Starts what is wanted when nothing else is being asked.
    pub(super) fn upkeep(&mut self, now: Time) {
        if !matches!(self.life, Life::ComingUp | Life::Up) || self.step != Step::Idle {
            return;
        }
        if std::mem::take(&mut self.want_scan) {
            self.want_access = false;
            self.scan = Some(Scan {
                luns: Vec::new(),
                at: 0,
                pages: Vec::new(),
                unit: blank(0),
                found: Vec::new(),
                attentions: 0,
                pauses: 0,
            });
            self.ask(Ask::Luns, 0, now);
        } else if let Some(order) = self.orders.pop_front() {
            let lun = order.lun;
            self.order = Some(order);
            self.ask(Ask::SetGroups, lun, now);
        } else if std::mem::take(&mut self.want_access) {
            self.read_access(now);
        }
    }

    fn read_access(&mut self, now: Time) {
        self.access = Some(Access {
            at: 0,
            changed: false,
            rescan: false,
            attentions: 0,
            pauses: 0,
        });
        self.next_access(now);
    }

    fn ask(&mut self, ask: Ask, lun: u32, now: Time) {
        self.step = Step::Planned { ask, lun, at: now };
        self.send_step(now);
    }

    fn send_step(&mut self, now: Time) {
        let Step::Planned { ask, lun, .. } = self.step else {
            return;
        };
        let (cdb, data) = match (ask, &self.order) {
            (Ask::SetGroups, Some(order)) => {
                let bytes = scsi::groups_to_optimize(&order.groups);
                let mut list = SgList::zeroed(bytes.len());
                list.write_at(0, &bytes);
                let cdb = scsi::set_target_port_groups(bytes.len() as u32);
                (cdb, CommandData::Out(list))
            }
            _ => {
                let (cdb, room) = ask.command(self.plain_groups);
                (cdb, CommandData::In(SgList::zeroed(room)))
            }
        };
        let sent = self.submit_own(scsi::lun_bytes(lun), &cdb, data, now);
        self.step = if sent {
            Step::Asked {
                ask,
                lun,
                until: now + self.config.answer_timeout,
            }
        } else {
            // The window is closed: look again soon.
            Step::Planned {
                ask,
                lun,
                at: now + Duration::from_millis(1),
            }
        };
    }

    pub(super) fn step_answered(&mut self, c: &Completion, data: &SgList, now: Time) {
        let Step::Asked { ask, lun, .. } = self.step else {
            return;
        };
        self.step = Step::Idle;
        let sense = scsi::parse_sense(c.sense());
        let good = c.response == 0 && c.status == 0 && !c.damaged;
        if !good {
            let (attentions, pauses) = match (&mut self.scan, &mut self.access, &mut self.order) {
                (Some(s), ..) => (&mut s.attentions, &mut s.pauses),
                (None, Some(a), _) => (&mut a.attentions, &mut a.pauses),
                (None, None, Some(o)) => (&mut o.attentions, &mut o.pauses),
                (None, None, None) => return,
            };
            match (c.status, sense) {
                (0x02, Some((6, ..))) if *attentions < ATTENTIONS_MAX => {
                    *attentions += 1;
                    self.ask(ask, lun, now);
                    return;
                }
                // A target of before SPC-4 takes the request for the extended header for a mistake.
                (0x02, Some((5, ..))) if ask == Ask::Groups && !self.plain_groups => {
                    self.plain_groups = true;
                    self.ask(ask, lun, now);
                    return;
                }
                // Busy, task set full, becoming ready.
                (0x08 | 0x28, _) | (0x02, Some((2, 0x04, 0x01))) if *pauses < PAUSES_MAX => {
                    *pauses += 1;
                    self.step = Step::Planned {
                        ask,
                        lun,
                        at: now + PAUSE,
                    };
                    return;
                }
                _ => {}
            }
        }
        if ask == Ask::SetGroups {
            // What has come of it is read from the target, not believed.
            if good {
                self.read_access(now);
            } else {
                self.order_ended(false);
            }
            return;
        }
        let mut bytes = vec![0; (c.received as usize).min(data.len())];
        data.read_at(0, &mut bytes);
        if self.scan.is_some() {
            self.scan_answered(ask, lun, good.then_some(bytes), c.status, sense, now);
        } else if self.access.is_some() {
            self.access_answered(good.then_some(bytes), now);
        }
    }

    fn scan_answered(
        &mut self,
        ask: Ask,
        lun: u32,
        data: Option<Vec<u8>>,
        status: u8,
        sense: Option<(u8, u8, u8)>,
        now: Time,
    ) {
        let Some(scan) = &mut self.scan else { return };
        scan.attentions = 0;
        scan.pauses = 0;
        let failure = || SessionFailure::BringUp {
            what: ask.name(),
            lun,
            status,
            sense,
        };
        let unit = &mut scan.unit;
        let next = match (ask, data) {
            (Ask::Luns, data) => {
                // A device without REPORT LUNS has LUN 0.
                scan.luns = data.map_or(vec![0], |d| scsi::parse_luns(&d, UNITS_MAX));
                self.next_unit(now);
                return;
            }
            (Ask::Inquiry, data) => {
                let inquiry = data.as_deref().and_then(scsi::parse_inquiry);
                match inquiry {
                    // A block device that is there.
                    Some(i) if i.qualifier == 0 && i.device_type == 0 => {
                        unit.tpgs = i.tpgs;
                        unit.vendor = i.vendor;
                        unit.product = i.product;
                        unit.revision = i.revision;
                        Ask::Pages
                    }
                    _ => {
                        scan.at += 1;
                        self.next_unit(now);
                        return;
                    }
                }
            }
            (Ask::Pages, data) => {
                scan.pages = data.map(|d| scsi::parse_pages(&d)).unwrap_or_default();
                Ask::Serial
            }
            (Ask::Serial, data) => {
                unit.serial = data.map(|d| scsi::parse_serial(&d)).unwrap_or_default();
                Ask::Designators
            }
            (Ask::Designators, data) => {
                unit.designators = data
                    .map(|d| scsi::parse_designators(&d))
                    .unwrap_or_default();
                Ask::Limits
            }
            (Ask::Limits, data) => {
                unit.limits = data.map(|d| scsi::parse_limits(&d)).unwrap_or_default();
                Ask::Provisioning
            }
            (Ask::Provisioning, data) => {
                let (unmap, write_same) = data
                    .map(|d| scsi::parse_provisioning(&d))
                    .unwrap_or_default();
                unit.unmap = unmap && unit.limits.unmap > 0;
                unit.write_same = write_same || unit.limits.write_same > 0;
                if unit.tpgs != 0 {
                    Ask::Groups
                } else {
                    Ask::Capacity
                }
            }
            (Ask::Groups, data) => {
                match data {
                    Some(d) => {
                        let before = self.units.iter().find(|u| u.lun == lun);
                        unit.transitioning_since = before.and_then(|u| u.transitioning_since);
                        apply_groups(unit, &d, now);
                    }
                    // It says that it has groups, and does not tell: as if it had none.
                    None => unit.tpgs = 0,
                }
                Ask::Capacity
            }
            (Ask::Capacity, Some(d)) => match scsi::parse_capacity(&d) {
                Some((blocks, size)) => {
                    unit.blocks = blocks;
                    unit.block_size = size;
                    Ask::Caching
                }
                None => {
                    self.fail(failure());
                    return;
                }
            },
            // Standby, unavailable and the like do not answer this (SPC, 5.16.2).
            (Ask::Capacity, None) if matches!(sense, Some((2, ..))) => Ask::Caching,
            (Ask::Capacity, None) => {
                self.fail(failure());
                return;
            }
            // No question of a scan.
            (Ask::SetGroups, _) => return,
            (Ask::Caching, data) => {
                (unit.write_cache, unit.dpofua) =
                    data.map(|d| scsi::parse_caching(&d)).unwrap_or_default();
                let done = std::mem::replace(unit, blank(0));
                scan.found.push(done);
                scan.at += 1;
                self.next_unit(now);
                return;
            }
        };
        self.ask_unit(next, now);
    }

    /// Asks the next thing of the unit that is being looked at; pages it does not have are skipped.
    fn ask_unit(&mut self, mut ask: Ask, now: Time) {
        let Some(scan) = &self.scan else { return };
        let lun = scan.unit.lun;
        let has = |page: u8| scan.pages.contains(&page);
        loop {
            ask = match ask {
                Ask::Serial if !has(0x80) => Ask::Designators,
                Ask::Designators if !has(0x83) => Ask::Limits,
                Ask::Limits if !has(0xb0) => Ask::Provisioning,
                Ask::Provisioning if !has(0xb2) => {
                    let Some(scan) = &mut self.scan else { return };
                    scan.unit.write_same = scan.unit.limits.write_same > 0;
                    let next = if scan.unit.tpgs != 0 {
                        Ask::Groups
                    } else {
                        Ask::Capacity
                    };
                    self.ask(next, lun, now);
                    return;
                }
                _ => break,
            };
        }
        self.ask(ask, lun, now);
    }

    fn next_unit(&mut self, now: Time) {
        let Some(scan) = &mut self.scan else { return };
        if let Some(lun) = scan.luns.get(scan.at).copied() {
            scan.unit = blank(lun);
            scan.pages.clear();
            self.ask(Ask::Inquiry, lun, now);
            return;
        }
        let found = std::mem::take(&mut scan.found);
        self.scan = None;
        let first = self.life == Life::ComingUp;
        let changed = self.units != found;
        self.units = found;
        self.plan_access(now);
        if first {
            self.life = Life::Up;
            self.events.push_back(SessionEvent::Up);
        } else if changed {
            self.events.push_back(SessionEvent::UnitsChanged);
            self.events.push_back(SessionEvent::AccessChanged);
        }
    }

    fn next_access(&mut self, now: Time) {
        let Some(access) = &mut self.access else {
            return;
        };
        while let Some(unit) = self.units.get(access.at) {
            if unit.tpgs != 0 {
                let lun = unit.lun;
                self.ask(Ask::Groups, lun, now);
                return;
            }
            access.at += 1;
        }
        let (changed, rescan) = (access.changed, access.rescan);
        self.access = None;
        self.plan_access(now);
        self.want_scan |= rescan;
        if changed {
            self.events.push_back(SessionEvent::AccessChanged);
        }
        self.order_ended(true);
    }

    /// The order that was carried out, if any, is over.
    pub(super) fn order_ended(&mut self, done: bool) {
        if let Some(GroupsOrder { tag, .. }) = self.order.take() {
            self.events.push_back(SessionEvent::GroupsSet { tag, done });
        }
    }

    fn access_answered(&mut self, data: Option<Vec<u8>>, now: Time) {
        let Some(access) = &mut self.access else {
            return;
        };
        access.attentions = 0;
        access.pauses = 0;
        if let (Some(d), Some(unit)) = (data, self.units.get_mut(access.at)) {
            access.changed |= apply_groups(unit, &d, now);
            access.rescan |= unit.block_size == 0 && matches!(unit.state, 0 | 1);
        }
        access.at += 1;
        self.next_access(now);
    }
}
