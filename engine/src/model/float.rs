//! Floats as text in Go's layouts. Digits are always the shortest that read back to the same value.
//!
//! Every answer, exposition and printed value of the house goes through here.

/// Decimal digits and the position of the point: `0.d1d2d3... * 10^point`.
struct Digits {
    negative: bool,
    digits: [u8; 20],
    len: usize,
    point: i32,
}

fn digits_of(v: f64) -> Digits {
    let mut d = Digits {
        negative: v.is_sign_negative(),
        digits: [0; 20],
        len: 0,
        point: 0,
    };
    if v == 0.0 {
        d.digits[0] = b'0';
        d.len = 1;
        d.point = 1;
        return d;
    }
    let mut buf = zmij::Buffer::new();
    let text = buf.format_finite(v.abs());
    let (mantissa, exponent) = match text.split_once('e') {
        Some((m, e)) => (m, e.parse::<i32>().unwrap_or(0)),
        None => (text, 0),
    };
    let mut seen_point = false;
    let mut started = false;
    for b in mantissa.bytes() {
        match b {
            b'.' => seen_point = true,
            b'0' if !started => {
                if seen_point {
                    d.point -= 1;
                }
            }
            _ => {
                started = true;
                if d.len < d.digits.len() {
                    d.digits[d.len] = b;
                    d.len += 1;
                }
                if !seen_point {
                    d.point += 1;
                }
            }
        }
    }
    while d.len > 1 && d.digits[d.len - 1] == b'0' {
        d.len -= 1;
    }
    d.point += exponent;
    d
}

fn special(out: &mut String, v: f64) -> bool {
    if v.is_nan() {
        out.push_str("NaN");
    } else if v.is_infinite() {
        out.push_str(if v > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        return false;
    }
    true
}

fn push_digits(out: &mut String, digits: &[u8]) {
    out.extend(digits.iter().map(|b| *b as char));
}

fn push_plain(out: &mut String, d: &Digits) {
    if d.negative {
        out.push('-');
    }
    let digits = &d.digits[..d.len];
    let Ok(whole) = usize::try_from(d.point) else {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', d.point.unsigned_abs() as usize));
        push_digits(out, digits);
        return;
    };
    if whole == 0 {
        out.push_str("0.");
        push_digits(out, digits);
    } else if whole >= d.len {
        push_digits(out, digits);
        out.extend(std::iter::repeat_n('0', whole - d.len));
    } else {
        push_digits(out, &digits[..whole]);
        out.push('.');
        push_digits(out, &digits[whole..]);
    }
}

fn push_exponent(out: &mut String, d: &Digits) {
    if d.negative {
        out.push('-');
    }
    out.push(d.digits[0] as char);
    if d.len > 1 {
        out.push('.');
        push_digits(out, &d.digits[1..d.len]);
    }
    let e = d.point - 1;
    out.push('e');
    out.push(if e < 0 { '-' } else { '+' });
    let e = e.unsigned_abs();
    if e < 10 {
        out.push('0');
    }
    out.push_str(itoa::Buffer::new().format(e));
}

/// Go's `'e'` with precision -1: one digit, the others behind a point, always an exponent.
#[must_use]
pub fn exponential(v: f64) -> String {
    let mut s = String::new();
    if !special(&mut s, v) {
        push_exponent(&mut s, &digits_of(v));
    }
    s
}

/// Appends the plain decimal form (Go's `'f'` with precision -1): no exponent ever.
pub fn write_plain(out: &mut String, v: f64) {
    if !special(out, v) {
        push_plain(out, &digits_of(v));
    }
}

/// Appends the form of sample values in the HTTP API: exponent below 1e-6 and from 1e21.
pub fn write_json(out: &mut String, v: f64) {
    if special(out, v) {
        return;
    }
    let d = digits_of(v);
    if v != 0.0 && (d.point <= -6 || d.point > 21) {
        push_exponent(out, &d);
    } else {
        push_plain(out, &d);
    }
}

/// Appends Go's `%g` and `%v`: exponent below 1e-4 and from 1e6 on.
pub fn write_general(out: &mut String, v: f64) {
    // Most samples are small whole numbers.
    if v.abs() < 1e6 && v.fract() == 0.0 && (v != 0.0 || v.is_sign_positive()) {
        out.push_str(itoa::Buffer::new().format(v as i32));
        return;
    }
    if special(out, v) {
        return;
    }
    let d = digits_of(v);
    if v != 0.0 && (d.point < -3 || d.point > 6) {
        push_exponent(out, &d);
    } else {
        push_plain(out, &d);
    }
}

/// Plain decimal form, see [`write_plain`].
#[must_use]
pub fn plain(v: f64) -> String {
    let mut s = String::new();
    write_plain(&mut s, v);
    s
}

/// API form, see [`write_json`].
#[must_use]
pub fn json(v: f64) -> String {
    let mut s = String::new();
    write_json(&mut s, v);
    s
}

/// `%g` form, see [`write_general`].
#[must_use]
pub fn general(v: f64) -> String {
    let mut s = String::new();
    write_general(&mut s, v);
    s
}

/// Go's `%.Pg`: at most `precision` significant digits, exponent when it is below -4 or does not
/// fit the precision.
#[must_use]
pub fn general_rounded(v: f64, precision: usize) -> String {
    let mut out = String::new();
    if special(&mut out, v) {
        return out;
    }
    let precision = precision.clamp(1, 17);
    let rounded: f64 = format!("{:.*e}", precision - 1, v).parse().unwrap_or(v);
    let d = digits_of(rounded);
    let digits = i32::try_from(d.len).unwrap_or(17);
    let mut limit = i32::try_from(precision).unwrap_or(17);
    if limit > digits && digits >= d.point {
        limit = digits;
    }
    if rounded != 0.0 && (d.point < -3 || d.point > limit) {
        push_exponent(&mut out, &d);
    } else {
        push_plain(&mut out, &d);
    }
    out
}

/// The form of `le` and `quantile` label values: `1.0`, `0.5`, `1e+10`, `+Inf`.
#[must_use]
pub fn open_metrics(v: f64) -> String {
    let mut out = general(v);
    if v.is_finite() && !out.contains(['e', '.']) {
        out.push_str(".0");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_form() {
        for (v, text) in [
            (1.0, "1e+00"),
            (0.0, "0e+00"),
            (-0.0, "-0e+00"),
            (-1234.5, "-1.2345e+03"),
            (1e-7, "1e-07"),
            (1.5e300, "1.5e+300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(exponential(v), text);
        }
    }

    #[test]
    fn api_form() {
        for (v, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (1e21, "1e+21"),
            (1e20, "100000000000000000000"),
            (1e-7, "1e-07"),
            (1e-6, "0.000001"),
            (1.25e-9, "1.25e-09"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
            (123_456_789.125, "123456789.125"),
            (5e-324, "5e-324"),
            (-1e300, "-1e+300"),
        ] {
            assert_eq!(json(v), text);
        }
    }

    #[test]
    fn plain_form_never_has_an_exponent() {
        assert_eq!(plain(1e-7), "0.0000001");
        assert_eq!(plain(1e22), "10000000000000000000000");
        assert_eq!(plain(0.1), "0.1");
    }

    #[test]
    fn rounded_general_form() {
        assert_eq!(general_rounded(1234.0, 2), "1.2e+03");
        assert_eq!(general_rounded(0.5, 2), "0.5");
        assert_eq!(general_rounded(0.000_012_3, 2), "1.2e-05");
        assert_eq!(general_rounded(99.0, 2), "99");
    }

    #[test]
    fn label_value_form() {
        for (v, text) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (0.99, "0.99"),
            (1e10, "1e+10"),
            (f64::INFINITY, "+Inf"),
            (10.0, "10.0"),
        ] {
            assert_eq!(open_metrics(v), text);
        }
    }

    #[test]
    fn digits_equal_the_slow_reference() {
        let mut x: u64 = 0x9e37_79b9_7f4a_7c15;
        for _ in 0..200_000 {
            x = x
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let v = f64::from_bits(x);
            if v.is_finite() {
                assert_eq!(json(v).parse::<f64>().map(f64::to_bits), Ok(v.to_bits()));
                // Exact ties between two shortest forms may differ in the last digit.
                assert_eq!(plain(v).len(), format!("{v}").len());
                assert_eq!(plain(v).parse(), Ok(v));
            }
        }
    }
}
