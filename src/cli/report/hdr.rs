//! Latencies as files that other HdrHistogram tools read.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use crate::base::clock::wall_time;
use crate::front::workload::stats::{Series, Stats};

/// Writes `--hdr FILE`: a percentile table for `.hgrm`, else an interval log of V2 histograms.
/// `started_ns` is the wall-clock time of the start, in nanoseconds since 1970.
pub fn write_file(path: &Path, stats: &Stats, started_ns: u64) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    match &stats.series {
        Some(series) if path.extension().is_none_or(|e| e != "hgrm") => {
            interval_log(&mut out, series, stats, started_ns)?;
        }
        _ => percentiles(&mut out, &stats.latency())?,
    }
    out.flush()
}

/// An interval log: time stamps in seconds from the start, values in nanoseconds.
pub fn interval_log(
    out: &mut impl Write,
    series: &Series,
    stats: &Stats,
    started_ns: u64,
) -> io::Result<()> {
    let started = wall_time(started_ns);
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    let mut log = builder
        .add_comment("umpio latency in nanoseconds")
        .with_start_time(started)
        .with_base_time(started)
        // The maximum is shown in milliseconds, as other tools do.
        .with_max_value_divisor(1e6)
        .begin_log_with(out, &mut serializer)?;
    let end = stats
        .stopped
        .map_or(u64::MAX, |t| stats.elapsed_ns(t).max(1));
    for (i, interval) in series.intervals.iter().enumerate() {
        let from = series.interval_ns * i as u64;
        if from >= end && interval.latency.is_empty() {
            break;
        }
        log.write_histogram(
            &interval.latency,
            Duration::from_nanos(from),
            Duration::from_nanos(series.interval_ns),
            None,
        )
        .map_err(|e| io::Error::other(format!("cannot encode a histogram: {e:?}")))?;
    }
    Ok(())
}

/// The percentile table of HdrHistogram's own plotters, in microseconds.
pub fn percentiles(out: &mut impl Write, h: &Histogram<u64>) -> io::Result<()> {
    let us = |ns: f64| ns / 1e3;
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut total = 0;
    for v in h.iter_quantiles(5) {
        let q = v.quantile_iterated_to();
        let value = us(v.value_iterated_to() as f64);
        total += v.count_since_last_iteration();
        if q < 1.0 {
            let inverse = 1.0 / (1.0 - q);
            writeln!(out, "{value:>12.3} {q:>14.12} {total:>10} {inverse:>14.2}")?;
        } else {
            writeln!(out, "{value:>12.3} {q:>14.12} {total:>10}")?;
        }
    }
    writeln!(
        out,
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]\n\
         #[Max     = {:>12.3}, Total count    = {:>12}]\n\
         #[Buckets = {:>12}, SubBuckets     = {:>12}]",
        us(h.mean()),
        us(h.stdev()),
        us(h.max() as f64),
        h.len(),
        h.buckets(),
        2048
    )
}
