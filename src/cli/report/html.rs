//! The page: one file, no network, readable in ten years.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::chart::{Chart, escape, event_class};
use super::scale::{Scale, count_label, latency_label, nines};
use super::table::share;
use super::timeline::PathTimeline;
use super::{LatencyNs, RunReport, path_label};
use crate::cli::units::{bytes, count, nanos};
use crate::front::workload::stats::{Series, Stats};

/// Everything a page shows.
#[derive(Debug)]
pub struct Page<'a> {
    pub report: &'a RunReport,
    pub stats: &'a Stats,
    pub split: &'a PathTimeline,
    /// Wall-clock start, in nanoseconds since 1970.
    pub started_ns: u64,
}

/// Colours there are for lines and bands; further paths share the last.
const COLOURS: usize = 8;

/// Renders the page.
pub fn render(page: &Page<'_>) -> String {
    let r = page.report;
    let mut out = String::with_capacity(128 * 1024);
    let title = format!("umpio {}", r.command);
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n",
        include_str!("page.css")
    );
    header(&mut out, page, &title);
    if let Some(series) = &page.stats.series {
        section(
            &mut out,
            "Latency over time",
            "Per interval; logarithmic. Red ground: nothing completed in that interval.",
            &latency_over_time(page, series),
        );
    }
    if let Some(split) = path_split(page) {
        section(
            &mut out,
            "I/O over the paths",
            "Operations a second that each path carried.",
            &split,
        );
    }
    if !r.events.is_empty() {
        section(&mut out, "Events", "", &event_list(r));
    }
    section(
        &mut out,
        "Latency by percentile",
        "Each step to the right is another nine: one I/O in ten, in a hundred, in a thousand.",
        &percentile_curve(page),
    );
    section(&mut out, "Operations", "", &operations(r));
    section(&mut out, "Paths", "", &paths(r));
    if !r.ok {
        section(&mut out, "What went wrong", "", &trouble(r));
    }
    let _ = write!(
        out,
        "<footer>umpio {} &middot; started {} &middot; seed {}. Busy time is that of reactor \
         turns which moved something; turns that found nothing are not counted.</footer>\n\
         </main>\n</body>\n</html>\n",
        r.version,
        utc(page.started_ns),
        r.workload.seed
    );
    out
}

fn section(out: &mut String, title: &str, sub: &str, body: &str) {
    let _ = write!(out, "<section>\n<h2>{title}</h2>\n");
    let _ = write!(out, "<p class=\"sub\">{sub}</p>\n{body}</section>\n");
}

fn header(out: &mut String, page: &Page<'_>, title: &str) {
    let r = page.report;
    let w = &r.workload;
    let mix = match w.rw {
        "randrw" => format!(" {}/{}", w.rwmixread, 100 - w.rwmixread),
        _ => String::new(),
    };
    let rate = w
        .rate
        .map_or(String::new(), |n| format!(" at {} a second", count(n)));
    let _ = write!(
        out,
        "<h1>{title}</h1>\n<p class=\"sub\">{:.1} s of {}{mix}, {} blocks, depth {}{rate}, over \
         {} path{} &middot; policy {} &middot; transport {}</p>\n",
        r.elapsed_ns as f64 / 1e9,
        w.rw,
        w.bs,
        w.iodepth,
        r.paths.len(),
        if r.paths.len() == 1 { "" } else { "s" },
        escape(&r.policy),
        escape(&r.transport),
    );
    let checked = match w.verify {
        true => format!(
            ", {} miscompares in {} blocks checked{}",
            count(r.miscompares),
            count(r.checked),
            match r.torn {
                0 => String::new(),
                n => format!(", {} torn beside a write", count(n)),
            }
        ),
        false => String::new(),
    };
    let (class, mark) = if r.ok {
        ("ok", "\u{2713}")
    } else {
        ("failed", "\u{2717}")
    };
    let _ = write!(
        out,
        "<p class=\"verdict {class}\">{mark} {} failed I/Os{checked}</p>\n<div class=\"tiles\">\n",
        count(r.errors)
    );
    let l = &r.latency_ns;
    let tiles = [
        ("IOPS", count(r.iops as u64)),
        (
            "throughput",
            format!("{}/s", bytes(r.bandwidth_bytes_per_s as f64)),
        ),
        ("median", latency(l.p50)),
        ("p99", latency(l.p99)),
        ("p99.9", latency(l.p999)),
        ("max", latency(l.max)),
        ("longest stall", latency(r.longest_stall_ns)),
        ("busy per I/O", latency(r.busy_ns_per_io as u64)),
    ];
    for (name, value) in tiles {
        let _ = writeln!(out, "<div><b>{value}</b><span>{name}</span></div>");
    }
    out.push_str("</div>\n");
}

/// A latency with a proper micro sign.
fn latency(ns: u64) -> String {
    nanos(ns).replace(" us", " \u{b5}s").replace(' ', "\u{a0}")
}

/// Seconds of a run, and where its axis is labelled.
fn time_axis(page: &Page<'_>) -> (Scale, Vec<(f64, String)>) {
    let seconds = (page.report.elapsed_ns as f64 / 1e9).max(1e-3);
    let scale = Scale::Linear(0.0, seconds);
    let ticks = scale.ticks();
    let labels = ticks.iter().map(|t| {
        let text = format!("{t:.3}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        (*t, text.to_owned())
    });
    (scale, labels.collect())
}

fn latency_over_time(page: &Page<'_>, series: &Series) -> String {
    let (x, ticks) = time_axis(page);
    let step = series.interval_ns as f64 / 1e9;
    let end = page.report.elapsed_ns as f64 / 1e9;
    // A last sliver of an interval has too few I/Os to stand beside the others.
    let shown = series
        .intervals
        .iter()
        .take(((end / step) + 0.1).floor().max(1.0) as usize);
    let rows: Vec<_> = shown.enumerate().collect();
    let value = |h: &Histogram<u64>, q: f64| (!h.is_empty()).then(|| h.value_at_quantile(q) as f64);
    let column = |q: f64| -> Vec<(f64, Option<f64>)> {
        let at = |i: usize| (i as f64 + 0.5) * step;
        rows.iter()
            .map(|(i, v)| (at(*i), value(&v.latency, q)))
            .collect()
    };
    let lines = [
        ("s7 thin", "max", column(1.0)),
        ("s1", "p99", column(0.99)),
        ("s0", "p50", column(0.5)),
    ];
    let all = lines.iter().flat_map(|l| l.2.iter().filter_map(|p| p.1));
    let mut chart = Chart::new("Latency over time", 330.0, x, Scale::log_for(all));
    for (i, v) in &rows {
        if v.ios == 0 {
            chart.stretch("silent", *i as f64 * step, (*i + 1) as f64 * step);
        }
    }
    chart.y_axis(latency_label);
    chart.x_axis(&ticks, "seconds");
    for (class, name, points) in &lines {
        chart.line(class, points, name);
    }
    for (i, v) in &rows {
        let (from, to) = (*i as f64 * step, (*i + 1) as f64 * step);
        let l = LatencyNs::of(&v.latency);
        let tip = format!(
            "{from:.2} to {to:.2} s\n{} IOPS, {} errors\np50 {}\np99 {}\nmax {}",
            count((v.ios as f64 / step) as u64),
            v.errors,
            latency(l.p50),
            latency(l.p99),
            latency(l.max)
        );
        chart.hover(from, to, &tip);
    }
    chart.events(&page.report.events);
    chart.finish()
}

fn path_split(page: &Page<'_>) -> Option<String> {
    let rates = page.split.rates();
    if rates.len() < 2 || page.split.paths() == 0 {
        return None;
    }
    let sums = rates.iter().map(|(_, r)| r.iter().sum::<f64>());
    let high = sums.fold(0.0, f64::max);
    let (x, ticks) = time_axis(page);
    let mut chart = Chart::new("I/O over the paths", 300.0, x, Scale::from_zero(high));
    chart.y_axis(count_label);
    chart.x_axis(&ticks, "seconds");
    let mut floor = vec![0.0; rates.len()];
    for path in 0..page.split.paths() {
        let mut points = Vec::with_capacity(rates.len() * 2);
        let mut from = 0.0;
        for ((to_ns, row), floor) in rates.iter().zip(&mut floor) {
            // Steps, not slopes: a rate belongs to its whole interval.
            let to = *to_ns as f64 / 1e9;
            let high = *floor + row[path];
            points.push((from, *floor, high));
            points.push((to, *floor, high));
            *floor = high;
            from = to;
        }
        chart.band(&format!("s{}", path.min(COLOURS - 1)), &points);
    }
    let mut from = 0.0;
    for (to_ns, row) in &rates {
        let to = *to_ns as f64 / 1e9;
        let mut tip = format!("{from:.2} to {to:.2} s");
        for (i, rate) in row.iter().enumerate() {
            let _ = write!(tip, "\npath {i}: {} IOPS", count(*rate as u64));
        }
        chart.hover(from, to, &tip);
        from = to;
    }
    chart.events(&page.report.events);
    let mut out = chart.finish();
    out.push_str("<ul class=\"legend\">\n");
    for (i, p) in page.report.paths.iter().enumerate() {
        let class = i.min(COLOURS - 1);
        let _ = writeln!(
            out,
            "<li class=\"s{class}\"><i></i>path {i} &middot; {}</li>",
            escape(&path_label(&p.url))
        );
    }
    out.push_str("</ul>\n");
    Some(out)
}

fn event_list(r: &RunReport) -> String {
    let mut out = String::from("<ol class=\"events\">\n");
    for (i, e) in r.events.iter().enumerate() {
        let _ = writeln!(
            out,
            "<li class=\"{}\"><b>{}</b><time>{:.2} s</time><span>{}</span></li>",
            event_class(e.kind),
            i + 1,
            e.at_ns as f64 / 1e9,
            escape(&e.text)
        );
    }
    out.push_str("</ol>\n");
    out
}

fn percentile_curve(page: &Page<'_>) -> String {
    let s = page.stats;
    let both = s.read.ios > 0 && s.write.ios > 0;
    let all = s.latency();
    let curves: Vec<(&str, &str, &Histogram<u64>)> = if both {
        vec![
            ("s0", "read", &s.read.latency),
            ("s1", "write", &s.write.latency),
        ]
    } else {
        vec![("s0", page.report.workload.rw, &all)]
    };
    // Up to the nine that a single I/O stands for.
    let depth = (all.len().max(10) as f64).log10().ceil().clamp(2.0, 9.0);
    let points = |h: &Histogram<u64>| -> Vec<(f64, Option<f64>)> {
        let end = nines(1.0 - 1.0 / (h.len().max(2) as f64));
        let steps = (end * 40.0) as usize;
        let mut p: Vec<_> = (0..=steps)
            .map(|i| {
                let x = i as f64 / 40.0;
                let q = 1.0 - 10f64.powf(-x);
                (x, Some(h.value_at_quantile(q) as f64))
            })
            .collect();
        p.push((end, Some(h.max() as f64)));
        p
    };
    let drawn: Vec<_> = curves
        .iter()
        .filter(|c| !c.2.is_empty())
        .map(|(class, name, h)| (*class, *name, points(h)))
        .collect();
    let values = drawn.iter().flat_map(|d| d.2.iter().filter_map(|p| p.1));
    let scale = Scale::log_for(values);
    let mut chart = Chart::new(
        "Latency by percentile",
        360.0,
        Scale::Linear(0.0, depth),
        scale,
    );
    chart.y_axis(latency_label);
    let ticks: Vec<_> = (0..=depth as usize)
        .map(|n| (n as f64, nines_label(n)))
        .collect();
    chart.x_axis(&ticks, "percentile");
    for (class, name, p) in &drawn {
        chart.line(class, p, name);
    }
    for (class, name, h) in curves.iter().filter(|c| !c.2.is_empty()) {
        for n in 1..=4 {
            let q = 1.0 - 10f64.powi(-n);
            if h.len() < 10u64.pow(n as u32) {
                continue;
            }
            let v = h.value_at_quantile(q);
            let label = if both { String::new() } else { latency(v) };
            let tip = format!("{name} {}: {}", nines_label(n as usize), latency(v));
            chart.dot(class, f64::from(n), v as f64, &label, &tip);
        }
    }
    chart.finish()
}

fn nines_label(n: usize) -> String {
    match n {
        0 => "0\u{a0}%".to_owned(),
        1 => "90\u{a0}%".to_owned(),
        2 => "99\u{a0}%".to_owned(),
        n => format!("99.{}\u{a0}%", "9".repeat(n - 2)),
    }
}

fn operations(r: &RunReport) -> String {
    let mut out = String::from(
        "<div class=\"wide\"><table>\n<tr><th></th><th>I/Os</th><th>bytes</th><th>min</th>\
         <th>mean</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>p99.99</th>\
         <th>max</th></tr>\n",
    );
    let mut row = |name: &str, ios: u64, n: u64, l: &LatencyNs| {
        let _ = write!(
            out,
            "<tr><td>{name}</td><td>{}</td><td>{}</td>",
            count(ios),
            bytes(n as f64)
        );
        for v in [l.min, l.mean, l.p50, l.p90, l.p99, l.p999, l.p9999, l.max] {
            let _ = write!(out, "<td>{}</td>", latency(v));
        }
        out.push_str("</tr>\n");
    };
    for (name, op) in [("read", &r.read), ("write", &r.write)] {
        if op.ios > 0 {
            row(name, op.ios, op.bytes, &op.latency_ns);
        }
    }
    row("all", r.ios, r.bytes, &r.latency_ns);
    let _ = write!(
        out,
        "</table></div>\n<p class=\"sub\">Longest stall {}; fenced {} (longest {}); re-routed {}, \
         retried {}, parked {}; late starts {}.</p>\n",
        latency(r.longest_stall_ns),
        count(r.fenced.count),
        latency(r.fenced.longest_ns),
        count(r.rerouted),
        count(r.retries),
        count(r.parked),
        count(r.late_starts),
    );
    out
}

fn paths(r: &RunReport) -> String {
    let mut out = String::from(
        "<div class=\"wide\"><table>\n<tr><th>path</th><th>state</th><th>access</th><th>I/Os</th>\
         <th>share</th><th>bytes</th><th>p50</th><th>p99</th><th>max</th><th>errors</th></tr>\n",
    );
    let total: u64 = r.paths.iter().map(|p| p.ios).sum();
    for p in &r.paths {
        let class = if p.state == "up" { "up" } else { "down" };
        let why = p.reason.as_deref().unwrap_or("");
        let _ = writeln!(
            out,
            "<tr><td class=\"url\">{}</td><td><span class=\"{class}\" title=\"{}\">{}</span></td>\
             <td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td></tr>",
            escape(&p.url),
            escape(why),
            escape(&p.state),
            escape(&p.access),
            count(p.ios),
            share(p.ios, total),
            bytes(p.bytes as f64),
            latency(p.latency_ns.p50),
            latency(p.latency_ns.p99),
            latency(p.latency_ns.max),
            count(p.errors),
        );
    }
    out.push_str("</table></div>\n");
    out
}

fn trouble(r: &RunReport) -> String {
    let mut text = String::new();
    for e in &r.error_kinds {
        let _ = writeln!(text, "error: {} x {}", count(e.count), e.example);
    }
    for m in &r.miscompare_details {
        let _ = writeln!(text, "miscompare: {m}");
    }
    format!("<pre>{}</pre>\n", escape(&text))
}

/// Nanoseconds since 1970 as a date and time (proleptic Gregorian calendar, no leap seconds).
fn utc(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    // Days from 0000-03-01, so that the leap day is the last of its year.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (h, m, s) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year}-{month:02}-{day:02} {h:02}:{m:02}:{s:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        let at = |s: u64| utc(s * 1_000_000_000);
        assert_eq!(at(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(at(1_709_251_199), "2024-02-29 23:59:59 UTC");
        assert_eq!(at(1_709_251_200), "2024-03-01 00:00:00 UTC");
    }
}
