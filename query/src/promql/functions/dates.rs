//! Parts of a Unix time in UTC, by civil-calendar arithmetic on days since the epoch.

/// The function called `name`, of whole seconds since the epoch.
pub(crate) fn find(name: &str) -> Option<fn(i128) -> f64> {
    Some(match name {
        "minute" => |s| s.rem_euclid(3600).div_euclid(60) as f64,
        "hour" => |s| s.rem_euclid(86_400).div_euclid(3600) as f64,
        "day_of_week" => |s| (s.div_euclid(86_400) + 4).rem_euclid(7) as f64,
        "day_of_month" => |s| civil(s).2 as f64,
        "month" => |s| civil(s).1 as f64,
        "year" => |s| civil(s).0 as f64,
        "day_of_year" => |s| {
            let (y, m, d) = civil(s);
            ((1..m).map(|m| days_in(y, m)).sum::<i128>() + d) as f64
        },
        "days_in_month" => |s| {
            let (y, m, _) = civil(s);
            days_in(y, m) as f64
        },
        _ => return None,
    })
}

/// A sample value as a time: truncated; NaN and what does not fit 63 bits is the earliest second,
/// and times before the earliest year of the reference wrap around to its latest.
pub(crate) fn seconds(v: f64) -> i128 {
    const EARLIEST: i128 = -9_223_372_028_741_760_000;
    let fits = (-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&v);
    let s = if fits {
        v as i128
    } else {
        i128::from(i64::MIN)
    };
    if s < EARLIEST { s + (1 << 64) } else { s }
}

fn is_leap(y: i128) -> bool {
    y % 4 == 0 && (y % 100 != 0 || y % 400 == 0)
}

fn days_in(y: i128, m: i128) -> i128 {
    match m {
        2 if is_leap(y) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Year, month, day. Years are counted from March so that the leap day is the last one.
fn civil(seconds: i128) -> (i128, i128, i128) {
    // 0000-03-01 is 719,468 days before the epoch; 400 years are 146,097 days.
    let days = seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (year_of_era + era * 400 + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_agree_with_a_calendar_library() {
        let get = |name: &str, s: i64| find(name).map(|f| f(i128::from(s)));
        for s in (-3_000_000_000i64..4_000_000_000).step_by(86_400 * 13 + 7_333) {
            let Ok(t) = jiff::Timestamp::from_second(s) else {
                continue;
            };
            let z = t.to_zoned(jiff::tz::TimeZone::UTC);
            assert_eq!(get("year", s), Some(f64::from(z.year())));
            assert_eq!(get("month", s), Some(f64::from(z.month())));
            assert_eq!(get("day_of_month", s), Some(f64::from(z.day())));
            assert_eq!(get("day_of_year", s), Some(f64::from(z.day_of_year())));
            assert_eq!(get("days_in_month", s), Some(f64::from(z.days_in_month())));
            assert_eq!(get("hour", s), Some(f64::from(z.hour())));
            assert_eq!(get("minute", s), Some(f64::from(z.minute())));
            assert_eq!(
                get("day_of_week", s),
                Some(f64::from(z.weekday().to_sunday_zero_offset()))
            );
        }
    }
}
