//! Series as lines of characters in a terminal.

/// Columns of the plot without its axis.
const WIDTH: usize = 72;
/// Rows.
const HEIGHT: usize = 16;
/// One per series; then they repeat.
const MARKS: [char; 8] = ['*', '+', 'o', 'x', '#', '@', '%', '&'];
/// Series that are named below the plot; more would scroll it away.
const NAMES_MAX: usize = 20;

/// Named lines of (seconds, value). Values that are not finite are left out.
pub(super) fn draw(lines: &[(String, Vec<(f64, f64)>)]) -> String {
    let points = || lines.iter().flat_map(|l| &l.1).filter(|p| p.1.is_finite());
    if points().next().is_none() {
        return "no points\n".to_owned();
    }
    let bounds = |of: fn(&(f64, f64)) -> f64| {
        points()
            .map(of)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
                (low.min(v), high.max(v))
            })
    };
    let ((t0, t1), (low, high)) = (bounds(|p| p.0), bounds(|p| p.1));
    // Place of `v` among `n` cells from `from` to `to`; all in the first when there is no width.
    let place = |v: f64, from: f64, to: f64, n: usize| {
        let share = if to > from {
            (v - from) / (to - from)
        } else {
            0.0
        };
        ((share * (n - 1) as f64).round() as usize).min(n - 1)
    };
    let mut cells = vec![[' '; WIDTH]; HEIGHT];
    for ((_, line), mark) in lines.iter().zip(MARKS.iter().cycle()) {
        for (t, v) in line.iter().filter(|p| p.1.is_finite()) {
            let (x, y) = (place(*t, t0, t1, WIDTH), place(*v, low, high, HEIGHT));
            if let Some(cell) = cells.get_mut(HEIGHT - 1 - y).and_then(|r| r.get_mut(x)) {
                *cell = *mark;
            }
        }
    }
    let mut out = String::new();
    for (i, row) in cells.iter().enumerate() {
        let label = match i {
            0 => format!("{high:.4}"),
            _ if i == HEIGHT - 1 => format!("{low:.4}"),
            _ => String::new(),
        };
        let text: String = row.iter().collect();
        out.push_str(&format!("{label:>14} |{}\n", text.trim_end()));
    }
    out.push_str(&format!("{:>14} +{}\n", "", "-".repeat(WIDTH)));
    let (from, to) = (clock(t0), clock(t1));
    let gap = WIDTH.saturating_sub(from.len() + to.len());
    out.push_str(&format!("{:>14}  {from}{}{to}\n", "", " ".repeat(gap)));
    for ((name, _), mark) in lines.iter().zip(MARKS.iter().cycle()).take(NAMES_MAX) {
        out.push_str(&format!("{mark} {name}\n"));
    }
    if lines.len() > NAMES_MAX {
        out.push_str(&format!("... and {} more\n", lines.len() - NAMES_MAX));
    }
    out
}

fn clock(seconds: f64) -> String {
    match jiff::Timestamp::from_second(seconds as i64) {
        Ok(t) => t.to_string(),
        Err(_) => seconds.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::draw;

    #[test]
    fn a_rising_line_runs_from_the_lower_left_to_the_upper_right() {
        let line: Vec<(f64, f64)> = (0..10).map(|i| (f64::from(i), f64::from(i))).collect();
        let text = draw(&[("a".to_owned(), line)]);
        let rows: Vec<&str> = text.lines().collect();
        assert!(
            rows[0].ends_with('*') && rows[0].contains("9.0000"),
            "{text}"
        );
        assert!(rows[15].contains("0.0000 |*"), "{text}");
        assert!(rows.last().is_some_and(|r| *r == "* a"));
    }

    #[test]
    fn nothing_to_draw_says_so() {
        assert_eq!(draw(&[]), "no points\n");
        assert_eq!(
            draw(&[("a".to_owned(), vec![(0.0, f64::NAN)])]),
            "no points\n"
        );
        let one = draw(&[("a".to_owned(), vec![(5.0, 1.0)])]);
        assert!(one.contains("1970-01-01T00:00:05Z"), "{one}");
    }
}
