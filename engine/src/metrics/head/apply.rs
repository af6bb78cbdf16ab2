//! Making a logged batch visible (H2, H3), and moving series between groups.

use std::sync::Arc;

use parking_lot::Mutex;

use super::append::put_series;
use super::group::{Group, SEAL_AT};
use super::record::Cell;
use super::{Head, HistPoint, Index, Map, Side, Writer};
use crate::model::Exemplar;

/// In-order samples of one series that may miss their group's rows before the series moves.
const STRAYS_MAX: u32 = 8;
/// Share of used cells below which a group is split, percent.
const FILL_MIN: usize = 25;

impl Head {
    /// Makes the plan visible. `position` is where it ends in the log.
    pub(super) fn apply(&self, w: &mut Writer, position: u64) {
        let cells = std::mem::take(&mut w.plan.cells);
        let mut crowded: Vec<u32> = Vec::new();
        {
            let idx = self.index.read();
            for part in cells.chunk_by(|a, b| a.group == b.group && a.t == b.t) {
                let gid = part[0].group;
                let mut g = idx.groups[gid as usize].lock();
                self.apply_row(&mut w.strays, &mut g, part);
                if g.ts.len() >= SEAL_AT && g.slots() > 4 && g.fill_percent() < FILL_MIN {
                    crowded.push(gid);
                } else {
                    g.seal(false, &mut w.scratch);
                }
            }
        }
        w.plan.cells = cells;
        let plan = &mut w.plan;
        if !(plan.sparse.is_empty()
            && plan.histograms.is_empty()
            && plan.starts.is_empty()
            && plan.exemplars.is_empty()
            && plan.metadata.is_empty())
        {
            let idx = self.index.read();
            let mut side = self.side.write();
            side.applied = position;
            for (sid, t, v) in plan.sparse.drain(..) {
                self.add_sparse(&idx, &mut side, sid, t, v);
            }
            for (sid, p, _) in plan.histograms.drain(..) {
                self.add_histogram(&idx, &mut side, sid, p);
            }
            for (sid, t, st) in plan.starts.drain(..) {
                add_start(&mut side, sid, t, st);
            }
            for (sid, e) in plan.exemplars.drain(..) {
                self.add_exemplar(&mut side, sid, e);
            }
            for (n, m) in plan.metadata.drain(..) {
                side.metadata.insert(n, m);
            }
        }
        crowded.sort_unstable();
        crowded.dedup();
        for gid in crowded {
            self.split(w, gid);
        }
        if w.strays.values().any(|n| *n >= STRAYS_MAX) {
            let movers: Vec<u32> = w
                .strays
                .iter()
                .filter(|(_, n)| **n >= STRAYS_MAX)
                .map(|(s, _)| *s)
                .collect();
            for sid in movers {
                w.strays.remove(&sid);
                self.relocate(w, &[sid]);
            }
        }
    }

    /// Applies cells of one group and one timestamp.
    pub(super) fn apply_row(&self, strays: &mut Map<u32, u32>, g: &mut Group, part: &[Cell]) {
        let t = part[0].t;
        let fresh = |g: &Group, c: &Cell| g.last.get(c.slot as usize).is_some_and(|l| t > *l);
        if !part.iter().any(|c| fresh(g, c)) {
            return;
        }
        self.saw(t);
        match g.row_for(t) {
            Some(row) => {
                for c in part {
                    // Not newer: a repetition inside one batch, dropped as Prometheus does.
                    if fresh(g, c) {
                        g.set(row, c.slot, t, c.v);
                    }
                }
            }
            None => {
                let mut side = self.side.write();
                for c in part {
                    if fresh(g, c) {
                        let sid = g.sids[c.slot as usize];
                        g.last[c.slot as usize] = t;
                        insert_sparse(&mut side, sid, t, c.v);
                        *strays.entry(sid).or_insert(0) += 1;
                    }
                }
            }
        }
    }

    pub(super) fn add_sparse(&self, idx: &Index, side: &mut Side, sid: u32, t: i64, v: f64) {
        self.saw(t);
        self.touch(idx, sid, t);
        insert_sparse(side, sid, t, v);
    }

    pub(super) fn add_histogram(&self, idx: &Index, side: &mut Side, sid: u32, p: HistPoint) {
        self.saw(p.t);
        self.touch(idx, sid, p.t);
        let list = side.histograms.entry(sid).or_default();
        if list.last().is_none_or(|n| n.t < p.t) {
            list.push(p);
        } else if let Err(i) = list.binary_search_by_key(&p.t, |x| x.t) {
            list.insert(i, p);
        }
    }

    pub(super) fn add_exemplar(&self, side: &mut Side, sid: u32, e: Exemplar) {
        if side.exemplars.len() >= self.exemplars_max {
            side.exemplars.pop_front();
        }
        side.exemplars.push_back((sid, e));
    }

    /// Moves a series' newest timestamp forward (G3).
    fn touch(&self, idx: &Index, sid: u32, t: i64) {
        let Some((g, slot)) = idx.loc.get(sid as usize).copied() else {
            return;
        };
        let Some(g) = idx.groups.get(g as usize) else {
            return;
        };
        let mut g = g.lock();
        if let Some(last) = g.last.get_mut(slot as usize)
            && *last < t
        {
            *last = t;
        }
    }

    /// Breaks a group whose series do not share timestamps into groups that do.
    fn split(&self, w: &mut Writer, gid: u32) {
        let (sids, presence) = {
            let idx = self.index.read();
            let g = idx.groups[gid as usize].lock();
            (g.sids.clone(), g.presence())
        };
        let mut order: Vec<usize> = (0..sids.len()).collect();
        order.sort_by_key(|i| presence[*i]);
        let parts: Vec<Vec<u32>> = order
            .chunk_by(|a, b| presence[*a] == presence[*b])
            .map(|p| p.iter().map(|i| sids[*i]).collect())
            .collect();
        // The largest part stays where it is.
        let stay = parts.iter().map(Vec::len).max().unwrap_or(0);
        let mut kept = false;
        for part in parts {
            if part.len() == stay && !kept {
                kept = true;
                continue;
            }
            self.relocate(w, &part);
        }
        let idx = self.index.read();
        idx.groups[gid as usize].lock().seal(true, &mut w.scratch);
    }

    /// Moves series to a new group; what they have stays in the old one.
    fn relocate(&self, w: &mut Writer, sids: &[u32]) {
        let mut idx = self.index.write();
        let gid = idx.groups.len() as u32;
        let mut new = Group::new();
        for sid in sids {
            let Some(old) = idx.loc.get(*sid as usize).copied() else {
                continue;
            };
            if idx.table.ids(*sid).is_empty() {
                continue;
            }
            let last = idx.groups[old.0 as usize].lock().last[old.1 as usize];
            let slot = new.add_slot(*sid, last);
            idx.moved.entry(*sid).or_default().push(old);
            idx.loc[*sid as usize] = (gid, slot);
            put_series(&mut w.series_out, *sid, gid, slot, idx.table.ids(*sid));
        }
        idx.groups.push(Arc::new(Mutex::new(new)));
    }
}

pub(super) fn insert_sparse(side: &mut Side, sid: u32, t: i64, v: f64) {
    let list = side.sparse.entry(sid).or_default();
    if list.last().is_none_or(|p| p.0 < t) {
        list.push((t, v));
    } else if let Err(i) = list.binary_search_by_key(&t, |p| p.0) {
        // The first value at a time stays.
        list.insert(i, (t, v));
    }
}

/// Notes the start timestamp of the sample at `t`, unless it is the one already in force.
pub(super) fn add_start(side: &mut Side, sid: u32, t: i64, st: i64) {
    let list = side.starts.entry(sid).or_default();
    let i = list.partition_point(|p| p.0 <= t);
    if i == 0 || list[i - 1].1 != st {
        list.insert(i, (t, st));
    }
}
