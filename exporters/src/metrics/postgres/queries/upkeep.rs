//! The server itself and its writers.

use super::{PLAIN, Query};
use crate::emit::Kind;

/// The statements.
pub(super) static QUERIES: &[Query] = &[
    Query {
        collector: "stat_bgwriter",
        until: 170000,
        values: &[
            (
                "pg_stat_bgwriter_checkpoints_timed_total",
                "Number of scheduled checkpoints that have been performed",
                Kind::Counter,
                "checkpoints_timed",
            ),
            (
                "pg_stat_bgwriter_checkpoints_req_total",
                "Number of requested checkpoints that have been performed",
                Kind::Counter,
                "checkpoints_req",
            ),
            (
                "pg_stat_bgwriter_checkpoint_write_time_total",
                "Total amount of time that has been spent in the portion of checkpoint processing where files are written to disk, in milliseconds",
                Kind::Counter,
                "checkpoint_write_time",
            ),
            (
                "pg_stat_bgwriter_checkpoint_sync_time_total",
                "Total amount of time that has been spent in the portion of checkpoint processing where files are synchronized to disk, in milliseconds",
                Kind::Counter,
                "checkpoint_sync_time",
            ),
            (
                "pg_stat_bgwriter_buffers_checkpoint_total",
                "Number of buffers written during checkpoints",
                Kind::Counter,
                "buffers_checkpoint",
            ),
            (
                "pg_stat_bgwriter_buffers_clean_total",
                "Number of buffers written by the background writer",
                Kind::Counter,
                "buffers_clean",
            ),
            (
                "pg_stat_bgwriter_maxwritten_clean_total",
                "Number of times the background writer stopped a cleaning scan because it had written too many buffers",
                Kind::Counter,
                "maxwritten_clean",
            ),
            (
                "pg_stat_bgwriter_buffers_backend_total",
                "Number of buffers written directly by a backend",
                Kind::Counter,
                "buffers_backend",
            ),
            (
                "pg_stat_bgwriter_buffers_backend_fsync_total",
                "Number of times a backend had to execute its own fsync call (normally the background writer handles those even when the backend does its own write)",
                Kind::Counter,
                "buffers_backend_fsync",
            ),
            (
                "pg_stat_bgwriter_buffers_alloc_total",
                "Number of buffers allocated",
                Kind::Counter,
                "buffers_alloc",
            ),
            (
                "pg_stat_bgwriter_stats_reset_total",
                "Time at which these statistics were last reset",
                Kind::Counter,
                "EXTRACT(EPOCH FROM stats_reset)",
            ),
        ],
        rest: "FROM pg_stat_bgwriter",
        ..PLAIN
    },
    Query {
        collector: "stat_bgwriter",
        since: 170000,
        values: &[
            (
                "pg_stat_bgwriter_buffers_clean_total",
                "Number of buffers written by the background writer",
                Kind::Counter,
                "buffers_clean",
            ),
            (
                "pg_stat_bgwriter_maxwritten_clean_total",
                "Number of times the background writer stopped a cleaning scan because it had written too many buffers",
                Kind::Counter,
                "maxwritten_clean",
            ),
            (
                "pg_stat_bgwriter_buffers_alloc_total",
                "Number of buffers allocated",
                Kind::Counter,
                "buffers_alloc",
            ),
            (
                "pg_stat_bgwriter_stats_reset_total",
                "Time at which these statistics were last reset",
                Kind::Counter,
                "EXTRACT(EPOCH FROM stats_reset)",
            ),
        ],
        rest: "FROM pg_stat_bgwriter",
        ..PLAIN
    },
    Query {
        collector: "stat_checkpointer",
        by_default: false,
        since: 170000,
        values: &[
            (
                "pg_stat_checkpointer_num_timed_total",
                "Number of scheduled checkpoints due to timeout",
                Kind::Counter,
                "num_timed",
            ),
            (
                "pg_stat_checkpointer_num_requested_total",
                "Number of requested checkpoints that have been performed",
                Kind::Counter,
                "num_requested",
            ),
            (
                "pg_stat_checkpointer_restartpoints_timed_total",
                "Number of scheduled restartpoints due to timeout or after a failed attempt to perform it",
                Kind::Counter,
                "restartpoints_timed",
            ),
            (
                "pg_stat_checkpointer_restartpoints_req_total",
                "Number of requested restartpoints",
                Kind::Counter,
                "restartpoints_req",
            ),
            (
                "pg_stat_checkpointer_restartpoints_done_total",
                "Number of restartpoints that have been performed",
                Kind::Counter,
                "restartpoints_done",
            ),
            (
                "pg_stat_checkpointer_write_time_total",
                "Total amount of time that has been spent in the portion of processing checkpoints and restartpoints where files are written to disk, in milliseconds",
                Kind::Counter,
                "write_time",
            ),
            (
                "pg_stat_checkpointer_sync_time_total",
                "Total amount of time that has been spent in the portion of processing checkpoints and restartpoints where files are synchronized to disk, in milliseconds",
                Kind::Counter,
                "sync_time",
            ),
            (
                "pg_stat_checkpointer_buffers_written_total",
                "Number of buffers written during checkpoints and restartpoints",
                Kind::Counter,
                "buffers_written",
            ),
            (
                "pg_stat_checkpointer_stats_reset_total",
                "Time at which these statistics were last reset",
                Kind::Counter,
                "EXTRACT(EPOCH FROM stats_reset)",
            ),
        ],
        rest: "FROM pg_stat_checkpointer",
        ..PLAIN
    },
    Query {
        collector: "postmaster",
        values: &[(
            "pg_postmaster_start_time_seconds",
            "Time at which postmaster started",
            Kind::Gauge,
            "EXTRACT(EPOCH FROM pg_postmaster_start_time())",
        )],
        ..PLAIN
    },
    Query {
        collector: "buffercache_summary",
        by_default: false,
        since: 160000,
        values: &[
            (
                "pg_buffercache_summary_buffers_used",
                "Number of used shared buffers",
                Kind::Gauge,
                "buffers_used",
            ),
            (
                "pg_buffercache_summary_buffers_unused",
                "Number of unused shared buffers",
                Kind::Gauge,
                "buffers_unused",
            ),
            (
                "pg_buffercache_summary_buffers_dirty",
                "Number of dirty shared buffers",
                Kind::Gauge,
                "buffers_dirty",
            ),
            (
                "pg_buffercache_summary_buffers_pinned",
                "Number of pinned shared buffers",
                Kind::Gauge,
                "buffers_pinned",
            ),
            (
                "pg_buffercache_summary_usagecount_avg",
                "Average usage count of used shared buffers",
                Kind::Gauge,
                "usagecount_avg",
            ),
        ],
        rest: "FROM pg_buffercache_summary()",
        ..PLAIN
    },
];
