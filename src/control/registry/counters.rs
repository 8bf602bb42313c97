//! Clearing of the health counters that Windows tools see.
//!
//! Reactors count on and on, and so do the metrics, whose counters may not fall. What a tool has
//! cleared is kept here as where its counting began, and taken off what it is shown.

use super::Registry;
use crate::control::view::{ChangeError, CounterScope, Counters, View};
use std::collections::HashMap;

/// Where counting began anew.
#[derive(Debug, Default)]
pub(super) struct Cleared {
    nexuses: HashMap<u64, Counters>,
    luns: HashMap<String, Counters>,
    paths: HashMap<(String, u64), Counters>,
}

/// Less than there was then: counting has begun anew by itself, as when a path was taken out and put
/// in again.
fn began_anew(now: &Counters, then: &Counters) -> bool {
    let fell = [
        (now.reads, then.reads),
        (now.writes, then.writes),
        (now.bytes_read, then.bytes_read),
        (now.bytes_written, then.bytes_written),
        (now.retries, then.retries),
        (now.errors, then.errors),
        (now.path_failures, then.path_failures),
    ];
    fell.iter().any(|(now, then)| now < then)
}

/// What has been counted since.
fn since(now: &mut Counters, then: Option<&Counters>) {
    let Some(then) = then else { return };
    let less = |now: &mut u64, then: u64| *now = now.saturating_sub(then);
    less(&mut now.reads, then.reads);
    less(&mut now.writes, then.writes);
    less(&mut now.bytes_read, then.bytes_read);
    less(&mut now.bytes_written, then.bytes_written);
    less(&mut now.retries, then.retries);
    less(&mut now.errors, then.errors);
    less(&mut now.path_failures, then.path_failures);
    now.created_ns = then.created_ns;
    if now.failed_ns < then.created_ns {
        now.failed_ns = 0;
    }
}

impl Cleared {
    /// Forgets what is no longer there, or counts from nothing again.
    fn forget(&mut self, view: &View) {
        let goes_on = |c: &Counters, then: &Counters| !began_anew(c, then);
        self.nexuses.retain(|id, then| {
            let mut all = view.nexuses.iter();
            all.any(|n| n.id == *id && goes_on(&n.counters, then))
        });
        self.luns.retain(|name, then| {
            let mut all = view.luns.iter();
            all.any(|l| l.name == *name && goes_on(&l.counters, then))
        });
        self.paths.retain(|(name, id), then| {
            let luns = view.luns.iter().filter(|l| l.name == *name);
            let mut all = luns.flat_map(|l| &l.paths);
            all.any(|p| p.nexus_id == *id && goes_on(&p.counters, then))
        });
    }

    /// Takes off what was cleared.
    pub(super) fn apply(&mut self, view: &mut View) {
        self.forget(view);
        for n in &mut view.nexuses {
            since(&mut n.counters, self.nexuses.get(&n.id));
        }
        for l in &mut view.luns {
            since(&mut l.counters, self.luns.get(&l.name));
            for p in &mut l.paths {
                let then = self.paths.get(&(l.name.clone(), p.nexus_id));
                since(&mut p.counters, then);
            }
        }
    }

    /// Counting begins anew for what is in the scope; `view` is what is counted by the reactors.
    fn clear(&mut self, scope: &CounterScope, view: &View, wall_ns: u64) -> bool {
        use CounterScope as S;
        let mut found = matches!(scope, S::All | S::Nexuses | S::Luns);
        let now = |c: &Counters| Counters {
            created_ns: wall_ns,
            ..*c
        };
        for n in &view.nexuses {
            if matches!(scope, S::All | S::Nexuses) || *scope == S::Nexus(n.id) {
                self.nexuses.insert(n.id, now(&n.counters));
                found = true;
            }
        }
        for l in &view.luns {
            if matches!(scope, S::All | S::Luns) || *scope == S::Lun(l.name.clone()) {
                self.luns.insert(l.name.clone(), now(&l.counters));
                found = true;
            }
            let all = match scope {
                S::All | S::Luns => true,
                S::Lun(name) | S::Paths(name) => *name == l.name,
                _ => false,
            };
            for p in &l.paths {
                if all || *scope == S::Path(l.name.clone(), p.nexus_id) {
                    let key = (l.name.clone(), p.nexus_id);
                    self.paths.insert(key, now(&p.counters));
                    found = true;
                }
            }
            found |= all;
        }
        found
    }
}

impl Registry {
    pub(super) fn clear_counters(&mut self, scope: &CounterScope) -> Result<(), ChangeError> {
        let view = self.counted();
        let wall = crate::base::clock::wall_nanos();
        match self.cleared.clear(scope, &view, wall) {
            true => Ok(()),
            false => Err(ChangeError::Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::view::Views;
    use crate::control::view::kit::Kit;
    use crate::lun::access::AccessState::Optimized;
    use crate::lun::policy::Alua;

    fn counted(reads: u64) -> View {
        let kit = Kit::new(Alua::None, &[Optimized, Optimized]);
        let mut view = View::clone(&kit.view());
        for l in &mut view.luns {
            l.counters.reads = 2 * reads;
            for p in &mut l.paths {
                p.counters.reads = reads;
            }
        }
        for n in &mut view.nexuses {
            n.counters.reads = reads;
        }
        view
    }

    #[test]
    fn what_is_cleared_counts_from_nothing_and_the_rest_goes_on() {
        let mut cleared = Cleared::default();
        let lun = counted(0).luns[0].name.clone();
        let one = counted(0).luns[0].paths[0].nexus_id;
        assert!(cleared.clear(&CounterScope::Path(lun.clone(), one), &counted(10), 7));
        let seen = |cleared: &mut Cleared, reads| {
            let mut view = counted(reads);
            cleared.apply(&mut view);
            let paths: Vec<u64> = view.luns[0]
                .paths
                .iter()
                .map(|p| p.counters.reads)
                .collect();
            (
                paths,
                view.luns[0].counters.reads,
                view.nexuses[0].counters.reads,
            )
        };
        assert_eq!(seen(&mut cleared, 12), (vec![2, 12], 24, 12));
        assert!(cleared.clear(&CounterScope::Lun(lun), &counted(20), 8));
        assert_eq!(seen(&mut cleared, 21), (vec![1, 1], 2, 21));
        assert!(cleared.clear(&CounterScope::Nexuses, &counted(30), 9));
        assert_eq!(seen(&mut cleared, 30), (vec![10, 10], 20, 0));
        // Counting began anew by itself.
        assert_eq!(seen(&mut cleared, 3).0, [3, 3]);
        assert_eq!(seen(&mut cleared, 31).0, [31, 31], "and does not fall back");
        assert!(!cleared.clear(&CounterScope::Lun("nobody".into()), &counted(1), 9));
        assert!(!cleared.clear(&CounterScope::Nexus(0), &counted(1), 9));
    }
}
