//! What the allocator knows, and what of the program is in memory.

use std::cell::OnceCell;
use std::ffi::{CStr, c_int, c_void};

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

/// Gives back the memory of the program's text and constants. What is still needed comes back from
/// the files, as it came at first; what only the start needed does not. Cost: one call for each
/// segment, then a page fault without reading for each 64 KiB that are run again.
pub(crate) fn let_go_of_text() {
    #[expect(
        unsafe_code,
        reason = "no library tells where the segments of the program are"
    )]
    // SAFETY: the callback keeps nothing of what it is shown and asks for no other data.
    unsafe {
        libc::dl_iterate_phdr(Some(let_go_of_object), std::ptr::null_mut());
    }
}

/// The callback for one object of the program: itself, or a library.
///
/// # Safety
/// For the loader to call, which holds its lock meanwhile: no object comes or goes.
#[expect(
    unsafe_code,
    reason = "no library tells where the segments of the program are"
)]
unsafe extern "C" fn let_go_of_object(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _data: *mut c_void,
) -> c_int {
    // SAFETY: the loader shows a valid description with a name that ends in a zero byte and
    // `dlpi_phnum` headers at `dlpi_phdr`, for as long as it waits for this function.
    let (base, name, headers) = unsafe {
        let info = &*info;
        let headers = std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum));
        (info.dlpi_addr, CStr::from_ptr(info.dlpi_name), headers)
    };
    // The kernel's own object is in no file.
    if name.to_bytes().starts_with(b"linux-") {
        return 0;
    }
    let page = rustix::param::page_size() as u64;
    let loaded = headers.iter().filter(|h| h.p_type == libc::PT_LOAD);
    for h in loaded.filter(|h| h.p_flags & libc::PF_W == 0) {
        let start = (base + h.p_vaddr).next_multiple_of(page);
        let end = (base + h.p_vaddr + h.p_filesz) / page * page;
        let Some(len) = end.checked_sub(start) else {
            continue;
        };
        // SAFETY: the segment is a private map of the object's file that was never writable, so
        // its pages hold what the file holds, and reading them again gives the same bytes. Only
        // text relocations (DT_TEXTREL) would have written there; position-independent code, which
        // the program and what it links to are, has none.
        unsafe {
            libc::madvise(start as *mut c_void, len as usize, libc::MADV_DONTNEED);
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::{let_go_of_text, thread_bytes};

    #[test]
    fn text_goes_and_comes_back() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let line = status.lines().find_map(|l| l.strip_prefix("RssFile:"));
            let kib = line.and_then(|l| l.trim().strip_suffix(" kB"));
            kib.and_then(|k| k.parse::<u64>().ok())
        };
        let before = resident();
        let_go_of_text();
        let after = resident();
        assert!(
            before.is_some() && after < before,
            "{after:?} of {before:?}"
        );
    }

    #[test]
    fn the_allocator_counts_for_each_thread() {
        let before = thread_bytes();
        let held = vec![1_u8; 1 << 20];
        assert!(thread_bytes() - before >= 1 << 20);
        drop(held);
        assert!((thread_bytes() - before).abs() < 1 << 16);
    }
}
