//! `umpio demo`: target, paths, cuts, policy changes, in one command.

pub mod args;
pub mod run;
pub mod story;
