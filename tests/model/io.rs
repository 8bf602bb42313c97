//! Requests of the model: what is in flight where, and which path is next.

use super::{FOO, Io, LB, LQD, Model, Op, RR, RRWS, S, WP};
use serde_json::{Value, json};

impl Model {
    pub(crate) fn submit(&mut self, io: u64, lun: usize, op: Op, lba: u64, blocks: u64) -> Value {
        self.ios.insert(
            io,
            Io {
                lun,
                op,
                lba,
                blocks,
                on: None,
            },
        );
        self.dispatch(io)
    }

    pub(crate) fn complete(&mut self, io: u64) {
        self.uncount(io);
        self.ios.remove(&io);
    }

    pub(crate) fn retry(&mut self, io: u64) -> Value {
        self.uncount(io);
        self.dispatch(io)
    }

    pub(crate) fn in_flight(&self) -> Vec<u64> {
        self.ios.keys().copied().collect()
    }

    fn uncount(&mut self, io: u64) {
        let it = self.ios[&io];
        if let Some(path) = it.on {
            let load = self.loads.get_mut(&path).expect("known");
            load.requests -= 1;
            if it.op != Op::Other {
                load.bytes -= it.blocks * self.block;
            }
        }
    }

    fn dispatch(&mut self, io: u64) -> Value {
        let it = self.ios[&io];
        let pick = self.pick(&it);
        self.ios.get_mut(&io).expect("present").on = pick;
        let Some(id) = pick else { return json!("FAIL") };
        self.luns[it.lun].last = Some(id);
        let load = self.loads.get_mut(&id).expect("known");
        load.requests += 1;
        if it.op != Op::Other {
            load.bytes += it.blocks * self.block;
            load.last_lba = it.lba + it.blocks.max(1) - 1;
        }
        json!(id)
    }

    fn pick(&mut self, io: &Io) -> Option<u64> {
        let lun = io.lun;
        let (policy, _) = self.policy(lun);
        if policy == FOO {
            return self.luns[lun].runs.filter(|&id| self.real(lun, id).works());
        }
        let active = self.active(lun);
        let last = self.luns[lun].last;
        if active.is_empty() {
            // The previous path if it still works at all, else the best of those that do.
            let rest: Vec<u64> = self
                .up(lun)
                .into_iter()
                .filter(|&id| self.shown(lun, id) == S::AU && self.real(lun, id).works())
                .collect();
            let preferred = rest
                .iter()
                .copied()
                .find(|&id| self.preferred_group(lun, id));
            return last.filter(|l| rest.contains(l)).or(if self.equal(lun) {
                preferred.or(rest.first().copied())
            } else {
                self.stand_in_unequal(lun, &rest)
            });
        }
        let first_least = |cost: &dyn Fn(u64) -> u64| {
            let least = active.iter().map(|&id| cost(id)).min();
            active.iter().copied().find(|&id| Some(cost(id)) == least)
        };
        match policy {
            RR | RRWS => {
                let order = self.ids(lun);
                let from = self.luns[lun]
                    .next
                    .and_then(|n| order.iter().position(|&id| id == n))
                    .unwrap_or(0);
                let turn = order[from..]
                    .iter()
                    .chain(&order[..from])
                    .find(|id| active.contains(id))
                    .copied();
                let place = active.iter().position(|&id| Some(id) == turn)?;
                self.luns[lun].next = Some(active[(place + 1) % active.len()]);
                turn
            }
            LQD => first_least(&|id| self.loads[&id].requests),
            WP => first_least(&|id| u64::from(self.path(lun, id).weight)),
            LB => {
                if let Some(id) = last.filter(|l| active.contains(l)) {
                    let load = self.loads[&id];
                    let ahead = io.lba >= load.last_lba;
                    let stays = match (io.op, self.luns[lun].cache) {
                        (Op::Other, _) => true,
                        (_, None) => false,
                        (Op::Read, _) => ahead,
                        (Op::Write, Some(cache)) => {
                            ahead && load.bytes + io.blocks * self.block <= cache
                        }
                    };
                    if stays {
                        return Some(id);
                    }
                }
                first_least(&|id| self.loads[&id].bytes)
            }
            _ => unreachable!("the model knows six policies"),
        }
    }
}
