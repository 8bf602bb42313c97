//! Arguments of `umpio discover`.

use std::time::Duration;

use clap::Args;

use crate::cli::units::parse_duration;
use crate::path::iscsi_url::Secret;
use crate::proto::iscsi::chap;
use crate::proto::iscsi::discovery::Portal;

const EXAMPLES: &str = "\
Examples:
  umpio discover iscsi://192.0.2.10
  umpio discover iscsi://[2001:db8::1]:3261 --json
  umpio discover iscsi://user%secret@192.0.2.10    # CHAP

Lists the targets that a portal tells of (SendTargets), with the portals of each and their portal
group tags, and logs in to each portal group for its LUNs (REPORT LUNS): number, size, block size, access
state, identity, and what the device calls itself. --no-luns leaves the logins out.

Exit status: 0 the portal answered, and each target told its LUNs over one portal group at least; 1 it could
not be reached or refused, or a target did not tell its LUNs; 2 wrong usage.";

/// List the targets, portals and LUNs that an iSCSI portal leads to
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DiscoverArgs {
    /// The portal to ask
    #[arg(value_name = "iscsi://[USER%SECRET@]HOST[:PORT]", value_parser = parse)]
    pub url: DiscoverUrl,

    /// Name to log in with
    #[arg(
        long,
        value_name = "IQN",
        default_value = "iqn.2026-01.net.umpio:discover"
    )]
    pub initiator_name: String,

    /// How long to wait for each answer
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub timeout: Duration,

    /// How long all of it may take
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub deadline: Duration,

    /// Do not log in to the targets for their LUNs
    #[arg(long)]
    pub no_luns: bool,

    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// What to ask, and who we are there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiscoverUrl {
    pub portal: Portal,
    pub chap: Option<Secret>,
}

impl DiscoverUrl {
    /// Who we are, for a login.
    pub fn credentials(&self) -> Option<chap::Credentials> {
        let s = self.chap.as_ref()?;
        Some(chap::Credentials {
            name: s.name.clone(),
            secret: chap::Secret::new(&s.secret)?,
        })
    }
}

fn parse(url: &str) -> Result<DiscoverUrl, String> {
    let form = "iscsi://[USER%SECRET@]HOST[:PORT] is wanted";
    let rest = url.strip_prefix("iscsi://").ok_or(form)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    // A secret may contain '@'; a host may not.
    let (who, place) = match rest.rsplit_once('@') {
        Some((who, place)) => (Some(who), place),
        None => (None, rest),
    };
    if place.contains('/') {
        return Err("a portal is asked for its targets: leave the target out".to_owned());
    }
    let portal = Portal::from_value(place)
        .filter(|_| !place.contains(','))
        .ok_or(form)?;
    let chap = match who {
        None => None,
        Some(who) => {
            let (name, secret) = who
                .split_once('%')
                .filter(|(name, _)| !name.is_empty())
                .ok_or("the CHAP secret is missing after the user: USER%SECRET@HOST")?;
            chap::Secret::new(secret).ok_or("the CHAP secret has 1 to 255 bytes")?;
            Some(Secret {
                name: name.to_owned(),
                secret: secret.to_owned(),
            })
        }
    };
    Ok(DiscoverUrl { portal, chap })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_read_and_refused() {
        let u = parse("iscsi://192.0.2.1").expect("valid");
        assert_eq!((&u.portal.host[..], u.portal.port), ("192.0.2.1", 3260));
        assert_eq!(u.chap, None);
        let u = parse("iscsi://me%a@b@[::1]:3261/").expect("valid");
        assert_eq!((&u.portal.host[..], u.portal.port), ("::1", 3261));
        assert_eq!(u.chap.map(|c| c.name).as_deref(), Some("me"));
        for (wrong, word) in [
            ("nvme-tcp://h", "iscsi://"),
            ("iscsi://", "HOST"),
            ("iscsi://h/iqn.a/0", "leave the target out"),
            ("iscsi://me@h", "secret is missing"),
            ("iscsi://me%@h", "1 to 255"),
        ] {
            let e = parse(wrong).expect_err(wrong);
            assert!(e.contains(word), "{wrong}: {e}");
        }
    }
}
