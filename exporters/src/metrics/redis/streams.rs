//! Streams that the user names, their groups and consumers.

use std::collections::BTreeMap;

use super::keys::{self, KeyOptions};
use super::resp::Reply;
use super::{Asked, Named};
use crate::emit::Kind;

/// Fields of a reply that lists names and values in turn.
fn fields(reply: &Reply) -> BTreeMap<String, &Reply> {
    let pairs = reply.list().chunks_exact(2);
    pairs
        .filter_map(|p| match p {
            [name, value] => Some((name.text()?, value)),
            _ => None,
        })
        .collect()
}

/// The time of an entry's name, `MILLISECONDS-NUMBER`; zero for none.
fn moment(id: Option<String>) -> f64 {
    let id = id.unwrap_or_default();
    let (millis, _) = id.split_once('-').unwrap_or((&id, ""));
    millis.trim().parse().unwrap_or(0.0)
}

/// Shows every stream that is asked for.
pub(super) fn emit(server: &mut Asked, o: &KeyOptions, out: &mut Named<'_>) -> Result<(), String> {
    for (db, streams) in keys::found(server, &o.single_streams, &o.streams, o.batch)? {
        if server.maybe(&["SELECT", &db.to_string()])?.is_none() {
            continue;
        }
        let db = format!("db{db}");
        for stream in streams {
            one(server, o, [("db", &db), ("stream", &stream)], out)?;
        }
    }
    Ok(())
}

fn one(
    server: &mut Asked,
    o: &KeyOptions,
    labels: [(&str, &str); 2],
    out: &mut Named<'_>,
) -> Result<(), String> {
    let [db, (_, name)] = labels;
    // What is no stream, or is gone, is not shown.
    let Some(reply) = server.maybe(&["XINFO", "STREAM", name])? else {
        return Ok(());
    };
    let Some(groups) = server.maybe(&["XINFO", "GROUPS", name])? else {
        return Ok(());
    };
    let facts = fields(&reply);
    let number = |field: &str| facts.get(field).and_then(|r| r.number()).unwrap_or(0.0);
    let id = |field: &str| moment(facts.get(field).and_then(|r| r.text()));
    // An entry is its name and its values.
    let entry = |field: &str| {
        let entry = facts.get(field).and_then(|r| r.list().first());
        moment(entry.and_then(Reply::text))
    };
    for (name, help, v) in [
        (
            "stream_length",
            "The number of elements of the stream",
            number("length"),
        ),
        (
            "stream_radix_tree_keys",
            "Radix tree keys count\"",
            number("radix-tree-keys"),
        ),
        (
            "stream_radix_tree_nodes",
            "Radix tree nodes count",
            number("radix-tree-nodes"),
        ),
        (
            "stream_last_generated_id",
            "The epoch timestamp (ms) of the latest message on the stream",
            id("last-generated-id"),
        ),
        ("stream_groups", "Groups count of stream", number("groups")),
        (
            "stream_max_deleted_entry_id",
            "The epoch timestamp (ms) of last message was deleted from the stream",
            id("max-deleted-entry-id"),
        ),
        (
            "stream_first_entry_id",
            "The epoch timestamp (ms) of the first message in the stream",
            entry("first-entry"),
        ),
        (
            "stream_last_entry_id",
            "The epoch timestamp (ms) of the last message in the stream",
            entry("last-entry"),
        ),
    ] {
        out.gauge(name, help, &labels, v);
    }
    out.add(
        "stream_entries_added_total",
        "The count of all entries added to the stream during its lifetime",
        Kind::Counter,
        &labels,
        number("entries-added"),
    );
    for group in groups.list() {
        let facts = fields(group);
        let of = facts.get("name").and_then(|r| r.text()).unwrap_or_default();
        let labels = [db, ("stream", name), ("group", of.as_str())];
        let number = |field: &str| facts.get(field).and_then(|r| r.number()).unwrap_or(0.0);
        for (metric, help, v) in [
            (
                "stream_group_consumers",
                "Consumers count of stream group",
                number("consumers"),
            ),
            (
                "stream_group_messages_pending",
                "Pending number of messages in that stream group",
                number("pending"),
            ),
            (
                "stream_group_last_delivered_id",
                "The epoch timestamp (ms) of the last delivered message",
                moment(facts.get("last-delivered-id").and_then(|r| r.text())),
            ),
            (
                "stream_group_entries_read",
                "Total number of entries read from the stream group",
                number("entries-read"),
            ),
            (
                "stream_group_lag",
                "The number of messages waiting to be delivered to the stream group's consumers",
                number("lag"),
            ),
        ] {
            out.gauge(metric, help, &labels, v);
        }
        if o.consumers {
            consumers(server, labels, out)?;
        }
    }
    Ok(())
}

fn consumers(
    server: &mut Asked,
    labels: [(&str, &str); 3],
    out: &mut Named<'_>,
) -> Result<(), String> {
    let [db, stream, group] = labels;
    let words = ["XINFO", "CONSUMERS", stream.1, group.1];
    let reply = server.maybe(&words)?;
    for consumer in reply.as_ref().map_or(&[][..], Reply::list) {
        let facts = fields(consumer);
        let name = facts.get("name").and_then(|r| r.text()).unwrap_or_default();
        let labels = [db, stream, group, ("consumer", name.as_str())];
        let number = |field: &str| facts.get(field).and_then(|r| r.number()).unwrap_or(0.0);
        out.gauge(
            "stream_group_consumer_messages_pending",
            "Pending number of messages for this specific consumer",
            &labels,
            number("pending"),
        );
        out.gauge(
            "stream_group_consumer_idle_seconds",
            "Consumer idle time in seconds",
            &labels,
            number("idle") / 1000.0,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn names_of_entries_begin_with_their_time() {
        for (id, millis) in [
            ("1638006862416-2", 1_638_006_862_416.0),
            ("0-0", 0.0),
            ("", 0.0),
        ] {
            assert_eq!(moment(Some(id.into())), millis, "{id}");
        }
        assert_eq!(moment(None), 0.0);
    }
}
