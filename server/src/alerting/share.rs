//! Silences and log entries that instances share.
//!
//! Owns: what is newer, what is believed of another instance, and how much of it.
//! Knows nothing of: who the other instances are, how rows travel.
//!
//! Invariants
//! - SHA1  Of two versions of a row the newer one stays, on every instance the same.
//! - SHA2  What others say takes at most [`FOREIGN_BYTES_MAX`] each for silences and the log; what
//!   is dated later than a few minutes from now is not believed: it would never be outdated.

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::changes::RowName;
use super::cluster::{PAGE_BYTES, ROW_BYTES_MAX};
use super::keep::{Kept, Row};
use super::service::{Alertmanager, Core, later};

/// Most bytes of silences, and of log entries, up to which rows of others are taken. A million
/// groups with a few alerts each are below it.
const FOREIGN_BYTES_MAX: usize = 256 << 20;
/// How far clocks of instances may be apart.
const CLOCKS_APART: SignedDuration = SignedDuration::from_mins(10);

impl Core {
    /// Everything that was kept is news for the others.
    pub(super) fn note_everything(&mut self) {
        let silences = self.silences.iter().map(|s| RowName::Silence(s.id.clone()));
        let log = self.log.iter().map(|(k, _)| RowName::Told(k.clone()));
        for row in silences.chain(log) {
            self.changes.note(row);
        }
    }

    /// The row as it is now; none when it is not worth passing on.
    fn row(&self, name: &RowName, now: Timestamp) -> Option<Row> {
        match name {
            RowName::Silence(id) => self.silences.get(id).map(Row::from),
            RowName::Told(key) => self.log.get(key, now).map(|told| Row::from((key, told))),
        }
    }

    /// Takes a row over when it is newer than what is known (SHA1); gives it back then. When there
    /// is a lot already (`full`), only rows that are known.
    ///
    /// # Errors
    /// When it makes no sense.
    fn merge(&mut self, row: Row, now: Timestamp, full: bool) -> Result<Option<Kept>, ()> {
        let latest = later(now, CLOCKS_APART);
        // SHA2
        if row.size_bytes() > ROW_BYTES_MAX {
            return Err(());
        }
        match Kept::from(row) {
            Kept::Silence(s) => {
                if s.updated_at > latest || (full && self.silences.get(&s.id).is_none()) {
                    return Err(());
                }
                let new = self.silences.merge(s.clone()).map_err(|_| ())?;
                Ok(new.then_some(Kept::Silence(s)))
            }
            Kept::Told(key, told) => {
                if told.until <= now {
                    return Ok(None);
                }
                let known = self.log.entry(&key);
                // The key of a table ends its texts with NUL.
                let texts = [&key.receiver, &key.kind];
                let nul = texts.iter().any(|t| t.contains('\0'));
                if told.at > latest || (full && known.is_none()) || nul {
                    return Err(());
                }
                if known.is_some_and(|k| k.at >= told.at) {
                    return Ok(None);
                }
                self.log.put(key.clone(), told.clone());
                Ok(Some(Kept::Told(key, told)))
            }
            Kept::SilenceGone(_) | Kept::ToldGone(_) => Ok(None),
        }
    }
}

impl Alertmanager {
    /// A row is different now: others want to know.
    pub(super) fn note(&self, core: &mut Core, row: RowName) {
        if self.cluster.is_some() {
            core.changes.note(row);
            self.changed.send_replace(core.changes.last());
        }
    }

    /// Tells the number of the last change, and of each that follows.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Rows that changed after `number`, as many as an answer holds; the number up to which they
    /// are all there, and whether there are more.
    pub(super) fn rows_after(&self, number: u64) -> (Vec<Row>, u64, bool) {
        let now = self.now();
        let core = self.core.lock();
        let (mut rows, mut bytes, mut upto) = (Vec::new(), 0, number);
        for (n, name) in core.changes.after(number) {
            let row = core
                .row(name, now)
                .filter(|r| r.size_bytes() <= ROW_BYTES_MAX);
            if let Some(row) = row {
                bytes += row.size_bytes();
                if bytes > PAGE_BYTES && !rows.is_empty() {
                    return (rows, upto, true);
                }
                rows.push(row);
            }
            upto = n;
        }
        (rows, core.changes.last().max(upto), false)
    }

    /// Takes over what is newer than what is known, and keeps it. Gives the number of rows that
    /// were refused.
    pub(super) async fn merge(&self, rows: Vec<Row>) -> usize {
        if rows.is_empty() {
            return 0;
        }
        let now = self.now();
        let (mut kept, mut refused) = (Vec::new(), 0);
        {
            let mut core = self.core.lock();
            // An answer has an end, so it is enough to look once.
            let silences_full = core.silences.bytes() > FOREIGN_BYTES_MAX;
            let log_full = core.log.bytes() > FOREIGN_BYTES_MAX;
            for row in rows {
                let full = match &row {
                    Row::Silence(..) => silences_full,
                    Row::Told(..) => log_full,
                };
                match core.merge(row, now, full) {
                    Ok(Some(new)) => {
                        let name = match &new {
                            Kept::Silence(s) => RowName::Silence(s.id.clone()),
                            Kept::Told(key, _) => RowName::Told(key.clone()),
                            Kept::SilenceGone(_) | Kept::ToldGone(_) => continue,
                        };
                        self.note(&mut core, name);
                        kept.push(new);
                    }
                    Ok(None) => {}
                    Err(()) => refused += 1,
                }
            }
        }
        self.keep_or_say(kept).await;
        refused
    }

    /// Other instances, when there may be some.
    pub(crate) fn cluster(&self) -> Option<&super::cluster::Cluster> {
        self.cluster.as_deref()
    }
}
