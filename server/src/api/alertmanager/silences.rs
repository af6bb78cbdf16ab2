//! `/silences`, `/silence/{id}`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use hyper::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Answer, Ask, Fault, Said, document, instant, shown};
use crate::alerting::{Condition, Silence, SilenceError, State};
use crate::config::alertmanager::{MatchOp, Matcher};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostedMatcher {
    name: Option<String>,
    value: Option<String>,
    is_regex: Option<bool>,
    is_equal: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    #[serde(default)]
    id: Option<String>,
    matchers: Option<Vec<PostedMatcher>>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    created_by: Option<String>,
    comment: Option<String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

fn wanted<T>(v: Option<T>, field: &str) -> Result<T, Fault> {
    v.ok_or_else(|| Fault::required(field))
}

impl Posted {
    fn silence(self) -> Result<Silence, Fault> {
        let matchers = wanted(self.matchers, "matchers")?;
        if matchers.is_empty() {
            return Err(Fault::Shape(
                StatusCode::UNPROCESSABLE_ENTITY,
                612,
                "matchers in body should have at least 1 items".into(),
            ));
        }
        let matchers = matchers.into_iter().enumerate().map(|(i, m)| {
            let field = |name: &str| format!("matchers.{i}.{name}");
            Ok(Condition {
                name: wanted(m.name, &field("name"))?,
                value: wanted(m.value, &field("value"))?,
                is_regex: wanted(m.is_regex, &field("isRegex"))?,
                is_equal: m.is_equal.unwrap_or(true),
            })
        });
        let time = |text: Option<String>, field: &str| {
            let t = instant(field, &wanted(text, field)?)?;
            Ok::<_, Fault>(t.unwrap_or(Timestamp::UNIX_EPOCH))
        };
        Ok(Silence {
            id: self.id.unwrap_or_default(),
            matchers: matchers.collect::<Result<_, Fault>>()?,
            starts_at: time(self.starts_at, "startsAt")?,
            ends_at: time(self.ends_at, "endsAt")?,
            updated_at: Timestamp::UNIX_EPOCH,
            created_by: wanted(self.created_by, "createdBy")?,
            comment: wanted(self.comment, "comment")?,
            annotations: self.annotations.unwrap_or_default(),
        })
    }
}

fn fault(e: SilenceError) -> Fault {
    let status = match &e {
        SilenceError::Unknown => StatusCode::NOT_FOUND,
        SilenceError::Invalid(_) => StatusCode::BAD_REQUEST,
        SilenceError::NotKept(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Fault::Text(status, e.to_string())
}

/// Creates or changes one.
pub(super) async fn post(ask: Ask) -> Answer {
    let posted: Posted = document("silence", &ask.body)?;
    let id = ask.service.set_silence(posted.silence()?).await;
    let id = id.map_err(fault)?;
    Ok(Said::json(&serde_json::json!({ "silenceID": id })))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownMatcher<'a> {
    is_equal: bool,
    is_regex: bool,
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct ShownState {
    state: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    id: &'a str,
    status: ShownState,
    updated_at: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    comment: &'a str,
    created_by: &'a str,
    ends_at: String,
    matchers: Vec<ShownMatcher<'a>>,
    starts_at: String,
}

fn show(s: &Silence, now: Timestamp) -> Shown<'_> {
    let matchers = s.matchers.iter().map(|c| ShownMatcher {
        is_equal: c.is_equal,
        is_regex: c.is_regex,
        name: &c.name,
        value: &c.value,
    });
    Shown {
        id: &s.id,
        status: ShownState {
            state: match s.state(now) {
                State::Active => "active",
                State::Pending => "pending",
                State::Expired => "expired",
            },
        },
        updated_at: shown(s.updated_at),
        annotations: &s.annotations,
        comment: &s.comment,
        created_by: &s.created_by,
        ends_at: shown(s.ends_at),
        matchers: matchers.collect(),
        starts_at: shown(s.starts_at),
    }
}

/// Whether a silence holds that very condition.
fn has(s: &Silence, m: &Matcher) -> bool {
    s.matchers.iter().any(|c| {
        c.name == m.name && c.value == m.value && MatchOp::of(c.is_regex, c.is_equal) == m.op
    })
}

/// All of them: those in force by their end, those to come by their beginning, then those that
/// have ended, the last one first.
pub(super) async fn list(ask: Ask) -> Answer {
    let filter = ask.matchers("filter")?;
    let now = Timestamp::now();
    let states = (ask.on("active"), ask.on("pending"), ask.on("expired"));
    let mut all = ask.service.silences();
    all.retain(|s| {
        let wanted = match s.state(now) {
            State::Active => states.0,
            State::Pending => states.1,
            State::Expired => states.2,
        };
        wanted && filter.iter().all(|m| has(s, m))
    });
    all.sort_by_key(|s| match s.state(now) {
        State::Active => (State::Active, Some(s.ends_at), None),
        State::Pending => (State::Pending, Some(s.starts_at), None),
        State::Expired => (State::Expired, None, Some(Reverse(s.ends_at))),
    });
    let all: Vec<_> = all.iter().map(|s| show(s, now)).collect();
    Ok(Said::json(&all))
}

fn id(ask: &Ask) -> Result<&str, Fault> {
    let id = ask.path.as_str();
    match uuid::Uuid::try_parse(id) {
        Ok(_) => Ok(id),
        Err(_) => Err(Fault::Shape(
            StatusCode::UNPROCESSABLE_ENTITY,
            601,
            format!("silenceID in path must be of type uuid: {id:?}"),
        )),
    }
}

/// One of them.
pub(super) async fn one(ask: Ask) -> Answer {
    match ask.service.silence(id(&ask)?) {
        Some(s) => Ok(Said::json(&show(&s, Timestamp::now()))),
        None => Err(Fault::Bare(StatusCode::NOT_FOUND)),
    }
}

/// Ends one.
pub(super) async fn expire(ask: Ask) -> Answer {
    match ask.service.expire_silence(id(&ask)?).await {
        Ok(()) => Ok(Said::Nothing),
        Err(SilenceError::Unknown) => Err(Fault::Bare(StatusCode::NOT_FOUND)),
        Err(e) => Err(fault(e)),
    }
}
