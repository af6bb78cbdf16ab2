//! Errors of the HTTP API.

use axum::response::Response;
use engine::budget::Stop;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};

/// The `errorType` of an answer, with its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// A parameter or the query is wrong.
    BadData,
    /// The query failed while it ran.
    Execution,
    /// The client went away.
    Canceled,
    /// The query took too long.
    Timeout,
    /// Storage failed.
    Internal,
    /// Something is switched off or not there yet.
    Unavailable,
}

impl ErrorKind {
    /// The word in the envelope.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    /// The status code.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Canceled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            // Clients of the family know 500 here, also for `unavailable`.
            Self::Internal | Self::Unavailable => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    /// Its type.
    pub(crate) kind: ErrorKind,
    /// Its text.
    pub(crate) text: String,
}

impl ApiError {
    /// An error of `kind`.
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind, text }
    }

    /// `invalid parameter "NAME": TEXT`.
    pub(crate) fn parameter(name: &str, text: impl std::fmt::Display) -> Self {
        Self::new(
            ErrorKind::BadData,
            format!("invalid parameter {name:?}: {text}"),
        )
    }

    /// Something is wrong with the request.
    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadData, text)
    }

    /// The envelope.
    pub(crate) fn into_response(self) -> Response {
        #[derive(serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Envelope<'a> {
            status: &'static str,
            error_type: &'static str,
            error: &'a str,
        }
        let body = super::encode::to_vec(&Envelope {
            status: "error",
            error_type: self.kind.word(),
            error: &self.text,
        });
        let mut r = Response::new(body.into());
        *r.status_mut() = self.kind.status();
        r.headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        r
    }
}

impl From<engine::metrics::SelectError> for ApiError {
    fn from(e: engine::metrics::SelectError) -> Self {
        use engine::metrics::SelectError as E;
        let kind = match &e {
            E::Stopped(Stop::Canceled) => ErrorKind::Canceled,
            E::Stopped(Stop::TimedOut) => ErrorKind::Timeout,
            E::Stopped(_) => ErrorKind::Execution,
            _ => ErrorKind::Internal,
        };
        Self::new(kind, e.to_string())
    }
}

impl From<engine::metrics::AppendError> for ApiError {
    fn from(e: engine::metrics::AppendError) -> Self {
        Self::new(ErrorKind::Internal, e.to_string())
    }
}
