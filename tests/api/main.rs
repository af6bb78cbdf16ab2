//! The real binary, asked over HTTP: what the interfaces promise, one module per promise.

#[path = "../support/mod.rs"]
mod support;

mod alerting;
mod command_line;
mod consul;
mod database_exporters;
mod deployment;
mod docker;
mod envelope;
mod federation;
mod kubernetes;
mod limits;
mod logcli;
mod loki;
mod loki_discovery;
mod loki_tail;
mod loki_tenants;
mod loki_upkeep;
mod loki_write;
mod metadata;
mod node_exporter;
mod openuser;
mod otlp;
mod pair;
mod promtail;
mod promtail_flags;
mod promtail_sources;
mod queries;
mod queries_of_death;
mod query_command;
mod readiness;
mod redis_exporter;
mod remote_read;
mod remote_write;
mod remote_write_out;
mod ruler;
mod rules;
mod scraping;
mod security;
mod status;
mod wire;
