//! The file system as a trait.

use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A file that must not exist yet, for reading and writing.
    CreateNew,
    /// A new or emptied file, for reading and writing.
    Create,
}

/// One open file. Offsets and lengths in bytes.
pub trait File: Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; 0 at the end of the file.
    ///
    /// # Errors
    /// As the operating system reports.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes some of `buf` at `offset` and says how much.
    ///
    /// # Errors
    /// As the operating system reports.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes everything written so far durable (`fdatasync`).
    ///
    /// # Errors
    /// After an error the state of all unsynced bytes is unknown: never retry on this file.
    fn sync(&self) -> io::Result<()>;
    /// Length of the file.
    ///
    /// # Errors
    /// As the operating system reports.
    fn len(&self) -> io::Result<u64>;
    /// True when the file has no bytes.
    ///
    /// # Errors
    /// As the operating system reports.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts or extends (with zeros) the file.
    ///
    /// # Errors
    /// As the operating system reports.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reserves disk blocks for the first `len` bytes, so that writing them cannot run out of
    /// space; the file grows to at least `len`. `Ok(false)` when the file system cannot promise
    /// that.
    ///
    /// # Errors
    /// `ENOSPC` when the disk has less space.
    fn allocate(&self, len: u64) -> io::Result<bool>;
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// File name without its directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Length in bytes; 0 for directories.
    pub len: u64,
}

/// A file system.
pub trait Fs: Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    /// As the operating system reports.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Maps a sealed file for reading (or reads it into memory where maps are off).
    ///
    /// # Errors
    /// As the operating system reports.
    fn map(&self, path: &Path) -> io::Result<Mapping>;
    /// Renames a file or directory, replacing a file at `to`.
    ///
    /// # Errors
    /// As the operating system reports.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As the operating system reports.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory and everything in it.
    ///
    /// # Errors
    /// As the operating system reports.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Creates a directory and its missing parents.
    ///
    /// # Errors
    /// As the operating system reports.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Entries of a directory, sorted by name.
    ///
    /// # Errors
    /// As the operating system reports.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// Makes the entries of a directory durable.
    ///
    /// # Errors
    /// As the operating system reports.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes `to` another name of the file `from`.
    ///
    /// # Errors
    /// As the operating system reports.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Free bytes of the disk that holds `dir`.
    ///
    /// # Errors
    /// As the operating system reports.
    fn free_space(&self, dir: &Path) -> io::Result<u64>;
    /// Whether something exists at `path`.
    fn exists(&self, path: &Path) -> bool;
}

/// The bytes of a sealed file.
pub enum Mapping {
    /// A memory map.
    Map(memmap2::Mmap),
    /// A copy in memory.
    Heap(Vec<u8>),
}

impl Deref for Mapping {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Map(m) => m,
            Self::Heap(v) => v,
        }
    }
}

/// Whole-file operations on any [`Fs`].
pub trait FsExt {
    /// Reads a whole file of at most `max` bytes.
    ///
    /// # Errors
    /// `InvalidData` when the file is larger.
    fn read_all(&self, path: &Path, max: u64) -> io::Result<Vec<u8>>;
}

impl<T: Fs + ?Sized> FsExt for T {
    fn read_all(&self, path: &Path, max: u64) -> io::Result<Vec<u8>> {
        let f = self.open(path, OpenMode::Read)?;
        let len = f.len()?;
        if len > max {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: {len} bytes, at most {max} expected", path.display()),
            ));
        }
        let mut buf = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        let n = read_full(&*f, &mut buf, 0)?;
        buf.truncate(n);
        Ok(buf)
    }
}

/// Reads until `buf` is full or the file ends; gives the number of bytes read.
///
/// # Errors
/// As [`File::read_at`]; interrupted calls are repeated.
pub fn read_full(f: &dyn File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match f.read_at(&mut buf[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Writes all of `buf` at `offset`.
///
/// # Errors
/// As [`File::write_at`]; interrupted calls are repeated, a write of nothing is `WriteZero`.
pub fn write_full(f: &dyn File, buf: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buf.len() {
        match f.write_at(&buf[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// True for errors that mean "the disk is full" (ENOSPC, EDQUOT).
#[must_use]
pub fn is_no_space(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
