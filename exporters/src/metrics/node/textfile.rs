//! Metrics that other programs leave in files.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use engine::model::MetricType;
use engine::wire::exposition::{self, Format, Options, ParseError, Series, SeriesValue};

use super::read::{self, Outcome, Problem};
use super::settings::{Flag, Settings};
use super::{Entry, Run};
use crate::emit::{Kind, Sink, Suffix};

const DIRECTORY: Flag = Flag::list(
    "collector.textfile.directory",
    "Folder with *.prom files; may hold * and ? and be given several times",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("textfile", &[DIRECTORY], build);

fn build(s: &Settings) -> Result<Run, String> {
    let patterns: Vec<PathBuf> = s.list(&DIRECTORY).iter().map(PathBuf::from).collect();
    Ok(Box::new(move |_, out| collect(&patterns, out)))
}

fn collect(patterns: &[PathBuf], out: &mut Sink) -> Outcome {
    let mut problem = None;
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut times = BTreeMap::new();
    for folder in patterns.iter().flat_map(|p| expand(p)) {
        let names = match read::names(&folder) {
            Ok(n) => n,
            Err(p) => {
                problem = Some(p);
                continue;
            }
        };
        for name in names.iter().filter(|n| n.ends_with(".prom")) {
            let path = folder.join(name);
            match file(&path, &mut families) {
                Ok(seconds) => {
                    times.insert(path, seconds);
                }
                Err(p) => problem = Some(p),
            }
        }
    }
    for (path, seconds) in &times {
        out.gauge(
            "node_textfile_mtime_seconds",
            "Unixtime mtime of textfiles successfully read.",
            &[("file", &path.to_string_lossy())],
            *seconds,
        );
    }
    let failed = f64::from(u8::from(problem.is_some()));
    out.gauge(
        "node_textfile_scrape_error",
        "1 if there was an error opening or reading a file, 0 otherwise",
        &[],
        failed,
    );
    for (name, f) in families {
        let files: Vec<_> = f.files.iter().map(|p| p.to_string_lossy()).collect();
        let help = f
            .help
            .unwrap_or_else(|| format!("Metric read from {}", files.join(", ")));
        let family = out.family(name, help, f.kind);
        for (suffix, labels, v) in &f.samples {
            let labels = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            out.put(family, *suffix, labels, *v);
        }
    }
    // A file that cannot be used is told by its own metric; the collector has done its work.
    Ok(())
}

/// Reads a file as a whole or not at all; gives its time in Unix seconds.
fn file(path: &Path, families: &mut BTreeMap<String, Family>) -> Result<f64, Problem> {
    let bytes = read::bytes(path)?;
    let mut reader = Reader::default();
    exposition::parse(Format::Text, &bytes, &Options::default(), &mut reader)
        .map_err(|e| Problem::format(path, e))?;
    for (name, f) in &reader.families {
        let Some(other) = families.get(name) else {
            continue;
        };
        if let (Some(a), Some(b)) = (&other.help, &f.help)
            && a != b
        {
            let what = format_args!("{name:?} has the help {b:?} here and {a:?} in another file");
            return Err(Problem::format(path, what));
        }
        if other.kind != f.kind {
            let (a, b) = (f.kind.word(), other.kind.word());
            let what = format_args!("{name:?} is a {a} here and a {b} in another file");
            return Err(Problem::format(path, what));
        }
    }
    for (name, f) in reader.families {
        if f.samples.is_empty() {
            continue;
        }
        let into = families.entry(name).or_insert_with(|| Family {
            help: f.help.clone(),
            kind: f.kind,
            files: Vec::new(),
            samples: Vec::new(),
        });
        into.help = into.help.take().or(f.help);
        into.files.push(path.to_owned());
        into.samples.extend(f.samples);
    }
    let changed = std::fs::metadata(path).and_then(|m| m.modified());
    let changed = changed.map_err(|e| Problem::format(path, e))?;
    let since = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(since.as_secs_f64())
}

/// Folders that a pattern stands for: `*` and `?` in any part of the path but its first.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let wild = |s: &str| s.contains(['*', '?']);
    if !wild(&pattern.to_string_lossy()) {
        return vec![pattern.to_owned()];
    }
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        if !wild(&text) {
            for f in &mut found {
                f.push(part);
            }
            continue;
        }
        let mut next = Vec::new();
        for folder in &found {
            let here = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            for name in read::names(here).unwrap_or_default() {
                if matches(text.as_bytes(), name.as_bytes()) {
                    next.push(folder.join(name));
                }
            }
        }
        found = next;
    }
    found.retain(|f| f.is_dir());
    found
}

/// Whether a name fits a pattern of `*` and `?`. Cost: at most the product of both lengths.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, n));
                p += 1;
                continue;
            }
            Some(c) if *c == b'?' || Some(c) == name.get(n) => {
                p += 1;
                n += 1;
                continue;
            }
            _ => {}
        }
        let Some((star, from)) = retry else {
            return false;
        };
        retry = Some((star, from + 1));
        (p, n) = (star + 1, from + 1);
    }
    pattern.iter().skip(p).all(|c| *c == b'*')
}

type Sample = (Suffix, Vec<(String, String)>, f64);

#[derive(Debug)]
struct Family {
    help: Option<String>,
    kind: Kind,
    files: Vec<PathBuf>,
    samples: Vec<Sample>,
}

impl Default for Family {
    fn default() -> Self {
        Self {
            help: None,
            kind: Kind::Untyped,
            files: Vec::new(),
            samples: Vec::new(),
        }
    }
}

/// Families of one file.
#[derive(Debug, Default)]
struct Reader {
    families: BTreeMap<String, Family>,
    seen: HashSet<String>,
}

impl Reader {
    /// The family of a sample and what follows its name there.
    fn family_of(&self, name: &str) -> (String, Suffix) {
        for suffix in [Suffix::Bucket, Suffix::Sum, Suffix::Count] {
            let Some(base) = name.strip_suffix(suffix.text()) else {
                continue;
            };
            let kind = self.families.get(base).map(|f| f.kind);
            let takes = match suffix {
                Suffix::Bucket => kind == Some(Kind::Histogram),
                _ => matches!(kind, Some(Kind::Histogram | Kind::Summary)),
            };
            if takes {
                return (base.to_owned(), suffix);
            }
        }
        (name.to_owned(), Suffix::None)
    }
}

impl exposition::Sink for Reader {
    fn metric_type(&mut self, family: &str, kind: MetricType) {
        self.families.entry(family.to_owned()).or_default().kind = match kind {
            MetricType::Counter => Kind::Counter,
            MetricType::Gauge => Kind::Gauge,
            MetricType::Histogram => Kind::Histogram,
            MetricType::Summary => Kind::Summary,
            _ => Kind::Untyped,
        };
    }

    fn help(&mut self, family: &str, text: &str) {
        self.families.entry(family.to_owned()).or_default().help = Some(text.to_owned());
    }

    fn unit(&mut self, _: &str, _: &str) {}

    fn series(&mut self, series: &Series<'_>) -> Result<(), ParseError> {
        let shown = String::from_utf8_lossy(series.raw);
        if series.t.is_some() {
            return Err(ParseError(format!(
                "{shown} has a timestamp, which is the scraper's to give"
            )));
        }
        let SeriesValue::Float(v) = series.value else {
            return Ok(());
        };
        let mut pairs = Vec::new();
        series.labels(&mut pairs)?;
        let mut name = String::new();
        let mut labels = Vec::with_capacity(pairs.len());
        for (n, v) in pairs {
            if n == "__name__" {
                name = v.into_owned();
            } else {
                labels.push((n.into_owned(), v.into_owned()));
            }
        }
        labels.sort_unstable();
        if !self.seen.insert(format!("{name}{labels:?}")) {
            return Err(ParseError(format!("{shown} is there twice")));
        }
        let (family, suffix) = self.family_of(&name);
        let family = self.families.entry(family).or_default();
        family.samples.push((suffix, labels, v));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_folders() {
        for (p, n, want) in [
            ("*", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("?b*", "ab", true),
            ("a", "ab", false),
            ("", "", true),
        ] {
            assert_eq!(matches(p.as_bytes(), n.as_bytes()), want, "{p} {n}");
        }
        assert!(expand(Path::new("/pro?/*elf")).contains(&PathBuf::from("/proc/self")));
        assert_eq!(expand(Path::new("/nowhere")), [PathBuf::from("/nowhere")]);
    }

    #[test]
    fn a_file_with_a_timestamp_is_refused() {
        for bad in ["x 1 1395066363000\n", "x 1\nx 1\n", "x{ 1\n"] {
            let mut r = Reader::default();
            let e = exposition::parse(Format::Text, bad.as_bytes(), &Options::default(), &mut r);
            assert!(e.is_err(), "{bad}");
        }
    }
}
