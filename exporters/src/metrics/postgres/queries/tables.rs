//! Tables, their indexes, and the work on them.

use super::{PLAIN, Query};
use crate::emit::Kind;

/// The table under work. Its name is known only in its own database; elsewhere the same number
/// may be another table's, so the number stands.
const VACUUMED_TABLE: &str =
    "CASE WHEN v.datname = current_database() THEN v.relid::regclass::text ELSE v.relid::text END";

/// What tells running vacuums apart.
const VACUUMED: &[(&str, &str)] = &[("datname", "v.datname"), ("relname", VACUUMED_TABLE)];

/// The statements.
pub(super) static QUERIES: &[Query] = &[
    Query {
        collector: "stat_progress_vacuum",
        labels: VACUUMED,
        values: &[
            (
                "pg_stat_progress_vacuum_heap_blks",
                "Total number of heap blocks in the table being vacuumed",
                Kind::Gauge,
                "v.heap_blks_total",
            ),
            (
                "pg_stat_progress_vacuum_heap_blks_scanned",
                "Number of heap blocks scanned so far",
                Kind::Gauge,
                "v.heap_blks_scanned",
            ),
            (
                "pg_stat_progress_vacuum_heap_blks_vacuumed",
                "Number of heap blocks vacuumed so far",
                Kind::Gauge,
                "v.heap_blks_vacuumed",
            ),
            (
                "pg_stat_progress_vacuum_index_vacuums",
                "Number of completed index vacuum cycles",
                Kind::Gauge,
                "v.index_vacuum_count",
            ),
        ],
        rest: "FROM pg_stat_progress_vacuum AS v",
        ..PLAIN
    },
    Query {
        collector: "stat_progress_vacuum",
        until: 170000,
        labels: VACUUMED,
        values: &[
            (
                "pg_stat_progress_vacuum_max_dead_tuples",
                "Maximum number of dead tuples that can be stored before cleanup is performed",
                Kind::Gauge,
                "v.max_dead_tuples",
            ),
            (
                "pg_stat_progress_vacuum_num_dead_tuples",
                "Current number of dead tuples found so far",
                Kind::Gauge,
                "v.num_dead_tuples",
            ),
        ],
        rest: "FROM pg_stat_progress_vacuum AS v",
        ..PLAIN
    },
    Query {
        collector: "stat_progress_vacuum",
        labels: &[
            ("datname", "v.datname"),
            ("relname", VACUUMED_TABLE),
            ("phase", "p.phase"),
        ],
        values: &[(
            "pg_stat_progress_vacuum_phase",
            "Current vacuum phase (1 = active, 0 = inactive). Label 'phase' is human-readable.",
            Kind::Gauge,
            "v.phase = p.phase",
        )],
        rest: "FROM pg_stat_progress_vacuum AS v CROSS JOIN (VALUES ('initializing'), ('scanning heap'), ('vacuuming indexes'), ('vacuuming heap'), ('cleaning up indexes'), ('truncating heap'), ('performing final cleanup')) AS p(phase)",
        ..PLAIN
    },
    Query {
        collector: "stat_user_tables",
        labels: &[
            ("datname", "current_database()"),
            ("schemaname", "schemaname"),
            ("relname", "relname"),
        ],
        values: &[
            (
                "pg_stat_user_tables_seq_scan",
                "Number of sequential scans initiated on this table",
                Kind::Counter,
                "seq_scan",
            ),
            (
                "pg_stat_user_tables_seq_tup_read",
                "Number of live rows fetched by sequential scans",
                Kind::Counter,
                "seq_tup_read",
            ),
            (
                "pg_stat_user_tables_idx_scan",
                "Number of index scans initiated on this table",
                Kind::Counter,
                "idx_scan",
            ),
            (
                "pg_stat_user_tables_idx_tup_fetch",
                "Number of live rows fetched by index scans",
                Kind::Counter,
                "idx_tup_fetch",
            ),
            (
                "pg_stat_user_tables_n_tup_ins",
                "Number of rows inserted",
                Kind::Counter,
                "n_tup_ins",
            ),
            (
                "pg_stat_user_tables_n_tup_upd",
                "Number of rows updated",
                Kind::Counter,
                "n_tup_upd",
            ),
            (
                "pg_stat_user_tables_n_tup_del",
                "Number of rows deleted",
                Kind::Counter,
                "n_tup_del",
            ),
            (
                "pg_stat_user_tables_n_tup_hot_upd",
                "Number of rows HOT updated (i.e., with no separate index update required)",
                Kind::Counter,
                "n_tup_hot_upd",
            ),
            (
                "pg_stat_user_tables_n_live_tup",
                "Estimated number of live rows",
                Kind::Gauge,
                "n_live_tup",
            ),
            (
                "pg_stat_user_tables_n_dead_tup",
                "Estimated number of dead rows",
                Kind::Gauge,
                "n_dead_tup",
            ),
            (
                "pg_stat_user_tables_n_mod_since_analyze",
                "Estimated number of rows changed since last analyze",
                Kind::Gauge,
                "n_mod_since_analyze",
            ),
            (
                "pg_stat_user_tables_vacuum_count",
                "Number of times this table has been manually vacuumed (not counting VACUUM FULL)",
                Kind::Counter,
                "vacuum_count",
            ),
            (
                "pg_stat_user_tables_autovacuum_count",
                "Number of times this table has been vacuumed by the autovacuum daemon",
                Kind::Counter,
                "autovacuum_count",
            ),
            (
                "pg_stat_user_tables_analyze_count",
                "Number of times this table has been manually analyzed",
                Kind::Counter,
                "analyze_count",
            ),
            (
                "pg_stat_user_tables_autoanalyze_count",
                "Number of times this table has been analyzed by the autovacuum daemon",
                Kind::Counter,
                "autoanalyze_count",
            ),
            (
                "pg_stat_user_tables_last_vacuum",
                "Last time at which this table was manually vacuumed (not counting VACUUM FULL)",
                Kind::Gauge,
                "COALESCE(EXTRACT(EPOCH FROM last_vacuum), 0)",
            ),
            (
                "pg_stat_user_tables_last_autovacuum",
                "Last time at which this table was vacuumed by the autovacuum daemon",
                Kind::Gauge,
                "COALESCE(EXTRACT(EPOCH FROM last_autovacuum), 0)",
            ),
            (
                "pg_stat_user_tables_last_analyze",
                "Last time at which this table was manually analyzed",
                Kind::Gauge,
                "COALESCE(EXTRACT(EPOCH FROM last_analyze), 0)",
            ),
            (
                "pg_stat_user_tables_last_autoanalyze",
                "Last time at which this table was analyzed by the autovacuum daemon",
                Kind::Gauge,
                "COALESCE(EXTRACT(EPOCH FROM last_autoanalyze), 0)",
            ),
            (
                "pg_stat_user_tables_index_size_bytes",
                "Total disk space used by this index, in bytes",
                Kind::Gauge,
                "pg_indexes_size(relid)",
            ),
            (
                "pg_stat_user_tables_table_size_bytes",
                "Total disk space used by this table, in bytes",
                Kind::Gauge,
                "pg_table_size(relid)",
            ),
        ],
        rest: "FROM pg_stat_user_tables",
        ..PLAIN
    },
    Query {
        collector: "statio_user_tables",
        labels: &[
            ("datname", "current_database()"),
            ("schemaname", "schemaname"),
            ("relname", "relname"),
        ],
        values: &[
            (
                "pg_statio_user_tables_heap_blocks_read",
                "Number of disk blocks read from this table",
                Kind::Counter,
                "COALESCE(heap_blks_read, 0)",
            ),
            (
                "pg_statio_user_tables_heap_blocks_hit",
                "Number of buffer hits in this table",
                Kind::Counter,
                "COALESCE(heap_blks_hit, 0)",
            ),
            (
                "pg_statio_user_tables_idx_blocks_read",
                "Number of disk blocks read from all indexes on this table",
                Kind::Counter,
                "COALESCE(idx_blks_read, 0)",
            ),
            (
                "pg_statio_user_tables_idx_blocks_hit",
                "Number of buffer hits in all indexes on this table",
                Kind::Counter,
                "COALESCE(idx_blks_hit, 0)",
            ),
            (
                "pg_statio_user_tables_toast_blocks_read",
                "Number of disk blocks read from this table's TOAST table (if any)",
                Kind::Counter,
                "COALESCE(toast_blks_read, 0)",
            ),
            (
                "pg_statio_user_tables_toast_blocks_hit",
                "Number of buffer hits in this table's TOAST table (if any)",
                Kind::Counter,
                "COALESCE(toast_blks_hit, 0)",
            ),
            (
                "pg_statio_user_tables_tidx_blocks_read",
                "Number of disk blocks read from this table's TOAST table indexes (if any)",
                Kind::Counter,
                "COALESCE(tidx_blks_read, 0)",
            ),
            (
                "pg_statio_user_tables_tidx_blocks_hit",
                "Number of buffer hits in this table's TOAST table indexes (if any)",
                Kind::Counter,
                "COALESCE(tidx_blks_hit, 0)",
            ),
        ],
        rest: "FROM pg_statio_user_tables",
        ..PLAIN
    },
    Query {
        collector: "statio_user_indexes",
        by_default: false,
        labels: &[
            ("schemaname", "schemaname"),
            ("relname", "relname"),
            ("indexrelname", "indexrelname"),
        ],
        values: &[
            (
                "pg_statio_user_indexes_idx_blks_read_total",
                "Number of disk blocks read from this index",
                Kind::Counter,
                "idx_blks_read",
            ),
            (
                "pg_statio_user_indexes_idx_blks_hit_total",
                "Number of buffer hits in this index",
                Kind::Counter,
                "idx_blks_hit",
            ),
        ],
        rest: "FROM pg_statio_user_indexes",
        ..PLAIN
    },
];
