//! Identify: the data structures a controller describes itself and its namespaces with.

use super::Instance;
use super::registers::VERSION;
use super::view::{NamespaceInfo, View};
use super::wire::status;
use crate::proto::nvme::id_ctrl::{anacap, cmic, ctratt, oncs, sgls};
use crate::proto::nvme::id_ns::{DLFEAT_READ_ZERO, LbaFormat, NMIC_SHARED};
use crate::proto::nvme::identify::{
    Cns, IDENTIFY_LEN, Identify, IdentifyController, IdentifyNamespace, NsDescriptor, ascii_field,
    emit_ns_list,
};
use crate::proto::nvme::ns_desc::emit_ns_descriptors;
use crate::proto::nvme::{NSID_ALL, Nqn, Sqe};

/// Largest NSID a subsystem of ours can have (NN).
pub const NSID_MAX: u32 = 1024;

/// VWC bits 2:1 = 10b: Flush is for one namespace, not for all.
const VWC_FLUSH_ONE: u8 = 2 << 1;

/// Fills `out` with what an Identify command asks for.
pub(super) fn identify(
    sqe: &Sqe,
    view: &View<'_>,
    me: &Instance,
    out: &mut Vec<u8>,
) -> Result<(), u16> {
    let command = Identify::parse(sqe).map_err(|_| status::INVALID_FIELD)?;
    let nsid = command.nsid;
    out.clear();
    out.resize(IDENTIFY_LEN, 0);
    // The structures fit their buffer, so emitting them cannot fail.
    let emitted = match command.cns {
        Cns::NAMESPACE => match existing(view, nsid, true)? {
            Some(ns) => namespace(ns).emit(out),
            None => Ok(()),
        },
        Cns::CONTROLLER => controller(view, me).emit(out),
        Cns::ACTIVE_NAMESPACES => active_list(out, view, nsid),
        Cns::NAMESPACE_DESCRIPTORS => {
            let ns = existing(view, nsid, false)?.ok_or(status::INVALID_NAMESPACE)?;
            descriptors(out, ns)
        }
        // The NVM command set has nothing to add for namespaces without metadata.
        Cns::CSI_NAMESPACE if command.csi == 0 => existing(view, nsid, true).map(|_| Ok(()))?,
        Cns::CSI_CONTROLLER if command.csi == 0 => Ok(()),
        Cns::CSI_ACTIVE_NAMESPACES if command.csi == 0 => active_list(out, view, nsid),
        Cns::INDEPENDENT_NAMESPACE => {
            if let Some(ns) = existing(view, nsid, true)? {
                independent(out, ns);
            }
            Ok(())
        }
        _ => return Err(status::INVALID_FIELD),
    };
    emitted.map_err(|_| status::INVALID_NAMESPACE)
}

/// The namespace, none when inactive; an error where it cannot exist.
fn existing<'a>(
    view: &View<'a>,
    nsid: u32,
    broadcast: bool,
) -> Result<Option<&'a NamespaceInfo>, u16> {
    // FFFFFFFFh asks for what all namespaces have in common.
    if broadcast && nsid == NSID_ALL {
        return Ok(None);
    }
    if nsid == 0 || nsid > NSID_MAX {
        return Err(status::INVALID_NAMESPACE);
    }
    Ok(view.namespaces.iter().find(|n| n.nsid == nsid))
}

fn controller(view: &View<'_>, me: &Instance) -> IdentifyController {
    let (s, l) = (view.subsystem, view.limits);
    let common = IdentifyController {
        sn: ascii_field(&s.serial),
        mn: ascii_field(&s.model),
        fr: ascii_field(&s.firmware),
        mdts: l.mdts,
        cntlid: me.cntlid,
        ver: VERSION,
        oaes: super::supported_events(view),
        ctratt: ctratt::HOST_ID_128
            | if l.traffic_keep_alive {
                ctratt::TBKAS
            } else {
                0
            },
        crdt: [l.retry_delay, 0, 0],
        acl: 3,
        aerl: l.async_events - 1,
        // Offsets and long lengths in Get Log Page.
        lpa: 0x04,
        kas: l.kas,
        sqes: 0x66,
        cqes: 0x44,
        maxcmd: l.queue_entries,
        sgls: sgls::SUPPORTED | sgls::OFFSET | sgls::TRANSPORT,
        ioccsz: (64 + l.capsule_data) / 16,
        iorcsz: 1,
        msdbd: 1,
        subnqn: Nqn::new(&s.nqn).ok(),
        ..IdentifyController::default()
    };
    if s.discovery {
        return IdentifyController {
            cntrltype: 2,
            ..common
        };
    }
    let all = |can: fn(&NamespaceInfo) -> bool, bit: u16| {
        if view.namespaces.iter().all(can) {
            bit
        } else {
            0
        }
    };
    let cached = view.namespaces.iter().any(|n| n.volatile_cache);
    let with_resets = l.ccr_limit > 0;
    IdentifyController {
        cntrltype: 1,
        cmic: cmic::MULTI_PORT | cmic::MULTI_CONTROLLER | cmic::ANA,
        ciu: if with_resets { me.ciu } else { 0 },
        cirn: if with_resets { me.cirn } else { 0 },
        ccrl: l.ccr_limit,
        anatt: l.anatt,
        anacap: anacap::ALL_STATES | anacap::STATIC_GROUP,
        anagrpmax: view.access.iter().map(|(g, _)| *g).max().unwrap_or(1),
        nanagrpid: view.access.len().max(1) as u32,
        cqt: l.cqt_ms,
        nn: NSID_MAX,
        mnan: NSID_MAX,
        oncs: oncs::DATASET_MANAGEMENT
            | all(|n| n.compare, oncs::COMPARE)
            | all(|n| n.write_zeroes, oncs::WRITE_ZEROES),
        vwc: VWC_FLUSH_ONE | u8::from(cached),
        // Disconnect is known.
        ofcs: 1,
        ..common
    }
}

fn namespace(ns: &NamespaceInfo) -> IdentifyNamespace {
    let mut id = IdentifyNamespace {
        nsze: ns.blocks,
        ncap: ns.blocks,
        nuse: ns.blocks,
        nmic: NMIC_SHARED,
        dlfeat: if ns.discard { DLFEAT_READ_ZERO } else { 0 },
        anagrpid: ns.ana_group,
        nguid: ns.nguid.unwrap_or_default(),
        eui64: ns.eui64.unwrap_or_default(),
        ..IdentifyNamespace::default()
    };
    id.lbaf[0] = LbaFormat {
        lbads: ns.block_shift,
        ..LbaFormat::default()
    };
    id
}

/// CNS 08h (figure "I/O Command Set Independent Identify Namespace"): NMIC at 1, ANAGRPID at 4,
/// NSTAT at 14.
fn independent(b: &mut [u8], ns: &NamespaceInfo) {
    b[1] = NMIC_SHARED;
    b[4..8].copy_from_slice(&ns.ana_group.to_le_bytes());
    b[14] = u8::from(ns.is_ready());
}

type Emitted = Result<(), crate::proto::nvme::CodecError>;

fn active_list(b: &mut [u8], view: &View<'_>, after: u32) -> Emitted {
    if after >= 0xffff_fffe {
        return Err(crate::proto::nvme::CodecError::BadValue {
            field: "NSID",
            value: after.into(),
        });
    }
    let ids = view.namespaces.iter().map(|n| n.nsid);
    emit_ns_list(b, ids.filter(|n| *n > after)).map(|_| ())
}

/// Namespace Identification Descriptors: EUI-64, NGUID, UUID and the command set.
fn descriptors(b: &mut [u8], ns: &NamespaceInfo) -> Emitted {
    let mut list = arrayvec::ArrayVec::<NsDescriptor, 4>::new();
    list.extend(ns.eui64.map(NsDescriptor::Eui64));
    list.extend(ns.nguid.map(NsDescriptor::Nguid));
    list.extend(ns.uuid.map(NsDescriptor::Uuid));
    list.push(NsDescriptor::Csi(0));
    emit_ns_descriptors(b, &list)
}
