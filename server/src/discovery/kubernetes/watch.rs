//! Follows the objects of one kind in one scope: a list in pages, then a watch from its version.
//!
//! Invariants
//! - What is sent on is always a state that the cluster was in: a list is sent as a whole, then
//!   single changes in their order.
//! - A watch that ends is resumed from the last version seen, bookmarks included; only a version
//!   that the server no longer has (410) makes a new list.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::api::{ApiError, Door, refused};
use super::object::{Kind, Object};
use crate::discovery::notice::Notice;
use crate::discovery::{answer, error_text};

/// Objects of a page, the size that other clients of the API ask for.
const PAGE_OBJECTS: &str = "500";
/// Largest page.
const PAGE_BYTES_MAX: usize = 256 << 20;
/// Most objects of one kind and scope: more than the 150,000 pods that a cluster may have.
const OBJECTS_MAX: usize = 200_000;
/// Largest event: the cluster stores objects of 1.5 MiB at most.
const EVENT_BYTES_MAX: usize = 16 << 20;
/// A page takes no longer than this.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the server keeps a watch open, so that a forgotten one ends.
const WATCH_SECONDS: u64 = 300;
/// A watch that ends sooner counts as a failure: it must not be asked for again at once.
const WATCH_SHORT: Duration = Duration::from_secs(1);

/// What is followed.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    pub(super) kind: Kind,
    /// One namespace, or empty for the whole cluster.
    pub(super) namespace: String,
    pub(super) label_selector: String,
    pub(super) field_selector: String,
}

/// What has become of it.
pub(super) enum Change {
    /// All objects of the scope.
    All(Kind, String, Vec<Object>),
    /// A new or changed object.
    Put(Kind, Box<Object>),
    /// An object is gone, by its key.
    Gone(Kind, String),
}

/// Follows `scope` until nobody listens any more.
pub(super) async fn follow(
    door: Arc<Door>,
    scope: Scope,
    mut notice: Notice,
    out: mpsc::Sender<Change>,
) {
    let path = path(&scope);
    let follower = Follower { door, scope, path };
    loop {
        let mut version = match follower.list().await {
            Ok((objects, version)) => {
                notice.fine();
                let scope = &follower.scope;
                let all = Change::All(scope.kind, scope.namespace.clone(), objects);
                if out.send(all).await.is_err() {
                    return;
                }
                version
            }
            Err(e) => {
                notice.say(&e.to_string());
                notice.pause().await;
                continue;
            }
        };
        loop {
            let begin = Instant::now();
            match follower.watch(&mut version, &mut notice, &out).await {
                Ok(Ended::Nobody) => return,
                Ok(Ended::Server) if begin.elapsed() >= WATCH_SHORT => {}
                Ok(Ended::Server) => notice.pause().await,
                Err(e) if e.gone() => {
                    tracing::debug!(path = follower.path, error = %e, "listing again");
                    notice.pause().await;
                    break;
                }
                Err(e) => {
                    notice.say(&e.to_string());
                    notice.pause().await;
                    // After an event that was not understood nothing is certain.
                    if matches!(e, ApiError::Answer(_)) {
                        break;
                    }
                }
            }
        }
    }
}

fn path(scope: &Scope) -> String {
    let (root, name) = scope.kind.path();
    if scope.namespace.is_empty() {
        format!("{root}/{name}")
    } else {
        format!("{root}/namespaces/{}/{name}", scope.namespace)
    }
}

/// Why a watch came to its end.
enum Ended {
    /// The server closed it.
    Server,
    /// Nobody wants its changes any more.
    Nobody,
}

struct Follower {
    door: Arc<Door>,
    scope: Scope,
    path: String,
}

impl Follower {
    fn selectors(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("labelSelector", self.scope.label_selector.as_str()),
            ("fieldSelector", self.scope.field_selector.as_str()),
        ]
        .into_iter()
        .filter(|(_, v)| !v.is_empty())
    }

    /// All objects, with the version at which they were so.
    async fn list(&self) -> Result<(Vec<Object>, String), ApiError> {
        let mut objects = Vec::new();
        let mut more = String::new();
        loop {
            let mut query = vec![("limit", PAGE_OBJECTS)];
            if !more.is_empty() {
                query.push(("continue", &more));
            }
            query.extend(self.selectors());
            let mut page = self.door.get(&self.path, &query, LIST_TIMEOUT).await?;
            let body = answer::read(&mut page, PAGE_BYTES_MAX).await;
            let body = body.map_err(ApiError::Failed)?;
            let page = self.scope.kind.page(&body);
            let page = page.map_err(|e| ApiError::Answer(e.to_string()))?;
            objects.extend(page.objects.into_iter().map(|mut o| {
                o.take_version();
                o
            }));
            if objects.len() > OBJECTS_MAX {
                return Err(ApiError::Answer(format!(
                    "more than {OBJECTS_MAX} objects: narrow them down by namespaces or selectors"
                )));
            }
            if page.more.is_empty() {
                return Ok((objects, page.version));
            }
            more = page.more;
        }
    }

    /// Sends changes on from `version`, which moves along.
    async fn watch(
        &self,
        version: &mut String,
        notice: &mut Notice,
        out: &mpsc::Sender<Change>,
    ) -> Result<Ended, ApiError> {
        let seconds = WATCH_SECONDS.to_string();
        let from = version.clone();
        let mut query = vec![
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", from.as_str()),
            ("timeoutSeconds", seconds.as_str()),
        ];
        query.extend(self.selectors());
        let patience = Duration::from_secs(WATCH_SECONDS) + LIST_TIMEOUT;
        let mut answer = self.door.get(&self.path, &query, patience).await?;
        notice.fine();
        let mut rest: Vec<u8> = Vec::new();
        while let Some(piece) = next(&mut answer).await? {
            let searched = rest.len();
            rest.extend_from_slice(&piece);
            let (mut begin, mut from) = (0, searched);
            while let Some(i) = rest[from..].iter().position(|b| *b == b'\n') {
                let line = &rest[begin..from + i];
                if !line.trim_ascii().is_empty()
                    && let Some(change) = self.event(line, version)?
                    && out.send(change).await.is_err()
                {
                    return Ok(Ended::Nobody);
                }
                begin = from + i + 1;
                from = begin;
            }
            rest.drain(..begin);
            if rest.len() > EVENT_BYTES_MAX {
                let e = format!("an event is larger than {EVENT_BYTES_MAX} bytes");
                return Err(ApiError::Answer(e));
            }
        }
        Ok(Ended::Server)
    }

    fn event(&self, line: &[u8], version: &mut String) -> Result<Option<Change>, ApiError> {
        #[derive(Deserialize)]
        struct Type {
            r#type: String,
        }
        #[derive(Deserialize)]
        struct Failed {
            object: serde_json::Value,
        }
        let wrong = |e: serde_json::Error| ApiError::Answer(e.to_string());
        let Type { r#type } = serde_json::from_slice(line).map_err(wrong)?;
        let kind = self.scope.kind;
        if r#type == "ERROR" {
            let Failed { object } = serde_json::from_slice(line).map_err(wrong)?;
            return Err(refused(500, object.to_string().as_bytes()));
        }
        let mut object = kind.event(line).map_err(wrong)?;
        let new = object.take_version();
        if !new.is_empty() {
            *version = new;
        }
        Ok(match r#type.as_str() {
            "ADDED" | "MODIFIED" => Some(Change::Put(kind, Box::new(object))),
            "DELETED" => Some(Change::Gone(kind, object.meta().key())),
            // Bookmarks have moved the version; what is not known yet concerns nobody.
            _ => None,
        })
    }
}

async fn next(answer: &mut reqwest::Response) -> Result<Option<bytes::Bytes>, ApiError> {
    let piece = answer.chunk().await;
    piece.map_err(|e| ApiError::Failed(format!("the answer was cut off: {}", error_text(&e))))
}
