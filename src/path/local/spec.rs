//! How a local path is written: `mem:64M`, `null:1T?zero=1`, `file:/srv/disk.img?direct=1`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use uuid::Uuid;

/// Sizes are whole sectors of this many bytes.
pub(super) const SECTOR: u32 = 512;

/// A local path, as configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LocalSpec {
    /// Memory that is gone with the process.
    Mem { bytes: u64, uuid: Option<Uuid> },
    /// Drops writes. Reads leave the buffer as it is, or fill it with zeros when `zero` is set,
    /// which is needed wherever the reader must not see what the buffer held before.
    Null {
        bytes: u64,
        zero: bool,
        uuid: Option<Uuid>,
    },
    /// A regular file or a block device.
    File {
        path: PathBuf,
        /// Past the page cache (O_DIRECT). Payload must then be aligned as the device wants;
        /// what is not fails as an invalid request.
        direct: bool,
        engine: FileEngine,
        uuid: Option<Uuid>,
    },
}

/// What drives the I/O of a file.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum FileEngine {
    /// io_uring where it is allowed, the worker thread where not.
    #[default]
    Auto,
    /// io_uring or an error.
    Uring,
    /// A thread that makes blocking calls.
    Thread,
}

/// Why a text is no local path.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpecError {
    #[error("`{0}` is no local path: it is mem:SIZE, null:SIZE or file:PATH")]
    Scheme(String),
    #[error(
        "`{given}` is no size: digits and an optional K, M, G or T (powers of 1024), \
         a multiple of 512, from 512 to 8388607T"
    )]
    Size { given: String },
    #[error("file: needs a path, as in file:/srv/disk.img")]
    NoPath,
    #[error("unknown option `{given}` of `{scheme}:`, which takes {allowed}")]
    Option {
        scheme: &'static str,
        given: String,
        allowed: &'static str,
    },
    #[error("`{given}` is no value of the option `{key}`, which is {allowed}")]
    Value {
        key: &'static str,
        given: String,
        allowed: &'static str,
    },
}

impl LocalSpec {
    pub fn mem(bytes: u64) -> Self {
        Self::Mem { bytes, uuid: None }
    }

    pub fn null(bytes: u64) -> Self {
        Self::Null {
            bytes,
            zero: false,
            uuid: None,
        }
    }

    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File {
            path: path.into(),
            direct: false,
            engine: FileEngine::Auto,
            uuid: None,
        }
    }

    /// Whether a URL is meant as a local path, right or wrong.
    pub fn is_local(url: &str) -> bool {
        ["mem:", "null:", "file:"]
            .iter()
            .any(|s| url.starts_with(s))
    }
}

impl FromStr for LocalSpec {
    type Err = SpecError;

    /// Options follow the last `?`; a path that itself holds one is written with another `?` at
    /// its end.
    fn from_str(text: &str) -> Result<Self, SpecError> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(SpecError::Scheme(text.to_owned()));
        };
        let (body, options) = rest.rsplit_once('?').unwrap_or((rest, ""));
        let options = options.split('&').filter(|o| !o.is_empty());
        let mut uuid = None;
        match scheme {
            "mem" => {
                for option in options {
                    match split(option) {
                        ("uuid", v) => uuid = Some(parse_uuid(v)?),
                        _ => return Err(unknown("mem", option, "uuid=UUID")),
                    }
                }
                let bytes = parse_size(body)?;
                Ok(Self::Mem { bytes, uuid })
            }
            "null" => {
                let mut zero = false;
                for option in options {
                    match split(option) {
                        ("uuid", v) => uuid = Some(parse_uuid(v)?),
                        ("zero", v) => zero = parse_switch("zero", v)?,
                        _ => return Err(unknown("null", option, "zero=1, uuid=UUID")),
                    }
                }
                let bytes = parse_size(body)?;
                Ok(Self::Null { bytes, zero, uuid })
            }
            "file" => {
                let (mut direct, mut engine) = (false, FileEngine::Auto);
                for option in options {
                    match split(option) {
                        ("uuid", v) => uuid = Some(parse_uuid(v)?),
                        ("direct", v) => direct = parse_switch("direct", v)?,
                        ("engine", v) => engine = parse_engine(v)?,
                        _ => {
                            let allowed = "direct=1, engine=uring|thread, uuid=UUID \
                                           (a path with a `?` in it ends with another `?`)";
                            return Err(unknown("file", option, allowed));
                        }
                    }
                }
                if body.is_empty() {
                    return Err(SpecError::NoPath);
                }
                Ok(Self::File {
                    path: body.into(),
                    direct,
                    engine,
                    uuid,
                })
            }
            _ => Err(SpecError::Scheme(text.to_owned())),
        }
    }
}

fn split(option: &str) -> (&str, &str) {
    option.split_once('=').unwrap_or((option, ""))
}

fn unknown(scheme: &'static str, given: &str, allowed: &'static str) -> SpecError {
    SpecError::Option {
        scheme,
        given: given.to_owned(),
        allowed,
    }
}

fn parse_switch(key: &'static str, given: &str) -> Result<bool, SpecError> {
    match given {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => Err(SpecError::Value {
            key,
            given: given.to_owned(),
            allowed: "0 or 1",
        }),
    }
}

fn parse_engine(given: &str) -> Result<FileEngine, SpecError> {
    match given {
        "auto" => Ok(FileEngine::Auto),
        "uring" => Ok(FileEngine::Uring),
        "thread" => Ok(FileEngine::Thread),
        _ => Err(SpecError::Value {
            key: "engine",
            given: given.to_owned(),
            allowed: "auto, uring or thread",
        }),
    }
}

fn parse_uuid(given: &str) -> Result<Uuid, SpecError> {
    Uuid::try_parse(given).map_err(|_| SpecError::Value {
        key: "uuid",
        given: given.to_owned(),
        allowed: "32 hex digits, with or without hyphens",
    })
}

/// A size in bytes: digits, and K, M, G or T for powers of 1024; whole sectors.
pub fn parse_size(given: &str) -> Result<u64, SpecError> {
    let wrong = || SpecError::Size {
        given: given.to_owned(),
    };
    let digits = given.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &given[digits.len()..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        _ => return Err(wrong()),
    };
    // from_str alone would take a sign.
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(1 << shift))
        .filter(|&n| n > 0 && n < i64::MAX as u64 && n.is_multiple_of(u64::from(SECTOR)))
        .ok_or_else(wrong)
}

impl fmt::Display for LocalSpec {
    /// The shortest text that parses to this.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = Vec::new();
        let uuid = match self {
            Self::Mem { bytes, uuid } => {
                write!(f, "mem:{}", Size(*bytes))?;
                uuid
            }
            Self::Null { bytes, zero, uuid } => {
                write!(f, "null:{}", Size(*bytes))?;
                options.extend(zero.then(|| "zero=1".to_owned()));
                uuid
            }
            Self::File {
                path,
                direct,
                engine,
                uuid,
            } => {
                write!(f, "file:{}", path.display())?;
                options.extend(direct.then(|| "direct=1".to_owned()));
                match engine {
                    FileEngine::Auto => {}
                    FileEngine::Uring => options.push("engine=uring".to_owned()),
                    FileEngine::Thread => options.push("engine=thread".to_owned()),
                }
                if path.to_string_lossy().contains('?') && options.is_empty() && uuid.is_none() {
                    f.write_str("?")?;
                }
                uuid
            }
        };
        options.extend(uuid.map(|u| format!("uuid={u}")));
        if options.is_empty() {
            Ok(())
        } else {
            write!(f, "?{}", options.join("&"))
        }
    }
}

/// A size as people write it: in the largest unit that divides it.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K"), (0, "")];
        let (shift, unit) = units
            .into_iter()
            .find(|(shift, _)| self.0 != 0 && self.0.is_multiple_of(1 << shift))
            .unwrap_or((0, ""));
        write!(f, "{}{unit}", self.0 >> shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "mem:64M",
            "mem:512?uuid=67e55044-10b1-426f-9247-bb680e5fe0c8",
            "null:1T",
            "null:3K?zero=1",
            "file:/srv/disk.img",
            "file:disk?direct=1&engine=thread",
            "file:what?",
            "file:what?now?",
            "file:what?now?engine=uring",
        ] {
            let spec: LocalSpec = text.parse().expect(text);
            let shown = spec.to_string();
            assert_eq!(shown.parse(), Ok(spec), "{text} shown as {shown}");
        }
        assert_eq!("mem:64m".parse(), Ok(LocalSpec::mem(64 << 20)));
        assert_eq!("file:a?b?".parse(), Ok(LocalSpec::file("a?b")));
    }

    #[test]
    fn errors_name_what_was_given_and_what_is_allowed() {
        for (text, parts) in [
            ("mem:", vec!["``", "K, M, G or T", "multiple of 512"]),
            ("mem:513", vec!["513", "multiple of 512"]),
            ("mem:+1K", vec!["+1K"]),
            ("mem:64MB", vec!["64MB", "K, M, G or T"]),
            ("null:99999999T", vec!["99999999T"]),
            ("null:0", vec!["`0`"]),
            ("null:1G?zeros=1", vec!["zeros=1", "zero=1"]),
            ("null:1G?zero=yes", vec!["yes", "0 or 1"]),
            ("file:", vec!["/srv/disk.img"]),
            ("file:x?engine=aio", vec!["aio", "thread"]),
            ("mem:1M?uuid=7", vec!["`7`", "32 hex digits"]),
            ("nvme:1", vec!["nvme:1", "mem:SIZE, null:SIZE or file:PATH"]),
            ("disk", vec!["disk", "mem:SIZE"]),
        ] {
            let error = text.parse::<LocalSpec>().expect_err(text).to_string();
            for part in parts {
                assert!(error.contains(part), "{text}: {error}");
            }
        }
    }
}
