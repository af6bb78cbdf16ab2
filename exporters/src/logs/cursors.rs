//! Places in sources that are no files: the engine's time of a container's line, the cursor of a
//! journal.
//!
//! Owns: which of a source's places is done. A place counts as done when every line up to it is
//! (LOG1), as with files.
//! Knows nothing of: what a place means.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::entry::Ticket;
use super::progress::Progress;

#[derive(Debug)]
struct State {
    /// The last place that is known to be done.
    done: Option<String>,
    /// Number of the next line.
    next: u64,
    /// Places behind lines, by the number of the line after.
    places: BTreeMap<u64, String>,
}

/// The place of one source.
#[derive(Debug)]
pub struct Cursor {
    progress: Progress,
    state: Mutex<State>,
}

impl Cursor {
    fn at(done: Option<String>) -> Self {
        Self {
            progress: Progress::at(0),
            state: Mutex::new(State {
                done,
                next: 0,
                places: BTreeMap::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a line; `place` is where reading goes on behind it. Cost: memory for each line that is
    /// on its way.
    pub fn hand_out(&self, place: String) -> Option<Ticket> {
        let mut s = self.state();
        let first = s.next;
        s.next += 1;
        s.places.insert(first + 1, place);
        let mut one = self.progress.hand_out(first, vec![1]);
        one.next()
    }

    /// The place before which everything is done; none when there never was one.
    pub fn done(&self) -> Option<String> {
        let mut s = self.state();
        let open = s.places.split_off(&(self.progress.done() + 1));
        let done = std::mem::replace(&mut s.places, open);
        if let Some((_, place)) = done.into_iter().next_back() {
            s.done = Some(place);
        }
        s.done.clone()
    }
}

/// The places of all sources, by the key they have in the positions file.
#[derive(Debug, Default)]
pub struct Cursors(Mutex<BTreeMap<String, Arc<Cursor>>>);

impl Cursors {
    /// The place of the source `key`; `saved` is where an earlier run left it.
    pub fn open(&self, key: &str, saved: Option<&str>) -> Arc<Cursor> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Cursor::at(saved.map(str::to_owned)));
        Arc::clone(all.entry(key.to_owned()).or_insert_with(new))
    }

    /// Every place that is known.
    pub fn done(&self) -> BTreeMap<String, String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.iter().filter_map(|(k, c)| Some((k.clone(), c.done()?)));
        known.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_done_when_all_before_it_are() {
        let all = Cursors::default();
        let c = all.open("cursor-a", Some("5"));
        let (one, two) = (c.hand_out("6".into()), c.hand_out("7".into()));
        drop(two);
        assert_eq!(c.done().unwrap(), "5");
        drop(one);
        assert_eq!(c.done().unwrap(), "7");
        // The same source again goes on where it is.
        assert_eq!(all.open("cursor-a", None).done().unwrap(), "7");
        assert_eq!(all.open("cursor-b", None).done(), None);
        assert_eq!(all.done().into_values().collect::<Vec<_>>(), ["7"]);
    }
}
