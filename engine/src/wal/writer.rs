//! Appending: frames go to a queue under one short lock; `commit.rs` brings them to disk.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::Position;
use super::commit::{self, SyncMode};
use super::frame::{
    FREE, HEADER_BYTES, KIND_END, KIND_MARK, RECORD_BYTES_MAX, SEGMENT_BYTES, Salt, encode_frame,
    encode_header, frame_size,
};
use super::replay::{self, Record, ReplayProgress, ReplayReport};
use crate::io::{File, Fs, OpenMode, Rng, is_no_space};

/// Why the log could not take or give back a record.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// The disk is full. Callers shed load (HTTP 503 and Retry-After); nothing was stored.
    #[error("WAL: no space left on device ({free_bytes} bytes free)")]
    NoSpace {
        /// Free bytes on the disk of the log.
        free_bytes: u64,
    },
    /// An earlier sync failed; only reopening helps. Answer 503.
    #[error("WAL: poisoned by an earlier I/O error: {0}")]
    Poisoned(String),
    /// The log is closed.
    #[error("WAL: closed")]
    Closed,
    /// The record can never be stored.
    #[error("WAL: record of {bytes} bytes exceeds the limit of {RECORD_BYTES_MAX}")]
    TooLarge {
        /// Size of the record.
        bytes: u64,
    },
    /// A version this code does not know; nothing was changed.
    #[error("WAL segment {segment}: format version {version} is newer than this program knows")]
    Version {
        /// File name of the segment.
        segment: String,
        /// Its version.
        version: u16,
    },
    /// Any other I/O error.
    #[error("WAL: {0}")]
    Io(#[source] Arc<io::Error>),
}

impl From<io::Error> for WalError {
    fn from(e: io::Error) -> Self {
        Self::Io(Arc::new(e))
    }
}

/// Settings of the log.
#[derive(Debug, Clone)]
pub struct WalOptions {
    /// When waiters are told success.
    pub sync: SyncMode,
    /// Normal size of a segment.
    pub segment_bytes: u64,
    /// Run a commit thread; otherwise the waiting thread commits (simulations).
    pub commit_thread: bool,
    /// Emptied segments kept for reuse.
    pub recycled_max: usize,
    /// Known from elsewhere (a clean shutdown): everything before this was durable.
    pub known_durable: Position,
    /// Positions handed out are after this, also when no segment is left.
    pub after: Position,
    /// Told how far replay has come.
    pub progress: Option<Arc<ReplayProgress>>,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            sync: SyncMode::Always,
            segment_bytes: SEGMENT_BYTES,
            commit_thread: true,
            recycled_max: 1,
            known_durable: Position(0),
            after: Position(0),
            progress: None,
        }
    }
}

/// Counters of the log since it was opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct WalStats {
    /// Bytes appended.
    pub bytes: u64,
    /// Records appended.
    pub records: u64,
    /// Syncs.
    pub syncs: u64,
    /// Time spent in syncs, ns.
    pub sync_nanos: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes of all segment files.
    pub disk_bytes: u64,
}

pub(super) type Waiter = Box<dyn FnOnce(Result<(), WalError>) + Send>;

/// Bytes on their way to a segment file.
pub(super) struct Pending {
    pub(super) file: Arc<dyn File>,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

pub(super) struct Active {
    number: u64,
    file: Arc<dyn File>,
    salt: Salt,
    /// Bytes the file may take.
    capacity: u64,
    /// Where the next frame goes.
    offset: u64,
}

pub(super) struct State {
    active: Option<Active>,
    pub(super) pending: Vec<Pending>,
    pub(super) spare: Vec<u8>,
    pub(super) appended: Position,
    pub(super) durable: Position,
    pub(super) written: Position,
    pub(super) waiters: Vec<(Position, Waiter)>,
    pub(super) wanted: Position,
    pub(super) committing: bool,
    pub(super) poisoned: Option<String>,
    /// A write met a full disk; the bytes wait in `pending`.
    pub(super) stalled: bool,
    pub(super) closed: bool,
    pub(super) dir_dirty: bool,
    /// A group commit starts with the next append.
    pub(super) mark_due: bool,
    segments: VecDeque<(u64, u64)>,
    recycled: Vec<PathBuf>,
    next_segment: u64,
    pub(super) stats: WalStats,
}

pub(super) struct Inner {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) dir: PathBuf,
    pub(super) opts: WalOptions,
    epoch: u64,
    pub(super) state: Mutex<State>,
    pub(super) work: Condvar,
    pub(super) done: Condvar,
}

/// The log. Dropping it closes it; pending bytes are committed first.
pub struct Wal {
    pub(super) inner: Arc<Inner>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Wal {
    /// Opens the log in `dir`, hands every record at or after `from` to `visit` in order, cuts a
    /// torn tail and gets ready to append. Cost: one pass over the segments from `from` on.
    ///
    /// # Errors
    /// I/O errors and unknown versions. Damage is no error: see the report.
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        from: Position,
        opts: WalOptions,
        rng: &mut Rng,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<(Self, ReplayReport), WalError> {
        fs.create_dir_all(dir)?;
        let replayed = {
            let progress = opts.progress.as_deref();
            replay::replay(&*fs, dir, from, opts.known_durable, progress, visit)?
        };
        let last = replayed.segments.last().map_or(0, |s| s.0);
        let next_segment = last.max(from.segment()).max(opts.after.segment()) + 1;
        let end = Position::new(next_segment, 0);
        let state = State {
            active: None,
            pending: Vec::new(),
            spare: Vec::new(),
            appended: end,
            durable: end,
            written: end,
            waiters: Vec::new(),
            wanted: Position(0),
            committing: false,
            poisoned: None,
            stalled: false,
            closed: false,
            dir_dirty: false,
            mark_due: true,
            segments: replayed.segments.into(),
            recycled: replayed.recycled,
            next_segment,
            stats: WalStats::default(),
        };
        let inner = Arc::new(Inner {
            fs,
            dir: dir.to_owned(),
            opts,
            epoch: rng.next_u64(),
            state: Mutex::new(state),
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let thread = if inner.opts.commit_thread {
            let inner = Arc::clone(&inner);
            let t = std::thread::Builder::new()
                .name("wal-commit".into())
                .spawn(move || commit::run(&inner))?;
            Some(t)
        } else {
            None
        };
        Ok((Self { inner, thread }, replayed.report))
    }

    /// Appends records, all or none of them, and gives the position after the last one.
    /// They become durable together; see [`Wal::on_durable`]. Cost: a copy and a CRC.
    ///
    /// # Errors
    /// See [`WalError`]; nothing was appended then.
    pub fn append(&self, records: &[(u8, u32, &[u8])]) -> Result<Position, WalError> {
        let inner = &*self.inner;
        // Room for the mark before, and for the closing mark and end frame after.
        let mut need = 2 * frame_size(8) + frame_size(0);
        for (_, _, payload) in records {
            let bytes = payload.len() as u64;
            if bytes > RECORD_BYTES_MAX {
                return Err(WalError::TooLarge { bytes });
            }
            need += frame_size(payload.len());
        }
        let mut s = inner.state.lock();
        s.check()?;
        if s.stalled {
            return Err(inner.no_space());
        }
        let first = s.pending.is_empty();
        if s.active
            .as_ref()
            .is_none_or(|a| a.offset + need > a.capacity)
        {
            inner.rotate(&mut s, need)?;
        }
        if s.mark_due {
            let durable = s.durable.0.to_le_bytes();
            s.push(KIND_MARK, 0, &durable);
            s.mark_due = false;
        }
        for (kind, tenant, payload) in records {
            s.push(*kind, *tenant, payload);
            s.stats.records += 1;
            s.stats.bytes += payload.len() as u64;
        }
        let end = s.appended;
        drop(s);
        if first {
            // Records that nobody waits for (scrapes) must reach the disk too.
            inner.work.notify_one();
        }
        Ok(end)
    }

    /// Position after the last appended record.
    #[must_use]
    pub fn appended(&self) -> Position {
        self.inner.state.lock().appended
    }

    /// Closes the current segment, so that everything so far can be truncated as whole files.
    ///
    /// # Errors
    /// See [`WalError`].
    pub fn cut(&self) -> Result<Position, WalError> {
        let mut s = self.inner.state.lock();
        s.check()?;
        if let Some(a) = &s.active
            && a.offset > HEADER_BYTES
        {
            self.inner.close_active(&mut s);
            s.appended = Position::new(s.next_segment, 0);
        }
        Ok(s.appended)
    }

    /// Drops segments that end at or before `position`: their records are durable elsewhere.
    ///
    /// # Errors
    /// I/O errors; what could not be removed stays.
    pub fn truncate(&self, position: Position) -> Result<(), WalError> {
        let mut s = self.inner.state.lock();
        let active = s.active.as_ref().map(|a| a.number);
        let mut removed = false;
        while let Some((n, _)) = s.segments.front().copied() {
            if n >= position.segment() || Some(n) == active {
                break;
            }
            let path = self.inner.path(n);
            if s.recycled.len() < self.inner.opts.recycled_max
                && s.segments
                    .front()
                    .is_some_and(|x| x.1 == self.inner.opts.segment_bytes)
            {
                let free = self.inner.dir.join(format!("{FREE}{n:08}"));
                self.inner.fs.rename(&path, &free)?;
                s.recycled.push(free);
            } else {
                self.inner.fs.remove_file(&path)?;
            }
            s.segments.pop_front();
            removed = true;
        }
        drop(s);
        if removed {
            self.inner.fs.sync_dir(&self.inner.dir)?;
        }
        Ok(())
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> WalStats {
        let s = self.inner.state.lock();
        WalStats {
            segments: s.segments.len() as u64,
            disk_bytes: s.segments.iter().map(|x| x.1).sum::<u64>()
                + s.recycled.len() as u64 * self.inner.opts.segment_bytes,
            ..s.stats
        }
    }

    /// First and last segment number.
    #[must_use]
    pub fn segment_range(&self) -> (u64, u64) {
        let s = self.inner.state.lock();
        let first = s.segments.front().map_or(s.next_segment, |x| x.0);
        (first, s.segments.back().map_or(s.next_segment, |x| x.0))
    }

    /// Why the log takes no records any more, if so.
    #[must_use]
    pub fn poisoned(&self) -> Option<String> {
        self.inner.state.lock().poisoned.clone()
    }

    /// The configured sync mode.
    #[must_use]
    pub fn sync_mode(&self) -> SyncMode {
        self.inner.opts.sync
    }

    /// Calls `done` once everything up to `position` is durable (or has failed to become so).
    pub fn on_durable(&self, position: Position, done: Waiter) {
        commit::on_durable(&self.inner, position, done);
    }

    /// Blocks until everything up to `position` is durable.
    ///
    /// # Errors
    /// When it cannot become durable.
    pub fn wait_durable(&self, position: Position) -> Result<(), WalError> {
        commit::wait_durable(&self.inner, position)
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.close();
        self.inner.state.lock().closed = true;
        self.inner.work.notify_all();
        if let Some(t) = self.thread.take()
            && t.join().is_err()
        {
            // The commit thread has no panic of its own; nothing is left to do.
            self.inner.done.notify_all();
        }
    }
}

impl Wal {
    /// Commits what is pending and closes the segment with a mark that covers all of it, so that
    /// any later damage to it is told from a torn tail. Gives the position up to which the log is
    /// durable, for [`WalOptions::known_durable`]. Appending again opens a new segment.
    pub fn close(&self) -> Position {
        let end = self.appended();
        if self.wait_durable(end).is_err() {
            return self.inner.state.lock().durable;
        }
        let mut s = self.inner.state.lock();
        if s.poisoned.is_some() || s.active.is_none() {
            return s.durable;
        }
        let durable = s.durable.0.to_le_bytes();
        s.push(KIND_MARK, 0, &durable);
        self.inner.close_active(&mut s);
        let end = s.appended;
        drop(s);
        if self.wait_durable(end).is_err() {
            // Everything acknowledged was durable before; only the closing mark is missing.
            self.inner.done.notify_all();
        }
        self.inner.state.lock().durable
    }
}

impl State {
    pub(super) fn check(&self) -> Result<(), WalError> {
        match &self.poisoned {
            Some(why) => Err(WalError::Poisoned(why.clone())),
            None if self.closed => Err(WalError::Closed),
            None => Ok(()),
        }
    }

    /// Appends one frame to the active segment; the caller made room.
    fn push(&mut self, kind: u8, tenant: u32, payload: &[u8]) {
        let Some(a) = &mut self.active else { return };
        let fits = self.pending.last().is_some_and(|p| {
            Arc::ptr_eq(&p.file, &a.file) && p.offset + p.bytes.len() as u64 == a.offset
        });
        if !fits {
            let mut bytes = std::mem::take(&mut self.spare);
            bytes.clear();
            self.pending.push(Pending {
                file: Arc::clone(&a.file),
                offset: a.offset,
                bytes,
            });
        }
        if let Some(p) = self.pending.last_mut() {
            encode_frame(&mut p.bytes, a.salt, kind, tenant, payload);
        }
        a.offset += frame_size(payload.len());
        self.appended = Position::new(a.number, a.offset);
    }
}

impl Inner {
    pub(super) fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:08}"))
    }

    pub(super) fn no_space(&self) -> WalError {
        WalError::NoSpace {
            free_bytes: self.fs.free_space(&self.dir).unwrap_or(0),
        }
    }

    fn close_active(&self, s: &mut State) {
        if s.active.is_some() {
            s.push(KIND_END, 0, &[]);
        }
        s.active = None;
        s.mark_due = true;
    }

    /// Opens the next segment with room for `need` bytes of frames.
    fn rotate(&self, s: &mut State, need: u64) -> Result<(), WalError> {
        let capacity = self.opts.segment_bytes.max(HEADER_BYTES + need);
        let number = s.next_segment;
        let path = self.path(number);
        let file = match self.new_segment(s, &path, capacity) {
            Ok(f) => f,
            Err(e) if is_no_space(&e) => return Err(self.no_space()),
            Err(e) => return Err(e.into()),
        };
        let salt = Salt {
            segment: number,
            epoch: self.epoch,
        };
        self.close_active(s);
        s.pending.push(Pending {
            file: Arc::clone(&file),
            offset: 0,
            bytes: encode_header(salt).to_vec(),
        });
        s.active = Some(Active {
            number,
            file,
            salt,
            capacity,
            offset: HEADER_BYTES,
        });
        s.segments.push_back((number, capacity));
        s.next_segment = number + 1;
        s.dir_dirty = true;
        Ok(())
    }

    fn new_segment(&self, s: &mut State, path: &Path, capacity: u64) -> io::Result<Arc<dyn File>> {
        if capacity == self.opts.segment_bytes
            && let Some(free) = s.recycled.last()
        {
            self.fs.rename(free, path)?;
            s.recycled.pop();
            return self.fs.open(path, OpenMode::Write);
        }
        let file = self.fs.open(path, OpenMode::Create)?;
        if let Err(e) = file.allocate(capacity) {
            // Leave no empty file behind; the next try makes it again.
            self.fs.remove_file(path)?;
            return Err(e);
        }
        Ok(file)
    }
}

/// How long the commit thread lets records without a waiter (scrapes) wait for company.
pub(super) const IDLE_COMMIT: Duration = Duration::from_millis(50);
