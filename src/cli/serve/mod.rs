//! `umpio serve`: the daemon.

pub mod args;
pub mod run;
