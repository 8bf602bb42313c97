//! Structures of mpiodisk.h (DSM_*) and of the MSDSM's own classes.

use super::buffer::{Buffer, LayoutError, read, read_array};
use super::{WmiText32, c_struct};

c_struct! {
    /// MPIO_DSM_Path.
    MpioDsmPath, 24 / 8 {
        dsm_path_id: u64 = 0,
        reserved: u64 = 8,
        path_weight: u32 = 16,
        primary_path: u32 = 20,
    }
}

c_struct! {
    /// MPIO_DSM_Path_V2.
    MpioDsmPathV2, 64 / 8 {
        dsm_path_id: u64 = 0,
        reserved: u64 = 8,
        path_weight: u32 = 16,
        primary_path: u32 = 20,
        optimized_path: u32 = 24,
        preferred_path: u32 = 28,
        failed_path: u32 = 32,
        target_port_group_state: u32 = 36,
        alua_support: u32 = 40,
        symmetric_lua: u8 = 44,
        target_port_group_preferred: u8 = 45,
        target_port_group_identifier: u16 = 46,
        target_port_identifier: u32 = 48,
        reserved32: u32 = 52,
        reserved64: u64 = 56,
    }
}

c_struct! {
    /// What DSM_Load_Balance_Policy and its V2 begin with; the paths follow.
    LoadBalancePolicyHeader, 16 / 4 {
        version: u32 = 0,
        load_balance_policy: u32 = 4,
        dsm_path_count: u32 = 8,
        reserved: u32 = 12,
    }
}

c_struct! {
    /// What DSM_QuerySupportedLBPolicies and its V2 begin with; policies without paths follow.
    SupportedPoliciesHeader, 8 / 4 {
        supported_lb_policies_count: u32 = 0,
        reserved: u32 = 4,
    }
}

c_struct! {
    /// DSM_QueryUniqueId.
    DsmQueryUniqueId, 8 / 8 {
        dsm_unique_id: u64 = 0,
    }
}

c_struct! {
    /// DsmSetLoadBalancePolicy_OUT and DsmSetLoadBalancePolicyALUA_OUT.
    DsmSetLoadBalancePolicyOut, 4 / 4 {
        /// NTSTATUS.
        status: u32 = 0,
    }
}

c_struct! {
    /// MSDSM_DEFAULT_LOAD_BALANCE_POLICY.
    MsdsmDefaultPolicy, 16 / 8 {
        load_balance_policy: u32 = 0,
        reserved: u32 = 4,
        preferred_path: u64 = 8,
    }
}

c_struct! {
    /// MSDSM_TARGET_DEFAULT_POLICY_INFO.
    MsdsmTargetDefaultPolicy, 80 / 8 {
        hardware_id: WmiText32 = 0,
        load_balance_policy: u32 = 64,
        reserved: u32 = 68,
        preferred_path: u64 = 72,
    }
}

c_struct! {
    /// Head of MSDSM_TARGETS_DEFAULT_LOAD_BALANCE_POLICY.
    MsdsmTargetsHeader, 8 / 4 {
        number_devices: u32 = 0,
        reserved: u32 = 4,
    }
}

c_struct! {
    /// MSDSM_DEVICEPATH_PERF.
    MsdsmDevicePathPerf, 32 / 8 {
        path_id: u64 = 0,
        number_reads: u32 = 8,
        number_writes: u32 = 12,
        bytes_read: u64 = 16,
        bytes_written: u64 = 24,
    }
}

/// Offset of the array in MSDSM_DEVICE_PERF, whose count has 4 bytes.
pub const DEVICE_PERF_ARRAY: usize = 8;

/// DSM_Load_Balance_Policy or its V2: the header says how many paths there are.
pub fn encode_policy<P: super::Field>(header: &LoadBalancePolicyHeader, paths: &[P]) -> Vec<u8> {
    let mut out = Buffer::new();
    out.push(header);
    // Both kinds of path begin at 16, which is a multiple of their alignment.
    for path in paths {
        out.push(path);
    }
    out.into_bytes()
}

/// Reads one that is whole: as many paths as it says.
///
/// # Errors
/// The buffer is too short.
pub fn decode_policy<P: super::Field>(
    bytes: &[u8],
) -> Result<(LoadBalancePolicyHeader, Vec<P>), LayoutError> {
    let header: LoadBalancePolicyHeader = read(bytes, 0)?;
    let paths = read_array(bytes, 16, header.dsm_path_count)?;
    Ok((header, paths))
}

/// DSM_QuerySupportedLBPolicies or its V2, which look alike without paths.
pub fn encode_supported(version: u32, policies: &[u32]) -> Vec<u8> {
    let mut out = Buffer::new();
    out.push(&SupportedPoliciesHeader {
        supported_lb_policies_count: policies.len() as u32,
        reserved: 0,
    });
    for &load_balance_policy in policies {
        out.push(&LoadBalancePolicyHeader {
            version,
            load_balance_policy,
            ..LoadBalancePolicyHeader::default()
        });
    }
    out.into_bytes()
}

/// Reads the numbers out of it.
///
/// # Errors
/// The buffer is too short, or a policy in it has paths.
pub fn decode_supported(bytes: &[u8]) -> Result<Vec<u32>, LayoutError> {
    let head: SupportedPoliciesHeader = read(bytes, 0)?;
    let all: Vec<LoadBalancePolicyHeader> = read_array(bytes, 8, head.supported_lb_policies_count)?;
    let number = |p: &LoadBalancePolicyHeader| match p.dsm_path_count {
        0 => Ok(p.load_balance_policy),
        n => Err(LayoutError::Value {
            field: "DSMPathCount",
            value: u64::from(n),
        }),
    };
    all.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_with_its_paths_reads_back() {
        let header = LoadBalancePolicyHeader {
            version: 2,
            load_balance_policy: 3,
            dsm_path_count: 2,
            reserved: 0,
        };
        let paths = [7, 8].map(|dsm_path_id| MpioDsmPathV2 {
            dsm_path_id,
            symmetric_lua: 1,
            target_port_group_identifier: 0x1234,
            ..MpioDsmPathV2::default()
        });
        let bytes = encode_policy(&header, &paths);
        assert_eq!(bytes.len(), 16 + 2 * 64);
        assert_eq!(bytes[16 + 44..16 + 48], [1, 0, 0x34, 0x12]);
        assert_eq!(decode_policy(&bytes), Ok((header, paths.to_vec())));
        assert!(decode_policy::<MpioDsmPathV2>(&bytes[..143]).is_err());
    }

    #[test]
    fn the_supported_policies_are_headers_without_paths() {
        let bytes = encode_supported(1, &[1, 3, 6]);
        assert_eq!(bytes.len(), 8 + 3 * 16);
        assert_eq!(decode_supported(&bytes), Ok(vec![1, 3, 6]));
        let mut bad = bytes;
        bad[8 + 8] = 1;
        assert!(decode_supported(&bad).is_err());
    }
}
