//! Which fields of `INFO` are shown, and under which names.

use crate::emit::Kind;

/// Field, name without the namespace, kind. Sorted by field.
pub(super) const FIELDS: &[(&str, &str, Kind)] = &[
    (
        "acl_access_denied_auth",
        "acl_access_denied_auth_total",
        Kind::Counter,
    ),
    (
        "acl_access_denied_channel",
        "acl_access_denied_channel_total",
        Kind::Counter,
    ),
    (
        "acl_access_denied_cmd",
        "acl_access_denied_cmd_total",
        Kind::Counter,
    ),
    (
        "acl_access_denied_key",
        "acl_access_denied_key_total",
        Kind::Counter,
    ),
    ("active_defrag_hits", "defrag_hits", Kind::Gauge),
    ("active_defrag_key_hits", "defrag_key_hits", Kind::Gauge),
    ("active_defrag_key_misses", "defrag_key_misses", Kind::Gauge),
    ("active_defrag_misses", "defrag_misses", Kind::Gauge),
    (
        "active_defrag_running",
        "active_defrag_running",
        Kind::Gauge,
    ),
    ("allocator_active", "allocator_active_bytes", Kind::Gauge),
    (
        "allocator_allocated",
        "allocator_allocated_bytes",
        Kind::Gauge,
    ),
    ("allocator_frag_bytes", "allocator_frag_bytes", Kind::Gauge),
    ("allocator_frag_ratio", "allocator_frag_ratio", Kind::Gauge),
    ("allocator_muzzy", "allocator_muzzy_bytes", Kind::Gauge),
    (
        "allocator_resident",
        "allocator_resident_bytes",
        Kind::Gauge,
    ),
    ("allocator_rss_bytes", "allocator_rss_bytes", Kind::Gauge),
    ("allocator_rss_ratio", "allocator_rss_ratio", Kind::Gauge),
    ("aof_base_size", "aof_base_size_bytes", Kind::Gauge),
    ("aof_buffer_length", "aof_buffer_length", Kind::Gauge),
    (
        "aof_current_rewrite_time_sec",
        "aof_current_rewrite_duration_sec",
        Kind::Gauge,
    ),
    ("aof_current_size", "aof_current_size_bytes", Kind::Gauge),
    ("aof_delayed_fsync", "aof_delayed_fsync", Kind::Gauge),
    ("aof_enabled", "aof_enabled", Kind::Gauge),
    (
        "aof_last_bgrewrite_status",
        "aof_last_bgrewrite_status",
        Kind::Gauge,
    ),
    ("aof_last_cow_size", "aof_last_cow_size_bytes", Kind::Gauge),
    (
        "aof_last_rewrite_time_sec",
        "aof_last_rewrite_duration_sec",
        Kind::Gauge,
    ),
    (
        "aof_last_write_status",
        "aof_last_write_status",
        Kind::Gauge,
    ),
    (
        "aof_pending_bio_fsync",
        "aof_pending_bio_fsync",
        Kind::Gauge,
    ),
    ("aof_pending_rewrite", "aof_pending_rewrite", Kind::Gauge),
    (
        "aof_rewrite_buffer_length",
        "aof_rewrite_buffer_length",
        Kind::Gauge,
    ),
    (
        "aof_rewrite_in_progress",
        "aof_rewrite_in_progress",
        Kind::Gauge,
    ),
    (
        "aof_rewrite_scheduled",
        "aof_rewrite_scheduled",
        Kind::Gauge,
    ),
    ("async_loading", "async_loading", Kind::Gauge),
    (
        "bf_bloom_capacity_across_objects",
        "bf_bloom_capacity_across_objects",
        Kind::Gauge,
    ),
    (
        "bf_bloom_defrag_hits",
        "bf_bloom_defrag_hits_total",
        Kind::Counter,
    ),
    (
        "bf_bloom_defrag_misses",
        "bf_bloom_defrag_misses_total",
        Kind::Counter,
    ),
    (
        "bf_bloom_num_filters_across_objects",
        "bf_bloom_num_filters_across_objects",
        Kind::Gauge,
    ),
    (
        "bf_bloom_num_items_across_objects",
        "bf_bloom_num_items_across_objects",
        Kind::Gauge,
    ),
    ("bf_bloom_num_objects", "bf_bloom_num_objects", Kind::Gauge),
    (
        "bf_bloom_total_memory_bytes",
        "bf_bloom_total_memory_bytes",
        Kind::Gauge,
    ),
    ("blocked_clients", "blocked_clients", Kind::Gauge),
    ("cached_keys", "cached_keys_total", Kind::Counter),
    (
        "client_biggest_input_buf",
        "client_biggest_input_buf",
        Kind::Gauge,
    ),
    (
        "client_longest_output_list",
        "client_longest_output_list",
        Kind::Gauge,
    ),
    (
        "client_output_buffer_limit_disconnections",
        "client_output_buffer_limit_disconnections_total",
        Kind::Counter,
    ),
    (
        "client_query_buffer_limit_disconnections",
        "client_query_buffer_limit_disconnections_total",
        Kind::Counter,
    ),
    (
        "client_recent_max_input_buffer",
        "client_recent_max_input_buffer_bytes",
        Kind::Gauge,
    ),
    (
        "client_recent_max_output_buffer",
        "client_recent_max_output_buffer_bytes",
        Kind::Gauge,
    ),
    (
        "clients_in_timeout_table",
        "clients_in_timeout_table",
        Kind::Gauge,
    ),
    ("cluster_connections", "cluster_connections", Kind::Gauge),
    ("cluster_enabled", "cluster_enabled", Kind::Gauge),
    (
        "cluster_stats_messages_received",
        "cluster_messages_received_total",
        Kind::Gauge,
    ),
    (
        "cluster_stats_messages_sent",
        "cluster_messages_sent_total",
        Kind::Gauge,
    ),
    ("connected_clients", "connected_clients", Kind::Gauge),
    ("connected_slaves", "connected_slaves", Kind::Gauge),
    (
        "current_client_thread",
        "current_client_thread",
        Kind::Gauge,
    ),
    (
        "current_eviction_exceeded_time",
        "current_eviction_exceeded_time_ms",
        Kind::Gauge,
    ),
    (
        "dump_payload_sanitizations",
        "dump_payload_sanitizations",
        Kind::Counter,
    ),
    ("eventloop_cycles", "eventloop_cycles_total", Kind::Counter),
    (
        "eventloop_duration_cmd_sum",
        "eventloop_duration_cmd_sum_usec_total",
        Kind::Counter,
    ),
    (
        "eventloop_duration_sum",
        "eventloop_duration_sum_usec_total",
        Kind::Counter,
    ),
    ("evicted_clients", "evicted_clients_total", Kind::Counter),
    ("evicted_keys", "evicted_keys_total", Kind::Counter),
    ("evicted_scripts", "evicted_scripts_total", Kind::Counter),
    (
        "expire_cycle_cpu_milliseconds",
        "expire_cycle_cpu_time_ms_total",
        Kind::Counter,
    ),
    ("expired_keys", "expired_keys_total", Kind::Counter),
    (
        "expired_stale_perc",
        "expired_stale_percentage",
        Kind::Gauge,
    ),
    ("expired_subkeys", "expired_subkeys_total", Kind::Counter),
    (
        "expired_time_cap_reached_count",
        "expired_time_cap_reached_total",
        Kind::Counter,
    ),
    (
        "instantaneous_eventloop_cycles_per_sec",
        "instantaneous_eventloop_cycles_per_sec",
        Kind::Gauge,
    ),
    (
        "instantaneous_eventloop_duration_usec",
        "instantaneous_eventloop_duration_usec",
        Kind::Gauge,
    ),
    (
        "io_threaded_reads_processed",
        "io_threaded_reads_processed",
        Kind::Counter,
    ),
    (
        "io_threaded_writes_processed",
        "io_threaded_writes_processed",
        Kind::Counter,
    ),
    ("io_threads_active", "io_threads_active", Kind::Gauge),
    ("json_num_documents", "json_num_documents", Kind::Gauge),
    (
        "json_total_memory_bytes",
        "json_total_memory_bytes",
        Kind::Gauge,
    ),
    ("keyspace_hits", "keyspace_hits_total", Kind::Counter),
    ("keyspace_misses", "keyspace_misses_total", Kind::Counter),
    ("latest_fork_usec", "latest_fork_seconds", Kind::Gauge),
    (
        "lazyfree_pending_objects",
        "lazyfree_pending_objects",
        Kind::Gauge,
    ),
    ("lazyfreed_objects", "lazyfreed_objects", Kind::Gauge),
    ("loading", "loading_dump_file", Kind::Gauge),
    ("long_lock_waits", "long_lock_waits_total", Kind::Gauge),
    ("master_repl_offset", "master_repl_offset", Kind::Gauge),
    ("maxclients", "max_clients", Kind::Gauge),
    (
        "maxfragmentationmemory_desired_reservation",
        "memory_max_fragmentation_reservation_desired_bytes",
        Kind::Gauge,
    ),
    (
        "maxfragmentationmemory_reservation",
        "memory_max_fragmentation_reservation_bytes",
        Kind::Gauge,
    ),
    ("maxmemory", "memory_max_bytes", Kind::Gauge),
    (
        "maxmemory_desired_reservation",
        "memory_max_reservation_desired_bytes",
        Kind::Gauge,
    ),
    (
        "maxmemory_reservation",
        "memory_max_reservation_bytes",
        Kind::Gauge,
    ),
    ("mem_aof_buffer", "mem_aof_buffer_bytes", Kind::Gauge),
    ("mem_clients_normal", "mem_clients_normal", Kind::Gauge),
    ("mem_clients_slaves", "mem_clients_slaves", Kind::Gauge),
    ("mem_cluster_links", "mem_cluster_links_bytes", Kind::Gauge),
    (
        "mem_fragmentation_bytes",
        "mem_fragmentation_bytes",
        Kind::Gauge,
    ),
    (
        "mem_fragmentation_ratio",
        "mem_fragmentation_ratio",
        Kind::Gauge,
    ),
    (
        "mem_not_counted_for_evict",
        "mem_not_counted_for_eviction_bytes",
        Kind::Gauge,
    ),
    (
        "mem_overhead_db_hashtable_rehashing",
        "mem_overhead_db_hashtable_rehashing_bytes",
        Kind::Gauge,
    ),
    (
        "mem_replication_backlog",
        "mem_replication_backlog_bytes",
        Kind::Gauge,
    ),
    (
        "mem_total_replication_buffers",
        "mem_total_replication_buffers_bytes",
        Kind::Gauge,
    ),
    (
        "migrate_cached_sockets",
        "migrate_cached_sockets_total",
        Kind::Gauge,
    ),
    (
        "module_fork_in_progress",
        "module_fork_in_progress",
        Kind::Gauge,
    ),
    (
        "module_fork_last_cow_size",
        "module_fork_last_cow_size",
        Kind::Gauge,
    ),
    (
        "number_of_cached_scripts",
        "number_of_cached_scripts",
        Kind::Gauge,
    ),
    ("number_of_functions", "number_of_functions", Kind::Gauge),
    ("number_of_libraries", "number_of_libraries", Kind::Gauge),
    ("process_id", "process_id", Kind::Gauge),
    ("pubsub_channels", "pubsub_channels", Kind::Gauge),
    ("pubsub_clients", "pubsub_clients", Kind::Gauge),
    ("pubsub_patterns", "pubsub_patterns", Kind::Gauge),
    ("pubsubshard_channels", "pubsubshard_channels", Kind::Gauge),
    (
        "rdb_bgsave_in_progress",
        "rdb_bgsave_in_progress",
        Kind::Gauge,
    ),
    (
        "rdb_changes_since_last_save",
        "rdb_changes_since_last_save",
        Kind::Gauge,
    ),
    (
        "rdb_current_bgsave_time_sec",
        "rdb_current_bgsave_duration_sec",
        Kind::Gauge,
    ),
    (
        "rdb_last_bgsave_status",
        "rdb_last_bgsave_status",
        Kind::Gauge,
    ),
    (
        "rdb_last_bgsave_time_sec",
        "rdb_last_bgsave_duration_sec",
        Kind::Gauge,
    ),
    ("rdb_last_cow_size", "rdb_last_cow_size_bytes", Kind::Gauge),
    (
        "rdb_last_load_keys_expired",
        "rdb_last_load_expired_keys",
        Kind::Gauge,
    ),
    (
        "rdb_last_load_keys_loaded",
        "rdb_last_load_loaded_keys",
        Kind::Gauge,
    ),
    (
        "rdb_last_save_time",
        "rdb_last_save_timestamp_seconds",
        Kind::Gauge,
    ),
    ("rdb_saves", "rdb_saves_total", Kind::Gauge),
    (
        "rejected_connections",
        "rejected_connections_total",
        Kind::Counter,
    ),
    ("repl_backlog_active", "repl_backlog_is_active", Kind::Gauge),
    (
        "repl_backlog_first_byte_offset",
        "repl_backlog_first_byte_offset",
        Kind::Gauge,
    ),
    (
        "repl_backlog_histlen",
        "repl_backlog_history_bytes",
        Kind::Gauge,
    ),
    (
        "repl_backlog_size",
        "replication_backlog_bytes",
        Kind::Gauge,
    ),
    (
        "reply_buffer_expands",
        "reply_buffer_expands_total",
        Kind::Counter,
    ),
    (
        "reply_buffer_shrinks",
        "reply_buffer_shrinks_total",
        Kind::Counter,
    ),
    (
        "search_bytes_collected",
        "search_collected_bytes",
        Kind::Gauge,
    ),
    ("search_dialect_1", "search_dialect_1", Kind::Gauge),
    ("search_dialect_2", "search_dialect_2", Kind::Gauge),
    ("search_dialect_3", "search_dialect_3", Kind::Gauge),
    ("search_dialect_4", "search_dialect_4", Kind::Gauge),
    (
        "search_errors_indexing_failures",
        "search_errors_indexing_failures",
        Kind::Gauge,
    ),
    (
        "search_failure_requests_count",
        "search_failure_requests_count",
        Kind::Counter,
    ),
    (
        "search_gc_bytes_collected",
        "search_gc_collected_bytes",
        Kind::Gauge,
    ),
    (
        "search_gc_marked_deleted_vectors",
        "search_gc_marked_deleted_vectors",
        Kind::Gauge,
    ),
    (
        "search_gc_total_cycles",
        "search_gc_cycles_total",
        Kind::Counter,
    ),
    (
        "search_gc_total_docs_not_collected",
        "search_gc_total_docs_not_collected",
        Kind::Gauge,
    ),
    (
        "search_gc_total_ms_run",
        "search_gc_run_ms_total",
        Kind::Counter,
    ),
    ("search_global_idle", "search_global_idle", Kind::Gauge),
    (
        "search_global_idle_internal",
        "search_global_idle_internal",
        Kind::Gauge,
    ),
    (
        "search_global_idle_user",
        "search_global_idle_user",
        Kind::Gauge,
    ),
    ("search_global_total", "search_global_total", Kind::Gauge),
    (
        "search_global_total_internal",
        "search_global_total_internal",
        Kind::Gauge,
    ),
    (
        "search_global_total_user",
        "search_global_total_user",
        Kind::Gauge,
    ),
    (
        "search_hnsw_add_exceptions_count",
        "search_hnsw_add_exceptions_count",
        Kind::Counter,
    ),
    (
        "search_hnsw_create_exceptions_count",
        "search_hnsw_create_exceptions_count",
        Kind::Counter,
    ),
    (
        "search_hnsw_modify_exceptions_count",
        "search_hnsw_modify_exceptions_count",
        Kind::Counter,
    ),
    (
        "search_hnsw_remove_exceptions_count",
        "search_hnsw_remove_exceptions_count",
        Kind::Counter,
    ),
    (
        "search_hnsw_search_exceptions_count",
        "search_hnsw_search_exceptions_count",
        Kind::Counter,
    ),
    (
        "search_hybrid_requests_count",
        "search_hybrid_requests_count",
        Kind::Counter,
    ),
    (
        "search_inline_filtering_requests_count",
        "search_inline_filtering_requests_count",
        Kind::Counter,
    ),
    (
        "search_largest_memory_index",
        "search_largest_memory_index_bytes",
        Kind::Gauge,
    ),
    (
        "search_number_of_active_indexes",
        "search_number_of_active_indexes",
        Kind::Gauge,
    ),
    (
        "search_number_of_active_indexes_indexing",
        "search_number_of_active_indexes_indexing",
        Kind::Gauge,
    ),
    (
        "search_number_of_active_indexes_running_queries",
        "search_number_of_active_indexes_running_queries",
        Kind::Gauge,
    ),
    (
        "search_number_of_attributes",
        "search_number_of_attributes",
        Kind::Gauge,
    ),
    (
        "search_number_of_indexes",
        "search_number_of_indexes",
        Kind::Gauge,
    ),
    (
        "search_query_queue_size",
        "search_query_queue_size",
        Kind::Gauge,
    ),
    (
        "search_rdb_load_failure_cnt",
        "search_rdb_load_failure_count",
        Kind::Counter,
    ),
    (
        "search_rdb_load_success_cnt",
        "search_rdb_load_success_count",
        Kind::Counter,
    ),
    (
        "search_rdb_save_failure_cnt",
        "search_rdb_save_failure_count",
        Kind::Counter,
    ),
    (
        "search_rdb_save_success_cnt",
        "search_rdb_save_success_count",
        Kind::Counter,
    ),
    (
        "search_reader_resumed_cnt",
        "search_reader_resumed_count",
        Kind::Counter,
    ),
    (
        "search_smallest_memory_index",
        "search_smallest_memory_index_bytes",
        Kind::Gauge,
    ),
    (
        "search_string_interning_store_size",
        "search_string_interning_store_size",
        Kind::Gauge,
    ),
    (
        "search_successful_requests_count",
        "search_successful_requests_count",
        Kind::Counter,
    ),
    (
        "search_total_active_queries",
        "search_active_queries_total",
        Kind::Counter,
    ),
    (
        "search_total_active_write_threads",
        "search_total_active_write_threads",
        Kind::Gauge,
    ),
    ("search_total_cycles", "search_cycles_total", Kind::Counter),
    (
        "search_total_indexed_documents",
        "search_total_indexed_documents",
        Kind::Gauge,
    ),
    (
        "search_total_indexing_time",
        "search_indexing_time_ms_total",
        Kind::Counter,
    ),
    ("search_total_ms_run", "search_run_ms_total", Kind::Counter),
    (
        "search_total_num_docs_in_indexes",
        "search_total_num_docs_in_indexes",
        Kind::Gauge,
    ),
    (
        "search_total_queries_processed",
        "search_queries_processed_total",
        Kind::Counter,
    ),
    (
        "search_total_query_commands",
        "search_query_commands_total",
        Kind::Counter,
    ),
    (
        "search_total_query_execution_time_ms",
        "search_query_execution_time_ms_total",
        Kind::Counter,
    ),
    (
        "search_used_memory_bytes",
        "search_used_memory_bytes",
        Kind::Gauge,
    ),
    (
        "search_used_memory_indexes",
        "search_used_memory_indexes_bytes",
        Kind::Gauge,
    ),
    (
        "search_used_memory_vector_index",
        "search_used_memory_vector_index_bytes",
        Kind::Gauge,
    ),
    (
        "search_vector_externing_deferred_entry_cnt",
        "search_vector_externing_deferred_entry_count",
        Kind::Counter,
    ),
    (
        "search_vector_externing_entry_count",
        "search_vector_externing_entry_count",
        Kind::Counter,
    ),
    (
        "search_vector_externing_generated_value_cnt",
        "search_vector_externing_generated_value_count",
        Kind::Counter,
    ),
    (
        "search_vector_externing_hash_extern_errors",
        "search_vector_externing_hash_extern_errors",
        Kind::Gauge,
    ),
    (
        "search_vector_externing_lru_promote_cnt",
        "search_vector_externing_lru_promote_count",
        Kind::Counter,
    ),
    (
        "search_vector_externing_num_lru_entries",
        "search_vector_externing_num_lru_entries",
        Kind::Gauge,
    ),
    (
        "search_worker_pool_suspend_cnt",
        "search_worker_pool_suspend_count",
        Kind::Counter,
    ),
    (
        "search_writer_queue_size",
        "search_writer_queue_size",
        Kind::Gauge,
    ),
    (
        "search_writer_resumed_cnt",
        "search_writer_resumed_count",
        Kind::Counter,
    ),
    (
        "search_writer_suspension_expired_cnt",
        "search_writer_suspension_expired_count",
        Kind::Counter,
    ),
    ("second_repl_offset", "second_repl_offset", Kind::Gauge),
    ("server_threads", "server_threads_total", Kind::Gauge),
    (
        "slave_expires_tracked_keys",
        "slave_expires_tracked_keys",
        Kind::Gauge,
    ),
    ("slave_priority", "slave_priority", Kind::Gauge),
    (
        "storage_provider_read_hits",
        "storage_provider_read_hits",
        Kind::Counter,
    ),
    (
        "storage_provider_read_misses",
        "storage_provider_read_misses",
        Kind::Counter,
    ),
    ("sync_full", "replica_resyncs_full", Kind::Gauge),
    (
        "sync_partial_err",
        "replica_partial_resync_denied",
        Kind::Gauge,
    ),
    (
        "sync_partial_ok",
        "replica_partial_resync_accepted",
        Kind::Gauge,
    ),
    ("tile38_alloc_bytes", "tile38_mem_alloc_bytes", Kind::Gauge),
    ("tile38_aof_size", "tile38_aof_size_bytes", Kind::Gauge),
    (
        "tile38_avg_point_size",
        "tile38_avg_item_size_bytes",
        Kind::Gauge,
    ),
    (
        "tile38_go_goroutines",
        "tile38_go_goroutines_total",
        Kind::Gauge,
    ),
    ("tile38_go_threads", "tile38_threads_total", Kind::Gauge),
    (
        "tile38_heap_alloc_bytes",
        "tile38_heap_size_bytes",
        Kind::Gauge,
    ),
    (
        "tile38_heap_released_bytes",
        "tile38_heap_released_bytes",
        Kind::Gauge,
    ),
    (
        "tile38_http_transport",
        "tile38_http_transport",
        Kind::Gauge,
    ),
    (
        "tile38_in_memory_size",
        "tile38_in_memory_size_bytes",
        Kind::Gauge,
    ),
    (
        "tile38_last_gc_time_seconds",
        "tile38_last_gc_time_seconds",
        Kind::Gauge,
    ),
    (
        "tile38_max_heap_size",
        "tile38_max_heap_size_bytes",
        Kind::Gauge,
    ),
    ("tile38_next_gc_bytes", "tile38_next_gc_bytes", Kind::Gauge),
    (
        "tile38_num_collections",
        "tile38_num_collections_total",
        Kind::Gauge,
    ),
    ("tile38_num_hooks", "tile38_num_hooks_total", Kind::Gauge),
    (
        "tile38_num_objects",
        "tile38_num_objects_total",
        Kind::Gauge,
    ),
    ("tile38_num_points", "tile38_num_points_total", Kind::Gauge),
    (
        "tile38_pointer_size",
        "tile38_pointer_size_bytes",
        Kind::Gauge,
    ),
    ("tile38_read_only", "tile38_read_only", Kind::Gauge),
    ("tile38_sys_cpus", "tile38_cpus_total", Kind::Gauge),
    ("total_blocking_keys", "total_blocking_keys", Kind::Gauge),
    (
        "total_blocking_keys_on_nokey",
        "total_blocking_keys_on_nokey",
        Kind::Gauge,
    ),
    (
        "total_commands_processed",
        "commands_processed_total",
        Kind::Counter,
    ),
    (
        "total_connections_received",
        "connections_received_total",
        Kind::Counter,
    ),
    ("total_error_replies", "total_error_replies", Kind::Counter),
    (
        "total_eviction_exceeded_time",
        "eviction_exceeded_time_ms_total",
        Kind::Counter,
    ),
    (
        "total_net_input_bytes",
        "net_input_bytes_total",
        Kind::Counter,
    ),
    (
        "total_net_output_bytes",
        "net_output_bytes_total",
        Kind::Counter,
    ),
    (
        "total_net_repl_input_bytes",
        "net_repl_input_bytes_total",
        Kind::Counter,
    ),
    (
        "total_net_repl_output_bytes",
        "net_repl_output_bytes_total",
        Kind::Counter,
    ),
    (
        "total_reads_processed",
        "total_reads_processed",
        Kind::Counter,
    ),
    ("total_watched_keys", "total_watched_keys", Kind::Gauge),
    (
        "total_writes_processed",
        "total_writes_processed",
        Kind::Counter,
    ),
    ("tracking_clients", "tracking_clients", Kind::Gauge),
    ("tracking_total_items", "tracking_total_items", Kind::Gauge),
    ("tracking_total_keys", "tracking_total_keys", Kind::Gauge),
    (
        "tracking_total_prefixes",
        "tracking_total_prefixes",
        Kind::Gauge,
    ),
    (
        "unexpected_error_replies",
        "unexpected_error_replies",
        Kind::Counter,
    ),
    ("uptime_in_seconds", "uptime_in_seconds", Kind::Gauge),
    (
        "used_active_time_main_thread",
        "active_time_main_thread_seconds_total",
        Kind::Counter,
    ),
    ("used_cpu_sys", "cpu_sys_seconds_total", Kind::Counter),
    (
        "used_cpu_sys_children",
        "cpu_sys_children_seconds_total",
        Kind::Counter,
    ),
    (
        "used_cpu_sys_main_thread",
        "cpu_sys_main_thread_seconds_total",
        Kind::Counter,
    ),
    ("used_cpu_user", "cpu_user_seconds_total", Kind::Counter),
    (
        "used_cpu_user_children",
        "cpu_user_children_seconds_total",
        Kind::Counter,
    ),
    (
        "used_cpu_user_main_thread",
        "cpu_user_main_thread_seconds_total",
        Kind::Counter,
    ),
    ("used_memory", "memory_used_bytes", Kind::Gauge),
    (
        "used_memory_dataset",
        "memory_used_dataset_bytes",
        Kind::Gauge,
    ),
    (
        "used_memory_functions",
        "memory_used_functions_bytes",
        Kind::Gauge,
    ),
    ("used_memory_lua", "memory_used_lua_bytes", Kind::Gauge),
    (
        "used_memory_overhead",
        "memory_used_overhead_bytes",
        Kind::Gauge,
    ),
    ("used_memory_peak", "memory_used_peak_bytes", Kind::Gauge),
    ("used_memory_rss", "memory_used_rss_bytes", Kind::Gauge),
    (
        "used_memory_scripts",
        "memory_used_scripts_bytes",
        Kind::Gauge,
    ),
    (
        "used_memory_scripts_eval",
        "memory_used_scripts_eval_bytes",
        Kind::Gauge,
    ),
    (
        "used_memory_startup",
        "memory_used_startup_bytes",
        Kind::Gauge,
    ),
    (
        "used_memory_vm_eval",
        "memory_used_vm_eval_bytes",
        Kind::Gauge,
    ),
    (
        "used_memory_vm_functions",
        "memory_used_vm_functions_bytes",
        Kind::Gauge,
    ),
    ("used_memory_vm_total", "memory_used_vm_total", Kind::Gauge),
    ("watching_clients", "watching_clients", Kind::Gauge),
];

/// The name and kind of a field, if it is shown.
pub(super) fn field(name: &str) -> Option<(&'static str, Kind)> {
    let i = FIELDS.binary_search_by(|(f, ..)| (*f).cmp(name)).ok()?;
    FIELDS.get(i).map(|(_, metric, kind)| (*metric, *kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_sorted_and_found() {
        assert!(FIELDS.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(
            field("used_memory"),
            Some(("memory_used_bytes", Kind::Gauge))
        );
        assert_eq!(field("redis_version"), None);
    }
}
