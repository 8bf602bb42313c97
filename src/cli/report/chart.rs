//! Drawing: a frame with axes, lines, areas and marks, as SVG that needs nothing but a browser.

use std::fmt::Write;

use super::scale::Scale;
use super::timeline::{Event, EventKind};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 76.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 44.0;

/// Text that is safe between tags and in attributes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A chart being drawn.
#[derive(Debug)]
pub struct Chart {
    svg: String,
    height: f64,
    x: Scale,
    y: Scale,
    /// Labels at the ends of lines: wanted height, place, colour class, text.
    ends: Vec<(f64, f64, String, String)>,
}

impl Chart {
    /// An empty frame; `title` is for readers that cannot see it.
    pub fn new(title: &str, height: f64, x: Scale, y: Scale) -> Self {
        let title = escape(title);
        Self {
            svg: format!(
                "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\n"
            ),
            height,
            x,
            y,
            ends: Vec::new(),
        }
    }

    fn px(&self, v: f64) -> f64 {
        LEFT + self.x.place(v) * (WIDTH - LEFT - RIGHT)
    }

    fn py(&self, v: f64) -> f64 {
        let bottom = self.height - BOTTOM;
        bottom - self.y.place(v) * (bottom - TOP)
    }

    /// Horizontal lines with labels.
    pub fn y_axis(&mut self, label: impl Fn(f64) -> String) {
        for t in self.y.ticks() {
            let (y, text) = (self.py(t), label(t));
            let (x1, x2) = (LEFT, WIDTH - RIGHT);
            let _ = writeln!(
                self.svg,
                "<line class=\"grid\" x1=\"{x1}\" x2=\"{x2}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                LEFT - 8.0,
                y + 4.0,
            );
        }
    }

    /// Labels along the bottom, and what they mean.
    pub fn x_axis(&mut self, ticks: &[(f64, String)], name: &str) {
        let bottom = self.height - BOTTOM;
        for (t, text) in ticks {
            let x = self.px(*t);
            let _ = writeln!(
                self.svg,
                "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{}\"/>\
                 <text class=\"tick\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>",
                bottom + 5.0,
                bottom + 18.0,
            );
        }
        let _ = writeln!(
            self.svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\
             <text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            WIDTH - RIGHT,
            bottom + 36.0,
            escape(name),
        );
    }

    /// A line through points; `None` breaks it. `label` is written at its end.
    pub fn line(&mut self, class: &str, points: &[(f64, Option<f64>)], label: &str) {
        let mut path = String::new();
        let mut pen = 'M';
        for (x, y) in points {
            match y {
                Some(y) => {
                    let _ = write!(path, "{pen}{:.1} {:.1}", self.px(*x), self.py(*y));
                    pen = 'L';
                }
                None => pen = 'M',
            }
        }
        let _ = writeln!(self.svg, "<path class=\"line {class}\" d=\"{path}\"/>");
        let last = points.iter().rev().find_map(|(x, y)| Some((*x, (*y)?)));
        if let Some((x, y)) = last {
            let (x, y) = (self.px(x) + 8.0, self.py(y));
            self.ends.push((y, x, class.to_owned(), label.to_owned()));
        }
    }

    /// The area between two lines over the same places.
    pub fn band(&mut self, class: &str, points: &[(f64, f64, f64)]) {
        let mut path = String::new();
        for (i, (x, _, high)) in points.iter().enumerate() {
            let pen = if i == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{pen}{:.1} {:.1}", self.px(*x), self.py(*high));
        }
        for (x, low, _) in points.iter().rev() {
            let _ = write!(path, "L{:.1} {:.1}", self.px(*x), self.py(*low));
        }
        let _ = writeln!(self.svg, "<path class=\"band {class}\" d=\"{path}Z\"/>");
    }

    /// Marks a stretch of the x axis.
    pub fn stretch(&mut self, class: &str, from: f64, to: f64) {
        let (x, w) = (self.px(from), self.px(to) - self.px(from));
        let h = self.height - BOTTOM - TOP;
        let _ = writeln!(
            self.svg,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{w:.1}\" height=\"{h}\"/>"
        );
    }

    /// A stretch that shows `tip` under the pointer.
    pub fn hover(&mut self, from: f64, to: f64, tip: &str) {
        let (x, w) = (self.px(from), self.px(to) - self.px(from));
        let h = self.height - BOTTOM - TOP;
        let _ = writeln!(
            self.svg,
            "<rect class=\"hit\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{w:.1}\" height=\"{h}\">\
             <title>{}</title></rect>",
            escape(tip)
        );
    }

    /// A dot with a label above it and a tip.
    pub fn dot(&mut self, class: &str, x: f64, y: f64, label: &str, tip: &str) {
        let (x, y) = (self.px(x), self.py(y));
        let _ = writeln!(
            self.svg,
            "<g><circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>\
             <text class=\"value\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <title>{}</title></g>",
            y - 10.0,
            escape(label),
            escape(tip)
        );
    }

    /// Vertical lines with numbers, as the list of events counts them. `x` is in seconds.
    pub fn events(&mut self, events: &[Event]) {
        let mut last = f64::MIN;
        let mut row = 0.0;
        for (i, e) in events.iter().enumerate() {
            let x = self.px(e.at_ns as f64 / 1e9);
            // Events close together step down so that each number stays readable.
            row = if x - last < 17.0 { row + 17.0 } else { 0.0 };
            last = x;
            let (class, y) = (event_class(e.kind), TOP - 14.0 + row);
            let _ = writeln!(
                self.svg,
                "<g class=\"event {class}\"><line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" \
                 y2=\"{:.1}\"/><circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"8\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
                 <title>{}</title></g>",
                y + 8.0,
                self.height - BOTTOM,
                y + 3.5,
                i + 1,
                escape(&format!("{:.2} s: {}", e.at_ns as f64 / 1e9, e.text)),
            );
        }
    }

    /// The finished SVG. End labels are moved apart where lines end close together.
    pub fn finish(mut self) -> String {
        self.ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut floor = TOP;
        for (y, x, class, text) in &self.ends {
            let y = y.max(floor);
            floor = y + 15.0;
            let _ = writeln!(
                self.svg,
                "<text class=\"end {class}\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                y + 4.0,
                escape(text)
            );
        }
        self.svg.push_str("</svg>\n");
        self.svg
    }
}

/// Colour class of an event.
pub fn event_class(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Cut | EventKind::Loss => "bad",
        EventKind::Restore | EventKind::Up => "good",
        EventKind::Policy => "policy",
        EventKind::Note => "note",
    }
}
