//! How much of a source is done: lines leave in any order, the position goes to the oldest that has
//! not.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::entry::Ticket;

#[derive(Debug, Default)]
struct State {
    /// End of what was handed out.
    handed: u64,
    /// Starts of pieces that are not done.
    open: BTreeSet<u64>,
}

/// Progress of one source.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<State>);

/// A piece on its way (LOG1).
struct Piece {
    progress: Arc<Progress>,
    start: u64,
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.progress.state().open.remove(&self.start);
    }
}

impl Progress {
    pub(crate) fn at(offset: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            handed: offset,
            open: BTreeSet::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands out the bytes from `start` to `end`. They are done when the last ticket is dropped.
    pub(crate) fn hand_out(self: &Arc<Self>, start: u64, end: u64) -> Ticket {
        let mut s = self.state();
        s.open.insert(start);
        s.handed = end;
        Arc::new(Piece {
            progress: Arc::clone(self),
            start,
        })
    }

    /// Bytes before this are done.
    pub(crate) fn done(&self) -> u64 {
        let s = self.state();
        s.open.first().copied().unwrap_or(s.handed)
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.state().open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_open_piece_holds_the_position() {
        let p = Progress::at(10);
        let a = p.hand_out(10, 20);
        let b = p.hand_out(20, 30);
        let b2 = b.clone();
        assert_eq!(p.done(), 10);
        drop(b);
        drop(a);
        assert_eq!(p.done(), 20);
        drop(b2);
        assert_eq!(p.done(), 30);
        assert!(p.is_idle());
    }
}
