//! `/series`, `/labels`, `/label/<name>/values`.

use std::sync::Arc;

use engine::budget::Watch;
use engine::metrics::SelectError;
use engine::model::METRIC_NAME;

use super::{selector, time};
use crate::api::Api;
use crate::api::call::{Answer, Call, Notes, Reply};
use crate::api::encode::{JsonLabels, to_vec};
use crate::api::error::{ApiError, ErrorKind};

/// Values of a label that are listed on the thread of the request.
const BRIEF_VALUES_MAX: u64 = 1000;

/// What cut lists say.
const TRUNCATED: &str = "results truncated due to limit";

/// Runs storage work where it may block.
///
/// # Errors
/// The work's own, or that it did not end properly.
pub(super) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(r) => r.map_err(Into::into),
        Err(_) => Err(ApiError::new(
            ErrorKind::Internal,
            "the request ended unexpectedly",
        )),
    }
}

/// As [`blocking`] for reads of the metric store: their memory is counted with that of queries.
///
/// # Errors
/// The work's own, and that it needs too much.
pub(super) async fn reading<T, E>(
    api: &Api,
    work: impl FnOnce(&dyn Watch) -> Result<T, E> + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    let pool = Arc::clone(&api.query_memory);
    blocking(move || {
        let share = pool.share();
        work(&share.thread())
    })
    .await
}

fn cut<T>(list: &mut Vec<T>, limit: usize) -> Notes {
    let mut notes = Notes::default();
    if limit > 0 && list.len() > limit {
        list.truncate(limit);
        notes.warnings.push(TRUNCATED.into());
    }
    notes
}

/// Label sets of matching series.
pub(super) async fn series(call: Call) -> Answer {
    let limit = time::limit(&call.params)?;
    if call.params.first("match[]").is_none() {
        return Err(ApiError::bad("no match[] parameter provided"));
    }
    let (start, end) = time::range(&call.params)?;
    let selectors = selector::selectors(&call.params)?;
    let (db, tenant) = (call.db()?, call.api.tenant());
    let (text, notes) = reading(&call.api, move |watch| {
        let mut found = db.series(tenant, &selectors, start, end, watch)?;
        let notes = cut(&mut found, limit);
        // The text is about as long as the labels, and grows by doubling.
        let bytes: usize = found.iter().map(|l| 2 * l.as_bytes().len()).sum();
        watch.go_on(bytes)?;
        let list: Vec<JsonLabels<'_>> = found.iter().map(JsonLabels).collect();
        Ok::<_, SelectError>((to_vec(&list), notes))
    })
    .await?;
    Ok(Reply::Data(text, notes))
}

/// Label names.
pub(super) async fn names(call: Call) -> Answer {
    let limit = time::limit(&call.params)?;
    let (start, end) = time::range(&call.params)?;
    let selectors = selector::selectors(&call.params)?;
    let (db, tenant) = (call.db()?, call.api.tenant());
    let mut found = blocking(move || db.label_names(tenant, &selectors, start, end)).await?;
    let notes = cut(&mut found, limit);
    Ok(Reply::Data(to_vec(&found), notes))
}

/// Values of one label.
pub(super) async fn values(call: Call) -> Answer {
    let name = unescape_name(&call.path);
    if name.is_empty() {
        return Err(ApiError::bad(format!(
            "invalid label name: {:?}",
            call.path
        )));
    }
    let limit = time::limit(&call.params)?;
    let (start, end) = time::range(&call.params)?;
    let selectors = selector::selectors(&call.params)?;
    let (db, tenant) = (call.db()?, call.api.tenant());
    let bound = db.values_bound(tenant, &name, start, end);
    let brief = selectors.is_empty() && bound.is_some_and(|n| n <= BRIEF_VALUES_MAX);
    let find = move || db.label_values(tenant, &name, &selectors, start, end);
    // Handing so few to another thread and back takes longer than finding them.
    let mut found = if brief {
        find()?
    } else {
        blocking(find).await?
    };
    let notes = cut(&mut found, limit);
    Ok(Reply::Data(to_vec(&found), notes))
}

/// Undoes the escaping of names in URLs: `U__a_2e_b` is `a.b`. What is not a valid escape is the
/// name itself.
fn unescape_name(name: &str) -> String {
    let Some(escaped) = name.strip_prefix("U__") else {
        return name.to_owned();
    };
    let mut out = String::new();
    let mut rest = escaped;
    while let Some(i) = rest.find('_') {
        out.push_str(&rest[..i]);
        rest = &rest[i + 1..];
        if let Some(r) = rest.strip_prefix('_') {
            out.push('_');
            rest = r;
            continue;
        }
        let code = rest
            .find('_')
            .filter(|n| (1..=6).contains(n))
            .and_then(|n| {
                let c = u32::from_str_radix(&rest[..n], 16)
                    .ok()
                    .and_then(char::from_u32);
                c.map(|c| (c, n))
            });
        let Some((c, n)) = code else {
            return name.to_owned();
        };
        out.push(c);
        rest = &rest[n + 1..];
    }
    out.push_str(rest);
    out
}

/// The metric name of a series, for those that sort by it.
pub(super) fn metric_name(labels: &engine::model::Labels) -> &str {
    labels.get(METRIC_NAME).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::unescape_name;

    #[test]
    fn escaped_names_are_undone() {
        for (name, want) in [
            ("job", "job"),
            ("U__a_2e_b", "a.b"),
            ("U__a__b", "a_b"),
            ("U___1f600_", "😀"),
            ("U__a_zz_b", "U__a_zz_b"),
            ("U__a_2e", "U__a_2e"),
        ] {
            assert_eq!(unescape_name(name), want, "{name}");
        }
    }
}
