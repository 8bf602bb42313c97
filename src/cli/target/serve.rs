//! A target on a thread of its own: what `umpio target` runs and `umpio demo` embeds.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::args::Listen;
use crate::cli::drive::advice;
use crate::cli::error::CliError;
use crate::control::target::{Chap, TargetHandle, TargetService, Targets, assemble};
use crate::engine::driver::{Driver, DriverConfig};
use crate::engine::reactor::{LunSpec, Reactor, ReactorConfig};
use crate::front::fault::Fault;
use crate::lun::plane::ChannelId;
use crate::transport::listener::Listener;
use crate::transport::tcp::TcpOptions;

/// How long a LUN's first path gets to log in.
const LOGIN_MAX: Duration = Duration::from_secs(5);

/// What to serve, and where.
#[derive(Clone, Debug)]
pub struct ServeSpec {
    pub portals: Vec<Listen>,
    /// What is served: a local path, or a LUN over several.
    pub lun: LunSpec,
    pub cpu: Option<usize>,
}

/// A target that serves. Dropping it ends it.
#[derive(Debug)]
pub struct Served {
    driver: Driver,
    target: TargetHandle,
    /// One URL per portal, with the ports that were taken.
    pub urls: Vec<String>,
}

impl Served {
    /// Opens the backing and the portals, and serves everybody from then on.
    ///
    /// # Errors
    /// What could not be opened.
    pub fn start(spec: &ServeSpec) -> Result<Self, CliError> {
        Self::start_for(spec, &Chap::default())
    }

    /// The same for hosts that prove over iSCSI who they are.
    ///
    /// # Errors
    /// What could not be opened.
    pub fn start_for(spec: &ServeSpec, chap: &Chap) -> Result<Self, CliError> {
        let mut portals = Vec::with_capacity(spec.portals.len());
        for listen in &spec.portals {
            portals.push((listen.clone(), bind(listen)?));
        }
        let (tell, told) = channel();
        let (lun, chap) = (spec.lun.clone(), chap.clone());
        let driver = DriverConfig {
            name: "umpio-target".to_owned(),
            cpu: spec.cpu,
            ..DriverConfig::default()
        };
        let driver = Driver::start(ReactorConfig::default(), driver, move |r| {
            let result = build(r, &lun, portals, &chap).map(|(target, lun, urls)| {
                let (service, handle) = TargetService::new(target, lun, r.handle());
                r.add_service(Box::new(service));
                (handle, urls)
            });
            // Whoever starts the target waits for this.
            let _ = tell.send(result);
        })
        .map_err(|e| CliError::new("cannot start the target's thread").got(e))?;
        let (target, urls) = told
            .recv()
            .map_err(|_| CliError::new("the target's thread ended while it was set up"))??;
        Ok(Self {
            driver,
            target,
            urls,
        })
    }

    /// What other threads order it to do.
    pub fn handle(&self) -> &TargetHandle {
        &self.target
    }

    /// Switches a fault at the portal of that number.
    pub fn set_fault(&self, portal: usize, fault: Fault) {
        // A target that is gone has no faults.
        let _ = self.target.order(move |targets, _, now| {
            if let Err(e) = targets.set_fault(portal, fault, now) {
                tracing::error!("cannot switch {fault:?} at portal {portal}: {e}");
            }
        });
    }

    /// Ends it and waits for its thread.
    pub fn stop(self) {
        self.driver.stop();
    }
}

fn bind(listen: &Listen) -> Result<Listener, CliError> {
    let Listen {
        host,
        port,
        congestion,
        driver,
        ..
    } = listen;
    let failed = |e: std::io::Error| {
        let advice = match e.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program listens there; port 0 takes a free one"
            }
            std::io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
            std::io::ErrorKind::PermissionDenied => "ports below 1024 need privileges",
            std::io::ErrorKind::NotFound => "this kernel does not have that congestion control",
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
    let options = TcpOptions {
        congestion: congestion.clone(),
        driver: *driver,
        ..TcpOptions::default()
    };
    Listener::tcp(at, options).map_err(failed)
}

/// Everything that happens on the target's own thread before it serves.
fn build(
    r: &mut Reactor,
    spec: &LunSpec,
    portals: Vec<(Listen, Listener)>,
    chap: &Chap,
) -> Result<(Targets, ChannelId, Vec<String>), CliError> {
    let failed = |e: &dyn fmt::Display| {
        CliError::new("cannot open what is to be served")
            .tried(spec.urls.join("\n"))
            .got(e)
    };
    let lun = r.open_lun(spec).map_err(|e| failed(&e))?;
    await_first_path(r, lun).map_err(|why| {
        let tried = format!("{} for {LOGIN_MAX:?}", spec.urls.join("\n"));
        failed(&why).tried(tried).advice(advice(&why))
    })?;
    if let Some(policy) = spec.policy {
        // Asked for again now that it is known whether the paths can be equal.
        r.set_policy(lun, policy).map_err(|e| {
            CliError::new(format!("policy {policy} was refused"))
                .got(e)
                .advice("round-robin needs paths that are all equal; try round-robin-with-subset")
        })?;
    }
    let plane = r.plane();
    let geometry = plane.channel(lun).geometry.clone();
    let geometry = geometry.ok_or_else(|| failed(&"it does not say how large it is"))?;
    let portals = portals.into_iter().map(|(l, at)| (l.spec(), at)).collect();
    let made = assemble(r, lun, &geometry, portals, chap);
    let made = made.map_err(|why| CliError::new("cannot set up the target").got(why))?;
    Ok((made.targets, lun, made.urls))
}

/// Serving can begin with the first path; the others join as they come.
fn await_first_path(r: &mut Reactor, lun: ChannelId) -> Result<(), String> {
    let slice = Duration::from_millis(10);
    for _ in 0..LOGIN_MAX.as_millis() / slice.as_millis() {
        if r.await_paths(lun, slice).is_ok() {
            return Ok(());
        }
    }
    Err(r.status(lun).why_not_ready())
}
