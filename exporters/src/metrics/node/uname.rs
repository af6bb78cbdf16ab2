//! Names of the system, as `uname(2)` tells them.

use super::Entry;
use super::read::{Outcome, Roots};
use crate::emit::Sink;

/// The collector.
pub(super) const ENTRY: Entry = Entry::plain("uname", collect);

fn collect(_: &Roots, out: &mut Sink) -> Outcome {
    let u = rustix::system::uname();
    let text = |t: &std::ffi::CStr| t.to_string_lossy().into_owned();
    out.gauge(
        "node_uname_info",
        "Labeled system information as provided by the uname system call.",
        &[
            ("sysname", &text(u.sysname())),
            ("release", &text(u.release())),
            ("version", &text(u.version())),
            ("machine", &text(u.machine())),
            ("nodename", &text(u.nodename())),
            ("domainname", &text(u.domainname())),
        ],
        1.0,
    );
    Ok(())
}
