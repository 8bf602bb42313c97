//! All associations of one reactor, and the losses that are not settled yet.

use super::association::Association;
use super::dialer::Dialer;
use super::iscsi_session::SessionStatus;
use super::link_watch::LinkWatch;
use super::local::LocalDevice;
use super::loss::{CcrState, Fencing, Loss, LossId, Proof};
use super::nvme_link::{HostIdentity, LinkNews};
use super::outcome::Outcome;
use super::reason::DownReason;
use super::state::State;
use super::url::NexusSpec;
use crate::base::clock::Time;
use crate::base::error::IoError;
use crate::base::request::{LossClass, Token};
use crate::base::rng::Rng;
use std::time::Duration;

/// Index of an association in its reactor.
pub type AssociationIx = usize;

/// What happened to paths, for `lun` to act on. Completions travel apart, in `done`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathEvent {
    /// The association logged in; its units are known.
    Up(AssociationIx),
    /// It is gone, with the requests that were in flight already in `done`.
    Down(AssociationIx),
    /// Access states changed.
    Access(AssociationIx),
    /// Units came, went or changed size.
    Units(AssociationIx),
    /// The target was told to optimize groups; whether it did. Its units tell the states since.
    GroupsSet { tag: u32, done: bool },
    /// Nothing of this loss can be executed any more, and why.
    FenceOpen(LossId, Proof),
}

/// How often a sibling that can reset a lost controller is looked for while there is none.
const CCR_LOOK: Duration = Duration::from_millis(2);

/// How often link changes are looked at by a reactor that never sleeps.
const LINK_LOOK: Duration = Duration::from_millis(5);

/// The associations of one reactor.
#[derive(Debug)]
pub struct PathSet {
    associations: Vec<Association>,
    losses: Vec<Loss>,
    next_loss: u64,
    next_ccr_tag: u32,
    /// Tag of a reset asked for, and the loss it is to prove.
    ccr_asked: Vec<(u32, LossId)>,
    dialer: Dialer,
    /// Not in a simulated network.
    links: Option<LinkWatch>,
    next_link_look: Time,
    host: HostIdentity,
    rng: Rng,
    /// Completions of this turn.
    pub done: Vec<(Token, Outcome)>,
    /// Events of this turn.
    pub events: Vec<PathEvent>,
    local_done: Vec<(Token, Result<(), IoError>)>,
    news: Vec<LinkNews>,
    orphans: Vec<Token>,
    /// Longest pause before a lost nexus is tried again, where somebody has said so.
    retry_cap: Option<Duration>,
    fencing: Fencing,
}

impl PathSet {
    pub fn new(dialer: Dialer, host: HostIdentity, seed: u64) -> Self {
        Self {
            associations: Vec::new(),
            retry_cap: None,
            losses: Vec::new(),
            next_loss: 1,
            next_ccr_tag: 1,
            ccr_asked: Vec::new(),
            links: match dialer {
                Dialer::Tcp | Dialer::Uring => LinkWatch::open(),
                Dialer::Pipe(_) => None,
            },
            next_link_look: Time::ZERO,
            dialer,
            host,
            rng: Rng::new(seed),
            done: Vec::new(),
            events: Vec::new(),
            local_done: Vec::new(),
            news: Vec::new(),
            orphans: Vec::new(),
            fencing: Fencing::Whole,
        }
    }

    /// Takes the fence away, or part of it, which lets ghost writes through.
    pub fn set_fencing(&mut self, fencing: Fencing) {
        self.fencing = fencing;
    }

    /// The association of a nexus, made when it is new: LUNs on one nexus share it.
    ///
    /// # Errors
    /// A local device that cannot be opened.
    pub fn attach(
        &mut self,
        spec: &NexusSpec,
        local: Option<LocalDevice>,
        now: Time,
    ) -> AssociationIx {
        let key = spec.key();
        let found = self
            .associations
            .iter()
            .position(|a| a.nexus.key == key && !a.is_ending());
        let ix = found.unwrap_or_else(|| {
            // One ISID, one session: an old one that is on its way out, draining or kept for a proof,
            // would be ended by the new login, log in again and end that one. The new login is the
            // proof that the old one's losses wait for.
            for old in 0..self.associations.len() {
                let a = &self.associations[old];
                let goes = a.is_ending() && a.proves_by_login() && a.state() != State::Stopped;
                if a.nexus.key == key && goes {
                    self.take_down(old, DownReason::Administrative, now);
                }
            }
            let mut new = Association::new(spec.clone(), local, now);
            new.retry_cap = self.retry_cap;
            self.associations.push(new);
            self.associations.len() - 1
        });
        self.associations[ix].users += 1;
        ix
    }

    /// Looks at the access states of all paths again.
    pub fn verify(&mut self, now: Time) {
        for a in &mut self.associations {
            a.reread_access(now);
        }
    }

    /// Some target is still being asked for its access states.
    pub fn is_reading_access(&self) -> bool {
        self.associations.iter().any(Association::is_reading_access)
    }

    /// See [`Association::optimize`].
    pub fn optimize(&mut self, ix: AssociationIx, nsid: u32, tag: u32, now: Time) -> bool {
        self.associations[ix].optimize(nsid, tag, now)
    }

    /// The longest pause between two tries to reach a nexus; without, as invariant I9 has it.
    pub fn set_retry_cap(&mut self, cap: Option<Duration>) {
        self.retry_cap = cap;
        for a in &mut self.associations {
            a.retry_cap = cap;
        }
    }

    /// One LUN less uses it; the last one drains it.
    pub fn detach(&mut self, ix: AssociationIx, now: Time) -> bool {
        let unproven = self.is_unproven(ix);
        let a = &mut self.associations[ix];
        assert!(a.users > 0, "an association is detached once per attach");
        a.users -= 1;
        let last = a.users == 0;
        if last {
            if a.state() == State::Up {
                a.drain(now);
            } else if unproven && a.proves_by_login() {
                a.end_once_proven();
            } else if a.state() != State::Stopped {
                self.take_down(ix, DownReason::Administrative, now);
            }
        }
        last
    }

    /// Losses of an association are open.
    fn is_unproven(&self, ix: AssociationIx) -> bool {
        self.losses.iter().any(|l| l.association == ix)
    }

    pub fn get(&self, ix: AssociationIx) -> &Association {
        &self.associations[ix]
    }

    pub fn len(&self) -> usize {
        self.associations.len()
    }

    pub fn is_empty(&self) -> bool {
        self.associations.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Association> {
        self.associations.iter()
    }

    pub fn losses(&self) -> &[Loss] {
        &self.losses
    }

    #[inline]
    pub fn submit(
        &mut self,
        ix: AssociationIx,
        nsid: u32,
        token: Token,
        now: Time,
    ) -> Result<(), Token> {
        self.associations[ix].submit(nsid, token, now)
    }

    /// All iSCSI sessions of this reactor, with their connections.
    pub fn sessions(&self) -> Vec<SessionStatus> {
        self.associations
            .iter()
            .filter_map(|a| a.session(self.host.reactor))
            .collect()
    }

    /// The association of a nexus (by id), to change the connections of its session: see
    /// [`Association::set_connection_policy`], `add_connection`, `remove_connection`.
    pub fn by_nexus(&mut self, nexus: u64) -> Option<&mut Association> {
        let mut all = self.associations.iter_mut();
        all.find(|a| a.nexus.id == nexus && !a.is_ending())
    }

    pub fn reread_access(&mut self, ix: AssociationIx, now: Time) {
        self.associations[ix].reread_access(now);
    }

    /// One turn of everything that receives. Returns whether anything was done.
    pub fn poll(&mut self, now: Time) -> bool {
        let mut worked = false;
        for ix in 0..self.associations.len() {
            if self.associations[ix].wants_proof() && !self.is_unproven(ix) {
                // Its losses are settled: nothing is left to prove.
                self.take_down(ix, DownReason::Administrative, now);
            }
            worked |= self.associations[ix].poll(
                &self.dialer,
                &self.host,
                now,
                &mut self.done,
                &mut self.local_done,
                &mut self.news,
            );
            if !self.news.is_empty() {
                self.digest_news(ix, now);
            }
        }
        if !self.losses.is_empty() {
            self.poll_losses(now);
        }
        if now >= self.next_link_look {
            self.next_link_look = now + LINK_LOOK;
            if self.links.as_ref().is_some_and(LinkWatch::changed) {
                self.retry_all_now(now);
            }
        }
        worked
    }

    /// Sends what was submitted since the last turn.
    pub fn flush(&mut self, now: Time) -> bool {
        let mut worked = false;
        for ix in 0..self.associations.len() {
            worked |= self.associations[ix].flush(now, &mut self.news);
            if !self.news.is_empty() {
                self.digest_news(ix, now);
            }
        }
        worked
    }

    fn digest_news(&mut self, ix: AssociationIx, now: Time) {
        let mut news = std::mem::take(&mut self.news);
        for item in news.drain(..) {
            match item {
                LinkNews::Up => {
                    self.associations[ix].came_up(now);
                    self.session_reinstated(ix);
                    if self.associations[ix].wants_proof() {
                        self.associations[ix].drain(now);
                        continue;
                    }
                    self.events.push(PathEvent::Up(ix));
                }
                LinkNews::Access => {
                    self.associations[ix].refresh_units();
                    self.events.push(PathEvent::Access(ix));
                }
                LinkNews::Units => {
                    self.associations[ix].refresh_units();
                    self.events.push(PathEvent::Units(ix));
                }
                LinkNews::GroupsSet { tag, done } => {
                    self.events.push(PathEvent::GroupsSet { tag, done });
                }
                LinkNews::CcrAnswered { tag, proven } => self.ccr_answered(tag, proven, now),
                LinkNews::ConnectionLost { tag } => self.connection_lost(ix, tag, now),
                LinkNews::ConnectionEnded { tag } => {
                    let is = |l: &Loss| l.association == ix && l.connection == Some(tag);
                    self.prove(is, Proof::ConnectionLogout);
                }
                LinkNews::ShutdownDone => self.go_down(ix, DownReason::Administrative, true, now),
                LinkNews::Down(reason) => {
                    // Several connections of one association may report the same end.
                    if !matches!(
                        self.associations[ix].state(),
                        State::Backoff | State::Stopped
                    ) || self.associations[ix].units().is_empty()
                    {
                        self.take_down(ix, reason, now);
                    }
                    break;
                }
            }
        }
        news.clear();
        self.news = news;
    }

    /// Takes an association down; requests in flight come back through `done`, and a loss is
    /// opened when one of them may still change data.
    pub fn take_down(&mut self, ix: AssociationIx, reason: DownReason, now: Time) {
        self.go_down(ix, reason, false, now);
    }

    /// `orderly`: the target has acknowledged the end, which is a proof. To have asked for it is
    /// none: whoever loses patience while it drains has a loss like any other.
    fn go_down(&mut self, ix: AssociationIx, reason: DownReason, orderly: bool, now: Time) {
        let alone = !self
            .associations
            .iter()
            .enumerate()
            .any(|(i, a)| i != ix && a.state() == State::Up);
        let controller = self.associations[ix].last_controller;
        let timing = self.associations[ix].last_timing;
        let subsystem = self.associations[ix].nexus.subsystem().map(str::to_owned);
        let mut orphans = std::mem::take(&mut self.orphans);
        let unproven = self.is_unproven(ix);
        let was_up = self.associations[ix].go_down(
            reason,
            (alone, unproven),
            &mut self.rng,
            now,
            &mut self.done,
            |token| orphans.push(token),
        );

        let id = self.hand_back(&mut orphans);
        self.orphans = orphans;
        if was_up {
            self.events.push(PathEvent::Down(ix));
        }
        self.forget_ccr_through(ix, now);
        if orderly {
            // Connections that were lost before have ended with their session.
            let is = |l: &Loss| l.association == ix && l.connection.is_some();
            self.prove(is, Proof::OrderlyTeardown);
        }
        let Some(id) = id else { return };
        if orderly {
            self.events
                .push(PathEvent::FenceOpen(id, Proof::OrderlyTeardown));
            return;
        }
        let a = &self.associations[ix];
        let loss = match &a.nexus.spec {
            NexusSpec::Iscsi(spec) => {
                Loss::of_session(id, ix, a.last_session, spec.fence_assume, now)
            }
            _ => Loss::new(id, ix, subsystem, controller, timing, now),
        };
        self.open_loss(loss);
    }

    /// Gives requests of a lost connection back through `done`; a name for the loss where one of
    /// them may still change data.
    fn hand_back(&mut self, orphans: &mut Vec<Token>) -> Option<LossId> {
        let dangerous = orphans
            .iter()
            .any(|t| t.on_wire && t.op.loss_class() != LossClass::Free);
        let id = LossId(self.next_loss);
        self.next_loss += u64::from(dangerous);
        for token in orphans.drain(..) {
            let outcome = if token.on_wire {
                Outcome::Lost(id)
            } else {
                Outcome::NotSent
            };
            self.done.push((token, outcome));
        }
        dangerous.then_some(id)
    }

    fn open_loss(&mut self, loss: Loss) {
        let granted = match self.fencing {
            Fencing::Whole => false,
            Fencing::Off => true,
            Fencing::LogoutTakenForGranted => loss.connection.is_some(),
        };
        if granted {
            self.events
                .push(PathEvent::FenceOpen(loss.id, Proof::NoneAskedFor));
        } else {
            self.losses.push(loss);
        }
    }

    /// One connection of a session is lost, and the session goes on.
    fn connection_lost(&mut self, ix: usize, tag: u64, now: Time) {
        let mut orphans = self.associations[ix].take_orphans(tag);
        let Some(id) = self.hand_back(&mut orphans) else {
            return;
        };
        let a = &self.associations[ix];
        let assume = match &a.nexus.spec {
            NexusSpec::Iscsi(spec) => spec.fence_assume,
            _ => None,
        };
        let loss = Loss::of_session(id, ix, a.last_session, assume, now).of_connection(tag);
        self.open_loss(loss);
    }

    /// Opens the fence of every loss that `is` names.
    fn prove(&mut self, is: impl Fn(&Loss) -> bool, proof: Proof) {
        let events = &mut self.events;
        self.losses.retain(|l| {
            let proven = is(l);
            if proven {
                events.push(PathEvent::FenceOpen(l.id, proof));
            }
            !proven
        });
    }

    /// An iSCSI login was answered: it has ended the session that the same ISID had with the same
    /// target portal group before, and every task in it (RFC 7143, 6.3.5).
    fn session_reinstated(&mut self, ix: AssociationIx) {
        let Some(session) = self.associations[ix].last_session else {
            return;
        };
        let id = self.associations[ix].nexus.id;
        let same: Vec<bool> = self.associations.iter().map(|a| a.nexus.id == id).collect();
        let is = |l: &Loss| same[l.association] && l.ended_by(session);
        self.prove(is, Proof::SessionReinstatement);
    }

    /// Looks for proofs: time bounds that have passed, siblings that can reset a controller.
    fn poll_losses(&mut self, now: Time) {
        let mut i = 0;
        while i < self.losses.len() {
            if now >= self.losses[i].bound_at {
                let loss = self.losses.swap_remove(i);
                self.events
                    .push(PathEvent::FenceOpen(loss.id, loss.bound_is));
                continue;
            }
            self.try_ccr(i, now);
            i += 1;
        }
    }

    fn try_ccr(&mut self, i: usize, now: Time) {
        let CcrState::Wanted { not_before } = self.losses[i].ccr else {
            return;
        };
        let (Some(name), Some(subsystem)) =
            (self.losses[i].controller, self.losses[i].subsystem.clone())
        else {
            return;
        };
        if now < not_before {
            return;
        }
        // Any controller of the subsystem will do but the impacted one itself, which a new login
        // of the same nexus is not: it has another instance number.
        let candidates = (0..self.associations.len()).filter(|j| {
            let a = &self.associations[*j];
            a.state() == State::Up
                && a.nexus.subsystem() == Some(&subsystem)
                && a.last_controller != Some(name)
        });
        // A sibling nexus first: it is up already, and does not share the lost one's fate.
        let order: Vec<usize> = candidates.collect();
        let lost = self.losses[i].association;
        let pick = order
            .iter()
            .copied()
            .filter(|j| *j != lost)
            .chain(order.iter().copied().filter(|j| *j == lost));
        for j in pick
            .skip(self.losses[i].ccr_failures as usize % order.len().max(1))
            .chain(order.iter().copied())
        {
            let tag = self.next_ccr_tag;
            if self.associations[j].start_ccr(name, tag, now) {
                self.next_ccr_tag = self.next_ccr_tag.wrapping_add(1);
                self.ccr_asked.push((tag, self.losses[i].id));
                self.losses[i].ccr = CcrState::Asked { through: j };
                return;
            }
        }
        // Nobody can right now: look again soon, without keeping a sleeping reactor awake.
        self.losses[i].ccr = CcrState::Wanted {
            not_before: now + CCR_LOOK,
        };
    }

    fn ccr_answered(&mut self, tag: u32, proven: bool, now: Time) {
        let Some(at) = self.ccr_asked.iter().position(|(t, _)| *t == tag) else {
            return;
        };
        let (_, id) = self.ccr_asked.swap_remove(at);
        let Some(i) = self.losses.iter().position(|l| l.id == id) else {
            return;
        };
        if proven {
            self.losses.swap_remove(i);
            self.events
                .push(PathEvent::FenceOpen(id, Proof::CrossControllerReset));
        } else {
            self.losses[i].ccr_failed(now);
        }
    }

    /// After an association went down: resets that were asked of it must be asked elsewhere.
    fn forget_ccr_through(&mut self, ix: AssociationIx, now: Time) {
        for loss in &mut self.losses {
            if loss.ccr == (CcrState::Asked { through: ix }) {
                loss.ccr = CcrState::Wanted { not_before: now };
            }
        }
    }

    /// A link came up somewhere: every association that waits to retry does so at once (I9).
    pub fn retry_all_now(&mut self, now: Time) {
        for a in &mut self.associations {
            a.retry_now(now);
        }
    }

    /// When `poll` has something to do even if nothing arrives.
    pub fn next_deadline(&self) -> Time {
        let associations = self
            .associations
            .iter()
            .map(Association::next_deadline)
            .min()
            .unwrap_or(Time::NEVER);
        let losses = self.losses.iter().map(|l| match l.ccr {
            CcrState::Wanted { not_before } => not_before.min(l.bound_at),
            _ => l.bound_at,
        });
        losses.min().unwrap_or(Time::NEVER).min(associations)
    }

    pub fn fds(&self, out: &mut Vec<(std::os::fd::RawFd, bool)>) {
        for a in &self.associations {
            a.fds(out);
        }
        out.extend(self.links.as_ref().map(|l| (l.fd(), false)));
    }

    /// Starts the orderly end of every association.
    pub fn drain_all(&mut self, now: Time) {
        for a in &mut self.associations {
            a.drain(now);
        }
    }

    /// Whether every association has ended or will not end by itself.
    pub fn drained(&self) -> bool {
        !self
            .associations
            .iter()
            .any(|a| a.state() == State::Draining)
    }

    pub fn copied_bytes_large(&self) -> u64 {
        self.associations
            .iter()
            .map(Association::copied_bytes_large)
            .sum()
    }
}
