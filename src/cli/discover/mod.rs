//! `umpio discover`: what a portal has to offer.

pub mod args;
pub mod ask;
pub mod luns;
pub mod patience;
pub mod run;
