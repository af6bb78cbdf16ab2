//! `sextant check metrics`: does an exposition parse, and does it follow the family's habits.

use std::collections::BTreeMap;
use std::io::Read as _;

use engine::model::MetricType;
use engine::wire::exposition::{Format, Options, ParseError, Series, Sink, parse};

use super::complain;

/// Largest input; real ones are a few MiB.
const INPUT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What is known of a family.
#[derive(Default)]
struct Family {
    kind: Option<MetricType>,
    help: bool,
}

#[derive(Default)]
struct Families(BTreeMap<String, Family>);

impl Sink for Families {
    fn metric_type(&mut self, family: &str, kind: MetricType) {
        self.0.entry(family.to_owned()).or_default().kind = Some(kind);
    }
    fn help(&mut self, family: &str, text: &str) {
        self.0.entry(family.to_owned()).or_default().help = !text.is_empty();
    }
    fn unit(&mut self, _family: &str, _unit: &str) {}
    fn series(&mut self, series: &Series<'_>) -> Result<(), ParseError> {
        // Labels are read so that broken ones are found.
        series.labels(&mut Vec::new())
    }
}

/// What is unusual about `text`, one line each.
///
/// # Errors
/// When it does not parse.
fn lint(text: &[u8]) -> Result<Vec<String>, ParseError> {
    let mut families = Families::default();
    parse(Format::Text, text, &Options::default(), &mut families)?;
    let mut out = Vec::new();
    for (name, f) in &families.0 {
        if !f.help {
            out.push(format!("{name} no help text"));
        }
        let total = name.ends_with("_total");
        match f.kind {
            Some(MetricType::Counter) if !total => {
                out.push(format!(
                    "{name} counter metrics should have \"_total\" suffix"
                ));
            }
            Some(k) if k != MetricType::Counter && k != MetricType::Unknown && total => {
                out.push(format!(
                    "{name} non-counter metrics should not have \"_total\" suffix"
                ));
            }
            _ => {}
        }
    }
    Ok(out)
}

/// Checks standard input: 0 fine, 1 does not parse, 3 unusual.
pub(super) fn metrics() -> u8 {
    let mut text = Vec::new();
    let read = std::io::stdin()
        .take(INPUT_BYTES_MAX)
        .read_to_end(&mut text);
    if let Err(e) = read {
        complain(&format!("error while reading: {e}\n"));
        return 1;
    }
    match lint(&text) {
        Err(e) => {
            complain(&format!("error while linting: {e}\n"));
            1
        }
        Ok(problems) if problems.is_empty() => 0,
        Ok(problems) => {
            for p in problems {
                complain(&format!("{p}\n"));
            }
            3
        }
    }
}

#[cfg(test)]
mod tests {
    use super::lint;

    #[test]
    fn habits_and_mistakes_are_told_apart() {
        let good = b"# HELP a_total x\n# TYPE a_total counter\na_total 1\n";
        assert_eq!(lint(good), Ok(vec![]));
        let odd = b"# TYPE a counter\na 1\n# HELP g_total x\n# TYPE g_total gauge\ng_total 1\n";
        assert_eq!(lint(odd).unwrap().len(), 3);
        assert!(lint(b"a{ 1\n").is_err());
    }
}
