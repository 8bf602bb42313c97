//! `umpio lun`.

pub mod args;
pub mod run;
