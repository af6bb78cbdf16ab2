//! `/notifications`: messages to the operator.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::api::call::{Answer, Call, Reply};
use crate::api::encode::to_vec;
use crate::api::{Api, Notification};
use crate::config::limits;
use crate::http::empty;

/// Messages that are not settled.
pub(super) async fn list(call: Call) -> Answer {
    Ok(Reply::data(&call.api.notifications()))
}

/// Counts a listener as long as it lives.
struct Listening(Arc<Api>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listeners.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Live {
    /// Messages that were there before.
    pending: Vec<Notification>,
    notices: Receiver<Notification>,
    _listening: Listening,
}

/// The same as server-sent events, as they come.
pub(super) async fn live(State(api): State<Arc<Api>>) -> Response {
    let before = api.listeners.fetch_add(1, Ordering::AcqRel);
    let listening = Listening(api.clone());
    if before >= limits::NOTIFICATION_LISTENERS_MAX {
        return empty(StatusCode::NO_CONTENT);
    }
    let mut pending = api.notifications();
    pending.reverse();
    let state = Live {
        pending,
        notices: api.notices.subscribe(),
        _listening: listening,
    };
    let events = stream::unfold(state, |mut s| async move {
        let notice = match s.pending.pop() {
            Some(n) => n,
            None => loop {
                match s.notices.recv().await {
                    Ok(n) => break n,
                    // What was missed is still in the list; the next message goes on.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            },
        };
        let event = [b"data: ", to_vec(&notice).as_slice(), b"\n\n"].concat();
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(event)), s))
    });
    let mut r = Response::new(Body::from_stream(events));
    let headers = r.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    r
}
