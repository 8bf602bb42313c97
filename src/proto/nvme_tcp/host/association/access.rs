//! The ANA log: read in one piece where it fits, else in pieces that must belong together; and
//! the watch over transitions that take too long.

use super::conversation::Step;
use super::*;
use crate::proto::nvme::ana::{ANA_GROUP_LEN, ANA_HEADER_LEN, get_ana_log};
use crate::proto::nvme::{AnaItem, AnaLimits, AnaLogParser};
use std::collections::BTreeMap;
use std::time::Duration;

/// Bytes of the log read by one command at most.
const PIECE_MAX: u32 = 64 * 1024;
/// Groups and namespace ids in a log at most: it is refused beyond.
const GROUPS_MAX: u16 = 4096;
const NSIDS_MAX: u32 = 1 << 20;
/// Readings of a log that changes under way, and the pause between two.
const TRIES_MAX: u32 = 16;
const TRY_PAUSE: Duration = Duration::from_millis(10);
/// Transition time when the controller does not state ANATT.
const ANATT_DEFAULT: Duration = Duration::from_secs(10);
/// ANA state "inaccessible".
const INACCESSIBLE: u8 = 3;

/// A reading of the log.
#[derive(Debug)]
pub(super) struct AnaRead {
    parser: AnaLogParser,
    /// State of each group.
    groups: BTreeMap<u32, u8>,
    change_count: u64,
    piece: u32,
    pieces: u32,
    tries: u32,
}

impl Association {
    /// Starts to read the log.
    pub(super) fn start_access(&mut self, now: Time) {
        let Some(i) = &self.identify else {
            return;
        };
        // All of it in one command where it fits: then no change can come between two pieces.
        let names = match i.mnan {
            0 => i.nn,
            n => n,
        };
        let whole = (ANA_HEADER_LEN as u64)
            + u64::from(i.nanagrpid) * ANA_GROUP_LEN as u64
            + u64::from(names) * 4;
        let mdts = i.mdts_bytes(self.cap.mpsmin()).unwrap_or(PIECE_MAX);
        let piece = whole.clamp(1024, u64::from(mdts.min(PIECE_MAX))) as u32;
        self.ana = Some(AnaRead {
            parser: new_parser(i.anagrpmax),
            groups: BTreeMap::new(),
            change_count: 0,
            piece,
            pieces: 0,
            tries: 1,
        });
        self.ask_access(now);
    }

    /// Asks for the next piece.
    pub(super) fn ask_access(&mut self, now: Time) {
        let Some(ana) = &mut self.ana else {
            return;
        };
        // The first piece clears the event, so that any change from then on is told again.
        let page = get_ana_log(ana.parser.offset(), ana.piece).with_rae(ana.pieces > 0);
        ana.pieces += 1;
        let room = ana.piece as usize;
        self.ask(Step::Access, page.to_sqe(), room, now);
    }

    pub(super) fn access_read(&mut self, data: &SgList, now: Time) {
        let Some(ana) = &mut self.ana else {
            return;
        };
        let (groups, change_count) = (&mut ana.groups, &mut ana.change_count);
        let before = ana.parser.offset();
        let fed = ana.parser.feed(bytes_of(data), |item| match item {
            AnaItem::Header { chgcnt, .. } => *change_count = chgcnt,
            AnaItem::Group(g) => {
                groups.insert(g.grpid, g.state.to_raw());
            }
            // Which group a namespace is in, Identify Namespace has said.
            AnaItem::Namespace { .. } => {}
        });
        match fed {
            Ok(true) if ana.pieces == 1 => self.access_done(now),
            Ok(true) => {
                let page = get_ana_log(0, ANA_HEADER_LEN as u32);
                self.ask(Step::AccessCheck, page.to_sqe(), ANA_HEADER_LEN, now);
            }
            Ok(false) => {
                debug_assert!(ana.parser.offset() > before, "a piece is never empty");
                self.ask_access(now);
            }
            Err(error) => {
                // Pieces of two logs make nonsense as well; only one piece proves it.
                let what = "Get Log Page ANA";
                if ana.pieces == 1 {
                    self.fail(AssociationFailure::Malformed { what, error });
                } else {
                    self.access_again(now);
                }
            }
        }
    }

    /// The header once more, after all pieces.
    pub(super) fn access_checked(&mut self, data: &SgList, now: Time) {
        let count = bytes_of(data)
            .first_chunk()
            .map_or(0, |b: &[u8; 8]| u64::from_le_bytes(*b));
        if self.ana.as_ref().is_some_and(|a| a.change_count == count) {
            self.access_done(now);
        } else {
            self.access_again(now);
        }
    }

    fn access_again(&mut self, now: Time) {
        let anagrpmax = self.identify.as_ref().map_or(0, |i| i.anagrpmax);
        let Some(ana) = &mut self.ana else {
            return;
        };
        if ana.tries == TRIES_MAX {
            let tries = ana.tries;
            return self.fail(AssociationFailure::AnaLogUnstable { tries });
        }
        ana.tries += 1;
        ana.pieces = 0;
        ana.groups.clear();
        ana.parser = new_parser(anagrpmax);
        self.pause(Step::AccessPause, now + TRY_PAUSE);
    }

    fn access_done(&mut self, now: Time) {
        let Some(ana) = self.ana.take() else {
            return;
        };
        let up = self.life != Life::ComingUp;
        let mut missing = None;
        for ns in self.access_targets() {
            ns.ana_state = match ana.groups.get(&ns.ana_group) {
                Some(state) => *state,
                None => {
                    missing.get_or_insert((ns.nsid, ns.ana_group));
                    INACCESSIBLE
                }
            };
        }
        if let Some((nsid, group)) = missing
            && !up
        {
            return self.fail(AssociationFailure::AnaGroupMissing { nsid, group });
        }
        self.adopt_scan(now);
        if up {
            self.events.push_back(AssociationEvent::AccessChanged);
        }
    }

    fn transition_limit(&self) -> Duration {
        match self.info.as_ref().map_or(0, |i| i.anatt_s) {
            0 => ANATT_DEFAULT,
            s => Duration::from_secs(u64::from(s)),
        }
    }

    /// Notes since when each namespace is in transition.
    pub(super) fn track_transitions(&mut self, now: Time) {
        for (ns, since) in self.namespaces.iter_mut().zip(&mut self.changing) {
            if ns.ana_state != ANA_STATE_CHANGE {
                *since = Time::NEVER;
                ns.ana_overdue = false;
            } else if *since == Time::NEVER {
                *since = now;
            }
        }
        self.schedule_overdue();
    }

    fn schedule_overdue(&mut self) {
        let limit = self.transition_limit();
        self.overdue_at = self
            .namespaces
            .iter()
            .zip(&self.changing)
            .filter(|(ns, since)| !ns.ana_overdue && **since != Time::NEVER)
            .map(|(_, since)| *since + limit)
            .min()
            .unwrap_or(Time::NEVER);
    }

    /// Flags transitions that take longer than ANATT, so that I/O does not wait for ever, and
    /// reads the log again in case the event that told of their end was lost.
    pub(super) fn check_overdue(&mut self, now: Time) {
        if self.overdue_at > now {
            return;
        }
        let limit = self.transition_limit();
        let mut any = false;
        for (ns, since) in self.namespaces.iter_mut().zip(&self.changing) {
            if !ns.ana_overdue && *since != Time::NEVER && *since + limit <= now {
                ns.ana_overdue = true;
                any = true;
            }
        }
        self.schedule_overdue();
        if any {
            self.want_access = true;
            self.events.push_back(AssociationEvent::AccessChanged);
        }
    }
}

const fn new_parser(anagrpmax: u32) -> AnaLogParser {
    AnaLogParser::new(AnaLimits {
        groups: GROUPS_MAX,
        nsids: NSIDS_MAX,
        // Some targets leave ANAGRPMAX at 0.
        grpid: if anagrpmax == 0 { u32::MAX } else { anagrpmax },
    })
}
