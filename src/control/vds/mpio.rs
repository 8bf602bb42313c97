//! IVdsLunMpio: the paths of a LUN, and the policy over them.

use super::hresult::{Failure, HResult, Result};
use super::lun::{held, working};
use super::types::{IpAddress, PathEnds, PathId, PathInfo, PathPolicy, PathStatus};
use crate::control::view::{LunView, PathView, Protocol, Surface, View, ids};
use crate::lun::access::AccessState;
use crate::lun::policy::{Alua, PathState, Policy, SetMethod, SetPath, SetRequest};
use uuid::Uuid;

/// What GetLoadBalancePolicy gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetLoadBalancePolicy {
    /// VDS_LOADBALANCE_POLICY_ENUM.
    pub policy: u32,
    /// Of each path of GetPathInfo, in its order.
    pub paths: Vec<PathPolicy>,
}

/// The array of SetLoadBalancePolicy as a caller may hand it over.
#[derive(Clone, Copy, Debug)]
pub enum SetPaths<'a> {
    /// A NULL pointer, with the count that came with it.
    Null(i32),
    /// The array.
    Array(&'a [PathPolicy]),
}

/// IVdsLunMpio::GetPathInfo.
///
/// # Errors
/// The provider's cache is corrupt; the LUN is deleted, failed, or at work.
pub fn get_path_info(surface: &dyn Surface, id: Uuid) -> Result<Vec<PathInfo>> {
    let view = surface.view();
    let lun = working(&view, id)?;
    lun.paths.iter().map(|p| path_info(&view, p)).collect()
}

fn path_info(view: &View, path: &PathView) -> Result<PathInfo> {
    let ends = if path.protocol == Protocol::Local {
        PathEnds::Local
    } else {
        let nexus = view.nexus(path.nexus_id).ok_or_else(|| {
            // A path over a nexus that nobody has: the view contradicts itself.
            let why = format!("path {} leads over a nexus that is not there", path.url);
            Failure::new(HResult::VDS_E_PROVIDER_CACHE_CORRUPT, why)
        })?;
        let name = nexus.interface.as_deref().unwrap_or("");
        PathEnds::Ip {
            target_portal: ids::target_portal(&view.host, nexus),
            initiator_adapter: ids::initiator_adapter(&view.host),
            initiator_portal: IpAddress::known(nexus.source, name),
        }
    };
    Ok(PathInfo {
        id: path_id(view, path),
        status: path_status(path),
        ends,
    })
}

fn path_id(view: &View, path: &PathView) -> PathId {
    PathId {
        source: ids::dsm(&view.host),
        path: path.nexus_id,
    }
}

/// VDS_PATH_STATUS: what the policy made of a path that works. One that only waits, for its turn or
/// for the target, stands by.
fn path_status(path: &PathView) -> PathStatus {
    if path.failed || path.access == AccessState::Lost {
        return PathStatus::Failed;
    }
    match path.placed {
        PathState::Optimized | PathState::NonOptimized => PathStatus::Online,
        PathState::Standby | PathState::Unavailable => PathStatus::Standby,
    }
}

/// IVdsLunMpio::GetLoadBalancePolicy.
///
/// # Errors
/// As [`get_path_info`].
pub fn get_load_balance_policy(surface: &dyn Surface, id: Uuid) -> Result<GetLoadBalancePolicy> {
    let view = refreshed(surface, id)?;
    let lun = working(&view, id)?;
    let policy = lun.policy.spec.policy();
    let path = |p: &PathView| PathPolicy {
        id: path_id(&view, p),
        primary: is_primary(policy, p),
        weight: p.weight,
    };
    Ok(GetLoadBalancePolicy {
        policy: policy.number(),
        paths: lun.paths.iter().map(path).collect(),
    })
}

/// FAILOVER has one primary path, the one that runs; elsewhere every active path is one.
fn is_primary(policy: Policy, path: &PathView) -> bool {
    !path.failed
        && match policy {
            Policy::Failover => path.placed == PathState::Optimized,
            _ => path.placed.primary(),
        }
}

/// The view, after a target that changes states by itself was asked again.
fn refreshed(surface: &dyn Surface, id: Uuid) -> Result<std::sync::Arc<View>> {
    let view = surface.view();
    let lun = working(&view, id)?;
    if lun.policy.symmetric || !matches!(lun.policy.alua, Alua::Implicit | Alua::Both) {
        return Ok(view);
    }
    // A target that does not answer leaves what it said last.
    match surface.refresh_access(&lun.name) {
        Ok(()) | Err(_) => Ok(surface.view()),
    }
}

/// IVdsLunMpio::GetSupportedLbPolicies: a mask of VDS_LBF_*. The policies of the DSM that this LUN
/// accepts, and vendor specific, which stands for `latency` or `share`.
///
/// # Errors
/// The provider's cache is corrupt, or the LUN is deleted: its own state does not matter.
pub fn get_supported_lb_policies(surface: &dyn Surface, id: Uuid) -> Result<u32> {
    Ok(supported(held(&surface.view(), id)?))
}

fn supported(lun: &LunView) -> u32 {
    let dsm = lun.policy.supported.iter();
    dsm.fold(Policy::VendorSpecific.vds_bit(), |mask, p| {
        mask | p.vds_bit()
    })
}

/// IVdsLunMpio::SetLoadBalancePolicy.
///
/// All paths of the LUN have to be in the array, each once. Without an array the policy alone is
/// set: every path stays what it is, or is put to use where the policy knows no reserve.
///
/// # Errors
/// Bad arguments, an unknown path, a policy that the LUN does not offer; what the target refuses;
/// and as [`get_path_info`].
pub fn set_load_balance_policy(
    surface: &dyn Surface,
    id: Uuid,
    policy: u32,
    paths: SetPaths<'_>,
) -> Result<()> {
    let bad = |why: String| Failure::new(HResult::E_INVALIDARG, why);
    let policy = Policy::from_number(policy)
        .ok_or_else(|| bad(format!("policy {policy}; allowed are 1 to 7")))?;
    let array = match paths {
        SetPaths::Null(0) => None,
        SetPaths::Null(n) => return Err(bad(format!("pPaths is NULL, lNumberOfPaths is {n}"))),
        SetPaths::Array([]) => None,
        SetPaths::Array(array) => Some(array),
    };
    let view = surface.view();
    let lun = working(&view, id)?;
    if supported(lun) & policy.vds_bit() == 0 {
        let why = format!("LUN '{}' does not offer {}", lun.name, policy.vds_name());
        return Err(Failure::new(HResult::VDS_E_NOT_SUPPORTED, why));
    }
    let entries = match array {
        Some(array) => in_order(&view, lun, array)?,
        None => stay(&view, lun, policy),
    };
    if policy == Policy::VendorSpecific {
        let weights: Vec<_> = entries.iter().map(|e| (e.id.path, e.weight)).collect();
        surface.set_vendor_policy(&lun.name, lun.vendor_policy, &weights)?;
        return Ok(());
    }
    let wishes = lun.paths.iter().zip(&entries);
    let wishes = wishes.map(|(p, e)| wish(lun, policy, p, e)).collect();
    let request = SetRequest::new(SetMethod::Alua, policy.number(), wishes);
    let status = surface.set_policy(&lun.name, &request)?;
    match HResult::of_status(status) {
        HResult::S_OK => Ok(()),
        hresult => {
            let name = status.name();
            let why = format!("LUN '{}' refuses it: {name} ({status})", lun.name);
            Err(Failure::new(hresult, why))
        }
    }
}

/// The entries in the order of the LUN's paths: each path has one, and there are no others.
fn in_order(view: &View, lun: &LunView, array: &[PathPolicy]) -> Result<Vec<PathPolicy>> {
    let source = ids::dsm(&view.host);
    let strange = |e: &&PathPolicy| e.id.source != source || lun.path(e.id.path).is_none();
    if let Some(e) = array.iter().find(strange) {
        let why = format!(
            "LUN '{}' has no path {:#018x} of source {:#018x}; GetPathInfo names them",
            lun.name, e.id.path, e.id.source
        );
        return Err(Failure::new(HResult::VDS_E_PATH_NOT_FOUND, why));
    }
    let entry = |p: &PathView| {
        let mut of_path = array.iter().filter(|e| e.id.path == p.nexus_id);
        match (of_path.next(), of_path.next()) {
            (Some(e), None) => Ok(*e),
            (None, _) => Err(format!("path {:#018x} is missing", p.nexus_id)),
            (Some(_), Some(_)) => Err(format!("path {:#018x} is there twice", p.nexus_id)),
        }
    };
    let entries: std::result::Result<_, String> = lun.paths.iter().map(entry).collect();
    entries.map_err(|why| Failure::new(HResult::E_INVALIDARG, why))
}

/// What a caller means who names a policy and no paths.
fn stay(view: &View, lun: &LunView, policy: Policy) -> Vec<PathPolicy> {
    let runs = |p: &&PathView| !p.failed && p.placed == PathState::Optimized;
    let running = lun.paths.iter().find(runs);
    let primary = |p: &PathView| match policy {
        Policy::Failover => running.is_some_and(|r| r.nexus_id == p.nexus_id),
        _ => true,
    };
    let path = |p: &PathView| PathPolicy {
        id: path_id(view, p),
        primary: primary(p),
        weight: p.weight,
    };
    lun.paths.iter().map(path).collect()
}

/// The two flags that the DSM wants, of the one that VDS has: as active, or as passive, as the
/// target's own state for the path makes possible. Where the target does as it is told, a primary
/// path is to become optimized.
fn wish(lun: &LunView, policy: Policy, path: &PathView, entry: &PathPolicy) -> SetPath {
    let told = lun.policy.alua != Alua::None;
    let obeys = lun.policy.alua.explicit();
    let state = match (entry.primary, path.access) {
        (true, AccessState::NonOptimized) if told && !obeys => PathState::NonOptimized,
        (true, AccessState::Optimized | AccessState::NonOptimized) => PathState::Optimized,
        // A reserve is what it says it is: it can not be made to work from here.
        (true, access) if told && !obeys => PathState::of(access),
        (true, _) => PathState::Optimized,
        (false, AccessState::NonOptimized) if told && policy == Policy::Failover => {
            PathState::NonOptimized
        }
        (false, AccessState::Unavailable | AccessState::Transitioning | AccessState::Lost)
            if told =>
        {
            PathState::Unavailable
        }
        (false, _) => PathState::Standby,
    };
    SetPath {
        weight: entry.weight,
        ..SetPath::in_state(path.nexus_id, state)
    }
}
