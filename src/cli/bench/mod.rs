//! `umpio bench`: measure, and check, I/O over given paths.

pub mod args;
pub mod run;
