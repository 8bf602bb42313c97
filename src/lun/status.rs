//! What a LUN looks like from outside: a copied snapshot (invariant I8).

use super::fence::FenceCounters;
use super::plane::Departed;
use super::port::Geometry;
use super::route::RouteCounters;
use super::stats::{LunStats, PathStats};
use crate::path::access::AccessState;
use crate::path::state::State;

/// One path of one LUN, as one reactor sees it.
#[derive(Clone, Debug)]
pub struct PathStatus {
    pub url: String,
    pub nexus_id: u64,
    /// State of its association.
    pub state: State,
    /// Why the association is down, or why the path does not belong to the LUN.
    pub reason: Option<String>,
    /// It belongs to the LUN: identity, size and block size match.
    pub joined: bool,
    pub access: AccessState,
    pub weight: u32,
    pub local_addr: String,
    pub remote_addr: String,
    /// Requests in flight on the nexus, of every LUN on this reactor.
    pub nexus_in_flight: u32,
    /// Logins of the association since it was configured.
    pub logins: u64,
    pub stats: PathStats,
    /// What gone paths of any LUN have carried over its nexus, on this reactor.
    pub departed: Option<Box<Departed>>,
}

/// One LUN, as one reactor sees it.
#[derive(Clone, Debug)]
pub struct LunStatus {
    pub name: String,
    /// Policy in force, as `policy` names it.
    pub policy: String,
    pub geometry: Option<Geometry>,
    pub paths: Vec<PathStatus>,
    pub stats: LunStats,
    pub routes: RouteCounters,
    pub fence: FenceCounters,
    /// Requests behind the fence now: held, and waiting for one that is.
    pub fenced_now: (usize, usize),
    /// Requests waiting for a path now.
    pub parked_now: usize,
    /// How each settled loss was proven, by name, with its count.
    pub proofs: Vec<(&'static str, u64)>,
}

impl LunStatus {
    /// Why the LUN cannot be used yet, path by path: for error messages.
    pub fn why_not_ready(&self) -> String {
        let lines = self.paths.iter().map(|p| {
            let reason = p.reason.as_deref().unwrap_or("no reason known");
            format!("  {}: {}: {reason}", p.url, p.state)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
