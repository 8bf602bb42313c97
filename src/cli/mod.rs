//! The command line: argument types, and what each subcommand prints.
//!
//! A subcommand has its own folder: `args` is what it takes, `run` is what it does. What all
//! share is here: [`error`] (how failure is told), [`term`] (colour, redrawing), [`units`],
//! [`json`], and [`report`] (what a run measured: JSON, table, HDR file, HTML page).

pub mod app;
pub mod bench;
pub mod client;
pub mod demo;
pub mod discover;
pub mod drive;
pub mod error;
pub mod events;
pub mod facts;
pub mod json;
pub mod live;
pub mod lun;
pub mod mpclaim;
pub mod path;
pub mod policy;
pub mod report;
pub mod rpc;
pub mod serve;
pub mod session;
pub mod sim;
pub mod stop;
pub mod tables;
pub mod target;
pub mod term;
pub mod units;
