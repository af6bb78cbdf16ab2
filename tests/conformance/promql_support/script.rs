//! Reading `.test` files: commands with their blocks.

use std::sync::Arc;

use engine::model::Labels;
use query::promql::ast::Expr;
use query::promql::parse::{SequenceValue, parse_series};
use query::promql::{ParseOptions, parse};
use query::text::{duration, float, quote};
use regex::Regex;

use super::source::{Point, PointValue};

/// A line's points.
pub struct LoadSeries {
    pub labels: Labels,
    pub points: Vec<Point>,
}

/// An expectation about annotations of one kind.
#[derive(Debug, Clone)]
pub enum Text {
    Any,
    Message(String),
    Regex(String),
}

impl Text {
    pub fn matches(&self, s: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Message(m) => m == s,
            Self::Regex(r) => Regex::new(r).is_ok_and(|r| r.is_match(s)),
        }
    }
}

/// What a series of the result has to be.
#[derive(Debug, Clone)]
pub struct Expected {
    pub labels: Labels,
    pub values: Vec<SequenceValue>,
}

/// What an eval expects.
#[derive(Debug, Default, Clone)]
pub struct Expectation {
    pub fail: Option<Text>,
    pub warn: Vec<Text>,
    pub info: Vec<Text>,
    pub no_warn: bool,
    pub no_info: bool,
    pub ordered: bool,
    pub scalar: Option<f64>,
    pub string: Option<String>,
    /// from, to, step in ms.
    pub range_vector: Option<(i64, i64, i64)>,
    pub series: Vec<Expected>,
}

/// When and what.
pub struct Eval {
    pub line: usize,
    pub text: String,
    pub expr: Expr,
    /// Start, end, step in ms; an instant eval has a step of 0.
    pub times: (i64, i64, i64),
    pub expect: Expectation,
}

/// A command.
pub enum Command {
    Clear,
    Load {
        series: Vec<LoadSeries>,
        with_nhcb: bool,
        line: usize,
    },
    Eval(Box<Eval>),
}

fn time(s: &str) -> Result<i64, String> {
    duration::parse(s.trim()).map_err(|e| e.to_string())
}

fn pattern(p: &str) -> Result<Regex, String> {
    Regex::new(p).map_err(|e| e.to_string())
}

/// All commands of a file, or the line and text of the first syntax error after those before it.
pub fn parse_file(text: &str) -> (Vec<Command>, Option<String>) {
    let lines: Vec<&str> = text
        .split('\n')
        .map(str::trim)
        .map(|l| if l.starts_with('#') { "" } else { l })
        .collect();
    let mut out = Vec::new();
    let mut i = 0;
    while i < lines.len() {
        let head = lines[i];
        if head.is_empty() {
            i += 1;
            continue;
        }
        let end = (i + 1..lines.len())
            .find(|j| lines[*j].is_empty())
            .unwrap_or(lines.len());
        let word = head.split_whitespace().next().unwrap_or("").to_lowercase();
        let block = &lines[i + 1..end];
        let (command, next) = if word == "clear" {
            (Ok(Command::Clear), i + 1)
        } else if word.starts_with("load") {
            (load(head, block, i + 1), end)
        } else if word.starts_with("eval") {
            (eval(head, block, i + 1), end)
        } else {
            (Err(format!("unknown command {word}")), end)
        };
        match command {
            Ok(c) => out.push(c),
            Err(e) => return (out, Some(format!("line {}: {e}", i + 1))),
        }
        i = next;
    }
    (out, None)
}

fn load(head: &str, block: &[&str], line: usize) -> Result<Command, String> {
    let m = pattern(r"^load(?:_(with_nhcb))?\s+(.+?)$")?;
    let caps = m.captures(head).ok_or("bad load command")?;
    let step = time(&caps[2])?;
    let mut series: Vec<LoadSeries> = Vec::new();
    let mut starts: Option<(String, Vec<Option<i64>>)> = None;
    for l in block {
        let first = l.split_whitespace().next().unwrap_or("");
        if let Some(metric) = first.strip_suffix("@st") {
            starts = Some((metric.to_owned(), start_items(&l[first.len()..])?));
            continue;
        }
        let (labels, values) = parse_series(l)?;
        let offsets = match starts.take() {
            None => Vec::new(),
            Some((metric, offsets)) => {
                let (of, _) = parse_series(&metric)?;
                if of != labels || offsets.len() != values.len() {
                    return Err(format!("start timestamps do not fit {labels}"));
                }
                offsets
            }
        };
        let points = values
            .into_iter()
            .enumerate()
            .filter_map(|(i, v)| {
                let t = step * i as i64;
                let start_t = offsets.get(i).copied().flatten().map_or(0, |d| t + d);
                let value = match v {
                    SequenceValue::Omitted => return None,
                    SequenceValue::Float(v) => PointValue::Float(v),
                    SequenceValue::Histogram(h, _) => PointValue::Histogram(Arc::new(*h)),
                };
                Some(Point { t, start_t, value })
            })
            .collect();
        series.retain(|s| s.labels != labels);
        series.push(LoadSeries { labels, points });
    }
    Ok(Command::Load {
        series,
        with_nhcb: caps.get(1).is_some(),
        line,
    })
}

fn start_items(s: &str) -> Result<Vec<Option<i64>>, String> {
    let item = pattern(r"^([+-]?)(\d+)(ms|[smhdwy])?(?:([+-])(\d+)(ms|[smhdwy])?)?(?:x(\d+))?$")?;
    let mut out = Vec::new();
    for word in s.split_whitespace() {
        if let Some(rest) = word.strip_prefix('_') {
            let n = match rest.strip_prefix('x') {
                Some(n) => n.parse().map_err(|_| format!("bad start item {word}"))?,
                None => 1,
            };
            out.extend(std::iter::repeat_n(None, n));
            continue;
        }
        let c = item
            .captures(word)
            .ok_or_else(|| format!("bad start item {word}"))?;
        let ms = |sign: usize, digits: usize, unit: usize| -> Result<i64, String> {
            let Some(d) = c.get(digits) else { return Ok(0) };
            let unit = c.get(unit).map_or("", |m| m.as_str());
            let v = if unit.is_empty() {
                0
            } else {
                time(&format!("{}{unit}", d.as_str()))?
            };
            Ok(if c.get(sign).is_some_and(|m| m.as_str() == "-") {
                -v
            } else {
                v
            })
        };
        let (first, delta) = (ms(1, 2, 3)?, ms(4, 5, 6)?);
        let n: i64 = match c.get(7) {
            Some(n) => n.as_str().parse::<i64>().map_err(|e| e.to_string())? + 1,
            None => 1,
        };
        out.extend((0..n).map(|i| Some(first + delta * i)));
    }
    Ok(out)
}

fn eval(head: &str, block: &[&str], line: usize) -> Result<Command, String> {
    let instant =
        pattern(r"^eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$")?;
    let range = pattern(
        r"^eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$",
    )?;
    let (modifier, mut times, text) = if let Some(c) = instant.captures(head) {
        let t = c.get(2).map_or(Ok(0), |m| time(m.as_str()))?;
        (
            c.get(1).map(|m| m.as_str().to_owned()),
            (t, t, 0),
            c[3].to_owned(),
        )
    } else if let Some(c) = range.captures(head) {
        let times = (time(&c[2])?, time(&c[3])?, time(&c[4])?);
        if times.1 < times.0 {
            return Err("end before start".to_owned());
        }
        (
            c.get(1).map(|m| m.as_str().to_owned()),
            times,
            c[5].to_owned(),
        )
    } else {
        return Err("bad eval command".to_owned());
    };
    let expr = parse(&text, ParseOptions::all()).map_err(|e| e.to_string())?;
    let mut x = Expectation::default();
    match modifier.as_deref() {
        Some("fail") => x.fail = Some(Text::Any),
        Some("warn") => x.warn.push(Text::Any),
        Some("info") => x.info.push(Text::Any),
        Some("ordered") => x.ordered = true,
        _ => {}
    }
    expectations(block, &mut x)?;
    if let Some((_, to, _)) = x.range_vector {
        times = (to, to, 0);
    }
    Ok(Command::Eval(Box::new(Eval {
        line,
        text,
        expr,
        times,
        expect: x,
    })))
}

fn expectations(block: &[&str], x: &mut Expectation) -> Result<(), String> {
    let expect =
        pattern(r"^expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?$")?;
    let range = pattern(r"^expect range vector from\s+(.+)\s+to\s+(.+)\s+step\s+(.+)$")?;
    for l in block {
        if let Some(m) = l.strip_prefix("expected_fail_message") {
            x.fail = Some(Text::Message(m.trim().to_owned()));
            break;
        }
        if let Some(m) = l.strip_prefix("expected_fail_regexp") {
            x.fail = Some(Text::Regex(m.trim().to_owned()));
            break;
        }
        if let Some(c) = range.captures(l) {
            x.range_vector = Some((time(&c[1])?, time(&c[2])?, time(&c[3])?));
            continue;
        }
        if let Some(s) = l.strip_prefix("expect string") {
            x.string = Some(quote::unquote(s.trim()).map_err(|e| e.to_string())?);
            continue;
        }
        if l.split(' ').next() == Some("expect") {
            let c = expect
                .captures(l)
                .ok_or_else(|| format!("bad expect line {l}"))?;
            let text = match (c.get(2).map(|m| m.as_str()), c.get(3)) {
                (Some("msg"), Some(t)) => Text::Message(t.as_str().trim().to_owned()),
                (Some(_), Some(t)) => Text::Regex(t.as_str().trim().to_owned()),
                _ => Text::Any,
            };
            match &c[1] {
                "ordered" => x.ordered = true,
                "fail" => x.fail = Some(text),
                "warn" => x.warn.push(text),
                "info" => x.info.push(text),
                "no_warn" => x.no_warn = true,
                _ => x.no_info = true,
            }
            continue;
        }
        if let Some(v) = float::parse_number(l) {
            x.scalar = Some(v);
            break;
        }
        let (labels, values) = parse_series(l)?;
        x.series.push(Expected { labels, values });
    }
    Ok(())
}
