//! Byte sizes as people write them: `1.5KB`, `3 MiB`, `512`.

/// Unit prefix and its powers: decimal without `i`, binary with it.
const UNITS: [(&str, f64); 17] = [
    ("", 1.0),
    ("b", 1.0),
    ("k", 1e3),
    ("kb", 1e3),
    ("m", 1e6),
    ("mb", 1e6),
    ("g", 1e9),
    ("gb", 1e9),
    ("t", 1e12),
    ("tb", 1e12),
    ("p", 1e15),
    ("pb", 1e15),
    ("ki", 1024.0),
    ("mi", 1_048_576.0),
    ("gi", 1_073_741_824.0),
    ("ti", 1_099_511_627_776.0),
    ("pi", 1_125_899_906_842_624.0),
];

/// Exabytes are read in values but have no literal.
const EXA: [(&str, f64); 3] = [
    ("e", 1e18),
    ("eb", 1e18),
    ("ei", 1_152_921_504_606_846_976.0),
];

/// Bytes of a text: digits with optional fraction and thousands separators, optional blank, unit in
/// any case. `None` when it is no size.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let len = text
        .bytes()
        .take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b','))
        .count();
    let (number, unit) = text.split_at(len);
    let number: f64 = number.replace(',', "").parse().ok()?;
    let unit = unit.trim().to_ascii_lowercase();
    let unit = match unit.strip_suffix("ib") {
        Some(p) => format!("{p}i"),
        None => unit,
    };
    let scale = UNITS.iter().chain(&EXA).find(|(u, _)| *u == unit)?.1;
    let bytes = number * scale;
    (bytes < 18_446_744_073_709_551_615.0).then_some(bytes as u64)
}

/// Decimal form with one digit below ten: `1.0kB`, `999B`, `12MB`.
#[must_use]
pub fn format(bytes: u64) -> String {
    if bytes < 10 {
        return format!("{bytes}B");
    }
    let mut power = 0;
    let mut scaled = bytes as f64;
    while scaled >= 1000.0 && power < 6 {
        scaled /= 1000.0;
        power += 1;
    }
    let unit = ["B", "kB", "MB", "GB", "TB", "PB", "EB"][power];
    let rounded = (scaled * 10.0 + 0.5).floor() / 10.0;
    if rounded < 10.0 {
        format!("{rounded:.1}{unit}")
    } else {
        format!("{rounded:.0}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal_without_i_and_binary_with_it() {
        for (text, n) in [
            ("512", 512),
            ("0B", 0),
            ("1.5KB", 1500),
            ("3MiB", 3 << 20),
            ("4 kib", 4096),
            ("2k", 2000),
            ("2ki", 2048),
            ("1,024B", 1024),
        ] {
            assert_eq!(parse(text), Some(n), "{text}");
        }
        for bad in ["", "x", "-1B", "1xB", "1.2.3KB", "99999999EB"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn prints_one_digit_below_ten() {
        for (n, text) in [
            (5, "5B"),
            (42, "42B"),
            (1000, "1.0kB"),
            (12_000_000, "12MB"),
        ] {
            assert_eq!(format(n), text);
        }
    }
}
