//! Patterns of paths: `*`, `?`, `[..]`, `{a,b}`, and `**` for any number of whole parts.

use std::fs;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

/// Files that one pattern finds at most.
const FILES_MAX: usize = 100_000;
/// Folders below each other that are looked into.
const DEPTH_MAX: usize = 64;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct PathPattern {
    /// The pattern as an absolute path; it may name a file literally.
    text: PathBuf,
    base: PathBuf,
    /// Parts below `base` that a match has at most.
    depth: usize,
    /// Links to folders are followed: with counted parts that cannot be a circle.
    follows: bool,
    glob: GlobMatcher,
}

/// The absolute form of a path, without looking at the disk.
#[must_use]
pub fn absolute(path: &Path) -> PathBuf {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut out = PathBuf::new();
    for part in full.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            p => out.push(p),
        }
    }
    out
}

fn is_wild(part: &str) -> bool {
    part.contains(['*', '?', '[', '{', '\\'])
}

impl PathPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When a bracket or brace is not closed.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let text = absolute(Path::new(pattern));
        let shown = text.to_string_lossy().into_owned();
        let glob = GlobBuilder::new(&shown)
            .literal_separator(true)
            .backslash_escape(true)
            .empty_alternates(true)
            .build()
            .map_err(|e| format!("{pattern:?} is not a pattern of paths: {}", e.kind()))?;
        let parts: Vec<&str> = shown.split('/').collect();
        let fixed = parts.iter().take_while(|p| !is_wild(p)).count();
        let wild = &parts[fixed..];
        // A brace that is not closed in its part holds separators: parts cannot be counted.
        let torn = |p: &&str| p.matches('{').count() != p.matches('}').count();
        let open = wild.iter().any(|p| p.contains("**") || torn(p));
        let base = parts[..fixed].join("/");
        Ok(Self {
            base: if base.is_empty() {
                "/".into()
            } else {
                base.into()
            },
            depth: if open { DEPTH_MAX } else { wild.len() },
            follows: !open,
            glob: glob.compile_matcher(),
            text,
        })
    }

    /// Whether a path matches.
    #[must_use]
    pub fn matches(&self, path: &Path) -> bool {
        path == self.text || self.glob.is_match(path)
    }

    /// The files that match, sorted, and the folders in which new ones may appear.
    #[must_use]
    pub fn expand(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        // A pattern that is an existing file is that file, whatever its letters mean.
        if self.text.is_file() {
            let folder = self.text.parent().map(Path::to_owned);
            return (vec![self.text.clone()], folder.into_iter().collect());
        }
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        let mut open = vec![(self.base.clone(), 1)];
        while let Some((folder, depth)) = open.pop() {
            let Ok(entries) = fs::read_dir(&folder) else {
                continue;
            };
            folders.push(folder);
            for e in entries.flatten() {
                let path = e.path();
                let is_folder = e
                    .file_type()
                    .is_ok_and(|t| t.is_dir() || (t.is_symlink() && self.follows && path.is_dir()));
                if is_folder {
                    if depth < self.depth {
                        open.push((path, depth + 1));
                    }
                } else if self.glob.is_match(&path) && path.is_file() && files.len() < FILES_MAX {
                    files.push(path);
                }
            }
        }
        files.sort();
        (files, folders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_stars_stand_for_whole_parts() {
        let p = PathPattern::new("/x/sub*/**/*.log").unwrap();
        for (path, want) in [
            ("/x/sub1/a.log", true),
            ("/x/sub1/y/z/a.log", true),
            ("/x/other/a.log", false),
            ("/x/sub1/a.txt", false),
        ] {
            assert_eq!(p.matches(Path::new(path)), want, "{path}");
        }
        let p = PathPattern::new("/x/{a,b}[0-9]?.log").unwrap();
        assert!(p.matches(Path::new("/x/b1z.log")));
        assert!(!p.matches(Path::new("/x/c1z.log")));
        assert!(
            !PathPattern::new("/x/*.log")
                .unwrap()
                .matches(Path::new("/x/y/a.log"))
        );
        let p = PathPattern::new("/x/a.log{,.1}").unwrap();
        for (path, want) in [
            ("/x/a.log", true),
            ("/x/a.log.1", true),
            ("/x/a.log.2", false),
        ] {
            assert_eq!(p.matches(Path::new(path)), want, "{path}");
        }
        for not in ["/x/[!ab].log", "/x/[^ab].log"] {
            let p = PathPattern::new(not).unwrap();
            assert!(p.matches(Path::new("/x/c.log")) && !p.matches(Path::new("/x/a.log")));
        }
        assert!(PathPattern::new("/x/[a").is_err());
    }

    #[test]
    fn links_are_followed_where_parts_are_counted() {
        let dir = std::env::temp_dir().join(format!("sextant-glob-{}", std::process::id()));
        drop(fs::remove_dir_all(&dir));
        fs::create_dir_all(dir.join("real/deep")).unwrap();
        fs::write(dir.join("real/a.log"), "").unwrap();
        std::os::unix::fs::symlink(dir.join("real"), dir.join("link")).unwrap();
        std::os::unix::fs::symlink(&dir, dir.join("real/deep/circle")).unwrap();
        let found = |pattern: &str| {
            let p = PathPattern::new(&format!("{}/{pattern}", dir.display())).unwrap();
            let files = p.expand().0.into_iter();
            let names = files.map(|f| f.strip_prefix(&dir).unwrap().display().to_string());
            names.collect::<Vec<_>>()
        };
        assert_eq!(found("*/*.log"), ["link/a.log", "real/a.log"]);
        assert_eq!(found("{real,x}/a.{log,txt}"), ["real/a.log"]);
        assert_eq!(found("**/*.log"), ["real/a.log"]);
        assert_eq!(found("{real/a,b}.log"), ["real/a.log"]);
        fs::remove_dir_all(&dir).unwrap();
    }
}
