//! Open files of the whole host, from `/proc/sys/fs/file-nr`.

use super::Entry;
use super::read::{self, Outcome, Problem, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("filefd", collect);

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    let path = r.proc("sys/fs/file-nr");
    let text = read::text(&path)?;
    let fields: Vec<&str> = text.split_whitespace().collect();
    // Allocated, always 0, maximum.
    let (Some(allocated), Some(maximum)) = (read::field(&fields, 0), read::field(&fields, 2))
    else {
        return Err(Problem::format(&path, "not three numbers"));
    };
    out.gauge(
        "node_filefd_allocated",
        "File descriptor statistics: allocated.",
        &[],
        allocated,
    );
    out.gauge(
        "node_filefd_maximum",
        "File descriptor statistics: maximum.",
        &[],
        maximum,
    );
    Ok(())
}
