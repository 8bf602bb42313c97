//! `umpio target`: serve a LUN over NVMe/TCP and iSCSI.

pub mod args;
pub mod run;
pub mod serve;
