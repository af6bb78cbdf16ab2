//! How many requests a port answers at a time, and how long each may take.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use hyper::{Method, StatusCode};
use tokio::sync::Semaphore;

use crate::http::plain;

/// GET requests at a time when the flag says nothing.
const READS_MIN: usize = 8;

/// What a port allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestLimits {
    /// GET requests at a time; 0 for as many as there are processors, at least [`READS_MIN`].
    pub(crate) reads: usize,
    /// How long an answer may take; zero for any time.
    pub(crate) timeout: Duration,
}

/// Adds the limits to routes. Readers beyond the limit get 503 at once: one that waits would only
/// make the queue longer.
pub(super) fn limited<S: Clone + Send + Sync + 'static>(
    routes: Router<S>,
    limits: RequestLimits,
) -> Router<S> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let reads = match limits.reads {
        0 => cores.max(READS_MIN),
        n => n,
    };
    let places = Arc::new(Semaphore::new(reads));
    routes.layer(from_fn(move |request: Request<Body>, next: Next| {
        let places = places.clone();
        async move {
            let place = match *request.method() {
                Method::GET => match places.try_acquire() {
                    Ok(p) => Some(p),
                    Err(_) => return busy(reads),
                },
                _ => None,
            };
            let answer = next.run(request);
            let answer = match limits.timeout.is_zero() {
                true => answer.await,
                false => tokio::time::timeout(limits.timeout, answer)
                    .await
                    .unwrap_or_else(|_| late(limits.timeout)),
            };
            drop(place);
            answer
        }
    }))
}

fn busy(reads: usize) -> Response {
    plain(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("Limit of concurrent GET requests reached ({reads}), try again later.\n"),
    )
}

fn late(timeout: Duration) -> Response {
    let shown = query::text::go_duration::format(i64::try_from(timeout.as_nanos()).unwrap_or(0));
    plain(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("Exceeded configured timeout of {shown}.\n"),
    )
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    fn slow(reads: usize, timeout: Duration) -> (Router, Arc<tokio::sync::Notify>) {
        let go = Arc::new(tokio::sync::Notify::new());
        let wait = go.clone();
        let handler = move || {
            let wait = wait.clone();
            async move { wait.notified().await }
        };
        let routes = Router::new().route("/", get(handler.clone()).post(handler));
        (limited(routes, RequestLimits { reads, timeout }), go)
    }

    async fn call(r: &Router, method: Method) -> StatusCode {
        let request = Request::builder().method(method).uri("/");
        let request = request.body(Body::empty()).unwrap();
        r.clone().oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn readers_beyond_the_limit_are_sent_away() {
        let (routes, go) = slow(1, Duration::ZERO);
        let first = tokio::spawn({
            let routes = routes.clone();
            async move { call(&routes, Method::GET).await }
        });
        // The first one takes the only place before others ask.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        while !first.is_finished() {
            // Until the first one holds the only place, others are answered as it is.
            let other = tokio::time::timeout(Duration::from_millis(20), call(&routes, Method::GET));
            if other.await == Ok(StatusCode::SERVICE_UNAVAILABLE) {
                break;
            }
        }
        let post = tokio::spawn(async move { call(&routes, Method::POST).await });
        while !(first.is_finished() && post.is_finished()) {
            go.notify_one();
            tokio::task::yield_now().await;
        }
        assert_eq!(first.await.unwrap(), StatusCode::OK);
        assert_eq!(post.await.unwrap(), StatusCode::OK);
    }

    #[tokio::test]
    async fn slow_answers_are_cut_off() {
        let (routes, _go) = slow(0, Duration::from_millis(5));
        let status = call(&routes, Method::GET).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
}
