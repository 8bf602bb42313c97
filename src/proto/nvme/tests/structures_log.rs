//! Offsets and round trips of the log pages.

use super::super::ana::{AnaItem, AnaLimits, AnaLogParser, AnaLogWriter, AnaState};
use super::super::bytes::{get16, get32, get64};
use super::super::ccr::{
    CCR_LOG_LEN, CcrLogEntry, CcrStatus, CrossControllerReset, emit_ccr_log, parse_ccr_log,
};
use super::super::error::CodecError;
use super::super::log::{emit_effects, emit_no_errors, emit_smart};
use super::structures::{LIMITS, ana_log};

fn items(log: &[u8], piece: usize) -> Vec<AnaItem> {
    let mut parser = AnaLogParser::new(LIMITS);
    let mut found = Vec::new();
    for piece in log.chunks(piece) {
        parser.feed(piece, |item| found.push(item)).unwrap();
    }
    parser.finish().unwrap();
    assert_eq!(parser.offset(), 16 + 3 * 32 + 4 * 4);
    found
}

#[test]
fn an_ana_log_reads_the_same_in_pieces_of_any_size() {
    let mut b = [0xff; 200];
    let len = ana_log(&mut b);
    assert_eq!((len, get64(&b, 0), get16(&b, 8)), (128, 42, 3));
    assert_eq!(
        (get32(&b, 16), get32(&b, 20), get64(&b, 24), b[32]),
        (1, 3, 5, 1)
    );
    assert_eq!((get32(&b, 48), get32(&b, 56), get32(&b, 60)), (1, 3, 2));
    let whole = items(&b, b.len()); // trailing bytes are ignored
    assert_eq!(whole.len(), 1 + 3 + 4);
    assert_eq!(
        whole[0],
        AnaItem::Header {
            chgcnt: 42,
            groups: 3
        }
    );
    assert!(matches!(whole[7], AnaItem::Namespace { group, nsid: 7 } if group.grpid == 9));
    for piece in 1..len {
        assert_eq!(items(&b[..len], piece), whole, "pieces of {piece}");
    }
}

#[test]
fn an_ana_log_has_to_be_whole_and_within_limits() {
    let mut b = [0; 200];
    let len = ana_log(&mut b);
    let feed = |limits, bytes: &[u8]| {
        let mut parser = AnaLogParser::new(limits);
        parser.feed(bytes, |_| ()).and_then(|_| parser.finish())
    };
    for cut in 0..len {
        assert!(matches!(
            feed(LIMITS, &b[..cut]),
            Err(CodecError::Truncated { .. })
        ));
    }
    assert!(
        feed(
            AnaLimits {
                groups: 2,
                ..LIMITS
            },
            &b
        )
        .is_err()
    );
    assert!(feed(AnaLimits { nsids: 3, ..LIMITS }, &b).is_err());
    assert!(feed(AnaLimits { grpid: 8, ..LIMITS }, &b).is_err());
    b[32] = 5;
    let bad = CodecError::BadValue {
        field: "ANA state",
        value: 5,
    };
    assert_eq!(feed(LIMITS, &b), Err(bad));
    let mut small = [0; 50];
    let mut writer = AnaLogWriter::new(&mut small, 0).unwrap();
    assert!(writer.group(1, 0, AnaState::Optimized, [1]).is_err());
    writer.group(1, 0, AnaState::Optimized, []).unwrap();
    assert_eq!(writer.finish(), 48);
}

#[test]
fn the_reset_log_has_eight_byte_entries() {
    let entry = CcrLogEntry {
        icid: 0x1234,
        ciu: 5,
        acid: 6,
        status: CcrStatus::Successful,
        flags: 3,
    };
    let mut b = [0xff; CCR_LOG_LEN];
    assert_eq!(emit_ccr_log(&mut b, &[entry, entry]), Ok(24));
    assert_eq!(
        b[..16],
        [2, 0, 0, 0, 0, 0, 0, 0, 0x34, 0x12, 5, 0, 6, 0, 1, 3]
    );
    assert!(parse_ccr_log(&b).unwrap().eq([entry, entry]));
    assert!(entry.answers(&CrossControllerReset {
        icid: 0x1234,
        ciu: 5,
        cirn: 1
    }));
    assert!(!entry.answers(&CrossControllerReset {
        icid: 0x1234,
        ciu: 6,
        cirn: 1
    }));
    assert!(parse_ccr_log(&b[..23]).is_err());
    b[1] = 0xff;
    assert!(matches!(parse_ccr_log(&b), Err(CodecError::TooLong { .. })));
    assert_eq!(CCR_LOG_LEN, 4096);
    assert!(emit_ccr_log(&mut b, &[entry; 512]).is_err());
}

#[test]
fn small_logs_have_the_right_size() {
    let mut b = [0xff; 4096];
    assert_eq!(emit_no_errors(&mut b, 2), Ok(128));
    assert_eq!((b[127], b[128]), (0, 0xff));
    assert!(emit_no_errors(&mut b, usize::MAX).is_err());
    emit_smart(&mut b, 300).unwrap();
    assert_eq!(
        (b[0], get16(&b, 1), b[3], b[511], b[512]),
        (0, 300, 100, 0, 0xff)
    );
    emit_effects(&mut b, &[0x06], &[(0x01, true), (0x02, false)]).unwrap();
    assert_eq!((get32(&b, 24), get32(&b, 1028), get32(&b, 1032)), (1, 3, 1));
    assert!(emit_smart(&mut b[..511], 0).is_err());
}
