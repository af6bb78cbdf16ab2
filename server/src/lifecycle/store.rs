//! Opening, reconfiguring and closing the stores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::metrics::{Db, DbOptions, real_fs};
use engine::store::{Store, StoreOptions};
use engine::wal::{ReplayProgress, SyncMode, WalOptions};

use super::{StorageOptions, WalSync};
use crate::config::prometheus::LoadedConfig;

/// What flags and configuration say about the store, in its own units.
struct Tuning {
    retention_ms: i64,
    retention_bytes: u64,
    out_of_order_ms: i64,
}

impl Tuning {
    /// The configuration file wins over the flags, as in Prometheus.
    fn new(storage: &StorageOptions, config: &LoadedConfig) -> Self {
        let tsdb = &config.document.storage.tsdb;
        let pick = |file: i64, flag: i64| if file > 0 { file } else { flag };
        let size = tsdb.retention.size.0;
        let size = if size > 0 {
            size
        } else {
            storage.retention_size.0
        };
        let share = share_of_disk(&storage.dir, tsdb.retention.percentage);
        Self {
            retention_ms: pick(tsdb.retention.time.as_ms(), storage.retention_time.as_ms()),
            // The tighter of the two; 0 = none.
            retention_bytes: match (size, share) {
                (0, b) | (b, 0) => b,
                (a, b) => a.min(b),
            },
            out_of_order_ms: tsdb.out_of_order_time_window.as_ms(),
        }
    }
}

/// `percent` of the size of the disk that holds `dir`, bytes; 0 when it cannot be asked.
fn share_of_disk(dir: &std::path::Path, percent: f64) -> u64 {
    if percent <= 0.0 {
        return 0;
    }
    // The directory may not be there yet; its disk is that of the nearest one above.
    let known = dir.ancestors().find_map(|d| {
        let d = if d.as_os_str().is_empty() {
            std::path::Path::new(".")
        } else {
            d
        };
        rustix::fs::statvfs(d).ok()
    });
    match known {
        Some(s) => (s.f_blocks.saturating_mul(s.f_frsize) as f64 * percent / 100.0) as u64,
        None => {
            tracing::warn!(dir = %dir.display(), "the size of the disk is not known: storage.tsdb.retention.percentage has no effect");
            0
        }
    }
}

/// Opens the store; gives how long that took.
///
/// # Errors
/// One sentence that names what is wrong.
pub(super) fn open(
    storage: &StorageOptions,
    config: &LoadedConfig,
    progress: Arc<ReplayProgress>,
) -> Result<(Store, Duration), String> {
    let started = Instant::now();
    let tuning = Tuning::new(storage, config);
    let sync = match storage.wal_sync {
        WalSync::Always => SyncMode::Always,
        WalSync::Interval(d) => SyncMode::Interval(d),
        WalSync::Off => SyncMode::Off,
    };
    let options = DbOptions {
        fs: real_fs(storage.mmap),
        wal: WalOptions {
            sync,
            progress: Some(progress),
            ..WalOptions::default()
        },
        series_max: storage.limits.series,
        labels_max: storage.limits.labels,
        label_name_bytes_max: storage.limits.name_bytes,
        label_value_bytes_max: storage.limits.value_bytes,
        block_range_ms: storage.block_range.as_ms().max(1000),
        retention_ms: tuning.retention_ms,
        retention_bytes: tuning.retention_bytes,
        out_of_order_ms: tuning.out_of_order_ms,
        exemplars_max: usize::try_from(config.document.storage.exemplars.max_exemplars)
            .unwrap_or_default(),
        ..DbOptions::default()
    };
    let options = StoreOptions {
        metrics: options,
        ..StoreOptions::default()
    };
    let store = Store::open(&storage.dir, options).map_err(|e| e.to_string())?;
    report(&store.metrics);
    report_rest(&store);
    Ok((store, started.elapsed()))
}

/// Logs what recovery found.
fn report(db: &Db) {
    let r = db.recovery();
    if r.wal.records > 0 || r.wal.torn_bytes > 0 {
        tracing::info!(
            records = r.wal.records,
            segments = r.wal.segments,
            torn_bytes = r.wal.torn_bytes,
            "log replayed"
        );
    }
    for d in &r.wal.damage {
        tracing::error!(
            segment = d.segment,
            offset = d.offset,
            bytes = d.bytes,
            copy = %d.quarantined.display(),
            "damaged range of the log skipped"
        );
    }
    for b in &r.damaged_blocks {
        tracing::error!(error = %b, "damaged block moved to quarantine");
    }
    if r.damaged_sections > 0 {
        tracing::error!(
            sections = r.damaged_sections,
            "damaged parts of the checkpoint skipped"
        );
    }
    if r.manifest_rebuilt {
        tracing::error!("manifest was damaged and has been rebuilt from the files that are there");
    }
    if r.bad_records > 0 {
        tracing::error!(
            records = r.bad_records,
            "log records that could not be applied"
        );
    }
}

/// Logs what recovery found outside the metric store.
fn report_rest(store: &Store) {
    let lines = store.logs.recovery();
    for p in &lines.damaged_parts {
        tracing::error!(error = %p, "damaged log part moved to quarantine");
    }
    if lines.manifest_rebuilt {
        tracing::error!("manifest of the log store was damaged and has been rebuilt");
    }
    if lines.bad_records > 0 {
        tracing::error!(
            records = lines.bad_records,
            "log-line records that could not be applied"
        );
    }
    if store.state.corruptions() > 0 {
        tracing::error!(
            count = store.state.corruptions(),
            "damaged state tables moved to quarantine"
        );
    }
}

/// Puts changed settings in force.
pub(super) fn reconfigure(db: &Db, storage: &StorageOptions, config: &LoadedConfig) {
    let t = Tuning::new(storage, config);
    db.reconfigure(t.retention_ms, t.retention_bytes, t.out_of_order_ms);
}

/// Closes the stores: lines to parts, checkpoint, clean end of the log.
///
/// # Errors
/// Why something could not be written; the next start replays the log.
pub(super) fn close(store: &Store) -> Result<(), String> {
    store.close()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_disk_is_found_for_directories_that_are_not_there_yet() {
        let dir = std::env::temp_dir().join("not").join("there").join("yet");
        let (half, all) = (share_of_disk(&dir, 50.0), share_of_disk(&dir, 100.0));
        assert!(all > 0);
        assert!(half.abs_diff(all / 2) <= 1, "{half} of {all}");
        assert_eq!(share_of_disk(&dir, 0.0), 0);
    }
}
