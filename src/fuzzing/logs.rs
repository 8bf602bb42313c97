//! Data structures that a controller sends: identify pages, ANA and Cross-Controller Reset logs.

use super::Input;
use crate::proto::nvme::ccr::{CCR_LOG_LEN, CcrLogEntry, CcrStatus, emit_ccr_log, parse_ccr_log};
use crate::proto::nvme::identify::{IDENTIFY_LEN, NsList, emit_ns_list};
use crate::proto::nvme::ns_desc::{NsDescriptor, NsDescriptors, emit_ns_descriptors};
use crate::proto::nvme::{
    AnaItem, AnaLimits, AnaLogParser, AnaLogWriter, AnaState, IdentifyController, IdentifyNamespace,
};

/// A page that was accepted is the same after it was written and read.
macro_rules! again {
    ($kind:ty, $bytes:expr) => {
        if let Ok(first) = <$kind>::parse($bytes) {
            let mut out = vec![0; IDENTIFY_LEN];
            first.emit(&mut out).expect("as long as a page");
            assert_eq!(<$kind>::parse(&out), Ok(first));
        }
    };
}

pub(super) fn run_identify(bytes: &[u8]) {
    again!(IdentifyController, bytes);
    again!(IdentifyNamespace, bytes);
    if let Ok(id) = IdentifyController::parse(bytes) {
        let mpsmin = bytes.first().copied().unwrap_or(0);
        let _ = (
            id.serial(),
            id.model(),
            id.mdts_bytes(mpsmin),
            id.in_capsule_bytes(),
        );
        let _ = (id.check_io_controller(), id.supports_ccr(), id.tbkas());
    }
    if let Ok(ns) = IdentifyNamespace::parse(bytes) {
        let _ = (
            ns.format(),
            ns.block_shift(),
            ns.size_bytes(),
            ns.is_active(),
        );
    }
    if let Ok(list) = NsList::parse(bytes) {
        assert_eq!(list.iter().count(), list.len());
        let _ = (list.is_overflow(), list.is_full());
    }
    // A list of descriptors ends, whatever their lengths say.
    assert!(NsDescriptors::new(bytes).count() <= bytes.len() / 4 + 1);
}

pub(super) fn identify_seeds() -> Vec<Vec<u8>> {
    let page = |write: &dyn Fn(&mut [u8])| {
        let mut b = vec![0; IDENTIFY_LEN];
        write(&mut b);
        b
    };
    let names = [
        NsDescriptor::Uuid([1; 16]),
        NsDescriptor::Nguid([2; 16]),
        NsDescriptor::Csi(0),
    ];
    vec![
        page(&|b| IdentifyController::default().emit(b).expect("room")),
        page(&|b| IdentifyNamespace::default().emit(b).expect("room")),
        page(&|b| emit_ns_descriptors(b, &names).expect("room")),
        page(&|b| assert_eq!(emit_ns_list(b, [1, 2, 7]), Ok(3))),
    ]
}

/// The same log in one piece and in pieces gives the same items and the same verdict.
pub(super) fn run_ana(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let limits = AnaLimits {
        groups: input.word(),
        nsids: input.dword() % 100_000,
        grpid: input.dword(),
    };
    let step = usize::from(input.byte());
    let log = input.rest();
    let mut whole = AnaLogParser::new(limits);
    let mut items = Vec::new();
    let verdict = whole.feed(log, |item| items.push(item));
    // Nothing that the log only announces costs memory.
    assert!(items.len() <= 1 + log.len() / 4);
    let mut parts = AnaLogParser::new(limits);
    let (mut at, mut last) = (0, Ok(false));
    for (n, piece) in log.chunks(step + 1).enumerate() {
        // A piece may be empty, too.
        if n % 3 == 0 {
            let _ = parts.feed(&[], |_| panic!("an item out of nothing"));
        }
        last = parts.feed(piece, |item: AnaItem| {
            assert_eq!(items.get(at), Some(&item));
            at += 1;
        });
    }
    if !log.is_empty() {
        assert_eq!((at, last), (items.len(), verdict));
    }
    assert_eq!(whole.finish(), parts.finish());
    assert_eq!(whole.offset(), parts.offset());
}

pub(super) fn ana_seeds() -> Vec<Vec<u8>> {
    let limits = [32, 0, 0, 4, 0, 0, 255, 255, 0, 0];
    let mut log = vec![0; 1024];
    let n = {
        let mut w = AnaLogWriter::new(&mut log, 3).expect("room");
        w.group(1, 1, AnaState::Optimized, [1, 2, 3]).expect("room");
        w.group(2, 2, AnaState::NonOptimized, []).expect("room");
        w.group(3, 2, AnaState::Change, 10..40).expect("room");
        w.finish()
    };
    [0, 3, 63]
        .map(|step| [&limits[..], &[step], &log[..n]].concat())
        .into()
}

pub(super) fn run_ccr(bytes: &[u8]) {
    let Ok(entries) = parse_ccr_log(bytes) else {
        return;
    };
    let entries: Vec<CcrLogEntry> = entries.collect();
    assert!(entries.len() * 8 < bytes.len());
    let mut out = vec![0; CCR_LOG_LEN];
    let n = emit_ccr_log(&mut out, &entries).expect("what fits a log fits a log");
    let back: Vec<CcrLogEntry> = parse_ccr_log(&out[..n]).expect("just written").collect();
    assert_eq!(back, entries);
}

pub(super) fn ccr_seeds() -> Vec<Vec<u8>> {
    let entry = CcrLogEntry {
        icid: 1,
        ciu: 2,
        acid: 3,
        status: CcrStatus::Successful,
        flags: 0,
    };
    let log = |n: usize| {
        let mut out = vec![0; CCR_LOG_LEN];
        let len = emit_ccr_log(&mut out, &vec![entry; n]).expect("room");
        out.truncate(len);
        out
    };
    vec![log(0), log(3), log(511)]
}
