//! What a config file may say, and what is said about one that is wrong.

use super::*;

fn error(text: &str) -> ConfigError {
    Config::parse(text, "umpio.toml").expect_err(text)
}

#[test]
fn a_full_file_is_read() {
    let c = Config::parse(
        r#"
[rpc]
socket = "/run/u.sock"
[state]
dir = "/var/lib/u"
[host]
nqn = "nqn.2014-08.org.nvmexpress:uuid:67e55044-10b1-426f-9247-bb680e5fe0c8"
id = "67e55044-10b1-426f-9247-bb680e5fe0c8"
initiator_name = "iqn.2026-01.io.umpio:host"
[reactors]
count = 2
cpus = [0, 1]
spin_us = 10
[timers]
PDORemovePeriod = 5
PathVerifyEnabled = true
[defaults]
policy = "LQD"
[metrics]
listen = "127.0.0.1:9464"
[log]
level = "debug"
format = "json"
[[lun]]
name = "a"
policy = "vendor-specific"
vendor_policy = "share"
paths = ["mem:1M"]
weights = [3]
[[serve]]
lun = "a"
listen = ["nvme-tcp://127.0.0.1:0/nqn.x:a"]
reactor = 1
"#,
        "umpio.toml",
    )
    .expect("valid");
    assert_eq!(c.reactors.cpus, [0, 1]);
    assert_eq!(c.timers.pdo_remove_period, 5);
    assert!(c.timers.path_verify_enabled && c.log.json);
    assert_eq!(
        c.luns[0].policy,
        Some(PolicySpec::vendor(VendorPolicy::Share))
    );
    assert_eq!(c.serves[0].reactor, 1);
    assert_eq!(c.default_policy, Some(Policy::LeastQueueDepth.into()));
}

#[test]
fn nothing_at_all_is_a_config() {
    let c = Config::default();
    assert!(c.luns.is_empty() && c.metrics.is_none());
    assert_eq!(c.timers, Timers::default());
}

/// Each with the line, the key, and a word of what is allowed.
#[test]
fn what_is_wrong_is_told_with_line_key_and_what_is_allowed() {
    let lun = "[[lun]]\nname = \"a\"\npaths = [\"mem:1M\"]\n";
    let cases: Vec<(String, usize, &str, &str)> = vec![
        (
            "[rpc]\nsockett = \"x\"\n".into(),
            2,
            "rpc.sockett",
            "socket",
        ),
        ("[rpc]\nsocket = 7\n".into(), 2, "rpc.socket", ""),
        (
            "[reactors]\n\ncount = 0\n".into(),
            3,
            "reactors.count",
            "1 to 64",
        ),
        (
            "[reactors]\ncpus = [1, 2]\n".into(),
            2,
            "reactors.cpus",
            "one CPU",
        ),
        ("[host]\nnqn = \"x\"\n".into(), 2, "host.nqn", "nqn."),
        ("[host]\nid = \"x\"\n".into(), 2, "host.id", "UUID"),
        (
            "[host]\ninitiator_name = \"x\"\n".into(),
            2,
            "host.initiator_name",
            "iqn.",
        ),
        (
            "[timers]\nRetryCount = 256\n".into(),
            2,
            "timers.RetryCount",
            "0 to 255",
        ),
        (
            "[timers]\nretry_count = 2\n".into(),
            2,
            "timers.retry_count",
            "RetryCount",
        ),
        (
            "[defaults]\npolicy = \"latency\"\n".into(),
            2,
            "defaults.policy",
            "failover",
        ),
        (
            "[metrics]\nlisten = \"here\"\n".into(),
            2,
            "metrics.listen",
            "127.0.0.1:9464",
        ),
        ("[log]\nlevel = \"loud\"\n".into(), 2, "log.level", "debug"),
        ("[log]\nformat = \"xml\"\n".into(), 2, "log.format", "json"),
        (
            format!("{lun}policy = \"best\"\n"),
            4,
            "lun[0].policy",
            "least-queue-depth",
        ),
        (
            format!("{lun}policy = \"RR\"\nvendor_policy = \"share\"\n"),
            5,
            "lun[0].vendor_policy",
            "vendor-specific",
        ),
        (
            format!("{lun}vendor_policy = \"fast\"\n"),
            4,
            "lun[0].vendor_policy",
            "latency",
        ),
        (
            format!("{lun}weights = [1, 2]\n"),
            4,
            "lun[0].weights",
            "one weight",
        ),
        (format!("{lun}{lun}"), 5, "lun[1].name", "differ"),
        (
            "[[lun]]\nname = \"a b\"\npaths = [\"mem:1M\"]\n".into(),
            2,
            "lun[0].name",
            "letters",
        ),
        (
            "[[lun]]\nname = \"a\"\npaths = [\n\"mem:1M\",\n\"mem:1Q\"]\n".into(),
            5,
            "lun[0].paths[1]",
            "mem:SIZE",
        ),
        (
            "[[lun]]\nname = \"a\"\npaths = [\n\"mem:1M\",\n\"mem:1M\"]\n".into(),
            5,
            "lun[0].paths[1]",
            "nexus",
        ),
        (
            format!("{lun}[[serve]]\nlun = \"b\"\nlisten = []\n"),
            5,
            "serve[0].lun",
            "a [[lun]]",
        ),
        (
            format!("{lun}[[serve]]\nlun = \"a\"\nlisten = []\n"),
            6,
            "serve[0].listen",
            "nvme-tcp://",
        ),
        (
            format!("{lun}[[serve]]\nlun = \"a\"\nlisten = [\"x\"]\n"),
            6,
            "serve[0].listen[0]",
            "nvme-tcp://",
        ),
        (
            format!(
                "{lun}[[serve]]\nlun = \"a\"\nlisten = [\"nvme-tcp://h/nqn.x\"]\nreactor = 1\n"
            ),
            7,
            "serve[0].reactor",
            "0 to 0",
        ),
        ("what\n".into(), 1, "", ""),
    ];
    for (text, line, key, allowed) in cases {
        let e = error(&text);
        assert_eq!((e.line, e.key.as_str()), (line, key), "{text}: {e}");
        let told = e.allowed.clone().unwrap_or_default();
        assert!(told.contains(allowed), "{text}: {e}");
        assert!(e.to_string().starts_with("umpio.toml:"), "{e}");
    }
}

#[test]
fn a_missing_key_is_named() {
    let e = error("[[lun]]\nname = \"a\"\n");
    assert!(e.what.contains("paths"), "{e}");
}
