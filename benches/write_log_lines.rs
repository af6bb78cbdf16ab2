//! Writes MiB (the first argument, default 64) of [`log_lines::Lines`] of a seed (the second,
//! default 1) to standard output, for measurements of a whole server.

#![allow(missing_docs, clippy::unwrap_used)]

mod log_lines;

use std::io::{self, BufWriter, Write as _};

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1).map(|a| a.parse::<u64>().ok());
    let mut number = |default: u64| args.next().flatten().unwrap_or(default);
    let mut left = i64::try_from(number(64) << 20).unwrap_or(i64::MAX);
    let mut out = BufWriter::new(io::stdout().lock());
    for line in log_lines::Lines::new(number(1)) {
        writeln!(out, "{line}")?;
        left -= i64::try_from(line.len()).unwrap_or(i64::MAX) + 1;
        if left <= 0 {
            break;
        }
    }
    out.flush()
}
