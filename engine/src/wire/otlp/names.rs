//! OpenTelemetry names and units under Prometheus' rules.

use super::metrics::Settings;

/// What a metric is, as far as its name is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    MonotonicSum,
    Gauge,
    Other,
}

fn main_unit(unit: &str) -> &str {
    match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        other => other,
    }
}

fn per_unit(unit: &str) -> &str {
    match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        other => other,
    }
}

/// The two parts of a unit: `By/s` is `bytes` and `per_second`. Annotations in braces count
/// as nothing.
fn unit_parts(unit: &str) -> (String, String) {
    let usable = |u: &str| !u.is_empty() && !u.contains(['{', '}']);
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let (main, per) = (main.trim(), per.trim());
    let main = if usable(main) { main_unit(main) } else { "" };
    let per = match per {
        per if usable(per) => format!("per_{}", per_unit(per)),
        _ => String::new(),
    };
    (main.to_owned(), per)
}

fn metric_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

/// Invalid characters to underscores, runs of them to one, none in front.
fn clean_unit(unit: &str) -> String {
    let mut out = String::new();
    for c in unit.chars() {
        let c = if metric_char(c) { c } else { '_' };
        if c != '_' || (!out.ends_with('_') && !out.is_empty()) {
            out.push(c);
        }
    }
    out
}

/// The unit as metadata states it.
pub(super) fn unit_name(unit: &str) -> String {
    let (main, per) = unit_parts(unit);
    let parts = [clean_unit(&main), clean_unit(&per)];
    let joined = parts
        .iter()
        .filter(|p| !p.is_empty())
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("_");
    joined.trim_matches('_').to_owned()
}

/// The metric name under the strategy of `s`.
pub(super) fn metric_name(
    name: &str,
    unit: &str,
    kind: Kind,
    s: &Settings,
) -> Result<String, String> {
    if s.strategy.utf8() {
        return Ok(if s.strategy.suffixes() {
            with_suffixes(name, unit, kind)
        } else {
            name.to_owned()
        });
    }
    let mut out = if s.strategy.suffixes() {
        tokens(name, unit, kind).join("_")
    } else {
        name.split(|c| !metric_char(c) && c != '_')
            .filter(|t| !t.is_empty())
            .collect::<Vec<_>>()
            .join("_")
    };
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    if out.is_empty() {
        return Err(format!(
            "normalization for metric \"{name}\" resulted in empty name"
        ));
    }
    if out != name && out.chars().all(|c| c == '_') {
        return Err(format!(
            "normalization for metric \"{name}\" resulted in invalid name \"{out}\""
        ));
    }
    Ok(out)
}

/// Words of the name, then unit, `total`, `ratio`, each once.
fn tokens(name: &str, unit: &str, kind: Kind) -> Vec<String> {
    let mut tokens: Vec<String> = name
        .split(|c| !metric_char(c))
        .filter(|t| !t.is_empty())
        .map(str::to_owned)
        .collect();
    let (main, per) = unit_parts(unit);
    let (mut main, mut per) = (clean_unit(&main), clean_unit(&per));
    if tokens.contains(&main) {
        main.clear();
    }
    if per == "per_" {
        per.clear();
    } else {
        per = per.trim_end_matches('_').to_owned();
        if tokens.contains(&per) {
            per.clear();
        }
    }
    if !per.is_empty() {
        main = main.trim_end_matches('_').to_owned();
    }
    tokens.extend([main, per].into_iter().filter(|t| !t.is_empty()));
    let mut last = |word: &str| {
        tokens.retain(|t| t != word);
        tokens.push(word.to_owned());
    };
    if kind == Kind::MonotonicSum {
        last("total");
    }
    if unit == "1" && kind == Kind::Gauge {
        last("ratio");
    }
    tokens
}

/// Suffixes without touching the rest of the name.
fn with_suffixes(name: &str, unit: &str, kind: Kind) -> String {
    let trim = |name: &str, suffix: &str| -> String {
        match name.strip_suffix(suffix) {
            // With the delimiter, whichever it is.
            Some(base) if base.len() > 1 => {
                let mut base = base.to_owned();
                base.pop();
                base
            }
            _ => name.to_owned(),
        }
    };
    let mut name = name.to_owned();
    let mut ends: Vec<String> = Vec::new();
    if unit == "1" && kind == Kind::Gauge {
        name = trim(&name, "ratio");
        ends.push("ratio".into());
    }
    if kind == Kind::MonotonicSum {
        name = trim(&name, "total");
        ends.push("total".into());
    }
    let (main, per) = unit_parts(unit);
    if !per.is_empty() {
        name = trim(&name, &per);
        ends.push(per);
    }
    if !main.is_empty() && !name.ends_with(&main) {
        name = format!("{name}_{main}");
    }
    while let Some(end) = ends.pop() {
        name = format!("{name}_{end}");
    }
    name
}

/// The label name of an attribute key under the strategy of `s`.
pub(super) fn label_name(key: &str, s: &Settings) -> Result<String, String> {
    if key.is_empty() {
        return Err("label name is empty".into());
    }
    let underscores = |n: &str| n.chars().all(|c| c == '_');
    if s.strategy.utf8() {
        if underscores(key) {
            return Err(format!("label name \"{key}\" contains only underscores"));
        }
        return Ok(key.to_owned());
    }
    let mut out = String::with_capacity(key.len());
    for c in key.chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '_' };
        if c == '_' && out.ends_with('_') && !s.preserve_multiple_underscores {
            continue;
        }
        out.push(c);
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert_str(0, "key_");
    } else if s.label_name_underscore_sanitization && out.starts_with('_') && !out.starts_with("__")
    {
        out.insert_str(0, "key");
    }
    if underscores(&out) {
        return Err(format!(
            "normalization for label name \"{key}\" resulted in invalid name \"{out}\""
        ));
    }
    Ok(out)
}
