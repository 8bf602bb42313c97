//! Axes: from a value to a place, and where the ticks stand.

/// How values are laid out along an axis.
#[derive(Copy, Clone, PartialEq, Debug)]
pub enum Scale {
    /// From the first value to the second, evenly.
    Linear(f64, f64),
    /// From the first to the second, evenly in their logarithms.
    Log(f64, f64),
}

impl Scale {
    /// A logarithmic axis that holds all of `values`, at ends that look intended.
    pub fn log_for(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .filter(|v| *v > 0.0)
            .fold((f64::MAX, 0.0f64), |(a, b), v| (a.min(v), b.max(v)));
        if high <= 0.0 {
            return Self::Log(1.0, 10.0);
        }
        let ends = |v: f64, up: bool| {
            let decade = 10f64.powf(v.log10().floor());
            let steps = [1.0, 2.0, 5.0, 10.0];
            let fits = |s: &&f64| {
                if up {
                    *s * decade >= v
                } else {
                    *s * decade <= v
                }
            };
            let step = if up {
                steps.iter().find(fits)
            } else {
                steps.iter().rev().find(fits)
            };
            step.unwrap_or(&1.0) * decade
        };
        let (low, high) = (ends(low * 0.95, false), ends(high * 1.02, true));
        Self::Log(low, high.max(low * 5.0))
    }

    /// A linear axis from zero that holds `high`.
    pub fn from_zero(high: f64) -> Self {
        let step = nice_step(high.max(1e-9));
        Self::Linear(0.0, (high.max(1e-9) / step).ceil() * step)
    }

    /// Where a value lies: 0 at the start of the axis, 1 at its end; values outside stay at the
    /// ends.
    pub fn place(&self, v: f64) -> f64 {
        let at = match *self {
            Self::Linear(a, b) => (v - a) / (b - a),
            Self::Log(a, b) => (v.max(a).ln() - a.ln()) / (b.ln() - a.ln()),
        };
        if at.is_finite() {
            at.clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// Values that get a line and a label.
    pub fn ticks(&self) -> Vec<f64> {
        match *self {
            Self::Linear(a, b) => {
                let step = nice_step(b - a);
                let count = ((b - a) / step + 1e-6) as usize;
                (0..=count).map(|i| a + step * i as f64).collect()
            }
            Self::Log(a, b) => {
                let decades = (b / a).log10();
                let steps: &[f64] = if decades <= 3.1 {
                    &[1.0, 2.0, 5.0]
                } else {
                    &[1.0]
                };
                let first = a.log10().floor() as i32;
                let last = b.log10().ceil() as i32;
                (first..=last)
                    .flat_map(|d| steps.iter().map(move |s| s * 10f64.powi(d)))
                    .filter(|t| *t >= a * 0.999 && *t <= b * 1.001)
                    .collect()
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten, so that a range has four to eight steps.
fn nice_step(range: f64) -> f64 {
    let rough = range / 5.0;
    let decade = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|s| s * decade >= rough);
    step.unwrap_or(10.0) * decade
}

/// The axis of nines: 0 at 0 %, 1 at 90 %, 2 at 99 %, and so on.
pub fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-12).log10()
}

/// A latency tick, as short as it goes.
pub fn latency_label(ns: f64) -> String {
    let (n, unit) = match ns {
        n if n < 999.5 => (n, "ns"),
        n if n < 999.5e3 => (n / 1e3, "\u{b5}s"),
        n if n < 999.5e6 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    format!("{}\u{a0}{unit}", trimmed(n))
}

/// A count tick: 20k, 1.5M.
pub fn count_label(n: f64) -> String {
    match n {
        n if n >= 1e6 => format!("{}M", trimmed(n / 1e6)),
        n if n >= 1e3 => format!("{}k", trimmed(n / 1e3)),
        n => trimmed(n),
    }
}

fn trimmed(n: f64) -> String {
    let digits = match n {
        n if n >= 99.95 => 0,
        n if n >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{n:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_axis_ends_on_round_values_around_its_data() {
        let s = Scale::log_for([37_000.0, 2_600_000.0].into_iter());
        assert_eq!(s, Scale::Log(20_000.0, 5_000_000.0));
        assert_eq!(s.ticks().len(), 8, "20, 50, 100 us to 5 ms");
        let wide = Scale::Log(1e3, 1e9);
        assert_eq!(wide.ticks().len(), 7);
        assert!(s.place(20_000.0) == 0.0 && s.place(1e9) == 1.0);
        let one = Scale::log_for([50.0].into_iter());
        assert_eq!(one.ticks(), [20.0, 50.0, 100.0]);
    }

    #[test]
    fn a_linear_axis_has_a_handful_of_ticks() {
        for high in [0.3, 7.0, 99.0, 123_456.0] {
            let s = Scale::from_zero(high);
            let ticks = s.ticks();
            assert!((3..=9).contains(&ticks.len()), "{high}: {ticks:?}");
            assert!(*ticks.last().expect("some") >= high);
        }
    }

    #[test]
    fn labels_are_short() {
        assert_eq!(latency_label(1_500.0), "1.5\u{a0}\u{b5}s");
        assert_eq!(latency_label(200_000_000.0), "200\u{a0}ms");
        assert_eq!(count_label(20_000.0), "20k");
        assert_eq!(count_label(0.0), "0");
        assert!((nines(0.999) - 3.0).abs() < 1e-9);
    }
}
