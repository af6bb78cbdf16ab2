//! The sockets: one listener for everything that comes in, one client builder for what goes out.
//!
//! Owns: connection limits, timeouts, TLS, users of the web configuration file, request bodies,
//! compression of answers, graceful drain, and what proves us to others (tokens, signatures).
//! Knows nothing of: which routes exist, what bodies mean.
//!
//! Invariants
//! - HTTP1  Every wait for a client is bounded: for headers, for a body, for a TLS handshake.
//! - HTTP2  No body is read past its limit; what a client declares allocates nothing.
//! - HTTP3  With users configured, no request reaches a route without a valid password.
//!
//! Read next: `listener.rs`, `guard.rs`, `body.rs`.

pub(crate) mod body;
pub(crate) mod client;
mod compress;
mod guard;
mod listener;
mod oauth2;
mod params;
mod server_name;
pub(crate) mod sigv4;
mod stream;
mod tls;
pub(crate) mod tls_client;

pub(crate) use compress::Coding;
pub(crate) use guard::{Guard, credentials};
pub(crate) use listener::{Listener, ListenerOptions, bind};
pub(crate) use params::Params;
pub(crate) use stream::{ChunkSource, body_of, finish};
pub(crate) use tls::server_config as tls_settings;

use axum::body::Body;
use axum::response::Response;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};

/// `text/plain` as the family answers it, errors included.
pub(crate) fn plain(status: StatusCode, text: impl Into<String>) -> Response {
    let mut r = Response::new(Body::from(text.into()));
    *r.status_mut() = status;
    r.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    r.headers_mut().insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    r
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut r = Response::new(Body::empty());
    *r.status_mut() = status;
    r
}
