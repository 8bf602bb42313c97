//! `umpio path`.

pub mod args;
pub mod run;
