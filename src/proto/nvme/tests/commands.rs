//! Golden bytes of Fabrics and Admin commands.

use super::super::aer::{AsyncEvent, Notice, async_event_request, keep_alive};
use super::super::ccr::{CcrCompletion, CrossControllerReset, get_ccr_log};
use super::super::fabrics::{self, Connect, ConnectResponse, InvalidParameter};
use super::super::features::{Fid, HostBehavior, NumberOfQueues, SetFeatures, keep_alive_timer};
use super::super::id_ctrl::oaes;
use super::super::identify::{Cns, Identify};
use super::super::property::{
    Cap, Cc, Csts, PropertyGet, PropertySet, PropertySize, Version, offset,
};
use super::super::*;
use super::words;

#[test]
fn connect_is_these_bytes() {
    let connect = Connect {
        qid: 1,
        sqsize0: 127,
        cattr: 4,
        kato_ms: 5000,
    };
    let sqe = connect.to_sqe();
    assert_eq!(sqe.as_bytes()[..8], [0x7f, 0x40, 0, 0, 1, 0, 0, 0]);
    assert_eq!(sqe.as_bytes()[32..40], [0, 4, 0, 0, 0, 0, 0, 1]);
    assert_eq!(
        sqe.as_bytes()[40..52],
        [0, 0, 1, 0, 127, 0, 4, 0, 0x88, 0x13, 0, 0]
    );
    assert_eq!(Connect::parse(&sqe), Ok(connect));
    assert!(connect.disables_sqflow());
    assert!(PropertyGet::parse(&sqe).is_err());
    assert_eq!(fabrics::fabrics_type(&Sqe::flush(1)), None);
    assert_eq!(
        fabrics::fabrics_type(&fabrics::disconnect()),
        Some(FabricsType::DISCONNECT)
    );
    let mut format = sqe;
    format.as_mut_bytes()[40] = 1;
    assert_eq!(
        Connect::parse(&format),
        Err(CodecError::BadValue {
            field: "RECFMT",
            value: 1
        })
    );
}

#[test]
fn what_connect_answers() {
    let response = ConnectResponse::from_dw0(0x0002_0011);
    assert_eq!(
        (response.cntlid, response.authentication_required),
        (0x11, true)
    );
    assert_eq!(response.to_dw0(), 0x0002_0011);
    assert_eq!(InvalidParameter::SUBNQN.to_dw0(), 0x0001_0100);
    assert_eq!(
        InvalidParameter::from_dw0(0x0001_0200),
        InvalidParameter::HOSTNQN
    );
    assert_eq!(InvalidParameter::SQSIZE.name(), Some("SQSIZE"));
    assert_eq!(InvalidParameter::from_dw0(3).name(), None);
}

#[test]
fn property_commands_and_bits() {
    let get = PropertyGet {
        size: PropertySize::Qword,
        offset: offset::CAP,
    };
    assert_eq!(words(&get.to_sqe())[1], 4);
    assert_eq!(words(&get.to_sqe())[10..12], [1, 0]);
    assert_eq!(PropertyGet::parse(&get.to_sqe()), Ok(get));
    let size = PropertySize::Dword;
    let set = PropertySet {
        size,
        offset: offset::CC,
        value: Cc::ENABLE.0.into(),
    };
    assert_eq!(words(&set.to_sqe())[10..14], [0, 0x14, 0x0046_0001, 0]);
    assert_eq!(PropertySet::parse(&set.to_sqe()), Ok(set));
    let mut odd = set.to_sqe();
    odd.set_cdw10(2);
    assert!(PropertySet::parse(&odd).is_err());

    let cap = Cap::new(127, 15);
    assert_eq!(cap.0, 0x20_0f01_007f);
    assert_eq!(
        (cap.mqes0(), cap.timeout_500ms(), cap.css(), cap.mpsmin()),
        (127, 15, 1, 0)
    );
    let cc = Cc::ENABLE.with_shn(Cc::SHN_NORMAL);
    assert_eq!(
        (cc.en(), cc.shn(), cc.iosqes(), cc.iocqes()),
        (true, 1, 6, 4)
    );
    assert!(!cc.with_en(false).en());
    let csts = Csts::READY
        .with_shst(property::ShutdownStatus::Complete)
        .with_cfs();
    assert_eq!(csts.0, 0b1011);
    assert_eq!(csts.shst(), property::ShutdownStatus::Complete);
    assert_eq!(Version::new(2, 3, 0).0, 0x0002_0300);
    assert_eq!(Version(0x0001_0400).to_string(), "1.4.0");
}

#[test]
fn identify_and_log_commands() {
    let identify = Identify::new(Cns::ACTIVE_NAMESPACES, 9);
    assert_eq!(words(&identify.to_sqe())[..2], [0x4006, 9]);
    assert_eq!(identify.to_sqe().cdw10(), 2);
    assert_eq!(Identify::parse(&identify.to_sqe()), Ok(identify));

    let log = ana::get_ana_log(0x1_0000_1000, 0x40_0000);
    let sqe = log.to_sqe();
    let want = [0xffff_800c, 0x000f, 0x1000, 1];
    assert_eq!([sqe.cdw10(), sqe.cdw11(), sqe.cdw12(), sqe.cdw13()], want);
    assert_eq!(sqe.nsid(), NSID_ALL);
    assert_eq!(GetLogPage::parse(&sqe), Ok(log));
    assert_eq!(log.len_bytes(), 0x40_0000);
    assert_eq!(GetLogPage::new(Lid::SMART, 0).len_bytes(), 4);
    assert_eq!(GetLogPage::new(Lid::SMART, 5).len_bytes(), 8);
    let mut odd = sqe;
    odd.set_cdw12(2);
    assert!(GetLogPage::parse(&odd).is_err());
    odd = sqe;
    odd.set_cdw11(0xffff);
    odd.set_cdw10(0xffff_000c);
    assert_eq!(GetLogPage::parse(&odd).unwrap().len_bytes(), 1 << 34);
}

#[test]
fn features() {
    let queues = NumberOfQueues::pairs(4);
    assert_eq!(queues.to_raw(), 0x0003_0003);
    assert_eq!(NumberOfQueues::from_raw(0x0007_0003).usable(), 4);
    assert_eq!(NumberOfQueues::pairs(0).to_raw(), 0);
    assert_eq!(NumberOfQueues::pairs(u32::MAX).to_raw(), u32::MAX);
    let set = SetFeatures::new(Fid::NUMBER_OF_QUEUES, queues.to_raw());
    assert_eq!((set.to_sqe().opcode(), set.to_sqe().cdw10()), (9, 7));
    assert_eq!(SetFeatures::parse(&set.to_sqe()), Ok(set));
    assert_eq!(keep_alive_timer(5000).to_sqe().cdw11(), 5000);
    let config = features::async_event_config::ANA_CHANGE | oaes::CCR_COMPLETED;
    assert_eq!(config, 0x0010_0800);
    let behavior = HostBehavior {
        acre: true,
        ..HostBehavior::default()
    };
    let mut buf = [0xff; 512];
    behavior.emit(&mut buf).unwrap();
    assert_eq!((buf[0], buf[1], buf[511]), (1, 0, 0));
    assert_eq!(HostBehavior::parse(&buf), Ok(behavior));
    assert_eq!(behavior.to_sqe().sgl().length, 512);
}

#[test]
fn asynchronous_events() {
    assert_eq!(async_event_request().opcode(), 0x0c);
    assert_eq!(keep_alive().opcode(), 0x18);
    assert_eq!(AsyncEvent::NAMESPACE_ATTRIBUTE.to_dw0(), 0x0004_0002);
    assert_eq!(AsyncEvent::ANA_CHANGE.to_dw0(), 0x000c_0302);
    assert_eq!(AsyncEvent::CCR_COMPLETED.to_dw0(), 0x001e_f402);
    assert_eq!(
        AsyncEvent::from_dw0(0x000c_0302).as_notice(),
        Some(Notice::ANA_CHANGE)
    );
    assert_eq!(AsyncEvent::from_dw0(0x0002_0101).as_notice(), None);
}

#[test]
fn cross_controller_reset_command() {
    let reset = CrossControllerReset {
        icid: 0x1234,
        ciu: 0x56,
        cirn: 0x0102_0304_0506_0708,
    };
    let sqe = reset.to_sqe();
    assert_eq!(sqe.opcode(), 0x38);
    assert_eq!(
        words(&sqe)[10..],
        [0x0056_1234, 0, 0x0506_0708, 0x0102_0304, 0, 0]
    );
    assert_eq!(CrossControllerReset::parse(&sqe), Ok(reset));
    assert!(CcrCompletion::from_dw0(1).immediate);
    assert_eq!(CcrCompletion { immediate: false }.to_dw0(), 0);
    assert_eq!(get_ccr_log(true).to_sqe().cdw10(), 0x03ff_011e);
}
