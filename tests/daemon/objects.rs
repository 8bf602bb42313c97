//! The Windows-shaped objects over the socket, on a daemon with real paths.

use crate::kit::{Daemon, Dir, target};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

fn name(answer: &Value) -> &str {
    answer["name"].as_str().expect("a code has a name")
}

fn one(list: &Value) -> String {
    let objects = list["objects"].as_array().expect("a list");
    assert_eq!((name(list), objects.len()), ("S_OK", 1), "{list}");
    objects[0]["id"].as_str().expect("a GUID").to_owned()
}

fn daemon(dir: &Dir, urls: &[String]) -> Daemon {
    let paths = serde_json::to_string(urls).expect("texts");
    let text = format!("[[lun]]\nname = \"a\"\npaths = {paths}\n");
    let daemon = Daemon::start(dir, &dir.write("umpio.toml", &text));
    daemon.await_paths("a", 2);
    daemon
}

#[test]
fn from_the_service_to_the_paths_and_back_after_a_kill() {
    let dir = Dir::new("objects");
    let (_target, urls, _) = target("objects", &dir, ["optimized", "optimized"]);
    let d = daemon(&dir, &urls);
    let provider = one(&d.ok("vds_service_query_providers", json!({})));
    let subsystem = one(&d.ok(
        "vds_hw_provider_query_sub_systems",
        json!({ "provider": provider }),
    ));
    let lun = one(&d.ok(
        "vds_sub_system_query_luns",
        json!({ "subsystem": subsystem }),
    ));
    assert_eq!(d.ok("lun_get", json!({ "lun": "a" }))["guid"], lun);
    let id = json!({ "lun": lun });
    let info = d.ok("vds_lun_mpio_get_path_info", id.clone());
    let policy = d.ok("vds_lun_mpio_get_load_balance_policy", id.clone());
    assert_eq!(info["number_of_paths"], 2, "{info}");
    assert_eq!(info["number_of_paths"], policy["number_of_paths"]);
    let mask = d.ok("vds_lun_mpio_get_supported_lb_policies", id.clone());
    assert_eq!(mask["lb_flags"], 0x7F, "{mask}");
    // Weights by VDS, read by the DSM class and by ours.
    let mut paths = policy["paths"].clone();
    paths[0]["weight"] = json!(5);
    paths[1]["weight"] = json!(9);
    let set = json!({ "lun": lun, "policy": 5, "paths": paths });
    let done = d.ok("vds_lun_mpio_set_load_balance_policy", set);
    assert_eq!(name(&done), "S_OK", "{done}");
    let dsm = |d: &Daemon| d.ok("dsm_query_lb_policy_v2", json!({ "instance": "a" }));
    let before = dsm(&d);
    assert_eq!(before["policy"], 5, "{before}");
    assert_eq!(before["paths"][1]["weight"], 9, "{before}");
    // The block of the class is the same by its name, and can be handed back as an IN buffer.
    let class = json!({ "class": "DSM_QueryLBPolicy_V2", "instance": "a" });
    let raw = d.ok("wmi_query", class);
    assert_eq!(raw["raw"], before["raw"]);
    let alua = "dsm_lb_operations_dsm_set_load_balance_policy_alua";
    let done = d.ok(alua, json!({ "instance": "a", "raw": before["raw"] }));
    assert_eq!(name(&done), "STATUS_SUCCESS", "{done}");
    assert_eq!(
        dsm(&d),
        before,
        "what was read means the same when it is set"
    );
    d.process.end(Signal::SIGKILL);
    let d = daemon(&dir, &urls);
    assert_eq!(dsm(&d)["policy"], 5);
    assert_eq!(dsm(&d)["paths"][0]["weight"], 5);
    // The ports of our end of a connection are new, the objects are the same.
    let ids = |info: &Value| {
        let paths = info["paths"].as_array().expect("a list").clone();
        let ids = |p: &Value| {
            [
                "source_id",
                "path_id",
                "target_portal_id",
                "initiator_adapter_id",
            ]
            .map(|key| {
                p[key]
                    .as_str()
                    .unwrap_or_else(|| panic!("{key}: {p}"))
                    .to_owned()
            })
        };
        paths.iter().map(ids).collect::<Vec<_>>()
    };
    assert_eq!(ids(&d.ok("vds_lun_mpio_get_path_info", id)), ids(&info));
}

#[test]
fn refusals_have_the_codes_of_windows() {
    let dir = Dir::new("codes");
    let (_target, urls, _) = target("codes", &dir, ["optimized", "non-optimized"]);
    let d = daemon(&dir, &urls);
    let paths = d.ok("path_list", json!({ "lun": "a" }));
    let path =
        |n: usize, primary: bool| json!({ "path_id": paths[n]["nexus_id"], "primary": primary });
    let alua = "dsm_lb_operations_dsm_set_load_balance_policy_alua";
    for (policy, list, want) in [
        // 6: 7 is not for the DSM methods.
        (
            7,
            json!([path(0, true), path(1, true)]),
            "STATUS_INVALID_PARAMETER",
        ),
        // 7: a path is missing.
        (4, json!([path(0, true)]), "STATUS_INVALID_PARAMETER"),
        // 9: round robin on unequal paths.
        (
            2,
            json!([path(0, true), path(1, true)]),
            "STATUS_INVALID_PARAMETER",
        ),
        // 0 clears whatever else is there.
        (0, json!([]), "STATUS_SUCCESS"),
    ] {
        let got = d.ok(
            alua,
            json!({ "instance": "a", "policy": policy, "paths": list }),
        );
        assert_eq!(name(&got), want, "policy {policy}: {got}");
    }
    let small = d.ok(
        alua,
        json!({ "instance": "a", "raw": "AgAAAAQAAAACAAAAAAAAAA==" }),
    );
    assert_eq!(name(&small), "STATUS_BUFFER_TOO_SMALL", "{small}");
    let nobody = d.ok("dsm_query_lb_policy", json!({ "instance": "b" }));
    assert_eq!(name(&nobody), "STATUS_WMI_INSTANCE_NOT_FOUND");
    let class = d.ok("wmi_query", json!({ "class": "No_Such", "instance": "a" }));
    assert_eq!(name(&class), "STATUS_WMI_GUID_NOT_FOUND");
    let null = d.ok(
        "vds_lun_mpio_set_load_balance_policy",
        json!({ "lun": "a", "policy": 9 }),
    );
    assert_eq!(name(&null), "E_INVALIDARG", "{null}");
    // Malformed calls are errors of the RPC, with the field named.
    let e = d
        .call(
            alua,
            json!({ "instance": "a", "policy": 1, "paths": [{ "path_id": "7" }] }),
        )
        .expect_err("an id is a text");
    assert_eq!(e["data"]["field"], "paths[0].path_id", "{e}");
    // A LUN that was taken away.
    d.ok("lun_close", json!({ "lun": "a" }));
    let gone = d.ok("vds_lun_mpio_get_path_info", json!({ "lun": "a" }));
    assert_eq!(name(&gone), "VDS_E_OBJECT_DELETED", "{gone}");
}
