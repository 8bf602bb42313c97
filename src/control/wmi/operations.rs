//! DSM_LB_Operations: DsmSetLoadBalancePolicy (method 1) and DsmSetLoadBalancePolicyALUA (2), from
//! the raw IN buffer.

use super::{Result, find_lun, status_of};
use crate::control::layout::buffer::{read, read_whole};
use crate::control::layout::dsm::{
    DsmSetLoadBalancePolicyOut, LoadBalancePolicyHeader, MpioDsmPath, MpioDsmPathV2,
};
use crate::control::layout::{Field, LayoutError};
use crate::control::view::Surface;
use crate::lun::policy::{NtStatus, SetMethod, SetPath, SetRequest};

/// Paths of a request that are looked at; MSDSM has 32 per LUN, so no valid request has more.
const PATHS_READ_MAX: u32 = 4096;

/// Reads an IN buffer as far as it goes. Whether it goes far enough, and all else that may be wrong
/// with it, is judged with the LUN in view (`lun::policy::validate`, checks 1 to 14), in an order that
/// callers rely on; so a buffer that is too short is no error yet. Fields that are not there are 0.
pub fn parse_in(method: SetMethod, bytes: &[u8], out_size: u32) -> SetRequest {
    let mut head = [0; LoadBalancePolicyHeader::BYTES];
    let n = bytes.len().min(head.len());
    head[..n].copy_from_slice(&bytes[..n]);
    let head = LoadBalancePolicyHeader::get(&head);
    let at = LoadBalancePolicyHeader::BYTES;
    let count = head.dsm_path_count.min(PATHS_READ_MAX);
    let paths = match method {
        SetMethod::Plain => {
            let all = read_whole::<MpioDsmPath>(bytes, at, count);
            all.iter().map(plain).collect()
        }
        SetMethod::Alua => {
            let all = read_whole::<MpioDsmPathV2>(bytes, at, count);
            all.iter().map(alua).collect()
        }
    };
    SetRequest {
        method,
        version: head.version,
        policy: head.load_balance_policy,
        count: head.dsm_path_count,
        in_size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        out_size,
        paths,
    }
}

fn plain(p: &MpioDsmPath) -> SetPath {
    SetPath {
        primary: p.primary_path != 0,
        weight: p.path_weight,
        ..SetPath::new(p.dsm_path_id)
    }
}

fn alua(p: &MpioDsmPathV2) -> SetPath {
    SetPath {
        id: p.dsm_path_id,
        primary: p.primary_path != 0,
        optimized: p.optimized_path != 0,
        preferred: p.preferred_path != 0,
        weight: p.path_weight,
    }
}

/// The IN buffer of a request: the reverse of [`parse_in`], for callers that have values.
pub fn encode_in(request: &SetRequest) -> Vec<u8> {
    use crate::control::layout::dsm::encode_policy;
    let head = LoadBalancePolicyHeader {
        version: request.version,
        load_balance_policy: request.policy,
        dsm_path_count: request.count,
        reserved: 0,
    };
    match request.method {
        SetMethod::Plain => {
            let path = |p: &SetPath| MpioDsmPath {
                dsm_path_id: p.id,
                reserved: 0,
                path_weight: p.weight,
                primary_path: u32::from(p.primary),
            };
            encode_policy(&head, &request.paths.iter().map(path).collect::<Vec<_>>())
        }
        SetMethod::Alua => {
            let path = |p: &SetPath| MpioDsmPathV2 {
                dsm_path_id: p.id,
                path_weight: p.weight,
                primary_path: u32::from(p.primary),
                optimized_path: u32::from(p.optimized),
                preferred_path: u32::from(p.preferred),
                ..MpioDsmPathV2::default()
            };
            encode_policy(&head, &request.paths.iter().map(path).collect::<Vec<_>>())
        }
    }
}

/// DsmSetLoadBalancePolicy and DsmSetLoadBalancePolicyALUA: the NTSTATUS for `Status`.
///
/// # Errors
/// No such instance. All else is in the status.
pub fn set_load_balance_policy(
    surface: &dyn Surface,
    instance: &str,
    request: &SetRequest,
) -> Result<NtStatus> {
    let view = surface.view();
    let lun = find_lun(&view, instance)?;
    Ok(match surface.set_policy(&lun.name, request) {
        Ok(status) => status,
        Err(error) => status_of(&error),
    })
}

/// The OUT buffer.
pub fn encode_out(status: NtStatus) -> Vec<u8> {
    let mut out = vec![0; DsmSetLoadBalancePolicyOut::BYTES];
    DsmSetLoadBalancePolicyOut { status: status.0 }.put(&mut out);
    out
}

/// Reads one.
///
/// # Errors
/// It is too short.
pub fn decode_out(bytes: &[u8]) -> std::result::Result<NtStatus, LayoutError> {
    read::<DsmSetLoadBalancePolicyOut>(bytes, 0).map(|out| NtStatus(out.status))
}
