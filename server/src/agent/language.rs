//! What settings of stages are written in: patterns, templates, selectors, times.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::model::Labels;
use exporters::logs::entry::LabelSet;
use exporters::logs::language::{Groups, Language, Pattern, Selector, Template};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use query::logql::stages::{EntryTest, LineHost, Surroundings, decolorized};
use query::regex::GoRegex;
use query::template::{self, Budget, Value};
use query::text::{go_duration, layout};

use super::functions;

/// Bounds of a template over one line.
const BUDGET: Budget = Budget {
    steps: 20_000,
    output_bytes: 1 << 20,
};

/// The languages of the query room.
#[derive(Debug)]
pub(crate) struct Languages;

struct GoPattern {
    regex: GoRegex,
    names: Vec<(usize, String)>,
}

impl Pattern for GoPattern {
    fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
    fn find(&self, text: &str) -> Option<Groups> {
        Some(self.regex.find_submatch(text)?.ranges().collect())
    }
    fn find_all(&self, text: &str) -> Vec<Groups> {
        let all = self.regex.find_all(text);
        all.map(|c| c.ranges().collect()).collect()
    }
    fn names(&self) -> &[(usize, String)] {
        &self.names
    }
}

struct GoTemplate(template::Template);

impl Template for GoTemplate {
    fn run(&self, data: &BTreeMap<String, String>) -> Result<String, String> {
        let entries = data.iter();
        let entries = entries.map(|(k, v)| (k.as_str().into(), Value::from(v.as_str())));
        let data = Value::Map(Arc::new(template::Map {
            entries: entries.collect(),
            texts: false,
        }));
        let now = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        let around = Surroundings {
            now,
            zone: TimeZone::system(),
        };
        let mut host = LineHost {
            time: now,
            line: "",
            around: &around,
        };
        let mut out = String::new();
        let done = self.0.execute(&data, &mut host, BUDGET, &mut out);
        done.map(|()| out).map_err(|e| e.to_string())
    }
}

struct LogSelector(EntryTest);

impl Selector for LogSelector {
    fn selects(&self, labels: &LabelSet, line: &str, time_ns: i64) -> bool {
        let value = |n: &str| labels.get(n).map_or("", String::as_str);
        self.0.takes(value) && self.0.passes(|| Labels::from_pairs(labels), line, time_ns)
    }
}

impl Language for Languages {
    fn pattern(&self, text: &str) -> Result<Arc<dyn Pattern>, String> {
        let regex = GoRegex::new(text).map_err(|e| e.to_string())?;
        let names = regex
            .group_names()
            .map(|(i, n)| (i, n.to_owned()))
            .collect();
        Ok(Arc::new(GoPattern { regex, names }))
    }

    fn template(&self, text: &str) -> Result<Arc<dyn Template>, String> {
        let tables = functions::tables();
        let parsed = template::Template::parse("pipeline_template", text, &tables);
        let refused = |e: template::TemplateError| {
            let e = e.to_string();
            functions::refused(&e).unwrap_or(e)
        };
        Ok(Arc::new(GoTemplate(parsed.map_err(refused)?)))
    }

    fn selector(&self, text: &str) -> Result<Arc<dyn Selector>, String> {
        let test = EntryTest::new(text).map_err(|e| e.to_string())?;
        Ok(Arc::new(LogSelector(test)))
    }

    fn time(&self, layout: &str, text: &str, zone: &TimeZone) -> Option<Zoned> {
        layout::parse(layout, text, zone)
    }

    fn duration(&self, text: &str) -> Option<i64> {
        go_duration::parse(text)
    }

    fn json_text(&self, text: &str) -> String {
        template::json::text(&Value::from(text))
    }

    fn json_number(&self, value: f64) -> String {
        template::json::text(&Value::Float(value))
    }

    fn decolorize(&self, line: &str) -> String {
        decolorized(line).into_owned()
    }
}
