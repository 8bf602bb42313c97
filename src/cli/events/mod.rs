//! `umpio events`.

pub mod args;
pub mod run;
