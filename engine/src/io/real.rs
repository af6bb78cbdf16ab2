//! The operating system's file system.

use std::fs::{self, File as StdFile, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::fs::{DirEntry, File, Fs, FsExt, Mapping, OpenMode};

/// Real files.
#[derive(Debug, Clone, Copy)]
pub struct RealFs {
    /// Map sealed files; otherwise they are read into memory.
    pub mmap: bool,
}

impl Default for RealFs {
    fn default() -> Self {
        Self { mmap: true }
    }
}

impl File for StdFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        StdFile::set_len(self, len)
    }

    fn allocate(&self, len: u64) -> io::Result<bool> {
        match rustix::fs::fallocate(self, rustix::fs::FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

impl Fs for RealFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut o = OpenOptions::new();
        o.read(true);
        match mode {
            OpenMode::Read => &mut o,
            OpenMode::Write => o.write(true),
            OpenMode::CreateNew => o.write(true).create_new(true),
            OpenMode::Create => o.write(true).create(true).truncate(true),
        };
        Ok(Arc::new(o.open(path)?))
    }

    #[allow(unsafe_code, reason = "the one place where files are mapped")]
    fn map(&self, path: &Path) -> io::Result<Mapping> {
        if !self.mmap {
            return Ok(Mapping::Heap(self.read_all(path, u64::MAX)?));
        }
        let f = StdFile::open(path)?;
        if f.metadata()?.len() == 0 {
            return Ok(Mapping::Heap(Vec::new()));
        }
        // SAFETY: I2: only sealed files are mapped; the store never truncates or writes them, it
        // unlinks them, which keeps the mapped pages alive. Readers check CRCs before use.
        Ok(Mapping::Map(unsafe { memmap2::Mmap::map(&f)? }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut out = Vec::new();
        for e in fs::read_dir(dir)? {
            let e = e?;
            let m = match e.metadata() {
                Ok(m) => m,
                // Removed between the listing and the look.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            out.push(DirEntry {
                name: e.file_name().to_string_lossy().into_owned(),
                is_dir: m.is_dir(),
                len: if m.is_dir() { 0 } else { m.len() },
            });
        }
        out.sort();
        Ok(out)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        StdFile::open(dir)?.sync_all()
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        let s = rustix::fs::statvfs(dir)?;
        Ok(s.f_bavail.saturating_mul(s.f_frsize))
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
}
