//! Request bodies: read into one buffer, within a limit and a time, buffers reused.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// Larger than the route takes: answer 413.
    #[error("request body exceeds the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The client did not send it in time: answer 408.
    #[error("request body was not received in time")]
    Timeout,
    /// The connection broke: nobody will read the answer.
    #[error("reading the request body: {0}")]
    Broken(String),
}

/// Reads `body` into `out` (cleared first).
///
/// # Errors
/// See [`BodyError`]. What a client declares as length allocates nothing (HTTP2).
pub(crate) async fn read(
    body: Body,
    limit: usize,
    timeout: Duration,
    out: &mut Vec<u8>,
) -> Result<(), BodyError> {
    out.clear();
    // What says that it is too large need not be read.
    if hyper::body::Body::size_hint(&body).lower() > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    let collect = async {
        let mut body = body;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| BodyError::Broken(e.to_string()))?;
            if let Some(data) = frame.data_ref() {
                if out.len() + data.len() > limit {
                    return Err(BodyError::TooLarge { limit });
                }
                if out.capacity() < out.len() + data.len() {
                    // Doubling, but not past the limit.
                    let wanted = (out.len() + data.len()).max(2 * out.capacity()).min(limit);
                    out.reserve_exact(wanted - out.len());
                }
                out.extend_from_slice(data);
            }
        }
        Ok(())
    };
    tokio::time::timeout(timeout, collect)
        .await
        .unwrap_or(Err(BodyError::Timeout))
}

/// Objects that are used for one request and then by the next one.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    free: Mutex<Vec<T>>,
    /// More than this many are not kept.
    keep: usize,
}

impl<T: Default> Pool<T> {
    /// A pool that keeps at most `keep` objects.
    pub(crate) const fn new(keep: usize) -> Self {
        Self {
            free: Mutex::new(Vec::new()),
            keep,
        }
    }

    /// An object, used or new.
    pub(crate) fn take(&self) -> Pooled<'_, T> {
        Pooled {
            value: self.free.lock().pop().unwrap_or_default(),
            pool: self,
            discard: false,
        }
    }
}

/// An object on loan; goes back when dropped.
#[derive(Debug)]
pub(crate) struct Pooled<'p, T: Default> {
    value: T,
    pool: &'p Pool<T>,
    discard: bool,
}

impl<T: Default> Pooled<'_, T> {
    /// The object has grown too large to be kept.
    pub(crate) fn discard(&mut self) {
        self.discard = true;
    }
}

impl<T: Default> Deref for Pooled<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Default> DerefMut for Pooled<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Default> Drop for Pooled<'_, T> {
    fn drop(&mut self) {
        if !self.discard {
            let mut free = self.pool.free.lock();
            if free.len() < self.pool.keep {
                free.push(std::mem::take(&mut self.value));
            }
        }
    }
}
