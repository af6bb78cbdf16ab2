//! How much of a source is done: lines leave in any order, the position goes to the oldest that has
//! not.
//!
//! A source hands out pieces of many lines. Each line has a [`Ticket`] of its own, so that the
//! position is exact to the line: a batch that ends inside a piece moves it to there. A ticket
//! costs two counts and no allocation, a piece eight bytes a line.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Lines that were handed out together.
#[derive(Debug)]
struct Piece {
    start: u64,
    /// Where each line ends, behind `start`.
    ends: Box<[u32]>,
    /// How many tickets each line has.
    held: Box<[AtomicU32]>,
    /// Lines that have any.
    left: AtomicU32,
    touched: Arc<AtomicBool>,
}

impl Piece {
    /// Where its oldest line begins that is not done.
    fn done(&self) -> u64 {
        let open = |n: &AtomicU32| n.load(Ordering::Acquire) > 0;
        let before = match self.held.iter().position(open) {
            Some(first) => first.checked_sub(1),
            None => self.ends.len().checked_sub(1),
        };
        let before = before.and_then(|i| self.ends.get(i));
        self.start + before.map_or(0, |e| u64::from(*e))
    }
}

/// Held as long as the line is not done (LOG1); it is done when the last one is dropped.
#[derive(Debug)]
pub struct Ticket {
    piece: Arc<Piece>,
    line: usize,
}

impl Clone for Ticket {
    fn clone(&self) -> Self {
        if let Some(n) = self.piece.held.get(self.line) {
            n.fetch_add(1, Ordering::Relaxed);
        }
        Self {
            piece: Arc::clone(&self.piece),
            line: self.line,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let last = |n: &AtomicU32| n.fetch_sub(1, Ordering::AcqRel) == 1;
        if self.piece.held.get(self.line).is_some_and(last) {
            self.piece.left.fetch_sub(1, Ordering::AcqRel);
            // After the counts: whoever takes the flag sees them.
            self.piece.touched.store(true, Ordering::Release);
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// End of what was handed out.
    handed: u64,
    /// Pieces in the order of their lines; done ones in front are let go of.
    open: VecDeque<Arc<Piece>>,
}

impl State {
    fn prune(&mut self) {
        let done = |p: &Arc<Piece>| p.left.load(Ordering::Acquire) == 0;
        while self.open.front().is_some_and(done) {
            self.open.pop_front();
        }
    }
}

/// Progress of one source.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    state: Mutex<State>,
    /// Something is done since somebody looked.
    touched: Arc<AtomicBool>,
}

impl Progress {
    pub(crate) fn at(offset: u64) -> Self {
        Self {
            state: Mutex::new(State {
                handed: offset,
                open: VecDeque::new(),
            }),
            // Nobody has looked yet.
            touched: Arc::new(AtomicBool::new(true)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands out lines that begin at `start`, behind everything handed out before; `ends` says
    /// where each ends behind that. Gives a ticket for each, all of which have to be taken.
    pub(crate) fn hand_out(&self, start: u64, ends: Vec<u32>) -> impl Iterator<Item = Ticket> {
        let lines = ends.len();
        let piece = Arc::new(Piece {
            start,
            held: ends.iter().map(|_| AtomicU32::new(1)).collect(),
            left: AtomicU32::new(u32::try_from(lines).unwrap_or(u32::MAX)),
            ends: ends.into(),
            touched: Arc::clone(&self.touched),
        });
        let mut s = self.state();
        s.prune();
        s.handed = start + piece.ends.last().map_or(0, |e| u64::from(*e));
        s.open.push_back(Arc::clone(&piece));
        drop(s);
        (0..lines).map(move |line| Ticket {
            piece: Arc::clone(&piece),
            line,
        })
    }

    /// What lies before this is done. Cost: the lines of one piece.
    pub(crate) fn done(&self) -> u64 {
        let mut s = self.state();
        s.prune();
        s.open.front().map_or(s.handed, |p| p.done())
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        let mut s = self.state();
        s.prune();
        s.open.is_empty()
    }

    /// Whether anything was done since this was asked last.
    pub(crate) fn take_touched(&self) -> bool {
        self.touched.swap(false, Ordering::AcqRel)
    }

    /// Has it looked at next time.
    pub(crate) fn touch(&self) {
        self.touched.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_open_line_holds_the_position() {
        let p = Progress::at(10);
        let mut a: Vec<_> = p.hand_out(10, vec![4, 10]).collect();
        let b: Vec<_> = p.hand_out(20, vec![10]).collect();
        let b2 = b.clone();
        assert_eq!(p.done(), 10);
        drop(b);
        a.remove(0);
        // Inside a piece.
        assert_eq!(p.done(), 14);
        drop(a);
        assert_eq!(p.done(), 20);
        assert!(p.take_touched() && !p.take_touched());
        assert!(!p.is_idle());
        drop(b2);
        assert!(p.take_touched());
        assert_eq!(p.done(), 30);
        assert!(p.is_idle());
    }
}
