//! The discovery subsystem: which subsystems there are, and by which portals.

use super::Target;
use std::net::IpAddr;

const HEADER: usize = 1024;
const ENTRY: usize = 1024;

impl Target {
    /// Portals or subsystems have changed.
    pub(super) fn discovery_changed(&mut self) {
        self.counters.discovery_generation += 1;
        for m in self.members.iter_mut().flatten() {
            m.controller.discovery_changed();
        }
        self.attention = true;
    }

    /// The discovery log for a controller; empty where it is not one of the discovery subsystem.
    pub(super) fn discovery_log(&self, member: usize) -> Vec<u8> {
        let m = self.member(member);
        if !self.subsystems[m.subsystem].info.discovery {
            return Vec::new();
        }
        let host = &m.controller.hostnqn;
        let mut log = vec![0; HEADER];
        let mut records = 0u64;
        for s in &self.subsystems {
            let allowed = s.hosts.is_empty() || s.hosts.contains(host);
            if s.info.discovery || !allowed {
                continue;
            }
            for (id, p) in self.portals.iter().enumerate() {
                let Some(at) = p.listener.socket_addr() else {
                    continue;
                };
                let mut e = [0; ENTRY];
                e[0] = 3; // TRTYPE: TCP
                e[1] = if at.is_ipv4() { 1 } else { 2 };
                e[2] = 2; // SUBTYPE: NVM subsystem
                e[3] = 0x06; // TREQ: no secure channel needed; SQ flow control can be off
                e[4..6].copy_from_slice(&(id as u16 + 1).to_le_bytes());
                e[6..8].copy_from_slice(&0xffffu16.to_le_bytes());
                e[8..10].copy_from_slice(&32u16.to_le_bytes());
                put(&mut e[32..64], &at.port().to_string());
                put(&mut e[256..512], &s.info.nqn);
                let ip: IpAddr = at.ip();
                put(&mut e[512..768], &ip.to_string());
                log.extend_from_slice(&e);
                records += 1;
            }
        }
        log[..8].copy_from_slice(&self.counters.discovery_generation.to_le_bytes());
        log[8..16].copy_from_slice(&records.to_le_bytes());
        log
    }
}

/// Text in a field, NUL-padded.
fn put(field: &mut [u8], text: &str) {
    let n = text.len().min(field.len());
    field[..n].copy_from_slice(&text.as_bytes()[..n]);
}
