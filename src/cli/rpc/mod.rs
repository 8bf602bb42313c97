//! `umpio rpc`.

pub mod args;
pub mod run;
