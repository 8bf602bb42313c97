//! A nexus: initiator port and target port, with the id that survives restarts.

use super::url::NexusSpec;

/// One nexus of this host, on one reactor.
#[derive(Clone, Debug)]
pub struct Nexus {
    pub spec: NexusSpec,
    /// Stable 64-bit id (DsmPathId).
    pub id: u64,
    pub key: String,
    /// Local and remote address of its last connection, as the kernel names them.
    pub local_addr: String,
    pub remote_addr: String,
}

impl Nexus {
    pub fn new(spec: NexusSpec) -> Self {
        Self {
            id: spec.id(),
            key: spec.key(),
            spec,
            local_addr: String::new(),
            remote_addr: String::new(),
        }
    }

    /// The subsystem NQN, where the nexus is NVMe.
    pub fn subsystem(&self) -> Option<&str> {
        match &self.spec {
            NexusSpec::NvmeTcp(s) => Some(&s.subsystem_nqn),
            NexusSpec::Iscsi(_) | NexusSpec::Local(_) => None,
        }
    }
}
