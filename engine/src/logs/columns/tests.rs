//! Any lines come back, any bytes are read without harm.

use crate::chunk::frame::Unpacker;
use proptest::prelude::*;

use super::*;
use crate::chunk::ChunkError;
use crate::logs::ByteSet;
use crate::logs::needle::Needle;

/// All lines of a page.
fn decode(page: &[u8], n: usize, bytes: usize) -> Result<Vec<u8>, ChunkError> {
    let unpacker = Unpacker::default();
    let packed = open(page, n, bytes, &unpacker)?;
    Ok(Page::new(&packed, n, bytes)?.lines(Pick::All)?.bytes)
}

fn encoded(lines: &[Vec<u8>]) -> (Vec<u8>, usize) {
    let text: Vec<u8> = lines.concat();
    let mut ends = Vec::new();
    lines.iter().fold(0, |n, l| {
        ends.push((n + l.len()) as u32);
        n + l.len()
    });
    let mut zstd = zstd::bulk::Compressor::new(1).expect("a compressor");
    let page = encode(&text, &ends, &mut zstd).expect("encoded");
    (page.expect("rebuilt"), text.len())
}

fn round_trip(lines: &[Vec<u8>]) -> Option<usize> {
    let mut text = Vec::new();
    let mut ends = Vec::new();
    for l in lines {
        text.extend_from_slice(l);
        ends.push(text.len() as u32);
    }
    let mut zstd = zstd::bulk::Compressor::new(1).expect("a compressor");
    let page = encode(&text, &ends, &mut zstd).expect("encoded")?;
    assert_eq!(
        decode(&page, lines.len(), text.len()).expect("decoded"),
        text
    );
    Some(page.len())
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        (0..100u32).prop_map(|n| format!("{n:05}")),
        (0..100_000u32).prop_map(|n| format!("{}.{:03}", n / 1000, n % 1000)),
        any::<u64>().prop_map(|n| format!("{n:016x}")),
        (0..86_400u32).prop_map(|s| format!(
            "2026-11-20T{:02}:{:02}:{:02}.{:03}Z",
            s / 3600,
            s / 60 % 60,
            s % 60,
            s % 1000
        )),
        "[a-z]{0,3}( [a-z0-9]{1,4}){0,3}",
        Just("-0".to_owned()),
        Just("1.".to_owned()),
        Just("2026-02-30T00:00:00Z".to_owned()),
        Just("é \u{1} \\\" x".to_owned()),
    ]
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let pair = || ("[a-c]{1,2}", value());
    prop_oneof![
        prop::collection::vec(pair(), 0..5).prop_map(|p| {
            let f: Vec<String> = p.iter().map(|(k, v)| format!("\"{k}\":\"{v}\"")).collect();
            format!("{{{}}}", f.join(",")).into_bytes()
        }),
        prop::collection::vec(pair(), 1..5).prop_map(|p| {
            let f: Vec<String> = p.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
            format!("{{{}}}", f.join(", ")).into_bytes()
        }),
        prop::collection::vec(pair(), 1..5).prop_map(|p| {
            let f: Vec<String> = p.iter().map(|(k, v)| format!("{k}={v}")).collect();
            f.join(" ").into_bytes()
        }),
        value().prop_map(|v| format!("GET /a/{v} \"agent {v}\" {v}").into_bytes()),
        prop::collection::vec(any::<u8>(), 0..20),
        "[{}\":=, a0\\\\]{0,12}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn lines_come_back(lines in prop::collection::vec(line(), 1..120)) {
        prop_assert!(round_trip(&lines).is_some(), "not rebuilt");
    }

    #[test]
    fn values_of_one_kind_come_back(
        kind in 0..7usize,
        seeds in prop::collection::vec(any::<u32>(), 40..80),
    ) {
        let lines: Vec<Vec<u8>> = seeds.iter().map(|s| {
            let v = match kind {
                0 => format!("{}", i64::from(*s) - 7),
                1 => format!("{:08}", s % 10_000_000),
                2 => format!("{}.{}", s % 100, s / 7),
                3 => format!("{s:032x}"),
                4 => format!("2026-11-{:02} 05:02:{:02},1", s % 28 + 1, s % 60),
                5 => format!("2026-11-{:02}T05:02:{:02}.{:06}+01:00", s % 28 + 1, s % 60, s % 1_000_000),
                _ => format!("user {} logged {}", s, ["in", "out"][*s as usize % 2]),
            };
            format!("{{\"k\":\"{v}\",\"n\":1}}").into_bytes()
        }).collect();
        prop_assert!(round_trip(&lines).is_some(), "not rebuilt");
    }

    #[test]
    fn damage_is_an_error_or_other_lines(
        lines in prop::collection::vec(line(), 1..40),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let (page, bytes) = encoded(&lines);
        let mut bad = page.clone();
        bad[at.index(page.len())] ^= 1 << bit;
        harmless(decode(&bad, lines.len(), bytes));
        harmless(decode(&page[..at.index(page.len())], lines.len(), bytes));
        harmless(decode(&page, lines.len() + 1, bytes));
    }

    #[test]
    fn every_substring_is_found_where_it_is(
        lines in prop::collection::vec(line(), 1..80),
        from in any::<prop::sample::Index>(),
        len in 1..12usize,
        other in "[a-c\": =0-9]{1,4}",
    ) {
        let text: Vec<u8> = lines.concat();
        let (page, bytes) = encoded(&lines);
        let unpacker = Unpacker::default();
        let packed = open(&page, lines.len(), bytes, &unpacker).expect("opened");
        let page = Page::new(&packed, lines.len(), bytes).expect("read");
        let mut needles = vec![other.into_bytes()];
        if !text.is_empty() {
            let from = from.index(text.len());
            needles.push(text[from..(from + len).min(text.len())].to_vec());
        }
        for needle in needles {
            let mut runs = vec![needle.iter().map(|b| ByteSet::one(*b)).collect::<Vec<_>>()];
            // The same with every letter in both cases and every digit any digit.
            runs.push(needle.iter().map(|b| {
                let mut s = ByteSet::one(b.to_ascii_lowercase());
                s.insert(b.to_ascii_uppercase());
                if b.is_ascii_digit() {
                    (b'0'..=b'9').for_each(|d| s.insert(d));
                }
                s
            }).collect());
            for run in runs {
                let needle = Needle::new(run).expect("not empty");
                let slow = |l: &Vec<u8>| l.windows(needle.len()).any(|w| needle.holds_at(0, w));
                let want: Vec<bool> = lines.iter().map(slow).collect();
                let got = page.search(&needle).expect("searched");
                let got = got.unwrap_or_else(|| vec![false; lines.len()]);
                prop_assert_eq!(got, want, "{:?}", needle);
            }
        }
    }

    #[test]
    fn chosen_lines_are_those_of_all(
        lines in prop::collection::vec(line(), 1..80),
        seed in any::<u64>(),
    ) {
        let (page, bytes) = encoded(&lines);
        let unpacker = Unpacker::default();
        let packed = open(&page, lines.len(), bytes, &unpacker).expect("opened");
        let page = Page::new(&packed, lines.len(), bytes).expect("read");
        let chosen: Vec<u32> = (0..lines.len() as u32).filter(|i| seed >> (i % 61) & 1 == 1).collect();
        let some = page.lines(Pick::These(&chosen)).expect("lines");
        prop_assert_eq!(some.ends.len(), chosen.len());
        for (k, i) in chosen.iter().enumerate() {
            prop_assert_eq!(some.get(k), &lines[*i as usize]);
        }
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        harmless(decode(&bytes, 10, 1000));
    }
}

#[test]
fn typical_lines_become_small() {
    let lines: Vec<Vec<u8>> = (0..5000u64)
        .map(|i| {
            format!(
                "{{\"ts\":\"2026-11-20T05:02:{:02}.{:06}Z\",\"level\":\"info\",\"id\":{},\"ms\":{}.{}}}",
                i / 100 % 60,
                i % 1_000_000,
                i * 7919 % 100_003,
                i % 50,
                i % 7
            )
            .into_bytes()
        })
        .collect();
    let raw: usize = lines.iter().map(Vec::len).sum();
    let packed = round_trip(&lines).expect("rebuilt");
    assert!(packed * 10 < raw, "{packed} of {raw}");
}

/// Damage may go unnoticed here (pages have checksums), but it must end, without a panic.
fn harmless(result: Result<Vec<u8>, ChunkError>) {
    if let Err(e) = result {
        assert!(!e.0.is_empty());
    }
}
