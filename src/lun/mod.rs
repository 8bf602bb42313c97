//! The protocol-free waist: requests, routes, policies, retry, the fence.

pub mod port;
