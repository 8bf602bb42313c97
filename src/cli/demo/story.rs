//! What happens in the demo, and when.

use std::fmt;
use std::time::Duration;

use crate::cli::drive::{Engine, Story};
use crate::cli::report::DemoCounts;
use crate::cli::report::timeline::{Event, EventKind};
use crate::cli::target::serve::Served;
use crate::front::fault::Fault;
use crate::lun::policy::{Policy, PolicySpec};

/// One thing that is done.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Act {
    /// Resets every connection of a portal and refuses new ones.
    Cut(usize),
    Restore(usize),
    /// The same with every portal of iSCSI.
    CutAll,
    RestoreAll,
    Policy(PolicySpec),
}

/// The portals that speak iSCSI.
pub const ISCSI: [usize; 2] = [2, 3];

/// Longest time a nexus stays away.
const OUTAGE_MAX: Duration = Duration::from_secs(1);

/// The acts with their times, and how far the story is.
pub struct DemoStory<'a> {
    target: &'a Served,
    acts: Vec<(Duration, Act)>,
    next: usize,
    pub counts: DemoCounts,
    doing: String,
}

impl fmt::Debug for DemoStory<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DemoStory")
            .field("acts", &self.acts)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl<'a> DemoStory<'a> {
    /// A nexus of each protocol is lost while the others carry on, then all of one protocol at once;
    /// then the policy is changed and changed back.
    pub fn new(target: &'a Served, runtime: Duration, policy: PolicySpec) -> Self {
        let at = |percent: u32| runtime * percent / 100;
        let outage = (runtime / 8).min(OUTAGE_MAX);
        let lqd = PolicySpec::new(Policy::LeastQueueDepth);
        let other = if policy == lqd {
            PolicySpec::new(Policy::RoundRobinWithSubset)
        } else {
            lqd
        };
        let acts = vec![
            (at(15), Act::Cut(1)),
            (at(15) + outage, Act::Restore(1)),
            (at(35), Act::Cut(2)),
            (at(35) + outage, Act::Restore(2)),
            (at(55), Act::CutAll),
            (at(55) + outage, Act::RestoreAll),
            (at(78), Act::Policy(other)),
            (at(90), Act::Policy(policy)),
        ];
        Self {
            target,
            acts,
            next: 0,
            counts: DemoCounts::default(),
            doing: "all paths carry I/O".to_owned(),
        }
    }

    fn cut(&mut self, portal: usize) {
        self.target.set_fault(portal, Fault::Refuse(true));
        self.target.set_fault(portal, Fault::Reset);
        self.counts.cuts += 1;
    }

    fn act(&mut self, act: Act, engine: &mut Engine) -> (EventKind, String) {
        match act {
            Act::Cut(portal) => {
                self.cut(portal);
                self.doing = format!("path {portal} is cut");
                let text = "connections reset, new ones refused";
                (
                    EventKind::Cut,
                    format!("cut the nexus of path {portal}: {text}"),
                )
            }
            Act::Restore(portal) => {
                self.target.set_fault(portal, Fault::Refuse(false));
                self.doing = format!("path {portal} may come back");
                (
                    EventKind::Restore,
                    format!("gave the nexus of path {portal} back"),
                )
            }
            Act::CutAll => {
                for portal in ISCSI {
                    self.cut(portal);
                }
                self.doing = "all of iSCSI is cut".to_owned();
                let text = "cut all nexuses of iSCSI: connections reset, new ones refused";
                (EventKind::Cut, text.to_owned())
            }
            Act::RestoreAll => {
                for portal in ISCSI {
                    self.target.set_fault(portal, Fault::Refuse(false));
                }
                self.doing = "iSCSI may come back".to_owned();
                (EventKind::Restore, "gave iSCSI back".to_owned())
            }
            Act::Policy(policy) => match engine.reactor.set_policy(engine.lun, policy) {
                Ok(()) => {
                    self.counts.policy_changes += 1;
                    self.doing = "under another policy".to_owned();
                    (
                        EventKind::Policy,
                        format!("policy is {policy} from here on"),
                    )
                }
                Err(e) => (EventKind::Note, format!("policy {policy} was refused: {e}")),
            },
        }
    }
}

impl Story for DemoStory<'_> {
    fn tell(&mut self, engine: &mut Engine, at: Duration, events: &mut Vec<Event>) {
        while let Some((when, act)) = self.acts.get(self.next).copied() {
            if at < when {
                return;
            }
            if let Act::Cut(_) | Act::CutAll = act {
                // One outage at a time: what was cut is on its way back, and the story waits.
                if !engine.reactor.plane().all_joined(engine.lun) {
                    return;
                }
                let late = at.saturating_sub(when);
                for (when, _) in &mut self.acts[self.next..] {
                    *when += late;
                }
            }
            self.next += 1;
            let (kind, text) = self.act(act, engine);
            let at_ns = at.as_nanos() as u64;
            events.push(Event { at_ns, kind, text });
        }
    }

    fn doing(&self) -> &str {
        &self.doing
    }
}
