//! What has changed on the reactors since the last look.

use super::Registry;
use crate::control::events::EventKind;
use crate::lun::policy::PolicySpec;
use crate::path::access::AccessState;
use crate::path::unit::Hardware;

/// What was seen of a LUN last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Seen {
    policy: Option<PolicySpec>,
    paths: Vec<SeenPath>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct SeenPath {
    reactor: usize,
    nexus: u64,
    joined: bool,
    access: AccessState,
    logins: u64,
    reason: Option<String>,
}

impl Registry {
    /// One look: notes what has changed as events. Short; called some twenty times a second.
    pub fn tick(&mut self) {
        for at in 0..self.luns.len() {
            let Some((now, hardware)) = self.see(at) else {
                continue;
            };
            self.meet_hardware(at, &hardware);
            let before = std::mem::replace(&mut self.luns[at].seen, now.clone());
            if before != now {
                self.tell(at, &before, &now);
            }
        }
        self.try_serves();
        self.check_kept();
        self.check_store();
        self.verify_paths();
    }

    fn see(&self, at: usize) -> Option<(Seen, Hardware)> {
        let lun = &self.luns[at];
        let mut seen = Seen::default();
        let mut hardware = Hardware::default();
        for (reactor, driver) in self.drivers.iter().enumerate() {
            let channel = lun.channels[reactor];
            let looked = driver.ask(move |r| {
                let plane = r.plane();
                let c = plane.channel(channel);
                let slots = c
                    .slots
                    .iter()
                    .filter(|s| s.life == crate::lun::channel::SlotLife::Here);
                let path = |s: &crate::lun::channel::PathSlot| {
                    let a = plane.paths.get(s.association);
                    let down = a
                        .reason()
                        .map(ToString::to_string)
                        .or_else(|| s.refused.clone());
                    SeenPath {
                        reactor,
                        nexus: a.nexus.id,
                        joined: s.joined,
                        access: s.access,
                        logins: a.counters.logins,
                        reason: down.filter(|_| !s.joined),
                    }
                };
                let told = c.slots.iter().filter(|s| s.joined).find_map(|s| {
                    let unit = plane.paths.get(s.association).unit(Some(s.nsid));
                    unit.map(|u| u.hardware.clone())
                });
                let paths = slots.map(path).collect::<Vec<_>>();
                (c.selector.policy(), paths, told.unwrap_or_default())
            });
            let (policy, paths, told) = looked.ok()?;
            if hardware == Hardware::default() {
                hardware = told;
            }
            seen.policy.get_or_insert(policy);
            seen.paths.extend(paths);
        }
        Some((seen, hardware))
    }

    fn tell(&mut self, at: usize, before: &Seen, now: &Seen) {
        let lun = self.luns[at].name.clone();
        let many = self.drivers.len() > 1;
        let on = |p: &SeenPath| match many {
            true => format!(" on reactor {}", p.reactor),
            false => String::new(),
        };
        for p in &now.paths {
            let was = before
                .paths
                .iter()
                .find(|w| (w.reactor, w.nexus) == (p.reactor, p.nexus));
            let was_up = was.is_some_and(|w| w.joined);
            let flapped = was.is_some_and(|w| w.joined && p.joined && w.logins != p.logins);
            if flapped {
                let text = format!("lost and back{}", on(p));
                self.note(EventKind::PathDown, &lun, Some(p.nexus), text);
            }
            if p.joined && (!was_up || flapped) {
                self.note(
                    EventKind::PathUp,
                    &lun,
                    Some(p.nexus),
                    format!("up{}", on(p)),
                );
            } else if !p.joined && was_up {
                let why = p.reason.as_deref().unwrap_or("no reason known");
                self.note(
                    EventKind::PathDown,
                    &lun,
                    Some(p.nexus),
                    format!("{why}{}", on(p)),
                );
            } else if !p.joined && p.reason.is_some() && was.is_none_or(|w| w.reason != p.reason) {
                let why = p.reason.as_deref().unwrap_or_default();
                self.note(
                    EventKind::PathDown,
                    &lun,
                    Some(p.nexus),
                    format!("{why}{}", on(p)),
                );
            }
            if let Some(w) = was.filter(|w| w.access != p.access) {
                let text = format!("{} -> {}{}", w.access, p.access, on(p));
                self.note(EventKind::AccessChanged, &lun, Some(p.nexus), text);
            }
        }
        if let (Some(was), Some(is)) = (before.policy, now.policy)
            && was != is
        {
            let text = format!("policy in force: {was} -> {is}");
            self.note(EventKind::PolicyChanged, &lun, None, text);
        }
    }
}
