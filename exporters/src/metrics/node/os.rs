//! The distribution, from `/etc/os-release`.

use std::collections::BTreeMap;

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("os", collect);

const LABELS: [&str; 12] = [
    "build_id",
    "id",
    "id_like",
    "image_id",
    "image_version",
    "name",
    "pretty_name",
    "variant",
    "variant_id",
    "version",
    "version_codename",
    "version_id",
];

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let places = ["etc/os-release", "usr/lib/os-release"];
    let text = places
        .iter()
        .map(|p| read::text(&r.root(p)))
        .find(|t| !matches!(t, Err(Problem::Absent(_))))
        .unwrap_or_else(|| Err(Problem::Absent("no os-release".into())))?;
    let facts: BTreeMap<String, String> = text
        .lines()
        .filter_map(|l| l.trim().split_once('='))
        .map(|(k, v)| (k.to_ascii_lowercase(), unquote(v)))
        .collect();
    let of = |key: &str| facts.get(key).map_or("", String::as_str);
    let labels = LABELS.map(|l| (l, of(l)));
    out.gauge("node_os_info", "A metric with a constant '1' value labeled by build_id, id, id_like, image_id, image_version, name, pretty_name, variant, variant_id, version, version_codename, version_id.", &labels, 1.0);
    // The first two numbers of the version.
    let version = of("version_id");
    let mut parts = version.splitn(3, '.');
    let version = match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) => format!("{major}.{minor}"),
        (major, _) => major.unwrap_or("").to_owned(),
    };
    if let Some(v) = read::parse(&version) {
        out.gauge(
            "node_os_version",
            "Metric containing the major.minor part of the OS version.",
            &[
                ("id", of("id")),
                ("id_like", of("id_like")),
                ("name", of("name")),
            ],
            v,
        );
    }
    if !of("support_end").is_empty()
        && let Some(v) = day(of("support_end"))
    {
        out.gauge(
            "node_os_support_end_timestamp_seconds",
            "Metric containing the end-of-life date timestamp of the OS.",
            &[],
            v,
        );
    }
    Ok(())
}

fn unquote(text: &str) -> String {
    let t = text.trim();
    let inner = ['"', '\'']
        .iter()
        .find_map(|q| t.strip_prefix(*q)?.strip_suffix(*q));
    inner.unwrap_or(t).replace("\\\"", "\"").replace("\\$", "$")
}

/// Midnight of `2029-05-31` in Unix seconds.
fn day(text: &str) -> Option<f64> {
    let mut parts = text.splitn(3, '-').map(|p| p.parse::<i64>().ok());
    let (y, m, d) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1970..=9999).contains(&y) || !(1..=12).contains(&m) || !(1..=31).contains(&d) {
        return None;
    }
    // Days since 0000-03-01 of a calendar whose years begin in March.
    let (y, m) = if m > 2 { (y, m - 3) } else { (y - 1, m + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + d - 1;
    Some((days - 719_468) as f64 * 86400.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_from_the_epoch() {
        assert_eq!(day("1970-01-01"), Some(0.0));
        assert_eq!(day("2029-05-31"), Some(1_874_880_000.0));
        assert_eq!(day("2000-02-29"), Some(951_782_400.0));
        assert_eq!(day("yesterday"), None);
        assert_eq!(unquote("\"a b\""), "a b");
    }
}
