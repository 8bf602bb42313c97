//! Random traces: the model writes down what it expects, the replay has to agree on every line.

#![allow(clippy::or_fun_call, reason = "the model is plain before it is fast")]

mod model;

use model::{Entry, Model, Op, Request, S, Target};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use umpio::lun::policy::replay::replay;

const BLOCK: u64 = 512;

#[derive(Clone, Debug)]
struct LunPlan {
    alua: &'static str,
    /// Index of the nexus and of the group.
    paths: Vec<(u64, u32)>,
    groups: Vec<(S, bool)>,
    others: Option<S>,
    max_ao: Option<usize>,
    cache: Option<u64>,
}

/// Choices are drawn wide, and folded onto what exists when the event is played.
#[derive(Clone, Debug)]
enum Play {
    Submit(u8, Op, u8, u8),
    Complete(u8),
    Retry(u8),
    Fail(u8),
    Return(u8),
    Tpg(u8, Vec<(u32, S)>, Option<bool>, bool),
    Set(u8, SetPlan),
    Default(bool, u32, u64),
    Query(u8),
}

#[derive(Clone, Debug)]
struct SetPlan {
    method: u32,
    policy: u32,
    /// Wish of each path; `None` takes the state that the target reports, so that more sets pass.
    wishes: Vec<(S, bool, u32)>,
    one_active: Option<u8>,
    damage: u8,
}

fn state() -> impl Strategy<Value = S> {
    prop_oneof![4 => Just(S::AO), 3 => Just(S::AU), 2 => Just(S::SB), 1 => Just(S::UA), 1 => Just(S::TR)]
}

fn wish() -> impl Strategy<Value = S> {
    prop_oneof![3 => Just(S::AO), 2 => Just(S::AU), 3 => Just(S::SB), 3 => Just(S::UA)]
}

fn default_policy() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(0_u32), 6 => 1_u32..=6, 1 => 7_u32..9]
}

fn lun_plan() -> impl Strategy<Value = LunPlan> {
    let alua = prop::sample::select(vec!["none", "implicit", "explicit", "both"]);
    let paths = prop::collection::btree_map(1_u64..=5, 1_u32..=3, 1..=5);
    let groups = prop::collection::vec((state(), any::<bool>()), 3);
    let others = prop::sample::select(vec![None, Some(S::AU), Some(S::SB)]);
    let max_ao = prop::option::weighted(0.3, 1_usize..=2);
    let cache =
        prop::option::weighted(0.8, prop::sample::select(vec![1 << 20, 64 << 10, 32 << 10]));
    (alua, paths, groups, others, max_ao, cache).prop_map(
        |(alua, paths, groups, others, max_ao, cache)| LunPlan {
            alua,
            paths: paths.into_iter().collect(),
            groups,
            others,
            max_ao,
            cache,
        },
    )
}

fn set_plan() -> impl Strategy<Value = SetPlan> {
    let policy = prop_oneof![2 => Just(0_u32), 12 => 1_u32..=6, 1 => 7_u32..=9];
    let wishes = prop::collection::vec((wish(), prop::bool::weighted(0.15), 0_u32..4), 5);
    (
        1_u32..=2,
        policy,
        wishes,
        prop::option::weighted(0.5, any::<u8>()),
        0_u8..40,
    )
        .prop_map(|(method, policy, wishes, one_active, damage)| SetPlan {
            method,
            policy,
            wishes,
            one_active,
            damage,
        })
}

fn play() -> impl Strategy<Value = Play> {
    let op = prop_oneof![4 => Just(Op::Read), 3 => Just(Op::Write), 1 => Just(Op::Other)];
    let groups = prop::collection::vec((1_u32..=3, state()), 1..=3);
    prop_oneof![
        30 => (any::<u8>(), op, any::<u8>(), 0_u8..32).prop_map(|(l, o, a, b)| Play::Submit(l, o, a, b)),
        14 => any::<u8>().prop_map(Play::Complete),
        4 => any::<u8>().prop_map(Play::Retry),
        6 => any::<u8>().prop_map(Play::Fail),
        6 => any::<u8>().prop_map(Play::Return),
        6 => (any::<u8>(), groups, prop::option::weighted(0.2, any::<bool>()), prop::bool::weighted(0.2))
            .prop_map(|(l, g, r, s)| Play::Tpg(l, g, r, s)),
        7 => (any::<u8>(), set_plan()).prop_map(|(l, s)| Play::Set(l, s)),
        2 => (any::<bool>(), default_policy(), 0_u64..=5).prop_map(|(d, p, f)| Play::Default(d, p, f)),
        5 => any::<u8>().prop_map(Play::Query),
    ]
}

/// Plays the plan on the model, and writes the trace with the model's answers.
struct Author {
    model: Model,
    plans: Vec<LunPlan>,
    lines: Vec<String>,
    ios: u64,
}

impl Author {
    fn new(plans: Vec<LunPlan>, dsm: (u32, u64), vendor: (u32, u64)) -> Self {
        let default = |(policy, preferred): (u32, u64)| {
            (policy != 0).then_some((policy, Some(preferred).filter(|&p| p != 0)))
        };
        let mut model = Model::new(BLOCK, default(dsm), default(vendor));
        let mut luns = Vec::new();
        for plan in &plans {
            let mut groups = Map::new();
            for (i, (state, pref)) in plan.groups.iter().enumerate() {
                groups.insert(
                    (i + 1).to_string(),
                    json!({"state": state.text(), "pref": pref}),
                );
            }
            let paths: Vec<Value> = plan
                .paths
                .iter()
                .map(|(id, tpg)| json!({"id": id, "tpg": tpg}))
                .collect();
            luns.push(json!({
                "alua": plan.alua, "paths": paths, "tpgs": groups,
                "stpg_others": plan.others.map_or("keep", S::text),
                "stpg_max_ao": plan.max_ao,
                "lb_cache_on": plan.cache.is_some(), "lb_cache_bytes": plan.cache.unwrap_or(1 << 20),
            }));
            let target = Target {
                alua: plan.alua,
                groups: (1_u32..).zip(plan.groups.iter().copied()).collect(),
                others: plan.others,
                max_ao: plan.max_ao.unwrap_or(usize::MAX),
                refuses: false,
            };
            model.add_lun(target, &plan.paths, plan.cache);
        }
        let stpg = model.start();
        let mut author = Self {
            model,
            plans,
            lines: Vec::new(),
            ios: 0,
        };
        let mut init = json!({
            "ev": "init", "block": BLOCK, "luns": luns,
            "dsm_default": dsm.0, "dsm_preferred": dsm.1,
            "target_default": vendor.0, "target_preferred": vendor.1,
        });
        if author.model.any_commands() {
            init["stpg"] = Value::Array(stpg);
        }
        author.write(init);
        author
    }

    fn write(&mut self, line: Value) {
        self.lines.push(line.to_string());
    }

    fn some_path(&self, raw: u8) -> u64 {
        let ids: Vec<u64> = self
            .plans
            .iter()
            .flat_map(|p| p.paths.iter().map(|x| x.0))
            .collect();
        ids[usize::from(raw) % ids.len()]
    }

    fn play(&mut self, play: &Play) {
        let luns = self.plans.len();
        let lun = |raw: u8| usize::from(raw) % luns;
        match play {
            Play::Submit(l, op, lba, blocks) => {
                self.ios += 1;
                let (io, lba, blocks) = (
                    self.ios,
                    u64::from(*lba),
                    [0, 1, 8, 16, 64, 128][usize::from(*blocks) % 6],
                );
                let pick = self.model.submit(io, lun(*l), *op, lba, blocks);
                let op = match op {
                    Op::Read => "read16",
                    Op::Write => "write10",
                    Op::Other => "other",
                };
                self.write(json!({"ev": "submit", "lun": lun(*l), "io": io, "op": op, "lba": lba, "blocks": blocks, "pick": pick}));
            }
            Play::Complete(raw) | Play::Retry(raw) => {
                let ios = self.model.in_flight();
                let Some(&io) = ios.get(usize::from(*raw) % ios.len().max(1)) else {
                    return;
                };
                if matches!(play, Play::Complete(_)) {
                    self.model.complete(io);
                    self.write(json!({"ev": "complete", "io": io}));
                } else {
                    let pick = self.model.retry(io);
                    self.write(json!({"ev": "retry", "io": io, "pick": pick}));
                }
            }
            Play::Fail(raw) | Play::Return(raw) => {
                let path = self.some_path(*raw);
                let fails = matches!(play, Play::Fail(_));
                if self.model.is_up(path) != fails {
                    return;
                }
                let stpg = if fails {
                    self.model.fail(path)
                } else {
                    self.model.comes_back(path)
                };
                let mut line = json!({"ev": if fails { "fail" } else { "return" }, "path": path});
                if self.model.any_commands() {
                    line["stpg"] = Value::Array(stpg);
                }
                self.write(line);
            }
            Play::Tpg(l, set, refuses, silent) => {
                let lun = lun(*l);
                let stpg = self.model.tpg(lun, set, *refuses, *silent);
                let mut states = Map::new();
                for (tpg, state) in set {
                    states.insert(tpg.to_string(), json!(state.text()));
                }
                let mut line = json!({"ev": "tpg", "lun": lun, "set": states});
                if let Some(refuses) = refuses {
                    line["refuse_stpg"] = json!(refuses);
                }
                if *silent {
                    line["silent"] = json!(true);
                }
                if self.model.lun_commands(lun) {
                    line["stpg"] = Value::Array(stpg);
                }
                self.write(line);
            }
            Play::Set(l, plan) => self.set(lun(*l), plan),
            Play::Default(dsm, policy, preferred) => {
                let (status, stpg) = self.model.set_default(*dsm, *policy, *preferred);
                let scope = if *dsm { "dsm" } else { "target" };
                let mut line = json!({"ev": "default", "scope": scope, "policy": policy, "preferred": preferred, "status": status});
                if self.model.any_commands() {
                    line["stpg"] = Value::Array(stpg);
                }
                self.write(line);
            }
            Play::Query(l) => {
                let answer = self.model.query(lun(*l));
                self.write(json!({"ev": "query", "lun": lun(*l), "answer": answer}));
            }
        }
    }

    fn set(&mut self, lun: usize, plan: &SetPlan) {
        let ids: Vec<u64> = self.plans[lun].paths.iter().map(|p| p.0).collect();
        let mut entries = Vec::new();
        for (i, &id) in ids.iter().enumerate() {
            let (mut wish, preferred, weight) = plan.wishes[i];
            if let Some(one) = plan.one_active {
                // The usual shape: failover and subset with one active path, balancing with all.
                let chosen = usize::from(one) % ids.len() == i;
                wish = if chosen || plan.policy > 3 || plan.policy == 2 {
                    S::AO
                } else {
                    S::SB
                };
            }
            let (primary, optimized) =
                (matches!(wish, S::AO | S::AU), matches!(wish, S::AO | S::SB));
            entries.push(Entry {
                id,
                primary,
                optimized,
                preferred,
                weight,
            });
        }
        let mut request = Request {
            method: plan.method,
            policy: plan.policy,
            entries,
            count: None,
            in_size: None,
            out_size: None,
            version: None,
        };
        match plan.damage {
            0 => request.out_size = Some(3),
            1 => request.in_size = Some(15),
            2 => request.version = Some(3),
            3 => drop(request.entries.pop()),
            4 => request.entries[0].id = 99,
            5 => request.count = Some(1000),
            6 => request.entries.push(request.entries[0]),
            7 => request.entries[0].id = 0,
            8 => request.version = Some(0),
            _ => {}
        }
        let (status, stpg) = self.model.set(lun, &request);
        let paths: Vec<Value> = (request.entries.iter())
            .map(|e| json!({"id": e.id, "primary": u8::from(e.primary), "optimized": u8::from(e.optimized), "preferred": u8::from(e.preferred), "weight": e.weight}))
            .collect();
        let mut line = json!({"ev": "set", "lun": lun, "method": request.method, "policy": request.policy, "paths": paths, "status": status});
        for (field, value) in [
            ("count", request.count),
            ("in_size", request.in_size),
            ("out_size", request.out_size),
            ("version", request.version),
        ] {
            if let Some(value) = value {
                line[field] = json!(value);
            }
        }
        if self.model.lun_commands(lun) {
            line["stpg"] = Value::Array(stpg);
        }
        self.write(line);
    }
}

fn default_pair() -> impl Strategy<Value = (u32, u64)> {
    (prop_oneof![4 => Just(0_u32), 3 => 1_u32..=6], 0_u64..=5)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_the_one_of_the_written_model(
        plans in prop::collection::vec(lun_plan(), 1..=2),
        dsm in default_pair(),
        vendor in default_pair(),
        plays in prop::collection::vec(play(), 1..120),
    ) {
        let mut author = Author::new(plans, dsm, vendor);
        plays.iter().for_each(|p| author.play(p));
        let lines = author.lines.clone();
        let outcome = replay(lines.iter().cloned().map(Ok), &mut Vec::new(), true);
        if let Err(error) = outcome {
            prop_assert!(false, "{}\n{}", error, lines.join("\n"));
        }
    }
}
