//! Which series `limit_ratio` keeps: a fixed place between 0 and 1 by the hash of the labels, the
//! same in every Prometheus.

use engine::model::Labels;

/// Hash of the labels as a fraction of the largest hash.
fn offset(labels: &Labels) -> f64 {
    let mut packed = Vec::with_capacity(labels.as_bytes().len());
    for (n, v) in labels {
        for s in [n, v] {
            // Lengths below 255 take one byte, longer ones a marker and three.
            match u8::try_from(s.len()) {
                Ok(len) if len < 255 => packed.push(len),
                _ => {
                    packed.push(255);
                    packed.extend_from_slice(&(s.len() as u32).to_le_bytes()[..3]);
                }
            }
            packed.extend_from_slice(s.as_bytes());
        }
    }
    xxhash_rust::xxh64::xxh64(&packed, 0) as f64 / u64::MAX as f64
}

/// Whether a share of `ratio` of all series contains this one. A negative ratio takes the
/// complement of what `1 + ratio` takes.
pub(super) fn keeps(ratio: f64, labels: &Labels) -> bool {
    let at = offset(labels);
    if ratio >= 0.0 {
        at < ratio
    } else {
        at >= 1.0 + ratio
    }
}
