//! What is shown while a run goes on: a block redrawn on a terminal, else a line a second.

use super::report::table::Table;
use super::report::timeline::Event;
use super::report::{PathReport, path_label};
use super::term::{Block, Paint, fit};
use super::units::{bytes, count, nanos};

/// What one moment looks like.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    pub at_ns: u64,
    /// What the run is doing: "measuring", "reading everything back"...
    pub doing: String,
    /// How far it is, from 0 to 1.
    pub progress: f64,
    /// Totals so far.
    pub ios: u64,
    pub bytes: u64,
    pub errors: u64,
    pub miscompares: u64,
    pub policy: String,
    /// Of the last interval.
    pub p50_ns: u64,
    pub p99_ns: u64,
    pub max_ns: u64,
    pub parked: u64,
    pub fenced: u64,
    pub paths: Vec<PathReport>,
}

/// Shows moments. Rates are differences to the moment shown before.
#[derive(Debug)]
pub struct Live {
    block: Block,
    paint: Paint,
    last: Moment,
    last_line_ns: u64,
    quiet: bool,
}

/// Without a terminal, a line every so often.
const LINE_NS: u64 = 1_000_000_000;

impl Live {
    pub fn new(quiet: bool) -> Self {
        Self {
            block: Block::stderr(),
            paint: Paint::stderr(),
            last: Moment::default(),
            last_line_ns: 0,
            quiet,
        }
    }

    /// How often to call `show`: a terminal is redrawn ten times a second.
    pub fn interval_ns(&self) -> u64 {
        if self.block.is_live() {
            100_000_000
        } else {
            LINE_NS
        }
    }

    /// A line that stays.
    pub fn event(&mut self, e: &Event) {
        if !self.quiet {
            let at = self.paint.dim(&format!("{:>7.2} s", e.at_ns as f64 / 1e9));
            self.block.say(&format!("{at}  {}", e.text));
        }
    }

    /// Shows a moment.
    pub fn show(&mut self, m: &Moment) {
        if self.quiet {
            return;
        }
        let seconds = m.at_ns.saturating_sub(self.last.at_ns) as f64 / 1e9;
        if seconds <= 0.0 {
            return;
        }
        if self.block.is_live() {
            let lines = self.render(m, seconds, Block::columns());
            self.block.draw(&lines);
        } else if m.at_ns.saturating_sub(self.last_line_ns) >= LINE_NS * 9 / 10 {
            self.last_line_ns = m.at_ns;
            self.block.say(&self.line(m, seconds));
        } else {
            return;
        }
        self.last = m.clone();
    }

    /// Takes the block away: the closing report follows.
    pub fn finish(&mut self) {
        if !self.quiet {
            self.block.clear();
        }
    }

    fn line(&self, m: &Moment, seconds: f64) -> String {
        let up = m.paths.iter().filter(|p| p.state == "up").count();
        format!(
            "{:>7.2} s  {} ({:.0} %): {} IOPS, {}/s, p50 {}, p99 {}, {up} of {} paths up, {} \
             errors, {} miscompares",
            m.at_ns as f64 / 1e9,
            m.doing,
            m.progress * 100.0,
            count(rate(self.last.ios, m.ios, seconds) as u64),
            bytes(rate(self.last.bytes, m.bytes, seconds)),
            nanos(m.p50_ns),
            nanos(m.p99_ns),
            m.paths.len(),
            m.errors,
            m.miscompares,
        )
    }

    fn render(&self, m: &Moment, seconds: f64, columns: usize) -> Vec<String> {
        let paint = self.paint;
        let bar = bar(m.progress, 24);
        let trouble = format!("{} errors, {} miscompares", m.errors, m.miscompares);
        let trouble = match m.errors + m.miscompares {
            0 => paint.good(&trouble),
            _ => paint.bad(&trouble),
        };
        let mut lines = vec![
            format!(
                "  {} {:>5.1} s  {}, policy {}",
                paint.bold(&bar),
                m.at_ns as f64 / 1e9,
                m.doing,
                paint.bold(&m.policy)
            ),
            format!(
                "  {} IOPS  {}/s  p50 {}  p99 {}  max {}  parked {}  fenced {}  {trouble}",
                paint.bold(&count(rate(self.last.ios, m.ios, seconds) as u64)),
                bytes(rate(self.last.bytes, m.bytes, seconds)),
                nanos(m.p50_ns),
                nanos(m.p99_ns),
                nanos(m.max_ns),
                m.parked,
                m.fenced,
            ),
            String::new(),
        ];
        let mut table = Table::new(["path", "state", "access", "IOPS", "per s", "p99", "errors"]);
        let width = columns.saturating_sub(68).clamp(20, 48);
        for (i, p) in m.paths.iter().enumerate() {
            let before = self.last.paths.get(i);
            let ios = before.map_or(0, |b| b.ios);
            let sent = before.map_or(0, |b| b.bytes);
            table.row([
                format!("{i} {}", fit(&path_label(&p.url), width)),
                p.state.clone(),
                p.access.clone(),
                count(rate(ios, p.ios, seconds) as u64),
                bytes(rate(sent, p.bytes, seconds)),
                nanos(p.latency_ns.p99),
                count(p.errors),
            ]);
        }
        let rows = table.lines(paint);
        // The heading is the first row; a path that is down is painted as a whole.
        lines.push(rows[0].clone());
        for (row, p) in rows[1..].iter().zip(&m.paths) {
            lines.push(match p.state.as_str() {
                "up" => row.clone(),
                _ => paint.warn(row),
            });
        }
        lines
    }
}

fn rate(before: u64, after: u64, seconds: f64) -> f64 {
    after.saturating_sub(before) as f64 / seconds
}

fn bar(progress: f64, width: usize) -> String {
    let full = (progress.clamp(0.0, 1.0) * width as f64).round() as usize;
    format!("[{}{}]", "=".repeat(full), " ".repeat(width - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_short_block_with_a_line_per_path() {
        let live = Live::new(false);
        let path = |state: &str| PathReport {
            url: "nvme-tcp://127.0.0.1:4420/nqn.2024-01.io.umpio:demo".to_owned(),
            state: state.to_owned(),
            access: "optimized".to_owned(),
            ios: 500,
            ..PathReport::default()
        };
        let m = Moment {
            at_ns: 1_000_000_000,
            progress: 0.5,
            ios: 1000,
            paths: vec![path("up"), path("backoff")],
            ..Moment::default()
        };
        let lines = live.render(&m, 1.0, 100);
        assert_eq!(lines.len(), 6);
        assert!(lines[0].contains("[============            ]"));
        assert!(lines[1].contains("1,000 IOPS"));
        assert!(lines[5].contains("backoff"));
    }
}
