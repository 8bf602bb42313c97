//! Decoders of the Windows structures: what is accepted reads the same again after it was written.

use crate::control::layout::dsm::{
    MpioDsmPath, MpioDsmPathV2, decode_policy, decode_supported, encode_policy, encode_supported,
};
use crate::control::layout::mpio::{
    DsmParameters, MpioAdapterInformation, MpioDiskHealth, MpioDriveInfo, MpioPathHealth,
    decode_counted, decode_descriptor, encode_counted, encode_descriptor,
};
use crate::control::layout::msiscsi::{SessionPolicy, decode_query, encode_query};
use crate::control::layout::vds::{
    VdsLunProp, VdsProviderProp, decode_path_infos, decode_path_policies, decode_prop,
    encode_path_infos, encode_path_policies,
};
use crate::control::layout::{Field, from_wmi_text};
use crate::control::msiscsi;
use crate::control::wmi::{defaults, operations};
use crate::lun::policy::SetMethod;
use std::fmt::Debug;

/// The first byte says which decoder, the second and third a count where that is not in the buffer.
pub(super) fn run(bytes: &[u8]) {
    let [which, low, high, rest @ ..] = bytes else {
        return;
    };
    let count = u32::from(u16::from_le_bytes([*low, *high]));
    match which % 16 {
        0 => policy::<MpioDsmPath>(rest),
        1 => policy::<MpioDsmPathV2>(rest),
        2 => {
            if let Ok(all) = decode_supported(rest) {
                assert_eq!(decode_supported(&encode_supported(2, &all)), Ok(all));
            }
        }
        3 => counted::<MpioDriveInfo>(4, rest),
        4 => counted::<MpioPathHealth>(8, rest),
        5 => counted::<MpioDiskHealth>(8, rest),
        6 => counted::<DsmParameters>(8, rest),
        7 => counted::<MpioAdapterInformation>(8, rest),
        8 => {
            if let Ok((name, pdos)) = decode_descriptor(rest) {
                from_wmi_text(&name);
                let again = encode_descriptor(&name, &pdos);
                assert_eq!(decode_descriptor(&again), Ok((name, pdos)));
            }
        }
        9 => {
            if let Ok((adapter, sessions)) = decode_query(rest) {
                // Not byte for byte: what is reserved is written as 0.
                let again = encode_query(adapter, &sessions);
                assert_eq!(decode_query(&again), Ok((adapter, sessions)));
            }
        }
        10 => {
            if let Ok(infos) = decode_path_infos(rest, count) {
                let again = decode_path_infos(&encode_path_infos(&infos), count);
                let details = |all: &[(_, _)]| all.iter().map(|(_, d)| d).cloned().collect();
                let all: Vec<crate::control::layout::vds::PathDetail> = details(&infos);
                assert_eq!(again.map(|a| details(&a)), Ok(all));
            }
        }
        11 => {
            if let Ok(all) = decode_path_policies(rest, count) {
                let again = decode_path_policies(&encode_path_policies(&all), count);
                assert_eq!(again, Ok(all));
            }
        }
        12 => drop(decode_prop::<VdsLunProp>(rest, &[24, 32, 40])),
        13 => drop(decode_prop::<VdsProviderProp>(rest, &[16, 40])),
        14 => {
            if let Ok(all) = defaults::decode_target_defaults(rest) {
                assert!(all.len() <= rest.len() / 80);
            }
            let request = msiscsi::SetRequest::parse(rest);
            assert!(request.paths.len() <= rest.len() / 32);
            drop(SessionPolicy::decode(rest, 0));
        }
        _ => {
            for method in [SetMethod::Plain, SetMethod::Alua] {
                let request = operations::parse_in(method, rest, 4);
                assert!(request.paths.len() * method.path_bytes() as usize <= rest.len());
                if request.count as usize == request.paths.len() {
                    let again = operations::parse_in(method, &operations::encode_in(&request), 4);
                    assert_eq!(again.paths, request.paths);
                }
            }
        }
    }
}

fn policy<P: Field + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok((head, paths)) = decode_policy::<P>(bytes) {
        let again = encode_policy(&head, &paths);
        assert_eq!(decode_policy(&again), Ok((head, paths)));
    }
}

fn counted<T: Field + PartialEq + Debug>(at: usize, bytes: &[u8]) {
    if let Ok(all) = decode_counted::<T>(at, bytes) {
        let again = encode_counted(at, &all);
        assert_eq!(decode_counted(at, &again), Ok(all));
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let with = |which: u8, count: u16, block: Vec<u8>| {
        let [low, high] = count.to_le_bytes();
        let mut seed = vec![which, low, high];
        seed.extend(block);
        seed
    };
    let policy = |bytes: usize| {
        let mut block = vec![0; 16 + 2 * bytes];
        block[8] = 2;
        block
    };
    let counted = |at: usize, bytes: usize| {
        let mut block = vec![0; at + bytes];
        block[0] = 1;
        block
    };
    let mut infos = vec![0; 64 + 552];
    infos[16] = 3;
    infos[56] = 64;
    let mut prop = vec![0; 80];
    prop[24] = 72;
    let mut session = vec![0; 16 + 16 + 32];
    session[12] = 1;
    session[16 + 12] = 1;
    vec![
        with(0, 0, policy(24)),
        with(1, 0, policy(64)),
        with(2, 0, encode_supported(1, &[1, 2, 3])),
        with(3, 0, counted(4, 388)),
        with(4, 0, counted(8, 80)),
        with(5, 0, counted(8, 208)),
        with(6, 0, counted(8, 184)),
        with(7, 0, counted(8, 144)),
        with(8, 0, counted(136, 64)),
        with(9, 0, session.clone()),
        with(10, 1, infos),
        with(11, 2, vec![0; 48]),
        with(12, 0, prop.clone()),
        with(13, 0, prop),
        with(14, 0, session[16..].to_vec()),
        with(14, 0, counted(8, 80)),
        with(15, 0, policy(64)),
    ]
}
