//! A run's result for people.

use super::{LatencyNs, OpReport, PathReport, RunReport, path_label};
use crate::cli::term::{Paint, fit};
use crate::cli::units::{bytes, count, nanos};

/// Cells under headings; numbers to the right, the first column to the left.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<const N: usize>(head: [&str; N]) -> Self {
        Self {
            rows: vec![head.map(str::to_owned).to_vec()],
        }
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// Lines, indented by two; the headings are dimmed.
    pub fn lines(&self, paint: Paint) -> Vec<String> {
        let columns = self.rows[0].len();
        let width = |c: usize| {
            let cells = self.rows.iter().map(|r| r[c].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let mut out = String::from(" ");
            for (i, (cell, w)) in row.iter().zip(&widths).enumerate() {
                out.push_str(&if i == 0 {
                    format!(" {cell:<w$}")
                } else {
                    format!("  {cell:>w$}")
                });
            }
            out
        };
        let mut lines: Vec<_> = self.rows.iter().map(line).collect();
        lines[0] = paint.dim(&lines[0]);
        lines
    }
}

/// The closing report.
pub fn render(r: &RunReport, paint: Paint, columns: usize) -> String {
    let mut out = Vec::new();
    out.push(headline(r, paint));
    out.push(String::new());
    out.extend(operations(r).lines(paint));
    out.push(String::new());
    out.extend(paths(r, columns).lines(paint));
    for (i, p) in r.paths.iter().enumerate() {
        if let Some(why) = &p.reason {
            out.push(format!("  {} path {i}: {why}", paint.warn("note")));
        }
    }
    out.push(String::new());
    out.extend(figures(r));
    if !r.events.is_empty() {
        out.push(String::new());
        for e in &r.events {
            let at = format!("{:>8.2} s", e.at_ns as f64 / 1e9);
            out.push(format!("  {}  {}", paint.dim(&at), e.text));
        }
    }
    out.push(String::new());
    out.extend(verdict(r, paint));
    out.push(String::new());
    out.join("\n")
}

fn headline(r: &RunReport, paint: Paint) -> String {
    let w = &r.workload;
    let mix = match w.rw {
        "randrw" => format!(" {}/{}", w.rwmixread, 100 - w.rwmixread),
        _ => String::new(),
    };
    let rate = match w.rate {
        Some(n) => format!(", {} a second", count(n)),
        None => String::new(),
    };
    let title = format!("umpio {}", r.command);
    format!(
        "{}  {:.1} s of {}{mix}, {}, depth {}{rate}, {} path{}, {}",
        paint.bold(&title),
        r.elapsed_ns as f64 / 1e9,
        w.rw,
        w.bs,
        w.iodepth,
        r.paths.len(),
        if r.paths.len() == 1 { "" } else { "s" },
        r.policy,
    )
}

fn latency_cells(l: &LatencyNs) -> [String; 7] {
    [l.mean, l.p50, l.p90, l.p99, l.p999, l.p9999, l.max].map(nanos)
}

fn operations(r: &RunReport) -> Table {
    let mut t = Table::new([
        "", "I/Os", "IOPS", "per s", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max",
    ]);
    let seconds = (r.elapsed_ns as f64 / 1e9).max(1e-9);
    let mut add = |name: &str, ios: u64, iops: f64, rate: f64, l: &LatencyNs| {
        let [mean, p50, p90, p99, p999, p9999, max] = latency_cells(l);
        t.row([
            name.to_owned(),
            count(ios),
            count(iops as u64),
            bytes(rate),
            mean,
            p50,
            p90,
            p99,
            p999,
            p9999,
            max,
        ]);
    };
    let both = r.read.ios > 0 && r.write.ios > 0;
    let parts: [(&str, &OpReport); 2] = [("read", &r.read), ("write", &r.write)];
    for (name, op) in parts.iter().filter(|(_, op)| op.ios > 0) {
        let (iops, rate) = (op.ios as f64 / seconds, op.bytes as f64 / seconds);
        add(name, op.ios, iops, rate, &op.latency_ns);
    }
    if both || r.ios == 0 {
        let rate = r.bandwidth_bytes_per_s as f64;
        add("all", r.ios, r.iops, rate, &r.latency_ns);
    }
    t
}

fn paths(r: &RunReport, columns: usize) -> Table {
    let mut t = Table::new([
        "path", "state", "access", "I/Os", "share", "per s", "p50", "p99", "max", "errors",
    ]);
    let total: u64 = r.paths.iter().map(|p| p.ios).sum();
    let seconds = (r.elapsed_ns as f64 / 1e9).max(1e-9);
    let width = columns.saturating_sub(90).max(26);
    for (i, p) in r.paths.iter().enumerate() {
        let PathReport { latency_ns: l, .. } = p;
        t.row([
            format!("{i} {}", fit(&path_label(&p.url), width)),
            p.state.clone(),
            p.access.clone(),
            count(p.ios),
            share(p.ios, total),
            bytes(p.bytes as f64 / seconds),
            nanos(l.p50),
            nanos(l.p99),
            nanos(l.max),
            count(p.errors),
        ]);
    }
    t
}

/// A part of a whole in percent.
pub fn share(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".to_owned(),
        n => format!("{:.1} %", part as f64 * 100.0 / n as f64),
    }
}

fn figures(r: &RunReport) -> Vec<String> {
    let busy = r.busy_ns_per_io * r.ios as f64 / (r.elapsed_ns as f64).max(1.0) * 100.0;
    let mut lines = vec![
        format!(
            "  longest stall {}, fenced {} (longest {}), re-routed {}, retried {}, parked {}",
            nanos(r.longest_stall_ns),
            count(r.fenced.count),
            nanos(r.fenced.longest_ns),
            count(r.rerouted),
            count(r.retries),
            count(r.parked),
        ),
        format!(
            "  busy {} per I/O ({busy:.0} % of the time), transport {}",
            nanos(r.busy_ns_per_io as u64),
            r.transport
        ),
    ];
    if r.late_starts > 0 {
        lines.push(format!(
            "  {} starts were late: all of the depth was in use (their wait is in the latency)",
            count(r.late_starts)
        ));
    }
    lines
}

fn verdict(r: &RunReport, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    if r.interrupted {
        lines.push(format!("  {}", paint.warn("interrupted before its time")));
    }
    for line in &r.given_up {
        lines.push(format!("  {} {line}", paint.bad("given up")));
    }
    for e in &r.error_kinds {
        let times = count(e.count);
        lines.push(format!("  {} {times} x {}", paint.bad("error"), e.example));
    }
    for m in &r.miscompare_details {
        lines.push(format!("  {} {m}", paint.bad("miscompare")));
    }
    let checked = match r.workload.verify {
        true => format!(
            ", {} blocks of 512 bytes checked, {} miscompares{}",
            count(r.checked),
            count(r.miscompares),
            match r.torn {
                0 => String::new(),
                n => format!(", {} torn beside a write", count(n)),
            }
        ),
        false => String::new(),
    };
    let text = format!("{} failed I/Os{checked}", count(r.errors));
    lines.push(if r.ok {
        format!("  {} {text}", paint.good("ok"))
    } else {
        format!("  {} {text}", paint.bad("FAILED"))
    });
    lines
}
