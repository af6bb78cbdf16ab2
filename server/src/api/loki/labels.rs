//! `/labels`, `/label/<name>/values`, `/series`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use engine::logs::{ScanOptions, Selection, StreamSize, WantedLines};
use engine::model::{Labels, Matcher};

use super::tenants::{ManyTenants, TenantStreams};
use super::{Answer, Ask, Fault, Said, Tenant, in_background, params};
use crate::api::encode::JsonLabels;

/// A bare selector; anything goes, `{}` and the empty text are all streams.
pub(super) fn matchers(text: &str) -> Result<Vec<Matcher>, Fault> {
    use ::query::logql::ast::Expr;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    match ::query::logql::parse_unchecked_selectors(text)? {
        Expr::Log(l) if l.stages.is_empty() => Ok(l.matchers),
        _ => Err(Fault::bad("only label matchers are supported")),
    }
}

/// Runs `f` on what each tenant of the request has of the streams in its range.
pub(super) async fn with_streams<T: Send + 'static>(
    ask: &Ask,
    matchers: Vec<Matcher>,
    bounds: (i64, i64),
    f: impl FnOnce(&[TenantStreams<'_>]) -> T + Send + 'static,
) -> Result<T, Fault> {
    let store = ask.store.clone();
    let tenants: Vec<Tenant> = ask.tenants().cloned().collect();
    in_background(&ask.api, move |_| {
        let (start, end) = whole_ms(bounds);
        let source = ManyTenants::new(&store.logs, &tenants);
        let all: Vec<_> = source.each_tenant(&matchers, start, end).collect();
        Ok(f(&all))
    })
    .await
}

/// The index of the original knows milliseconds: the whole of the last one is in range.
fn whole_ms((start, end): (i64, i64)) -> (i64, i64) {
    (
        start.div_euclid(1_000_000) * 1_000_000,
        (end.div_euclid(1_000_000) + 1).saturating_mul(1_000_000),
    )
}

/// Hands the labels of every stream in the request's range to `visit`; streams of several tenants
/// carry the name of theirs.
async fn visit_streams<T: Default + Send + 'static>(
    ask: &Ask,
    lists: Vec<Vec<Matcher>>,
    bounds: (i64, i64),
    visit: impl Fn(&mut T, &Labels) + Send + 'static,
) -> Result<T, Fault> {
    let store = ask.store.clone();
    let tenants: Vec<Tenant> = ask.tenants().cloned().collect();
    in_background(&ask.api, move |_| {
        let (start, end) = whole_ms(bounds);
        let source = ManyTenants::new(&store.logs, &tenants);
        let mut out = T::default();
        for matchers in &lists {
            source.each_stream(matchers, start, end, &mut |labels| visit(&mut out, labels));
        }
        Ok(out)
    })
    .await
}

/// Selections with more entries than this are measured by their directories.
const MEASURED_ENTRIES_MAX: u64 = 1_000_000;

/// Entries, bytes (with structured metadata) and runs of each stream: counted when that is cheap,
/// else as the store's directories have them.
pub(super) fn measure(s: &Selection) -> Vec<StreamSize> {
    let mut sizes: Vec<StreamSize> = (0..s.len()).map(|i| s.size(i)).collect();
    if sizes.iter().map(|s| s.entries).sum::<u64>() > MEASURED_ENTRIES_MAX {
        return sizes;
    }
    let mut counted: Vec<StreamSize> = sizes
        .iter()
        .map(|s| StreamSize {
            runs: s.runs,
            ..StreamSize::default()
        })
        .collect();
    let options = ScanOptions {
        want: WantedLines::Lengths,
        metadata: true,
        ..ScanOptions::default()
    };
    let scanned = s.scan(&options, &mut |batch| {
        let sets: Vec<u64> = batch.metadata_sets.iter().map(label_bytes).collect();
        for i in 0..batch.len() {
            let Some(c) = counted.get_mut(batch.streams[i] as usize) else {
                continue;
            };
            let set = batch.metadata.get(i).and_then(|m| sets.get(*m as usize));
            c.entries += 1;
            c.bytes += batch.line_len(i) as u64 + set.copied().unwrap_or(0);
        }
        ControlFlow::Continue(())
    });
    match scanned {
        Ok(()) => sizes = counted,
        Err(e) => tracing::warn!(error = %e, "volumes are estimated"),
    }
    sizes
}

fn label_bytes(l: &Labels) -> u64 {
    l.iter().map(|(n, v)| (n.len() + v.len()) as u64).sum()
}

/// Labels of our own that are not shown.
fn hidden(name: &str) -> bool {
    matches!(name, "__stream_shard__" | "__aggregated_metric__")
}

/// `/labels`.
pub(super) async fn names(ask: Ask) -> Answer {
    let bounds = params::ordered_bounds(&ask.params)?;
    let matchers = matchers(ask.params.get("query"))?;
    let found = visit_streams(&ask, vec![matchers], bounds, |names, labels| {
        for (n, _) in labels.iter() {
            note(names, n, hidden(n));
        }
    });
    Ok(listed(&found.await?))
}

/// Adds a text to a set, unless it is `hidden`; most are there already.
fn note(set: &mut BTreeSet<String>, text: &str, hidden: bool) {
    if !hidden && !set.contains(text) {
        set.insert(text.to_owned());
    }
}

/// `/label/<name>/values`.
pub(super) async fn values(ask: Ask) -> Answer {
    let bounds = params::ordered_bounds(&ask.params)?;
    let matchers = matchers(ask.params.get("query"))?;
    let name = ask.path.clone();
    let found = visit_streams(&ask, vec![matchers], bounds, move |values, labels| {
        if let Some(v) = labels.get(&name) {
            note(values, v, false);
        }
    });
    Ok(listed(&found.await?))
}

/// A list in the envelope; an empty one is left out.
fn listed(all: &BTreeSet<String>) -> Said {
    if all.is_empty() {
        return Said::Json(b"{\"status\":\"success\"}".to_vec());
    }
    Said::data(all)
}

/// `/series`.
pub(super) async fn series(ask: Ask) -> Answer {
    let bounds = params::ordered_bounds(&ask.params)?;
    let texts = ask.params.all("match[]").chain(ask.params.all("match"));
    let mut lists = Vec::new();
    for t in texts {
        lists.push(matchers(t)?);
    }
    if lists.is_empty() {
        lists.push(Vec::new());
    }
    let found = visit_streams(
        &ask,
        lists,
        bounds,
        |series: &mut BTreeSet<Labels>, labels| {
            series.insert(labels.clone());
        },
    )
    .await?;
    let shown: Vec<JsonLabels<'_>> = found.iter().map(JsonLabels).collect();
    Ok(Said::data(&shown))
}
