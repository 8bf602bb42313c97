//! Arguments of `umpio mpclaim`: Windows' own, so they are read by hand.

use clap::Args;

use crate::cli::client::SocketArg;

const EXAMPLES: &str = "\
Examples:
  umpio mpclaim -s -d            # MPIO disks
  umpio mpclaim -s -d 0          # one disk with its paths
  umpio mpclaim -s -m            # DSM-wide policy
  umpio mpclaim -l -d 0 4        # disk 0: least queue depth; 0 clears
  umpio mpclaim -l -d 0 1 77050007   # fail over, with this path (hex id) active
  umpio mpclaim -l -m 3          # DSM-wide: round robin with subset; 0 clears

Policies: 1 FOO, 2 RR, 3 RRWS, 4 LQD, 5 WP, 6 LB. Disk numbers are those of lun list.";

/// Look at and set policies as Windows' mpclaim does
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct MpclaimArgs {
    #[command(flatten)]
    pub socket: SocketArg,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
    /// `-s -d [N]`, `-s -m`, `-l -d N POLICY [PATH...]`, `-l -m POLICY`
    #[arg(value_name = "ARGS", allow_hyphen_values = true, num_args = 1.., required = true)]
    pub words: Vec<String>,
}

/// What the words mean.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    ShowDisks,
    ShowDisk(u64),
    ShowDefault,
    SetDisk {
        disk: u64,
        policy: u64,
        /// Nexus ids.
        paths: Vec<u64>,
    },
    SetDefault(u64),
}

impl Wanted {
    /// # Errors
    /// What is wrong with the words.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let lower: Vec<String> = words.iter().map(|w| w.to_ascii_lowercase()).collect();
        let words: Vec<&str> = lower.iter().map(String::as_str).collect();
        match words[..] {
            ["-s", "-d"] => Ok(Self::ShowDisks),
            ["-s", "-d", disk] => Ok(Self::ShowDisk(number(disk, "a disk number")?)),
            ["-s", "-m"] => Ok(Self::ShowDefault),
            ["-l", "-d", disk, policy, ref paths @ ..] => Ok(Self::SetDisk {
                disk: number(disk, "a disk number")?,
                policy: self::policy(policy)?,
                paths: paths.iter().map(|p| path(p)).collect::<Result<_, _>>()?,
            }),
            ["-l", "-m", policy] => Ok(Self::SetDefault(self::policy(policy)?)),
            _ => Err(
                "known are -s -d [N], -s -m, -l -d N POLICY [PATH...] and -l -m POLICY".to_owned(),
            ),
        }
    }
}

fn number(text: &str, what: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("'{text}' is not {what}"))
}

fn policy(text: &str) -> Result<u64, String> {
    let n = text.parse().ok().filter(|n| *n <= 6);
    n.ok_or_else(|| format!("'{text}' is no policy: 0 (clear) to 6"))
}

fn path(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).map_err(|_| format!("'{text}' is no path id (hexadecimal)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Wanted, String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Wanted::parse(&words)
    }

    #[test]
    fn the_forms_of_windows_are_read() {
        assert_eq!(parse("-s -d"), Ok(Wanted::ShowDisks));
        assert_eq!(parse("-S -D 3"), Ok(Wanted::ShowDisk(3)));
        assert_eq!(parse("-s -m"), Ok(Wanted::ShowDefault));
        assert_eq!(parse("-L -M 0"), Ok(Wanted::SetDefault(0)));
        let set = Wanted::SetDisk {
            disk: 1,
            policy: 1,
            paths: vec![0x7705_0007, 0x1F],
        };
        assert_eq!(parse("-l -d 1 1 0000000077050007 0x1f"), Ok(set));
        for bad in [
            "-s",
            "-l -d 0",
            "-l -d 0 7",
            "-l -d x 1",
            "-l -d 0 1 zz",
            "-l -m 9",
            "-e",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
