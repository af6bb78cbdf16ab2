//! Every limit a user can meet: name, value, reason. Error texts name the value.

/// Largest configuration file. Real ones of big installations are a few hundred KiB.
pub(crate) const CONFIG_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Most YAML nodes of one document, aliases expanded: bounds an alias bomb to a few ms.
/// A generated file with 10,000 static targets needs about 30,000.
pub(crate) const CONFIG_NODES_MAX: usize = 200_000;
/// Deepest nesting of one document.
pub(crate) const CONFIG_DEPTH_MAX: usize = 64;
/// Most files that the patterns of one document may name.
pub(crate) const CONFIG_GLOB_FILES_MAX: usize = 10_000;

/// What one write request may cost. Defaults: what remote write senders of the family stay below.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteLimits {
    /// Bytes of a body as sent.
    pub(crate) body_bytes: usize,
    /// Bytes after decompression.
    pub(crate) decoded_bytes: usize,
    /// Series.
    pub(crate) series: usize,
    /// Samples, histograms included.
    pub(crate) samples: usize,
}

/// What a tenant and a series may cost; 0 for no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeriesLimits {
    /// Series of a tenant in memory.
    pub(crate) series: u64,
    /// Labels of a series.
    pub(crate) labels: usize,
    /// Bytes of a label name.
    pub(crate) name_bytes: usize,
    /// Bytes of a label value.
    pub(crate) value_bytes: usize,
}
/// Largest request body of a remote read: matchers and hints.
pub(crate) const READ_BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Largest push of lines as sent; Loki's limit.
pub(crate) const PUSH_BODY_BYTES_MAX: usize = 100 * 1024 * 1024;
/// Largest push of lines after decompression. Loki takes 5,000 MiB; no sender makes more than a
/// few, and this much has to fit into memory several times.
pub(crate) const PUSH_DECODED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Largest body of a form post (queries with long lists of matchers).
pub(crate) const FORM_BODY_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Largest header block of a request.
pub(crate) const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Most headers of a request.
pub(crate) const HEADERS_MAX: usize = 100;
/// Streams one HTTP/2 connection may have open.
pub(crate) const HTTP2_STREAMS_MAX: u32 = 250;
/// Points a range query may ask for per series.
pub(crate) const RANGE_POINTS_MAX: i64 = 11_000;
/// Longest query text.
pub(crate) const QUERY_BYTES_MAX: usize = 64 * 1024;
/// Warnings and infos of each kind in one answer.
pub(crate) const ANNOTATIONS_MAX: usize = 10;
/// Largest post of alerts.
pub(crate) const ALERTS_BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most alerts of one post; the family's senders post 256 at a time.
pub(crate) const ALERTS_PER_POST_MAX: usize = 100_000;
/// Listeners of `/api/v1/notifications/live`.
pub(crate) const NOTIFICATION_LISTENERS_MAX: usize = 16;
