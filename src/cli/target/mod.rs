//! `umpio target`: serve a LUN over NVMe/TCP.

pub mod args;
pub mod run;
pub mod serve;
