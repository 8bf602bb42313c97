//! Methods against causes of errors, each cause made for real on a daemon with paths.

use crate::kit::{Daemon, Dir, target};
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

#[test]
fn each_check_of_the_dsm_methods_has_its_status() {
    let dir = Dir::new("statuses");
    let (_target, urls, _) = target("statuses", &dir, ["optimized", "non-optimized"]);
    let d = daemon(&dir, &urls);
    let paths = d.ok("path_list", json!({ "lun": "a" }));
    let path = |n: usize, primary: bool, optimized: bool| json!({ "path_id": paths[n]["nexus_id"], "primary": primary, "optimized": optimized });
    let good = json!([path(0, true, true), path(1, true, false)]);
    let bad = "STATUS_INVALID_PARAMETER";
    for (policy, list, want) in [
        (4, good.clone(), "STATUS_SUCCESS"),
        (3, good.clone(), "STATUS_SUCCESS"),
        // 3: a clear looks at nothing else.
        (0, json!([]), "STATUS_SUCCESS"),
        (4, good.clone(), "STATUS_SUCCESS"),
        // 6
        (7, good.clone(), bad),
        (8, good.clone(), bad),
        // 7, 8
        (4, json!([path(0, true, true)]), bad),
        (4, json!([path(0, true, true), path(0, true, true)]), bad),
        (4, json!([path(0, true, true), { "path_id": "0x1" }]), bad),
        // 9
        (2, good.clone(), bad),
        // 10
        (1, json!([path(0, true, true), path(1, true, true)]), bad),
        // 11: the target decides which group is optimized.
        (4, json!([path(0, true, true), path(1, true, true)]), bad),
        // 14
        (3, json!([path(0, false, true), path(1, false, true)]), bad),
    ] {
        let params = json!({ "instance": "a", "policy": policy, "paths": list });
        assert_eq!(name(&d, ALUA, params.clone()), want, "{params}");
    }
    let now = d.ok("dsm_query_lb_policy_v2", json!({ "instance": "a" }));
    assert_eq!(now["policy"], 4, "refusals change nothing: {now}");
    // 5
    let newer = json!({ "instance": "a", "policy": 4, "paths": good, "version": 3 });
    assert_eq!(name(&d, ALUA, newer), "STATUS_NOT_SUPPORTED");
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
    assert_eq!(
        name(&d, "wmi_execute", class(2, 3)),
        "STATUS_BUFFER_TOO_SMALL"
    );
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
}
