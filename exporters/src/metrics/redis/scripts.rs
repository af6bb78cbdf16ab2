//! Scripts of the user, and groups of keys, which are found with a script of ours.

use std::collections::BTreeMap;
use std::time::Instant;

use super::keys::KeyOptions;
use super::resp::Reply;
use super::{Asked, Named};

/// A script of the user.
#[derive(Debug, Clone)]
pub struct Script {
    /// Its file, as it was named.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// Runs the scripts; each gives names and numbers in turn. One that fails is told by its result.
pub(super) fn emit(
    server: &mut Asked,
    scripts: &[Script],
    read_only: bool,
    out: &mut Named<'_>,
) -> Result<(), String> {
    let command = if read_only { "EVAL_RO" } else { "EVAL" };
    for script in scripts {
        let file = ("filename", script.file.as_str());
        let reply = server.maybe(&[command, &script.text, "0", "0"])?;
        let values = reply.as_ref().and_then(values);
        let result = match &values {
            None => 0.0,
            Some(v) if v.is_empty() => 2.0,
            Some(_) => 1.0,
        };
        for (key, v) in values.unwrap_or_default() {
            out.gauge(
                "script_values",
                "Values returned by the collect script",
                &[("key", &key), file],
                v,
            );
        }
        out.gauge(
            "script_result",
            "Result of the collect script evaluation",
            &[file],
            result,
        );
    }
    Ok(())
}

/// Names and numbers of a reply; none when it is something else.
fn values(reply: &Reply) -> Option<BTreeMap<String, f64>> {
    let all = match reply {
        Reply::List(all) if all.len() % 2 == 0 => all,
        _ => return None,
    };
    let pairs = all.chunks_exact(2).map(|pair| match pair {
        [name, value] => Some((name.text()?, value.number()?)),
        _ => None,
    });
    pairs.collect()
}

/// One step of a search: the keys of a piece of the database, by group. A group is what the
/// captures of the first pattern that fits have found.
const GROUPS: &str = r#"
local piece = redis.call('SCAN', ARGV[1], 'COUNT', ARGV[2])
local number, bytes, names = {}, {}, {}
for _, key in ipairs(piece[2]) do
  local name
  for i = 3, #ARGV do
    local hit = {string.find(key, ARGV[i])}
    if hit[1] then
      name = table.concat(hit, '', 3)
      break
    end
  end
  name = name or 'unclassified'
  local used = redis.pcall('MEMORY', 'USAGE', key)
  if type(used) ~= 'number' then used = 0 end
  if not number[name] then
    number[name], bytes[name] = 0, 0
    names[#names + 1] = name
  end
  number[name] = number[name] + 1
  bytes[name] = bytes[name] + used
end
local result = {}
for i, name in ipairs(names) do
  result[i] = {name, number[name], bytes[name]}
end
return {piece[1], result}
"#;

/// Most groups that are kept of one database.
const GROUPS_MAX: usize = 100_000;

/// Shows groups of keys of every database, the largest ones by themselves.
pub(super) fn groups(
    server: &mut Asked,
    o: &KeyOptions,
    databases: usize,
    out: &mut Named<'_>,
) -> Result<(), String> {
    let started = Instant::now();
    let databases = if o.groups.is_empty() { 0 } else { databases };
    for db in 0..databases {
        if server.maybe(&["SELECT", &db.to_string()])?.is_none() {
            continue;
        }
        let Some(mut all) = of_database(server, o)? else {
            continue;
        };
        let db = format!("db{db}");
        let distinct = all.len() as f64;
        all.sort_by(|(a, x), (b, y)| {
            y[1].total_cmp(&x[1])
                .then(x[0].total_cmp(&y[0]))
                .then(a.cmp(b))
        });
        if all.len() > o.groups_max {
            let rest = all.split_off(o.groups_max);
            let sum = |i: usize| rest.iter().map(|(_, v)| v[i]).sum();
            all.push(("overflow".into(), [sum(0), sum(1)]));
        }
        for (group, [number, bytes]) in &all {
            let labels = [("db", db.as_str()), ("key_group", group.as_str())];
            out.gauge(
                "key_group_count",
                "Count of keys in key group",
                &labels,
                *number,
            );
            out.gauge(
                "key_group_memory_usage_bytes",
                "Total memory usage of key group in bytes",
                &labels,
                *bytes,
            );
        }
        out.gauge(
            "number_of_distinct_key_groups",
            "Number of distinct key groups",
            &[("db", &db)],
            distinct,
        );
    }
    out.gauge(
        "last_key_groups_scrape_duration_milliseconds",
        "Duration of the last key group metrics scrape in milliseconds",
        &[],
        started.elapsed().as_millis() as f64,
    );
    Ok(())
}

/// Number and bytes of every group of the selected database; none when the server does not want
/// to tell.
fn of_database(
    server: &mut Asked,
    o: &KeyOptions,
) -> Result<Option<Vec<(String, [f64; 2])>>, String> {
    let batch = o.batch.to_string();
    let mut all: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    let mut cursor = "0".to_owned();
    loop {
        let mut words = vec!["EVAL", GROUPS, "0", &cursor, &batch];
        words.extend(o.groups.iter().map(String::as_str));
        let Some(reply) = server.maybe(&words)? else {
            return Ok(None);
        };
        let [next, groups] = reply.list() else {
            return Ok(None);
        };
        for group in groups.list() {
            let [name, number, bytes] = group.list() else {
                continue;
            };
            let (Some(name), Some(number), Some(bytes)) =
                (name.text(), number.number(), bytes.number())
            else {
                continue;
            };
            if all.len() >= GROUPS_MAX && !all.contains_key(&name) {
                continue;
            }
            let sums = all.entry(name).or_default();
            sums[0] += number;
            sums[1] += bytes;
        }
        cursor = next.text().unwrap_or_default();
        if cursor == "0" || cursor.is_empty() {
            return Ok(Some(all.into_iter().collect()));
        }
    }
}
