//! Nexuses and associations: how a LUN is reached, lost and reached again.
//!
//! - [`url`]: what a path is configured as;
//! - [`nexus`]: initiator port and target port, with the stable id;
//! - [`state`]: the states of an association, one table and one checked setter;
//! - [`association`]: the live login of a nexus on one reactor;
//! - [`nvme_link`]: an association's NVMe/TCP half: protocol machine and connections;
//! - [`iscsi_link`]: its iSCSI half, a session of one connection or several, with `iscsi_lane` (the
//!   transport of one), [`iscsi_session`] (what others see of it), [`iscsi_url`], `iscsi_unit` and
//!   [`scsi_outcome`] beside it;
//! - [`local`]: an association without a transport;
//! - [`outcome`]: what a path says of a request;
//! - [`loss`]: a lost association, and what proves that nothing of it is left executing;
//! - [`set`]: all associations of one reactor;
//! - [`link_watch`]: link changes, on which nexuses retry at once;
//! - [`access`], [`identity`]: what a target says about a path, and which LUN it is.

pub mod access;
pub mod association;
pub mod dialer;
pub mod identity;
mod iscsi_lane;
pub mod iscsi_link;
pub mod iscsi_session;
mod iscsi_unit;
pub mod iscsi_url;
pub mod link_watch;
pub mod local;
pub mod loss;
pub mod nexus;
pub mod nvme_link;
pub mod outcome;
pub mod reason;
pub mod scsi_outcome;
pub mod set;
pub mod state;
pub mod unit;
pub mod url;
