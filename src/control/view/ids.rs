//! Ids that leave the process: derived (UUID version 5) from the host id and from names and addresses
//! of the configuration, so that they are the same after every restart, and differ between hosts.

use super::{HostView, LunView, NexusView};
use uuid::Uuid;

/// Namespace of all GUIDs of umpio; itself derived, from a name in the DNS namespace.
fn namespace() -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"umpio.vds")
}

fn of(host: &HostView, kind: &str, key: &str) -> Uuid {
    let host = Uuid::new_v5(&namespace(), &host.id);
    Uuid::new_v5(&host, format!("{kind}|{key}").as_bytes())
}

/// The hardware provider.
pub fn provider(host: &HostView) -> Uuid {
    of(host, "provider", "")
}

/// VDS_PROVIDER_PROP.guidVersionId: one per version of this program, whatever the host.
pub fn provider_version(host: &HostView) -> Uuid {
    Uuid::new_v5(&namespace(), format!("version|{}", host.version).as_bytes())
}

/// The one subsystem.
pub fn subsystem(host: &HostView) -> Uuid {
    of(host, "subsystem", "")
}

/// The GUID of a LUN that has none yet, from its configured name: known before any path is up, and
/// the same whatever comes up.
pub fn lun(host: &HostView, name: &str) -> Uuid {
    of(host, "lun", name)
}

/// A target, by its name.
pub fn target(host: &HostView, name: &str) -> Uuid {
    of(host, "target", name)
}

/// A portal group of a target, by its tag.
pub fn portal_group(host: &HostView, target: &str, tag: u16) -> Uuid {
    of(host, "portal-group", &format!("{target}|{tag}"))
}

/// The target portal at the far end of a nexus.
pub fn target_portal(host: &HostView, nexus: &NexusView) -> Uuid {
    let key = format!("{}|{}", nexus.protocol.name(), nexus.portal_name);
    of(host, "portal", &key)
}

/// The initiator adapter: the software initiator of this host.
pub fn initiator_adapter(host: &HostView) -> Uuid {
    of(host, "adapter", "")
}

/// The initiator portal that a nexus leaves this host by: its source address as the kernel or the
/// configuration names it. Ports change with every connection, so they are no part of it.
pub fn initiator_portal(host: &HostView, nexus: &NexusView) -> Uuid {
    let ip = nexus
        .source
        .map_or_else(String::new, |s| s.ip().to_string());
    let interface = nexus.interface.as_deref().unwrap_or("");
    of(host, "initiator-portal", &format!("{ip}|{interface}"))
}

fn number(id: Uuid) -> u64 {
    // Never 0: that means "none" in every Windows structure.
    id.as_u64_pair().0.max(1)
}

/// UniqueSessionId: a session is what a nexus has on one reactor.
pub fn session(host: &HostView, nexus: u64, reactor: usize) -> u64 {
    number(of(host, "session", &format!("{nexus:016x}|{reactor}")))
}

/// UniqueConnectionId.
pub fn connection(host: &HostView, session: u64, cid: u16) -> u64 {
    number(of(host, "connection", &format!("{session:016x}|{cid}")))
}

/// DsmUniqueId, which is ullSourceId of every VDS_PATH_ID.
pub fn dsm(host: &HostView) -> u64 {
    number(of(host, "dsm", ""))
}

/// DsmContext of DSM_PARAMETERS, by which SetDSMCounters names a DSM.
pub fn dsm_context(host: &HostView) -> u64 {
    number(of(host, "dsm-context", ""))
}

/// UniqueAdapterId of the MSiSCSI classes.
pub fn adapter_number(host: &HostView) -> u64 {
    number(initiator_adapter(host))
}

/// InstanceName of the MPIO pseudo-LUN, by which the per-LUN WMI classes are addressed.
pub fn lun_instance(lun: &LunView) -> String {
    let word = |text: &str| text.replace([' ', '&', '\\', ','], "_");
    format!(
        "MPIO\\Disk&Ven_{}&Prod_{}&Rev_{}\\1&7f6ac24&0&{:X}_0",
        word(lun.hardware.vendor()),
        word(lun.hardware.product()),
        word(&lun.revision),
        lun.guid.simple()
    )
}

/// InstanceName of the MPIO control object, for the classes of the whole host.
pub const CONTROL_INSTANCE: &str = "Root\\MPIO\\0000_0";

/// InstanceName of the iSCSI initiator, for the MSiSCSI classes.
pub const INITIATOR_INSTANCE: &str = "Root\\ISCSIPRT\\0000_0";

#[cfg(test)]
mod tests {
    use super::*;

    fn host(id: u8) -> HostView {
        HostView {
            id: [id; 16],
            ..HostView::default()
        }
    }

    #[test]
    fn ids_are_those_of_yesterday() {
        // Whoever changes these breaks every client that has kept one.
        assert_eq!(
            lun(&host(1), "data").to_string(),
            "78ef52fe-2bf5-5a68-97ef-aeeed8e538dc"
        );
        assert_eq!(dsm(&host(1)), 0xe11b_5288_d217_5022);
    }

    #[test]
    fn ids_differ_between_hosts_kinds_and_names() {
        let all = [
            provider(&host(1)),
            subsystem(&host(1)),
            initiator_adapter(&host(1)),
            lun(&host(1), ""),
            lun(&host(1), "a"),
            target(&host(1), "a"),
            portal_group(&host(1), "a", 0),
            portal_group(&host(1), "a", 1),
            lun(&host(2), "a"),
            provider(&host(2)),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| b != a), "{i}");
        }
    }
}
