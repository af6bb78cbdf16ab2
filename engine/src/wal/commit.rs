//! Group commit: one write and one sync for everything that waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Position;
use super::writer::{IDLE_COMMIT, Inner, Pending, State, Waiter, WalError};
use crate::io::{is_no_space, write_full};

/// When an append counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// After the sync that covers it. Survives power loss.
    Always,
    /// After the write; synced at this interval. A power cut loses at most that much.
    Interval(Duration),
    /// After the write; synced by the operating system. Survives `kill -9` only.
    Off,
}

/// How long to wait before bytes that met a full disk are tried again.
const STALL_RETRY: Duration = Duration::from_millis(500);

/// Body of the commit thread.
pub(super) fn run(inner: &Inner) {
    let mut last_sync = Instant::now();
    loop {
        let mut s = inner.state.lock();
        while !s.closed && (s.poisoned.is_some() || s.wanted <= s.durable_for(inner)) {
            if s.pending.is_empty() && !s.unsynced(inner) {
                inner.work.wait(&mut s);
            } else if inner.work.wait_for(&mut s, IDLE_COMMIT).timed_out() {
                break;
            }
        }
        if s.closed && (s.pending.is_empty() || s.poisoned.is_some()) && s.waiters.is_empty() {
            return;
        }
        let closing = s.closed;
        let sync = match inner.opts.sync {
            SyncMode::Always => true,
            SyncMode::Interval(d) => closing || last_sync.elapsed() >= d,
            SyncMode::Off => closing,
        };
        if commit(inner, s, sync) {
            last_sync = Instant::now();
        }
        let mut s = inner.state.lock();
        if s.stalled && !s.closed {
            inner.work.wait_for(&mut s, STALL_RETRY);
        } else if s.stalled {
            return;
        }
    }
}

impl State {
    /// Up to where waiters may be told success in the configured mode.
    fn durable_for(&self, inner: &Inner) -> Position {
        match inner.opts.sync {
            SyncMode::Always => self.durable,
            SyncMode::Interval(_) | SyncMode::Off => self.written,
        }
    }

    fn unsynced(&self, inner: &Inner) -> bool {
        matches!(inner.opts.sync, SyncMode::Interval(_)) && self.durable < self.written
    }
}

/// Writes what is pending and, if asked, syncs. Gives true when a sync succeeded.
fn commit(inner: &Inner, mut s: parking_lot::MutexGuard<'_, State>, sync: bool) -> bool {
    if s.committing {
        return false;
    }
    s.committing = true;
    let mut pending = std::mem::take(&mut s.pending);
    let target = s.appended;
    let dir_dirty = std::mem::take(&mut s.dir_dirty);
    s.mark_due = true;
    let poisoned = s.poisoned.is_some();
    drop(s);

    let started = Instant::now();
    let (result, wrote_all) = if poisoned {
        (Ok(()), false)
    } else {
        match write_all(&mut pending) {
            Ok(()) => (sync_all(inner, &pending, dir_dirty, sync), true),
            Err(e) => (Err(e), false),
        }
    };
    let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);

    let mut s = inner.state.lock();
    s.committing = false;
    let mut synced = false;
    match result {
        Ok(()) if wrote_all => {
            s.stalled = false;
            s.written = target;
            if sync {
                s.durable = target;
                s.stats.syncs += 1;
                s.stats.sync_nanos += nanos;
                synced = true;
            } else {
                s.dir_dirty |= dir_dirty;
            }
            if let Some(mut p) = pending.pop() {
                p.bytes.clear();
                s.spare = p.bytes;
            }
        }
        Ok(()) => {}
        Err(e) if is_no_space(&e) && !wrote_all => {
            // Without preallocation a write can meet a full disk. Nothing was synced, so the
            // bytes can be written again once there is space.
            s.stalled = true;
            s.dir_dirty |= dir_dirty;
            let newer = std::mem::replace(&mut s.pending, pending);
            s.pending.extend(newer);
        }
        Err(e) => s.poisoned = Some(e.to_string()), // W2
    }
    let limit = s.durable_for(inner);
    let fail_all = s.poisoned.clone().map(WalError::Poisoned);
    let stalled = s.stalled.then(|| inner.no_space());
    let mut ready: Vec<(Result<(), WalError>, Waiter)> = Vec::new();
    let mut kept = Vec::new();
    let give_up = s.closed && !inner.opts.commit_thread;
    for (p, w) in std::mem::take(&mut s.waiters) {
        if p <= limit {
            ready.push((Ok(()), w)); // W1
        } else if let Some(e) = fail_all.as_ref().or(stalled.as_ref()) {
            ready.push((Err(e.clone()), w));
        } else if give_up {
            ready.push((Err(WalError::Closed), w));
        } else {
            kept.push((p, w));
        }
    }
    s.waiters = kept;
    drop(s);
    inner.done.notify_all();
    for (r, w) in ready {
        w(r);
    }
    synced
}

fn write_all(pending: &mut [Pending]) -> std::io::Result<()> {
    for p in pending {
        write_full(&*p.file, &p.bytes, p.offset)?;
    }
    Ok(())
}

fn sync_all(inner: &Inner, pending: &[Pending], dir: bool, sync: bool) -> std::io::Result<()> {
    if !sync {
        return Ok(());
    }
    for (i, p) in pending.iter().enumerate() {
        // Consecutive entries of one file need one sync.
        if pending
            .get(i + 1)
            .is_none_or(|n| !Arc::ptr_eq(&n.file, &p.file))
        {
            p.file.sync()?;
        }
    }
    if dir {
        inner.fs.sync_dir(&inner.dir)?;
    }
    Ok(())
}

pub(super) fn on_durable(inner: &Inner, position: Position, done: Waiter) {
    let mut s = inner.state.lock();
    if position <= s.durable_for(inner) {
        drop(s);
        return done(Ok(()));
    }
    if let Some(why) = &s.poisoned {
        let e = WalError::Poisoned(why.clone());
        drop(s);
        return done(Err(e));
    }
    s.wanted = s.wanted.max(position);
    s.waiters.push((position, done));
    if inner.opts.commit_thread {
        inner.work.notify_one();
        return;
    }
    while !s.waiters.is_empty() {
        commit(inner, s, true);
        s = inner.state.lock();
    }
}

pub(super) fn wait_durable(inner: &Inner, position: Position) -> Result<(), WalError> {
    let (tx, rx) = crossbeam::channel::bounded(1);
    on_durable(
        inner,
        position,
        Box::new(move |r| {
            // The receiver waits below and cannot be gone.
            drop(tx.send(r));
        }),
    );
    rx.recv().unwrap_or(Err(WalError::Closed))
}
