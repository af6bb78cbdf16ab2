//! Modules that a server has loaded, and indexes of the one for searching.

use regex::Regex;

use super::resp::Reply;
use super::{Asked, Named, fields, info};
use crate::emit::Kind;

/// Bytes of the unit in which sizes of indexes are told.
const MIB: f64 = 1_048_576.0;

/// Shows the modules and what they tell about themselves.
pub(super) fn emit(server: &mut Asked, out: &mut Named<'_>) -> Result<(), String> {
    let reply = server.maybe(&["INFO", "MODULES"])?;
    let text = reply.and_then(|r| r.text()).unwrap_or_default();
    for line in text.lines() {
        let Some((field, value)) = line.trim_end().split_once(':') else {
            continue;
        };
        if field != "module" {
            fields::emit(field, value, out);
            continue;
        }
        // name=search,ver=21005,api=1,filters=0,usedby=[],using=[ReJSON],options=[...]
        let facts = info::pairs(value);
        let names = ["name", "ver", "api", "filters", "usedby", "using"];
        let labels = names.map(|n| (n, facts.get(n).copied().unwrap_or("")));
        let help = "Information about loaded Redis module";
        out.gauge("module_info", help, &labels, 1.0);
    }
    Ok(())
}

/// Field of an index, factor, metric, help.
const INDEX: [(&str, f64, &str, &str); 24] = [
    (
        "num_docs",
        1.0,
        "search_index_num_docs",
        "Number of documents in search index",
    ),
    (
        "max_doc_id",
        1.0,
        "search_index_max_doc_id",
        "Maximum document ID in search index",
    ),
    (
        "num_terms",
        1.0,
        "search_index_num_terms",
        "Number of distinct terms in search index",
    ),
    (
        "num_records",
        1.0,
        "search_index_num_records",
        "Total number of records in search index",
    ),
    (
        "inverted_sz_mb",
        MIB,
        "search_index_inverted_size_bytes",
        "Memory used by the inverted index",
    ),
    (
        "total_inverted_index_blocks",
        1.0,
        "search_index_total_inverted_index_blocks",
        "Total number of blocks in the inverted index",
    ),
    (
        "vector_index_sz_mb",
        MIB,
        "search_index_vector_index_size_bytes",
        "Memory used by the vector index, stores vectors associated with each document",
    ),
    (
        "offset_vectors_sz_mb",
        MIB,
        "search_index_offset_vectors_size_bytes",
        "Memory used by the offset vectors, store positional information for terms in documents",
    ),
    (
        "doc_table_size_mb",
        MIB,
        "search_index_doc_table_size_bytes",
        "Memory used by the document table, contains metadata about each document in the index",
    ),
    (
        "sortable_values_size_mb",
        MIB,
        "search_index_sortable_values_size_bytes",
        "Memory used by sortable values, used for sorting purposes",
    ),
    (
        "key_table_size_mb",
        MIB,
        "search_index_key_table_size_bytes",
        "Memory used by the key table, stores mapping between document IDs and keys",
    ),
    (
        "tag_overhead_sz_mb",
        MIB,
        "search_index_tag_overhead_size_bytes",
        "Size of the TAG index structures used for optimising performance",
    ),
    (
        "text_overhead_sz_mb",
        MIB,
        "search_index_text_overhead_size_bytes",
        "Size of the TEXT index structures used for optimising performance",
    ),
    (
        "total_index_memory_sz_mb",
        MIB,
        "search_index_total_index_memory_size_bytes",
        "Total memory consumed by all indexes in the DB",
    ),
    (
        "geoshapes_sz_mb",
        MIB,
        "search_index_geoshapes_size_bytes",
        "Memory used by GEO-related fields",
    ),
    (
        "records_per_doc_avg",
        1.0,
        "search_index_avg_per_doc_records",
        "Average number of records (including deletions) per document",
    ),
    (
        "bytes_per_record_avg",
        1.0,
        "search_index_avg_per_record_bytes",
        "Average size of each record in bytes",
    ),
    (
        "offsets_per_term_avg",
        1.0,
        "search_index_avg_per_term_offsets",
        "Average number of offsets (position information) per term",
    ),
    (
        "offset_bits_per_record_avg",
        1.0,
        "search_index_avg_per_record_offset_bits",
        "Average number of bits used for offsets per record",
    ),
    (
        "indexing",
        1.0,
        "search_index_indexing",
        "Indicates whether the index is currently being generated",
    ),
    (
        "percent_indexed",
        1.0,
        "search_index_percent_indexed",
        "Percentage of the index that has been successfully generated (0-1)",
    ),
    (
        "hash_indexing_failures",
        1.0,
        "search_index_hash_indexing_failures",
        "Number of failures encountered during indexing",
    ),
    (
        "number_of_uses",
        1.0,
        "search_index_number_of_uses_total",
        "Number of times the index has been used",
    ),
    (
        "cleaning",
        1.0,
        "search_index_cleaning",
        "Index deletion flag. A value of 1 indicates index deletion is in progress",
    ),
];

/// Names of indexes that are shown.
#[derive(Debug, Clone)]
pub struct IndexNames(Regex);

impl IndexNames {
    /// Reads a regular expression.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        Regex::new(pattern).map(Self).map_err(|e| e.to_string())
    }
}

/// Shows the indexes that are wanted.
pub(super) fn indexes(
    server: &mut Asked,
    wanted: &IndexNames,
    out: &mut Named<'_>,
) -> Result<(), String> {
    let names = server.maybe(&["FT._LIST"])?;
    let names = names.as_ref().map_or(&[][..], Reply::list);
    for name in names.iter().filter_map(Reply::text) {
        if !wanted.0.is_match(&name) {
            continue;
        }
        let Some(reply) = server.maybe(&["FT.INFO", &name])? else {
            continue;
        };
        let mut pairs = reply.list().chunks_exact(2);
        let facts: Vec<(String, f64)> = pairs
            .by_ref()
            .filter_map(|p| match p {
                [name, value] => Some((name.text()?, value.number()?)),
                _ => None,
            })
            .collect();
        for (field, factor, metric, help) in INDEX {
            let v = facts
                .iter()
                .find(|(n, _)| n == field)
                .map_or(0.0, |(_, v)| *v);
            let kind = if metric.ends_with("_total") {
                Kind::Counter
            } else {
                Kind::Gauge
            };
            out.add(metric, help, kind, &[("index_name", &name)], v * factor);
        }
    }
    Ok(())
}

/// What Tile38 tells about itself beyond `INFO`.
pub(super) fn tile38(server: &mut Asked, out: &mut Named<'_>) -> Result<(), String> {
    let reply = server.maybe(&["SERVER", "EXT"])?;
    for pair in reply.as_ref().map_or(&[][..], Reply::list).chunks_exact(2) {
        let [name, value] = pair else { continue };
        let (Some(name), Some(value)) = (name.text(), value.text()) else {
            continue;
        };
        let name = match name.strip_prefix("tile38_") {
            Some(_) => name,
            None => format!("tile38_{name}"),
        };
        fields::emit(&name, &value, out);
    }
    Ok(())
}
