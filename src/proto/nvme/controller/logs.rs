//! Get Log Page: whole pages are put together and the part asked for is cut out.

use super::ccr::ResetLog;
use super::identify::NSID_MAX;
use super::view::View;
use super::wire::status;
use crate::proto::nvme::ana::{ANA_GROUP_LEN, ANA_HEADER_LEN, ANA_LSP_GROUPS_ONLY, AnaLogWriter};
use crate::proto::nvme::identify::ascii_field;
use crate::proto::nvme::log::{
    CHANGED_NAMESPACES_LEN, ERROR_ENTRY_LEN, FIRMWARE_SLOT_LEN, SMART_LEN, emit_changed_namespaces,
    emit_effects, emit_firmware_slot, emit_smart,
};
use crate::proto::nvme::{AdminOpcode, CodecError, GetLogPage, Lid, NvmOpcode, Sqe};

/// Bytes of the Supported Log Pages page: one dword an identifier.
const SUPPORTED_LEN: usize = 1024;
/// Bytes of the Commands Supported and Effects page.
const EFFECTS_LEN: usize = 4096;
/// LSP bit 0 of the Cross-Controller Reset log: Remove Completed.
const LSP_REMOVE_COMPLETED: u8 = 1;
/// CDW14 bit 23, Offset Type: the offset is an index. Not offered.
const OFFSET_TYPE: u32 = 1 << 23;
/// Temperature of something that has none, in kelvin.
const KELVIN: u16 = 300;

/// Reads a Get Log Page command.
pub(super) fn parse(sqe: &Sqe) -> Result<GetLogPage, u16> {
    if sqe.cdw14() & OFFSET_TYPE != 0 {
        return Err(status::INVALID_FIELD);
    }
    GetLogPage::parse(sqe).map_err(|_| status::INVALID_FIELD)
}

/// Cuts the part asked for out of a page; beyond its end there are zeroes.
fn cut(r: &GetLogPage, page: &mut Vec<u8>, max: u32) -> Result<(), u16> {
    if r.len_bytes() > u64::from(max) || r.offset > page.len() as u64 {
        return Err(status::INVALID_FIELD);
    }
    page.drain(..r.offset as usize);
    page.resize(r.len_bytes() as usize, 0);
    Ok(())
}

/// Namespaces that have changed since the host last read the list, ascending. There are never
/// more than a subsystem can have.
#[derive(Debug, Default)]
pub(super) struct Changed {
    ids: Vec<u32>,
}

impl Changed {
    pub(super) fn add(&mut self, nsid: u32) {
        debug_assert!(nsid <= NSID_MAX);
        if let Err(at) = self.ids.binary_search(&nsid) {
            self.ids.insert(at, nsid);
        }
    }

    pub(super) fn clear(&mut self) {
        self.ids.clear();
    }
}

/// What the log pages of a controller are made from.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    pub(super) changed: &'a mut Changed,
    pub(super) resets: &'a mut ResetLog,
    pub(super) ana_changes: u64,
}

pub(super) fn read(
    r: &GetLogPage,
    view: &View<'_>,
    from: &mut Sources<'_>,
    out: &mut Vec<u8>,
) -> Result<(), u16> {
    out.clear();
    let emitted = if view.subsystem.discovery {
        discovery(r.lid, view, out)?
    } else {
        io_controller(r, view, from, out)?
    };
    // Every page was given room for all of it.
    emitted.map_err(|_| status::INTERNAL)?;
    cut(r, out, view.limits.transfer_max())
}

type Emitted = Result<(), CodecError>;

fn discovery(lid: Lid, view: &View<'_>, out: &mut Vec<u8>) -> Result<Emitted, u16> {
    match lid {
        Lid::SUPPORTED => supported(&[Lid::SUPPORTED, Lid::ERROR, Lid::DISCOVERY], out),
        Lid::ERROR => out.resize(ERROR_ENTRY_LEN, 0),
        Lid::DISCOVERY => out.extend_from_slice(view.discovery_log),
        _ => return Err(status::INVALID_LOG_PAGE),
    }
    Ok(Ok(()))
}

fn io_controller(
    r: &GetLogPage,
    view: &View<'_>,
    from: &mut Sources<'_>,
    out: &mut Vec<u8>,
) -> Result<Emitted, u16> {
    Ok(match r.lid {
        Lid::SUPPORTED => {
            const PAGES: [Lid; 8] = [
                Lid::SUPPORTED,
                Lid::ERROR,
                Lid::SMART,
                Lid::FIRMWARE_SLOT,
                Lid::CHANGED_NAMESPACES,
                Lid::COMMANDS_SUPPORTED,
                Lid::ANA,
                Lid::CROSS_CONTROLLER_RESET,
            ];
            supported(&PAGES, out);
            Ok(())
        }
        // No errors are kept beyond what each completion said.
        Lid::ERROR => {
            out.resize(ERROR_ENTRY_LEN, 0);
            Ok(())
        }
        Lid::SMART => {
            out.resize(SMART_LEN, 0);
            emit_smart(out, KELVIN)
        }
        Lid::FIRMWARE_SLOT => {
            out.resize(FIRMWARE_SLOT_LEN, 0);
            emit_firmware_slot(out, ascii_field(&view.subsystem.firmware))
        }
        Lid::CHANGED_NAMESPACES => {
            out.resize(CHANGED_NAMESPACES_LEN, 0);
            let emitted = emit_changed_namespaces(out, &from.changed.ids);
            if !r.rae {
                from.changed.clear();
            }
            emitted
        }
        Lid::COMMANDS_SUPPORTED => {
            out.resize(EFFECTS_LEN, 0);
            effects(out)
        }
        Lid::ANA => ana(
            r.lsp & ANA_LSP_GROUPS_ONLY != 0,
            view,
            from.ana_changes,
            out,
        ),
        Lid::CROSS_CONTROLLER_RESET if view.limits.ccr_limit > 0 => {
            from.resets.page(out);
            if r.lsp & LSP_REMOVE_COMPLETED != 0 {
                from.resets.remove_completed();
            }
            Ok(())
        }
        _ => return Err(status::INVALID_LOG_PAGE),
    })
}

/// Supported Log Pages: LSUPP, bit 0 of each page's dword.
fn supported(pages: &[Lid], out: &mut Vec<u8>) {
    out.resize(SUPPORTED_LEN, 0);
    for page in pages {
        out[usize::from(page.0) * 4] = 1;
    }
}

fn effects(out: &mut [u8]) -> Emitted {
    let admin = [
        AdminOpcode::GET_LOG_PAGE,
        AdminOpcode::IDENTIFY,
        AdminOpcode::ABORT,
        AdminOpcode::SET_FEATURES,
        AdminOpcode::GET_FEATURES,
        AdminOpcode::ASYNC_EVENT_REQUEST,
        AdminOpcode::KEEP_ALIVE,
        AdminOpcode::CROSS_CONTROLLER_RESET,
        AdminOpcode::FABRICS,
    ]
    .map(|o| o.0);
    let io = [
        (NvmOpcode::FLUSH.0, false),
        (NvmOpcode::READ.0, false),
        (NvmOpcode::COMPARE.0, false),
        (NvmOpcode::WRITE.0, true),
        (NvmOpcode::WRITE_ZEROES.0, true),
        (NvmOpcode::DATASET_MANAGEMENT.0, true),
    ];
    emit_effects(out, &admin, &io)
}

/// Asymmetric Namespace Access log: one descriptor a group, namespaces unless left out.
fn ana(groups_only: bool, view: &View<'_>, changes: u64, out: &mut Vec<u8>) -> Emitted {
    let room = ANA_HEADER_LEN + view.access.len() * ANA_GROUP_LEN + view.namespaces.len() * 4;
    out.resize(room, 0);
    let mut log = AnaLogWriter::new(out, changes)?;
    for (group, state) in view.access {
        let members = view
            .namespaces
            .iter()
            .filter(|n| !groups_only && n.ana_group == *group)
            .map(|n| n.nsid);
        log.group(*group, changes, *state, members)?;
    }
    let len = log.finish();
    out.truncate(len);
    Ok(())
}
