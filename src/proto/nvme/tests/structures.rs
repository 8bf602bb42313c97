//! Offsets and round trips of Connect data and of what Identify returns.

use super::super::ana::{AnaLimits, AnaLogWriter, AnaState};
use super::super::bytes::{get16, get32, get64};
use super::super::error::CodecError;
use super::super::fabrics::{CNTLID_DYNAMIC, CONNECT_DATA_LEN, ConnectData};
use super::super::id_ctrl::{IdentifyController, ctratt};
use super::super::id_ns::{IdentifyNamespace, LbaFormat};
use super::super::identify::{NsList, ascii_field, ascii_text, emit_ns_list};
use super::super::log::emit_changed_namespaces;
use super::super::nqn::{DISCOVERY_NQN, Nqn};
use super::super::ns_desc::{NsDescriptor, NsDescriptors, emit_ns_descriptors};
use super::super::property::Version;

pub(super) fn connect_data() -> ConnectData {
    ConnectData {
        hostid: [9; 16],
        cntlid: CNTLID_DYNAMIC,
        subnqn: Nqn::new("nqn.2024-01.org.example:a").unwrap(),
        hostnqn: Nqn::new("nqn.2014-08.org.nvmexpress:uuid:0").unwrap(),
    }
}

pub(super) fn controller() -> IdentifyController {
    IdentifyController {
        sn: ascii_field("S1"),
        mn: ascii_field("model"),
        cntlid: 0x0102,
        ver: Version::new(2, 3, 0),
        ctratt: ctratt::TBKAS,
        mdts: 5,
        crdt: [1, 2, 3],
        cntrltype: 1,
        ciu: 0x77,
        cirn: 0x0102_0304_0506_0708,
        cqt: 2500,
        ccrl: 4,
        ioccsz: 4 + 512,
        iorcsz: 1,
        sgls: 0x0030_0001,
        anagrpmax: 0x55,
        nanagrpid: 0x66,
        nn: 1024,
        subnqn: Some(Nqn::new("nqn.2024-01.org.example:a").unwrap()),
        ..IdentifyController::default()
    }
}

pub(super) fn namespace() -> IdentifyNamespace {
    let mut ns = IdentifyNamespace {
        nsze: 0x1000,
        nlbaf: 1,
        flbas: 1,
        anagrpid: 3,
        nguid: [0xaa; 16],
        eui64: [0xbb; 8],
        ..IdentifyNamespace::default()
    };
    ns.lbaf[0].lbads = 9;
    ns.lbaf[1] = LbaFormat {
        ms: 8,
        lbads: 12,
        rp: 2,
    };
    ns
}

pub(super) const DESCRIPTORS: [NsDescriptor; 5] = [
    NsDescriptor::Eui64([1; 8]),
    NsDescriptor::Other { nidt: 9, nidl: 3 },
    NsDescriptor::Nguid([2; 16]),
    NsDescriptor::Uuid([3; 16]),
    NsDescriptor::Csi(0),
];

pub(super) const LIMITS: AnaLimits = AnaLimits {
    groups: 16,
    nsids: 64,
    grpid: 32,
};

pub(super) fn ana_log(buf: &mut [u8]) -> usize {
    let mut writer = AnaLogWriter::new(buf, 42).unwrap();
    writer.group(1, 5, AnaState::Optimized, [1, 2, 3]).unwrap();
    writer.group(2, 6, AnaState::Change, []).unwrap();
    writer.group(9, 0, AnaState::Inaccessible, [7]).unwrap();
    writer.finish()
}

#[test]
fn names_are_bounded_and_checked() {
    let longest = format!("nqn.2024-01.{}", "x".repeat(211));
    assert_eq!(Nqn::new(&longest).unwrap().as_str(), longest);
    assert_eq!(
        Nqn::parse_field(&Nqn::new(&longest).unwrap().to_field())
            .unwrap()
            .as_str(),
        longest
    );
    let too_long = Err(CodecError::TooLong {
        field: "NQN",
        len: 224,
        max: 223,
    });
    assert_eq!(Nqn::new(&format!("{longest}x")), too_long);
    assert_eq!(Nqn::new(DISCOVERY_NQN).unwrap().to_string(), DISCOVERY_NQN);
    assert!(Nqn::new("nqn.2024-12.é:ü").is_ok());
    let wrong = [
        "",
        "nqn",
        "iqn.2024-01.x",
        "nqn.2024-13.x",
        "nqn.2024-00.x",
        "nqn.2024-01.",
    ];
    for name in wrong {
        assert!(Nqn::new(name).is_err(), "{name}");
    }
    assert!(Nqn::new("nqn.2024-01.a\nb").is_err());
    assert!(matches!(
        Nqn::parse_field(&[b'x'; 256]),
        Err(CodecError::TooLong { len: 256, .. })
    ));
}

#[test]
fn connect_data_at_its_offsets() {
    let mut buf = [0xff; CONNECT_DATA_LEN];
    connect_data().emit(&mut buf).unwrap();
    assert_eq!((buf[15], get16(&buf, 16), buf[18]), (9, 0xffff, 0));
    assert_eq!(
        (&buf[256..260], &buf[512..516]),
        (&b"nqn."[..], &b"nqn."[..])
    );
    assert_eq!(ConnectData::parse(&buf), Ok(connect_data()));
    buf[512] = b'x';
    let bad = CodecError::BadValue {
        field: "HOSTNQN",
        value: u64::from(b'x'),
    };
    assert_eq!(ConnectData::parse(&buf), Err(bad));
    let short = CodecError::Truncated {
        need: 1024,
        got: 1023,
    };
    assert_eq!(ConnectData::parse(&buf[..1023]), Err(short));
}

#[test]
fn identify_controller_at_its_offsets() {
    let mut b = [0xff; 4096];
    controller().emit(&mut b).unwrap();
    assert_eq!(&b[4..7], b"S1 ");
    assert_eq!(
        (get16(&b, 78), get32(&b, 80), get32(&b, 96)),
        (0x0102, 0x0002_0300, 0x40)
    );
    assert_eq!((b[111], get16(&b, 132), b[134]), (1, 3, 0));
    assert_eq!((b[135], get64(&b, 136)), (0x77, 0x0102_0304_0506_0708));
    assert_eq!(
        (get32(&b, 344), get32(&b, 348), get16(&b, 386)),
        (0x55, 0x66, 2500)
    );
    assert_eq!(
        (get32(&b, 516), get32(&b, 536), b[768]),
        (1024, 0x0030_0001, b'n')
    );
    assert_eq!((get32(&b, 1792), b[1807], b[4095]), (516, 4, 0));
    let parsed = IdentifyController::parse(&b).unwrap();
    assert_eq!(parsed, controller());
    assert_eq!((parsed.serial(), parsed.model()), ("S1", "model"));
    assert_eq!(
        (parsed.mdts_bytes(0), parsed.in_capsule_bytes()),
        (Some(131_072), 8192)
    );
    assert!(parsed.tbkas() && parsed.supports_ccr());
    assert_eq!(parsed.check_io_controller(), Ok(()));
    let zeros = IdentifyController::default();
    assert_eq!((zeros.mdts_bytes(15), zeros.in_capsule_bytes()), (None, 0));
    assert!(zeros.check_io_controller().is_err());
    assert_eq!(
        IdentifyController { mdts: 255, ..zeros }.mdts_bytes(15),
        None
    );
    assert_eq!(ascii_text(&ascii_field::<4>("aé\n")), "a??");
}

#[test]
fn identify_namespace_at_its_offsets() {
    let mut b = [0xff; 4096];
    namespace().emit(&mut b).unwrap();
    assert_eq!(
        (get64(&b, 0), b[25], b[26], get32(&b, 92)),
        (0x1000, 1, 1, 3)
    );
    assert_eq!((b[104], b[119], b[120], b[127]), (0xaa, 0xaa, 0xbb, 0xbb));
    assert_eq!(
        (get32(&b, 128), get32(&b, 132), b[384]),
        (0x0009_0000, 0x020c_0008, 0)
    );
    let mut ns = IdentifyNamespace::parse(&b).unwrap();
    assert_eq!(ns, namespace());
    assert_eq!(
        (ns.block_shift(), ns.size_bytes()),
        (Some(12), Some(0x100_0000))
    );
    ns.flbas = 0x61; // bits 6:5 do not count with two formats
    assert_eq!(ns.format_index(), 1);
    ns.nlbaf = 63;
    assert_eq!(ns.format_index(), 49);
    assert_eq!(ns.size_bytes(), None);
    ns.flbas = 1;
    ns.nsze = u64::MAX;
    assert_eq!(ns.size_bytes(), None);
    assert!(!IdentifyNamespace::default().is_active());
}

#[test]
fn namespace_lists() {
    let mut b = [0xff; 4096];
    assert_eq!(emit_ns_list(&mut b, [1, 5, 9]), Ok(3));
    let list = NsList::parse(&b).unwrap();
    assert!(list.iter().eq([1, 5, 9]) && !list.is_full() && !list.is_overflow());
    assert_eq!(emit_ns_list(&mut b, 1..2000), Ok(1024));
    assert!(NsList::parse(&b).unwrap().is_full());
    b[4095] = 0xff;
    b[4091] = 0xff;
    b[4090] = 0xff;
    assert!(NsList::parse(&b).is_err());
    emit_changed_namespaces(&mut b, &[7; 1025]).unwrap();
    assert!(NsList::parse(&b).unwrap().is_overflow());
    assert!(NsList::parse(&[]).unwrap().is_empty());
    assert!(NsList::parse(&b[..3]).is_err());
}

#[test]
fn namespace_descriptors() {
    let mut b = [0xff; 4096];
    emit_ns_descriptors(&mut b, &DESCRIPTORS).unwrap();
    assert_eq!(b[..5], [1, 8, 0, 0, 1]);
    let found: Result<Vec<_>, _> = NsDescriptors::new(&b).collect();
    assert_eq!(found.unwrap(), DESCRIPTORS);
    b[1] = 7; // an EUI-64 of 7 bytes
    let found: Vec<_> = NsDescriptors::new(&b).collect();
    assert_eq!(
        found,
        [Err(CodecError::BadValue {
            field: "NIDL",
            value: 7
        })]
    );
    let cut: Vec<_> = NsDescriptors::new(&[3, 16, 0, 0, 1]).collect();
    assert_eq!(cut, [Err(CodecError::Truncated { need: 20, got: 5 })]);
    let many = [NsDescriptor::Uuid([0; 16]); 205];
    assert!(matches!(
        emit_ns_descriptors(&mut b, &many),
        Err(CodecError::TooLong { .. })
    ));
    emit_ns_descriptors(&mut b, &many[..204]).unwrap();
    assert_eq!(NsDescriptors::new(&b).count(), 204);
}
