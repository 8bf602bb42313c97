//! `umpio policy`: what can be done with policies; so far, replaying a trace of choices.

pub mod args;
pub mod run;
