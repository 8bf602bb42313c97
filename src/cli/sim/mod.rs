//! `umpio sim`: the deterministic simulator, seed by seed.

pub mod args;
pub mod run;
