//! Every class as its exact block, every check of a set request by its buffer, every method against
//! every cause of error.

use super::class::Class;
use super::defaults::DefaultPolicy;
use super::*;
use crate::control::layout::dsm::{
    LoadBalancePolicyHeader, MpioDsmPath, MpioDsmPathV2, decode_policy, decode_supported,
    encode_policy,
};
use crate::control::layout::mpio::{
    DsmParameters, MpioAdapterInformation, MpioDiskHealth, MpioDriveInfo, MpioPathHealth,
    MpioTimersCounters, ScsiAddr, SetDsmCountersIn, decode_counted, decode_descriptor,
};
use crate::control::layout::{Field, from_wmi_text};
use crate::control::view::kit::Kit;
use crate::control::view::{HardwareId, Views};
use crate::lun::access::AccessState::*;
use crate::lun::policy::{Alua, GroupState};

const OK: NtStatus = NtStatus::SUCCESS;
const BAD: NtStatus = NtStatus::INVALID_PARAMETER;
const SMALL: NtStatus = NtStatus::BUFFER_TOO_SMALL;

fn even(n: usize) -> Kit {
    Kit::new(Alua::None, &vec![Optimized; n])
}

fn v2(id: u64, primary: u32, optimized: u32) -> MpioDsmPathV2 {
    MpioDsmPathV2 {
        dsm_path_id: id,
        primary_path: primary,
        optimized_path: optimized,
        ..MpioDsmPathV2::default()
    }
}

fn input<P: Field>(version: u32, policy: u32, paths: &[P]) -> Vec<u8> {
    let head = LoadBalancePolicyHeader {
        version,
        load_balance_policy: policy,
        dsm_path_count: paths.len() as u32,
        reserved: 0,
    };
    encode_policy(&head, paths)
}

/// The status in the OUT buffer of method 2.
fn set(kit: &Kit, input: &[u8]) -> NtStatus {
    let out = Class::LbOperations.execute(kit, "data", 2, input, 4);
    operations::decode_out(&out.expect("an OUT buffer")).expect("4 bytes")
}

fn get(kit: &Kit) -> policy::QueryLbPolicy {
    policy::query_lb_policy(kit, "data").expect("policy")
}

#[test]
fn the_policy_of_a_lun_is_told_in_both_layouts() {
    let kit = Kit::new(Alua::Implicit, &[Optimized, Optimized]);
    kit.lose("data", 2);
    let block = Class::QueryLbPolicyV2.query(&kit, "data").expect("block");
    let (head, paths) = decode_policy::<MpioDsmPathV2>(&block).expect("whole");
    assert_eq!((head.version, head.load_balance_policy), (2, 2));
    assert_eq!(paths[0].dsm_path_id, 1);
    assert_eq!((paths[0].primary_path, paths[0].optimized_path), (1, 1));
    assert_eq!(paths[0].alua_support, 1);
    assert_eq!(paths[0].target_port_group_state, 0);
    // A failed path has no id.
    assert_eq!((paths[1].dsm_path_id, paths[1].failed_path), (0, 1));
    assert_eq!((paths[1].primary_path, paths[1].optimized_path), (0, 0));
    let block = Class::QueryLbPolicy.query(&kit, "data").expect("block");
    assert_eq!(block.len(), 16 + 2 * 24);
    let (head, paths) = decode_policy::<MpioDsmPath>(&block).expect("whole");
    assert_eq!((head.version, paths.len()), (1, 2));
    assert_eq!(paths[0].primary_path, 1);
}

#[test]
fn an_asymmetric_implicit_target_is_asked_before_the_answer() {
    let kit = Kit::new(Alua::Implicit, &[Optimized, NonOptimized]);
    get(&kit);
    assert_eq!(kit.log(), ["refresh data"]);
    get(&even(2));
}

#[test]
fn round_robin_is_missing_among_the_supported_policies_of_unequal_paths() {
    for (kit, want) in [
        (even(2), vec![1, 2, 3, 4, 5, 6]),
        (
            Kit::new(Alua::Implicit, &[Optimized, NonOptimized]),
            vec![1, 3, 4, 5, 6],
        ),
    ] {
        for class in [Class::QuerySupported, Class::QuerySupportedV2] {
            let block = class.query(&kit, "data").expect("block");
            assert_eq!(decode_supported(&block), Ok(want.clone()));
        }
    }
}

#[test]
fn a_set_request_is_in_force_when_its_status_says_success() {
    let kit = even(3);
    let mut paths = [v2(1, 1, 1), v2(2, 1, 1), v2(3, 0, 1)];
    paths[1].path_weight = 9;
    assert_eq!(set(&kit, &input(2, 3, &paths)), OK);
    let got = get(&kit);
    assert_eq!(got.policy, 3);
    assert_eq!(got.paths[1].path_weight, 9);
    assert_eq!(
        (got.paths[2].primary_path, got.paths[2].optimized_path),
        (0, 1)
    );
    // The plain method knows no state between active and standby.
    let plain = [1, 2, 3].map(|dsm_path_id| MpioDsmPath {
        dsm_path_id,
        primary_path: 1,
        ..MpioDsmPath::default()
    });
    let out = Class::LbOperations.execute(&kit, "data", 1, &input(1, 6, &plain), 4);
    assert_eq!(out, Ok(vec![0; 4]));
    assert_eq!(get(&kit).policy, 6);
}

#[test]
fn each_check_of_a_set_request_refuses_by_its_status_and_changes_nothing() {
    let all = |n: u64| (1..=n).map(|id| v2(id, 1, 1)).collect::<Vec<_>>();
    let with = |f: &dyn Fn(&mut Vec<MpioDsmPathV2>)| {
        let mut paths = all(3);
        f(&mut paths);
        paths
    };
    // The numbers are those of the checks.
    assert_eq!(set(&even(0), &input::<MpioDsmPathV2>(2, 4, &[])), BAD, "1");
    let kit = even(3);
    assert_eq!(set(&kit, &input(2, 4, &all(3))), OK);
    let before = get(&kit);
    let out = Class::LbOperations.execute(&kit, "data", 2, &input(2, 4, &all(3)), 3);
    assert_eq!(out, Err(SMALL), "2");
    let mut cut = input(2, 4, &all(3));
    cut.truncate(16 + 3 * 64 - 1);
    assert_eq!(set(&kit, &cut), SMALL, "4");
    assert_eq!(set(&kit, &cut[..16]), SMALL, "4: nothing but a header");
    let mut many = input(2, 4, &all(3));
    many[8..12].fill(0xff);
    assert_eq!(set(&kit, &many), SMALL, "4: a count beyond all bounds");
    assert_eq!(
        set(&kit, &input(3, 4, &all(3))),
        NtStatus::NOT_SUPPORTED,
        "5"
    );
    for policy in [7, 8, u32::MAX] {
        assert_eq!(set(&kit, &input(2, policy, &all(3))), BAD, "6: {policy}");
    }
    assert_eq!(set(&kit, &input(2, 4, &all(2))), BAD, "7");
    assert_eq!(set(&kit, &input(2, 4, &all(4))), BAD, "7");
    let twice = with(&|p| p[2].dsm_path_id = 1);
    assert_eq!(set(&kit, &input(2, 4, &twice)), BAD, "8");
    let other = with(&|p| p[2].dsm_path_id = 77);
    assert_eq!(set(&kit, &input(2, 4, &other)), BAD, "8");
    assert_eq!(set(&kit, &input(2, 1, &all(3))), BAD, "10: active");
    let preferred = with(&|p| {
        (p[1].primary_path, p[2].primary_path) = (0, 0);
        (p[1].preferred_path, p[2].preferred_path) = (1, 1);
    });
    assert_eq!(set(&kit, &input(2, 1, &preferred)), BAD, "10: preferred");
    let resting = with(&|p| p[2].primary_path = 0);
    assert_eq!(set(&kit, &input(2, 4, &resting)), BAD, "12");
    let none = with(&|p| p.iter_mut().for_each(|p| p.primary_path = 0));
    assert_eq!(set(&kit, &input(2, 3, &none)), BAD, "14");
    assert_eq!(get(&kit), before);

    let kit = Kit::new(Alua::Implicit, &[Optimized, NonOptimized, Standby]);
    let real = [v2(1, 1, 1), v2(2, 1, 0), v2(3, 0, 1)];
    assert_eq!(set(&kit, &input(2, 4, &real)), OK);
    assert_eq!(set(&kit, &input(2, 2, &real)), BAD, "9");
    assert_eq!(set(&kit, &input(2, 4, &all(3))), BAD, "11");
    let resting = [v2(1, 1, 1), v2(2, 0, 1), v2(3, 0, 1)];
    assert_eq!(set(&kit, &input(2, 3, &resting)), BAD, "13");
    assert_eq!(get(&kit).policy, 4);

    let kit = Kit::new(Alua::Explicit, &[Optimized, NonOptimized]);
    let swap = input(2, 1, &[v2(1, 0, 1), v2(2, 1, 1)]);
    let before = get(&kit);
    assert_eq!(set(&kit, &swap), NtStatus::IO_DEVICE_ERROR, "15");
    assert_eq!(get(&kit), before);
    let group = |tpg, access| GroupState {
        tpg,
        access,
        preferred: false,
    };
    kit.stpg(Some(vec![group(1, NonOptimized), group(2, Optimized)]));
    assert_eq!(set(&kit, &swap), OK, "15");
    assert_eq!(get(&kit).policy, 1, "16");
}

#[test]
fn policy_0_clears_whatever_else_the_request_holds() {
    let kit = even(2);
    assert_eq!(set(&kit, &input(2, 5, &[v2(1, 1, 1), v2(2, 1, 1)])), OK);
    assert_eq!(
        defaults::set_default(
            &kit,
            DefaultPolicy {
                policy: 4,
                preferred_path: 0
            }
        ),
        Ok(())
    );
    assert_eq!(get(&kit).policy, 5);
    // Not even the version is looked at, nor that the buffer ends early.
    assert_eq!(set(&kit, &input::<MpioDsmPathV2>(99, 0, &[])), OK);
    assert_eq!(get(&kit).policy, 4);
    assert_eq!(set(&kit, &[0; 5]), OK);
}

#[test]
fn defaults_are_removed_by_0_refused_from_7_and_by_vendor_and_product_win() {
    let kit = even(2);
    let policy = |policy| DefaultPolicy {
        policy,
        preferred_path: 0,
    };
    let hardware = HardwareId::new("UMPIO", "data");
    let instance = ids::CONTROL_INSTANCE;
    let class = Class::DefaultPolicy;
    assert_eq!(class.set(&kit, instance, &policy(5).encode()), Ok(()));
    assert_eq!(get(&kit).policy, 5);
    assert_eq!(class.query(&kit, instance), Ok(policy(5).encode()));
    let block = defaults::encode_target_defaults(&[(hardware.clone(), policy(6))]);
    assert_eq!(block.len(), 8 + 80);
    assert_eq!(Class::TargetDefaults.set(&kit, instance, &block), Ok(()));
    assert_eq!(get(&kit).policy, 6);
    assert_eq!(
        Class::TargetDefaults.query(&kit, instance),
        Ok(block.clone())
    );
    for bad in [7, 8, u32::MAX] {
        assert_eq!(class.set(&kit, instance, &policy(bad).encode()), Err(BAD));
        assert_eq!(
            defaults::set_target_default(&kit, hardware.padded(), policy(bad)),
            Err(BAD)
        );
    }
    assert_eq!(defaults::set_target_default(&kit, "", policy(4)), Err(BAD));
    assert_eq!(class.set(&kit, instance, &[0; 15]), Err(SMALL));
    assert_eq!(
        Class::TargetDefaults.set(&kit, instance, &block[..87]),
        Err(SMALL)
    );
    let mut odd = block;
    odd[8] = 3;
    assert_eq!(Class::TargetDefaults.set(&kit, instance, &odd), Err(BAD));
    assert_eq!(get(&kit).policy, 6);
    defaults::set_target_default(&kit, hardware.padded(), policy(0)).expect("removed");
    assert_eq!(get(&kit).policy, 5);
    assert_eq!(class.set(&kit, instance, &policy(0).encode()), Ok(()));
    assert_eq!(get(&kit).policy, 2);
}

#[test]
fn disks_devices_paths_and_the_dsm_are_told() {
    let kit = even(2);
    kit.add_lun("more", Alua::None, &[Optimized]);
    let block = Class::DiskInfo.query(&kit, "").expect("block");
    let drives: Vec<MpioDriveInfo> = decode_counted(4, &block).expect("whole");
    assert_eq!(drives.len(), 2);
    assert_eq!(drives[0].number_paths, 2);
    assert_eq!(
        from_wmi_text(&drives[1].name).as_deref(),
        Some("MPIO Disk1")
    );
    assert_eq!(
        from_wmi_text(&drives[0].dsm_name).as_deref(),
        Some(DSM_NAME)
    );

    let block = Class::GetDescriptor
        .query(&kit, "MPIO Disk0")
        .expect("block");
    let (name, pdos) = decode_descriptor(&block).expect("whole");
    assert_eq!(from_wmi_text(&name).as_deref(), Some("MPIO Disk0"));
    assert_eq!(pdos[1].path_identifier, 2);
    assert_eq!(
        (pdos[0].identifier_type, pdos[0].identifier_length),
        (10, 16)
    );
    assert_eq!(pdos[0].identifier[..16], [3; 16]);

    let block = Class::PathInformation.query(&kit, "").expect("block");
    let paths: Vec<MpioAdapterInformation> = decode_counted(8, &block).expect("whole");
    assert_eq!(paths.len(), 2, "nexuses, not paths");

    let block = Class::RegisteredDsm.query(&kit, "").expect("block");
    let dsms: Vec<DsmParameters> = decode_counted(8, &block).expect("whole");
    assert_eq!(
        (dsms[0].version.major, dsms[0].version.product_build),
        (1, 3)
    );
    let id = Class::QueryUniqueId.query(&kit, "data").expect("block");
    assert_eq!(id, ids::dsm(&kit.view().host).to_le_bytes());
}

#[test]
fn health_is_counted_by_nexus_by_path_and_by_disk() {
    let kit = even(2);
    kit.base(|v| {
        v.nexuses[1].counters.reads = 5;
        v.nexuses[1].counters.failed_ns = 1_000;
        v.nexuses[1].counters.in_flight = 300;
        v.nexuses[1].state = crate::path::state::State::Backoff;
    });
    let block = Class::PathHealth.query(&kit, "").expect("block");
    let all: Vec<MpioPathHealth> = decode_counted(8, &block).expect("whole");
    assert_eq!(all[0].path_offline, 0);
    assert_eq!((all[1].number_reads, all[1].path_offline), (5, 1));
    assert_eq!(all[1].fail_time, 116_444_736_000_000_010);
    assert_eq!(all[1].outstanding_requests, 255);
    assert_eq!(all[1].create_time, 0, "never");
    let block = Class::DeviceHealth.query(&kit, "data").expect("block");
    let all: Vec<MpioPathHealth> = decode_counted(8, &block).expect("whole");
    assert_eq!(all[1].number_reads, 20);
    let block = Class::DevicePerf.query(&kit, "data").expect("block");
    assert_eq!(block.len(), 8 + 2 * 32);
    kit.lose("data", 1);
    kit.lose("data", 2);
    let block = Class::DiskHealth.query(&kit, "").expect("block");
    let all: Vec<MpioDiskHealth> = decode_counted(8, &block).expect("whole");
    assert_eq!(all[0].device_offline, 1);
}

#[test]
fn timers_are_set_for_the_dsm_of_their_context_only() {
    let kit = even(1);
    let timers = |kit: &Kit| {
        let block = Class::TimersCounters.query(kit, "").expect("block");
        MpioTimersCounters::get(&block)
    };
    let defaults = timers(&kit);
    assert_eq!(
        (
            defaults.path_verify_enabled,
            defaults.path_verification_period
        ),
        (0, 30)
    );
    assert_eq!(
        (
            defaults.pdo_remove_period,
            defaults.retry_count,
            defaults.retry_interval
        ),
        (20, 3, 1)
    );
    let mut new = SetDsmCountersIn {
        dsm_context: mpio::registered_dsm(&kit)[0].dsm_context,
        counters: mpio::registered_dsm(&kit)[0].counters,
    };
    new.counters.pdo_remove_period = 130;
    new.counters.path_verify_enabled = 1;
    let execute = |new: &SetDsmCountersIn| {
        let mut input = [0; 40];
        new.put(&mut input);
        Class::MpioMethods.execute(&kit, "", 3, &input, 0)
    };
    assert_eq!(execute(&new), Ok(vec![]));
    let now = timers(&kit);
    assert_eq!((now.pdo_remove_period, now.path_verify_enabled), (130, 1));
    new.counters.path_verify_enabled = 2;
    assert_eq!(execute(&new), Err(BAD));
    new.counters.path_verify_enabled = 0;
    new.dsm_context ^= 1;
    assert_eq!(execute(&new), Err(BAD));
    assert_eq!(timers(&kit), now);
    let short = Class::MpioMethods.execute(&kit, "", 3, &[0; 39], 0);
    assert_eq!(short, Err(SMALL));
}

#[test]
fn counters_are_cleared_in_the_scope_of_the_method() {
    let kit = even(2);
    let mpio = |method, input: &[u8]| Class::MpioMethods.execute(&kit, "", method, input, 0);
    let one = 1_u64.to_le_bytes();
    for (method, input) in [(4, &[][..]), (5, &one), (6, &[]), (7, &[0; 4]), (8, &[])] {
        assert_eq!(mpio(method, input), Ok(vec![]), "{method}");
    }
    let disk = |method, input: &[u8]| Class::DiskMethods.execute(&kit, "data", method, input, 0);
    assert_eq!(disk(1, &[]), Ok(vec![]));
    assert_eq!(disk(2, &one), Ok(vec![]));
    assert_eq!(
        Class::MsdsmMethods.execute(&kit, "data", 1, &[], 0),
        Ok(vec![])
    );
    let want = [
        "clear All",
        "clear Nexus(1)",
        "clear Nexuses",
        "clear Lun(\"data\")",
        "clear Luns",
        "clear Paths(\"data\")",
        "clear Path(\"data\", 1)",
        "clear Paths(\"data\")",
    ];
    assert_eq!(kit.log(), want);
    assert_eq!(mpio(1, &[0; 16]), Err(NtStatus::NOT_SUPPORTED));
    assert_eq!(mpio(5, &9_u64.to_le_bytes()), Err(BAD));
    assert_eq!(mpio(5, &[0; 7]), Err(SMALL));
    assert_eq!(mpio(7, &9_u32.to_le_bytes()), Err(BAD));
    assert_eq!(disk(2, &9_u64.to_le_bytes()), Err(BAD));
    assert_eq!(disk(2, &[]), Err(SMALL));
    let addresses = Class::MpioMethods
        .execute(&kit, "", 2, &one, 64)
        .expect("OUT");
    let addresses: Vec<ScsiAddr> = decode_counted(4, &addresses).expect("whole");
    assert_eq!(addresses.len(), 1);
    let short = Class::MpioMethods.execute(&kit, "", 2, &one, 7);
    assert_eq!(short, Err(SMALL));
}

#[test]
fn unknown_classes_instances_and_methods_have_each_their_status() {
    let kit = even(1);
    assert_eq!(Class::parse("nothing"), Err(NtStatus::WMI_GUID_NOT_FOUND));
    let strange = uuid::Uuid::from_u128(5).to_string();
    assert_eq!(Class::parse(&strange), Err(NtStatus::WMI_GUID_NOT_FOUND));
    for &class in Class::ALL {
        assert_eq!(Class::parse(class.name()), Ok(class));
        assert_eq!(Class::parse(&class.guid().to_string()), Ok(class));
        let no_instance = Err(NtStatus::WMI_INSTANCE_NOT_FOUND);
        let missing = class.execute(&kit, "data", 99, &[], 64).map(|_| ());
        let control = class.instance() == class::Instance::Control;
        if control {
            assert_eq!(missing, no_instance, "{class:?}");
            assert_eq!(
                class.execute(&kit, "", 99, &[], 64),
                Err(NtStatus::WMI_ITEMID_NOT_FOUND)
            );
        } else {
            assert_eq!(missing, Err(NtStatus::WMI_ITEMID_NOT_FOUND), "{class:?}");
        }
        for instance in class.instances(&kit) {
            match class.query(&kit, &instance) {
                Ok(block) => {
                    assert!(!block.is_empty(), "{class:?}");
                    assert_eq!(
                        class.query(&kit, "nobody"),
                        Err(NtStatus::WMI_INSTANCE_NOT_FOUND)
                    );
                }
                Err(e) => assert_eq!(e, NtStatus::WMI_ITEMID_NOT_FOUND, "{class:?}"),
            }
        }
        if !matches!(class, Class::DefaultPolicy | Class::TargetDefaults) {
            let instance = if control { "" } else { "data" };
            assert_eq!(class.set(&kit, instance, &[]), Err(NtStatus::NOT_SUPPORTED));
        }
    }
    let gone = Class::LbOperations.execute(&kit, "nobody", 2, &[0; 16], 4);
    assert_eq!(gone, Err(NtStatus::WMI_INSTANCE_NOT_FOUND));
}

#[test]
fn each_way_a_change_can_fail_has_its_status() {
    let kit = even(1);
    for (error, want) in [
        (ChangeError::Busy("a set".into()), DEVICE_BUSY),
        (ChangeError::Gone, NtStatus::WMI_INSTANCE_NOT_FOUND),
        (
            ChangeError::NotSupported("no".into()),
            NtStatus::NOT_SUPPORTED,
        ),
        (ChangeError::Invalid("no".into()), BAD),
        (ChangeError::Failed("disk full".into()), UNSUCCESSFUL),
        (ChangeError::Timeout(std::time::Duration::ZERO), IO_TIMEOUT),
        (ChangeError::Stopping, DELETE_PENDING),
    ] {
        kit.fail_with(Some(error));
        assert_eq!(set(&kit, &input(2, 4, &[v2(1, 1, 1)])), want);
        assert!(status_name(want).starts_with("STATUS_"));
        assert_ne!(status_name(want), "STATUS_OTHER");
        assert_eq!(Class::MpioMethods.execute(&kit, "", 4, &[], 0), Err(want));
    }
}

#[test]
fn a_lun_goes_by_instance_name_guid_disk_number_or_its_own_name() {
    let kit = even(1);
    let view = kit.view();
    let lun = &view.luns[0];
    let names = [
        ids::lun_instance(lun),
        lun.guid.to_string(),
        "MPIO Disk0".to_owned(),
        "data".to_owned(),
    ];
    for name in names {
        assert!(find_lun(&view, &name).is_ok(), "{name}");
    }
    assert!(find_lun(&view, "MPIO Disk1").is_err());
}

#[test]
fn a_request_written_as_a_buffer_reads_back_as_itself() {
    use crate::lun::policy::{SetMethod, SetPath, SetRequest};
    for method in [SetMethod::Plain, SetMethod::Alua] {
        let paths = (1..=3).map(|id| SetPath {
            weight: id as u32,
            ..SetPath::new(id)
        });
        let request = SetRequest::new(method, 5, paths.collect());
        let bytes = operations::encode_in(&request);
        assert_eq!(operations::parse_in(method, &bytes, 4), request);
    }
}
