//! The device server: every command, what it comes to and what it is refused for.

mod about;
mod blocks;
mod limits;

use super::*;
use crate::base::error::{ErrorKind, IoError};
use crate::base::request::Op;
use crate::proto::scsi::{
    Association, Command, DesignatorKind, Designators, Provisioning, UnmapRange, put_unmap,
    read_caching, read_capacity10, read_capacity16, read_luns, read_page, read_serial,
    read_target_port_groups,
};

const BLOCKS: u64 = 4096;

fn unit() -> LogicalUnit {
    let identity = Identity {
        uuid: Some([7; 16]),
        nguid: Some([8; 16]),
        eui64: Some([9; 8]),
        ..Identity::default()
    };
    LogicalUnit {
        lun: 0,
        port: PortId(0),
        serial: "0707".to_owned(),
        identity: identity.clone(),
        geometry: Some(Geometry {
            block_size: 512,
            blocks: BLOCKS,
            max_transfer_blocks: 2048,
            volatile_cache: true,
            discard: true,
            write_zeroes: true,
            compare: true,
            compare_and_write: true,
            identity,
        }),
        descriptor_sense: false,
    }
}

fn plain() -> LogicalUnit {
    let mut u = unit();
    let g = u.geometry.as_mut().expect("it has one");
    (g.discard, g.write_zeroes, g.compare, g.compare_and_write) = (false, false, false, false);
    u
}

fn view(access: AccessState) -> View<'static> {
    let group = |group: u16, state: AccessState| PortGroup {
        group,
        state: group_state(state) as u8,
        preferred: false,
        supported: SUPPORTED_STATES,
        status: 0,
        ports: vec![group],
    };
    View {
        target: "iqn.2026-01.io.umpio:t".into(),
        group: 1,
        port: 1,
        access,
        groups: vec![group(1, access), group(2, AccessState::Standby)].into(),
        luns: vec![0, 1, 300].into(),
    }
}

/// What a descriptor block comes to, with its parameter data.
fn through(u: &LogicalUnit, access: AccessState, cdb: &[u8]) -> (Plan, Vec<u8>) {
    let mut block = [0; 16];
    block[..cdb.len()].copy_from_slice(cdb);
    let mut out = Vec::new();
    let plan = match Command::parse(&block) {
        Ok(c) => u.plan(&c, &view(access), &mut out),
        Err(sense) => Plan::Refused(sense),
    };
    (plan, out)
}

fn ask(u: &LogicalUnit, cdb: &[u8]) -> Plan {
    through(u, AccessState::Optimized, cdb).0
}

fn data(u: &LogicalUnit, cdb: &[u8]) -> Vec<u8> {
    let (plan, out) = through(u, AccessState::Optimized, cdb);
    assert_eq!(plan, Plan::Data, "{cdb:02x?}");
    out
}

fn parameters(u: &mut LogicalUnit, cdb: &[u8], list: &[u8]) -> Plan {
    let mut block = [0; 16];
    block[..cdb.len()].copy_from_slice(cdb);
    let c = Command::parse(&block).expect("a known command");
    let v = view(AccessState::Optimized);
    let n = list.len() as u32;
    assert_eq!(u.plan(&c, &v, &mut Vec::new()), Plan::Parameters(n));
    u.parameters(&c, list, &v)
}

/// Sense key, ASC and ASCQ of a refusal.
fn refusal(plan: &Plan) -> (Key, u16) {
    match plan {
        Plan::Refused(sense) => (sense.key, sense.code),
        other => panic!("{other:?}"),
    }
}

const ILLEGAL_FIELD: (Key, u16) = (Key::IllegalRequest, asc::INVALID_FIELD_IN_CDB);
const ILLEGAL_LIST: (Key, u16) = (Key::IllegalRequest, asc::INVALID_FIELD_IN_PARAMETERS);
const ILLEGAL_LENGTH: (Key, u16) = (Key::IllegalRequest, asc::PARAMETER_LIST_LENGTH);
const OUT_OF_RANGE: (Key, u16) = (Key::IllegalRequest, asc::LBA_OUT_OF_RANGE);
const NO_COMMAND: (Key, u16) = (Key::IllegalRequest, asc::INVALID_OPCODE);

fn refused(u: &LogicalUnit, cdb: &[u8], with: (Key, u16)) {
    assert_eq!(refusal(&ask(u, cdb)), with, "{cdb:02x?}");
}

/// The byte that a refusal points to.
fn points_to(u: &LogicalUnit, cdb: &[u8], byte: u16) {
    let Plan::Refused(sense) = ask(u, cdb) else {
        panic!("{cdb:02x?}")
    };
    assert_eq!(sense.code, asc::INVALID_FIELD_IN_CDB);
    let field = sense.field.expect("it points somewhere");
    assert!(field.in_cdb);
    assert_eq!(field.byte, byte, "{cdb:02x?}");
}

/// A block command of 10, 12 or 16 bytes.
fn block(opcode: u8, flags: u8, lba: u64, blocks: u32) -> Vec<u8> {
    let mut c = vec![opcode, flags];
    match opcode >> 5 {
        1 | 2 => {
            c.extend_from_slice(&(lba as u32).to_be_bytes());
            c.push(0);
            c.extend_from_slice(&(blocks as u16).to_be_bytes());
        }
        5 => {
            c.extend_from_slice(&(lba as u32).to_be_bytes());
            c.extend_from_slice(&blocks.to_be_bytes());
            c.push(0);
        }
        _ => {
            c.extend_from_slice(&lba.to_be_bytes());
            c.extend_from_slice(&blocks.to_be_bytes());
            c.push(0);
        }
    }
    c.push(0);
    c
}

fn io(plan: &Plan) -> IoPlan {
    match plan {
        Plan::Io(io) => *io,
        other => panic!("{other:?}"),
    }
}
