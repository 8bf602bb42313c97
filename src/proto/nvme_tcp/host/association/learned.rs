//! What Identify says: the controller, the namespaces and their identifiers.

use super::conversation::Step;
use super::*;
use crate::proto::nvme::id_ctrl::{FUSES_COMPARE_AND_WRITE, VWC_PRESENT, cmic};
use crate::proto::nvme::id_ns::{
    DLFEAT_READ_ZERO, DLFEAT_WRITE_ZEROES, NSATTR_WRITE_PROTECTED, nsfeat,
};
use crate::proto::nvme::identify::{IDENTIFY_LEN, NsDescriptor, NsDescriptors, NsList, ascii_text};
use crate::proto::nvme::{Cns, CodecError, Identify, IdentifyNamespace};

/// One walk over the namespaces.
#[derive(Debug, Default)]
pub(super) struct Scan {
    wanted: Vec<u32>,
    found: Vec<NamespaceInfo>,
    /// Index in `wanted` of the one being identified.
    at: usize,
}

impl Association {
    fn malformed(&mut self, what: &'static str, error: CodecError) {
        self.fail(AssociationFailure::Malformed { what, error });
    }

    pub(super) fn controller_identified(&mut self, data: &SgList, now: Time) {
        const WHAT: &str = "Identify Controller";
        let identify = match IdentifyController::parse(bytes_of(data)) {
            Ok(i) => i,
            Err(error) => return self.malformed(WHAT, error),
        };
        if let Err(error) = identify.check_io_controller() {
            return self.malformed(WHAT, error);
        }
        // In-capsule data starts behind the command in TCP (NVMe/TCP, "Capsules").
        if identify.icdoff != 0 {
            let (field, value) = ("ICDOFF", u64::from(identify.icdoff));
            return self.malformed(WHAT, CodecError::BadValue { field, value });
        }
        if identify.cntlid != self.cntlid {
            return self.fail(AssociationFailure::ControllerMismatch {
                connected: self.cntlid,
                identified: identify.cntlid,
            });
        }
        let crdt = identify.crdt;
        self.identify = Some(Box::new(identify));
        self.set_behavior(crdt, now);
    }

    /// Puts together what is known once the features have been asked for.
    pub(super) fn learn_controller(&mut self) {
        let Some(i) = &self.identify else {
            return;
        };
        // Entries are one more than commands, so the largest queue (0-based) is the depth.
        let mut depth = self.config.depth.max(1).min(self.cap.mqes0().max(1));
        if i.maxcmd != 0 {
            depth = depth.min(i.maxcmd);
        }
        self.info = Some(ControllerInfo {
            cntlid: i.cntlid,
            ciu: i.ciu,
            cirn: i.cirn,
            ccrl: i.ccrl,
            cqt_ms: u32::from(i.cqt),
            kato_ms: self.kato_granted.unwrap_or_else(|| self.config.kato_ms()),
            tbkas: i.tbkas(),
            mdts_bytes: i.mdts_bytes(self.cap.mpsmin()),
            in_capsule_max: i.in_capsule_bytes(),
            maxcmd: i.maxcmd,
            model: i.model().to_owned(),
            serial: i.serial().to_owned(),
            firmware: ascii_text(&i.fr).to_owned(),
            version: (
                self.version.major(),
                self.version.minor(),
                self.version.tertiary(),
            ),
            vwc: i.vwc & VWC_PRESENT != 0,
            oncs: i.oncs,
            fused_compare_and_write: i.fuses & FUSES_COMPARE_AND_WRITE != 0,
            crdt: i.crdt,
            acre: self.acre,
            ana: i.cmic & cmic::ANA != 0,
            anatt_s: i.anatt,
            oaes: i.oaes,
            abort_limit: u16::from(i.acl) + 1,
            io_queues: 0,
            depth,
        });
    }

    /// Starts to look for namespaces.
    pub(super) fn start_scan(&mut self, now: Time) {
        let mut scan = Scan::default();
        match self.config.nsid {
            Some(nsid) => {
                scan.wanted.push(nsid);
                self.scan = Some(scan);
                self.next_namespace(now);
            }
            None => {
                self.scan = Some(scan);
                self.ask_list(0, now);
            }
        }
    }

    fn ask_list(&mut self, after: u32, now: Time) {
        let sqe = Identify::new(Cns::ACTIVE_NAMESPACES, after).to_sqe();
        self.ask(Step::List { after }, sqe, IDENTIFY_LEN, now);
    }

    /// A page of the active namespace list.
    pub(super) fn listed(&mut self, data: &SgList, now: Time) {
        const WHAT: &str = "Identify Active Namespace List";
        let Some(scan) = &mut self.scan else {
            return;
        };
        let after = scan.wanted.last().copied().unwrap_or(0);
        let list = match NsList::parse(bytes_of(data)) {
            Ok(l) => l,
            Err(error) => return self.malformed(WHAT, error),
        };
        // Each page goes on above the last one, so the walk ends.
        if let Some(first) = list.iter().next()
            && first <= after
        {
            let (field, value) = ("NSID list", u64::from(first));
            return self.malformed(WHAT, CodecError::BadValue { field, value });
        }
        if scan.wanted.len() + list.len() > NAMESPACES_MAX {
            return self.fail(AssociationFailure::TooManyNamespaces {
                max: NAMESPACES_MAX,
            });
        }
        scan.wanted.extend(list.iter());
        match scan.wanted.last() {
            Some(last) if list.is_full() => {
                let last = *last;
                self.ask_list(last, now);
            }
            _ => self.next_namespace(now),
        }
    }

    /// Identifies the next namespace, or ends the walk.
    fn next_namespace(&mut self, now: Time) {
        let Some(scan) = &self.scan else {
            return;
        };
        match scan.wanted.get(scan.at) {
            Some(nsid) => {
                let sqe = Identify::new(Cns::NAMESPACE, *nsid).to_sqe();
                self.ask(Step::Namespace, sqe, IDENTIFY_LEN, now);
            }
            None => self.scan_done(now),
        }
    }

    /// Leaves out the namespace at hand: it is gone, or cannot be served.
    fn skip_namespace(&mut self, now: Time) {
        if let Some(scan) = &mut self.scan {
            scan.at += 1;
        }
        self.next_namespace(now);
    }

    pub(super) fn namespace_identified(&mut self, cqe: Cqe, data: &SgList, now: Time) {
        const WHAT: &str = "Identify Namespace";
        let Some(nsid) = self.scan.as_ref().and_then(|s| s.wanted.get(s.at).copied()) else {
            return;
        };
        let gone = cqe.status.code() == crate::proto::nvme::StatusCode::INVALID_NAMESPACE;
        if gone {
            return self.skip_namespace(now);
        }
        if !cqe.status.is_success() {
            let (what, status) = (WHAT, cqe.status);
            return self.fail(AssociationFailure::Command { what, status });
        }
        let ns = match IdentifyNamespace::parse(bytes_of(data)) {
            Ok(n) => n,
            Err(error) => return self.malformed(WHAT, error),
        };
        if !ns.is_active() {
            return self.skip_namespace(now);
        }
        let format = ns.format();
        let usable = ns
            .block_shift()
            .filter(|_| format.ms == 0 && ns.dps & 7 == 0);
        let (Some(shift), Some(_)) = (usable, ns.size_bytes()) else {
            if self.config.nsid.is_none() {
                // One odd namespace must not keep the others from being used.
                return self.skip_namespace(now);
            }
            return self.fail(AssociationFailure::NamespaceFormat {
                nsid,
                block_shift: format.lbads,
                metadata: format.ms,
            });
        };
        let some = |id: &[u8]| id.iter().any(|b| *b != 0);
        let ana = self.info.as_ref().is_some_and(|i| i.ana);
        let info = NamespaceInfo {
            nsid,
            blocks: ns.nsze,
            block_size: 1 << shift,
            eui64: some(&ns.eui64).then_some(ns.eui64),
            nguid: some(&ns.nguid).then_some(ns.nguid),
            uuid: None,
            ana_group: if ana { ns.anagrpid } else { 0 },
            ana_state: ANA_STATE_OPTIMIZED,
            ana_overdue: false,
            write_protected: ns.nsattr & NSATTR_WRITE_PROTECTED != 0,
            deallocated_reads_zero: ns.dlfeat & 7 == DLFEAT_READ_ZERO,
            write_zeroes_deallocates: ns.dlfeat & DLFEAT_WRITE_ZEROES != 0,
            optimal_boundary_blocks: ns.noiob,
            preferred_write_blocks: if ns.nsfeat & nsfeat::OPTPERF != 0 {
                u32::from(ns.npwg) + 1
            } else {
                1
            },
        };
        if let Some(scan) = &mut self.scan {
            scan.found.push(info);
        }
        let sqe = Identify::new(Cns::NAMESPACE_DESCRIPTORS, nsid).to_sqe();
        self.ask(Step::Identifiers, sqe, IDENTIFY_LEN, now);
    }

    /// Identification descriptors; a controller older than NVMe 1.3 does not have them.
    pub(super) fn identifiers_read(&mut self, cqe: Cqe, data: &SgList, now: Time) {
        let Some(scan) = &mut self.scan else {
            return;
        };
        scan.at += 1;
        if cqe.status.is_success()
            && let Some(info) = scan.found.last_mut()
        {
            for descriptor in NsDescriptors::new(bytes_of(data)) {
                match descriptor {
                    Ok(NsDescriptor::Eui64(id)) => info.eui64 = Some(id),
                    Ok(NsDescriptor::Nguid(id)) => info.nguid = Some(id),
                    Ok(NsDescriptor::Uuid(id)) => info.uuid = Some(id),
                    Ok(_) => {}
                    Err(error) => {
                        return self
                            .malformed("Identify Namespace Identification Descriptors", error);
                    }
                }
            }
        }
        self.next_namespace(now);
    }

    /// All wanted namespaces have been asked for.
    fn scan_done(&mut self, now: Time) {
        let none = self.scan.as_ref().is_none_or(|s| s.found.is_empty());
        if self.life == Life::ComingUp && none {
            return self.fail(match self.config.nsid {
                Some(nsid) => AssociationFailure::NoSuchNamespace { nsid },
                None => AssociationFailure::NoNamespaces,
            });
        }
        if self.info.as_ref().is_some_and(|i| i.ana) {
            self.start_access(now);
        } else {
            self.adopt_scan(now);
        }
    }

    /// What the walk found is what there is from now on; the ANA states are in place.
    pub(super) fn adopt_scan(&mut self, now: Time) {
        if let Some(scan) = self.scan.take() {
            let changed = scan.found.len() != self.namespaces.len()
                || scan.found.iter().zip(&self.namespaces).any(|(new, old)| {
                    let mut same_state = old.clone();
                    same_state.ana_state = new.ana_state;
                    same_state.ana_overdue = new.ana_overdue;
                    same_state != *new
                });
            let old: Vec<(u32, Time)> = self
                .namespaces
                .iter()
                .zip(&self.changing)
                .map(|(n, t)| (n.nsid, *t))
                .collect();
            self.changing = scan
                .found
                .iter()
                .map(|n| {
                    old.iter()
                        .find(|(nsid, _)| *nsid == n.nsid)
                        .map_or(Time::NEVER, |(_, t)| *t)
                })
                .collect();
            self.namespaces = scan.found;
            if changed && self.life == Life::Up {
                self.events.push_back(AssociationEvent::NamespacesChanged);
            }
        }
        self.track_transitions(now);
        if self.life == Life::ComingUp {
            self.life = Life::Up;
            self.events.push_back(AssociationEvent::Up);
        }
    }

    /// The namespaces that ANA states are written to: those of a walk under way, or the known ones.
    pub(super) fn access_targets(&mut self) -> &mut [NamespaceInfo] {
        match &mut self.scan {
            Some(scan) => &mut scan.found,
            None => &mut self.namespaces,
        }
    }
}
