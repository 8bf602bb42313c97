//! A workload on a reactor, driven from the command's own thread: what `bench` and `demo` share.

use std::time::Duration;

use super::error::CliError;
use super::live::{Live, Moment};
use super::report::timeline::{Carried, Event, EventKind, PathTimeline};
use super::report::{LatencyNs, PathReport};
use super::stop::Stop;
use super::{json, units};
use crate::base::clock::{Clock, Time};
use crate::engine::reactor::{LunSpec, Reactor, ReactorConfig};
use crate::front::workload::{Phase, Workload};
use crate::lun::plane::ChannelId;
use crate::lun::port::{Geometry, PortId, Ports};
use crate::path::dialer::Dialer;
use crate::path::state::State;
use crate::transport::Driver;

/// How long paths get to log in before a run begins without those that have not.
const LOGIN_MAX: Duration = Duration::from_secs(5);
/// How long the rest gets once one path is there.
const LOGIN_OTHERS: Duration = Duration::from_secs(2);
/// Polling goes on for so long after the last work, then the thread sleeps.
const SPIN: Duration = Duration::from_micros(200);
/// Longest sleep.
const NAP: Duration = Duration::from_millis(1);
/// At the end: how long nothing at all may come back before what is outstanding is given up. More
/// than a fence, a retry and a wait for a path take together.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// The same after a signal, where nothing is fenced: a fence opens by itself, and a write behind it that
/// was left alone would be of unknown outcome.
const DRAIN_INTERRUPTED: Duration = Duration::from_secs(5);
/// I/Os that are named one by one.
const NAMED_MAX: usize = 8;
/// How often signals, path states and the story are looked at.
const LOOK: Duration = Duration::from_millis(2);

/// A reactor with one LUN open on it.
#[derive(Debug)]
pub struct Engine {
    pub clock: Clock,
    pub reactor: Reactor,
    pub lun: ChannelId,
    pub port: PortId,
    /// How connections are driven whose URL does not say.
    pub driver: Driver,
}

impl Engine {
    /// Opens the LUN; its paths begin to log in.
    pub fn open(spec: &LunSpec, driver: Driver) -> Result<Self, CliError> {
        let config = ReactorConfig {
            dialer: match driver {
                Driver::Tcp => Dialer::Tcp,
                Driver::Uring => Dialer::Uring,
            },
            ..ReactorConfig::default()
        };
        let clock = config.clock.clone();
        let mut reactor =
            Reactor::new(config).map_err(|e| CliError::new("cannot make a reactor").got(e))?;
        let lun = reactor.open_lun(spec).map_err(|e| {
            CliError::new("cannot open the LUN")
                .tried(spec.urls.join("\n"))
                .got(e)
                .advice("a path is nvme-tcp://HOST[:PORT]/NQN[?options], mem:SIZE, null:SIZE or file:PATH")
        })?;
        let port = reactor.open_port(lun);
        Ok(Self {
            clock,
            reactor,
            lun,
            port,
            driver,
        })
    }

    /// Waits until the paths have logged in: all of them, or those that come in time. Gives the
    /// LUN's geometry, and a line for each path that is missing.
    pub fn await_paths(&mut self, stop: &mut Stop) -> Result<(Geometry, Vec<String>), CliError> {
        let began = self.clock.now();
        let mut told = false;
        loop {
            let some = self
                .reactor
                .await_paths(self.lun, Duration::from_millis(50))
                .is_ok();
            let waited = self.clock.now().since(began);
            let enough = if some { LOGIN_OTHERS } else { LOGIN_MAX };
            if self.reactor.plane().all_joined(self.lun) || waited >= enough {
                break;
            }
            if stop.asked() {
                return Err(CliError::interrupted());
            }
            if waited > Duration::from_secs(1) && !told {
                eprintln!("waiting for paths:\n{}", self.missing().join("\n"));
                told = true;
            }
        }
        let missing = self.missing();
        match self.reactor.plane().geometry(self.port) {
            Some(g) => Ok((g, missing)),
            None => Err(CliError::new("no path of the LUN could be opened")
                .tried(format!("{} for {LOGIN_MAX:?}", self.urls().join("\n")))
                .got(missing.join("\n"))
                .advice(advice(&missing.join(" ")))),
        }
    }

    fn urls(&self) -> Vec<String> {
        let status = self.reactor.status(self.lun);
        status.paths.into_iter().map(|p| p.url).collect()
    }

    fn missing(&self) -> Vec<String> {
        let status = self.reactor.status(self.lun);
        let down = status.paths.iter().filter(|p| !p.joined);
        down.map(|p| {
            let why = p.reason.as_deref().unwrap_or("no answer yet");
            format!("{} ({}): {why}", p.url, p.state)
        })
        .collect()
    }

    /// The paths as of now, with running totals.
    pub fn paths(&mut self) -> Vec<PathReport> {
        let lun = self.lun;
        let plane = self.reactor.plane();
        let slots = plane.channel(lun).slots.iter();
        slots
            .map(|slot| {
                let a = plane.paths.get(slot.association);
                PathReport {
                    url: slot.spec.url.clone(),
                    nexus_id: json::id(a.nexus.id),
                    state: a.state().to_string(),
                    reason: None,
                    access: slot.access.to_string(),
                    ios: slot.stats.ios,
                    bytes: slot.stats.bytes,
                    errors: slot.stats.errors,
                    reconnects: a.counters.logins.saturating_sub(1),
                    latency_ns: LatencyNs::of(&slot.stats.latency),
                }
            })
            .collect()
    }
}

/// What to do about a path that does not come up, from the words of its reason.
pub fn advice(why: &str) -> &'static str {
    let why = why.to_ascii_lowercase();
    let known = [
        (
            "refused",
            "is a target listening there? For one on this machine: umpio target --listen URL --backing mem:1G",
        ),
        ("host param", "does the target allow this host?"),
        (
            "invalid",
            "check the subsystem NQN (umpio target prints its URLs)",
        ),
        (
            "nqn",
            "check the subsystem NQN (umpio target prints its URLs)",
        ),
        ("namespace", "name the namespace with ?nsid=N"),
        ("resolve", "check the host name"),
        ("unreachable", "check the address, and the route to it"),
    ];
    let hit = known.iter().find(|(word, _)| why.contains(word));
    hit.map_or(
        "check that the target runs and can be reached",
        |(_, text)| text,
    )
}

/// What a story may do in the middle of a run: called every few milliseconds with the time since
/// measuring began.
pub trait Story {
    fn tell(&mut self, engine: &mut Engine, at: Duration, events: &mut Vec<Event>);
    /// What the run is doing, for the live table.
    fn doing(&self) -> &str {
        "measuring"
    }
}

/// Nothing but the workload.
#[derive(Debug)]
pub struct NoStory;

impl Story for NoStory {
    fn tell(&mut self, _: &mut Engine, _: Duration, _: &mut Vec<Event>) {}
}

/// A run: the workload, and what is seen of it.
#[derive(Debug)]
pub struct Run {
    pub workload: Workload,
    pub split: PathTimeline,
    pub events: Vec<Event>,
    live: Live,
    states: Vec<State>,
    lost_at: Vec<Time>,
    began: Time,
    runtime: Duration,
    interval: Duration,
    idle_since: Time,
    next_look: Time,
    next_sample: Time,
    next_live: Time,
    interrupted: bool,
    /// How far the end of the run has come: outstanding and fenced (added up), swept, and since when.
    drain: (u32, u64, Time),
    given_up: Vec<String>,
}

impl Run {
    pub fn new(engine: &mut Engine, workload: Workload, runtime: Duration, quiet: bool) -> Self {
        let states = states(engine);
        let interval = match &workload.stats().series {
            Some(s) => Duration::from_nanos(s.interval_ns),
            None => Duration::from_millis(100),
        };
        let samples = (runtime.as_nanos() / interval.as_nanos()) as usize + 4;
        Self {
            workload,
            split: PathTimeline::new(states.len(), samples),
            events: Vec::with_capacity(64),
            live: Live::new(quiet),
            lost_at: vec![Time::ZERO; states.len()],
            states,
            began: Time::ZERO,
            runtime,
            interval,
            idle_since: Time::ZERO,
            next_look: Time::ZERO,
            next_sample: Time::ZERO,
            next_live: Time::ZERO,
            interrupted: false,
            drain: (u32::MAX, 0, Time::ZERO),
            given_up: Vec::new(),
        }
    }

    pub fn interrupted(&self) -> bool {
        self.interrupted
    }

    /// What never came back, in words; the run has ended without it.
    pub fn given_up(&self) -> &[String] {
        &self.given_up
    }

    /// Runs for a while without measuring.
    pub fn warm_up(&mut self, engine: &mut Engine, stop: &mut Stop, time: Duration) {
        let until = engine.clock.now() + time;
        self.idle_since = engine.clock.now();
        while !self.interrupted {
            let now = self.turn(engine);
            if now >= until {
                break;
            }
            if now >= self.next_look {
                self.next_look = now + LOOK;
                self.interrupted = stop.asked();
            }
        }
    }

    /// Measures until the time is up, or a signal comes. Returns with the workload drained, or with
    /// what did not come back [given up](Self::given_up).
    pub fn measure(&mut self, engine: &mut Engine, stop: &mut Stop, story: &mut dyn Story) {
        let now = engine.clock.now();
        self.workload.restart(now);
        self.began = now;
        self.idle_since = now;
        self.next_sample = now;
        self.next_live = now + Duration::from_nanos(self.live.interval_ns());
        let end = now + self.runtime;
        loop {
            let now = self.turn(engine);
            if now >= self.next_look {
                self.next_look = now + LOOK;
                self.look(engine, stop, story, now);
            }
            if self.workload.phase() == Phase::Running {
                if now >= end || self.interrupted {
                    self.sample(engine, now);
                    self.workload.stop(now);
                    self.drain = (u32::MAX, 0, now);
                }
            } else if self.workload.phase() != Phase::Draining || self.is_stuck(engine, now) {
                return;
            }
        }
    }

    /// Nothing has come back for too long: what is outstanding is named, and given up.
    fn is_stuck(&mut self, engine: &mut Engine, now: Time) -> bool {
        let left = self.workload.outstanding();
        let (held, waiting) = {
            let plane = engine.reactor.plane();
            plane.channel(engine.lun).fence.occupants()
        };
        let fenced = (held + waiting) as u32;
        // To come out of the fence is progress as well.
        let stage = (left + fenced, self.workload.sweep_progress().0);
        if stage != (self.drain.0, self.drain.1) {
            self.drain = (stage.0, stage.1, now);
            return false;
        }
        let limit = if self.interrupted && fenced == 0 {
            DRAIN_INTERRUPTED
        } else {
            DRAIN_MAX
        };
        if left == 0 || now.since(self.drain.2) < limit {
            return false;
        }
        self.given_up = outstanding(engine, &self.workload, now, limit);
        true
    }

    /// The final sweep of a verified run; a signal ends it.
    pub fn sweep(&mut self, engine: &mut Engine, stop: &mut Stop) {
        self.next_live = engine.clock.now() + Duration::from_millis(500);
        self.drain = (u32::MAX, 0, engine.clock.now());
        while !self.workload.is_finished() && !self.interrupted && self.given_up.is_empty() {
            let now = self.turn(engine);
            if self.is_stuck(engine, now) {
                break;
            }
            if now >= self.next_look {
                self.next_look = now + LOOK;
                self.interrupted = stop.asked();
                let (done, all) = self.workload.sweep_progress();
                let progress = done as f64 / all.max(1) as f64;
                self.show(engine, now, "reading all of it back", progress);
            }
        }
        self.live.finish();
    }

    /// One turn of everything. Sleeps when nothing has happened for a while.
    fn turn(&mut self, engine: &mut Engine) -> Time {
        let mut worked = engine.reactor.poll();
        // Read again: the turn may have taken long, and latency ends here.
        let now = engine.clock.now();
        let plane = engine.reactor.plane();
        let (held, waiting) = plane.channel(engine.lun).fence.occupants();
        self.workload.set_fenced((held + waiting) as u32);
        worked |= self.workload.step(plane, engine.port, now);
        if worked {
            self.idle_since = now;
        } else if now.since(self.idle_since) >= SPIN {
            let due = self.workload.next_due().map_or(NAP, |d| d.since(now));
            // A timer is late by some 50 us: sleep short of what is due, then poll for it.
            let nap = due.saturating_sub(Duration::from_micros(100)).min(NAP);
            if !nap.is_zero() {
                engine.reactor.wait(nap);
            }
        }
        now
    }

    fn look(&mut self, engine: &mut Engine, stop: &mut Stop, story: &mut dyn Story, now: Time) {
        let before = self.events.len();
        if self.workload.phase() == Phase::Running {
            story.tell(engine, now.since(self.began), &mut self.events);
        }
        self.note_states(engine, now);
        for i in before..self.events.len() {
            self.live.event(&self.events[i]);
        }
        if now >= self.next_sample && self.workload.phase() == Phase::Running {
            self.sample(engine, now);
            self.next_sample = now + self.interval;
        }
        let progress = now.since(self.began).as_secs_f64() / self.runtime.as_secs_f64();
        let doing = match self.workload.phase() {
            Phase::Draining => "waiting for what is outstanding",
            _ => story.doing(),
        };
        self.show(engine, now, doing, progress);
        self.interrupted |= stop.asked();
    }

    fn note_states(&mut self, engine: &mut Engine, now: Time) {
        for (i, state) in states(engine).into_iter().enumerate() {
            let before = std::mem::replace(&mut self.states[i], state);
            let up = state == State::Up;
            if (before == State::Up) == up {
                continue;
            }
            let (kind, text) = if up {
                let gone = now.nanos_since(self.lost_at[i]);
                let gone = units::nanos(gone);
                (
                    EventKind::Up,
                    format!("path {i} is up again, {gone} after its loss"),
                )
            } else {
                self.lost_at[i] = now;
                let status = engine.reactor.status(engine.lun);
                let why = status.paths[i].reason.clone();
                let why = why.unwrap_or_else(|| state.to_string());
                (EventKind::Loss, format!("path {i} lost: {why}"))
            };
            self.events.push(Event {
                at_ns: now.nanos_since(self.began),
                kind,
                text,
            });
        }
    }

    fn sample(&mut self, engine: &mut Engine, now: Time) {
        let slots = engine.reactor.plane().channel(engine.lun).slots.iter();
        let totals = slots.map(|s| Carried {
            ios: s.stats.ios,
            bytes: s.stats.bytes,
        });
        self.split.sample(now.nanos_since(self.began), totals);
    }

    fn show(&mut self, engine: &mut Engine, now: Time, doing: &str, progress: f64) {
        if now < self.next_live {
            return;
        }
        self.next_live = now + Duration::from_nanos(self.live.interval_ns());
        let paths = engine.paths();
        let channel = engine.reactor.plane().channel(engine.lun);
        let (held, waiting) = channel.fence.occupants();
        let stats = self.workload.stats();
        let at_ns = now.nanos_since(self.began);
        // The last interval that is complete.
        let recent = stats.series.as_ref().and_then(|s| {
            let i = (at_ns / s.interval_ns).saturating_sub(1) as usize;
            s.intervals.get(i)
        });
        let recent = recent.map_or_else(LatencyNs::default, |i| LatencyNs::of(&i.latency));
        self.live.show(&Moment {
            at_ns,
            doing: doing.to_owned(),
            progress: progress.min(1.0),
            ios: stats.ios(),
            bytes: stats.bytes(),
            errors: stats.errors.total(),
            miscompares: self.workload.miscompares(),
            policy: channel.selector.policy().to_string(),
            p50_ns: recent.p50,
            p99_ns: recent.p99,
            max_ns: recent.max,
            parked: (channel.parked.len() + channel.delayed.len()) as u64,
            fenced: (held + waiting) as u64,
            paths,
        });
    }
}

/// What is outstanding, and where it may be.
fn outstanding(
    engine: &mut Engine,
    workload: &Workload,
    now: Time,
    limit: Duration,
) -> Vec<String> {
    let all = workload.outstanding_ios();
    let mut lines = vec![format!(
        "{} I/Os of which none has come back for {limit:?}",
        all.len()
    )];
    for io in all.iter().take(NAMED_MAX) {
        let op = if io.write { "write" } else { "read" };
        let age = units::nanos(now.nanos_since(io.since));
        let blocks = io.blocks;
        lines.push(format!(
            "{op} of {blocks} blocks from {}, begun {age} ago",
            io.lba
        ));
    }
    if all.len() > NAMED_MAX {
        lines.push(format!("and {} more", all.len() - NAMED_MAX));
    }
    let status = engine.reactor.status(engine.lun);
    let lun = engine.lun;
    let channel = engine.reactor.plane().channel(lun);
    let (held, waiting) = channel.fence.occupants();
    lines.push(format!(
        "of the LUN: {} wait for a path, {} for a retry, {held} for a fence, {waiting} behind one",
        channel.parked.len() + channel.backlog.len(),
        channel.delayed.len(),
    ));
    for p in status.paths {
        let why = p.reason.map_or_else(String::new, |r| format!(": {r}"));
        lines.push(format!(
            "{} is {}, {}, {} in flight{why}",
            p.url, p.state, p.access, p.nexus_in_flight
        ));
    }
    lines
}

fn states(engine: &mut Engine) -> Vec<State> {
    let lun = engine.lun;
    let plane = engine.reactor.plane();
    let slots = plane.channel(lun).slots.iter();
    slots
        .map(|s| plane.paths.get(s.association).state())
        .collect()
}
