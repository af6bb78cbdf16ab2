//! OpenTelemetry's OTLP, metrics and logs: the export requests in protobuf and JSON, and their
//! translation to series under Prometheus' names and to streams as Loki's.
//!
//! Owns: the messages, the translation strategies, `target_info`.
//! Knows nothing of: HTTP, configuration files, which samples the store accepts.

mod decode;
mod json;
pub mod logs;
pub mod message;
pub mod metrics;
mod names;
#[cfg(test)]
mod tests;

pub use decode::decode_protobuf;
pub use json::decode_json;
pub use metrics::{Settings, Strategy, TranslateError, Translated, translate};

/// Why a body is not a request: answer 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

impl From<crate::wire::proto::ProtoError> for DecodeError {
    fn from(e: crate::wire::proto::ProtoError) -> Self {
        Self(e.to_string())
    }
}

/// Data points, exemplars, attributes and other parts of one request at most; keeps the decoded
/// form within a few hundred MiB whatever the body says.
pub const PARTS_MAX: usize = 2_000_000;
