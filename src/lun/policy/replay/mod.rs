//! `umpio policy replay`: a trace of events through the real selector and the real validation.
//!
//! One JSON object a line. Each line is printed again with our own answers in it, so that two
//! implementations, or we and a Windows host, can be compared line by line. With `check` the answers
//! that a line already has are expectations, and the first that differs ends the replay: everything
//! behind a wrong pick is about another state of affairs.
//!
//! No sockets and no time: the target is a mock that answers at once (`target`), and all events are
//! settled states.

mod json;
mod target;

use super::NtStatus;
use super::defaults::{Choices, Scope, Setting};
use super::load::{IoShape, NexusLoad};
use super::selector::{Options, Selector};
use super::set::SetStep;
use super::topology::PathIx;
use super::validate::{SetMethod, SetPath, SetRequest};
use json::{Fields, differs, malformed};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};
use target::MockTarget;

/// Why a replay ended before the end of the trace.
#[derive(Debug)]
pub enum ReplayError {
    /// Reading the trace or writing the answers failed.
    Io(io::Error),
    /// A line is not an event of the format.
    Malformed {
        /// Line number, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Our answer is not the one in the line.
    Mismatch {
        /// Line number, from 1.
        line: u64,
        /// Name of the field.
        field: String,
        /// What the line has.
        expected: String,
        /// What we say.
        got: String,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Malformed { line, why } => write!(f, "line {line}: {why}"),
            Self::Mismatch {
                line,
                field,
                expected,
                got,
            } => {
                write!(f, "line {line}: {field}: expected {expected}, got {got}")
            }
        }
    }
}

impl std::error::Error for ReplayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for ReplayError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What was replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplaySummary {
    /// Events.
    pub events: u64,
    /// Answers that a line had, and that ours agreed with (counted with `check` only).
    pub checked: u64,
}

/// Replays `lines` into `out`. Comments and empty lines pass as they are.
pub fn replay(
    lines: impl IntoIterator<Item = io::Result<String>>,
    out: &mut dyn Write,
    check: bool,
) -> Result<ReplaySummary, ReplayError> {
    let mut world: Option<World> = None;
    let mut summary = ReplaySummary::default();
    for (number, text) in (1..).zip(lines) {
        let text = text?;
        let trimmed = text.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            writeln!(out, "{text}")?;
            continue;
        }
        let whine = |why: String| ReplayError::Malformed { line: number, why };
        let Value::Object(mut line) =
            serde_json::from_str(trimmed).map_err(|e| whine(e.to_string()))?
        else {
            return Err(whine("not an object".to_owned()));
        };
        let answers = step(&mut world, &line).map_err(whine)?;
        summary.events += 1;
        for (field, got) in answers {
            if check && let Some(expected) = line.get(&field) {
                if differs(expected, &got) {
                    let (expected, got) = (expected.to_string(), got.to_string());
                    return Err(ReplayError::Mismatch {
                        line: number,
                        field,
                        expected,
                        got,
                    });
                }
                summary.checked += 1;
            }
            line.insert(field, got);
        }
        writeln!(out, "{}", Value::Object(line))?;
    }
    Ok(summary)
}

type Answers = Vec<(String, Value)>;

fn answer(field: &str, value: Value) -> (String, Value) {
    (field.to_owned(), value)
}

fn step(world: &mut Option<World>, line: &Map<String, Value>) -> Result<Answers, String> {
    let event = line.text("ev")?;
    if event == "init" {
        if world.is_some() {
            return Err("init is the first event, and the only one of its kind".to_owned());
        }
        let (made, answers) = World::init(line)?;
        *world = Some(made);
        return Ok(answers);
    }
    let world = world.as_mut().ok_or("the first event has to be init")?;
    world.now_ns += 1_000;
    match event {
        "submit" => world.submit(line),
        "complete" => world.complete(line),
        "retry" => world.retry(line),
        "fail" => world.path_event(line, false),
        "return" => world.path_event(line, true),
        "tpg" => world.tpg(line),
        "set" => world.set(line),
        "default" => world.default(line),
        "query" => world.query(line),
        _ => Err(format!("no event is called {event:?}")),
    }
}

struct Lun {
    selector: Selector,
    target: MockTarget,
    explicit: bool,
}

/// A request in flight.
struct Flight {
    lun: usize,
    shape: IoShape,
    /// `None`: nothing could carry it.
    nexus: Option<usize>,
}

struct World {
    block_bytes: u32,
    luns: Vec<Lun>,
    /// Path id to index in `loads`: a path id is a nexus, for all LUNs.
    nexuses: HashMap<u64, u16>,
    loads: Vec<NexusLoad>,
    flights: HashMap<String, Flight>,
    now_ns: u64,
}

impl World {
    fn init(line: &Map<String, Value>) -> Result<(Self, Answers), String> {
        let mut world = Self {
            block_bytes: line.number_or("block", 512)?,
            luns: Vec::new(),
            nexuses: HashMap::new(),
            loads: Vec::new(),
            flights: HashMap::new(),
            now_ns: 0,
        };
        for lun in line.list("luns")? {
            let lun = lun.as_object().ok_or_else(|| malformed("luns", lun))?;
            // Settings of a LUN may also stand beside `luns`, for all of them.
            let mut all = line.clone();
            all.extend(lun.clone());
            world.add_lun(&all)?;
        }
        let stpg = world.raise_all();
        let answers = world.stpg_answer(stpg, world.luns.iter().any(|lun| lun.explicit));
        Ok((world, answers))
    }

    fn add_lun(&mut self, lun: &Map<String, Value>) -> Result<(), String> {
        let target = MockTarget::parse(lun)?;
        let cache = lun.flag_or("lb_cache_on", true)?;
        let cache_bytes = lun.number_or("lb_cache_bytes", 1 << 20)?;
        let options = Options {
            alua: target.alua(),
            cache_bytes: cache.then_some(cache_bytes),
            ..Options::default()
        };
        let setting = |policy: &str, preferred: &str| {
            let policy = lun.number_or(policy, 0)?;
            Setting::from_request(policy, lun.number_or(preferred, 0)?)
                .map_err(|status| format!("default policy {policy}: {}", status.name()))
        };
        let choices = Choices {
            explicit: None,
            target: setting("target_default", "target_preferred")?,
            engine: setting("dsm_default", "dsm_preferred")?,
        };
        let mut selector = Selector::with_choices(options, choices);
        selector.set_groups(&target.report());
        let mut paths = Vec::new();
        for path in lun.list("paths")? {
            let path = path.as_object().ok_or_else(|| malformed("paths", path))?;
            let id = path.number("id")?;
            let known = self.nexuses.len() as u16;
            let nexus = *self.nexuses.entry(id).or_insert(known);
            self.loads.resize(self.nexuses.len(), NexusLoad::default());
            let (tpg, weight) = (path.number_or("tpg", 0)?, path.number_or("weight", 0)?);
            paths.push(super::PathInit {
                id,
                nexus,
                tpg,
                weight,
            });
        }
        selector
            .add_paths(&paths)
            .map_err(|error| error.to_string())?;
        let explicit = target.alua().explicit();
        self.luns.push(Lun {
            selector,
            target,
            explicit,
        });
        Ok(())
    }

    fn lun_index(&self, line: &Map<String, Value>) -> Result<usize, String> {
        let index: usize = line.number_or("lun", 0)?;
        if index < self.luns.len() {
            Ok(index)
        } else {
            Err(format!("no LUN {index}"))
        }
    }

    // I/O.

    fn submit(&mut self, line: &Map<String, Value>) -> Result<Answers, String> {
        let lun = self.lun_index(line)?;
        let (lba, blocks) = (line.number_or("lba", 0)?, line.number_or("blocks", 0)?);
        let shape = match line.text("op")? {
            "read10" | "read16" | "read" => IoShape::read(lba, blocks, self.block_bytes),
            "write10" | "write16" | "write" => IoShape::write(lba, blocks, self.block_bytes),
            _ => IoShape::other(),
        };
        let io = line.get("io").ok_or("io is missing")?.to_string();
        let nexus = None;
        let taken = self
            .flights
            .insert(io.clone(), Flight { lun, shape, nexus });
        if taken.is_some_and(|flight| flight.nexus.is_some()) {
            return Err(format!("io {io} is in flight"));
        }
        Ok(self.dispatch(&io))
    }

    fn dispatch(&mut self, io: &str) -> Answers {
        let flight = self.flights.get_mut(io).expect("looked up by the caller");
        let selector = &mut self.luns[flight.lun].selector;
        let picked = selector.choose(flight.shape, &self.loads, self.now_ns, None);
        let id = picked.and_then(|ix| selector.path_id(ix));
        flight.nexus = id.map(|id| usize::from(self.nexuses[&id]));
        if let Some(nexus) = flight.nexus {
            self.loads[nexus].on_dispatch(&flight.shape, self.now_ns);
        }
        vec![answer(
            "pick",
            id.map_or_else(|| json!("FAIL"), |id| json!(id)),
        )]
    }

    fn complete(&mut self, line: &Map<String, Value>) -> Result<Answers, String> {
        let io = line.get("io").ok_or("io is missing")?.to_string();
        let flight = self
            .flights
            .remove(&io)
            .ok_or_else(|| format!("io {io} is not in flight"))?;
        if let Some(nexus) = flight.nexus {
            self.loads[nexus].on_complete(&flight.shape, 1_000, self.now_ns);
        }
        Ok(Vec::new())
    }

    fn retry(&mut self, line: &Map<String, Value>) -> Result<Answers, String> {
        let io = line.get("io").ok_or("io is missing")?.to_string();
        let flight = self
            .flights
            .get(&io)
            .ok_or_else(|| format!("io {io} is not in flight"))?;
        if let Some(nexus) = flight.nexus {
            self.loads[nexus].on_drop(&flight.shape);
        }
        Ok(self.dispatch(&io))
    }

    // Topology.

    fn path_event(&mut self, line: &Map<String, Value>, up: bool) -> Result<Answers, String> {
        let id: u64 = line.number("path")?;
        let mut known = false;
        for lun in &mut self.luns {
            let Some(ix) = lun.selector.find_path(id) else {
                continue;
            };
            known = true;
            lun.turn(ix, up);
        }
        if !known {
            return Err(format!("no path {id}"));
        }
        let stpg = self.raise_all();
        Ok(self.stpg_answer(stpg, self.luns.iter().any(|lun| lun.explicit)))
    }

    fn tpg(&mut self, line: &Map<String, Value>) -> Result<Answers, String> {
        let index = self.lun_index(line)?;
        let lun = &mut self.luns[index];
        lun.target.change(line)?;
        if !line.flag_or("silent", false)? {
            lun.selector.set_groups(&lun.target.report());
        }
        let stpg = self.raise(index);
        Ok(self.stpg_answer(stpg, self.luns[index].explicit))
    }

    /// Sends what a LUN wants sent, and gives the lines for `stpg`.
    fn raise(&mut self, index: usize) -> Vec<Value> {
        let lun = &mut self.luns[index];
        let mut sent = Vec::new();
        while let Some(request) = lun.selector.take_stpg() {
            let report = lun.target.set_groups(&request.tpgs);
            sent.push(json!({"lun": index, "tpgs": request.tpgs, "ok": report.is_some()}));
            lun.selector.stpg_done(&report.unwrap_or_default());
        }
        sent
    }

    fn raise_all(&mut self) -> Vec<Value> {
        (0..self.luns.len())
            .flat_map(|index| self.raise(index))
            .collect()
    }

    fn stpg_answer(&self, stpg: Vec<Value>, explicit: bool) -> Answers {
        if explicit {
            vec![answer("stpg", Value::Array(stpg))]
        } else {
            Vec::new()
        }
    }

    // Policy.

    fn set(&mut self, line: &Map<String, Value>) -> Result<Answers, String> {
        let index = self.lun_index(line)?;
        let method = line.number_or("method", 2)?;
        let method = SetMethod::from_number(method).ok_or_else(|| format!("no method {method}"))?;
        let mut paths = Vec::new();
        for path in line.list_or_empty("paths")? {
            let path = path.as_object().ok_or_else(|| malformed("paths", path))?;
            paths.push(SetPath {
                id: path.number_or("id", 0)?,
                primary: path.flag_or("primary", true)?,
                optimized: path.flag_or("optimized", true)?,
                preferred: path.flag_or("preferred", false)?,
                weight: path.number_or("weight", 0)?,
            });
        }
        let mut request = SetRequest::new(method, line.number("policy")?, paths);
        request.count = line.number_or("count", request.count)?;
        request.in_size = line.number_or("in_size", request.in_size)?;
        request.out_size = line.number_or("out_size", request.out_size)?;
        request.version = line.number_or("version", request.version)?;

        let lun = &mut self.luns[index];
        let mut stpg = Vec::new();
        let status = match lun.selector.begin_set(&request) {
            SetStep::Done(status) => status,
            SetStep::SendStpg(wanted) => {
                let report = lun.target.set_groups(&wanted.tpgs);
                stpg.push(json!({"lun": index, "tpgs": wanted.tpgs, "ok": report.is_some()}));
                lun.selector.finish_set(report.as_deref())
            }
        };
        stpg.extend(self.raise(index));
        let mut answers = vec![answer("status", json!(status.to_string()))];
        answers.extend(self.stpg_answer(stpg, self.luns[index].explicit));
        Ok(answers)
    }

    fn default(&mut self, line: &Map<String, Value>) -> Result<Answers, String> {
        let scope = match line.text("scope")? {
            "dsm" => Scope::Engine,
            "target" => Scope::Target,
            other => return Err(format!("no scope {other:?}")),
        };
        let setting =
            Setting::from_request(line.number("policy")?, line.number_or("preferred", 0)?);
        let status = setting.err().unwrap_or(NtStatus::SUCCESS);
        if let Ok(setting) = setting {
            self.luns
                .iter_mut()
                .for_each(|lun| lun.selector.set_default(scope, setting));
        }
        let stpg = self.raise_all();
        let mut answers = vec![answer("status", json!(status.to_string()))];
        answers.extend(self.stpg_answer(stpg, self.luns.iter().any(|lun| lun.explicit)));
        Ok(answers)
    }

    fn query(&mut self, line: &Map<String, Value>) -> Result<Answers, String> {
        let index = self.lun_index(line)?;
        let lun = &mut self.luns[index];
        if lun.selector.refresh_before_query() {
            lun.selector.set_groups(&lun.target.report());
            self.raise(index);
        }
        let found = self.luns[index].selector.query();
        let path = |p: &super::query::PathAnswer| {
            json!({
                "id": p.id,
                "weight": p.weight,
                "failed": u8::from(p.failed),
                "primary": u8::from(p.state.primary()),
                "optimized": u8::from(p.state.optimized()),
                "preferred": u8::from(p.preferred),
            })
        };
        let paths: Vec<Value> = found.paths.iter().map(path).collect();
        Ok(vec![answer(
            "answer",
            json!({"policy": found.spec.policy().number(), "paths": paths}),
        )])
    }
}

impl Lun {
    /// A returning path is verified by REPORT TARGET PORT GROUPS, which tells news on the way.
    fn turn(&mut self, ix: PathIx, up: bool) {
        if up {
            self.selector.set_groups(&self.target.report());
            self.selector.path_up(ix);
        } else {
            self.selector.path_down(ix);
        }
    }
}
