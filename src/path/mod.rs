//! Nexuses and associations: how a LUN is reached, lost and reached again.

pub mod identity;
