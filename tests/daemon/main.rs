//! `umpio serve` as its users meet it: a config file, a socket, signals, restarts.

mod busy;
mod codes;
mod defaults;
mod errors;
mod iscsi;
mod kit;
mod load;
mod objects;
mod persistence;
mod reload;
mod sessions;
mod story;
