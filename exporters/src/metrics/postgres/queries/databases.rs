//! Databases, sessions and locks.

use super::{PLAIN, Query};
use crate::emit::Kind;

/// The statements.
pub(super) static QUERIES: &[Query] = &[
    Query {
        collector: "database",
        labels: &[("datname", "datname")],
        values: &[
            (
                "pg_database_size_bytes",
                "Disk space used by the database",
                Kind::Gauge,
                "CASE WHEN has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) END",
            ),
            (
                "pg_database_connection_limit",
                "Connection limit set for the database",
                Kind::Gauge,
                "datconnlimit",
            ),
        ],
        rest: "FROM pg_database WHERE datname IS NOT NULL",
        ..PLAIN
    },
    Query {
        collector: "locks",
        labels: &[("datname", "datname"), ("mode", "mode")],
        values: &[(
            "pg_locks_count",
            "Number of locks",
            Kind::Gauge,
            "COALESCE(held.n, 0)",
        )],
        rest: "FROM (SELECT d.oid, d.datname, m.mode FROM pg_database d CROSS JOIN (VALUES ('accesssharelock'), ('rowsharelock'), ('rowexclusivelock'), ('shareupdateexclusivelock'), ('sharelock'), ('sharerowexclusivelock'), ('exclusivelock'), ('accessexclusivelock'), ('sireadlock')) AS m(mode)) AS every LEFT JOIN (SELECT database, lower(mode) AS held_mode, count(*) AS n FROM pg_locks WHERE database IS NOT NULL GROUP BY 1, 2) AS held ON held.database = every.oid AND held.held_mode = every.mode",
        ..PLAIN
    },
    Query {
        collector: "roles",
        labels: &[("rolname", "rolname")],
        values: &[(
            "pg_roles_connection_limit",
            "Connection limit set for the role",
            Kind::Gauge,
            "rolconnlimit",
        )],
        rest: "FROM pg_roles",
        ..PLAIN
    },
    Query {
        collector: "stat_activity",
        labels: &[
            ("datname", "every.datname"),
            ("state", "every.state"),
            ("usename", "usename"),
            ("application_name", "application_name"),
            ("backend_type", "backend_type"),
            ("wait_event_type", "wait_event_type"),
            ("wait_event", "wait_event"),
        ],
        values: &[
            (
                "pg_stat_activity_count",
                "number of connections in this state",
                Kind::Gauge,
                "COALESCE(busy.n, 0)",
            ),
            (
                "pg_stat_activity_max_tx_duration",
                "max duration in seconds any active transaction has been running",
                Kind::Gauge,
                "COALESCE(busy.longest, 0)",
            ),
        ],
        // Our own session counts, as it always did: panels of active sessions are made for servers
        // that have at least one. Its transaction begins at now(), so it adds no duration.
        rest: "FROM (SELECT d.datname, s.state FROM pg_database d CROSS JOIN (VALUES ('active'), ('idle'), ('idle in transaction'), ('idle in transaction (aborted)'), ('fastpath function call'), ('disabled')) AS s(state)) AS every LEFT JOIN (SELECT datname AS db, state AS st, usename, application_name, backend_type, wait_event_type, wait_event, count(*) AS n, max(EXTRACT(EPOCH FROM now() - xact_start)) AS longest FROM pg_stat_activity GROUP BY 1, 2, 3, 4, 5, 6, 7) AS busy ON busy.db = every.datname AND busy.st = every.state",
        ..PLAIN
    },
    Query {
        collector: "stat_database",
        labels: &[("datid", "datid"), ("datname", "datname")],
        values: &[
            (
                "pg_stat_database_numbackends",
                "Number of backends currently connected to this database. This is the only column in this view that returns a value reflecting current state; all other columns return the accumulated values since the last reset.",
                Kind::Gauge,
                "numbackends",
            ),
            (
                "pg_stat_database_xact_commit",
                "Number of transactions in this database that have been committed",
                Kind::Counter,
                "xact_commit",
            ),
            (
                "pg_stat_database_xact_rollback",
                "Number of transactions in this database that have been rolled back",
                Kind::Counter,
                "xact_rollback",
            ),
            (
                "pg_stat_database_blks_read",
                "Number of disk blocks read in this database",
                Kind::Counter,
                "blks_read",
            ),
            (
                "pg_stat_database_blks_hit",
                "Number of times disk blocks were found already in the buffer cache, so that a read was not necessary (this only includes hits in the PostgreSQL buffer cache, not the operating system's file system cache)",
                Kind::Counter,
                "blks_hit",
            ),
            (
                "pg_stat_database_tup_returned",
                "Number of rows returned by queries in this database",
                Kind::Counter,
                "tup_returned",
            ),
            (
                "pg_stat_database_tup_fetched",
                "Number of rows fetched by queries in this database",
                Kind::Counter,
                "tup_fetched",
            ),
            (
                "pg_stat_database_tup_inserted",
                "Number of rows inserted by queries in this database",
                Kind::Counter,
                "tup_inserted",
            ),
            (
                "pg_stat_database_tup_updated",
                "Number of rows updated by queries in this database",
                Kind::Counter,
                "tup_updated",
            ),
            (
                "pg_stat_database_tup_deleted",
                "Number of rows deleted by queries in this database",
                Kind::Counter,
                "tup_deleted",
            ),
            (
                "pg_stat_database_conflicts",
                "Number of queries canceled due to conflicts with recovery in this database. (Conflicts occur only on standby servers; see pg_stat_database_conflicts for details.)",
                Kind::Counter,
                "conflicts",
            ),
            (
                "pg_stat_database_temp_files",
                "Number of temporary files created by queries in this database. All temporary files are counted, regardless of why the temporary file was created (e.g., sorting or hashing), and regardless of the log_temp_files setting.",
                Kind::Counter,
                "temp_files",
            ),
            (
                "pg_stat_database_temp_bytes",
                "Total amount of data written to temporary files by queries in this database. All temporary files are counted, regardless of why the temporary file was created, and regardless of the log_temp_files setting.",
                Kind::Counter,
                "temp_bytes",
            ),
            (
                "pg_stat_database_deadlocks",
                "Number of deadlocks detected in this database",
                Kind::Counter,
                "deadlocks",
            ),
            (
                "pg_stat_database_blk_read_time",
                "Time spent reading data file blocks by backends in this database, in milliseconds",
                Kind::Counter,
                "blk_read_time",
            ),
            (
                "pg_stat_database_blk_write_time",
                "Time spent writing data file blocks by backends in this database, in milliseconds",
                Kind::Counter,
                "blk_write_time",
            ),
            (
                "pg_stat_database_stats_reset",
                "Time at which these statistics were last reset",
                Kind::Counter,
                "COALESCE(EXTRACT(EPOCH FROM stats_reset), 0)",
            ),
        ],
        rest: "FROM pg_stat_database WHERE datname IS NOT NULL",
        ..PLAIN
    },
    Query {
        collector: "stat_database",
        since: 140000,
        labels: &[("datid", "datid"), ("datname", "datname")],
        values: &[(
            "pg_stat_database_active_time_seconds_total",
            "Time spent executing SQL statements in this database, in seconds",
            Kind::Counter,
            "active_time / 1000.0",
        )],
        rest: "FROM pg_stat_database WHERE datname IS NOT NULL",
        ..PLAIN
    },
    Query {
        collector: "stat_database",
        since: 120000,
        labels: &[("datid", "datid"), ("datname", "datname")],
        values: &[
            (
                "pg_stat_database_checksum_failures",
                "Number of data page checksum failures detected in this database",
                Kind::Untyped,
                "checksum_failures",
            ),
            (
                "pg_stat_database_checksum_last_failure",
                "Time at which the last data page checksum failure was detected in this database",
                Kind::Untyped,
                "EXTRACT(EPOCH FROM checksum_last_failure)",
            ),
        ],
        rest: "FROM pg_stat_database WHERE datname IS NOT NULL",
        shows_null: true,
        ..PLAIN
    },
    Query {
        collector: "stat_database",
        since: 140000,
        labels: &[("datid", "datid"), ("datname", "datname")],
        values: &[
            (
                "pg_stat_database_session_time",
                "Time spent by database sessions in this database, in milliseconds",
                Kind::Untyped,
                "session_time",
            ),
            (
                "pg_stat_database_idle_in_transaction_time",
                "Time spent idling while in a transaction in this database, in milliseconds",
                Kind::Untyped,
                "idle_in_transaction_time",
            ),
            (
                "pg_stat_database_sessions",
                "Number of sessions established to this database",
                Kind::Untyped,
                "sessions",
            ),
            (
                "pg_stat_database_sessions_abandoned",
                "Number of sessions to this database that ended because the connection to the client was lost",
                Kind::Untyped,
                "sessions_abandoned",
            ),
            (
                "pg_stat_database_sessions_fatal",
                "Number of sessions to this database that ended by fatal errors",
                Kind::Untyped,
                "sessions_fatal",
            ),
            (
                "pg_stat_database_sessions_killed",
                "Number of sessions to this database that an operator ended",
                Kind::Untyped,
                "sessions_killed",
            ),
        ],
        rest: "FROM pg_stat_database WHERE datname IS NOT NULL",
        shows_null: true,
        ..PLAIN
    },
    Query {
        collector: "stat_database_conflicts",
        labels: &[("datid", "datid"), ("datname", "datname")],
        values: &[
            (
                "pg_stat_database_conflicts_confl_bufferpin",
                "Number of queries in this database that have been canceled due to pinned buffers",
                Kind::Counter,
                "confl_bufferpin",
            ),
            (
                "pg_stat_database_conflicts_confl_deadlock",
                "Number of queries in this database that have been canceled due to deadlocks",
                Kind::Counter,
                "confl_deadlock",
            ),
            (
                "pg_stat_database_conflicts_confl_lock",
                "Number of queries in this database that have been canceled due to lock timeouts",
                Kind::Counter,
                "confl_lock",
            ),
            (
                "pg_stat_database_conflicts_confl_snapshot",
                "Number of queries in this database that have been canceled due to old snapshots",
                Kind::Counter,
                "confl_snapshot",
            ),
            (
                "pg_stat_database_conflicts_confl_tablespace",
                "Number of queries in this database that have been canceled due to dropped tablespaces",
                Kind::Counter,
                "confl_tablespace",
            ),
        ],
        rest: "FROM pg_stat_database_conflicts",
        names_server: true,
        ..PLAIN
    },
    Query {
        collector: "database_wraparound",
        by_default: false,
        labels: &[("datname", "datname")],
        values: &[
            (
                "pg_database_wraparound_age_datfrozenxid_seconds",
                "Age of the oldest transaction ID that has not been frozen.",
                Kind::Gauge,
                "age(datfrozenxid)",
            ),
            (
                "pg_database_wraparound_age_datminmxid_seconds",
                "Age of the oldest multi-transaction ID that has been replaced with a transaction ID.",
                Kind::Gauge,
                "mxid_age(datminmxid)",
            ),
        ],
        rest: "FROM pg_database WHERE datallowconn",
        ..PLAIN
    },
    Query {
        collector: "long_running_transactions",
        by_default: false,
        values: &[
            (
                "pg_long_running_transactions",
                "Current number of long running transactions",
                Kind::Gauge,
                "count(*)",
            ),
            (
                "pg_long_running_transactions_oldest_timestamp_seconds",
                "The current maximum transaction age in seconds",
                Kind::Gauge,
                "COALESCE(max(EXTRACT(EPOCH FROM clock_timestamp() - xact_start)), 0)",
            ),
        ],
        rest: "FROM pg_stat_activity WHERE state IS DISTINCT FROM 'idle' AND query NOT LIKE 'autovacuum:%' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()",
        ..PLAIN
    },
    Query {
        collector: "stat_activity_autovacuum",
        by_default: false,
        labels: &[("relname", "split_part(query, '.', 2)")],
        values: &[(
            "pg_stat_activity_autovacuum_timestamp_seconds",
            "Start timestamp of the vacuum process in seconds",
            Kind::Gauge,
            "EXTRACT(EPOCH FROM xact_start)",
        )],
        rest: "FROM pg_stat_activity WHERE query LIKE 'autovacuum:%'",
        ..PLAIN
    },
];
