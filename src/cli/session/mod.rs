//! `umpio session`: iSCSI sessions and their connections (MC/S).

pub mod args;
pub mod run;
