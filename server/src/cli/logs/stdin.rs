//! `--stdin`: a log query over the lines of standard input, without a server.

use std::io::BufRead as _;

use clap::ArgMatches;
use engine::logs::PushBatch;
use engine::model::Labels;
use query::logql::ast::Expr;
use query::logql::eval::Tailer;
use query::logql::stages::Surroundings;

use super::flags::{given, now, zone};
use super::output::{Entry, Printer, Shown};

/// Longest line that is read.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Prints the lines that pass the query of the flags, in the order they come.
///
/// # Errors
/// A query that is none or about numbers, input that cannot be read.
pub(super) fn run(m: &ArgMatches) -> Result<(), String> {
    let given = given(m, "query").unwrap_or_default().trim();
    // Lines of a file belong to no stream, so that the selector says nothing and may be left out.
    let text = if given.starts_with(['|', '!']) {
        format!("{{source=\"logcli\"}} {given}")
    } else {
        given.to_owned()
    };
    let Expr::Log(mut expr) = query::logql::parse(&text).map_err(|e| e.to_string())? else {
        return Err(format!("--stdin answers log queries only, not {given:?}"));
    };
    expr.matchers.clear();
    let around = Surroundings {
        now: now(),
        zone: zone(m),
    };
    let mut tailer = Tailer::new(&expr, around).map_err(|e| e.to_string())?;
    let printer = Printer::new(m);
    printer.explain();
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        let wrong = |e: std::io::Error| format!("standard input: {e}");
        let read = std::io::Read::take(&mut input, LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if read.map_err(wrong)? == 0 {
            return Ok(());
        }
        let end = line.len() - usize::from(line.last() == Some(&b'\n'));
        let mut batch = PushBatch::new();
        batch.stream(Labels::empty());
        batch.entry(now(), &line[..end], &Labels::empty());
        let found: Vec<Entry> = tailer.batch(&batch).iter().flat_map(shown).collect();
        printer.entries(&found, &Shown::new());
    }
}

fn shown(s: &query::logql::eval::OutStream) -> Vec<Entry> {
    let pairs = s.labels.iter();
    let labels: Shown = pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let one = |e: &query::logql::eval::OutEntry| Entry {
        time: e.time,
        labels: labels.clone(),
        line: e.line.to_string(),
    };
    s.entries.iter().map(one).collect()
}
