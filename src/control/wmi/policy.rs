//! What a LUN's policy is: DSM_QueryLBPolicy, DSM_QuerySupportedLBPolicies, their V2 forms, and
//! DSM_QueryUniqueId.

use super::{Result, find_lun, status_of};
use crate::control::layout::dsm::{
    LoadBalancePolicyHeader, MpioDsmPath, MpioDsmPathV2, encode_policy, encode_supported,
};
use crate::control::view::{LunView, PathView, Surface, View, ids};
use crate::lun::access::AccessState;
use crate::lun::policy::{Alua, PathState};
use std::sync::Arc;

/// DSM_QueryLBPolicy_V2; the fields that V1 lacks are the ones that its structure lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryLbPolicy {
    /// DSM_LB_*.
    pub policy: u32,
    /// Every path, failed ones included: their DsmPathId is 0.
    pub paths: Vec<MpioDsmPathV2>,
}

impl QueryLbPolicy {
    /// DSM_Load_Balance_Policy, Version 1.
    pub fn encode_v1(&self) -> Vec<u8> {
        let path = |p: &MpioDsmPathV2| MpioDsmPath {
            dsm_path_id: p.dsm_path_id,
            reserved: 0,
            path_weight: p.path_weight,
            primary_path: p.primary_path,
        };
        let paths: Vec<_> = self.paths.iter().map(path).collect();
        encode_policy(&self.header(1), &paths)
    }

    /// DSM_Load_Balance_Policy_V2, Version 2.
    pub fn encode_v2(&self) -> Vec<u8> {
        encode_policy(&self.header(2), &self.paths)
    }

    fn header(&self, version: u32) -> LoadBalancePolicyHeader {
        LoadBalancePolicyHeader {
            version,
            load_balance_policy: self.policy,
            dsm_path_count: self.paths.len() as u32,
            reserved: 0,
        }
    }
}

/// DSM_QueryLBPolicy and DSM_QueryLBPolicy_V2 of a LUN. An asymmetric target that changes states by
/// itself is asked first.
///
/// # Errors
/// No such instance; the target can not be asked.
pub fn query_lb_policy(surface: &dyn Surface, instance: &str) -> Result<QueryLbPolicy> {
    let view = refreshed(surface, instance)?;
    let lun = find_lun(&view, instance)?;
    Ok(QueryLbPolicy {
        policy: lun.policy.spec.policy().number(),
        paths: lun.paths.iter().map(|p| path(lun, p)).collect(),
    })
}

fn refreshed(surface: &dyn Surface, instance: &str) -> Result<Arc<View>> {
    let view = surface.view();
    let lun = find_lun(&view, instance)?;
    if lun.policy.symmetric || !matches!(lun.policy.alua, Alua::Implicit | Alua::Both) {
        return Ok(view);
    }
    match surface.refresh_access(&lun.name) {
        Ok(()) => Ok(surface.view()),
        Err(error) => Err(status_of(&error)),
    }
}

fn path(lun: &LunView, p: &PathView) -> MpioDsmPathV2 {
    let placed = if p.failed {
        PathState::Unavailable
    } else {
        p.placed
    };
    MpioDsmPathV2 {
        dsm_path_id: if p.failed { 0 } else { p.nexus_id },
        path_weight: p.weight,
        primary_path: u32::from(placed.primary()),
        optimized_path: u32::from(placed.optimized()),
        preferred_path: u32::from(p.preferred),
        failed_path: u32::from(p.failed),
        target_port_group_state: tpg_state(lun.policy.alua, p.access),
        alua_support: lun.policy.alua.number(),
        symmetric_lua: u8::from(lun.policy.symmetric),
        target_port_group_preferred: u8::from(p.tpg_preferred),
        target_port_group_identifier: p.group_id,
        target_port_identifier: p.target_port,
        ..MpioDsmPathV2::default()
    }
}

/// TargetPortGroup_State: 0 to 3, and 16 where there are no groups. A state between two states, and
/// one that never ends, show as unavailable, since the class has no more.
fn tpg_state(alua: Alua, access: AccessState) -> u32 {
    match (alua, access) {
        (Alua::None, _) => 16,
        (_, AccessState::Optimized) => 0,
        (_, AccessState::NonOptimized) => 1,
        (_, AccessState::Standby) => 2,
        (_, AccessState::Unavailable | AccessState::Transitioning | AccessState::Lost) => 3,
    }
}

/// DSM_QuerySupportedLBPolicies: the numbers that the set methods accept on this LUN.
///
/// # Errors
/// No such instance.
pub fn query_supported_lb_policies(surface: &dyn Surface, instance: &str) -> Result<Vec<u32>> {
    let view = surface.view();
    let lun = find_lun(&view, instance)?;
    Ok(lun.policy.supported.iter().map(|p| p.number()).collect())
}

/// Its block; `version` is 1, or 2 for the V2 class.
pub fn encode_supported_lb_policies(version: u32, policies: &[u32]) -> Vec<u8> {
    encode_supported(version, policies)
}

/// DSM_QueryUniqueId: ullSourceId of every VDS_PATH_ID.
///
/// # Errors
/// No such instance.
pub fn query_unique_id(surface: &dyn Surface, instance: &str) -> Result<u64> {
    let view = surface.view();
    find_lun(&view, instance)?;
    Ok(ids::dsm(&view.host))
}
