//! A target out of portals that listen: what `umpio target` and the daemon's `[[serve]]` have in
//! common.

use super::{Portals, Targets, ana_of};
use crate::base::clock::wall_nanos;
use crate::engine::reactor::Reactor;
use crate::front::nvme_tcp::{PortalConfig, SubsystemConfig, Target, TargetConfig};
use crate::front::{Listener, iscsi};
use crate::lun::plane::ChannelId;
use crate::lun::port::{Geometry, PortId};
use crate::path::access::AccessState;
use crate::proto::iscsi::chap::Credentials;
use std::fmt::Display;

/// How hosts reach a portal.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Protocol {
    NvmeTcp,
    /// With the number of the logical unit.
    Iscsi(u16),
}

/// What is served at a portal, and as what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortalSpec {
    pub protocol: Protocol,
    /// NQN of the subsystem, or iSCSI name of the target.
    pub name: String,
    /// ANA group, or target port group: 1 and up.
    pub group: u32,
    pub access: AccessState,
    /// iSCSI: where logins are sent on to, as TargetAddress, and whether for good.
    pub moved: Option<(String, bool)>,
    /// Connections that a session may have there; none: as many as the target can. The least of all
    /// portals counts.
    pub connections: Option<u16>,
}

/// Who may log in over iSCSI, and who we are there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chap {
    /// Empty: anybody.
    pub hosts: Vec<Credentials>,
    /// What we prove to a host that asks.
    pub ours: Option<Credentials>,
}

/// A target that is ready, with what goes when it goes.
#[derive(Debug)]
pub struct Assembled {
    pub targets: Targets,
    /// One for each portal, with the port that was taken.
    pub urls: Vec<String>,
    pub ports: Vec<PortId>,
}

/// Puts a LUN behind portals. On the reactor's thread.
///
/// # Errors
/// What does not go together.
pub fn assemble(
    r: &mut Reactor,
    lun: ChannelId,
    geometry: &Geometry,
    portals: Vec<(PortalSpec, Listener)>,
    chap: &Chap,
) -> Result<Assembled, String> {
    // One port for each target: a port's completions go to whoever asks first.
    let ports = vec![r.open_port(lun), r.open_port(lun)];
    match put_together(r, &ports, geometry, portals, chap) {
        Ok((targets, urls)) => Ok(Assembled {
            targets,
            urls,
            ports,
        }),
        Err(why) => {
            for port in ports {
                r.plane().close_port(port);
            }
            Err(why)
        }
    }
}

fn put_together(
    r: &mut Reactor,
    ports: &[PortId],
    geometry: &Geometry,
    portals: Vec<(PortalSpec, Listener)>,
    chap: &Chap,
) -> Result<(Targets, Vec<String>), String> {
    let refused = |e: &dyn Display| e.to_string();
    let mut nvme = Target::new(TargetConfig {
        seed: wall_nanos(),
        ..TargetConfig::default()
    });
    let limits = portals.iter().filter_map(|(spec, _)| spec.connections);
    let session_connections = limits.min().unwrap_or(iscsi::SESSION_CONNECTIONS);
    let mut iscsi = iscsi::Target::new(iscsi::TargetConfig {
        session_connections,
        chap: chap.hosts.clone(),
        ours: chap.ours.clone(),
        ..iscsi::TargetConfig::default()
    });
    let mut known: Vec<String> = Vec::new();
    let mut places = Portals::default();
    let mut urls = Vec::with_capacity(portals.len());
    for (spec, listener) in portals {
        let name = spec.name;
        match spec.protocol {
            Protocol::Iscsi(unit) => {
                let served = format!("{name}/{unit}");
                if !known.contains(&served) {
                    iscsi
                        .add_lun(&name, unit, ports[1], &geometry.identity, r.plane())
                        .map_err(|e| refused(&e))?;
                    known.push(served.clone());
                }
                let group = u16::try_from(spec.group)
                    .map_err(|_| format!("group {} is more than iSCSI can say", spec.group))?;
                let address = iscsi
                    .add_portal(iscsi::PortalConfig {
                        listener,
                        target: name,
                        group,
                        access: spec.access,
                    })
                    .map_err(|e| refused(&e))?;
                iscsi
                    .set_moved(places.iscsi, spec.moved)
                    .map_err(|e| refused(&e))?;
                places.add_iscsi();
                urls.push(format!("iscsi://{address}/{served}"));
            }
            Protocol::NvmeTcp => {
                if !known.contains(&name) {
                    nvme.add_subsystem(SubsystemConfig::new(&name))
                        .map_err(|e| refused(&e))?;
                    nvme.add_namespace(&name, 1, ports[0], &geometry.identity, r.plane())
                        .map_err(|e| refused(&e))?;
                    known.push(name.clone());
                }
                let portal = nvme.add_portal(PortalConfig {
                    group: spec.group,
                    access: ana_of(spec.access),
                    ..PortalConfig::new(listener)
                });
                places.add_nvme(portal);
                let address = nvme.portal_address(portal).unwrap_or_default();
                urls.push(format!("nvme-tcp://{address}/{name}"));
            }
        }
    }
    let targets = Targets {
        nvme,
        iscsi,
        portals: places,
    };
    Ok((targets, urls))
}
