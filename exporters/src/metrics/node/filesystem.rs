//! Mounted file systems: sizes and errors.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::read::{self, Outcome, Problem, Roots};
use super::settings::{Filter, Flag, Settings};
use super::{Entry, Run};
use crate::emit::Sink;

const POINTS_INCLUDE: Flag = Flag::text(
    "collector.filesystem.mount-points-include",
    "",
    "Mount points to show, as a regular expression; excludes mount-points-exclude",
);
const POINTS_EXCLUDE: Flag = Flag::text(
    "collector.filesystem.mount-points-exclude",
    "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
    "Mount points to leave out, as a regular expression; excludes mount-points-include",
);
const POINTS_OLD: Flag = Flag::text(
    "collector.filesystem.ignored-mount-points",
    "",
    "Older name of mount-points-exclude",
);
const TYPES_INCLUDE: Flag = Flag::text(
    "collector.filesystem.fs-types-include",
    "",
    "Types to show, as a regular expression; excludes fs-types-exclude",
);
const TYPES_EXCLUDE: Flag = Flag::text(
    "collector.filesystem.fs-types-exclude",
    "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$",
    "Types to leave out, as a regular expression; excludes fs-types-include",
);
const TYPES_OLD: Flag = Flag::text(
    "collector.filesystem.ignored-fs-types",
    "",
    "Older name of fs-types-exclude",
);
const TIMEOUT: Flag = Flag::text(
    "collector.filesystem.mount-timeout",
    "5s",
    "How long a mount may take to answer; one that does not is left alone until it has",
);
const WORKERS: Flag = Flag::text(
    "collector.filesystem.stat-workers",
    "4",
    "Accepted without effect",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with(
    "filesystem",
    &[
        POINTS_INCLUDE,
        POINTS_EXCLUDE,
        POINTS_OLD,
        TYPES_INCLUDE,
        TYPES_EXCLUDE,
        TYPES_OLD,
        TIMEOUT,
        WORKERS,
    ],
    build,
);

/// A line of mountinfo.
#[derive(Debug, PartialEq)]
struct Mount {
    device: String,
    point: String,
    kind: String,
    major: String,
    minor: String,
    read_only: bool,
}

/// What `statvfs` said.
type Sizes = Result<[f64; 5], rustix::io::Errno>;

struct Filesystem {
    points: Filter,
    types: Filter,
    patience: Duration,
    /// Mount points that have not answered yet; a thread each waits for them.
    stuck: Arc<Mutex<HashSet<PathBuf>>>,
}

fn build(s: &Settings) -> Result<Run, String> {
    let f = Filesystem {
        points: Filter::new(s, &POINTS_INCLUDE, s.either(&POINTS_EXCLUDE, &POINTS_OLD)?)?,
        types: Filter::new(s, &TYPES_INCLUDE, s.either(&TYPES_EXCLUDE, &TYPES_OLD)?)?,
        patience: s.duration(&TIMEOUT)?,
        stuck: Arc::default(),
    };
    Ok(Box::new(move |r, out| f.collect(r, out)))
}

impl Filesystem {
    fn collect(&self, r: &Roots, out: &mut Sink) -> Outcome {
        let path = r.proc("1/mountinfo");
        let text = match read::text(&path) {
            Ok(t) => t,
            // Somebody else's process; our own view is the next best.
            Err(_) => read::text(&r.proc("self/mountinfo"))?,
        };
        let root = r.rootfs.to_string_lossy().into_owned();
        let mut seen = HashSet::new();
        let mut mounts = Vec::new();
        for line in text.lines() {
            let mut m = parse(line).ok_or_else(|| {
                Problem::format(&path, format_args!("{line:?} is no line of mountinfo"))
            })?;
            m.point = without_root(&m.point, &root);
            let shown = self.points.keeps(&m.point) && self.types.keeps(&m.kind);
            if shown && seen.insert((m.device.clone(), m.point.clone())) {
                mounts.push(m);
            }
        }
        let paths = mounts
            .iter()
            .map(|m| r.root(m.point.trim_start_matches('/')));
        let answers = self.ask(paths.collect());
        for (m, answer) in mounts.iter().zip(answers) {
            emit(m, answer, out);
        }
        Ok(())
    }

    /// Asks every mount for its sizes. One that does not answer in time costs that time once.
    fn ask(&self, paths: Vec<PathBuf>) -> Vec<Option<Sizes>> {
        let mut answers = Vec::with_capacity(paths.len());
        let mut rest = paths;
        while !rest.is_empty() {
            let (sender, receiver) = channel();
            let (todo, stuck) = (rest.clone(), self.stuck.clone());
            let worker = std::thread::Builder::new().name("statfs".into());
            let spawned = worker.spawn(move || {
                for p in todo {
                    if is_stuck(&stuck, &p) {
                        if sender.send(None).is_err() {
                            return;
                        }
                        continue;
                    }
                    let answer = sizes(&p);
                    // Under the lock: either somebody still waits, or this is the mount that was
                    // given up and now has answered.
                    let mut stuck = lock(&stuck);
                    if sender.send(Some(answer)).is_err() {
                        stuck.remove(&p);
                        return;
                    }
                }
            });
            let before = answers.len();
            if spawned.is_ok() {
                while answers.len() - before < rest.len() {
                    match receiver.recv_timeout(self.patience) {
                        Ok(a) => answers.push(a),
                        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                    }
                }
            }
            let mut stuck = lock(&self.stuck);
            // What came in the meantime.
            answers.extend(receiver.try_iter());
            drop(receiver);
            let done = answers.len() - before;
            if let Some(p) = rest.get(done) {
                stuck.insert(p.clone());
                answers.push(None);
            }
            drop(stuck);
            rest.drain(..(done + 1).min(rest.len()));
        }
        answers
    }
}

fn lock(stuck: &Mutex<HashSet<PathBuf>>) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
    stuck.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_stuck(stuck: &Mutex<HashSet<PathBuf>>, path: &Path) -> bool {
    lock(stuck).contains(path)
}

fn sizes(path: &Path) -> Sizes {
    let s = rustix::fs::statvfs(path)?;
    let block = s.f_frsize as f64;
    Ok([
        s.f_blocks as f64 * block,
        s.f_bfree as f64 * block,
        s.f_bavail as f64 * block,
        s.f_files as f64,
        s.f_ffree as f64,
    ])
}

fn emit(m: &Mount, answer: Option<Sizes>, out: &mut Sink) {
    let error = match &answer {
        None => "mountpoint timeout".to_owned(),
        Some(Err(e)) => e.to_string(),
        Some(Ok(_)) => String::new(),
    };
    let labels = [
        ("device", m.device.as_str()),
        ("mountpoint", &m.point),
        ("fstype", &m.kind),
        ("device_error", &error),
    ];
    out.gauge(
        "node_filesystem_device_error",
        "Whether an error occurred while getting statistics for the given device.",
        &labels,
        f64::from(u8::from(!error.is_empty())),
    );
    out.gauge(
        "node_filesystem_readonly",
        "Filesystem read-only status.",
        &labels,
        f64::from(u8::from(m.read_only)),
    );
    out.gauge(
        "node_filesystem_mount_info",
        "Filesystem mount information.",
        &[
            ("device", &m.device),
            ("major", &m.major),
            ("minor", &m.minor),
            ("mountpoint", &m.point),
        ],
        1.0,
    );
    let Some(Ok(values)) = answer else { return };
    for ((name, help), v) in [
        ("node_filesystem_size_bytes", "Filesystem size in bytes."),
        (
            "node_filesystem_free_bytes",
            "Filesystem free space in bytes.",
        ),
        (
            "node_filesystem_avail_bytes",
            "Filesystem space available to non-root users in bytes.",
        ),
        ("node_filesystem_files", "Filesystem total file nodes."),
        (
            "node_filesystem_files_free",
            "Filesystem total free file nodes.",
        ),
    ]
    .into_iter()
    .zip(values)
    {
        out.gauge(name, help, &labels, v);
    }
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse(line: &str) -> Option<Mount> {
    let (head, tail) = line.split_once(" - ")?;
    let head: Vec<&str> = head.split(' ').collect();
    let mut tail = tail.split(' ');
    let (kind, device) = (tail.next()?, tail.next()?);
    let super_options = tail.next().unwrap_or("");
    let (major, minor) = head.get(2)?.split_once(':')?;
    let read_only = |options: &str| options.split(',').any(|o| o == "ro");
    Some(Mount {
        device: unescape(device),
        point: unescape(head.get(4)?),
        kind: kind.to_owned(),
        major: major.to_owned(),
        minor: minor.to_owned(),
        read_only: read_only(head.get(5)?) || read_only(super_options),
    })
}

/// Blanks, tabs, newlines and backslashes are written as octal numbers.
fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut out = text.to_owned();
    for (code, c) in [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ] {
        out = out.replace(code, c);
    }
    out
}

/// A container sees its host's mounts below its own root.
fn without_root(point: &str, root: &str) -> String {
    let root = root.trim_end_matches('/');
    if root.is_empty() {
        return point.to_owned();
    }
    match point.strip_prefix(root) {
        Some("") => "/".to_owned(),
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        _ => point.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo_are_read() {
        let m = parse(r"36 35 98:0 /a /mnt\0402 ro,noatime master:1 - ext3 /dev/root rw")
            .expect("a line");
        assert_eq!(
            (m.point.as_str(), m.kind.as_str(), m.device.as_str()),
            ("/mnt 2", "ext3", "/dev/root")
        );
        assert_eq!(
            (m.major.as_str(), m.minor.as_str(), m.read_only),
            ("98", "0", true)
        );
        assert_eq!(parse("nonsense"), None);
        assert_eq!(parse("1 2 3 - x"), None);
    }

    #[test]
    fn a_container_shows_the_paths_of_its_host() {
        assert_eq!(without_root("/rootfs/home", "/rootfs"), "/home");
        assert_eq!(without_root("/rootfs", "/rootfs"), "/");
        assert_eq!(without_root("/rootfs2", "/rootfs"), "/rootfs2");
        assert_eq!(without_root("/home", "/"), "/home");
    }

    #[test]
    fn a_mount_that_is_stuck_is_left_alone() {
        let f = Filesystem {
            points: Filter::default(),
            types: Filter::default(),
            patience: Duration::from_secs(60),
            stuck: Arc::default(),
        };
        lock(&f.stuck).insert("/".into());
        let answers = f.ask(vec!["/".into(), "/proc".into(), "/nowhere".into()]);
        assert!(answers[0].is_none());
        assert!(matches!(answers[1], Some(Ok(_))));
        assert!(matches!(answers[2], Some(Err(_))));
    }
}
