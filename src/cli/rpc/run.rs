//! What `umpio rpc` asks and prints.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::args::RpcArgs;
use crate::cli::error::{CliError, Exit};
use crate::cli::json;
use crate::control::rpc::openrpc;

pub fn run(args: &RpcArgs) -> Result<ExitCode, CliError> {
    if args.markdown {
        if args.method != "rpc.discover" {
            return Err(CliError::usage("--markdown goes with rpc.discover only"));
        }
        print!("{}", openrpc::markdown());
        return Ok(Exit::Ok.into());
    }
    let params: Value = match &args.params {
        None => json!({}),
        Some(text) => serde_json::from_str(text).map_err(|e| {
            CliError::usage("the parameters are no JSON")
                .tried(text.clone())
                .got(e)
                .advice("quote the object: '{\"lun\": \"a\"}'")
        })?,
    };
    let result = args.socket.call(&args.method, params)?;
    match (args.json, result) {
        (true, result) => json::print(&json!({ "result": result })),
        (false, Value::String(text)) => println!("{text}"),
        (false, result) => match serde_json::to_string_pretty(&result) {
            Ok(text) => println!("{text}"),
            Err(e) => return Err(CliError::new("the answer cannot be printed").got(e)),
        },
    }
    Ok(Exit::Ok.into())
}
