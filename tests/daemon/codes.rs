//! Methods against causes of errors, each cause made for real on a daemon with paths.

use crate::kit::{Daemon, Dir, call, target};
use serde_json::{Value, json};

const SET: &str = "vds_lun_mpio_set_load_balance_policy";
const ALUA: &str = "dsm_lb_operations_dsm_set_load_balance_policy_alua";
const PLAIN: &str = "dsm_lb_operations_dsm_set_load_balance_policy";

fn name(d: &Daemon, method: &str, params: Value) -> String {
    let answer = d.ok(method, params);
    let code = answer.get("hresult").or(answer.get("status"));
    assert!(code.is_some_and(Value::is_u64), "{method}: {answer}");
    answer["name"].as_str().expect("a name").to_owned()
}

/// Three LUNs: `a` over both portals, `wrong` over a namespace that the target does not have, and
/// `gone`, which is closed again.
fn daemon(dir: &Dir, urls: &[String]) -> Daemon {
    let text = format!(
        "[[lun]]\nname = \"a\"\npaths = {}\n[[lun]]\nname = \"wrong\"\npaths = [\"{}?nsid=9\"]\n\
         [[lun]]\nname = \"gone\"\npaths = [\"mem:1M\"]\n",
        serde_json::to_string(urls).expect("texts"),
        urls[0]
    );
    let d = Daemon::start(dir, &dir.write("umpio.toml", &text));
    d.await_paths("a", 2);
    d.until("lun_get", json!({ "lun": "wrong" }), |l| {
        l["paths"][0]["reason"]
            .as_str()
            .is_some_and(|r| r.contains("namespace 9"))
    });
    d.ok("lun_close", json!({ "lun": "gone" }));
    d
}

#[test]
fn each_method_of_ivdslunmpio_has_the_code_of_each_cause() {
    let dir = Dir::new("table");
    let (_target, urls, _) = target("table", &dir, ["optimized", "non-optimized"]);
    let d = daemon(&dir, &urls);
    let methods = [
        "vds_lun_mpio_get_path_info",
        "vds_lun_mpio_get_load_balance_policy",
        "vds_lun_mpio_get_supported_lb_policies",
        SET,
    ];
    let nobody = "00000000-0000-0000-0000-000000000001";
    for method in methods {
        for (lun, want) in [
            ("a", "S_OK"),
            (nobody, "VDS_E_OBJECT_NOT_FOUND"),
            ("nobody", "VDS_E_OBJECT_NOT_FOUND"),
            ("gone", "VDS_E_OBJECT_DELETED"),
            ("wrong", "VDS_E_OBJECT_STATUS_FAILED"),
        ] {
            let mut params = json!({ "lun": lun });
            if method == SET {
                params["policy"] = json!(4);
            }
            // What a LUN could do is known, whatever has become of it.
            let known = method.ends_with("supported_lb_policies") && lun == "wrong";
            let want = if known { "S_OK" } else { want };
            assert_eq!(name(&d, method, params), want, "{method} of {lun}");
        }
    }
    let paths = d.ok(
        "vds_lun_mpio_get_load_balance_policy",
        json!({ "lun": "a" }),
    )["paths"]
        .take();
    let path =
        |n: usize, primary: bool| json!({ "path_id": paths[n]["path_id"], "primary": primary });
    let good = json!([path(0, true), path(1, true)]);
    for (policy, list, want) in [
        (4, good.clone(), "S_OK"),
        (0, good.clone(), "E_INVALIDARG"),
        (8, good.clone(), "E_INVALIDARG"),
        (2, good, "VDS_E_NOT_SUPPORTED"),
        (4, json!([path(0, true)]), "E_INVALIDARG"),
        (4, json!([path(0, true), path(0, true)]), "E_INVALIDARG"),
        (1, json!([path(0, false), path(1, false)]), "E_INVALIDARG"),
        (
            4,
            json!([path(0, true), { "path_id": "0x1" }]),
            "VDS_E_PATH_NOT_FOUND",
        ),
    ] {
        let params = json!({ "lun": "a", "policy": policy, "paths": list });
        assert_eq!(name(&d, SET, params.clone()), want, "{params}");
    }
    let count = json!({ "lun": "a", "policy": 4, "number_of_paths": 2 });
    assert_eq!(name(&d, SET, count), "E_INVALIDARG");
    let now = d.ok(
        "vds_lun_mpio_get_load_balance_policy",
        json!({ "lun": "a" }),
    );
    assert_eq!(now["policy"], 4, "refusals change nothing: {now}");
}

/// Both methods against each check of dsm-wmi.md 4.1, on a LUN whose second group is not optimized.
#[test]
fn each_check_of_the_dsm_methods_has_its_status() {
    let dir = Dir::new("statuses");
    let (_target, urls, rpc) = target("statuses", &dir, ["optimized", "non-optimized"]);
    let d = daemon(&dir, &urls);
    let paths = d.ok("path_list", json!({ "lun": "a" }));
    let id = |n: usize| paths[n]["nexus_id"].clone();
    let path = |n: usize, primary: bool, optimized: bool| json!({ "path_id": id(n), "primary": primary, "optimized": optimized });
    let preferred = |n: usize, optimized: bool| {
        let mut path = path(n, true, optimized);
        path["preferred"] = json!(true);
        path
    };
    let (ao, au, standby, unavailable) =
        ((true, true), (true, false), (false, true), (false, false));
    let both = |a: (bool, bool), b: (bool, bool)| json!([path(0, a.0, a.1), path(1, b.0, b.1)]);
    let good = both(ao, au);
    let (fine, bad) = ("STATUS_SUCCESS", "STATUS_INVALID_PARAMETER");
    for (policy, list, want) in [
        (4, good.clone(), fine),
        (3, good.clone(), fine),
        // 3: a clear looks at nothing else.
        (0, json!([]), fine),
        (4, good.clone(), fine),
        // 6
        (7, good.clone(), bad),
        (8, good.clone(), bad),
        (u32::MAX, good.clone(), bad),
        // 7, 8
        (4, json!([path(0, true, true)]), bad),
        (4, json!([path(0, true, true), path(0, true, true)]), bad),
        (4, json!([path(0, true, true), { "path_id": "0x1" }]), bad),
        (
            4,
            json!([path(0, true, true), path(1, true, false), { "path_id": "0x1" }]),
            bad,
        ),
        // 9
        (2, good.clone(), bad),
        // 10: more than one active/optimized path, more than one preferred.
        (1, both(ao, ao), bad),
        (1, json!([preferred(0, true), preferred(1, false)]), bad),
        (1, json!([preferred(0, true), path(1, true, false)]), fine),
        // 11: the target decides which group is optimized.
        (4, both(ao, ao), bad),
        (3, both(ao, ao), bad),
        // 12: these policies keep nobody in reserve, and A/U is what the target says.
        (4, both(ao, standby), bad),
        (5, both(ao, standby), bad),
        (6, both(ao, unavailable), bad),
        (4, both(au, au), bad),
        // 13: a group that is not optimized, and not resting either, cannot be put to rest.
        (3, both(ao, standby), bad),
        (3, both(ao, unavailable), bad),
        // 14
        (3, both(standby, au), bad),
        (1, both(standby, au), bad),
        (4, good.clone(), fine),
    ] {
        let params = json!({ "instance": "a", "policy": policy, "paths": list });
        assert_eq!(name(&d, ALUA, params.clone()), want, "{params}");
    }
    let plain = |n: usize, primary: bool| json!({ "path_id": id(n), "primary": primary });
    let plain_good = json!([plain(0, true), plain(1, false)]);
    for (policy, list, want) in [
        (1, plain_good.clone(), fine),
        (0, json!([]), fine),
        // 6, 7, 8, 9
        (7, plain_good.clone(), bad),
        (8, plain_good.clone(), bad),
        (1, json!([plain(0, true)]), bad),
        (1, json!([plain(0, true), plain(0, true)]), bad),
        (1, json!([plain(0, true), { "path_id": "0x1" }]), bad),
        (2, plain_good.clone(), bad),
        // 10 to 14: a primary path of the V1 form is an active/optimized one, any other rests.
        (1, json!([plain(0, true), plain(1, true)]), bad),
        (3, json!([plain(0, true), plain(1, true)]), bad),
        (4, plain_good.clone(), bad),
        (3, plain_good.clone(), bad),
        (1, json!([plain(0, false), plain(1, false)]), bad),
    ] {
        let params = json!({ "instance": "a", "policy": policy, "paths": list });
        assert_eq!(name(&d, PLAIN, params.clone()), want, "{params}");
    }
    let set = json!({ "instance": "a", "policy": 4, "paths": good });
    assert_eq!(name(&d, ALUA, set), fine);
    let now = d.ok("dsm_query_lb_policy_v2", json!({ "instance": "a" }));
    assert_eq!(now["policy"], 4, "refusals change nothing: {now}");
    // 5
    for (method, list) in [(ALUA, good.clone()), (PLAIN, plain_good)] {
        let newer = json!({ "instance": "a", "policy": 1, "paths": list, "version": 3 });
        assert_eq!(name(&d, method, newer), "STATUS_NOT_SUPPORTED");
    }
    // 4: a header that promises two paths.
    let short = json!({ "instance": "a", "raw": "AgAAAAQAAAACAAAAAAAAAA==" });
    for method in [ALUA, PLAIN] {
        assert_eq!(name(&d, method, short.clone()), "STATUS_BUFFER_TOO_SMALL");
    }
    // 2: no room for the answer.
    let class = |method: u32, room: u32| {
        json!({ "class": "DSM_LB_Operations", "instance": "a", "method": method,
                "raw": "AgAAAAQAAAACAAAAAAAAAA==", "out_size": room })
    };
    for method in [1, 2] {
        assert_eq!(
            name(&d, "wmi_execute", class(method, 3)),
            "STATUS_BUFFER_TOO_SMALL"
        );
    }
    assert_eq!(
        name(&d, "wmi_execute", class(9, 64)),
        "STATUS_WMI_ITEMID_NOT_FOUND"
    );
    let nobody = json!({ "instance": "nobody", "policy": 4 });
    for method in [ALUA, PLAIN] {
        assert_eq!(
            name(&d, method, nobody.clone()),
            "STATUS_WMI_INSTANCE_NOT_FOUND"
        );
    }
    let class = json!({ "class": "No_Such", "instance": "a" });
    assert_eq!(name(&d, "wmi_query", class), "STATUS_WMI_GUID_NOT_FOUND");
    // 14, the exception: no group of the target is optimized, so no path has to be.
    let params = json!({ "group": 1, "state": "non_optimized" });
    assert_eq!(call(&rpc, "target_set_access", params)["result"], true);
    d.until("path_list", json!({ "lun": "a" }), |p| {
        p[0]["access"] == "non-optimized" && p[1]["access"] == "non-optimized"
    });
    let set = json!({ "instance": "a", "policy": 4, "paths": both(au, au) });
    assert_eq!(name(&d, ALUA, set), fine);
}

/// Where all paths are equal round robin is one of the policies, for both methods.
#[test]
fn equal_paths_take_round_robin() {
    let dir = Dir::new("equal");
    let (_target, urls, _) = target("equal", &dir, ["optimized", "optimized"]);
    let d = daemon(&dir, &urls);
    let paths = d.ok("path_list", json!({ "lun": "a" }));
    let list: Value = [0, 1]
        .map(|n: usize| json!({ "path_id": paths[n]["nexus_id"] }))
        .into_iter()
        .collect();
    for method in [PLAIN, ALUA] {
        for policy in 2..=6 {
            let set = json!({ "instance": "a", "policy": policy, "paths": list });
            assert_eq!(name(&d, method, set), "STATUS_SUCCESS", "{method} {policy}");
        }
    }
    assert_eq!(name(&d, SET, json!({ "lun": "a", "policy": 2 })), "S_OK");
}
