//! The command as a whole: its subcommands, and how a run ends.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::bench::args::BenchArgs;
use super::demo::args::DemoArgs;
use super::discover::args::DiscoverArgs;
use super::error::CliError;
use super::events::args::EventsArgs;
use super::lun::args::LunArgs;
use super::mpclaim::args::MpclaimArgs;
use super::path::args::PathArgs;
use super::policy::args::PolicyArgs;
use super::rpc::args::RpcArgs;
use super::serve::args::ServeArgs;
use super::session::args::SessionArgs;
use super::sim::args::SimArgs;
use super::target::args::TargetArgs;
use super::{
    bench, demo, discover, events, lun, mpclaim, path, policy, rpc, serve, session, sim, target,
};

const AFTER: &str = "\
Try it: umpio demo

A path is a URL: nvme-tcp://HOST[:4420]/SUBSYSTEM-NQN[?nsid=N&src=IP&iface=NAME&hdgst=1&ddgst=1],
mem:SIZE, null:SIZE or file:PATH. Several --path of one LUN are one LUN over several paths.";

/// User-space MPIO: one LUN over several paths, with fenced failover and the Windows policies
#[derive(Debug, Parser)]
#[command(name = "umpio", version, after_help = AFTER, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Demo(DemoArgs),
    Target(TargetArgs),
    Bench(Box<BenchArgs>),
    Discover(DiscoverArgs),
    Serve(ServeArgs),
    Lun(LunArgs),
    Path(PathArgs),
    Session(SessionArgs),
    Policy(PolicyArgs),
    Events(EventsArgs),
    Rpc(RpcArgs),
    Mpclaim(MpclaimArgs),
    Sim(SimArgs),
    Completions(CompletionsArgs),
}

/// Print completions for a shell
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: umpio completions bash > /etc/bash_completion.d/umpio")]
pub struct CompletionsArgs {
    pub shell: clap_complete::Shell,
}

/// Parses the arguments, does what they say, and tells how it went.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let (json, result): (bool, Result<ExitCode, CliError>) = match &cli.command {
        Command::Bench(args) => (args.json, bench::run::run(args)),
        Command::Demo(args) => (args.json, demo::run::run(args)),
        Command::Discover(args) => (args.json, discover::run::run(args)),
        Command::Serve(args) => (args.json, serve::run::run(args)),
        Command::Lun(args) => (args.json, lun::run::run(args)),
        Command::Path(args) => (args.json, path::run::run(args)),
        Command::Session(args) => (args.json, session::run::run(args)),
        Command::Events(args) => (args.json, events::run::run(args)),
        Command::Mpclaim(args) => (args.json, mpclaim::run::run(args)),
        Command::Rpc(args) => (args.json, rpc::run::run(args)),
        Command::Policy(args) => (policy::run::is_json(args), policy::run::run(args)),
        Command::Completions(args) => {
            let mut command = <Cli as clap::CommandFactory>::command();
            clap_complete::generate(args.shell, &mut command, "umpio", &mut std::io::stdout());
            return ExitCode::SUCCESS;
        }
        Command::Sim(args) => (args.json, sim::run::run(args)),
        Command::Target(args) => (args.json, target::run::run(args)),
    };
    result.unwrap_or_else(|e| e.report(json))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::bench::args::Rw;
    use crate::front::workload::Sizes;

    fn bench(line: &str) -> Result<BenchArgs, String> {
        let words = ["umpio", "bench"].into_iter().chain(line.split(' '));
        match Cli::try_parse_from(words) {
            Ok(Cli {
                command: Command::Bench(b),
            }) => Ok(*b),
            Ok(other) => panic!("parsed as {other:?}"),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn the_definition_is_sound_and_every_help_shows_an_example() {
        Cli::command().debug_assert();
        for sub in Cli::command().get_subcommands_mut() {
            let name = sub.get_name().to_owned();
            let help = sub.render_long_help().to_string();
            let example = format!("umpio {name}");
            assert!(
                help.contains("Example") && help.contains(&example),
                "{help}"
            );
        }
    }

    #[test]
    fn bench_has_the_defaults_of_the_contract() {
        let b = bench("--path mem:64M").expect("valid");
        assert_eq!((b.rw, b.rwmixread, b.iodepth), (Rw::RandRead, 70, 32));
        assert_eq!(b.bs, Sizes::one(4096));
        assert_eq!(b.runtime, Duration::from_secs(10));
        assert!(!b.verify && !b.destroy && !b.json && b.rate.is_none());
    }

    #[test]
    fn bench_takes_what_the_contract_says() {
        let b = bench(
            "--path mem:64M --path mem:64M --policy RR --rw randrw --rwmixread 30 --bs 512..1M \
             --iodepth 8 --runtime 500ms --rate 1000 --cpu 1 --transport tcp --verify --destroy \
             --json --hdr a.hlog --report a.html",
        )
        .expect("valid");
        assert_eq!(b.paths.len(), 2);
        assert_eq!(b.bs, Sizes::Range(512, 1 << 20));
        assert_eq!(b.rate, Some(1000));
        assert_eq!(b.policy.expect("given").to_string(), "round-robin");
        assert!(b.check().is_ok());
        let rules = b.spec(1).verify.expect("asked for");
        assert!(!rules.fresh && rules.tears_beside_writes);
        let nvme =
            bench("--path nvme-tcp://h/nqn.x --rw randrw --verify --destroy").expect("valid");
        let rules = nvme.spec(1).verify.expect("asked for");
        assert!(!rules.tears_beside_writes, "NVMe promises whole blocks");
    }

    #[test]
    fn bench_refuses_with_words_that_help() {
        let bad = |line: &str| bench(line).expect_err(line);
        assert!(bad("--rw randread").contains("--path"));
        assert!(bad("--path mem:1M --policy best").contains("least-queue-depth"));
        assert!(bad("--path mem:1M --bs 4q").contains("4k"));
        assert!(bad("--path mem:1M --rwmixread 101").contains("100"));
        assert!(bad("--path mem:1M --iodepth 0").contains('1'));
        let check = |line: &str| {
            let e = bench(line).expect(line).check().expect_err(line);
            (e.exit as u8, e.to_string())
        };
        let (exit, text) = check("--path nvme-tcp://h/n --rw write");
        assert!(exit == 2 && text.contains("--destroy"), "{text}");
        assert!(check("--path mem:1M --verify").1.contains("writes nothing"));
        assert!(
            check("--path null:1M --rw randrw --verify")
                .1
                .contains("null:")
        );
    }

    #[test]
    fn demo_has_its_numbers() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        let Ok(Cli {
            command: Command::Demo(d),
        }) = parse("umpio demo --seconds 3 --policy LQD --json")
        else {
            panic!("demo");
        };
        assert!(d.json && d.seconds == Duration::from_secs(3));
        assert!(parse("umpio demo --seconds 1").is_err());
        assert!(
            parse("umpio top").is_err(),
            "what does not exist is not there"
        );
    }
}
