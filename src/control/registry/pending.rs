//! Calls that have begun and wait: for a target that is told which states to have, or is asked for
//! them. Meanwhile other commands are carried out; one that wants the same LUN changed is told that
//! a call is in progress, and so is whoever looks at it through VDS.

use super::Registry;
use super::answer::fold;
use super::surface::change_error;
use crate::base::clock::Time;
use crate::control::command::{Answer, Command, CommandError, ObjectAnswer, ObjectCommand};
use crate::control::events::EventKind;
use crate::control::view::ChangeError;
use crate::lun::plane::{SetAnswer, SetBegun, SetDone, WhatIsSet};
use crate::lun::policy::{NtStatus, SetRequest};
use crate::path::url::{NexusSpec, PathSpec};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

/// How long targets may take to say what their states are, where the URL of none allows it more.
const REFRESH_MAX: Duration = Duration::from_secs(10);

/// Where the answer to a command goes.
pub type Reply = Sender<Result<Answer, CommandError>>;

/// A call that waits.
#[derive(Debug)]
pub(super) struct Pending {
    call: Call,
    reply: Reply,
}

#[derive(Debug)]
enum Call {
    /// A set request: the first reactor has told the target.
    Set {
        lun: String,
        request: SetRequest,
        /// What was set on the first reactor before.
        was: WhatIsSet,
        from: Receiver<SetAnswer>,
    },
    /// Every target is asked for its states.
    Refresh { until: Time, within: Duration },
}

/// How the call that changes a policy is named to others.
const SET: &str = "SetLoadBalancePolicy";

/// Reactors see the access states of their own associations: this one sees others than the first.
fn behind(reactor: usize, status: NtStatus) -> ChangeError {
    ChangeError::Failed(format!(
        "reactor {reactor} refuses what reactor 0 grants ({status} {}): they do not agree on the paths or \
         their access states yet; what was set before is in force on all; try again",
        status.name()
    ))
}

impl Registry {
    /// Carries a command out. Its answer goes to `reply`, now or when what it waits for has come: see
    /// `attend`.
    pub fn begin(&mut self, command: Command, reply: Reply) {
        let begun = match command {
            Command::Object(ObjectCommand::SetPolicy { lun, request }) if !self.stopping => {
                self.begin_set(lun, request, &reply)
            }
            Command::Object(ObjectCommand::Refresh) if !self.stopping => self.begin_refresh(),
            other => {
                // Whoever asked may have gone away.
                let _ = reply.send(self.run(other));
                return;
            }
        };
        match begun {
            Ok(Some(call)) => self.pending.push(Pending { call, reply }),
            Ok(None) => {}
            Err(e) => drop(reply.send(Err(e.into()))),
        }
    }

    /// Some call waits: look after it soon.
    pub fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Ends the calls whose wait is over.
    pub fn attend(&mut self) {
        for p in std::mem::take(&mut self.pending) {
            let ended = match &p.call {
                Call::Set {
                    lun,
                    request,
                    was,
                    from,
                } => match from.try_recv() {
                    Ok(answer) => Some(self.set_on_all(lun, request, was, answer)),
                    Err(TryRecvError::Empty) => None,
                    // The reactor is gone.
                    Err(TryRecvError::Disconnected) => Some(Err(ChangeError::Gone)),
                },
                Call::Refresh { until, within } => self.refreshed(*until, *within),
            };
            match ended {
                // Whoever asked may have gone away.
                Some(answer) => drop(p.reply.send(answer.map(Answer::Object).map_err(Into::into))),
                None => self.pending.push(p),
            }
        }
    }

    /// Nobody waits any more: the daemon is stopping.
    pub fn give_up(&mut self) {
        for p in std::mem::take(&mut self.pending) {
            // Whoever asked may have gone away.
            let _ = p.reply.send(Err(CommandError::Stopping));
        }
    }

    /// The call that is under way on a LUN.
    pub(super) fn call_on(&self, name: &str) -> Option<&'static str> {
        let on = |p: &Pending| matches!(&p.call, Call::Set { lun, .. } if lun == name);
        self.pending.iter().any(on).then_some(SET)
    }

    /// A Refresh is under way.
    pub(super) fn refreshes(&self) -> bool {
        let is = |p: &Pending| matches!(p.call, Call::Refresh { .. });
        self.pending.iter().any(is)
    }

    /// Whether what a command changes is free for it.
    pub(super) fn is_free(&self, command: &Command) -> Result<(), CommandError> {
        let lun = match command {
            Command::PolicySet(new) => &new.lun,
            Command::LunClose { lun }
            | Command::PathAdd { lun, .. }
            | Command::PathRemove { lun, .. } => lun,
            Command::Object(ObjectCommand::SetVendor { lun, .. }) => lun,
            Command::Object(ObjectCommand::Reenumerate) if self.refreshes() => {
                let call = ChangeError::Busy("a Refresh".to_owned());
                return Err(call.into());
            }
            _ => return Ok(()),
        };
        match self.call_on(lun) {
            Some(call) if matches!(command, Command::Object(_)) => {
                Err(ChangeError::Busy(call.to_owned()).into())
            }
            Some(call) => Err(CommandError::Busy(format!("{call} of LUN '{lun}'"))),
            None => Ok(()),
        }
    }

    /// A set request of the DSM methods, judged by the selector of the first reactor.
    fn begin_set(
        &mut self,
        lun: String,
        request: SetRequest,
        reply: &Reply,
    ) -> Result<Option<Call>, ChangeError> {
        if let Some(call) = self.call_on(&lun) {
            return Err(ChangeError::Busy(call.to_owned()));
        }
        if self.refreshes() {
            return Err(ChangeError::Busy("a Refresh".to_owned()));
        }
        let channels = &self.lun(&lun).map_err(|e| change_error(&e))?.channels;
        // Before the target is told anything: whether the others would follow. What the first one
        // refuses is its own to say.
        for (reactor, (driver, &channel)) in self.drivers.iter().zip(channels).enumerate().skip(1) {
            let (first, asked) = ((&self.drivers[0], channels[0]), request.clone());
            let would = driver.ask(move |r| r.plane().would_grant(channel, &asked));
            let would = would.map_err(|e| ChangeError::Failed(e.to_string()))?;
            if !would.is_success() {
                let asked = request.clone();
                let own = first.0.ask(move |r| r.plane().would_grant(first.1, &asked));
                let own = own.map_err(|e| ChangeError::Failed(e.to_string()))?;
                if own.is_success() {
                    return Err(behind(reactor, would));
                }
                break;
            }
        }
        let (Some(driver), Some(&channel_id)) = (self.drivers.first(), channels.first()) else {
            return Err(ChangeError::Failed("there is no reactor".to_owned()));
        };
        let (done, from) = channel();
        let done = SetDone(Box::new(move |answer| {
            // A daemon that has ended meanwhile does not want to know.
            let _ = done.send(answer);
        }));
        let asked = request.clone();
        let begun = driver.ask(move |r| {
            let plane = r.plane();
            let was = plane.what_is_set(channel_id);
            (was, plane.begin_request(channel_id, &asked, done))
        });
        let (was, begun) = begun.map_err(|e| ChangeError::Failed(e.to_string()))?;
        match begun {
            SetBegun::Waits => Ok(Some(Call::Set {
                lun,
                request,
                was,
                from,
            })),
            SetBegun::Over(answer) => {
                let set = self.set_on_all(&lun, &request, &was, *answer)?;
                // Whoever asked may have gone away.
                let _ = reply.send(Ok(Answer::Object(set)));
                Ok(None)
            }
        }
    }

    /// The first reactor has granted a request: the others follow, and it is kept. Where one of them does
    /// not, all are as they were before.
    fn set_on_all(
        &mut self,
        name: &str,
        request: &SetRequest,
        was: &WhatIsSet,
        first: SetAnswer,
    ) -> Result<ObjectAnswer, ChangeError> {
        if !first.status.is_success() {
            return Ok(ObjectAnswer::Status(first.status));
        }
        let lun = self.lun(name).map_err(|e| change_error(&e))?;
        let (mut were, mut now) = (vec![was.clone()], vec![first.overview]);
        let others = self.drivers.iter().zip(&lun.channels).enumerate().skip(1);
        for (reactor, (driver, &channel)) in others {
            let (request, told) = (request.clone(), first.told.clone());
            let set = driver.ask(move |r| {
                let plane = r.plane();
                let was = plane.what_is_set(channel);
                let status = plane.follow_request(channel, &request, &told);
                (was, status, plane.overview(channel))
            });
            let why = match set {
                Ok((was, status, overview)) if status.is_success() => {
                    were.push(was);
                    now.push(overview);
                    continue;
                }
                Ok((_, status, _)) => behind(reactor, status),
                Err(e) => ChangeError::Failed(e.to_string()),
            };
            self.set_back(lun, were);
            return Err(why);
        }
        let text = format!("policy {} by a DSM method", request.policy);
        self.note(EventKind::PolicyChanged, name, None, text);
        if let Some(now) = fold(now) {
            self.keep_policy(name, &now);
        }
        self.persist()
            .map_err(|e| ChangeError::Failed(e.to_string()))?;
        Ok(ObjectAnswer::Status(NtStatus::SUCCESS))
    }

    /// Every target is asked again what its states are.
    fn begin_refresh(&mut self) -> Result<Option<Call>, ChangeError> {
        if let Some(p) = self.pending.first() {
            let call = match p.call {
                Call::Set { .. } => SET,
                Call::Refresh { .. } => "a Refresh",
            };
            return Err(ChangeError::Busy(call.to_owned()));
        }
        self.may_refresh()?;
        for driver in &self.drivers {
            let asked = driver.ask(|r| r.plane().verify_paths());
            asked.map_err(|e| ChangeError::Failed(e.to_string()))?;
        }
        let within = REFRESH_MAX.max(self.longest_answer());
        let until = self.clock.now() + within;
        Ok(Some(Call::Refresh { until, within }))
    }

    /// How long a target may take for an answer, by the URL of a path.
    fn longest_answer(&self) -> Duration {
        let urls = self.luns.iter().flat_map(|l| &l.paths);
        let all = urls.filter_map(|url| match PathSpec::parse(url).ok()?.nexus {
            NexusSpec::Iscsi(s) => Some(s.answer_timeout),
            _ => None,
        });
        all.max().unwrap_or_default()
    }

    /// Whether all targets have answered, and what that has come to.
    fn refreshed(
        &mut self,
        until: Time,
        within: Duration,
    ) -> Option<Result<ObjectAnswer, ChangeError>> {
        let mut reading = false;
        for driver in &self.drivers {
            match driver.ask(|r| r.plane().paths.is_reading_access()) {
                Ok(reads) => reading |= reads,
                Err(e) => return Some(Err(ChangeError::Failed(e.to_string()))),
            }
        }
        if reading {
            let late = self.clock.now() >= until;
            return late.then_some(Err(ChangeError::Timeout(within)));
        }
        Some(self.end_refresh().map(|()| ObjectAnswer::Done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::registry::kit::registry_up as registry;
    use crate::lun::plane::Overview;
    use crate::lun::policy::{Policy, SetMethod, SetPath};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn request(r: &Registry, policy: u32) -> SetRequest {
        let urls = r.luns[0].paths.iter();
        let paths = urls.map(|url| SetPath::new(super::super::luns::nexus_of(url)));
        let paths = paths.map(|p| SetPath { weight: 7, ..p }).collect();
        SetRequest::new(SetMethod::Alua, policy, paths)
    }

    /// Policy, and weights of the paths, by reactor.
    fn set(r: &Registry) -> Vec<(u32, Vec<u32>)> {
        let all = r.overviews(&r.luns[0]).expect("reactors");
        let one = |o: &Overview| {
            let weights = o.paths.iter().map(|p| p.weight).collect();
            (o.policy.policy().number(), weights)
        };
        all.iter().map(one).collect()
    }

    fn ask(r: &mut Registry, policy: u32) -> Result<Answer, CommandError> {
        let (reply, answer) = channel();
        let (lun, request) = ("a".to_owned(), request(r, policy));
        let command = ObjectCommand::SetPolicy { lun, request };
        r.begin(Command::Object(command), reply);
        while r.is_waiting() {
            r.attend();
        }
        answer.recv().expect("answered")
    }

    /// Takes the second path from the second reactor.
    fn spoil(r: &Registry) {
        let id = super::super::luns::nexus_of(&r.luns[0].paths[1]);
        let channel = r.luns[0].channels[1];
        let taken = r.drivers[1].ask(move |r| r.plane().remove_path(channel, id));
        assert_eq!(taken, Ok(true));
    }

    #[test]
    fn a_request_that_a_later_reactor_would_refuse_changes_nothing() {
        let (mut r, dir) = registry("later");
        assert!(matches!(
            ask(&mut r, 4),
            Ok(Answer::Object(ObjectAnswer::Status(NtStatus::SUCCESS)))
        ));
        let policy = Policy::LeastQueueDepth.number();
        assert_eq!(set(&r), vec![(policy, vec![7, 7]); 2]);
        spoil(&r);
        let before = set(&r);
        let why = ask(&mut r, 6)
            .expect_err("the second lacks a path")
            .to_string();
        assert!(why.contains("reactor 1"), "{why}");
        assert_eq!(set(&r), before);
        // What the first refuses itself has its own status.
        assert!(matches!(
            ask(&mut r, 8),
            Ok(Answer::Object(ObjectAnswer::Status(
                NtStatus::INVALID_PARAMETER
            )))
        ));
        r.stop();
        std::fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_request_that_a_later_reactor_does_refuse_is_taken_back_on_the_first() {
        let (mut r, dir) = registry("takes-back");
        spoil(&r);
        let before = set(&r);
        // The first has granted it, as it does when the second changes its mind in between.
        let (asked, id) = (request(&r, 6), r.luns[0].channels[0]);
        let (was, begun) = {
            let asked = asked.clone();
            let begun = r.drivers[0].ask(move |r| {
                let plane = r.plane();
                let was = plane.what_is_set(id);
                (
                    was,
                    plane.begin_request(id, &asked, SetDone(Box::new(drop))),
                )
            });
            begun.expect("a reactor")
        };
        let SetBegun::Over(answer) = begun else {
            panic!("{begun:?}")
        };
        assert!(answer.status.is_success());
        assert_ne!(set(&r), before, "in force on the first");
        let why = r.set_on_all("a", &asked, &was, *answer);
        let why = why.expect_err("the second lacks a path").to_string();
        assert!(why.contains("reactor 1"), "{why}");
        assert_eq!(set(&r), before);
        r.stop();
        std::fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_policy_that_a_later_reactor_refuses_is_taken_back_with_the_weights() {
        let (r, dir) = registry("halfway");
        let before = set(&r);
        let nexus = super::super::luns::nexus_of(&r.luns[0].paths[0]);
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let done = r.set_on_each(&r.luns[0], move |plane, channel| {
            let policy = Policy::WeightedPaths.into();
            plane.set_weight(channel, nexus, 99);
            plane.set_explicit(
                channel,
                Some(crate::lun::policy::defaults::Setting::new(policy)),
            )?;
            match counted.fetch_add(1, Ordering::Relaxed) {
                0 => Ok(()),
                _ => Err(NtStatus::INVALID_PARAMETER),
            }
        });
        assert!(matches!(done, Ok(Err((1, NtStatus::INVALID_PARAMETER)))));
        assert_eq!(calls.load(Ordering::Relaxed), 2);
        assert_eq!(set(&r), before);
        r.stop();
        std::fs::remove_dir_all(dir).expect("removed");
    }
}
