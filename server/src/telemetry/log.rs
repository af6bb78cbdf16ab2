//! Our own log lines: `time level source msg`, then the rest, as logfmt or JSON.

use std::fmt::{self, Write as _};
use std::sync::OnceLock;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `key=value`.
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error. A second call has no effect.
pub(crate) fn start(level: tracing::Level, format: Format) {
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    let (filter, handle) = reload::Layer::new(filter(level));
    let lines = tracing_subscriber::fmt::layer()
        .event_format(LineFormat { format })
        .with_writer(std::io::stderr);
    let started = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    if started.is_ok() {
        // Nobody else can have set it.
        drop(FILTER.set((handle, Mutex::new(level))));
    }
}

/// What is heard, while the process runs.
static FILTER: OnceLock<(reload::Handle<EnvFilter, Registry>, Mutex<tracing::Level>)> =
    OnceLock::new();

fn filter(level: tracing::Level) -> EnvFilter {
    // Libraries are heard from warnings on: their lines are not part of our interface.
    EnvFilter::new(format!("warn,sextant={level}"))
}

/// The level in force, when logging has been started.
pub(crate) fn level() -> Option<tracing::Level> {
    FILTER.get().map(|f| *f.1.lock())
}

/// Changes the level. False when logging has not been started.
pub(crate) fn set_level(level: tracing::Level) -> bool {
    let Some((handle, current)) = FILTER.get() else {
        return false;
    };
    let mut current = current.lock();
    let done = handle.reload(filter(level)).is_ok();
    if done {
        *current = level;
    }
    done
}

struct LineFormat {
    format: Format,
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: Vec<(&'static str, String)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.rest.push((field.name(), value));
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _ctx: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let meta = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let time = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
            .to_string();
        let file = meta.file().unwrap_or("?");
        let file = file.rsplit_once("src/").map_or(file, |(_, f)| f);
        let source = format!("{file}:{}", meta.line().unwrap_or(0));
        let level = meta.level().as_str();
        let head = [
            ("time", time),
            ("level", level.to_owned()),
            ("source", source),
        ];
        let all = head
            .into_iter()
            .chain([("msg", fields.message)])
            .chain(fields.rest);
        let mut line = String::with_capacity(160);
        match self.format {
            Format::Logfmt => {
                for (i, (k, v)) in all.enumerate() {
                    if i > 0 {
                        line.push(' ');
                    }
                    line.push_str(k);
                    line.push('=');
                    logfmt_value(&v, &mut line);
                }
            }
            Format::Json => {
                for (i, (k, v)) in all.enumerate() {
                    line.push(if i == 0 { '{' } else { ',' });
                    write!(line, "{}:{}", serde_json::json!(k), serde_json::json!(v))?;
                }
                line.push('}');
            }
        }
        writeln!(out, "{line}")
    }
}

/// Bare when nothing in it could be misread, else quoted as in Go.
fn logfmt_value(v: &str, out: &mut String) {
    let bare = !v.is_empty()
        && v.chars()
            .all(|c| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\'));
    if bare {
        out.push_str(v);
    } else {
        query::text::quote::quote_into(out, v);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_are_quoted_when_needed() {
        for (v, want) in [
            ("a", "a"),
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("a=b", r#""a=b""#),
            ("x\"\n\x1b", r#""x\"\n\x1b""#),
        ] {
            let mut out = String::new();
            super::logfmt_value(v, &mut out);
            assert_eq!(out, want);
        }
    }
}
