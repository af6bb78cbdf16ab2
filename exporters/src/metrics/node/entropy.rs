//! The kernel's entropy pool.

use super::Entry;
use super::read::{self, Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("entropy", collect).whole();

fn collect(r: &Roots, out: &mut Sink) -> Outcome {
    for (file, name, help) in [
        (
            "entropy_avail",
            "node_entropy_available_bits",
            "Bits of available entropy.",
        ),
        (
            "poolsize",
            "node_entropy_pool_size_bits",
            "Bits of entropy pool.",
        ),
    ] {
        let n = read::count_in(&r.proc("sys/kernel/random").join(file))?;
        out.gauge(name, help, &[], n);
    }
    Ok(())
}
