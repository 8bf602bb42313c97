//! One discovery session over a socket of its own: nothing here is in the way of an I/O, so it
//! simply waits.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

use super::patience::Patience;
use crate::proto::iscsi::discovery::{Ask, Portal, Target};
use crate::proto::iscsi::login::InitiatorConfig;
use crate::proto::iscsi::send_targets::{DiscoverFailure, SendTargets};

/// Portals that may send us on one after the other.
const REDIRECTIONS_MAX: u32 = 4;

/// Asks the portal for all its targets, and the portal it sends us to instead where it does.
/// `patience` is for the connection and for each answer, and for all of them.
///
/// # Errors
/// What was tried last, and what came back, in words.
pub fn targets(
    portal: &Portal,
    config: &InitiatorConfig,
    mut entropy: impl FnMut() -> [u8; 32],
    patience: &Patience,
) -> Result<Vec<Target>, String> {
    let mut portal = portal.clone();
    for _ in 0..=REDIRECTIONS_MAX {
        let client = SendTargets::start(config.clone(), Ask::All, entropy());
        match one(&portal, client, patience)? {
            Err(DiscoverFailure::Redirected(to)) => {
                portal = Portal::from_value(&to).ok_or_else(|| {
                    format!("the portal sends discovery to '{to}', which is no address")
                })?;
            }
            Err(e) => return Err(e.to_string()),
            Ok(found) => return Ok(found),
        }
    }
    Err(format!(
        "sent on from portal to portal more than {REDIRECTIONS_MAX} times"
    ))
}

/// The outer error is the network's.
fn one(
    portal: &Portal,
    mut client: SendTargets,
    patience: &Patience,
) -> Result<Result<Vec<Target>, DiscoverFailure>, String> {
    let name = format!("{}:{}", portal.host, portal.port);
    let at = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            format!("{name}: {}", patience.why())
        }
        _ => format!("{name}: {e}"),
    };
    let next = || patience.next().map_err(|e| format!("{name}: {e}"));
    let mut last = None;
    let mut stream = None;
    for address in (portal.host.as_str(), portal.port)
        .to_socket_addrs()
        .map_err(at)?
    {
        match TcpStream::connect_timeout(&address, next()?) {
            Ok(s) => {
                stream = Some(s);
                break;
            }
            Err(e) => last = Some(e),
        }
    }
    let Some(mut stream) = stream else {
        return Err(last.map_or_else(|| format!("{name}: no address"), at));
    };
    let mut buffer = [0; 8192];
    loop {
        let limit = Some(next()?);
        stream.set_read_timeout(limit).map_err(at)?;
        stream.set_write_timeout(limit).map_err(at)?;
        let out = client.output();
        stream.write_all(&out).map_err(at)?;
        if client.is_over() {
            return Ok(client.result());
        }
        match stream.read(&mut buffer).map_err(at)? {
            0 => client.closed(),
            n => client.receive(&buffer[..n]),
        }
    }
}
