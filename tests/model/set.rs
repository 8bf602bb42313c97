//! Set requests, defaults and queries of the model: the checks as a list of sentences.

use super::{FOO, LB, LQD, Model, RR, RRWS, S, WP, Why};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub id: u64,
    pub primary: bool,
    pub optimized: bool,
    pub preferred: bool,
    pub weight: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub method: u32,
    pub policy: u32,
    pub entries: Vec<Entry>,
    pub count: Option<u64>,
    pub in_size: Option<u64>,
    pub out_size: Option<u64>,
    pub version: Option<u64>,
}

pub(crate) const OK: &str = "0x00000000";
const INVALID: &str = "0xC000000D";
const SMALL: &str = "0xC0000023";
const UNSUPPORTED: &str = "0xC00000BB";
const DEVICE: &str = "0xC0000185";

impl Request {
    fn wish(&self, e: &Entry) -> S {
        match (e.primary, e.optimized || self.method == 1) {
            (true, true) => S::AO,
            (true, false) => S::AU,
            (false, true) => S::SB,
            (false, false) => S::UA,
        }
    }

    fn favours(&self, e: &Entry) -> bool {
        e.preferred && self.method == 2
    }
}

impl Model {
    /// The first sentence that is true gives the status.
    fn objection(&self, lun: usize, r: &Request) -> Option<&'static str> {
        let l = &self.luns[lun];
        let alua = l.target.alua;
        let n = l.paths.len() as u64;
        let count = r.count.unwrap_or(r.entries.len() as u64);
        let path_size = if r.method == 1 { 24 } else { 64 };
        let in_size = r.in_size.unwrap_or(16 + path_size * r.entries.len() as u64);
        let entry = |id: u64| r.entries.iter().find(|e| e.id == id);
        let twice = |e: &Entry| e.id != 0 && r.entries.iter().filter(|o| o.id == e.id).count() > 1;
        // Entries of paths that are there, with path id and wish.
        let live: Vec<(u64, S, bool)> = (self.up(lun).into_iter())
            .filter_map(|id| entry(id).map(|e| (id, r.wish(e), r.favours(e))))
            .collect();
        let wishes = |s: S| live.iter().filter(|w| w.1 == s).count();
        let real = |id: u64| self.real(lun, id);
        let keeps_none_in_reserve = [RR, WP, LQD, LB].contains(&r.policy);
        let some_group_ao =
            l.seen.values().any(|g| g.0 == S::AO) || l.paths.iter().any(|p| real(p.id) == S::AO);
        let sentences = [
            (n == 0, INVALID),
            (r.out_size.unwrap_or(4) < 4, SMALL),
            (r.policy == 0, OK),
            (in_size < 16 + path_size * count, SMALL),
            (r.version.unwrap_or(u64::from(r.method)) > 2, UNSUPPORTED),
            (r.policy > 6, INVALID),
            (count != n, INVALID),
            (
                r.entries.iter().any(twice) || l.paths.iter().any(|p| entry(p.id).is_none()),
                INVALID,
            ),
            (r.policy == RR && !self.equal(lun), INVALID),
            (r.policy == FOO && wishes(S::AO) > 1, INVALID),
            (
                r.policy == FOO && live.iter().filter(|w| w.2).count() > 1,
                INVALID,
            ),
            (
                alua == "implicit" && live.iter().any(|w| w.1 == S::AO && real(w.0) != S::AO),
                INVALID,
            ),
            (
                keeps_none_in_reserve && alua == "none" && wishes(S::SB) + wishes(S::UA) > 0,
                INVALID,
            ),
            (
                keeps_none_in_reserve
                    && alua != "none"
                    && live.iter().any(|w| w.1 != S::AO && w.1 != real(w.0)),
                INVALID,
            ),
            (
                r.policy == RRWS
                    && alua != "none"
                    && (live.iter()).any(|w| {
                        [S::SB, S::UA].contains(&w.1) && real(w.0) != S::AO && real(w.0) != w.1
                    }),
                INVALID,
            ),
            (
                wishes(S::AO) == 0 && (alua == "none" || some_group_ao),
                INVALID,
            ),
        ];
        sentences.into_iter().find(|s| s.0).map(|s| s.1)
    }

    pub(crate) fn set(&mut self, lun: usize, r: &Request) -> (&'static str, Vec<Value>) {
        let before = self.view(lun);
        match self.objection(lun, r) {
            Some(OK) => {
                self.luns[lun].explicit = None;
                self.settle(lun, Why::Default, &before);
                return (OK, self.stpg(lun));
            }
            // A pending wish to send an STPG can not outlive the event that caused it.
            Some(status) => return (status, vec![]),
            None => {}
        }
        let mut sent = Vec::new();
        let entry = |id: u64| *r.entries.iter().find(|e| e.id == id).expect("validated");
        let mut tpgs = Vec::new();
        let mut missing = false;
        for id in self
            .up(lun)
            .into_iter()
            .filter(|&id| r.wish(&entry(id)) == S::AO)
        {
            missing |= self.real(lun, id) != S::AO;
            tpgs.push(self.path(lun, id).tpg);
        }
        let mut once = Vec::new();
        tpgs.retain(|t| {
            !once.contains(t) && {
                once.push(*t);
                true
            }
        });
        if self.commands(lun) && missing {
            let ok = self.ask_target(lun, &tpgs);
            sent.push(json!({"lun": lun, "tpgs": tpgs, "ok": ok}));
            if !ok {
                return (DEVICE, sent);
            }
            self.luns[lun].seen = self.luns[lun].target.groups.clone();
        }
        for id in self.ids(lun) {
            let e = entry(id);
            let path = self.path_mut(lun, id);
            path.wish = Some(r.wish(&e));
            path.weight = e.weight;
        }
        let marked = |up: bool| {
            let hit = |p: &&super::MPath| p.up == up && r.favours(&entry(p.id));
            self.luns[lun].paths.iter().find(hit).map(|p| p.id)
        };
        let preferred = marked(true).or(marked(false)).filter(|_| r.policy == FOO);
        self.luns[lun].explicit = Some((r.policy, preferred));
        self.settle(lun, Why::Set, &before);
        (OK, sent)
    }

    pub(crate) fn set_default(
        &mut self,
        dsm: bool,
        policy: u32,
        preferred: u64,
    ) -> (&'static str, Vec<Value>) {
        if policy > 6 {
            return (INVALID, vec![]);
        }
        let value = (policy != 0).then_some((policy, Some(preferred).filter(|&p| p != 0)));
        let views: Vec<_> = (0..self.luns.len()).map(|lun| self.view(lun)).collect();
        // Whose word counts, before and after.
        let source = |m: &Self, l: usize| match (m.luns[l].explicit, m.vendor, m.dsm) {
            (Some(_), ..) => 0,
            (_, Some(_), _) => 1,
            (.., Some(_)) => 2,
            _ => 3,
        };
        let sources: Vec<i32> = (0..self.luns.len()).map(|l| source(self, l)).collect();
        if dsm {
            self.dsm = value;
        } else {
            self.vendor = value;
        }
        let mine = if dsm { 2 } else { 1 };
        let governed: Vec<usize> = (0..self.luns.len())
            .filter(|&l| sources[l] == mine || source(self, l) == mine)
            .collect();
        for &lun in &governed {
            self.settle(lun, Why::Default, &views[lun]);
        }
        let sent = governed.iter().flat_map(|&lun| self.stpg(lun)).collect();
        (OK, sent)
    }

    pub(crate) fn query(&mut self, lun: usize) -> Value {
        let alua = self.luns[lun].target.alua;
        if !self.equal(lun) && alua != "explicit" {
            self.read_groups(lun);
            self.stpg(lun);
        }
        let (policy, preferred) = self.policy(lun);
        let describe = |p: &super::MPath| {
            let s = if p.up { self.shown(lun, p.id) } else { S::UA };
            json!({
                "id": if p.up { p.id } else { 0 },
                "weight": p.weight,
                "failed": u8::from(!p.up),
                "primary": u8::from(matches!(s, S::AO | S::AU)),
                "optimized": u8::from(matches!(s, S::AO | S::SB)),
                "preferred": u8::from(policy == FOO && preferred == Some(p.id)),
            })
        };
        let paths: Vec<Value> = self.luns[lun].paths.iter().map(describe).collect();
        json!({"policy": policy, "paths": paths})
    }
}
