//! `umpio mpclaim`: the daemon's LUNs in the shape of Windows' tool.

pub mod args;
pub mod run;
