//! Numbers with units: read from arguments, and written for people.

use std::time::Duration;

use crate::front::workload::Sizes;

/// Reads a size in bytes: `512`, `4k`, `64M`, `1GiB`; multiples of 1024.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => {
            return Err(format!(
                "'{text}' is no size; write for example 512, 4k, 64M or 1G"
            ));
        }
    };
    let number: u64 = number
        .parse()
        .map_err(|_| format!("'{text}' is no size; write for example 512, 4k, 64M or 1G"))?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| format!("'{text}' is too large"))
}

/// Reads I/O sizes: one (`4k`), a list (`512,4k,64k`) or a range (`512..1M`).
pub fn parse_sizes(text: &str) -> Result<Sizes, String> {
    if let Some((low, high)) = text.split_once("..") {
        let (low, high) = (parse_size(low)?, parse_size(high)?);
        return if low == 0 || low > high {
            Err(format!("'{text}' is an empty range of sizes"))
        } else {
            Ok(Sizes::Range(low, high))
        };
    }
    let list = text
        .split(',')
        .map(parse_size)
        .collect::<Result<Vec<_>, _>>()?;
    if list.contains(&0) {
        return Err("an I/O of 0 bytes does nothing".to_owned());
    }
    Ok(Sizes::List(list))
}

/// I/O sizes as `parse_sizes` reads them.
pub fn show_sizes(sizes: &Sizes) -> String {
    match sizes {
        Sizes::List(l) => l.iter().map(|&b| short(b)).collect::<Vec<_>>().join(","),
        Sizes::Range(low, high) => format!("{}..{}", short(*low), short(*high)),
    }
}

/// A size in its largest whole unit.
pub fn short(bytes: u64) -> String {
    for (shift, unit) in [(40, "T"), (30, "G"), (20, "M"), (10, "k")] {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// Reads a duration: `10` (seconds), `1.5s`, `500ms`, `100us`, `2m`, `1h`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("'{text}' is no duration; write for example 10, 1.5s, 500ms or 2m");
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| bad())?;
    let seconds = match unit {
        "" | "s" => number,
        "ms" => number / 1e3,
        "us" => number / 1e6,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(bad()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| bad())
}

/// As `parse_duration`, for a time that must not be nothing.
pub fn parse_runtime(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("a run of no time measures nothing".to_owned()),
        d => Ok(d),
    }
}

/// Nanoseconds in the unit that leaves one to three digits before the point.
pub fn nanos(ns: u64) -> String {
    let f = ns as f64;
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => scaled(f / 1e3, "us"),
        1_000_000..1_000_000_000 => scaled(f / 1e6, "ms"),
        _ => scaled(f / 1e9, "s"),
    }
}

fn scaled(n: f64, unit: &str) -> String {
    if n < 10.0 {
        format!("{n:.2} {unit}")
    } else if n < 100.0 {
        format!("{n:.1} {unit}")
    } else {
        format!("{n:.0} {unit}")
    }
}

/// A count with its thousands set apart.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Bytes in binary units, rounded.
pub fn bytes(n: f64) -> String {
    for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        let size = (1u64 << shift) as f64;
        if n >= size {
            return scaled(n / size, unit);
        }
    }
    format!("{n:.0} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_binary_multiples() {
        assert_eq!(parse_size("512"), Ok(512));
        assert_eq!(parse_size("4k"), Ok(4096));
        assert_eq!(parse_size("64M"), Ok(64 << 20));
        assert_eq!(parse_size("1GiB"), Ok(1 << 30));
        for bad in ["", "k", "4x", "-1", "1.5k", "99999999999999T"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_and_ranges_of_sizes_read_back_as_written() {
        for text in ["4k", "512,4k,64k", "512..1M"] {
            assert_eq!(show_sizes(&parse_sizes(text).expect(text)), text);
        }
        assert!(parse_sizes("1M..512").is_err());
        assert!(parse_sizes("4k,0").is_err());
    }

    #[test]
    fn durations_are_seconds_unless_they_say_otherwise() {
        assert_eq!(parse_duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("100us"), Ok(Duration::from_micros(100)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "s", "10 minutes", "1..2", "-3"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert!(parse_runtime("0").is_err());
    }

    #[test]
    fn numbers_for_people_keep_three_digits() {
        assert_eq!(nanos(999), "999 ns");
        assert_eq!(nanos(1_234), "1.23 us");
        assert_eq!(nanos(45_600_000), "45.6 ms");
        assert_eq!(nanos(3_000_000_000), "3.00 s");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(bytes(1536.0 * 1024.0), "1.50 MiB");
    }
}
