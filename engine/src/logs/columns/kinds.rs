//! Values of one kind as numbers, and back. A value is taken only if it comes back as it was.

/// `-?` digits without leading zeros, at most 18.
pub(super) fn integer(v: &[u8]) -> Option<i64> {
    let (negative, digits) = match v.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, v),
    };
    let n = padded(digits)?;
    let canonical = (digits[0] != b'0' || digits.len() == 1) && !(negative && n == 0);
    canonical.then_some(if negative { -n } else { n })
}

/// Digits, leading zeros allowed, at most 18.
pub(super) fn padded(v: &[u8]) -> Option<i64> {
    if v.is_empty() || v.len() > 18 {
        return None;
    }
    v.iter().try_fold(0i64, |n, b| {
        b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0'))
    })
}

pub(super) fn put_padded(out: &mut Vec<u8>, n: i64, width: usize) {
    let mut digits = itoa::Buffer::new();
    let s = digits.format(n);
    out.resize(out.len() + width.saturating_sub(s.len()), b'0');
    out.extend_from_slice(s.as_bytes());
}

/// A number with a fixed point: its digits as one number, and how many are after the point.
pub(super) fn decimal(v: &[u8]) -> Option<(i64, i64)> {
    let Some(point) = v.iter().position(|b| *b == b'.') else {
        return Some((integer(v)?, 0));
    };
    let (whole, rest) = (&v[..point], &v[point + 1..]);
    if rest.is_empty() || rest.len() > 9 || whole.len() > 9 || whole.first() == Some(&b'-') {
        return None;
    }
    let scale = 10i64.pow(rest.len() as u32);
    Some((integer(whole)? * scale + padded(rest)?, rest.len() as i64))
}

pub(super) fn put_decimal(out: &mut Vec<u8>, n: i64, decimals: i64) {
    let mut digits = itoa::Buffer::new();
    if !(1..=9).contains(&decimals) {
        out.extend_from_slice(digits.format(n).as_bytes());
        return;
    }
    let scale = 10i64.pow(decimals as u32);
    out.extend_from_slice(digits.format(n.div_euclid(scale)).as_bytes());
    out.push(b'.');
    put_padded(out, n.rem_euclid(scale), decimals as usize);
}

/// Lower-case hex digits.
pub(super) fn is_hex(v: &[u8]) -> bool {
    v.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

pub(super) fn put_nibbles(out: &mut Vec<u8>, v: &[u8]) {
    let nibble = |b: u8| {
        if b.is_ascii_digit() {
            b - b'0'
        } else {
            b - b'a' + 10
        }
    };
    for pair in v.chunks(2) {
        let low = pair.get(1).map_or(0, |b| nibble(*b));
        out.push(nibble(pair[0]) << 4 | low);
    }
}

pub(super) fn put_hex(out: &mut Vec<u8>, bytes: &[u8], digits: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (i, b) in bytes.iter().enumerate() {
        out.push(DIGITS[usize::from(b >> 4)]);
        if 2 * i + 1 < digits {
            out.push(DIGITS[usize::from(b & 15)]);
        }
    }
}

/// How the times of a column are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimeLayout {
    pub(super) decimals: usize,
    pub(super) between: u8,
    pub(super) suffix: Vec<u8>,
}

const DATE: usize = 10;
const SECONDS: usize = 19;

/// Days since 1970-01-01 of a date of the Gregorian calendar (Hinnant, "chrono-compatible
/// low-level date algorithms").
fn days(y: i64, m: i64, d: i64) -> i64 {
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let yoe = y - era * 400;
    let doy = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + d - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

fn date(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z - era * 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    (
        yoe + era * 400 + i64::from(m <= 2),
        m,
        doy - (153 * mp + 2) / 5 + 1,
    )
}

/// The layout of a time, if it is one.
pub(super) fn time_layout(v: &[u8]) -> Option<TimeLayout> {
    let rest = v.get(SECONDS..)?;
    let (decimals, suffix) = match rest.split_first() {
        Some((b'.', f)) => {
            let n = f.iter().take_while(|b| b.is_ascii_digit()).count();
            (n, &f[n..])
        }
        _ => (0, rest),
    };
    if decimals > 9 || suffix.len() > 8 || (rest.first() == Some(&b'.') && decimals == 0) {
        return None;
    }
    Some(TimeLayout {
        decimals,
        between: v[DATE],
        suffix: suffix.to_vec(),
    })
}

/// Units of the last decimal since 1970.
pub(super) fn time(v: &[u8], layout: &TimeLayout) -> Option<i64> {
    let tail = SECONDS + usize::from(layout.decimals > 0) + layout.decimals;
    if v.len() != tail + layout.suffix.len()
        || v[tail..] != layout.suffix
        || v[DATE] != layout.between
        || [v[4], v[7], v[13], v[16]] != *b"--::"
        || (layout.decimals > 0 && v[SECONDS] != b'.')
    {
        return None;
    }
    let n = |a: usize, b: usize| padded(&v[a..b]);
    let (y, mo, d) = (n(0, 4)?, n(5, 7)?, n(8, 10)?);
    let (h, mi, s) = (n(11, 13)?, n(14, 16)?, n(17, 19)?);
    if h > 23 || mi > 59 || s > 59 || !(1..=12).contains(&mo) || !(1970..=2200).contains(&y) {
        return None;
    }
    let day = days(y, mo, d);
    if date(day) != (y, mo, d) {
        return None;
    }
    let fraction = if layout.decimals > 0 {
        n(SECONDS + 1, tail)?
    } else {
        0
    };
    let seconds = day * 86_400 + h * 3600 + mi * 60 + s;
    Some(seconds * 10i64.pow(layout.decimals as u32) + fraction)
}

pub(super) fn put_time(out: &mut Vec<u8>, t: i64, layout: &TimeLayout) {
    let scale = 10i64.pow(layout.decimals.min(9) as u32);
    let (seconds, fraction) = (t.div_euclid(scale), t.rem_euclid(scale));
    let (day, s) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (y, m, d) = date(day);
    put_padded(out, y, 4);
    out.push(b'-');
    put_padded(out, m, 2);
    out.push(b'-');
    put_padded(out, d, 2);
    out.push(layout.between);
    put_padded(out, s / 3600, 2);
    out.push(b':');
    put_padded(out, s / 60 % 60, 2);
    out.push(b':');
    put_padded(out, s % 60, 2);
    if layout.decimals > 0 {
        out.push(b'.');
        put_padded(out, fraction, layout.decimals);
    }
    out.extend_from_slice(&layout.suffix);
}
