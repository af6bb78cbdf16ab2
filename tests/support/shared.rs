//! Corpora that several repositories share: `$SEXTANT_SHARED`, or `../shared` beside the
//! repository.

use std::path::PathBuf;

/// The file or folder `path` of the shared folder. Without it a test says so and passes, except
/// where `CI` is set: the machine that decides must have everything.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SEXTANT_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let found = root.join(path);
    if found.exists() {
        return Some(found);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "the shared folder has no {path}"
    );
    println!("skipped: the shared folder has no {path}");
    None
}
