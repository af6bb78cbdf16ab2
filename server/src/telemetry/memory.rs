//! What the allocator knows.

use std::cell::OnceCell;

use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};

thread_local! {
    /// Where the allocator counts what this thread takes and gives back; nowhere when it does not.
    static COUNTS: OnceCell<Option<(ThreadLocal<u64>, ThreadLocal<u64>)>> = const { OnceCell::new() };
}

/// Bytes that the calling thread has allocated and not given back; what other threads gave back
/// for it is missing, so only differences on one thread say something. Cost: two reads.
pub(crate) fn thread_bytes() -> i64 {
    COUNTS.with(|c| {
        let counts = c.get_or_init(|| Some((allocatedp::read().ok()?, deallocatedp::read().ok()?)));
        counts.map_or(0, |(taken, given)| {
            taken.get().wrapping_sub(given.get()).cast_signed()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::thread_bytes;

    #[test]
    fn the_allocator_counts_for_each_thread() {
        let before = thread_bytes();
        let held = vec![1_u8; 1 << 20];
        assert!(thread_bytes() - before >= 1 << 20);
        drop(held);
        assert!((thread_bytes() - before).abs() < 1 << 16);
    }
}
