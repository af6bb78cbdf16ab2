//! Small files of the kernel: read whole and once, with a bound.
//!
//! Everything under `/proc` and `/sys` is a text that the kernel makes while it is read. So a file
//! costs one open, as few reads as it needs, one close, and is never asked for its size.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// Longest file that is read. The longest real ones (mounts, interrupts and slabs of a large
/// host) have some hundred kilobytes.
const FILE_BYTES_MAX: usize = 16 << 20;
/// Most entries of a folder that are looked at.
const ENTRIES_MAX: usize = 1 << 18;

/// Where the kernel's files are.
#[derive(Debug, Clone)]
pub struct Roots {
    /// `/proc`.
    pub procfs: PathBuf,
    /// `/sys`.
    pub sysfs: PathBuf,
    /// `/`.
    pub rootfs: PathBuf,
    /// `/run/udev/data`.
    pub udev: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            procfs: "/proc".into(),
            sysfs: "/sys".into(),
            rootfs: "/".into(),
            udev: "/run/udev/data".into(),
        }
    }
}

impl Roots {
    /// A path below procfs.
    pub(super) fn proc(&self, path: &str) -> PathBuf {
        self.procfs.join(path)
    }

    /// A path below sysfs.
    pub(super) fn sys(&self, path: &str) -> PathBuf {
        self.sysfs.join(path)
    }

    /// A path below the root file system. `path` has no leading slash.
    pub(super) fn root(&self, path: &str) -> PathBuf {
        self.rootfs.join(path)
    }
}

/// Why a collector has given up.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// What it reads is not on this host. Nobody needs to hear of it.
    #[error("{0}")]
    Absent(String),
    /// Something is there that cannot be read or understood.
    #[error("{0}")]
    Failed(String),
}

impl Problem {
    /// Something that is not understood, with its place.
    pub(super) fn format(path: &Path, what: impl std::fmt::Display) -> Self {
        Self::Failed(format!("{}: {what}", path.display()))
    }

    fn io(path: &Path, e: io::Error) -> Self {
        let text = format!("{}: {e}", path.display());
        // A file of a process that has just ended can be opened and not read.
        let ended = e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error());
        if e.kind() == io::ErrorKind::NotFound || ended {
            Self::Absent(text)
        } else {
            Self::Failed(text)
        }
    }

    /// Whether the source does not exist.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent(_))
    }
}

/// What a collector ends with.
pub type Outcome = Result<(), Problem>;

/// The whole file.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, Problem> {
    read(path).map_err(|e| Problem::io(path, e))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    // Most files are one number.
    let mut small = [0u8; 512];
    let n = retry(|| rustix::io::read(&file, &mut small))?;
    let mut out = small.get(..n).unwrap_or_default().to_vec();
    if n < small.len() {
        // A short read of a kernel file is its end, except for those that are written entry by
        // entry; one more read tells.
        let mut rest = [0u8; 64];
        let m = retry(|| rustix::io::read(&file, &mut rest))?;
        if m == 0 {
            return Ok(out);
        }
        out.extend_from_slice(rest.get(..m).unwrap_or_default());
    }
    let mut filled = out.len();
    loop {
        out.resize(filled.max(4096) * 2, 0);
        let Some(room) = out.get_mut(filled..) else {
            break;
        };
        let n = retry(|| rustix::io::read(&file, &mut *room))?;
        if n == 0 {
            break;
        }
        filled += n;
        if filled > FILE_BYTES_MAX {
            return Err(io::Error::other(format!(
                "more than {FILE_BYTES_MAX} bytes"
            )));
        }
    }
    out.truncate(filled);
    Ok(out)
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// The whole file as text; what is not UTF-8 is replaced.
pub(super) fn text(path: &Path) -> Result<String, Problem> {
    Ok(match String::from_utf8(bytes(path)?) {
        Ok(t) => t,
        Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
    })
}

/// The file without white space around it.
pub(super) fn word(path: &Path) -> Result<String, Problem> {
    let mut t = text(path)?;
    t.truncate(t.trim_end().len());
    let blank = t.len() - t.trim_start().len();
    t.drain(..blank);
    Ok(t)
}

/// The file's word, or nothing when it is not there or cannot be read.
pub(super) fn word_or_empty(path: &Path) -> String {
    word(path).unwrap_or_default()
}

/// The file's only number.
pub(super) fn number(path: &Path) -> Result<f64, Problem> {
    let t = word(path)?;
    parse(&t).ok_or_else(|| Problem::format(path, format_args!("{t:?} is not a number")))
}

/// The file's only number if the file is there and has one.
pub(super) fn number_if(path: &Path) -> Option<f64> {
    number(path).ok()
}

/// A count: a whole number of 64 bits without a sign, as the kernel writes most of its counters.
pub(super) fn count(text: &str) -> Option<f64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits
        .then(|| text.parse::<u64>().ok())
        .flatten()
        .map(|n| n as f64)
}

/// A whole number of 64 bits that may have a sign.
pub(super) fn whole(text: &str) -> Option<f64> {
    text.parse::<i64>().ok().map(|n| n as f64)
}

/// The file's only count if the file is there and has one.
pub(super) fn count_if(path: &Path) -> Option<f64> {
    count(&word(path).ok()?)
}

/// The file's only count.
pub(super) fn count_in(path: &Path) -> Result<f64, Problem> {
    let t = word(path)?;
    count(&t).ok_or_else(|| Problem::format(path, format_args!("{t:?} is not a count")))
}

/// The whole number, with or without a sign, in a field of a table.
pub(super) fn need_signed(path: &Path, fields: &[&str], i: usize) -> Result<f64, Problem> {
    needed(path, fields, i, whole)
}

fn needed(
    path: &Path,
    fields: &[&str],
    i: usize,
    read: fn(&str) -> Option<f64>,
) -> Result<f64, Problem> {
    let found = fields.get(i).and_then(|f| read(f));
    found.ok_or_else(|| {
        let line = fields.join(" ");
        let place = i + 1;
        Problem::format(
            path,
            format_args!("field {place} of {line:?} is no number of its kind"),
        )
    })
}

/// The count in a field of a table.
pub(super) fn need(path: &Path, fields: &[&str], i: usize) -> Result<f64, Problem> {
    needed(path, fields, i, count)
}

/// A number in decimal.
pub(super) fn parse(text: &str) -> Option<f64> {
    // Nearly all are small counters, and floats are slow to read.
    if text.len() < 16 && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let n = text.bytes().fold(0u64, |n, d| n * 10 + u64::from(d - b'0'));
        return Some(n as f64);
    }
    text.parse().ok()
}

/// A whole number in hexadecimal, with or without `0x`.
pub(super) fn parse_hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

/// The file's only count, in hexadecimal behind `0x` and in decimal otherwise; none when the file
/// is not there.
pub(super) fn hex_in(path: &Path) -> Result<Option<u64>, Problem> {
    let t = match word(path) {
        Err(Problem::Absent(_)) => return Ok(None),
        t => t?,
    };
    let read = match t.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => t.parse(),
    };
    let wrong = |_| Problem::format(path, format_args!("{t:?} is not a count"));
    read.map(Some).map_err(wrong)
}

/// A field of a table by its position.
pub(super) fn field(fields: &[&str], i: usize) -> Option<f64> {
    parse(fields.get(i)?)
}

/// Names in a folder, sorted. What is not UTF-8 is left out.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, Problem> {
    let entries = std::fs::read_dir(folder).map_err(|e| Problem::io(folder, e))?;
    let mut out: Vec<String> = entries
        .take(ENTRIES_MAX)
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .collect();
    out.sort_unstable();
    Ok(out)
}

/// Names in a folder that begin with `prefix`, with what follows it; sorted.
pub(super) fn numbered(folder: &Path, prefix: &str) -> Result<Vec<(String, String)>, Problem> {
    let all = names(folder)?;
    Ok(all
        .into_iter()
        .filter_map(|n| {
            let rest = n.strip_prefix(prefix)?.to_owned();
            Some((n, rest))
        })
        .collect())
}

/// Lines of a text as fields.
pub(super) fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|l| l.split_whitespace().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_every_size_are_read_whole() {
        let dir = std::env::temp_dir().join(format!("sextant-read-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        for size in [
            0, 1, 511, 512, 513, 575, 576, 577, 8191, 8192, 8193, 100_000,
        ] {
            let file = dir.join(size.to_string());
            let want: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            std::fs::write(&file, &want).expect("a file");
            assert_eq!(bytes(&file).expect("readable"), want, "{size}");
        }
        assert!(text(&dir.join("nothing")).is_err_and(|e| e.is_absent()));
        assert!(text(&dir).is_err_and(|e| !e.is_absent()));
        std::fs::remove_dir_all(&dir).expect("removed");
    }

    #[test]
    fn numbers_are_read_fast_or_slow() {
        assert_eq!(parse("0"), Some(0.0));
        assert_eq!(parse("999999999999999"), Some(999_999_999_999_999.0));
        assert_eq!(
            parse("18446744073709551615"),
            Some(18_446_744_073_709_551_615.0)
        );
        assert_eq!(parse("-1.5"), Some(-1.5));
        assert_eq!(parse(""), None);
        assert_eq!(parse("1a"), None);
        assert_eq!(parse_hex("0x1f"), Some(31));
    }
}
