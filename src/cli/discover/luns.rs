//! The LUNs of a target, as one session to each of its portal groups finds them. The sessions are those
//! that a path has, without the I/O.

use std::time::Duration;

use super::patience::Patience;
use crate::path::dialer::Dialer;
use crate::path::iscsi_link::IscsiLink;
use crate::path::iscsi_url::Secret;
use crate::path::nvme_link::{HostIdentity, LinkNews};
use crate::path::unit::Unit;
use crate::path::url::{NexusSpec, PathSpec};
use crate::proto::iscsi::discovery::{Portal, Target};

/// How often an answer is looked for.
const LOOK: Duration = Duration::from_micros(200);

/// What a portal group of a target leads to.
#[derive(Debug)]
pub struct Group {
    pub group: u16,
    /// The portal that was logged in to, else the last one tried.
    pub portal: Portal,
    /// The LUNs, by number; or why they are not known.
    pub units: Result<Vec<Unit>, String>,
}

/// Who asks.
#[derive(Debug)]
pub struct Asker {
    pub host: HostIdentity,
    pub chap: Option<Secret>,
    /// Its sessions take nobody's place: the ISID comes from this.
    pub random: u64,
    pub patience: Patience,
}

/// Logs in to each portal group of a target, by the first of its portals that takes the login.
pub fn groups(target: &Target, asker: &Asker) -> Vec<Group> {
    let mut out: Vec<Group> = Vec::new();
    for portal in &target.portals {
        let known = out.iter_mut().find(|g| g.group == portal.group);
        if known.as_ref().is_some_and(|g| g.units.is_ok()) {
            continue;
        }
        let place = portal.value();
        let place = place
            .rsplit_once(',')
            .map_or(&place[..], |(place, _)| place);
        let units = units(&target.name, place, asker);
        match known {
            None => out.push(Group {
                group: portal.group,
                portal: portal.clone(),
                units,
            }),
            Some(g) => {
                g.units = match (&g.units, units) {
                    (Err(before), Err(now)) => Err(format!("{before}; {now}")),
                    (_, units) => units,
                };
                g.portal.clone_from(portal);
            }
        }
    }
    out
}

/// One session at `place`, which is `HOST:PORT`.
fn units(target: &str, place: &str, asker: &Asker) -> Result<Vec<Unit>, String> {
    let url = format!("iscsi://{place}/{target}/0");
    let path = PathSpec::parse(&url).map_err(|e| e.to_string())?;
    let NexusSpec::Iscsi(mut spec) = path.nexus else {
        unreachable!("the URL says iSCSI")
    };
    spec.chap.clone_from(&asker.chap);
    let at = |what: String| format!("{place}: {what}");
    let patience = &asker.patience;
    patience.next().map_err(at)?;
    let mut now = patience.now();
    let dialer = Dialer::Tcp;
    let seed = (asker.random, 1);
    let mut link = IscsiLink::start(&spec, asker.random, &asker.host, seed, &dialer, now)
        .map_err(|e| at(e.to_string()))?;
    let (mut done, mut news) = (Vec::new(), Vec::new());
    let mut heard = now;
    let mut found = None;
    let mut over = false;
    loop {
        now = patience.now();
        let worked = link.flush(now, &mut news) | link.pump(&dialer, now, &mut done, &mut news);
        for item in news.drain(..) {
            match (item, &found) {
                (LinkNews::Up, _) => {
                    found = Some(link.units());
                    link.shutdown(now);
                }
                // Once the answer is there, a bad goodbye harms nobody.
                (LinkNews::ShutdownDone | LinkNews::Down(_), Some(_)) => over = true,
                (LinkNews::ShutdownDone, None) => return Err(at("it logged us out".to_owned())),
                (LinkNews::Down(why), None) => return Err(at(why.to_string())),
                _ => {}
            }
        }
        if worked {
            heard = now;
        }
        if over || now >= heard + patience.answer || patience.is_over() {
            link.tear_down(&mut done, drop);
            return found.ok_or_else(|| at(patience.why()));
        }
        if !worked {
            std::thread::sleep(LOOK);
        }
    }
}
