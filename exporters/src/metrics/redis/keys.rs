//! Keys that the user names: their size, their memory, their value, how many there are.
//!
//! Patterns are searched for with `SCAN`, which does not hold the server up. Questions about many
//! keys go out together, so that their number costs bandwidth and not round trips.

use std::collections::{BTreeMap, BTreeSet};

use super::resp::Reply;
use super::target::unescape;
use super::{Asked, Named};

/// Most keys that the patterns of one flag bring.
const KEYS_MAX: usize = 100_000;
/// Questions that go out together.
const BATCH: usize = 256;
/// Values that are asked for together: they may be long.
const VALUES_BATCH: usize = 8;
/// Longest text that is shown as a value; longer ones are no label.
const VALUE_BYTES_MAX: f64 = 65_536.0;

/// Keys or patterns with their database: `db0=user:*,counter`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyList(Vec<(u32, String)>);

impl KeyList {
    /// Reads a list. Commas and equals signs in keys are written `%2C` and `%3D`.
    ///
    /// # Errors
    /// Names the entry that is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut all = Vec::new();
        for entry in text.split(',').filter(|e| !e.is_empty()) {
            let parts: Vec<&str> = entry.split('=').map(str::trim).collect();
            let (db, key) = match parts.as_slice() {
                [key] => ("0".to_owned(), *key),
                [db, key] => (db.replace("db", ""), *key),
                _ => return Err(format!("invalid key list argument: {entry}")),
            };
            let key = unescape(&key.replace('+', " "))
                .map_err(|_| format!("couldn't parse db/key string: {entry}"))?;
            if db.is_empty() || key.is_empty() {
                continue;
            }
            let number = db
                .parse()
                .map_err(|_| format!("invalid database index for db {db:?}"))?;
            all.push((number, key));
        }
        Ok(Self(all))
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What is asked about keys.
#[derive(Debug, Clone)]
pub struct KeyOptions {
    /// Patterns of keys that are shown one by one.
    pub patterns: KeyList,
    /// Keys that are shown one by one.
    pub single: KeyList,
    /// Patterns of which the number of keys is shown.
    pub count: KeyList,
    /// Patterns of streams.
    pub streams: KeyList,
    /// Streams.
    pub single_streams: KeyList,
    /// Keys per step of a search, about.
    pub batch: u32,
    /// Whether values of keys are shown.
    pub values: bool,
    /// Whether each consumer of a stream is shown.
    pub consumers: bool,
    /// Whether servers that are not replicas are left alone.
    pub replicas_only: bool,
    /// Lua patterns whose captures name groups of keys.
    pub groups: Vec<String>,
    /// Most groups that are shown per database.
    pub groups_max: usize,
}

impl Default for KeyOptions {
    fn default() -> Self {
        Self {
            patterns: KeyList::default(),
            single: KeyList::default(),
            count: KeyList::default(),
            streams: KeyList::default(),
            single_streams: KeyList::default(),
            batch: 1000,
            values: true,
            consumers: true,
            replicas_only: false,
            groups: Vec::new(),
            groups_max: 100,
        }
    }
}

/// Goes through all keys of the selected database that match, in pieces.
fn scan(
    server: &mut Asked,
    pattern: &str,
    batch: u32,
    each: &mut dyn FnMut(&[Reply]) -> bool,
) -> Result<(), String> {
    let batch = batch.to_string();
    let mut cursor = "0".to_owned();
    loop {
        let words = ["SCAN", &cursor, "MATCH", pattern, "COUNT", &batch];
        let Some(reply) = server.maybe(&words)? else {
            return Ok(());
        };
        let [next, keys] = reply.list() else {
            return Ok(());
        };
        cursor = next.text().unwrap_or_default();
        if !each(keys.list()) || cursor == "0" || cursor.is_empty() {
            return Ok(());
        }
    }
}

/// The keys of both lists by database, patterns replaced by the keys that match.
pub(super) fn found(
    server: &mut Asked,
    single: &KeyList,
    patterns: &KeyList,
    batch: u32,
) -> Result<BTreeMap<u32, BTreeSet<String>>, String> {
    let mut all: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for (db, key) in &single.0 {
        all.entry(*db).or_default().insert(key.clone());
    }
    let mut left = KEYS_MAX;
    for (db, pattern) in &patterns.0 {
        let keys = all.entry(*db).or_default();
        if !pattern.contains(['?', '*', '[', ']', '^']) {
            keys.insert(pattern.clone());
            continue;
        }
        if server.maybe(&["SELECT", &db.to_string()])?.is_none() {
            continue;
        }
        scan(server, pattern, batch, &mut |found| {
            for key in found.iter().filter_map(Reply::text).take(left) {
                left -= usize::from(keys.insert(key));
            }
            left > 0
        })?;
    }
    Ok(all)
}

/// Shows every key that is asked for.
pub(super) fn emit(server: &mut Asked, o: &KeyOptions, out: &mut Named<'_>) -> Result<(), String> {
    if o.single.is_empty() && o.patterns.is_empty() {
        return Ok(());
    }
    for (db, keys) in found(server, &o.single, &o.patterns, o.batch)? {
        if server.maybe(&["SELECT", &db.to_string()])?.is_none() {
            continue;
        }
        let db = format!("db{db}");
        let keys: Vec<String> = keys.into_iter().collect();
        for keys in keys.chunks(BATCH / 2) {
            sizes(server, o, &db, keys, out)?;
        }
    }
    Ok(())
}

/// Memory, size and value of some keys of one database.
fn sizes(
    server: &mut Asked,
    o: &KeyOptions,
    db: &str,
    keys: &[String],
    out: &mut Named<'_>,
) -> Result<(), String> {
    let first = keys.iter().flat_map(|k| {
        [
            vec!["TYPE", k.as_str()],
            vec!["MEMORY", "USAGE", k.as_str()],
        ]
    });
    let replies = server.all(&first.collect::<Vec<_>>())?;
    let mut asked = Vec::new();
    for (key, pair) in keys.iter().zip(replies.chunks(2)) {
        let kind = pair.first().and_then(|r| r.as_ref()?.text());
        if let Some(bytes) = pair.get(1).and_then(|r| r.as_ref()?.number()) {
            out.gauge(
                "key_memory_usage_bytes",
                "The memory usage of \"key\" in bytes",
                &[("db", db), ("key", key)],
                bytes,
            );
        }
        let commands: &[&str] = match kind.as_deref() {
            // Only a HyperLogLog answers the first one.
            Some("string") => &["PFCOUNT", "STRLEN"],
            Some("list") => &["LLEN"],
            Some("set") => &["SCARD"],
            Some("zset") => &["ZCARD"],
            Some("hash") => &["HLEN"],
            Some("stream") => &["XLEN"],
            Some("array") => &["ARCOUNT"],
            _ => continue,
        };
        asked.extend(commands.iter().map(|c| (*c, key.as_str())));
    }
    let words: Vec<Vec<&str>> = asked.iter().map(|(c, k)| vec![*c, *k]).collect();
    let replies = server.all(&words)?;
    let sizes = replies.iter().map(|r| r.as_ref().and_then(Reply::number));
    let mut logs = BTreeSet::new();
    let mut texts = Vec::new();
    for ((command, key), size) in asked.into_iter().zip(sizes) {
        let Some(size) = size.filter(|_| !logs.contains(key)) else {
            continue;
        };
        match command {
            "PFCOUNT" => drop(logs.insert(key)),
            "STRLEN" if size > 0.0 && size <= VALUE_BYTES_MAX => texts.push(key),
            _ => {}
        }
        let labels = [("db", db), ("key", key)];
        out.gauge("key_size", "The length or size of \"key\"", &labels, size);
    }
    if o.values {
        for keys in texts.chunks(VALUES_BATCH) {
            values(server, db, keys, out)?;
        }
    }
    Ok(())
}

/// Values of keys that are texts: a number as a number, others as a label.
fn values(server: &mut Asked, db: &str, keys: &[&str], out: &mut Named<'_>) -> Result<(), String> {
    let words: Vec<Vec<&str>> = keys.iter().map(|k| vec!["GET", *k]).collect();
    for (key, reply) in keys.iter().zip(server.all(&words)?) {
        let Some(text) = reply.and_then(|r| r.text()) else {
            continue;
        };
        match text.parse() {
            Ok(v) => out.gauge(
                "key_value",
                "The value of \"key\"",
                &[("db", db), ("key", key)],
                v,
            ),
            Err(_) => out.gauge(
                "key_value_as_string",
                "The value of \"key\" as a string",
                &[("db", db), ("key", key), ("val", &text)],
                1.0,
            ),
        }
    }
    Ok(())
}

/// Shows how many keys match each pattern.
pub(super) fn count(server: &mut Asked, o: &KeyOptions, out: &mut Named<'_>) -> Result<(), String> {
    for (db, pattern) in &o.count.0 {
        if server.maybe(&["SELECT", &db.to_string()])?.is_none() {
            continue;
        }
        let mut n = 0usize;
        scan(server, pattern, o.batch, &mut |keys| {
            n += keys.len();
            true
        })?;
        let db = format!("db{db}");
        let labels = [("db", db.as_str()), ("key", pattern.as_str())];
        out.gauge("keys_count", "Count of keys", &labels, n as f64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::KeyList;

    #[test]
    fn lists_of_keys_are_read() {
        let list = KeyList::parse("db1=a*, b%3Dc ,3=d+e,,db=,x").expect("a list");
        let wanted = [(1, "a*"), (0, "b=c"), (3, "d e"), (0, "x")];
        assert_eq!(list.0, wanted.map(|(d, k)| (d, k.to_owned())));
        for bad in ["a=b=c", "dbx=k", "-1=k", "k%zz"] {
            assert!(KeyList::parse(bad).is_err(), "{bad}");
        }
    }
}
