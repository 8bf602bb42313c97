//! Whether the picture that the Windows-shaped objects answer from can be trusted, and how it is
//! mended.
//!
//! It is made of two things: what the reactors have open, and what is kept of it over a restart. It is
//! corrupt once a reactor is silent, has other paths than the daemon has given it, or somebody else
//! has written the files of the state. Reenumerate goes from what should be to what is again, and
//! Refresh asks every target what it is like.

use super::Registry;
use super::desired;
use super::luns::{apply_wishes, nexus_of, open_path};
use crate::control::events::EventKind;
use crate::control::view::ChangeError;
use crate::lun::plane::{Overview, PathToOpen};
use crate::path::url::{NexusSpec, PathSpec};

impl Registry {
    /// Where two reactors contradict each other about a LUN, or one does not answer.
    pub(super) fn contradiction(&self) -> Option<String> {
        for lun in &self.luns {
            let all = match self.overviews(lun) {
                Ok(all) => all,
                Err(e) => return Some(format!("LUN '{}': {e}", lun.name)),
            };
            let mut wanted: Vec<u64> = lun.paths.iter().map(|url| nexus_of(url)).collect();
            wanted.sort_unstable();
            if all.iter().any(|o| nexuses(o) != wanted) {
                return Some(format!("a reactor has other paths of LUN '{}'", lun.name));
            }
        }
        None
    }

    /// Which LUNs and paths are there: gives each reactor what it should have, and keeps the state
    /// anew where somebody has laid hands on it.
    pub(super) fn reenumerate(&mut self) -> Result<(), ChangeError> {
        self.check_kept();
        if !self.state_kept {
            let kept = self.store.save_anew(&self.state);
            kept.map_err(|e| ChangeError::Failed(e.to_string()))?;
            self.state_kept = true;
        }
        for at in 0..self.luns.len() {
            self.give_paths(at).map_err(ChangeError::Failed)?;
        }
        if let Some(why) = self.contradiction() {
            return Err(ChangeError::Failed(why));
        }
        self.cache.reenumerated();
        Ok(())
    }

    /// Adds what a reactor lacks of a LUN, and takes out what it has too much.
    fn give_paths(&mut self, at: usize) -> Result<(), String> {
        let lun = &self.luns[at];
        let (name, urls) = (lun.name.clone(), lun.paths.clone());
        let mut all_wanted = desired::luns(&self.config, &self.state).into_iter();
        let want = all_wanted.find(|l| l.name == name);
        let all = self.overviews(lun).map_err(|e| e.to_string())?;
        let wanted: Vec<u64> = urls.iter().map(|url| nexus_of(url)).collect();
        let mut done = Vec::new();
        let places = self.drivers.iter().zip(&lun.channels).zip(&all);
        for (reactor, ((driver, &channel), o)) in places.enumerate() {
            let has = nexuses(o);
            for &extra in has.iter().filter(|id| !wanted.contains(id)) {
                let taken = driver.ask(move |r| r.plane().remove_path(channel, extra));
                taken.map_err(|e| e.to_string())?;
                done.push((EventKind::PathRemoved, extra, "was too much on a reactor"));
            }
            for (url, &id) in urls.iter().zip(&wanted).filter(|(_, id)| !has.contains(id)) {
                let weight = want.as_ref().and_then(|w| {
                    let at = w.paths.iter().position(|p| p == url)?;
                    w.weights.get(at).copied()
                });
                let mut paths = open_again(url, &name, weight.unwrap_or(0))?;
                for path in &mut paths {
                    self.restore_session(&mut path.spec, reactor);
                }
                for path in paths {
                    let added = driver.ask(move |r| r.add_path(channel, path));
                    added.map_err(|e| e.to_string())?;
                }
                let wishes = want.as_ref().map(|w| w.wishes.clone()).unwrap_or_default();
                let wished = driver.ask(move |r| apply_wishes(r.plane(), channel, &wishes));
                wished.map_err(|e| e.to_string())?;
                done.push((EventKind::PathAdded, id, "was missing on a reactor"));
            }
        }
        for (kind, id, what) in done {
            self.note(kind, &name, Some(id), what);
        }
        Ok(())
    }

    /// A Refresh may begin: the inventory is right.
    pub(super) fn may_refresh(&self) -> Result<(), ChangeError> {
        if let Some(why) = self.contradiction() {
            return Err(ChangeError::Failed(why));
        }
        let mut after = self.cache.clone();
        if after.refreshed() {
            return Ok(());
        }
        let why = "the inventory has to be read again first: Reenumerate";
        Err(ChangeError::Failed(why.to_owned()))
    }

    /// All targets have answered.
    pub(super) fn end_refresh(&mut self) -> Result<(), ChangeError> {
        self.may_refresh()?;
        self.cache.refreshed();
        Ok(())
    }
}

/// In order, to be compared.
fn nexuses(o: &Overview) -> Vec<u64> {
    let mut ids: Vec<u64> = o.paths.iter().map(|p| p.nexus_id).collect();
    ids.sort_unstable();
    ids
}

fn open_again(url: &str, lun: &str, weight: u32) -> Result<Vec<PathToOpen>, String> {
    let spec = PathSpec::parse(url).map_err(|e| e.to_string())?;
    if matches!(spec.nexus, NexusSpec::Local(_)) {
        // To open it anew might be to open another: memory is not the same twice.
        return Err(format!(
            "the local path {url} of LUN '{lun}' is gone from a reactor; close the LUN and open it again"
        ));
    }
    open_path(url, weight, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::command::{Command, ObjectAnswer, ObjectCommand};
    use crate::control::registry::kit::registry;
    use crate::control::view::CacheState;
    use crate::engine::reactor::Reactor;
    use std::sync::mpsc::channel;

    fn cache(r: &mut Registry) -> CacheState {
        match r.object(ObjectCommand::View) {
            Ok(ObjectAnswer::View(view)) => view.provider.cache.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn refresh(r: &mut Registry) -> bool {
        let (reply, answer) = channel();
        r.begin(Command::Object(ObjectCommand::Refresh), reply);
        while r.is_waiting() {
            r.attend();
        }
        answer.recv().expect("answered").is_ok()
    }

    #[test]
    fn a_path_that_vanished_from_a_reactor_is_given_back() {
        let (mut r, dir) = registry("vanished");
        assert_eq!(cache(&mut r), CacheState::Good);
        let (id, channel) = (nexus_of(&r.luns[0].paths[1]), r.luns[0].channels[1]);
        let taken = r.drivers[1].ask(move |r| r.plane().remove_path(channel, id));
        assert_eq!(taken, Ok(true));
        assert!(matches!(cache(&mut r), CacheState::Corrupt(why) if why.contains("'a'")));
        assert!(!refresh(&mut r), "the inventory comes first");
        r.reenumerate().expect("given back");
        let weights = r.drivers[1].ask(move |r| {
            let all = r.plane().overview(channel).paths;
            all.iter().map(|p| p.weight).collect::<Vec<_>>()
        });
        assert_eq!(weights, Ok(vec![3, 5]));
        assert!(matches!(cache(&mut r), CacheState::Reenumerated(_)));
        assert!(refresh(&mut r));
        assert_eq!(cache(&mut r), CacheState::Good);
        assert!(r.contradiction().is_none());
        r.stop();
        std::fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_reactor_that_is_silent_cannot_be_mended() {
        let (mut r, dir) = registry("silent");
        assert_eq!(cache(&mut r), CacheState::Good);
        r.drivers[0].handle().send(Reactor::stop).expect("taken");
        // It answers what came before its end, and then nothing any more.
        while r.drivers[0].ask(|_| ()).is_ok() {}
        assert!(matches!(cache(&mut r), CacheState::Corrupt(_)));
        assert!(r.reenumerate().is_err());
        assert!(!refresh(&mut r));
        assert!(matches!(cache(&mut r), CacheState::Corrupt(_)));
        r.drivers.clear();
        r.stop();
        std::fs::remove_dir_all(dir).expect("removed");
    }
}
