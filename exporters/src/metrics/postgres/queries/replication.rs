//! Replication: how far others are behind, or we are.

use super::{PLAIN, Query};
use crate::emit::Kind;

/// What tells connections of standbys apart. Two clients may share everything but the process.
const SENDER: &[(&str, &str)] = &[
    ("application_name", "application_name"),
    ("client_addr", "host(client_addr)"),
    ("state", "state"),
    ("slot_name", "slot_name"),
    ("pid", "pid"),
];

/// Connections of standbys with the slots that they use.
const SENDERS: &str = "FROM pg_stat_replication LEFT JOIN (SELECT slot_name, active_pid FROM pg_replication_slots) AS slots ON slots.active_pid = pid";

/// Where the log ends, in bytes since its beginning.
const POSITION: &str = "pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, '0/0')";

/// Where a standby is: 0 while it has nothing left to replay.
const LAG: &str = "CASE WHEN NOT pg_is_in_recovery() OR pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 ELSE GREATEST(0, EXTRACT(EPOCH FROM now() - pg_last_xact_replay_timestamp())) END";

/// What tells the connection to the primary apart.
const RECEIVER: &[(&str, &str)] = &[
    ("upstream_host", "sender_host"),
    ("slot_name", "slot_name"),
    ("status", "status"),
];

/// The statements.
pub(super) static QUERIES: &[Query] = &[
    Query {
        collector: "replication",
        values: &[
            (
                "pg_replication_lag_seconds",
                "Replication lag behind master in seconds",
                Kind::Gauge,
                LAG,
            ),
            (
                "pg_replication_lag",
                "Replication lag behind master in seconds, under the name of older rules",
                Kind::Gauge,
                LAG,
            ),
            (
                "pg_replication_is_replica",
                "Indicates if the server is a replica",
                Kind::Gauge,
                "pg_is_in_recovery()",
            ),
            (
                "pg_replication_last_replay_seconds",
                "Age of last transaction replay in seconds",
                Kind::Gauge,
                "GREATEST(0, EXTRACT(EPOCH FROM now() - pg_last_xact_replay_timestamp()))",
            ),
        ],
        ..PLAIN
    },
    Query {
        collector: "replication_slots",
        labels: &[("slot_name", "slot_name"), ("slot_type", "slot_type")],
        values: &[
            (
                "pg_replication_slots_slot_current_wal_lsn",
                "current wal lsn value",
                Kind::Gauge,
                POSITION,
            ),
            (
                "pg_replication_slots_slot_confirmed_flush_lsn",
                "last lsn confirmed flushed to the replication slot",
                Kind::Gauge,
                "CASE WHEN active THEN COALESCE(pg_wal_lsn_diff(confirmed_flush_lsn, '0/0'), 0) END",
            ),
            (
                "pg_replication_slots_slot_is_active",
                "whether the replication slot is active or not",
                Kind::Gauge,
                "active",
            ),
        ],
        rest: "FROM pg_replication_slots",
        ..PLAIN
    },
    Query {
        collector: "replication_slots",
        since: 130000,
        labels: &[("slot_name", "slot_name"), ("slot_type", "slot_type")],
        values: &[(
            "pg_replication_slots_safe_wal_size_bytes",
            "number of bytes that can be written to WAL such that this slot is not in danger of getting in state lost",
            Kind::Gauge,
            "safe_wal_size",
        )],
        rest: "FROM pg_replication_slots",
        ..PLAIN
    },
    Query {
        collector: "replication_slots",
        since: 130000,
        labels: &[
            ("slot_name", "slot_name"),
            ("slot_type", "slot_type"),
            ("wal_status", "wal_status"),
        ],
        values: &[(
            "pg_replication_slots_wal_status",
            "availability of WAL files claimed by this slot",
            Kind::Gauge,
            "1",
        )],
        rest: "FROM pg_replication_slots WHERE wal_status IS NOT NULL",
        ..PLAIN
    },
    Query {
        collector: "replication_slots",
        labels: &[("slot_name", "slot_name"), ("database", "database")],
        values: &[
            (
                "pg_replication_slots_active",
                "Flag indicating if the slot is active",
                Kind::Gauge,
                "active",
            ),
            (
                "pg_replication_slots_pg_wal_lsn_diff",
                "Replication lag in bytes",
                Kind::Gauge,
                "pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, restart_lsn)",
            ),
        ],
        rest: "FROM pg_replication_slots",
        shows_null: true,
        ..PLAIN
    },
    Query {
        collector: "stat_archiver",
        values: &[
            (
                "pg_stat_archiver_archived_count",
                "Number of WAL files that have been successfully archived",
                Kind::Counter,
                "archived_count",
            ),
            (
                "pg_stat_archiver_failed_count",
                "Number of failed attempts for archiving WAL files",
                Kind::Counter,
                "failed_count",
            ),
            (
                "pg_stat_archiver_last_archive_age",
                "Time in seconds since last WAL segment was successfully archived",
                Kind::Gauge,
                "EXTRACT(EPOCH FROM now() - last_archived_time)",
            ),
        ],
        rest: "FROM pg_stat_archiver",
        shows_null: true,
        ..PLAIN
    },
    Query {
        collector: "stat_replication",
        labels: SENDER,
        values: &[
            (
                "pg_stat_replication_pg_current_wal_lsn_bytes",
                "WAL position in bytes",
                Kind::Gauge,
                POSITION,
            ),
            (
                "pg_stat_replication_pg_wal_lsn_diff",
                "Lag in bytes between master and slave",
                Kind::Gauge,
                "pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, replay_lsn)",
            ),
        ],
        rest: SENDERS,
        shows_null: true,
        ..PLAIN
    },
    Query {
        collector: "stat_replication",
        since: 120000,
        labels: SENDER,
        values: &[(
            "pg_stat_replication_reply_time",
            "Send time of the last reply that came from the standby",
            Kind::Untyped,
            "EXTRACT(EPOCH FROM reply_time)",
        )],
        rest: SENDERS,
        shows_null: true,
        ..PLAIN
    },
    Query {
        collector: "wal",
        values: &[
            (
                "pg_wal_segments",
                "Number of WAL segments",
                Kind::Gauge,
                "count(*)",
            ),
            (
                "pg_wal_size_bytes",
                "Total size of WAL segments",
                Kind::Gauge,
                "COALESCE(sum(size), 0)",
            ),
        ],
        rest: "FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'",
        ..PLAIN
    },
    Query {
        collector: "xlog_location",
        by_default: false,
        values: &[(
            "pg_xlog_location_bytes",
            "Postgres LSN (log sequence number) being generated on primary or replayed on replica (truncated to low 52 bits)",
            Kind::Gauge,
            "(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, '0/0')) % 4503599627370496",
        )],
        ..PLAIN
    },
    Query {
        collector: "stat_wal_receiver",
        by_default: false,
        labels: RECEIVER,
        values: &[
            (
                "pg_stat_wal_receiver_receive_start_lsn",
                "First write-ahead log location used when WAL receiver is started represented as a decimal",
                Kind::Counter,
                "pg_wal_lsn_diff(receive_start_lsn, '0/0')",
            ),
            (
                "pg_stat_wal_receiver_receive_start_tli",
                "First timeline number used when WAL receiver is started",
                Kind::Gauge,
                "receive_start_tli",
            ),
            (
                "pg_stat_wal_receiver_received_tli",
                "Timeline number of last write-ahead log location received and flushed to disk",
                Kind::Gauge,
                "received_tli",
            ),
            (
                "pg_stat_wal_receiver_last_msg_send_time",
                "Send time of last message received from origin WAL sender",
                Kind::Counter,
                "EXTRACT(EPOCH FROM last_msg_send_time)",
            ),
            (
                "pg_stat_wal_receiver_last_msg_receipt_time",
                "Receipt time of last message received from origin WAL sender",
                Kind::Counter,
                "EXTRACT(EPOCH FROM last_msg_receipt_time)",
            ),
            (
                "pg_stat_wal_receiver_latest_end_lsn",
                "Last write-ahead log location reported to origin WAL sender as integer",
                Kind::Counter,
                "pg_wal_lsn_diff(latest_end_lsn, '0/0')",
            ),
            (
                "pg_stat_wal_receiver_latest_end_time",
                "Time of last write-ahead log location reported to origin WAL sender",
                Kind::Counter,
                "EXTRACT(EPOCH FROM latest_end_time)",
            ),
            (
                "pg_stat_wal_receiver_upstream_node",
                "Node ID of the upstream node",
                Kind::Gauge,
                "substring(slot_name from 'repmgr_slot_([0-9]*)')",
            ),
        ],
        rest: "FROM pg_stat_wal_receiver",
        ..PLAIN
    },
    Query {
        collector: "stat_wal_receiver",
        by_default: false,
        since: 130000,
        labels: RECEIVER,
        values: &[(
            "pg_stat_wal_receiver_flushed_lsn",
            "Last write-ahead log location already received and flushed to disk, the initial value of this field being the first log location used when WAL receiver is started represented as a decimal",
            Kind::Counter,
            "pg_wal_lsn_diff(flushed_lsn, '0/0')",
        )],
        rest: "FROM pg_stat_wal_receiver",
        ..PLAIN
    },
];
