//! Every method against every cause of error, each cause made to happen.

use super::types::{HwProviderType, ObjectType, PathEnds, PathPolicy, PathStatus, Status};
use super::*;
use crate::control::view::kit::Kit;
use crate::control::view::{ChangeError, LunCondition, Protocol, Surface, Views, ids};
use crate::lun::access::AccessState::{self, *};
use crate::lun::policy::{Alua, GroupState};
use uuid::Uuid;

fn code<T>(result: Result<T>) -> HResult {
    result.map_or_else(|f| f.hresult, |_| HResult::S_OK)
}

fn even(n: usize) -> Kit {
    Kit::new(Alua::None, &vec![Optimized; n])
}

fn get(kit: &Kit) -> GetLoadBalancePolicy {
    mpio::get_load_balance_policy(kit, kit.guid("data")).expect("policy")
}

fn set(kit: &Kit, policy: u32, paths: &[PathPolicy]) -> HResult {
    let id = kit.guid("data");
    code(mpio::set_load_balance_policy(
        kit,
        id,
        policy,
        SetPaths::Array(paths),
    ))
}

/// The four methods of IVdsLunMpio, and the rest that needs a LUN.
fn calls(kit: &dyn Surface, id: Uuid) -> [HResult; 6] {
    [
        code(mpio::get_path_info(kit, id)),
        code(mpio::get_load_balance_policy(kit, id)),
        code(mpio::set_load_balance_policy(kit, id, 4, SetPaths::Null(0))),
        code(mpio::get_supported_lb_policies(kit, id)),
        code(lun::get_properties(kit, id)),
        code(service::get_object(kit, id, ObjectType::Lun.number())),
    ]
}

#[test]
fn the_walk_from_the_service_ends_at_the_paths_of_a_lun() {
    let kit = even(2);
    assert_eq!(service::is_service_ready(&kit), HResult::S_OK);
    let providers = service::query_providers(&kit, 2).expect("providers");
    let [provider] = providers[..] else {
        panic!("{providers:?}")
    };
    assert_eq!(service::query_providers(&kit, 5), Ok(vec![]));
    let hw = service::get_provider_type(&kit, provider.id());
    assert_eq!(hw, Ok(HwProviderType::Hybrid));
    let subsystems = service::query_subsystems(&kit, provider.id()).expect("subsystems");
    let luns = service::query_luns(&kit, subsystems[0].id()).expect("LUNs");
    assert_eq!(luns, [Object::Lun(kit.guid("data"))]);
    assert!(query_interface(&luns[0], Interface::IVdsLunMpio.iid()).is_ok());
    let paths = mpio::get_path_info(&kit, luns[0].id()).expect("paths");
    assert_eq!(paths.len(), 2);
    for (n, path) in (1..).zip(&paths) {
        assert_eq!(path.id.path, n);
        assert_eq!(path.id.source, ids::dsm(&kit.view().host));
        assert_eq!(path.status, PathStatus::Online);
        assert_eq!(path.hw_type(), HwProviderType::Iscsi);
        let PathEnds::Ip {
            target_portal,
            initiator_adapter,
            initiator_portal,
        } = &path.ends
        else {
            panic!("{path:?}")
        };
        let portal = iscsi::get_portal_properties(&kit, *target_portal).expect("portal");
        assert_eq!(portal.status, Status::Online);
        let far = portal.address.ip().map(|ip| ip.to_string());
        assert_eq!(far.as_deref(), Some(format!("10.0.{n}.9").as_str()));
        let near = initiator_portal.ip().map(|ip| ip.to_string());
        assert_eq!(near.as_deref(), Some(format!("10.0.{n}.1").as_str()));
        assert!(iscsi::get_initiator_adapter_properties(&kit, *initiator_adapter).is_ok());
    }
    let prop = lun::get_properties(&kit, luns[0].id()).expect("prop");
    assert_eq!((prop.size, prop.status), (1 << 20, Status::Online));
}

#[test]
fn the_ends_of_paths_know_each_other() {
    let kit = even(2);
    kit.add_lun("more", Alua::None, &[Optimized]);
    let subsystem = ids::subsystem(&kit.view().host);
    let targets = service::query_targets(&kit, subsystem).expect("targets");
    assert_eq!(targets.len(), 1, "one array over two nexuses");
    let luns = iscsi::query_luns_of_target(&kit, targets[0].id()).expect("LUNs");
    assert_eq!(luns.len(), 2);
    let of_lun = lun::query_associated_targets(&kit, kit.guid("data"));
    assert_eq!(of_lun, Ok(targets.clone()));
    let groups = iscsi::query_portal_groups(&kit, targets[0].id()).expect("groups");
    assert_eq!(groups.len(), 2);
    for group in &groups {
        let target = iscsi::get_target_of_group(&kit, group.id());
        assert_eq!(target, Ok(targets[0]));
        let portals = iscsi::query_portals_of_group(&kit, group.id()).expect("portals");
        assert_eq!(portals.len(), 1);
        let back = iscsi::query_groups_of_portal(&kit, portals[0].id());
        assert_eq!(back, Ok(vec![*group]));
    }
    assert_eq!(
        service::query_portals(&kit, subsystem).map(|p| p.len()),
        Ok(2)
    );
    let adapters = service::query_initiator_adapters(&kit);
    let near = iscsi::query_initiator_portals(&kit, adapters[0].id()).expect("portals");
    assert_eq!(near.len(), 2);
    let prop = iscsi::get_initiator_portal_properties(&kit, near[1].id()).expect("prop");
    assert_eq!(prop.port_index, 1);
    let adapter = iscsi::get_adapter_of_portal(&kit, near[1].id());
    assert_eq!(adapter, Ok(adapters[0]));
}

#[test]
fn every_object_is_found_by_its_id_and_nothing_else_is() {
    let kit = even(2);
    let view = kit.view();
    let subsystem = ids::subsystem(&view.host);
    let mut all = vec![
        Object::Provider(ids::provider(&view.host)),
        Object::SubSystem(subsystem),
        Object::Lun(kit.guid("data")),
        Object::InitiatorAdapter(ids::initiator_adapter(&view.host)),
    ];
    all.extend(service::query_targets(&kit, subsystem).expect("targets"));
    all.extend(service::query_portals(&kit, subsystem).expect("portals"));
    let types = [1, 30, 33, 36, 37, 38, 91, 92];
    for object in &all {
        let hits = types.map(|t| service::get_object(&kit, object.id(), t));
        assert_eq!(hits.iter().flatten().collect::<Vec<_>>(), [object]);
    }
    for (object_type, want) in [
        (1, HResult::VDS_E_OBJECT_NOT_FOUND),
        (33, HResult::VDS_E_OBJECT_NOT_FOUND),
        (36, HResult::VDS_E_TARGET_PORTAL_NOT_FOUND),
        (91, HResult::VDS_E_INITIATOR_ADAPTER_NOT_FOUND),
        (92, HResult::VDS_E_OBJECT_NOT_FOUND),
        // A pack belongs to the software half, 77 to nobody.
        (10, HResult::VDS_E_INVALID_OBJECT_TYPE),
        (77, HResult::VDS_E_INVALID_OBJECT_TYPE),
    ] {
        let got = service::get_object(&kit, Uuid::from_u128(9), object_type);
        assert_eq!(code(got), want, "{object_type}");
    }
    for masks in [0, 8, 0xff] {
        assert_eq!(
            code(service::query_providers(&kit, masks)),
            HResult::VDS_E_INVALID_QUERY_PROVIDER_FLAG
        );
    }
    let strange = Uuid::from_u128(9);
    assert_eq!(
        code(iscsi::get_portal_properties(&kit, strange)),
        HResult::VDS_E_TARGET_PORTAL_NOT_FOUND
    );
    assert_eq!(
        code(iscsi::get_initiator_adapter_properties(&kit, strange)),
        HResult::VDS_E_INITIATOR_ADAPTER_NOT_FOUND
    );
}

#[test]
fn guids_are_the_same_after_a_restart_and_differ_between_hosts() {
    let (before, after) = (even(2), even(2));
    assert_eq!(before.guid("data"), after.guid("data"));
    let path = |kit: &Kit| mpio::get_path_info(kit, kit.guid("data")).expect("paths");
    assert_eq!(path(&before), path(&after));
    after.base(|v| v.host.id = [8; 16]);
    assert_ne!(path(&before)[0].id.source, path(&after)[0].id.source);
}

#[test]
fn a_lun_without_paths_has_none_and_a_lun_that_lost_all_shows_them_failed() {
    let kit = even(0);
    let id = kit.guid("data");
    assert_eq!(mpio::get_path_info(&kit, id), Ok(vec![]));
    assert_eq!(get(&kit).paths, []);
    assert_eq!(set(&kit, 4, &[]), HResult::E_INVALIDARG, "nothing to set");

    let kit = even(2);
    kit.lose("data", 1);
    kit.lose("data", 2);
    let infos = mpio::get_path_info(&kit, kit.guid("data")).expect("paths");
    let statuses: Vec<_> = infos.iter().map(|i| i.status).collect();
    assert_eq!(statuses, [PathStatus::Failed; 2]);
    assert_eq!(get(&kit).paths.len(), infos.len());
    let prop = lun::get_properties(&kit, kit.guid("data")).expect("prop");
    assert_eq!(prop.status, Status::Offline);
}

#[test]
fn each_state_of_a_path_has_its_status() {
    let kit = Kit::new(
        Alua::Implicit,
        &[Optimized, NonOptimized, Standby, Unavailable, Lost],
    );
    let statuses = || {
        let infos = mpio::get_path_info(&kit, kit.guid("data")).expect("paths");
        infos.iter().map(|i| i.status).collect::<Vec<_>>()
    };
    use PathStatus as S;
    assert_eq!(
        statuses(),
        [S::Online, S::Online, S::Standby, S::Standby, S::Failed]
    );
    kit.lose("data", 1);
    assert_eq!(statuses()[0], S::Failed);
}

#[test]
fn a_local_path_has_empty_unions() {
    let kit = even(1);
    kit.with("data", |l| l.view.paths[0].protocol = Protocol::Local);
    let infos = mpio::get_path_info(&kit, kit.guid("data")).expect("paths");
    assert_eq!(infos[0].ends, PathEnds::Local);
    assert_eq!(infos[0].hw_type(), HwProviderType::Unknown);
}

#[test]
fn a_corrupt_cache_answers_nothing_until_reenumerate_and_refresh() {
    use HResult as H;
    let kit = even(2);
    let id = kit.guid("data");
    let subsystem = ids::subsystem(&kit.view().host);
    assert_eq!(calls(&kit, id), [H::S_OK; 6]);
    // A reactor is silent, or contradicts another.
    kit.base(|v| v.provider.cache.corrupt("reactor 1 does not answer"));
    assert_eq!(calls(&kit, id), [H::VDS_E_PROVIDER_CACHE_CORRUPT; 6]);
    assert_eq!(
        code(service::query_luns(&kit, subsystem)),
        H::VDS_E_PROVIDER_CACHE_CORRUPT
    );
    assert_eq!(code(service::refresh(&kit)), H::S_OK);
    assert_eq!(calls(&kit, id), [H::VDS_E_PROVIDER_CACHE_CORRUPT; 6]);
    assert_eq!(code(service::reenumerate(&kit)), H::S_OK);
    assert_eq!(calls(&kit, id), [H::VDS_E_PROVIDER_CACHE_CORRUPT; 6]);
    assert_eq!(code(service::refresh(&kit)), H::S_OK);
    assert_eq!(calls(&kit, id), [H::S_OK; 6]);
}

#[test]
fn a_path_over_a_nexus_that_is_not_there_is_a_corrupt_cache() {
    let kit = even(2);
    kit.base(|v| v.nexuses.truncate(1));
    assert_eq!(
        code(mpio::get_path_info(&kit, kit.guid("data"))),
        HResult::VDS_E_PROVIDER_CACHE_CORRUPT
    );
}

#[test]
fn a_lun_taken_away_is_deleted_and_one_that_never_was_is_not_found() {
    let kit = even(2);
    let id = kit.guid("data");
    kit.remove("data");
    assert_eq!(calls(&kit, id), [HResult::VDS_E_OBJECT_DELETED; 6]);
    let never = Uuid::from_u128(1);
    assert_eq!(calls(&kit, never), [HResult::VDS_E_OBJECT_NOT_FOUND; 6]);
}

#[test]
fn a_failed_lun_can_be_looked_at_and_not_worked_with() {
    use HResult as H;
    let kit = even(2);
    kit.with("data", |l| {
        l.view.condition = LunCondition::Failed("path 2 is another LUN".into());
    });
    let failed = H::VDS_E_OBJECT_STATUS_FAILED;
    let want = [failed, failed, failed, H::S_OK, H::S_OK, H::S_OK];
    assert_eq!(calls(&kit, kit.guid("data")), want);
    let prop = lun::get_properties(&kit, kit.guid("data")).expect("prop");
    assert_eq!(prop.status, Status::Failed);
}

#[test]
fn a_lun_at_work_and_a_provider_at_work_ask_to_try_again() {
    use HResult as H;
    let kit = even(2);
    let id = kit.guid("data");
    kit.with("data", |l| l.view.call_in_progress = Some("a set".into()));
    let busy = H::VDS_E_ANOTHER_CALL_IN_PROGRESS;
    let want = [busy, busy, busy, H::S_OK, H::S_OK, H::S_OK];
    assert_eq!(calls(&kit, id), want);
    kit.with("data", |l| l.view.call_in_progress = None);
    kit.base(|v| v.provider.call_in_progress = true);
    assert_eq!(calls(&kit, id), [busy; 6]);
    kit.base(|v| v.provider.call_in_progress = false);
    // The other call comes between our look and our change.
    kit.fail_with(Some(ChangeError::Busy("a set".into())));
    assert_eq!(set(&kit, 4, &[]), busy);
    assert_eq!(code(service::reenumerate(&kit)), busy);
    assert_eq!(code(service::refresh(&kit)), busy);
}

#[test]
fn each_way_a_change_can_fail_has_its_code() {
    use HResult as H;
    let kit = even(2);
    for (error, want) in [
        (ChangeError::Gone, H::VDS_E_OBJECT_DELETED),
        (ChangeError::Stopping, H::VDS_E_PROVIDER_EXITING),
        (
            ChangeError::Failed("disk full".into()),
            H::VDS_E_PROVIDER_FAILURE,
        ),
        (
            ChangeError::Timeout(std::time::Duration::ZERO),
            H::VDS_E_TIMEOUT,
        ),
        (
            ChangeError::NotSupported("no".into()),
            H::VDS_E_NOT_SUPPORTED,
        ),
        (ChangeError::Invalid("no".into()), H::E_INVALIDARG),
    ] {
        kit.fail_with(Some(error));
        assert_eq!(set(&kit, 4, &[]), want);
        assert_eq!(set(&kit, 7, &[]), want);
    }
    kit.fail_with(None);
    kit.base(|v| v.provider.exiting = true);
    let id = kit.guid("data");
    assert_eq!(calls(&kit, id), [H::VDS_E_PROVIDER_EXITING; 6]);
}

#[test]
fn what_was_set_is_what_is_got() {
    let kit = even(3);
    for policy in 1..=7 {
        let mut paths = get(&kit).paths;
        for (n, p) in paths.iter_mut().enumerate() {
            p.weight = 10 * policy + n as u32;
            p.primary = policy != 1 || n == 1;
        }
        assert_eq!(set(&kit, policy, &paths), HResult::S_OK, "{policy}");
        let got = get(&kit);
        assert_eq!((got.policy, got.paths), (policy, paths), "{policy}");
    }
    // With subset, one in reserve.
    let mut paths = get(&kit).paths;
    paths[2].primary = false;
    paths.reverse();
    assert_eq!(set(&kit, 3, &paths), HResult::S_OK);
    paths.reverse();
    assert_eq!(get(&kit).paths, paths);
    let infos = mpio::get_path_info(&kit, kit.guid("data")).expect("paths");
    assert_eq!(infos[2].status, PathStatus::Standby);
}

#[test]
fn what_is_got_can_be_set_again_whatever_the_target() {
    let states: [AccessState; 4] = [Optimized, NonOptimized, Standby, Unavailable];
    for alua in [Alua::None, Alua::Implicit, Alua::Explicit, Alua::Both] {
        for n in 0..64_usize {
            let access = [states[n % 4], states[n / 4 % 4], states[n / 16]];
            let kit = Kit::new(alua, &access);
            for policy in [1, 3, 4, 5, 6] {
                if set(&kit, policy, &[]) != HResult::S_OK {
                    continue;
                }
                let got = get(&kit);
                assert_eq!(got.policy, policy);
                let groups = (1..).zip(access).map(|(tpg, access)| GroupState {
                    tpg,
                    access,
                    preferred: false,
                });
                kit.stpg(Some(groups.collect()));
                let again = set(&kit, policy, &got.paths);
                assert_eq!(again, HResult::S_OK, "{alua:?} {access:?} {policy}");
            }
        }
    }
}

#[test]
fn arguments_that_contradict_themselves_are_refused_and_change_nothing() {
    use HResult as H;
    let kit = even(3);
    let before = get(&kit);
    let paths = before.paths.clone();
    let id = kit.guid("data");
    for policy in [0, 8, u32::MAX] {
        assert_eq!(set(&kit, policy, &paths), H::E_INVALIDARG, "{policy}");
    }
    for count in [1, -1, i32::MAX] {
        let set = mpio::set_load_balance_policy(&kit, id, 4, SetPaths::Null(count));
        assert_eq!(code(set), H::E_INVALIDARG, "NULL with {count}");
    }
    assert_eq!(set(&kit, 4, &paths[..2]), H::E_INVALIDARG, "one is missing");
    let twice = [paths[0], paths[1], paths[1], paths[2]];
    assert_eq!(set(&kit, 4, &twice), H::E_INVALIDARG, "one is there twice");
    let mut strange = paths.clone();
    strange[1].id.path = 99;
    assert_eq!(set(&kit, 4, &strange), H::VDS_E_PATH_NOT_FOUND);
    let mut strange = paths.clone();
    strange[0].id.source ^= 1;
    assert_eq!(set(&kit, 4, &strange), H::VDS_E_PATH_NOT_FOUND);
    assert_eq!(set(&kit, 1, &paths), H::E_INVALIDARG, "three primaries");
    let none: Vec<_> = paths
        .iter()
        .map(|p| PathPolicy {
            primary: false,
            ..*p
        })
        .collect();
    for policy in 1..=6 {
        assert_eq!(set(&kit, policy, &none), H::E_INVALIDARG, "{policy}: none");
    }
    let mut one = paths.clone();
    one[0].primary = false;
    for policy in [2, 4, 5, 6] {
        assert_eq!(set(&kit, policy, &one), H::E_INVALIDARG, "no reserve");
    }
    assert_eq!(get(&kit), before);
}

#[test]
fn round_robin_is_neither_offered_nor_granted_on_unequal_paths() {
    let kit = Kit::new(Alua::Implicit, &[Optimized, NonOptimized]);
    let mask = mpio::get_supported_lb_policies(&kit, kit.guid("data"));
    assert_eq!(mask, Ok(0x7d));
    let paths = get(&kit).paths;
    assert_eq!(set(&kit, 2, &paths), HResult::VDS_E_NOT_SUPPORTED);
    let mask = mpio::get_supported_lb_policies(&even(2), kit.guid("data"));
    assert_eq!(mask, Ok(0x7f));
}

#[test]
fn a_target_that_refuses_to_switch_is_an_io_error_and_leaves_all_as_it_was() {
    let kit = Kit::new(Alua::Explicit, &[Optimized, NonOptimized]);
    let before = get(&kit);
    let mut paths = before.paths.clone();
    paths[0].primary = false;
    paths[1].primary = true;
    kit.stpg(None);
    assert_eq!(set(&kit, 1, &paths), HResult::VDS_E_IO_ERROR);
    assert_eq!(get(&kit), before);
    let group = |tpg, access| GroupState {
        tpg,
        access,
        preferred: false,
    };
    kit.stpg(Some(vec![group(1, NonOptimized), group(2, Optimized)]));
    assert_eq!(set(&kit, 1, &paths), HResult::S_OK);
    let primary: Vec<_> = get(&kit).paths.iter().map(|p| p.primary).collect();
    assert_eq!(primary, [false, true]);
}

#[test]
fn an_implicit_target_is_asked_again_before_its_policy_is_told() {
    let kit = Kit::new(Alua::Implicit, &[Optimized, NonOptimized]);
    get(&kit);
    assert_eq!(kit.log(), ["refresh data"]);
    let kit = even(2);
    get(&kit);
    assert!(kit.log().is_empty());
}
