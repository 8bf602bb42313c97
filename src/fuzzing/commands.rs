//! Submission and completion queue entries, and the data of Fabrics Connect.

use crate::proto::nvme::aer::AsyncEvent;
use crate::proto::nvme::dsm::parse_ranges;
use crate::proto::nvme::fabrics::{
    self, CONNECT_DATA_LEN, Connect, ConnectData, ConnectResponse, InvalidParameter, PropertyGet,
    PropertySet,
};
use crate::proto::nvme::features::{self, GetFeatures, HostBehavior, NumberOfQueues, SetFeatures};
use crate::proto::nvme::{ana, *};

/// A command that was accepted is the same after it was written and read.
macro_rules! again {
    ($sqe:expr, $($kind:ty),*) => {
        $(if let Ok(first) = <$kind>::parse($sqe) {
            assert_eq!(<$kind>::parse(&first.to_sqe()), Ok(first));
        })*
    };
}

pub(super) fn run(bytes: &[u8]) {
    if let Ok(cqe) = Cqe::parse(bytes) {
        let mut out = [0; CQE_LEN];
        cqe.emit(&mut out).expect("as long as an entry");
        assert_eq!(Cqe::parse(&out), Ok(cqe));
        let dw0 = cqe.dw0();
        let _ = (
            AsyncEvent::from_dw0(dw0).as_notice(),
            AsyncEvent::from_dw0(dw0).to_dw0(),
        );
        let _ = (
            NumberOfQueues::from_raw(dw0).usable(),
            InvalidParameter::from_dw0(dw0).name(),
        );
        let _ = (
            ConnectResponse::from_dw0(dw0).to_dw0(),
            cqe.status.to_string(),
        );
    }
    let Ok(sqe) = Sqe::parse(bytes) else { return };
    let mut out = [0; SQE_LEN];
    sqe.emit(&mut out).expect("as long as an entry");
    assert_eq!(Sqe::parse(&out).as_ref(), Ok(&sqe));
    again!(
        &sqe,
        Connect,
        PropertyGet,
        PropertySet,
        Identify,
        GetLogPage,
        CrossControllerReset,
        SetFeatures,
        GetFeatures
    );
    let _ = (
        sqe.sgl(),
        sqe.fuse(),
        sqe.blocks(),
        sqe.slba(),
        sqe.fua(),
        sqe.deac(),
    );
    let _ = (
        fabrics::fabrics_type(&sqe),
        Direction::of(sqe.opcode()),
        sqe.dsm_deallocate(),
    );
    // What follows an entry is its data.
    let data = &bytes[SQE_LEN..];
    if let Ok(ranges) = parse_ranges(data, sqe.dsm_ranges()) {
        assert_eq!(ranges.len(), sqe.dsm_ranges());
        assert!(ranges.filter_map(|r| r.end()).count() <= 256);
    }
    let _ = HostBehavior::parse(data);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let connect = Connect {
        qid: 0,
        sqsize0: 31,
        cattr: 0,
        kato_ms: 5000,
    };
    let sqes = [
        Sqe::read(1, 2, 3, true),
        Sqe::write_zeroes(1, 2, 3, false, true),
        Sqe::dataset_management(1, 15, true),
        connect.to_sqe(),
        PropertyGet {
            size: fabrics::PropertySize::Qword,
            offset: 0,
        }
        .to_sqe(),
        ana::get_ana_log(64, 4096).to_sqe(),
        CrossControllerReset {
            icid: 1,
            ciu: 2,
            cirn: 3,
        }
        .to_sqe(),
        features::keep_alive_timer(1).to_sqe(),
        Identify::new(Cns::NAMESPACE, 1).to_sqe(),
    ];
    let with_data = |sqe: &Sqe| [&sqe.as_bytes()[..], &[3; 512]].concat();
    sqes.iter()
        .map(with_data)
        .chain([vec![1; CQE_LEN]])
        .collect()
}

pub(super) fn run_connect_data(bytes: &[u8]) {
    if let Ok(data) = ConnectData::parse(bytes) {
        let mut out = [0; CONNECT_DATA_LEN];
        data.emit(&mut out).expect("as long as connect data");
        assert_eq!(ConnectData::parse(&out).as_ref(), Ok(&data));
        assert_eq!(Nqn::new(data.subnqn.as_str()), Ok(data.subnqn));
    }
    // The target has a reader of its own, for the command together with its data.
    let connect = Connect {
        qid: 0,
        sqsize0: 31,
        cattr: 0,
        kato_ms: 5000,
    }
    .to_sqe();
    if let Ok(c) = controller::connect::Connect::parse(&connect, bytes, 128) {
        assert_eq!((c.qid, c.entries, c.kato_ms), (0, 32, 5000));
    }
    if let (Ok(sqe), Some(data)) = (Sqe::parse(bytes), bytes.get(SQE_LEN..)) {
        let _ = controller::connect::Connect::parse(&sqe, data, 128);
    }
}

pub(super) fn connect_data_seeds() -> Vec<Vec<u8>> {
    let nqn = |s: &str| Nqn::new(s).expect("a valid name");
    let data = ConnectData {
        hostid: [5; 16],
        cntlid: fabrics::CNTLID_DYNAMIC,
        subnqn: nqn("nqn.2024-01.test:subsystem"),
        hostnqn: nqn("nqn.2014-08.org.nvmexpress:uuid:1b4e28ba-2fa1-11d2-883f-b9a761bde3fb"),
    };
    let mut out = vec![0; CONNECT_DATA_LEN];
    data.emit(&mut out).expect("as long as connect data");
    vec![out]
}
