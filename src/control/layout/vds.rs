//! Structures of vds.h and vdshwprv.h.

use super::buffer::{Buffer, LayoutError, follow, read, read_array};
use super::{Field, Guid, c_struct};

c_struct! {
    /// VDS_PATH_ID: unique on this host.
    VdsPathId, 16 / 8 {
        /// DSM_QueryUniqueId of the DSM.
        ull_source_id: u64 = 0,
        /// DsmPathId.
        ull_path_id: u64 = 8,
    }
}

c_struct! {
    /// VDS_PATH_POLICY.
    VdsPathPolicy, 24 / 8 {
        path_id: VdsPathId = 0,
        /// BOOL.
        b_primary_path: i32 = 16,
        ul_weight: u32 = 20,
    }
}

c_struct! {
    /// VDS_PATH_INFO. The three unions have one shape whichever arm is in force.
    VdsPathInfo, 64 / 8 {
        path_id: VdsPathId = 0,
        /// VDS_HWPROVIDER_TYPE, which says the arm of the unions.
        hw_type: i32 = 16,
        /// VDS_PATH_STATUS.
        status: i32 = 20,
        /// controllerPortId, or targetPortalId.
        target_port: Guid = 24,
        /// hbaPortId, or initiatorAdapterId.
        initiator_port: Guid = 40,
        /// pHbaPortProp, or pInitiatorPortalIpAddr.
        initiator_detail: u64 = 56,
    }
}

/// Offset of the pointer in [`VdsPathInfo`].
const DETAIL: usize = 56;

c_struct! {
    /// VDS_HBAPORT_PROP.
    VdsHbaPortProp, 48 / 4 {
        id: Guid = 0,
        wwn_node: [u8; 8] = 16,
        wwn_port: [u8; 8] = 24,
        port_type: i32 = 32,
        status: i32 = 36,
        ul_port_speed: u32 = 40,
        ul_supported_port_speed: u32 = 44,
    }
}

c_struct! {
    /// VDS_IPADDRESS. IPv4 address and port are in network order, as in a sockaddr; an IPv6 address
    /// is its sixteen bytes.
    VdsIpAddress, 552 / 4 {
        /// VDS_IPADDRESS_TYPE.
        address_type: i32 = 0,
        ipv4_address: u32 = 4,
        ipv6_address: [u8; 16] = 8,
        ul_ipv6_flow_info: u32 = 24,
        ul_ipv6_scope_id: u32 = 28,
        wsz_text_address: [u16; 257] = 32,
        ul_port: u32 = 548,
    }
}

c_struct! {
    /// VDS_SERVICE_PROP.
    VdsServiceProp, 16 / 8 {
        pwsz_version: u64 = 0,
        ul_flags: u32 = 8,
    }
}

c_struct! {
    /// VDS_PROVIDER_PROP.
    VdsProviderProp, 64 / 8 {
        id: Guid = 0,
        pwsz_name: u64 = 16,
        guid_version_id: Guid = 24,
        pwsz_version: u64 = 40,
        provider_type: i32 = 48,
        ul_flags: u32 = 52,
        ul_stripe_size_flags: u32 = 56,
        s_rebuild_priority: i16 = 60,
    }
}

c_struct! {
    /// VDS_SUB_SYSTEM_PROP.
    VdsSubSystemProp, 56 / 8 {
        id: Guid = 0,
        pwsz_friendly_name: u64 = 16,
        pwsz_identification: u64 = 24,
        ul_flags: u32 = 32,
        ul_stripe_size_flags: u32 = 36,
        status: i32 = 40,
        health: i32 = 44,
        s_number_of_internal_buses: i16 = 48,
        s_max_number_of_slots_each_bus: i16 = 50,
        s_max_number_of_controllers: i16 = 52,
        s_rebuild_priority: i16 = 54,
    }
}

c_struct! {
    /// VDS_LUN_PROP.
    VdsLunProp, 72 / 8 {
        id: Guid = 0,
        ull_size: u64 = 16,
        pwsz_friendly_name: u64 = 24,
        pwsz_identification: u64 = 32,
        pwsz_unmasking_list: u64 = 40,
        ul_flags: u32 = 48,
        lun_type: i32 = 52,
        status: i32 = 56,
        health: i32 = 60,
        transition_state: i32 = 64,
        s_rebuild_priority: i16 = 68,
    }
}

c_struct! {
    /// VDS_ISCSI_TARGET_PROP.
    VdsIscsiTargetProp, 40 / 8 {
        id: Guid = 0,
        pwsz_iscsi_name: u64 = 16,
        pwsz_friendly_name: u64 = 24,
        /// BOOL.
        b_chap_enabled: i32 = 32,
    }
}

c_struct! {
    /// VDS_ISCSI_PORTAL_PROP.
    VdsIscsiPortalProp, 572 / 4 {
        id: Guid = 0,
        address: VdsIpAddress = 16,
        status: i32 = 568,
    }
}

c_struct! {
    /// VDS_ISCSI_PORTALGROUP_PROP.
    VdsIscsiPortalGroupProp, 20 / 4 {
        id: Guid = 0,
        tag: u16 = 16,
    }
}

c_struct! {
    /// VDS_ISCSI_INITIATOR_ADAPTER_PROP.
    VdsIscsiInitiatorAdapterProp, 24 / 8 {
        id: Guid = 0,
        pwsz_name: u64 = 16,
    }
}

c_struct! {
    /// VDS_ISCSI_INITIATOR_PORTAL_PROP.
    VdsIscsiInitiatorPortalProp, 572 / 4 {
        id: Guid = 0,
        address: VdsIpAddress = 16,
        ul_port_index: u32 = 568,
    }
}

/// VDS_HWT_FIBRE_CHANNEL.
const HWT_FIBRE_CHANNEL: i32 = 2;
/// VDS_HWT_ISCSI.
const HWT_ISCSI: i32 = 3;

/// What the third union of VDS_PATH_INFO points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathDetail {
    /// pHbaPortProp.
    HbaPort(Box<VdsHbaPortProp>),
    /// pInitiatorPortalIpAddr.
    Ip(Box<VdsIpAddress>),
    /// The default arm, which is empty, or NULL.
    None,
}

/// The buffer of GetPathInfo: the array, then what its pointers lead to.
pub fn encode_path_infos(infos: &[(VdsPathInfo, PathDetail)]) -> Vec<u8> {
    let mut out = Buffer::new();
    for (info, _) in infos {
        out.push(&VdsPathInfo {
            initiator_detail: 0,
            ..*info
        });
    }
    for (n, (_, detail)) in infos.iter().enumerate() {
        let at = n * VdsPathInfo::BYTES + DETAIL;
        match detail {
            PathDetail::HbaPort(hba) => out.point_to(at, &**hba),
            PathDetail::Ip(ip) => out.point_to(at, &**ip),
            PathDetail::None => {}
        }
    }
    out.into_bytes()
}

/// Reads `count` of them.
///
/// # Errors
/// The buffer is too short, or a pointer leads out of it.
pub fn decode_path_infos(
    bytes: &[u8],
    count: u32,
) -> Result<Vec<(VdsPathInfo, PathDetail)>, LayoutError> {
    let infos: Vec<VdsPathInfo> = read_array(bytes, 0, count)?;
    let with_detail = |(n, info): (usize, VdsPathInfo)| {
        let at = n * VdsPathInfo::BYTES + DETAIL;
        let detail = match info.hw_type {
            HWT_FIBRE_CHANNEL => {
                follow(bytes, at)?.map_or(PathDetail::None, |p| PathDetail::HbaPort(Box::new(p)))
            }
            HWT_ISCSI => {
                follow(bytes, at)?.map_or(PathDetail::None, |p| PathDetail::Ip(Box::new(p)))
            }
            _ => PathDetail::None,
        };
        Ok((info, detail))
    };
    infos.into_iter().enumerate().map(with_detail).collect()
}

/// The array that Get and SetLoadBalancePolicy carry.
pub fn encode_path_policies(policies: &[VdsPathPolicy]) -> Vec<u8> {
    let mut out = Buffer::new();
    for policy in policies {
        out.push(policy);
    }
    out.into_bytes()
}

/// Reads `count` of them.
///
/// # Errors
/// The buffer is too short.
pub fn decode_path_policies(bytes: &[u8], count: u32) -> Result<Vec<VdsPathPolicy>, LayoutError> {
    read_array(bytes, 0, count)
}

/// A property structure whose pointers are strings: the structure, then the strings.
pub fn encode_prop<T: Field>(prop: &T, texts: &[(usize, &str)]) -> Vec<u8> {
    let mut out = Buffer::new();
    out.push(prop);
    for (at, text) in texts {
        out.point_to_text(*at, text);
    }
    out.into_bytes()
}

/// Reads one, with the string behind each of these pointers.
///
/// # Errors
/// The buffer is too short, a pointer leads out of it, or a text is none.
pub fn decode_prop<T: Field>(
    bytes: &[u8],
    pointers: &[usize],
) -> Result<(T, Vec<Option<String>>), LayoutError> {
    let prop = read(bytes, 0)?;
    let texts = pointers
        .iter()
        .map(|&at| super::buffer::follow_text(bytes, at))
        .collect::<Result<_, _>>()?;
    Ok((prop, texts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(hw_type: i32, n: u64) -> VdsPathInfo {
        VdsPathInfo {
            path_id: VdsPathId {
                ull_source_id: 1,
                ull_path_id: n,
            },
            hw_type,
            status: 1,
            ..VdsPathInfo::default()
        }
    }

    #[test]
    fn path_infos_are_the_array_and_then_what_it_points_to() {
        let ip = VdsIpAddress {
            address_type: 1,
            ipv4_address: u32::from_ne_bytes([10, 0, 0, 1]),
            ul_port: 3260,
            ..VdsIpAddress::default()
        };
        let all = vec![
            (info(3, 5), PathDetail::Ip(Box::new(ip))),
            (info(0, 6), PathDetail::None),
            (info(2, 7), PathDetail::HbaPort(Box::default())),
        ];
        let bytes = encode_path_infos(&all);
        assert_eq!(bytes.len(), 3 * 64 + 552 + 48);
        assert_eq!(bytes[56..64], 192_u64.to_le_bytes());
        assert_eq!(bytes[192..196], [1, 0, 0, 0]);
        assert_eq!(bytes[56 + 64..64 + 64], [0; 8]);
        let back = decode_path_infos(&bytes, 3).expect("whole");
        let details: Vec<_> = back.iter().map(|(_, d)| d.clone()).collect();
        let want: Vec<_> = all.iter().map(|(_, d)| d.clone()).collect();
        assert_eq!(details, want);
        assert_eq!(back[2].0.path_id.ull_path_id, 7);
        assert!(decode_path_infos(&bytes, 20).is_err());
        assert!(decode_path_infos(&bytes[..bytes.len() - 1], 3).is_err());
    }

    #[test]
    fn a_prop_carries_its_strings_behind_it() {
        let prop = VdsLunProp {
            ull_size: 1 << 30,
            ..VdsLunProp::default()
        };
        let bytes = encode_prop(&prop, &[(24, "data"), (32, "umpio")]);
        let (back, texts) = decode_prop::<VdsLunProp>(&bytes, &[24, 32, 40]).expect("whole");
        assert_eq!(back.ull_size, 1 << 30);
        assert_eq!(texts, [Some("data".into()), Some("umpio".into()), None]);
    }
}
