//! A configuration file with everything it names: job files, rule files, the environment.

use std::path::{Path, PathBuf};

use super::{PrometheusConfig, RuleFile, ScrapeConfig, ScrapeConfigFile};
use crate::config::{ConfigError, limits, yaml};

/// A configuration as it is in force: complete, checked, paths absolute or relative to where the
/// server runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LoadedConfig {
    /// The document, defaults filled in, with the jobs of the main file.
    pub(crate) document: PrometheusConfig,
    /// All jobs: of the main file, then of `scrape_config_files`.
    pub(crate) jobs: Vec<ScrapeConfig>,
    /// Rule files in the order of their paths.
    pub(crate) rules: Vec<(PathBuf, RuleFile)>,
    /// What is accepted without effect, one sentence each.
    pub(crate) warnings: Vec<String>,
}

impl LoadedConfig {
    /// The document as `/status/config` shows it.
    pub(crate) fn render(&self) -> String {
        yaml::render(&self.document)
    }

    /// Whether the certificates, keys and credentials exist that the document names. A server starts
    /// without them, since they may come later.
    ///
    /// # Errors
    /// Names the first that does not.
    pub(crate) fn check_files(&self) -> Result<(), String> {
        let missing = std::cell::RefCell::new(None);
        let look = |f: &mut String| {
            if !f.is_empty() && !Path::new(f.as_str()).exists() {
                missing.borrow_mut().get_or_insert_with(|| f.clone());
            }
        };
        client_files(&mut self.document.clone(), &look);
        for job in &self.jobs {
            job.clone().http_client_files(&look);
        }
        match missing.into_inner() {
            Some(f) => Err(format!(
                "error checking file {f:?}: no such file or directory"
            )),
            None => Ok(()),
        }
    }

    /// One job as `/scrape_pools/config` shows it.
    pub(crate) fn render_job(&self, name: &str) -> Option<String> {
        let job = self.jobs.iter().find(|j| j.job_name == name)?;
        Some(yaml::render(job))
    }
}

/// Loads `file` and what it names.
///
/// # Errors
/// The first problem, with file, line and column.
pub(crate) fn load(file: &Path) -> Result<LoadedConfig, ConfigError> {
    load_text(file, &yaml::read(file)?)
}

/// Loads a document from `text` as if it stood in `file`.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_text(file: &Path, text: &str) -> Result<LoadedConfig, ConfigError> {
    let mut document: PrometheusConfig = yaml::parse(file, text)?;
    // An empty document never meets its own checks.
    document.global.fill();
    expand_external_labels(&mut document);
    resolve_paths(&mut document, directory_of(file));
    let mut jobs: Vec<ScrapeConfig> = document.jobs().cloned().collect();
    let mut origin = vec![file.to_owned(); jobs.len()];
    for path in expand(file, &document.scrape_config_files)? {
        let more: ScrapeConfigFile = yaml::parse(&path, &yaml::read(&path)?)?;
        for job in more.scrape_configs {
            let Some(mut job) = job else {
                return Err(ConfigError::parse(
                    &path,
                    "empty or null scrape config section",
                ));
            };
            if let Some(i) = jobs.iter().position(|j| j.job_name == job.job_name) {
                return Err(ConfigError::parse(
                    &path,
                    format_args!(
                        "found multiple scrape configs with job name {:?}, first found in {:?}",
                        job.job_name, origin[i]
                    ),
                ));
            }
            job.inherit(&document.global)
                .map_err(|e| ConfigError::parse(&path, e))?;
            let dir = directory_of(&path);
            job.http_client_files(&|f| resolve(dir, f));
            job.discovery_files(&|f| resolve(dir, f));
            jobs.push(job);
            origin.push(path.clone());
        }
    }
    let mut rules = Vec::new();
    for path in expand(file, &document.rule_files)? {
        let groups = yaml::parse(&path, &yaml::read(&path)?)?;
        rules.push((path, groups));
    }
    let warnings = warnings(&document, &jobs);
    Ok(LoadedConfig {
        document,
        jobs,
        rules,
        warnings,
    })
}

/// Loads a rule file.
///
/// # Errors
/// The first problem, with file, line and column.
pub(crate) fn load_rules(file: &Path) -> Result<RuleFile, ConfigError> {
    yaml::parse(file, &yaml::read(file)?)
}

/// The folder of a document.
pub(in crate::config) fn directory_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// Makes `file` relative to `dir` when it is neither empty nor absolute.
pub(in crate::config) fn resolve(dir: &Path, file: &mut String) {
    if !file.is_empty() && !Path::new(file.as_str()).is_absolute() {
        *file = dir.join(&*file).to_string_lossy().into_owned();
    }
}

fn resolve_paths(c: &mut PrometheusConfig, dir: &Path) {
    let visit = |f: &mut String| resolve(dir, f);
    c.rule_files.iter_mut().for_each(visit);
    c.scrape_config_files.iter_mut().for_each(visit);
    visit(&mut c.global.query_log_file);
    visit(&mut c.global.scrape_failure_log_file);
    for job in c.scrape_configs.iter_mut().flatten() {
        visit(&mut job.scrape_failure_log_file);
        job.discovery_files(&visit);
    }
    for am in &mut c.alerting.alertmanagers {
        am.discovery_files(&visit);
    }
    client_files(c, &visit);
}

/// Visits the names of all certificates, keys and credentials.
fn client_files(c: &mut PrometheusConfig, visit: &dyn Fn(&mut String)) {
    for job in c.scrape_configs.iter_mut().flatten() {
        job.http_client_files(&visit);
    }
    for am in &mut c.alerting.alertmanagers {
        am.http_client_files(&visit);
    }
    for w in c.remote_write.iter_mut().flatten() {
        w.http_client_files(&visit);
    }
    for r in c.remote_read.iter_mut().flatten() {
        r.http_client_files(&visit);
    }
    if let Some(t) = &mut c.tracing {
        t.tls_config.files().into_iter().for_each(visit);
    }
}

/// Whether a path may name files: `*` only in the last segment.
pub(super) fn is_pattern(path: &str) -> bool {
    !path.rsplit_once('/').map_or("", |(d, _)| d).contains('*')
}

/// The existing files that `patterns` (already relative to the right directory) name, sorted per
/// pattern, each once. A path without `*` must exist.
///
/// # Errors
/// When a pattern names too many files.
pub(crate) fn expand(config: &Path, patterns: &[String]) -> Result<Vec<PathBuf>, ConfigError> {
    let mut files: Vec<PathBuf> = Vec::new();
    for pattern in patterns {
        let (dir, last) = pattern.rsplit_once('/').unwrap_or((".", pattern));
        let dir = if dir.is_empty() { "/" } else { dir };
        let mut found = Vec::new();
        if last.contains('*') {
            // A directory that is not there holds no matching file.
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                if wildcard(last, &entry.file_name().to_string_lossy()) {
                    found.push(entry.path());
                }
            }
        } else if Path::new(pattern).exists() {
            found.push(PathBuf::from(pattern));
        }
        found.sort();
        for f in found {
            if !files.contains(&f) {
                files.push(f);
            }
        }
        if files.len() > limits::CONFIG_GLOB_FILES_MAX {
            return Err(ConfigError::parse(
                config,
                format_args!(
                    "pattern {pattern:?} names more than {} files",
                    limits::CONFIG_GLOB_FILES_MAX
                ),
            ));
        }
    }
    Ok(files)
}

/// `*` stands for any run of characters; a leading dot must be written. Cost: O(n * m).
fn wildcard(pattern: &str, name: &str) -> bool {
    let (first, rest) = pattern.split_once('*').unwrap_or((pattern, ""));
    let Some(mut name) = name.strip_prefix(first) else {
        return false;
    };
    if !pattern.contains('*') {
        return name.is_empty();
    }
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or("");
    for part in parts {
        let Some(i) = name.find(part) else {
            return false;
        };
        name = name.get(i + part.len()..).unwrap_or("");
    }
    name.len() >= last.len() && name.ends_with(last)
}

/// Replaces `$VAR`, `${VAR}` and `$$` in the values of `external_labels`.
fn expand_external_labels(c: &mut PrometheusConfig) {
    for value in c.global.external_labels.0.values_mut() {
        *value = expand_env(value, &|name| std::env::var(name).unwrap_or_default());
    }
    c.global.external_labels.0.retain(|_, v| !v.is_empty());
}

fn expand_env(text: &str, lookup: &dyn Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(i) = rest.find('$') {
        out.push_str(&rest[..i]);
        rest = &rest[i + 1..];
        if let Some(r) = rest.strip_prefix('$') {
            out.push('$');
            rest = r;
        } else if let Some((name, r)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            out.push_str(&lookup(name));
            rest = r;
        } else {
            let end = rest
                .bytes()
                .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
                .count();
            if end == 0 {
                out.push('$');
            } else {
                out.push_str(&lookup(&rest[..end]));
            }
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    out
}

/// One sentence for everything that is accepted without effect.
fn warnings(c: &PrometheusConfig, jobs: &[ScrapeConfig]) -> Vec<String> {
    let mut out = Vec::new();
    for job in jobs {
        for kind in job.discovery().unsupported {
            out.push(format!(
                "{kind} of job {:?} is not supported: it discovers no targets",
                job.job_name
            ));
        }
    }
    for kind in c
        .alerting
        .alertmanagers
        .iter()
        .flat_map(|a| a.discovery().unsupported)
    {
        out.push(format!(
            "{kind} of alerting is not supported: it discovers no receivers"
        ));
    }
    if c.tracing.is_some() {
        out.push("tracing is not supported: no traces are sent".into());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (p, n, yes) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "ac", false),
            ("a*a", "a", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
        ] {
            assert_eq!(wildcard(p, n), yes, "{p} {n}");
        }
    }

    #[test]
    fn variables_are_expanded_once() {
        let vars = |n: &str| {
            if n == "A" {
                "$B".to_owned()
            } else {
                String::new()
            }
        };
        assert_eq!(expand_env("x-$A-${A}-$$A-$Z-$", &vars), "x-$B-$B-$A--$");
    }
}
