//! The contract's keys, the files and the page, made from a run in virtual time.

use std::time::Duration;

use serde_json::Value;

use super::html::{self, Page};
use super::timeline::{Carried, Event, EventKind, PathTimeline};
use super::*;
use crate::cli::term::Paint;
use crate::front::workload::mock::{Fault, MockLun};
use crate::front::workload::stats::histogram;
use crate::front::workload::{Pattern, Rules, SeriesSpec, Sizes, Spec};
use crate::lun::port::PortId;

struct Run {
    report: RunReport,
    workload: Workload,
    split: PathTimeline,
}

const URLS: [&str; 3] = [
    "nvme-tcp://127.0.0.1:40001/nqn.2024-01.io.umpio:demo",
    "nvme-tcp://127.0.0.1:40002/nqn.2024-01.io.umpio:demo",
    "nvme-tcp://127.0.0.2:40001/nqn.2024-01.io.umpio:demo?<&>",
];

/// A run of `seconds` in which the second path goes away for a fifth of the time.
fn run(seconds: u64, fault: Option<(Fault, u64)>) -> Run {
    let spec = Spec {
        pattern: Pattern::RandRw,
        sizes: Sizes::List(vec![4096, 16_384]),
        depth: 16,
        seed: 7,
        verify: Some(Rules::default()),
        series: Some(SeriesSpec::for_runtime(Duration::from_secs(seconds))),
        ..Spec::default()
    };
    let end = seconds * 1_000_000_000;
    let mut lun = MockLun::new(512, 8192, 1);
    lun.fault = fault;
    let mut w = Workload::new(&spec, lun.shape()).expect("fits");
    let mut split = PathTimeline::new(3, 512);
    let mut carried = [Carried::default(); 3];
    let (mut last, mut next_sample, mut now) = (0, 0, Time::ZERO);
    while !w.is_finished() {
        let at = now.as_nanos();
        let cut = (end / 5 * 2..end / 5 * 3).contains(&at);
        lun.latency_ns = if cut { 1_400_000 } else { 900_000 };
        if cut && at - end / 5 * 2 < 20_000_000 {
            lun.frozen_until = end / 5 * 2 + end / 60;
        }
        lun.advance(now);
        w.step(&mut lun, PortId(0), now);
        let fresh = w.stats().ios() - last;
        last = w.stats().ios();
        let parts = if cut { [55, 0, 45] } else { [35, 35, 30] };
        for (c, part) in carried.iter_mut().zip(parts) {
            c.ios += fresh * part;
            c.bytes += fresh * part * 8192;
        }
        if at >= next_sample && at <= end {
            let totals = carried.iter().map(|c| Carried {
                ios: c.ios / 100,
                bytes: c.bytes / 100,
            });
            split.sample(at, totals);
            next_sample = at + end / 100;
        }
        if at >= end {
            w.stop(now);
        }
        now += Duration::from_micros(25);
    }
    let mut latency = histogram(2);
    latency.saturating_record(300_000);
    let paths = URLS.iter().zip(&carried).enumerate();
    let lun = LunFacts {
        policy: "round-robin".to_owned(),
        transport: "tcp".to_owned(),
        paths: paths
            .map(|(i, (url, c))| PathReport {
                url: (*url).to_owned(),
                nexus_id: json::id(i as u64 + 0xABCD_0000_0000_0001),
                state: "up".to_owned(),
                access: "optimized".to_owned(),
                ios: c.ios / 100,
                bytes: c.bytes / 100,
                latency_ns: LatencyNs::of(&latency),
                ..PathReport::default()
            })
            .collect(),
        fenced: Fenced {
            count: 5,
            longest_ns: 11_000_000,
        },
        longest_stall_ns: w.longest_stall_ns(),
        busy_ns: w.stats().ios() * 3_500,
        ..LunFacts::default()
    };
    let event = |part: u64, kind, text: &str| Event {
        at_ns: end / 100 * part,
        kind,
        text: text.to_owned(),
    };
    let events = vec![
        event(40, EventKind::Cut, "cut the nexus of path 1 <RST>"),
        event(41, EventKind::Loss, "path 1 lost: connection reset by peer"),
        event(60, EventKind::Restore, "gave it back"),
        event(61, EventKind::Up, "path 1 is up again after 1.5 ms"),
        event(
            80,
            EventKind::Policy,
            "policy round-robin to least-queue-depth",
        ),
    ];
    let mut report = RunReport::new("demo", &spec, &w, lun, events, now);
    report.demo = Some(DemoCounts {
        cuts: 1,
        policy_changes: 1,
    });
    Run {
        report,
        workload: w,
        split,
    }
}

fn page(run: &Run) -> String {
    html::render(&Page {
        report: &run.report,
        stats: run.workload.stats(),
        split: &run.split,
        started_ns: 1_709_251_200_000_000_000,
    })
}

#[test]
fn the_json_has_every_key_of_the_contract_with_its_type() {
    let text = json::to_string(&run(1, None).report);
    assert!(text.is_ascii());
    let v: Value = serde_json::from_str(&text).expect("one object");
    let latency = ["min", "mean", "p50", "p90", "p99", "p999", "p9999", "max"];
    for key in latency {
        assert!(v["latency_ns"][key].is_u64(), "latency_ns.{key}");
        assert!(v["paths"][0]["latency_ns"][key].is_u64(), "path {key}");
    }
    for key in ["errors", "miscompares", "longest_stall_ns", "cuts"] {
        assert!(v[key].is_u64(), "{key}");
    }
    for key in ["iops", "bandwidth_bytes_per_s", "busy_ns_per_io"] {
        assert!(v[key].as_f64().expect(key) > 0.0, "{key}");
    }
    assert!(v["policy_changes"].is_u64());
    assert!(v["fenced"]["count"].is_u64() && v["fenced"]["longest_ns"].is_u64());
    assert_eq!(v["policy"], "round-robin");
    assert_eq!(v["transport"], "tcp");
    let path = &v["paths"][1];
    assert_eq!(path["nexus_id"], "0xabcd000000000002");
    for key in ["url", "state", "access"] {
        assert!(path[key].is_string(), "{key}");
    }
    for key in ["ios", "bytes", "errors"] {
        assert!(path[key].is_u64(), "{key}");
    }
    assert_eq!(v["ok"], true);
    assert_eq!(v["events"][0]["kind"], "cut");
}

#[test]
fn a_bench_report_has_no_demo_keys_and_a_bad_one_is_not_ok() {
    let mut r = run(1, Some((Fault::LostWrite, 50)));
    r.report.demo = None;
    let v: Value = serde_json::from_str(&json::to_string(&r.report)).expect("valid");
    assert!(v.get("cuts").is_none());
    assert_eq!(v["ok"], false);
    assert!(v["miscompares"].as_u64() > Some(0));
    let details = v["miscompare_details"].as_array().expect("a list");
    assert!(details[0].as_str().expect("text").contains("stale data"));
    let text = table::render(&r.report, Paint::OFF, 120);
    assert!(text.contains("FAILED") && text.contains("stale data"));
    assert!(page(&r).contains("What went wrong"));
}

#[test]
fn the_table_fits_and_says_what_matters() {
    let r = run(1, None).report;
    let text = table::render(&r, Paint::OFF, 120);
    for part in [
        "round-robin",
        "longest stall",
        "0 miscompares",
        "path 1 lost",
        "ok 0 failed",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(
        text.lines().take(10).all(|l| l.chars().count() <= 125),
        "{text}"
    );
}

#[test]
fn an_interval_log_reads_back_with_all_its_ios() {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    let run = run(1, None);
    let stats = run.workload.stats();
    let mut log = Vec::new();
    let series = stats.series.as_ref().expect("asked for");
    hdr::interval_log(&mut log, series, stats, 1_700_000_000_000_000_000).expect("in memory");
    let mut total = 0;
    let mut intervals = 0;
    for entry in IntervalLogIterator::new(&log) {
        if let LogEntry::Interval(i) = entry.expect("valid line") {
            let raw = base64(i.encoded_histogram());
            let h: Histogram<u64> = Deserializer::new()
                .deserialize(&mut raw.as_slice())
                .expect("V2, deflated");
            total += h.len();
            intervals += 1;
        }
    }
    assert_eq!(total, stats.ios());
    assert!((10..=12).contains(&intervals), "{intervals}");
}

/// Enough of base64 to read back what the log has.
fn base64(text: &str) -> Vec<u8> {
    const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut bits, mut have) = (Vec::new(), 0u32, 0);
    for c in text.bytes().filter(|c| *c != b'=') {
        let n = SIGNS.iter().position(|s| *s == c).expect("base64");
        bits = (bits << 6 | n as u32) & 0xFF_FFFF;
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    out
}

#[test]
fn a_percentile_table_ends_at_the_maximum() {
    let mut h = histogram(3);
    for us in 1..=1000 {
        h.saturating_record(us * 1000);
    }
    let mut out = Vec::new();
    hdr::percentiles(&mut out, &h).expect("in memory");
    let text = String::from_utf8(out).expect("ASCII");
    let median = text.lines().find(|l| l.contains(" 0.500000000000 "));
    assert!(median.expect("a line").trim_start().starts_with("500."));
    assert!(text.contains("1.000000000000       1000\n"), "{text}");
}

#[test]
fn the_page_stands_alone_and_escapes_what_it_is_given() {
    let html = page(&run(2, None));
    for part in ["http://", "https://", "<script", "@import", "url("] {
        assert!(!html.contains(part), "{part}");
    }
    assert!(html.contains("&lt;RST&gt;") && html.contains("?&lt;&amp;&gt;"));
    for part in [
        "Latency over time",
        "I/O over the paths",
        "Latency by percentile",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("NaN") && !html.contains("inf"));
    // For looking at it: UMPIO_PAGE=/tmp/page.html cargo test the_page
    if let Some(path) = std::env::var_os("UMPIO_PAGE") {
        std::fs::write(path, page(&run(10, None))).expect("writable");
    }
}

#[test]
fn a_run_without_io_makes_a_page_all_the_same() {
    let spec = Spec {
        series: Some(SeriesSpec::for_runtime(Duration::from_secs(1))),
        ..Spec::default()
    };
    let lun = MockLun::new(512, 8192, 1);
    let workload = Workload::new(&spec, lun.shape()).expect("fits");
    let now = Time::ZERO;
    let report = RunReport::new("bench", &spec, &workload, LunFacts::default(), vec![], now);
    let html = page(&Run {
        report: report.clone(),
        workload,
        split: PathTimeline::default(),
    });
    assert!(!html.contains("NaN"));
    assert!(table::render(&report, Paint::OFF, 80).contains("ok 0 failed"));
}

#[test]
fn a_path_is_known_by_where_it_leads_and_where_it_sets_out() {
    let label = |url| path_label(url);
    assert_eq!(label("nvme-tcp://[::1]:4420/nqn.x?nsid=1"), "[::1]:4420");
    assert_eq!(
        label("nvme-tcp://10.0.0.1/nqn.x?hdgst=1&src=10.0.0.9&iface=eth0"),
        "10.0.0.1 src=10.0.0.9 iface=eth0"
    );
    assert_eq!(
        label("iscsi://me%***@10.0.0.1:3260/iqn.x/0?src=10.0.0.9"),
        "iscsi 10.0.0.1:3260 src=10.0.0.9"
    );
    assert_eq!(label("mem:64M"), "mem:64M");
    assert_eq!(label("file:/srv/a.img?direct=1"), "file:/srv/a.img");
}
