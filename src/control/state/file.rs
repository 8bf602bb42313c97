//! One file, replaced as a whole: written beside, made durable, renamed over the old one.
//!
//! A reader sees the old contents or the new, never a mixture, whenever the writer or the machine
//! ends. The first line says what the file is and carries a checksum over the rest, so that a disk
//! which did not keep its word is noticed.
//!
//! ```text
//! umpio-state 1 crc32c=1a2b3c4d bytes=1234
//! {…}
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Version of the format: one that is newer is not read.
const VERSION: u32 = 1;
/// A state file in bytes at most.
const BYTES_MAX: u64 = 64 << 20;

/// A state file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("{path}: {source}")]
    Io { path: String, source: io::Error },
    #[error(
        "{path} is damaged: {what}; move it away to begin with an empty state, or restore it from a backup"
    )]
    Damaged { path: String, what: String },
    #[error("{path} was written by a newer umpio (format {found}, this one reads {VERSION})")]
    Newer { path: String, found: u32 },
    #[error("{path} is in use by another daemon")]
    InUse { path: String },
}

/// Puts the header before a body.
pub(super) fn seal(body: &str) -> Vec<u8> {
    let crc = crc32c::crc32c(body.as_bytes());
    let mut out = format!(
        "umpio-state {VERSION} crc32c={crc:08x} bytes={}\n",
        body.len()
    )
    .into_bytes();
    out.extend_from_slice(body.as_bytes());
    out
}

/// The body of a sealed text.
///
/// # Errors
/// It is not what was sealed.
pub fn open(bytes: &[u8], path: &str) -> Result<String, StateError> {
    let damaged = |what: &str| StateError::Damaged {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    let end = bytes.iter().take(128).position(|b| *b == b'\n');
    let end = end.ok_or_else(|| damaged("the first line is missing"))?;
    let head = str::from_utf8(&bytes[..end]).map_err(|_| damaged("the first line is no text"))?;
    let body = &bytes[end + 1..];
    let words: Vec<&str> = head.split(' ').collect();
    let ["umpio-state", version, crc, length] = words[..] else {
        return Err(damaged("it does not begin as a state file"));
    };
    let found: u32 = version.parse().map_err(|_| damaged("it has no version"))?;
    if found > VERSION {
        return Err(StateError::Newer {
            path: path.to_owned(),
            found,
        });
    }
    let length = length.strip_prefix("bytes=").and_then(|n| n.parse().ok());
    if length != Some(body.len()) {
        return Err(damaged("it is not as long as it says"));
    }
    let crc = crc
        .strip_prefix("crc32c=")
        .and_then(|n| u32::from_str_radix(n, 16).ok());
    if crc != Some(crc32c::crc32c(body)) {
        return Err(damaged("its checksum does not match"));
    }
    String::from_utf8(body.to_vec()).map_err(|_| damaged("it is no text"))
}

/// Reads a body; `None` when there is no file.
pub(super) fn read(path: &Path) -> Result<Option<String>, StateError> {
    let name = path.display().to_string();
    let io = |source| StateError::Io {
        path: name.clone(),
        source,
    };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(e)),
    };
    let mut bytes = Vec::new();
    Read::by_ref(&mut file)
        .take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(StateError::Damaged {
            path: name,
            what: format!("it has more than {BYTES_MAX} bytes"),
        });
    }
    open(&bytes, &name).map(Some)
}

/// Replaces the file. When this returns the new contents are durable.
pub(super) fn replace(path: &Path, body: &str) -> Result<(), StateError> {
    let next = path.with_extension("tmp");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&next)?;
        file.write_all(&seal(body))?;
        file.sync_all()?;
        fs::rename(&next, path)?;
        // The name as well as the contents.
        let dir = path.parent().unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()
    };
    write().map_err(|source| StateError::Io {
        path: path.display().to_string(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_and_nothing_else_does() {
        let body = "{\"a\":1}";
        let good = seal(body);
        assert_eq!(open(&good, "s").unwrap(), body);
        for cut in 0..good.len() {
            assert!(open(&good[..cut], "s").is_err(), "cut at {cut}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x04;
            assert!(open(&bad, "s").is_err(), "flipped at {at}");
        }
        let newer = String::from_utf8(good)
            .unwrap()
            .replace("state 1", "state 2");
        let e = open(newer.as_bytes(), "s").unwrap_err();
        assert!(matches!(e, StateError::Newer { found: 2, .. }), "{e}");
    }
}
