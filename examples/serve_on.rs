//! A gateway in a page: opens a LUN over the paths given and serves it on over NVMe/TCP, from the
//! same reactor. Payload goes from socket to socket through one buffer, in one thread.
//!
//! ```text
//! cargo run --release --example serve_on -- 127.0.0.1:4430 nvme-tcp://10.0.0.1/nqn.x nvme-tcp://10.0.1.1/nqn.x
//! cargo run --release --example serve_on -- 127.0.0.1:4430 mem:1G
//! ```

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;
use umpio::front::block::{Engine, LunSpec};
use umpio::front::nvme_tcp::{PortalConfig, SubsystemConfig, Target, TargetConfig};
use umpio::transport::listener::Listener;
use umpio::transport::tcp::TcpOptions;

const NQN: &str = "nqn.2026-01.org.example:gateway";
const REPORT_EVERY: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match example() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("serve_on: {e}");
            ExitCode::FAILURE
        }
    }
}

fn example() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "serve_on ADDRESS:PORT PATH-URL…";
    let listen = args
        .next()
        .ok_or(usage)?
        .parse()
        .map_err(|e| format!("{usage}: {e}"))?;
    let urls: Vec<String> = args.collect();
    if urls.is_empty() {
        return Err(usage.into());
    }

    // The LUN, over whatever paths it has.
    let mut engine = Engine::new(Default::default())?;
    let lun = engine.open_lun(&LunSpec {
        name: "gateway".to_owned(),
        urls,
        ..Default::default()
    })?;
    engine.await_lun(lun, Duration::from_secs(10))?;
    let geometry = engine.geometry(lun).ok_or("ready LUNs have a geometry")?;

    // Served on under its own identity, so that a host may reach it directly as well.
    let port = engine.reactor().open_port(lun.id());
    let mut target = Target::new(TargetConfig::default());
    target.add_subsystem(SubsystemConfig::new(NQN))?;
    target.add_namespace(NQN, 1, port, &geometry.identity, engine.reactor().plane())?;
    let portal = target.add_portal(PortalConfig::new(Listener::tcp(
        listen,
        TcpOptions::default(),
    )?));
    let address = target.portal_address(portal).ok_or("it was just added")?;
    engine.reactor().add_service(Box::new(target));
    println!(
        "{} MiB served at nvme-tcp://{address}/{NQN}",
        geometry.bytes() >> 20
    );

    let mut next_report = engine.reactor().now() + REPORT_EVERY;
    loop {
        if !engine.poll() {
            engine.wait(Duration::from_millis(100));
        }
        if engine.reactor().now() >= next_report {
            next_report += REPORT_EVERY;
            for path in engine.status(lun).paths {
                println!(
                    "{}: {}, {} I/Os, {} MiB",
                    path.url,
                    path.state,
                    path.stats.ios,
                    path.stats.bytes >> 20
                );
            }
        }
    }
}
