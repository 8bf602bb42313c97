//! What people write: path URLs, local specs, policy traces.

use crate::lun::policy::replay::{ReplayError, replay};
use crate::path::local::LocalSpec;
use crate::path::url::{NexusSpec, PathSpec};

pub(super) fn run_url(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match PathSpec::parse(&text) {
        Ok(spec) => {
            match &spec.nexus {
                // Shown without its secrets, which cannot be read back from there.
                NexusSpec::Iscsi(s) if s.chap.is_some() => {
                    let again = PathSpec::parse(&spec.url).map(|s| s.nexus.key());
                    assert_eq!(again.as_ref(), Ok(&spec.nexus.key()));
                }
                _ => assert_eq!(PathSpec::parse(&spec.url).as_ref(), Ok(&spec)),
            }
            assert_eq!(spec.nexus.id(), spec.nexus.clone().id());
            let _ = (spec.to_string(), spec.nexus.key());
            if let NexusSpec::NvmeTcp(nvme) = &spec.nexus {
                assert!(!nvme.subsystem_nqn.is_empty() && nvme.subsystem_nqn.len() <= 223);
                let _ = nvme.portal();
            }
        }
        Err(e) => assert!(!e.to_string().is_empty()),
    }
}

pub(super) fn url_seeds() -> Vec<Vec<u8>> {
    let urls = [
        "nvme-tcp://127.0.0.1:4420/nqn.2024-01.test:a?nsid=1&hdgst=1&ddgst=0&cc=cubic&kato=5000",
        "nvme-tcp://[fe80::1%eth0]/nqn.x?src=::1&iface=eth0&queues=4&depth=128&sqfc=1",
        "nvme-tcp://host/nqn.x?sndbuf=1M&rcvbuf=65536&busy_poll=50&user_timeout=1000",
        "iscsi://127.0.0.1:3260/iqn.2024-01.test:a/0?header_digest=crc32c&data_digest=none",
        "iscsi://me%secret@[::1]/iqn.a/16383?target_user=t&target_password=x&initial_r2t=1",
        "mem:64M",
        "null:1T?zero=1",
        "file:/tmp/x?direct=1",
    ];
    urls.iter().map(|u| u.as_bytes().to_vec()).collect()
}

/// A spec that was read prints as text that reads as the same spec.
pub(super) fn run_local(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = LocalSpec::is_local(&text);
    match text.parse::<LocalSpec>() {
        Ok(spec) => {
            let shown = spec.to_string();
            assert_eq!(shown.parse::<LocalSpec>().as_ref(), Ok(&spec), "{shown}");
        }
        Err(e) => assert!(!e.to_string().is_empty()),
    }
}

pub(super) fn local_seeds() -> Vec<Vec<u8>> {
    let specs = [
        "mem:64M",
        "mem:512?uuid=1b4e28ba-2fa1-11d2-883f-b9a761bde3fb",
        "null:7T",
        "null:1T?zero=1",
        "file:/tmp/a?b?direct=1&engine=thread",
        "file:disk.img",
    ];
    specs.iter().map(|s| s.as_bytes().to_vec()).collect()
}

fn replayed(text: &str, check: bool) -> Result<String, ReplayError> {
    let mut out = Vec::new();
    // Unlike `lines`, keeps a carriage return at the end.
    let lines = text.split_terminator('\n').map(|l| Ok(l.to_owned()));
    replay(lines, &mut out, check)?;
    Ok(String::from_utf8(out).expect("lines of text and JSON"))
}

/// A trace that replays gives a trace that agrees with itself, and that replays to the same.
pub(super) fn run_trace(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match replayed(&text, false) {
        Ok(once) => match replayed(&once, true) {
            Ok(again) => assert_eq!(again, once),
            Err(e) => panic!("our own answers: {e}"),
        },
        Err(e) => assert!(!e.to_string().is_empty()),
    }
}

pub(super) fn trace_seeds() -> Vec<Vec<u8>> {
    let traces = [
        r#"# two LUNs
{"ev":"init","block":4096,"luns":[{"alua":"none","paths":[{"id":1},{"id":2},{"id":3}]}],"dsm_default":1,"dsm_preferred":2}
{"ev":"submit","lun":0,"io":1,"op":"read16","lba":0,"blocks":1}
{"ev":"default","scope":"target","policy":2,"preferred":0}
{"ev":"set","lun":0,"method":1,"policy":5,"paths":[{"id":1,"weight":9},{"id":2,"weight":3},{"id":3,"weight":3}]}
{"ev":"fail","path":2}
{"ev":"submit","lun":0,"io":7,"op":"read16","lba":0,"blocks":1}
{"ev":"query","lun":0}
"#,
        r#"{"ev":"init","block":512,"luns":[{"alua":"none","paths":[{"id":1},{"id":2}]}]}
{"ev":"set","lun":0,"method":2,"policy":4,"paths":[{"id":1},{"id":2}]}
{"ev":"submit","lun":0,"io":1,"op":"write10","lba":8,"blocks":8}
{"ev":"complete","io":1}
"#,
    ];
    traces.iter().map(|t| t.as_bytes().to_vec()).collect()
}
