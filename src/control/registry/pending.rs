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
use crate::lun::plane::{SetAnswer, SetBegun, SetDone};
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
        from: Receiver<SetAnswer>,
    },
    /// Every target is asked for its states.
    Refresh { until: Time, within: Duration },
}

/// How the call that changes a policy is named to others.
const SET: &str = "SetLoadBalancePolicy";

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
                Call::Set { lun, request, from } => match from.try_recv() {
                    Ok(answer) => Some(self.set_on_all(lun, request, answer)),
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
        let (Some(driver), Some(&channel_id)) = (self.drivers.first(), channels.first()) else {
            return Err(ChangeError::Failed("there is no reactor".to_owned()));
        };
        let (done, from) = channel();
        let done = SetDone(Box::new(move |answer| {
            // A daemon that has ended meanwhile does not want to know.
            let _ = done.send(answer);
        }));
        let asked = request.clone();
        let begun = driver.ask(move |r| r.plane().begin_request(channel_id, &asked, done));
        match begun.map_err(|e| ChangeError::Failed(e.to_string()))? {
            SetBegun::Waits => Ok(Some(Call::Set { lun, request, from })),
            SetBegun::Over(answer) => {
                let set = self.set_on_all(&lun, &request, *answer)?;
                // Whoever asked may have gone away.
                let _ = reply.send(Ok(Answer::Object(set)));
                Ok(None)
            }
        }
    }

    /// The first reactor has granted a request: the others follow, and it is kept.
    fn set_on_all(
        &mut self,
        name: &str,
        request: &SetRequest,
        first: SetAnswer,
    ) -> Result<ObjectAnswer, ChangeError> {
        if !first.status.is_success() {
            return Ok(ObjectAnswer::Status(first.status));
        }
        let channels = self
            .lun(name)
            .map_err(|e| change_error(&e))?
            .channels
            .clone();
        let mut now = vec![first.overview];
        for (driver, channel) in self.drivers.iter().zip(channels).skip(1) {
            let (request, told) = (request.clone(), first.told.clone());
            let set = driver.ask(move |r| {
                let plane = r.plane();
                let status = plane.follow_request(channel, &request, &told);
                (status, plane.overview(channel))
            });
            let (status, overview) = set.map_err(|e| ChangeError::Failed(e.to_string()))?;
            now.push(overview);
            if !status.is_success() {
                // Reactors see the access states of their own associations: this one is behind.
                let why = "reactors do not agree on the access states yet; try again";
                return Err(ChangeError::Failed(why.to_owned()));
            }
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
