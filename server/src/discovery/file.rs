//! `file_sd_configs`: target files in JSON or YAML, read again when they change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Reporter, TargetGroup};
use crate::config::prometheus::{FileSdConfig, StaticConfig};

/// How often files are looked at for a change. Overlay and network file systems send no events.
const POLL: Duration = Duration::from_secs(5);
/// Largest target file.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Most files of one section.
const FILES_MAX: usize = 10_000;

/// What a file looked like when it was read.
type Stamp = (Option<SystemTime>, u64);

pub(super) async fn run(c: FileSdConfig, to: Reporter) {
    let refresh = c.refresh_interval.as_std().max(POLL);
    let mut state = State::default();
    let mut since_refresh = Duration::ZERO;
    loop {
        let all = since_refresh.is_zero() || since_refresh >= refresh;
        if all {
            since_refresh = Duration::ZERO;
        }
        let (patterns, counts) = (c.files.clone(), to.clone());
        // Reading files blocks; the state travels with the work.
        let work = tokio::task::spawn_blocking(move || {
            let changed = state.read(&patterns, all, &counts);
            (state, changed)
        });
        let Ok((s, changed)) = work.await else { return };
        state = s;
        if changed {
            to.report(state.groups());
        }
        tokio::time::sleep(POLL).await;
        since_refresh += POLL;
    }
}

#[derive(Default)]
struct State {
    files: BTreeMap<PathBuf, (Stamp, Vec<TargetGroup>)>,
}

impl State {
    fn groups(&self) -> Vec<TargetGroup> {
        self.files.values().flat_map(|(_, g)| g).cloned().collect()
    }

    /// Reads new and changed files, or all; failures are counted by `to`. True when anything may
    /// have changed.
    fn read(&mut self, patterns: &[String], all: bool, to: &Reporter) -> bool {
        let mut changed = false;
        let paths: Vec<PathBuf> = patterns.iter().flat_map(|p| expand(p)).collect();
        let before = self.files.len();
        self.files.retain(|p, _| paths.contains(p));
        changed |= self.files.len() != before;
        for path in paths {
            let stamp =
                std::fs::metadata(&path).map_or((None, 0), |m| (m.modified().ok(), m.len()));
            if !all && self.files.get(&path).is_some_and(|(s, _)| *s == stamp) {
                continue;
            }
            match read_file(&path, stamp.1) {
                Ok(groups) => {
                    self.files.insert(path, (stamp, groups));
                    changed = true;
                }
                // The old targets stay.
                Err(e) => {
                    to.failed();
                    tracing::error!(file = %path.display(), error = %e, "cannot read target file");
                    if let Some((s, _)) = self.files.get_mut(&path) {
                        *s = stamp;
                    }
                }
            }
        }
        changed
    }
}

fn read_file(path: &Path, len: u64) -> Result<Vec<TargetGroup>, String> {
    if len > FILE_BYTES_MAX {
        return Err(format!("larger than {FILE_BYTES_MAX} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let name = path.display().to_string();
    let json = path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("json"));
    let groups = if json {
        parse_json(&text)?
    } else {
        let groups = crate::config::parse_yaml::<Vec<Option<StaticConfig>>>(path, &text);
        present(groups.map_err(|e| e.to_string())?)?
    };
    Ok(groups
        .iter()
        .enumerate()
        .map(|(i, g)| {
            TargetGroup::from_static(format!("{name}:{i}"), g, &[("__meta_filepath", &name)])
        })
        .collect())
}

/// The JSON of a target file or endpoint.
pub(super) fn parse_json(text: &str) -> Result<Vec<StaticConfig>, String> {
    let groups: Vec<Option<StaticConfig>> =
        serde_json::from_str(text).map_err(|e| e.to_string())?;
    present(groups)
}

fn present(groups: Vec<Option<StaticConfig>>) -> Result<Vec<StaticConfig>, String> {
    groups
        .into_iter()
        .map(|g| g.ok_or_else(|| "nil target group item found".to_owned()))
        .collect()
}

/// Files that `pattern` names; only its last segment may hold `*`.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let path = Path::new(pattern);
    let Some(last) = path.file_name().and_then(|n| n.to_str()) else {
        return Vec::new();
    };
    if !last.contains('*') {
        return if path.is_file() {
            vec![path.to_owned()]
        } else {
            Vec::new()
        };
    }
    let dir = match path.parent() {
        Some(d) if !d.as_os_str().is_empty() => d,
        _ => Path::new("."),
    };
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|e| e.file_name().to_str().is_some_and(|n| star(last, n)))
        .map(|e| e.path())
        .take(FILES_MAX)
        .collect();
    found.sort();
    found
}

/// True when `name` matches `pattern`, where `*` stands for any text.
fn star(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    for (i, part) in parts.iter().enumerate() {
        if i + 1 == parts.len() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::star;

    #[test]
    fn stars_match_any_text() {
        for (p, n, want) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxc", false),
            ("tgt-*", "tgt-", true),
            ("ab*b", "ab", false),
        ] {
            assert_eq!(star(p, n), want, "{p} {n}");
        }
    }
}
