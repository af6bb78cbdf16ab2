//! What fuzz targets share: a simulated disk with files that are then damaged.
//!
//! Checksums are 0 in these builds (`cfg(fuzzing)`, see `engine::io`), so damage reaches the
//! decoders behind them.

use std::path::PathBuf;

use engine::io::sim::SimFs;

/// A copy of `fs` in which one file is damaged as `recipe` says: which file, how, then the bytes.
/// Nothing for a recipe that is too short. Recipes: overwrite, cut, insert, replace.
pub fn damaged(fs: &SimFs, recipe: &[u8]) -> Option<(SimFs, PathBuf)> {
    let ([which, how], mut rest) = recipe.split_first_chunk::<2>()?;
    let files = fs.files();
    let (path, bytes) = files.get(usize::from(*which) % files.len().max(1))?;
    let mut bytes = bytes.clone();
    match how % 4 {
        // A few bytes here and there: offset, count, bytes.
        0 => {
            while let Some(([a, b, c, n], more)) = rest.split_first_chunk::<4>() {
                let at = u32::from_le_bytes([*a, *b, *c, 0]) as usize % bytes.len().max(1);
                let n = usize::from(*n % 16).min(more.len());
                for (to, from) in bytes[at..].iter_mut().zip(&more[..n]) {
                    *to = *from;
                }
                rest = &more[n..];
            }
        }
        1 => {
            let ([a, b, c], _) = rest.split_first_chunk::<3>()?;
            let at = u32::from_le_bytes([*a, *b, *c, 0]) as usize % (bytes.len() + 1);
            bytes.truncate(at);
        }
        2 => {
            let ([a, b, c], more) = rest.split_first_chunk::<3>()?;
            let at = u32::from_le_bytes([*a, *b, *c, 0]) as usize % (bytes.len() + 1);
            bytes.splice(at..at, more.iter().copied());
        }
        _ => bytes = rest.to_vec(),
    }
    let path = path.clone();
    let copy = fs.kill();
    copy.tamper(&path, bytes);
    Some((copy, path))
}
