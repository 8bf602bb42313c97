//! A target on a thread of its own: what `umpio target` runs and `umpio demo` embeds.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::RawFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::args::Listen;
use crate::base::clock::{Time, wall_nanos};
use crate::cli::error::CliError;
use crate::engine::driver::{Driver, DriverConfig};
use crate::engine::reactor::{LunSpec, Reactor, ReactorConfig, Service};
use crate::front::nvme_tcp::{
    Fault, PortalConfig, PortalId, SubsystemConfig, Target, TargetConfig,
};
use crate::lun::plane::Plane;
use crate::lun::port::Ports;
use crate::path::access::AccessState;
use crate::proto::nvme::controller::AnaState;
use crate::transport::listener::Listener;
use crate::transport::tcp::TcpOptions;

/// What to serve, and where.
#[derive(Clone, Debug)]
pub struct ServeSpec {
    pub portals: Vec<Listen>,
    /// `mem:SIZE`, `null:SIZE` or `file:PATH`.
    pub backing: String,
    pub cpu: Option<usize>,
}

/// Something to do on the target's thread.
type Order = Box<dyn FnOnce(&mut Target, Time) + Send>;

/// The target as a service of its reactor.
struct Serving {
    target: Target,
    orders: Receiver<Order>,
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

impl Service for Serving {
    fn poll(&mut self, plane: &mut Plane, now: Time) -> bool {
        let mut worked = false;
        while let Ok(order) = self.orders.try_recv() {
            order(&mut self.target, now);
            worked = true;
        }
        self.target.poll(plane, now) || worked
    }

    fn next_deadline(&self) -> Time {
        Service::next_deadline(&self.target)
    }

    fn fds(&self, out: &mut Vec<(RawFd, bool)>) {
        Service::fds(&self.target, out);
    }
}

/// A target that serves. Dropping it ends it.
#[derive(Debug)]
pub struct Served {
    driver: Driver,
    orders: Sender<Order>,
    /// One URL per portal, with the ports that were taken.
    pub urls: Vec<String>,
}

impl Served {
    /// Opens the backing and the portals, and serves from then on.
    pub fn start(spec: &ServeSpec) -> Result<Self, CliError> {
        let mut portals = Vec::with_capacity(spec.portals.len());
        for listen in &spec.portals {
            portals.push((listen.clone(), bind(listen)?));
        }
        let (orders, inbox) = channel();
        let (tell, told) = channel();
        let backing = spec.backing.clone();
        let driver = DriverConfig {
            name: "umpio-target".to_owned(),
            cpu: spec.cpu,
            ..DriverConfig::default()
        };
        let driver = Driver::start(ReactorConfig::default(), driver, move |r| {
            let result = build(r, &backing, portals).map(|(target, urls)| {
                r.add_service(Box::new(Serving {
                    target,
                    orders: inbox,
                }));
                urls
            });
            // Whoever starts the target waits for this.
            let _ = tell.send(result);
        })
        .map_err(|e| CliError::new("cannot start the target's thread").got(e))?;
        let urls = told
            .recv()
            .map_err(|_| CliError::new("the target's thread ended while it was set up"))??;
        Ok(Self {
            driver,
            orders,
            urls,
        })
    }

    /// Switches a fault at the portal of that number.
    pub fn set_fault(&self, portal: usize, fault: Fault) {
        self.order(Box::new(move |target, now| {
            if let Err(e) = target.set_fault(PortalId(portal), fault, now) {
                tracing::error!("cannot switch {fault:?} at portal {portal}: {e}");
            }
        }));
    }

    fn order(&self, order: Order) {
        // A target that is gone has no faults, and one that sleeps is woken by any message.
        let _ = self.orders.send(order);
        let _ = self.driver.handle().send(|_| {});
    }

    /// Ends it and waits for its thread.
    pub fn stop(self) {
        self.driver.stop();
    }
}

fn bind(listen: &Listen) -> Result<Listener, CliError> {
    let Listen { host, port, .. } = listen;
    let failed = |e: std::io::Error| {
        let advice = match e.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program listens there; port 0 takes a free one"
            }
            std::io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
            std::io::ErrorKind::PermissionDenied => "ports below 1024 need privileges",
            _ => "check host and port",
        };
        CliError::new("cannot listen")
            .tried(format!("{host}, port {port}"))
            .got(e)
            .advice(advice)
    };
    let mut found = (host.as_str(), *port).to_socket_addrs().map_err(failed)?;
    let at: SocketAddr = found.next().ok_or_else(|| {
        CliError::new("cannot listen").tried(format!("{host}, which has no address"))
    })?;
    Listener::tcp(at, TcpOptions::default()).map_err(failed)
}

/// Everything that happens on the target's own thread before it serves.
fn build(
    r: &mut Reactor,
    backing: &str,
    portals: Vec<(Listen, Listener)>,
) -> Result<(Target, Vec<String>), CliError> {
    let failed = |e: &dyn fmt::Display| {
        CliError::new("cannot open the backing")
            .tried(backing)
            .got(e)
    };
    let lun = LunSpec {
        name: "backing".to_owned(),
        urls: vec![backing.to_owned()],
        ..LunSpec::default()
    };
    let lun = r.open_lun(&lun).map_err(|e| failed(&e))?;
    r.await_paths(lun, Duration::from_secs(2))
        .map_err(|e| failed(&e))?;
    let port = r.open_port(lun);
    let geometry = r.plane().geometry(port);
    let geometry = geometry.ok_or_else(|| failed(&"it does not say how large it is"))?;
    let mut target = Target::new(TargetConfig {
        seed: wall_nanos(),
        ..TargetConfig::default()
    });
    let refused = |e: &dyn fmt::Display| CliError::new("cannot set up the target").got(e);
    let mut known: Vec<String> = Vec::new();
    let mut urls = Vec::with_capacity(portals.len());
    for (listen, listener) in portals {
        let nqn = listen.nqn;
        if !known.contains(&nqn) {
            target
                .add_subsystem(SubsystemConfig::new(&nqn))
                .map_err(|e| refused(&e))?;
            target
                .add_namespace(&nqn, 1, port, &geometry.identity, r.plane())
                .map_err(|e| refused(&e))?;
            known.push(nqn.clone());
        }
        let portal = target.add_portal(PortalConfig {
            group: listen.group,
            access: ana(listen.access),
            ..PortalConfig::new(listener)
        });
        let address = target.portal_address(portal);
        urls.push(format!("nvme-tcp://{}/{nqn}", address.unwrap_or_default()));
    }
    Ok((target, urls))
}

/// ANA has no standby; the nearest thing refuses I/O as well.
fn ana(state: AccessState) -> AnaState {
    match state {
        AccessState::Optimized => AnaState::Optimized,
        AccessState::NonOptimized => AnaState::NonOptimized,
        AccessState::Standby | AccessState::Unavailable => AnaState::Inaccessible,
        AccessState::Transitioning => AnaState::Change,
        AccessState::Lost => AnaState::PersistentLoss,
    }
}
