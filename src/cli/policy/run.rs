//! `umpio policy replay`: a trace in, the same trace with umpio's answers out.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use super::args::{PolicyArgs, PolicyCommand, ReplayArgs};
use crate::cli::error::{CliError, Exit};
use crate::cli::units::count;
use crate::lun::policy::replay::{ReplayError, replay};

pub fn run(args: &PolicyArgs) -> Result<ExitCode, CliError> {
    match &args.command {
        PolicyCommand::Replay(args) => replay_file(args),
    }
}

fn replay_file(args: &ReplayArgs) -> Result<ExitCode, CliError> {
    let name = args.file.display().to_string();
    let cannot = |e: &dyn std::fmt::Display| {
        CliError::new("cannot replay the trace")
            .tried(name.clone())
            .got(e)
    };
    let input: Box<dyn BufRead> = if args.file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(&args.file).map_err(|e| cannot(&e))?;
        Box::new(BufReader::new(file))
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let result = replay(input.lines(), &mut out, args.check);
    // What was answered before the end is worth seeing, whatever the end was.
    let flushed = out.flush();
    match result.and_then(|s| flushed.map(|()| s).map_err(ReplayError::from)) {
        Ok(summary) => {
            let checked = match args.check {
                true => format!(", {} answers agree", count(summary.checked)),
                false => String::new(),
            };
            eprintln!("{} events replayed{checked}", count(summary.events));
            Ok(Exit::Ok.into())
        }
        Err(e @ ReplayError::Mismatch { .. }) => {
            let mut error = CliError::new("umpio answers otherwise than the trace")
                .tried(name)
                .got(e)
                .advice("everything behind the first difference is about another state of affairs");
            error.exit = Exit::BadData;
            Err(error)
        }
        // Whoever read the answers has seen enough.
        Err(ReplayError::Io(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok.into()),
        Err(e) => Err(cannot(&e)),
    }
}
