//! The store about itself, under the names that dashboards of the family use.

use engine::metrics::{Db, DbStats, HeadStats};
use engine::model::TenantId;

use crate::telemetry::{Family, Kind, Sample, Suffix};

/// Families of the store.
pub(super) fn families(db: &Db, tenant: TenantId) -> Vec<Family> {
    let (head, stats) = (db.head_stats(tenant), db.stats());
    let mut out = head_families(&head);
    out.extend(store_families(&stats));
    let (_, last) = db.wal_segments();
    out.push(Family::single(
        "prometheus_tsdb_wal_segment_current",
        "Write log segment index that TSDB is currently writing to.",
        Kind::Gauge,
        last as f64,
    ));
    out
}

fn head_families(head: &HeadStats) -> Vec<Family> {
    let empty = head.max_t == i64::MIN;
    let ms = |t: i64| if empty { 0.0 } else { t as f64 };
    let rows: [(&str, &'static str, f64); 6] = [
        (
            "prometheus_tsdb_head_series",
            "Total number of series in the head block.",
            head.series as f64,
        ),
        (
            "prometheus_tsdb_head_chunks",
            "Total number of chunks in the head block.",
            head.chunks as f64,
        ),
        (
            "prometheus_tsdb_head_min_time",
            "Minimum time bound of the head block in milliseconds.",
            ms(head.min_t),
        ),
        (
            "prometheus_tsdb_head_max_time",
            "Maximum timestamp of the head block in milliseconds.",
            ms(head.max_t),
        ),
        (
            "prometheus_tsdb_head_min_time_seconds",
            "Minimum time bound of the head block.",
            ms(head.min_t) / 1000.0,
        ),
        (
            "prometheus_tsdb_head_max_time_seconds",
            "Maximum timestamp of the head block.",
            ms(head.max_t) / 1000.0,
        ),
    ];
    rows.map(|(name, help, v)| Family::single(name, help, Kind::Gauge, v))
        .to_vec()
}

fn store_families(s: &DbStats) -> Vec<Family> {
    use Kind::{Counter, Gauge};
    let rows: [(&str, &'static str, Kind, u64); 11] = [
        (
            "prometheus_tsdb_head_samples_appended_total",
            "Total number of appended samples.",
            Counter,
            s.samples_appended,
        ),
        (
            "prometheus_tsdb_compactions_total",
            "Total number of blocks that were cut or merged.",
            Counter,
            s.cuts + s.merges,
        ),
        (
            "prometheus_tsdb_compactions_failed_total",
            "Total number of cuts, merges and checkpoints that failed.",
            Counter,
            s.failures,
        ),
        (
            "prometheus_tsdb_checkpoint_creations_total",
            "Total number of checkpoint creations attempted.",
            Counter,
            s.checkpoints,
        ),
        (
            "prometheus_tsdb_time_retentions_total",
            "The number of blocks that were deleted because of retention.",
            Counter,
            s.dropped_blocks,
        ),
        (
            "prometheus_tsdb_blocks_loaded",
            "Number of currently loaded data blocks.",
            Gauge,
            s.blocks,
        ),
        (
            "prometheus_tsdb_storage_blocks_bytes",
            "The number of bytes that are currently used for local storage by all blocks.",
            Gauge,
            s.block_bytes,
        ),
        (
            "sextant_tsdb_checkpoint_bytes",
            "Size of the checkpoint.",
            Gauge,
            s.checkpoint_bytes,
        ),
        (
            "prometheus_tsdb_wal_corruptions_total",
            "Total number of damaged things found at start.",
            Counter,
            s.corruptions,
        ),
        (
            "prometheus_tsdb_wal_storage_size_bytes",
            "Size of the write log directory.",
            Gauge,
            s.wal.disk_bytes,
        ),
        (
            "sextant_tsdb_wal_bytes_total",
            "Bytes appended to the write log.",
            Counter,
            s.wal.bytes,
        ),
    ];
    let single = |(name, help, kind, v): (&str, &'static str, Kind, u64)| {
        Family::single(name, help, kind, v as f64)
    };
    let mut out = rows.map(single).to_vec();
    let part = |suffix, value| Sample {
        suffix,
        labels: Vec::new(),
        value,
    };
    out.push(Family {
        name: "prometheus_tsdb_wal_fsync_duration_seconds".into(),
        help: "Duration of write log fsync.",
        kind: Kind::Summary,
        samples: vec![
            part(Suffix::Sum, s.wal.sync_nanos as f64 / 1e9),
            part(Suffix::Count, s.wal.syncs as f64),
        ],
    });
    out
}
