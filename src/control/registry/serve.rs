//! LUNs served on: a target on a reactor, over the LUN's channel there.

use super::Registry;
use super::answer::ServeAnswer;
use crate::control::config::{Portal, ServeConfig};
use crate::control::events::EventKind;
use crate::control::target::{Chap, PortalSpec, TargetHandle, TargetService, assemble};
use crate::engine::reactor::{Reactor, ServiceId};
use crate::front::Listener;
use crate::front::nvme_tcp::PortalConfig;
use crate::lun::plane::ChannelId;
use crate::lun::port::{Geometry, PortId};
use std::net::ToSocketAddrs;

/// A LUN that should be served.
#[derive(Debug)]
pub(super) struct Serve {
    config: ServeConfig,
    at: At,
}

#[derive(Debug)]
enum At {
    /// No path of the LUN has told yet what it is like.
    Waiting,
    Serving {
        service: ServiceId,
        ports: Vec<PortId>,
        _handle: TargetHandle,
        urls: Vec<String>,
    },
    Failed(String),
}

impl Serve {
    pub(super) fn new(config: ServeConfig) -> Self {
        Self {
            config,
            at: At::Waiting,
        }
    }

    pub(super) fn lun(&self) -> &str {
        &self.config.lun
    }

    pub(super) fn config(&self) -> &ServeConfig {
        &self.config
    }
}

impl Registry {
    /// Starts what can be served by now.
    pub(super) fn try_serves(&mut self) {
        let mut serves = std::mem::take(&mut self.serves);
        for serve in &mut serves {
            if !matches!(serve.at, At::Waiting) {
                continue;
            }
            match self.start_serve(&serve.config) {
                Ok(None) => {}
                Ok(Some(at)) => {
                    if let At::Serving { urls, .. } = &at {
                        let text = format!("serving {}", urls.join(", "));
                        self.note(EventKind::Serving, &serve.config.lun, None, text);
                    }
                    serve.at = at;
                }
                Err(why) => {
                    self.note(
                        EventKind::ServingFailed,
                        &serve.config.lun,
                        None,
                        why.clone(),
                    );
                    serve.at = At::Failed(why);
                }
            }
        }
        self.serves = serves;
    }

    /// `None`: the LUN is not ready yet.
    fn start_serve(&self, config: &ServeConfig) -> Result<Option<At>, String> {
        let lun = self.lun(&config.lun).map_err(|e| e.to_string())?;
        let driver = self
            .driver(config.reactor)
            .ok_or("there is no such reactor")?;
        let channel = lun.channels[config.reactor];
        let geometry = driver
            .ask(move |r| r.plane().channel(channel).geometry.clone())
            .map_err(|e| e.to_string())?;
        let Some(geometry) = geometry else {
            return Ok(None);
        };
        let mut portals = Vec::with_capacity(config.portals.len());
        for portal in &config.portals {
            portals.push((portal.spec.clone(), bind(portal)?));
        }
        let chap = config.chap.clone();
        let built = driver.ask(move |r| build(r, channel, &geometry, portals, &chap));
        built.map_err(|e| e.to_string())?.map(Some)
    }

    /// Ends serving: its hosts lose their connections.
    pub(super) fn end_serve(&self, serve: Serve) {
        let At::Serving { service, ports, .. } = serve.at else {
            return;
        };
        if let Some(driver) = self.driver(serve.config.reactor) {
            // A reactor that is gone serves nobody.
            let _ = driver.ask(move |r| {
                drop(r.remove_service(service));
                for port in ports {
                    r.plane().close_port(port);
                }
            });
        }
    }

    pub(super) fn is_served(&self, lun: &str) -> bool {
        let serving = |s: &&Serve| matches!(s.at, At::Serving { .. });
        self.serves.iter().filter(serving).any(|s| s.lun() == lun)
    }

    pub(super) fn serve_list(&self) -> Vec<ServeAnswer> {
        let answer = |s: &Serve| {
            let (state, reason, urls) = match &s.at {
                At::Waiting => (
                    "waiting",
                    Some("no path of the LUN is there yet".to_owned()),
                    Vec::new(),
                ),
                At::Serving { urls, .. } => ("serving", None, urls.clone()),
                At::Failed(why) => ("failed", Some(why.clone()), Vec::new()),
            };
            ServeAnswer {
                lun: s.config.lun.clone(),
                reactor: s.config.reactor,
                state,
                reason,
                urls,
            }
        };
        self.serves.iter().map(answer).collect()
    }
}

fn bind(portal: &Portal) -> Result<Listener, String> {
    let failed = |e: std::io::Error| format!("cannot listen at {}: {e}", portal.url);
    let mut found = (portal.host.as_str(), portal.port)
        .to_socket_addrs()
        .map_err(failed)?;
    let at = found
        .next()
        .ok_or_else(|| format!("'{}' has no address", portal.host))?;
    let bound = PortalConfig::tcp(at).map_err(failed)?;
    Ok(bound.listener)
}

/// On the reactor's thread.
fn build(
    r: &mut Reactor,
    lun: ChannelId,
    geometry: &Geometry,
    portals: Vec<(PortalSpec, Listener)>,
    chap: &Chap,
) -> Result<At, String> {
    let made = assemble(r, lun, geometry, portals, chap)?;
    let (service, handle) = TargetService::new(made.targets, lun, r.handle());
    Ok(At::Serving {
        service: r.add_service(Box::new(service)),
        ports: made.ports,
        _handle: handle,
        urls: made.urls,
    })
}
