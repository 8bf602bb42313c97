//! Fuzz targets as plain functions over bytes: `fuzz/` hands them to libFuzzer, `tests/fuzz_seeds.rs`
//! to a seeded generator in `cargo test`. No part of the interface of this crate.
//!
//! A target never panics, whatever the bytes: a panic is a finding. Beyond that each checks what must
//! hold of its subject: what is accepted reads the same again after it was written, every request
//! comes back once, every buffer lent is given back.

mod association;
mod commands;
mod controller_queue;
mod host_queue;
mod input;
mod iscsi_login;
mod iscsi_mcs;
mod iscsi_pdu;
mod iscsi_session;
mod iscsi_target;
mod layouts;
mod logs;
mod pdu;
mod policy;
mod rpc;
mod scsi;
mod state;
mod text;
mod wire;

use input::Input;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Also the name of its binary in `fuzz/fuzz_targets`.
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Inputs to mutate that get past the first checks.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "pdu",
        run: pdu::run,
        seeds: pdu::seeds,
    },
    Target {
        name: "commands",
        run: commands::run,
        seeds: commands::seeds,
    },
    Target {
        name: "connect_data",
        run: commands::run_connect_data,
        seeds: commands::connect_data_seeds,
    },
    Target {
        name: "identify",
        run: logs::run_identify,
        seeds: logs::identify_seeds,
    },
    Target {
        name: "ana_log",
        run: logs::run_ana,
        seeds: logs::ana_seeds,
    },
    Target {
        name: "ccr_log",
        run: logs::run_ccr,
        seeds: logs::ccr_seeds,
    },
    Target {
        name: "path_url",
        run: text::run_url,
        seeds: text::url_seeds,
    },
    Target {
        name: "local_spec",
        run: text::run_local,
        seeds: text::local_seeds,
    },
    Target {
        name: "layouts",
        run: layouts::run,
        seeds: layouts::seeds,
    },
    Target {
        name: "rpc",
        run: rpc::run,
        seeds: rpc::seeds,
    },
    Target {
        name: "state",
        run: state::run,
        seeds: state::seeds,
    },
    Target {
        name: "policy_trace",
        run: text::run_trace,
        seeds: text::trace_seeds,
    },
    Target {
        name: "policy",
        run: policy::run,
        seeds: policy::seeds,
    },
    Target {
        name: "host_queue",
        run: host_queue::run,
        seeds: host_queue::seeds,
    },
    Target {
        name: "controller_queue",
        run: controller_queue::run,
        seeds: controller_queue::seeds,
    },
    Target {
        name: "association",
        run: association::run,
        seeds: association::seeds,
    },
    Target {
        name: "iscsi_pdu",
        run: iscsi_pdu::run,
        seeds: iscsi_pdu::seeds,
    },
    Target {
        name: "iscsi_text",
        run: iscsi_login::run_text,
        seeds: iscsi_login::text_seeds,
    },
    Target {
        name: "iscsi_target_login",
        run: iscsi_login::run_target,
        seeds: iscsi_login::target_seeds,
    },
    Target {
        name: "iscsi_initiator_login",
        run: iscsi_login::run_initiator,
        seeds: iscsi_login::initiator_seeds,
    },
    Target {
        name: "iscsi_send_targets",
        run: iscsi_login::run_send_targets,
        seeds: iscsi_login::send_targets_seeds,
    },
    Target {
        name: "iscsi_session",
        run: iscsi_session::run,
        seeds: iscsi_session::seeds,
    },
    Target {
        name: "iscsi_mcs",
        run: iscsi_mcs::run,
        seeds: iscsi_mcs::seeds,
    },
    Target {
        name: "iscsi_target_conn",
        run: iscsi_target::run,
        seeds: iscsi_target::seeds,
    },
    Target {
        name: "scsi_command",
        run: scsi::run_command,
        seeds: scsi::command_seeds,
    },
    Target {
        name: "scsi_data",
        run: scsi::run_data,
        seeds: scsi::data_seeds,
    },
];

/// Runs the target of that name.
///
/// # Panics
/// There is none of that name, or it has found something.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS
        .iter()
        .find(|t| t.name == name)
        .expect("a target of TARGETS");
    (target.run)(bytes);
}
