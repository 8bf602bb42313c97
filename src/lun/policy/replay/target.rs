//! The mock target of a replay: answers REPORT and SET TARGET PORT GROUPS at once.

use super::json::{Fields, malformed};
use crate::lun::access::AccessState;
use crate::lun::policy::topology::{Alua, GroupState};
use serde_json::{Map, Value};

#[derive(Debug)]
pub(super) struct MockTarget {
    alua: Alua,
    groups: Vec<GroupState>,
    /// Where optimized groups go that an STPG does not name; `None` leaves them.
    others: Option<AccessState>,
    /// No more groups than this are optimized at a time.
    max_optimized: usize,
    refuses: bool,
}

impl MockTarget {
    pub(super) fn parse(lun: &Map<String, Value>) -> Result<Self, String> {
        let alua = match lun.get("alua").and_then(Value::as_str).unwrap_or("none") {
            "none" => Alua::None,
            "implicit" => Alua::Implicit,
            "explicit" => Alua::Explicit,
            "both" => Alua::Both,
            other => {
                return Err(format!(
                    "alua: {other:?} is none of none, implicit, explicit, both"
                ));
            }
        };
        let others = match lun
            .get("stpg_others")
            .and_then(Value::as_str)
            .unwrap_or("keep")
        {
            "keep" => None,
            state => {
                Some(AccessState::parse(state).ok_or_else(|| format!("stpg_others: {state:?}"))?)
            }
        };
        let max_optimized = lun.number_or("stpg_max_ao", usize::MAX)?;
        let mut target = Self {
            alua,
            groups: Vec::new(),
            others,
            max_optimized,
            refuses: false,
        };
        target.assign(lun.get("tpgs"))?;
        Ok(target)
    }

    pub(super) const fn alua(&self) -> Alua {
        self.alua
    }

    /// REPORT TARGET PORT GROUPS.
    pub(super) fn report(&self) -> Vec<GroupState> {
        if self.alua == Alua::None {
            Vec::new()
        } else {
            self.groups.clone()
        }
    }

    /// SET TARGET PORT GROUPS to active/optimized. The report afterwards, or `None` if refused.
    pub(super) fn set_groups(&mut self, tpgs: &[u32]) -> Option<Vec<GroupState>> {
        if self.refuses || !self.alua.explicit() {
            return None;
        }
        for group in &mut self.groups {
            if group.access == AccessState::Optimized && !tpgs.contains(&group.tpg) {
                group.access = self.others.unwrap_or(AccessState::Optimized);
            }
        }
        for tpg in tpgs {
            let optimized = self
                .groups
                .iter()
                .filter(|g| g.access == AccessState::Optimized)
                .count();
            let group = self.groups.iter_mut().find(|g| g.tpg == *tpg);
            if let Some(group) = group.filter(|_| optimized < self.max_optimized) {
                group.access = AccessState::Optimized;
            }
        }
        Some(self.report())
    }

    /// A `tpg` event.
    pub(super) fn change(&mut self, line: &Map<String, Value>) -> Result<(), String> {
        self.refuses = line.flag_or("refuse_stpg", self.refuses)?;
        self.assign(line.get("set"))
    }

    /// Group number to state, as `"AO"` or as `{"state": "AO", "pref": 1}`.
    fn assign(&mut self, states: Option<&Value>) -> Result<(), String> {
        let Some(states) = states else { return Ok(()) };
        let states = states
            .as_object()
            .ok_or_else(|| malformed("tpgs", states))?;
        for (tpg, value) in states {
            let number = tpg
                .parse()
                .map_err(|_| format!("tpg {tpg:?} is not a number"))?;
            let (text, preferred) = match value {
                Value::String(text) => (text.as_str(), None),
                Value::Object(group) => {
                    let text = group.get("state").and_then(Value::as_str).unwrap_or("AO");
                    let preferred = group
                        .contains_key("pref")
                        .then(|| group.flag_or("pref", false));
                    (text, preferred.transpose()?)
                }
                _ => return Err(malformed(tpg, value)),
            };
            let access = AccessState::parse(text).ok_or_else(|| malformed(tpg, value))?;
            match self.groups.iter_mut().find(|g| g.tpg == number) {
                Some(group) => {
                    group.access = access;
                    group.preferred = preferred.unwrap_or(group.preferred);
                }
                None => {
                    let preferred = preferred.unwrap_or(false);
                    self.groups.push(GroupState {
                        tpg: number,
                        access,
                        preferred,
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn target(value: Value) -> MockTarget {
        let Value::Object(lun) = value else {
            unreachable!()
        };
        MockTarget::parse(&lun).expect("well-formed")
    }

    fn states(target: &MockTarget) -> Vec<&'static str> {
        target.report().iter().map(|g| g.access.short()).collect()
    }

    #[test]
    fn other_groups_go_where_stpg_others_says() {
        let tpgs =
            json!({"1": {"state": "AO"}, "2": {"state": "SB"}, "3": {"state": "AU", "pref": 1}});
        for (others, want) in [("keep", "AO"), ("AU", "AU"), ("SB", "SB")] {
            let mut target =
                target(json!({"alua": "explicit", "tpgs": tpgs, "stpg_others": others}));
            assert!(target.set_groups(&[2]).is_some());
            assert_eq!(states(&target), [want, "AO", "AU"]);
        }
    }

    #[test]
    fn groups_beyond_the_most_that_may_be_optimized_stay() {
        let tpgs = json!({"1": {"state": "SB"}, "2": {"state": "AU"}});
        let mut target = target(json!({"alua": "both", "tpgs": tpgs, "stpg_max_ao": 1}));
        assert!(target.set_groups(&[1, 2]).is_some());
        assert_eq!(states(&target), ["AO", "AU"]);
    }

    #[test]
    fn a_refusal_changes_nothing_and_lasts_until_withdrawn() {
        let mut target = target(json!({"alua": "explicit", "tpgs": {"1": {"state": "SB"}}}));
        let Value::Object(line) = json!({"refuse_stpg": true}) else {
            unreachable!()
        };
        target.change(&line).expect("well-formed");
        assert!(target.set_groups(&[1]).is_none());
        let Value::Object(line) = json!({"set": {"1": "AU"}, "refuse_stpg": false}) else {
            unreachable!()
        };
        target.change(&line).expect("well-formed");
        assert_eq!(states(&target), ["AU"]);
        assert!(target.set_groups(&[1]).is_some());
    }
}
