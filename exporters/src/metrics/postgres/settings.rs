//! Server settings as metrics: one gauge per number and switch, in base units.

use crate::emit::Kind;

use super::Labelled;

/// The collector.
pub(super) const NAME: &str = "settings";

/// Settings that are numbers or switches.
pub(super) const SQL: &str = "SELECT name, setting, COALESCE(unit, ''), short_desc, vartype \
    FROM pg_settings WHERE vartype IN ('bool', 'integer', 'real')";

/// Shows one setting.
pub(super) fn emit(row: &[Option<&str>], prefix: &str, out: &mut Labelled<'_>) {
    let [Some(name), Some(setting), unit, description, Some(kind)] = row else {
        return;
    };
    let clean: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let description = description.unwrap_or("");
    if *kind == "bool" {
        let v = f64::from(u8::from(*setting == "on"));
        let name = format!("{prefix}_settings_{clean}");
        out.add(name, description.to_owned(), Kind::Gauge, &[], v);
        return;
    }
    let Ok(v) = setting.parse::<f64>() else {
        return;
    };
    let (name, help, factor) = match unit.and_then(base_unit) {
        Some((word, factor)) => (
            format!("{prefix}_settings_{clean}_{word}"),
            format!("{description} [Units converted to {word}.]"),
            factor,
        ),
        None => (
            format!("{prefix}_settings_{clean}"),
            description.to_owned(),
            1.0,
        ),
    };
    // Less than nothing means off, whatever the unit.
    let v = if v < 0.0 { v } else { v * factor };
    out.add(name, help, Kind::Gauge, &[], v);
}

/// The base unit of `ms`, `8kB`, `min` and how many of it there are.
fn base_unit(unit: &str) -> Option<(&'static str, f64)> {
    let digits = unit
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(unit.len());
    let (number, word) = unit.split_at(digits);
    let number: f64 = if number.is_empty() {
        1.0
    } else {
        number.parse().ok()?
    };
    let (base, factor) = match word {
        "us" => ("seconds", 1e-6),
        "ms" => ("seconds", 1e-3),
        "s" => ("seconds", 1.0),
        "min" => ("seconds", 60.0),
        "h" => ("seconds", 3600.0),
        "d" => ("seconds", 86400.0),
        "B" => ("bytes", 1.0),
        "kB" => ("bytes", 1024.0),
        "MB" => ("bytes", 1_048_576.0),
        "GB" => ("bytes", 1_073_741_824.0),
        "TB" => ("bytes", 1_099_511_627_776.0),
        _ => return None,
    };
    Some((base, number * factor))
}

#[cfg(test)]
mod tests {
    use super::base_unit;

    #[test]
    fn units_become_base_units() {
        assert_eq!(base_unit("8kB"), Some(("bytes", 8192.0)));
        assert_eq!(base_unit("min"), Some(("seconds", 60.0)));
        assert_eq!(base_unit("16MB"), Some(("bytes", 16_777_216.0)));
        assert_eq!(base_unit(""), None);
        assert_eq!(base_unit("furlongs"), None);
    }
}
