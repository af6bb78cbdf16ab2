//! Hostile lines from a seed: broken JSON and logfmt, NUL, newlines, bytes that are no UTF-8,
//! duplicates, entries out of order, structured metadata.

use engine::model::Labels;

use super::Pushed;
use super::generate::Rng;

pub const SECOND: i64 = 1_000_000_000;
/// The first possible entry: a whole minute.
pub const FIRST: i64 = 1_700_000_040 * SECOND;
/// Entries lie within half an hour.
pub const SPAN: i64 = 1800;

fn pick_labels(r: &mut Rng) -> Labels {
    let mut pairs = vec![
        ("app", r.pick(&["api", "web", "db"])),
        ("env", r.pick(&["prod", "dev"])),
    ];
    for (name, values, percent) in [
        ("level", &["info", "error"][..], 25),
        ("status", &["200", "oops"][..], 15),
        ("host", &["h-1", "ho\"st\\2", "höst\n3"][..], 40),
    ] {
        if r.chance(percent) {
            pairs.push((name, r.pick(values)));
        }
    }
    Labels::from_pairs(pairs)
}

fn metadata(r: &mut Rng) -> Labels {
    let mut pairs = Vec::new();
    for (name, values, percent) in [
        ("trace_id", &["t1", "t2", "ü"][..], 15),
        ("level", &["warn", "debug"][..], 8),
        ("size", &["12", "3KB"][..], 8),
        ("env", &["meta"][..], 4),
    ] {
        if r.chance(percent) {
            pairs.push((name, r.pick(values)));
        }
    }
    Labels::from_pairs(pairs)
}

/// A value of a field, mostly sensible.
fn field_value(r: &mut Rng, key: &str) -> String {
    let sensible: &[&str] = match key {
        "status" => &["200", "404", "500", "503", "2e2"],
        "dur" => &["12ms", "1.5s", "2m3s", "250us", "-5ms", "0"],
        "size" => &["512", "1.5KB", "4KiB", "2MB", "1,024", "10 kb"],
        "level" => &["info", "warn", "error", "DEBUG"],
        "addr" => &["10.0.0.7", "192.168.1.20", "10.1.2.3:80", "2001:db8::5"],
        "n" => &["1", "2", "3", "10", "12.25", "1e3", "-7", "0"],
        "user" => &["bob", "alice", "eve.x", "bob"],
        _ => &["x", "y z", "ümlaut", "a=b"],
    };
    let odd = [
        "",
        "oops",
        "0x10",
        "1_000",
        "1d",
        "NaN",
        "+Inf",
        "10.0.0.1.",
    ];
    if r.chance(10) {
        r.pick(&odd)
    } else {
        r.pick(sensible)
    }
    .to_owned()
}

const KEYS: [&str; 9] = [
    "status", "dur", "size", "level", "addr", "n", "user", "msg", "app",
];

fn logfmt_line(r: &mut Rng) -> String {
    let mut parts = Vec::new();
    for _ in 0..1 + r.below(7) {
        let key = r.pick(&KEYS);
        let value = field_value(r, key);
        parts.push(match r.below(24) {
            0 => key.to_owned(),
            1 => format!("{key}="),
            2 => format!("={value}"),
            3 => format!("{key}=a=b"),
            4 => format!("{key}\"x={value}"),
            5 => format!("{key}=\"{value} \\\"quoted\\\" \\n\\u00e9\""),
            6 => format!("{key}=\"bad \\x escape\""),
            7 => format!("{key}.sub-1={value}"),
            8 => format!("1{key}={value}"),
            9 => format!("{key}=\"{value}"),
            10..=12 => format!("{key}=\"{value}\""),
            _ if value.contains([' ', '=']) => format!("{key}=\"{value}\""),
            _ => format!("{key}={value}"),
        });
    }
    parts.join(r.pick(&[" ", " ", " ", "  ", "\t"]))
}

fn json_value(r: &mut Rng, key: &str, depth: usize) -> String {
    let value = field_value(r, key);
    match r.below(16) {
        0 => "null".to_owned(),
        1 => r.pick(&["true", "false"]).to_owned(),
        2 => format!("[{}, {{\"k\": \"in\"}}, [1]]", json_value(r, key, 9)),
        3 | 4 if depth < 3 => json_object(r, depth + 1),
        5 => "\"esc \\\"q\\\" \\\\ \\n \\u00e9 \\ud83d\\ude00\"".to_owned(),
        6 => "\"bad \\q escape\"".to_owned(),
        7..=9 => r.pick(&["1", "-2.50", "1e3", "200", "500", "0"]).to_owned(),
        _ => format!("\"{value}\""),
    }
}

fn json_object(r: &mut Rng, depth: usize) -> String {
    let mut parts = Vec::new();
    for _ in 0..r.below(5) + usize::from(depth == 0) {
        let key = r.pick(&KEYS);
        let value = json_value(r, key, depth);
        let key = match r.below(14) {
            0 => format!("{key}.x y"),
            1 => format!("9{key}"),
            2 => " ".to_owned(),
            3 => format!("{key}\\u005fz"),
            4 => "obj".to_owned(),
            _ => key.to_owned(),
        };
        parts.push(format!("\"{key}\":{}{value}", r.pick(&["", " "])));
    }
    format!("{{{}}}", parts.join(r.pick(&[",", ", ", " , "])))
}

fn access_line(r: &mut Rng) -> String {
    format!(
        "{} - {} [{}] \"{} /{} HTTP/1.1\" {} {}",
        field_value(r, "addr"),
        field_value(r, "user"),
        r.below(60),
        r.pick(&["GET", "POST"]),
        r.pick(&["", "a/b", "x?y=1", "<odd>"]),
        field_value(r, "status"),
        r.below(5000),
    )
}

fn raw_line(r: &mut Rng) -> Vec<u8> {
    let text: &[u8] = match r.below(10) {
        0 => b"",
        1 => b"nul \0 inside status=200",
        2 => b"bad \xff\xfe utf8 \xc3( level=error n=3 k\xff=1",
        3 => b"two\nlines status=500\r\nlevel=info",
        4 => "emoji 😀 ümlaut level=info \u{fffd} dur=5ms".as_bytes(),
        5 => b"\x1b[31mred\x1b[0m \x1b[1;32;40mgreen\x1b[0m level=error \x1b]0;title\x07end",
        6 => b" ",
        7 => b"\"just a string\"",
        8 => b"[1, {\"status\": \"500\"}, \"x\"]",
        _ => b"plain words and nothing else; error: 10.0.0.7",
    };
    text.to_vec()
}

fn line(r: &mut Rng) -> Vec<u8> {
    let text = match r.below(12) {
        0..=4 => logfmt_line(r),
        5..=7 => json_object(r, 0),
        8 => {
            let whole = json_object(r, 0);
            let cut = r.below(whole.len() + 1);
            let cut = (0..=cut).rev().find(|c| whole.is_char_boundary(*c));
            match r.below(3) {
                0 => whole[..cut.unwrap_or(0)].to_owned(),
                1 => format!("{whole} trailing"),
                _ => whole.replacen(',', ";", 1),
            }
        }
        9 => {
            let entry = logfmt_line(r).replace(['"', '\\'], "'");
            let user = field_value(r, "user");
            let packed = format!("\"user\":\"{user}\",\"pod\":\"p{}\"", r.below(3));
            match r.below(4) {
                0 => format!("{{{packed}}}"),
                1 => format!("{{{packed},\"_entry\":\"{entry}\",\"n\":5}}"),
                _ => format!("{{\"_entry\":\"{entry}\",{packed}}}"),
            }
        }
        10 => access_line(r),
        _ => return raw_line(r),
    };
    text.into_bytes()
}

/// Entries in the order in which they are pushed.
pub fn entries(r: &mut Rng) -> Vec<Pushed> {
    let streams: Vec<Labels> = (0..4 + r.below(6)).map(|_| pick_labels(r)).collect();
    let mut out: Vec<Pushed> = Vec::new();
    let count = 150 + r.below(200);
    let mut now = 0;
    for _ in 0..count {
        if !out.is_empty() && r.chance(5) {
            // A duplicate, near or far.
            let again = out[r.below(out.len())].clone();
            out.push(again);
            continue;
        }
        now = (now + r.below(12) as i64).min(SPAN);
        // Out of order now and then, and often at the same time.
        let at = if r.chance(15) {
            r.below(SPAN as usize) as i64
        } else {
            now
        };
        let fine = if r.chance(20) {
            r.below(SECOND as usize) as i64
        } else {
            0
        };
        out.push(Pushed {
            stream: streams[r.below(streams.len())].clone(),
            time: FIRST + at * SECOND + fine,
            line: line(r),
            metadata: metadata(r),
        });
    }
    out
}
