//! From target groups to targets.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::model::{Labels, LabelsBuilder};
use parking_lot::Mutex;

use super::ingest::Metadata;
use crate::config::PromDuration;
use crate::config::prometheus::ScrapeConfig;
use crate::discovery::{ADDRESS, TargetGroup};
use crate::relabel::Relabel;

const SCHEME: &str = "__scheme__";
const PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAM: &str = "__param_";
const META: &str = "__meta_";
const NATIVE: &str = "__scrape_native_histograms__";
const CLASSIC: &str = "__always_scrape_classic_histograms__";
const NHCB: &str = "__convert_classic_histograms_to_nhcb__";

/// A target as its labels say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Labels before relabelling.
    pub(super) discovered: Labels,
    /// Labels of its series.
    pub(super) labels: Labels,
    /// All labels after relabelling; with the URL they identify the target.
    pub(super) identity: Labels,
    pub(super) url: String,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) native_histograms: bool,
    pub(super) always_classic: bool,
    pub(super) convert_to_nhcb: bool,
}

/// What becomes of a discovered target.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Made {
    Target(Box<Target>),
    /// Dropped by a rule; its discovered labels.
    Dropped(Labels),
    /// Its labels are unusable.
    Broken(String),
}

/// Makes the targets of `group` under job `c`.
pub(super) fn make(c: &ScrapeConfig, relabel: &Relabel, group: &TargetGroup) -> Vec<Made> {
    let mut base = LabelsBuilder::new();
    base.set("job", &c.job_name)
        .set(INTERVAL, &c.scrape_interval.to_string())
        .set(TIMEOUT, &c.scrape_timeout.to_string())
        .set(PATH, &c.metrics_path)
        .set(SCHEME, &c.scheme);
    for (name, on) in [
        (NATIVE, c.scrape_native_histograms),
        (CLASSIC, c.always_scrape_classic_histograms),
        (NHCB, c.convert_classic_histograms_to_nhcb),
    ] {
        base.set(name, if on == Some(true) { "true" } else { "false" });
    }
    for (name, values) in &c.params {
        if let Some(first) = values.first() {
            base.set(&format!("{PARAM}{name}"), first);
        }
    }
    group
        .targets
        .iter()
        .enumerate()
        .map(|(i, target)| {
            let mut b = base.clone();
            for (n, v) in group.labels.iter().chain(target) {
                b.set(n, v);
            }
            one(c, relabel, b).unwrap_or_else(|e| {
                Made::Broken(format!("instance {i} in group {}: {e}", group.source))
            })
        })
        .collect()
}

fn one(c: &ScrapeConfig, relabel: &Relabel, mut b: LabelsBuilder) -> Result<Made, String> {
    let discovered = b.build();
    if !relabel.apply(&mut b) {
        return Ok(Made::Dropped(discovered));
    }
    let address = b.get(ADDRESS).ok_or("no address")?.to_owned();
    if address.contains('/') {
        return Err(format!("{address:?} is not a valid hostname"));
    }
    let interval = duration(&b, INTERVAL, "interval")?;
    let timeout = duration(&b, TIMEOUT, "timeout")?;
    if timeout > interval {
        return Err(format!(
            "scrape timeout cannot be greater than scrape interval ({:?} > {:?})",
            timeout.to_string(),
            interval.to_string()
        ));
    }
    let meta: Vec<String> = b
        .iter()
        .filter(|(n, _)| n.starts_with(META))
        .map(|(n, _)| n.to_owned())
        .collect();
    for n in meta {
        b.remove(&n);
    }
    if b.get("instance").is_none() {
        b.set("instance", &address);
    }
    let identity = b.build();
    let on = |name: &str| identity.get(name) == Some("true");
    let url = url(c, &identity, &address)?;
    Ok(Made::Target(Box::new(Target {
        labels: identity.filter(|n| !n.starts_with("__")),
        native_histograms: on(NATIVE),
        always_classic: on(CLASSIC),
        convert_to_nhcb: on(NHCB),
        discovered,
        url,
        interval: interval.as_std(),
        timeout: timeout.as_std(),
        identity,
    })))
}

fn duration(b: &LabelsBuilder, label: &str, what: &str) -> Result<PromDuration, String> {
    let d: PromDuration = b
        .get(label)
        .unwrap_or("")
        .parse()
        .map_err(|e| format!("error parsing scrape {what}: {e}"))?;
    if d.is_zero() {
        return Err(format!("scrape {what} cannot be 0"));
    }
    Ok(d)
}

fn url(c: &ScrapeConfig, labels: &Labels, address: &str) -> Result<String, String> {
    let mut params: BTreeMap<String, Vec<String>> = c.params.clone();
    for (n, v) in labels {
        if let Some(name) = n.strip_prefix(PARAM) {
            let values = params.entry(name.to_owned()).or_default();
            match values.first_mut() {
                Some(first) => v.clone_into(first),
                None => values.push(v.to_owned()),
            }
        }
    }
    let path = labels.get(PATH).unwrap_or("");
    let slash = if path.starts_with('/') || path.is_empty() {
        ""
    } else {
        "/"
    };
    let scheme = labels.get(SCHEME).unwrap_or("http");
    let text = format!("{scheme}://{address}{slash}{path}");
    url::Url::parse(&text).map_err(|e| format!("{text:?}: {e}"))?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, values) in &params {
        for v in values {
            query.append_pair(name, v);
        }
    }
    let query = query.finish();
    // Put together by hand: the URL is shown as configured, a default port included.
    Ok(if query.is_empty() {
        text
    } else {
        let separator = if text.contains('?') { '&' } else { '?' };
        format!("{text}{separator}{query}")
    })
}

/// Whether a target answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Health {
    /// Not asked yet.
    #[default]
    Unknown,
    /// The last scrape succeeded.
    Up,
    /// It failed.
    Down,
}

impl Health {
    /// The word of the HTTP API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// How the last scrape went.
#[derive(Debug, Clone, Default)]
pub(super) struct Last {
    pub(super) health: Health,
    pub(super) error: String,
    /// Start, ms since the epoch; 0 before the first one.
    pub(super) at: i64,
    pub(super) seconds: f64,
}

/// What a loop shares with whoever asks about its target.
pub(super) struct Shared {
    pub(super) target: Target,
    pub(super) last: Mutex<Last>,
    pub(super) metadata: Mutex<Metadata>,
    /// An error that stands in place of every scrape.
    pub(super) forced: Mutex<Option<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::prometheus::{Pattern, RelabelAction, RelabelConfig};

    fn config() -> ScrapeConfig {
        let text = "scrape_configs: [{job_name: j, params: {m: [a, b]}, metrics_path: /x}]";
        let loaded = crate::config::parse_yaml::<crate::config::prometheus::PrometheusConfig>(
            std::path::Path::new("t"),
            text,
        )
        .unwrap();
        loaded.jobs().next().unwrap().clone()
    }

    fn group(pairs: &[(&str, &str)]) -> TargetGroup {
        TargetGroup {
            source: "s".into(),
            targets: vec![Labels::from_pairs(pairs.iter().copied())],
            labels: Labels::from_pairs([("env", "group"), ("__meta_x", "y")]),
        }
    }

    fn make_one(rules: &[RelabelConfig], pairs: &[(&str, &str)]) -> Made {
        let r = Relabel::compile(rules, false).unwrap();
        make(&config(), &r, &group(pairs)).pop().unwrap()
    }

    #[test]
    fn labels_and_url_come_from_group_and_job() {
        let Made::Target(t) =
            make_one(&[], &[(ADDRESS, "h:1"), ("env", "own"), ("__param_m", "z")])
        else {
            panic!("expected a target");
        };
        assert_eq!(
            t.labels.to_string(),
            r#"{env="own", instance="h:1", job="j"}"#
        );
        assert_eq!(t.url, "http://h:1/x?m=z&m=b");
        assert_eq!(t.interval, Duration::from_secs(60));
        assert!(t.discovered.get("__meta_x").is_some() && t.identity.get("__meta_x").is_none());
    }

    #[test]
    fn unusable_targets_are_named() {
        let set = |target: &str, value: &str| RelabelConfig {
            target_label: target.into(),
            replacement: value.into(),
            ..RelabelConfig::default()
        };
        for (rule, want) in [
            (set(ADDRESS, ""), "no address"),
            (set(ADDRESS, "a/b"), "\"a/b\" is not a valid hostname"),
            (set(INTERVAL, "0s"), "scrape interval cannot be 0"),
            (set(TIMEOUT, "2m"), "scrape timeout cannot be greater"),
            (set(TIMEOUT, "x"), "error parsing scrape timeout"),
        ] {
            let Made::Broken(e) = make_one(&[rule], &[(ADDRESS, "h:1")]) else {
                panic!("expected {want}");
            };
            assert!(e.contains(want), "{e}");
        }
        let drop = RelabelConfig {
            action: RelabelAction::Drop,
            regex: Pattern("".into()),
            ..RelabelConfig::default()
        };
        assert!(matches!(
            make_one(&[drop], &[(ADDRESS, "h:1")]),
            Made::Dropped(_)
        ));
    }
}
