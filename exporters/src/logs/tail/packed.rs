//! Compressed files: read once, from the first line that is not done to the end.
//!
//! Owns: the formats, the number of the line as the position, what a file looked like when it was
//! read to its end.
//! Knows nothing of: rotation. A compressed file is written once; when it is another one than
//! before, or longer, it is read again from the line after the last known one, as in Promtail.

use std::fs::{File, Metadata};
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bzip2::read::MultiBzDecoder;
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::read::{MultiGzDecoder, ZlibDecoder};

use super::charset::Charset;
use super::reader::{LINE_BYTES_MAX, identity, is_same};
use super::{FileNumbers, TURN_BYTES};
use crate::logs::entry::{Entry, LabelSet};
use crate::logs::positions::{Known, Ledger, Mark, Record};

/// Bytes that are decompressed at a time.
const READ_BYTES: usize = 64 * 1024;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// gzip, of several members too.
    Gz,
    /// zlib.
    Z,
    /// bzip2, of several streams too.
    Bz2,
}

impl Format {
    /// The format with a name of the settings.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Self, String> {
        match name {
            "gz" => Ok(Self::Gz),
            "z" => Ok(Self::Z),
            "bz2" => Ok(Self::Bz2),
            _ => Err(format!(
                "decompression: format {name:?} is none of gz, z, bz2"
            )),
        }
    }

    /// The content of `file`; sets of two bytes become UTF-8, the others stay.
    fn open(self, file: File, charset: Charset) -> Box<dyn Read + Send> {
        let content: Box<dyn Read + Send> = match self {
            Self::Gz => Box::new(MultiGzDecoder::new(file)),
            Self::Z => Box::new(ZlibDecoder::new(file)),
            Self::Bz2 => Box::new(MultiBzDecoder::new(file)),
        };
        match charset.of_two_bytes() {
            None => content,
            // A byte order mark says more than the name.
            Some(set) => Box::new(
                DecodeReaderBytesBuilder::new()
                    .encoding(Some(set))
                    .bom_override(true)
                    .build(content),
            ),
        }
    }
}

/// How the files of a target are decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// How they are compressed.
    pub format: Format,
    /// How long a new file is left alone: it may still be written.
    pub delay: Duration,
}

/// A file at work.
struct Open {
    lines: BufReader<Box<dyn Read + Send>>,
    /// The number of the next line.
    line: u64,
    /// Lines that are passed over, since they are done.
    skip: u64,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

/// A compressed file.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) labels: Arc<LabelSet>,
    pub(super) numbers: FileNumbers,
    packing: Packing,
    charset: Charset,
    /// When reading begins.
    from_ns: i64,
    mark: Arc<Mark>,
    /// None before and after reading.
    open: Option<Open>,
    /// What it looked like when reading began last.
    seen: Option<(u64, Option<SystemTime>)>,
}

fn looks(meta: &Metadata) -> (u64, Option<SystemTime>) {
    (meta.len(), meta.modified().ok())
}

impl Packed {
    /// The file at `path`, read from where `known` says it was left.
    pub(super) fn open(
        path: &Path,
        labels: Arc<LabelSet>,
        (packing, charset): (Packing, Charset),
        (known, ledger): (&Known, &Arc<Ledger>),
        now_ns: i64,
    ) -> io::Result<Self> {
        let name = path.to_string_lossy();
        let file = File::open(path)?;
        let meta = file.metadata()?;
        let saved = known.offsets.get(name.as_ref());
        let saved = saved.and_then(|o| o.parse::<u64>().ok()).unwrap_or(0);
        let record = known.records.iter().find(|r| r.path == name);
        let done = match record {
            Some(r) if !is_same(&file, &meta, &r.identity) => 0,
            _ => saved,
        };
        let mark = Mark::new(&name, identity(&file)?, done);
        ledger.follow(&mark);
        let delay = i64::try_from(packing.delay.as_nanos()).unwrap_or(i64::MAX);
        Ok(Self {
            labels,
            numbers: FileNumbers::default(),
            packing,
            charset,
            from_ns: now_ns.saturating_add(delay),
            mark,
            open: None,
            seen: None,
        })
    }

    /// Lines that are done.
    pub(super) fn done(&self) -> u64 {
        self.mark.progress.done()
    }

    /// What is known of it.
    pub(super) fn record(&self) -> Record {
        self.mark.record()
    }

    /// Whether nothing of it is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.mark.progress.is_idle()
    }

    /// Finds out whether it is to be read, for the first time or again.
    pub(super) fn look(&mut self, path: &Path, now_ns: i64) -> io::Result<()> {
        if self.open.is_some() || now_ns < self.from_ns || !self.is_idle() {
            return Ok(());
        }
        let now = match std::fs::metadata(path) {
            Ok(meta) => looks(&meta),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        self.numbers.file_bytes = now.0;
        if self.seen.replace(now) != Some(now) {
            let file = File::open(path)?;
            let content = self.packing.format.open(file, self.charset);
            let lines = BufReader::with_capacity(READ_BYTES, content);
            let skip = self.done();
            self.open = Some(Open {
                lines,
                line: 0,
                skip,
            });
        }
        Ok(())
    }

    /// Reads some lines. A file that is damaged ends there.
    pub(super) fn turn(&mut self, now_ns: i64, out: &mut dyn FnMut(Entry)) -> io::Result<usize> {
        let Some(open) = &mut self.open else {
            return Ok(0);
        };
        let (mut sum, mut line) = (0, Vec::new());
        while sum < TURN_BYTES {
            line.clear();
            let most = (&mut open.lines).take(LINE_BYTES_MAX as u64);
            let read = { most }.read_until(b'\n', &mut line);
            if !matches!(read, Ok(n) if n > 0) {
                self.open = None;
                self.numbers.read_bytes = self.numbers.file_bytes;
                read?;
                break;
            }
            sum += line.len();
            open.line += 1;
            if open.line <= open.skip {
                continue;
            }
            let set = match self.charset.of_two_bytes() {
                Some(_) => Charset::Utf8,
                None => self.charset,
            };
            let mut text = set.line(&line).into_owned();
            if text.ends_with('\r') && line.ends_with(b"\n") {
                text.pop();
            }
            let mut e = Entry::new(now_ns, text, Arc::clone(&self.labels));
            e.ticket = self.mark.progress.hand_out(open.line - 1, vec![1]).next();
            self.numbers.lines += 1;
            out(e);
        }
        Ok(sum)
    }
}
