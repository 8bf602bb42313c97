//! iSCSI PDU headers: a stream of PDUs, taken apart header by header.

use super::Input;
use crate::proto::iscsi::pdu::{
    AHS_MAX, Ahs, AsyncEvent, BHS_LEN, DIGEST_LEN, DataIn, Digests, Header, NO_TAG, Opcode, Repr,
    Residual, TargetSn, check_header_digest, pad,
};

const DATA_MAX: usize = 1 << 20;

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choice = input.byte();
    let digests = Digests {
        header: choice & 1 != 0,
        data: choice & 2 != 0,
    };
    let mut rest = input.rest();
    while let Some(bhs) = rest.first_chunk::<BHS_LEN>() {
        let layout = match Header::parse(bhs).and_then(|h| h.layout(digests, DATA_MAX)) {
            Ok(layout) => layout,
            Err(e) => return told(&e),
        };
        assert!(layout.segments <= layout.header && layout.header <= layout.total);
        assert!(layout.header - layout.segments <= DIGEST_LEN);
        assert!(layout.data_len + layout.pad <= layout.total - layout.header);
        assert!((layout.data_len + layout.pad).is_multiple_of(4));
        if rest.len() < layout.header {
            return;
        }
        if layout.header != layout.segments {
            // The digest is told and passed over, or the fuzzer never gets further.
            let _ = check_header_digest(rest, layout.segments).map_err(|e| told(&e));
        }
        match Repr::parse(bhs) {
            Ok(repr) => again(&repr, layout.data_len),
            Err(e) => return told(&e),
        }
        match Ahs::parse(&rest[BHS_LEN..layout.segments]) {
            Ok(ahs) => again_ahs(&ahs),
            Err(e) => return told(&e),
        }
        rest = &rest[layout.total.min(rest.len())..];
    }
}

/// An error has its words.
fn told(e: &crate::proto::iscsi::pdu::PduError) {
    let _ = (e.reject(), e.to_string());
}

/// What was read reads the same once it was written.
fn again(repr: &Repr, data_len: usize) {
    let mut b = [0xff; BHS_LEN];
    repr.emit(data_len, &mut b);
    assert_eq!(Repr::parse(&b), Ok(*repr));
}

fn again_ahs(ahs: &Ahs<'_>) {
    let mut b = [0xff; AHS_MAX];
    assert!(ahs.len() <= AHS_MAX);
    let n = ahs.emit(&mut b);
    assert_eq!(n, ahs.len());
    assert_eq!(n, n + pad(n));
    assert_eq!(Ahs::parse(&b[..n]), Ok(*ahs));
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    // One of each opcode from plain bytes, all with tags that are not the reserved one.
    for opcode in Opcode::ALL {
        for digests in [0, 3] {
            let mut seed = vec![digests, opcode as u8, 0x80];
            seed.resize(1 + BHS_LEN, 1);
            // Lengths: no additional segments, eight bytes of data where there may be some.
            let data = if opcode.has_data() { 8 } else { 0 };
            seed[1 + 4..1 + 8].copy_from_slice(&[0, 0, 0, data]);
            if matches!(opcode, Opcode::LoginRequest | Opcode::LoginResponse) {
                seed[2] = 0x81;
            }
            seed.resize(seed.len() + 80, 0);
            all.push(seed);
        }
    }
    let mut long = vec![0, 1, 0xa1, 0, 0, 8, 0, 0, 0];
    long.resize(1 + BHS_LEN, 2);
    let mut ahs = [0; 32];
    Ahs {
        extended_cdb: Some(&[7; 17]),
        read_length: Some(512),
    }
    .emit(&mut ahs);
    long.extend_from_slice(&ahs);
    all.push(long);
    let mut read = vec![0; 1 + BHS_LEN];
    DataIn {
        is_final: true,
        ack: false,
        status: Some(0),
        residual: Residual::Underflow(4),
        lun: 0,
        itt: 1,
        ttt: NO_TAG,
        sn: TargetSn::default(),
        data_sn: 0,
        offset: 0,
    }
    .emit(4, &mut read[1..]);
    read.extend_from_slice(&[0; 4]);
    all.push(read);
    for event in [
        AsyncEvent::TasksTerminated,
        AsyncEvent::Other {
            event: 255,
            code: 1,
        },
    ] {
        let mut seed = vec![0; 1 + BHS_LEN];
        crate::proto::iscsi::pdu::Async {
            lun: 0,
            sn: TargetSn::default(),
            event,
        }
        .emit(0, &mut seed[1..]);
        all.push(seed);
    }
    all
}
