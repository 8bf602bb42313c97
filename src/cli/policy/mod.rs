//! `umpio policy`: look at policies, set them, replay traces of choices.

pub mod args;
pub mod run;
