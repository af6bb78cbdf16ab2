//! One open file: bytes to lines, lines to texts.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::Arc;

use super::charset::Charset;
use crate::logs::entry::Ticket;
use crate::logs::positions::{Identity, Mark, fingerprint};

/// Bytes that are read at a time.
const READ_BYTES: usize = 256 * 1024;
/// Longest line; what is longer comes in pieces. Without a bound a file without line feeds would
/// be held as a whole.
pub(super) const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes at the start of a file that tell it from another with the same inode.
const HEAD_BYTES: u64 = 1024;

fn head(file: &File, len: u64) -> io::Result<u64> {
    let mut bytes = vec![0; usize::try_from(len.min(HEAD_BYTES)).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(fingerprint(&bytes))
}

/// Which file it is, by as much of its head as there is.
pub(super) fn identity(file: &File) -> io::Result<Identity> {
    let meta = file.metadata()?;
    let head_len = meta.len().min(HEAD_BYTES);
    Ok(Identity {
        dev: meta.dev(),
        inode: meta.ino(),
        head_len,
        head: head(file, head_len)?,
    })
}

/// Whether `meta` may be about the file of a record.
pub(super) fn may_be(meta: &Metadata, identity: &Identity) -> bool {
    (meta.dev(), meta.ino()) == (identity.dev, identity.inode)
}

/// Whether an open file is the one that `identity` describes.
pub(super) fn is_same(file: &File, meta: &Metadata, identity: &Identity) -> bool {
    // A file that was cut keeps its identity but not its first bytes.
    if !may_be(meta, identity) || meta.len() < identity.head_len {
        return false;
    }
    // Nothing was read of it yet: nothing more is known.
    identity.head_len == 0 || head(file, identity.head_len).is_ok_and(|h| h == identity.head)
}

/// An open file.
#[derive(Debug)]
pub(super) struct Reader {
    file: File,
    /// The path it belongs to.
    name: String,
    charset: Charset,
    identity: Identity,
    /// Where `buffer` begins in the file.
    start: u64,
    /// Bytes that were read and belong to no finished line.
    buffer: Vec<u8>,
    /// Bytes of `buffer` that hold no line feed.
    searched: usize,
    /// How far it is.
    pub(super) mark: Arc<Mark>,
    /// When something was read last, ns.
    pub(super) read_at_ns: i64,
    /// Everything was handed out and nothing more will come.
    pub(super) closed: bool,
}

/// What one read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes.
    Read(usize),
    /// Nothing: the end, for now.
    End,
}

impl Reader {
    /// Reads an open file from `offset` on; the name of the path it belongs to and its character
    /// set come together.
    pub(super) fn of(
        (name, charset): (&str, Charset),
        mut file: File,
        offset: u64,
        now_ns: i64,
    ) -> io::Result<Self> {
        let meta = file.metadata()?;
        // POS2: an offset beyond the end is of another content.
        let offset = if offset > meta.len() { 0 } else { offset };
        file.seek(SeekFrom::Start(offset))?;
        let identity = Identity {
            dev: meta.dev(),
            inode: meta.ino(),
            ..Identity::default()
        };
        let mut r = Self {
            name: name.to_owned(),
            charset,
            mark: Mark::new(name, identity, offset),
            identity,
            file,
            start: offset,
            buffer: Vec::new(),
            searched: 0,
            read_at_ns: now_ns,
            closed: false,
        };
        r.learn_head(offset);
        let mut first = [0; 2];
        if offset > 1 && r.file.read_exact_at(&mut first, 0).is_ok() {
            r.charset = charset.of(&first);
        }
        Ok(r)
    }

    fn learn_head(&mut self, known_len: u64) {
        let len = known_len.min(HEAD_BYTES);
        if len > self.identity.head_len
            && let Ok(h) = head(&self.file, len)
        {
            (self.identity.head_len, self.identity.head) = (len, h);
            self.mark.identify(self.identity);
        }
    }

    /// Where reading goes on.
    pub(super) fn offset(&self) -> u64 {
        self.start + self.buffer.len() as u64
    }

    /// Whether it is the file that `meta` is about.
    pub(super) fn is_file(&self, meta: &Metadata) -> bool {
        (self.identity.dev, self.identity.inode) == (meta.dev(), meta.ino())
    }

    /// The open file's state.
    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Begins again at the start, with a new mark, after the file was cut.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.start = 0;
        self.buffer.clear();
        self.searched = 0;
        (self.identity.head_len, self.identity.head) = (0, 0);
        self.mark = Mark::new(&self.name, self.identity, 0);
        Ok(())
    }

    /// Reads once and hands finished lines, without their line feed, to `take`.
    pub(super) fn step(
        &mut self,
        now_ns: i64,
        take: &mut dyn FnMut(String, Ticket),
    ) -> io::Result<Step> {
        let before = self.buffer.len();
        self.buffer.resize(before + READ_BYTES, 0);
        let read = self.file.read(&mut self.buffer[before..]);
        let n = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(before + n);
        read?;
        if n == 0 {
            // An idle file keeps no room for a full read.
            if self.buffer.capacity() > 2 * READ_BYTES || self.buffer.is_empty() {
                self.buffer.shrink_to_fit();
            }
            return Ok(Step::End);
        }
        self.read_at_ns = now_ns;
        self.learn_head(self.offset());
        if self.start == 0 {
            self.charset = self.charset.of(&self.buffer);
        }
        let last = self
            .charset
            .last_end(&self.buffer, self.searched, self.start);
        let end = match last {
            Some(end) => end,
            None if self.buffer.len() >= LINE_BYTES_MAX => LINE_BYTES_MAX,
            None => {
                self.searched = self.buffer.len();
                return Ok(Step::Read(n));
            }
        };
        self.hand_out(end, take);
        Ok(Step::Read(n))
    }

    /// Hands out what is left without a line feed, when none will come any more.
    pub(super) fn finish(&mut self, take: &mut dyn FnMut(String, Ticket)) {
        if !self.buffer.is_empty() {
            self.hand_out(self.buffer.len(), take);
        }
    }

    fn hand_out(&mut self, end: usize, take: &mut dyn FnMut(String, Ticket)) {
        let lines = &self.buffer[..end];
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let set = self.charset;
        let mut ends: Vec<u32> = set.ends(lines, self.start).map(place).collect();
        if ends.last() != Some(&place(end)) {
            ends.push(place(end));
        }
        let (mut from, mut rest) = (0, lines);
        let tickets = self.mark.progress.hand_out(self.start, ends.clone());
        for (ticket, to) in tickets.zip(ends) {
            let (line, after) = rest.split_at((to - from) as usize);
            (from, rest) = (to, after);
            take(set.line(line).into_owned(), ticket);
        }
        self.buffer.drain(..end);
        self.start += end as u64;
        self.searched = 0;
    }
}
