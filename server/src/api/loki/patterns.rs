//! `/patterns`: shapes of lines, found when they are asked for.

use std::collections::{BTreeMap, HashMap};

use ::query::logql::ast::LogExpr;
use ::query::logql::eval::LogQuery;
use engine::logs::Direction;

use super::query::lines;
use super::{Answer, Ask, Said, params};

/// Lines looked at.
const LINES_MAX: usize = 10_000;
/// Patterns of an answer.
const PATTERNS_MAX: usize = 300;
/// Words of a line that count.
const WORDS_MAX: usize = 80;

/// `/patterns`.
pub(super) async fn patterns(ask: Ask) -> Answer {
    let (start, end) = params::ordered_bounds(&ask.params)?;
    let step = params::step(&ask.params, start, end)?.max(1_000_000_000);
    let expr = ::query::logql::parse_log(ask.params.get("query"))?;
    if !ask.api.logs.config.patterns {
        return Ok(Said::data(&Vec::<()>::new()));
    }
    let query = LogQuery {
        start,
        end,
        limit: LINES_MAX,
        direction: Direction::Backward,
        interval: 0,
        categorize: false,
    };
    let only_lines = LogExpr {
        matchers: expr.matchers,
        stages: expr.stages,
    };
    let streams = lines(&ask, only_lines, query).await?;
    let mut found: HashMap<(String, String), BTreeMap<i64, u64>> = HashMap::new();
    for s in &streams {
        let level = s.labels.get("detected_level").or(s.labels.get("level"));
        let level = level.unwrap_or("unknown");
        for e in &s.entries {
            let at = e.time.div_euclid(step) * step / 1_000_000_000;
            let samples = found.entry((shape(&e.line), level.to_owned())).or_default();
            *samples.entry(at).or_insert(0) += 1;
        }
    }
    let mut ranked: Vec<_> = found.into_iter().collect();
    let total = |s: &BTreeMap<i64, u64>| s.values().sum::<u64>();
    ranked.sort_by(|a, b| total(&b.1).cmp(&total(&a.1)).then_with(|| a.0.cmp(&b.0)));
    let shown: Vec<serde_json::Value> = ranked
        .iter()
        .take(PATTERNS_MAX)
        .map(|((pattern, level), samples)| {
            let samples: Vec<(i64, u64)> = samples.iter().map(|(t, n)| (*t, *n)).collect();
            serde_json::json!({"pattern": pattern, "level": level, "samples": samples})
        })
        .collect();
    Ok(Said::data(&shown))
}

/// The line with what varies cut out: words with digits, and what follows an equals sign.
fn shape(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for (i, word) in line.split_whitespace().take(WORDS_MAX).enumerate() {
        if i > 0 {
            out.push(' ');
        }
        let digit = |s: &str| s.bytes().any(|b| b.is_ascii_digit());
        match word.split_once('=') {
            Some((key, _)) if !key.is_empty() && !digit(key) => {
                out.push_str(key);
                out.push_str("=<_>");
            }
            _ if digit(word) => out.push_str("<_>"),
            _ => out.push_str(word),
        }
    }
    while out.contains("<_> <_>") {
        out = out.replace("<_> <_>", "<_>");
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_varies_is_cut_out() {
        assert_eq!(
            super::shape("GET /a/17 took 5ms ok=1"),
            "GET <_> took <_> ok=<_>"
        );
        assert_eq!(super::shape("1 2 3 x"), "<_> x");
    }
}
