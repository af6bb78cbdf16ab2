//! Reading the streams of several tenants as one, `X-Scope-OrgID: a|b`.
//!
//! Owns: the label [`TENANT`] that says whose a stream is, matchers on it.
//! Knows nothing of: whether a client may name several tenants.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use ::query::logql::source::{LogSource, StreamSet};
use engine::logs::{
    Db, Direction, EntryBatch, Glance, Hole, ReadError, ScanOptions, Selection, Visitor,
};
use engine::model::{Labels, Matcher};

use super::Tenant;

/// Name of the label with the tenant of a stream.
pub(super) const TENANT: &str = "__tenant_id__";
/// What a label of that name that was sent is called.
const ORIGINAL: &str = "original___tenant_id__";

/// The stores of several tenants.
pub(super) struct ManyTenants<'a> {
    db: &'a Db,
    tenants: &'a [Tenant],
}

impl<'a> ManyTenants<'a> {
    /// One tenant is read as it is, without a label for it.
    pub(super) fn new(db: &'a Db, tenants: &'a [Tenant]) -> Self {
        Self { db, tenants }
    }

    /// Selections of the tenants that the matchers allow.
    fn selections(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = (&'a Tenant, Selection)> + use<'a> {
        let about: Vec<&Matcher> = matchers.iter().filter(|m| m.name == TENANT).collect();
        let mut own: Vec<Matcher> = Vec::new();
        for m in matchers.iter().filter(|m| m.name != TENANT) {
            let mut m = m.clone();
            if m.name == ORIGINAL {
                m.name = TENANT.into();
            }
            own.push(m);
        }
        let several = self.tenants.len() > 1;
        let own = if several { own } else { matchers.to_vec() };
        let named: Vec<&Tenant> = self
            .tenants
            .iter()
            .filter(|t| !several || about.iter().all(|m| m.matches(&t.name)))
            .collect();
        let db = self.db;
        let select = move |t: &'a Tenant| (t, db.select(t.id, &own, from, to));
        named.into_iter().map(select)
    }

    fn labelled(&self, tenant: &Tenant, labels: &Labels) -> Labels {
        if self.tenants.len() < 2 {
            return labels.clone();
        }
        with_tenant(tenant, labels)
    }

    /// What each tenant has in `[from, to)` (ns) of the streams that match, apart from that of
    /// the others.
    pub(super) fn each_tenant(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = TenantStreams<'a>> + use<'a> {
        let several = self.tenants.len() > 1;
        self.selections(matchers, from, to)
            .map(move |(tenant, selection)| TenantStreams {
                tenant: several.then_some(tenant),
                selection,
            })
    }

    /// Labels of every stream that matches and may have entries in `[from, to)` (ns).
    pub(super) fn each_stream(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
        visit: &mut dyn FnMut(&Labels),
    ) {
        for (tenant, s) in self.selections(matchers, from, to) {
            for i in 0..s.len() {
                if self.tenants.len() < 2 {
                    visit(s.labels(i));
                } else {
                    visit(&self.labelled(tenant, s.labels(i)));
                }
            }
        }
    }
}

/// Labels of a stream with its tenant's name among them.
fn with_tenant(tenant: &Tenant, labels: &Labels) -> Labels {
    let sent = labels.get(TENANT).unwrap_or("");
    let moved = labels.with(ORIGINAL, sent);
    moved.with(TENANT, &tenant.name)
}

/// What one of the tenants of a request has.
pub(super) struct TenantStreams<'a> {
    /// Whose it is, where the request names several.
    tenant: Option<&'a Tenant>,
    /// The streams, with the labels they were sent with.
    pub(super) selection: Selection,
}

impl TenantStreams<'_> {
    /// Labels of stream `i`, with the tenant's name where several are read.
    pub(super) fn labelled(&self, i: usize) -> Labels {
        let own = self.selection.labels(i);
        match self.tenant {
            Some(t) => with_tenant(t, own),
            None => own.clone(),
        }
    }
}

impl LogSource for ManyTenants<'_> {
    fn select(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
    ) -> Result<Box<dyn StreamSet + '_>, ReadError> {
        let mut streams = Vec::new();
        let mut parts = Vec::new();
        for (n, (tenant, s)) in self.selections(matchers, from, to).enumerate() {
            let own = (0..s.len()).map(|i| (self.labelled(tenant, s.labels(i)), n, i));
            streams.extend(own);
            parts.push((s, Vec::new()));
        }
        streams.sort_unstable();
        for (place, (_, n, i)) in streams.iter().enumerate() {
            let places: &mut Vec<u32> = &mut parts[*n].1;
            places.resize(places.len().max(i + 1), 0);
            places[*i] = u32::try_from(place).unwrap_or(u32::MAX);
        }
        Ok(Box::new(ManyStreams {
            labels: streams.into_iter().map(|s| s.0).collect(),
            parts,
            several: self.tenants.len() > 1,
        }))
    }
}

/// Streams of several tenants.
struct ManyStreams {
    /// Ascending.
    labels: Vec<Labels>,
    /// What is read, with the place of each of its streams in `labels`.
    parts: Vec<(Selection, Vec<u32>)>,
    /// Streams have the label of their tenant.
    several: bool,
}

impl ManyStreams {
    /// The only selection, when its streams are the streams here.
    fn only(&self) -> Option<&Selection> {
        match self.parts.as_slice() {
            [(only, _)] if !self.several => Some(only),
            _ => None,
        }
    }
}

/// A glance that leaves the choice of lines to the reader: the store does not know the label that
/// streams get here.
#[derive(Debug)]
struct Undecided<'g>(&'g dyn Glance);

impl Glance for Undecided<'_> {
    fn holes(&self, pieces: &[&[u8]]) -> Option<Vec<Hole>> {
        self.0.holes(pieces)
    }

    fn may_pass(&self, _: &Labels, _: Option<&Labels>, _: &[u8]) -> bool {
        true
    }
}

/// Gives the streams of a batch their places among those of all tenants.
fn placed(batch: &EntryBatch, places: &[u32]) -> EntryBatch {
    let mut batch = batch.clone();
    for s in &mut batch.streams {
        *s = places.get(*s as usize).copied().unwrap_or(u32::MAX);
    }
    batch
}

impl StreamSet for ManyStreams {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn labels(&self, i: usize) -> &Labels {
        &self.labels[i]
    }

    fn scan(
        &self,
        options: &ScanOptions<'_>,
        visit: &mut dyn FnMut(&EntryBatch) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        if let Some(only) = self.only() {
            return only.scan(options, visit);
        }
        let mut stopped = false;
        for (n, (selection, places)) in self.parts.iter().enumerate() {
            let last = n + 1 == self.parts.len();
            selection.scan(options, &mut |batch| {
                let mut batch = placed(batch, places);
                // Another tenant may still have entries of any time.
                if !last {
                    batch.frontier = match options.direction {
                        Direction::Forward => i64::MIN,
                        Direction::Backward => i64::MAX,
                    };
                }
                let flow = visit(&batch);
                stopped |= flow.is_break();
                flow
            })?;
            if stopped {
                break;
            }
        }
        Ok(())
    }

    fn scan_by(
        &self,
        options: &ScanOptions<'_>,
        mut visitors: Vec<Visitor<'_>>,
    ) -> Result<(), ReadError> {
        if let Some(only) = self.only() {
            return only.scan_by(options, visitors);
        }
        let glance = options.glance.map(Undecided);
        let options = ScanOptions {
            glance: glance.as_ref().map(|g| g as &dyn Glance),
            ..options.clone()
        };
        let stopped = &AtomicBool::new(false);
        let mut before = 0u32;
        for (selection, places) in &self.parts {
            let visitors = visitors.iter_mut().map(|visit| {
                let placing: Visitor<'_> = Box::new(move |unit, batch| {
                    let flow = visit(before + unit, &placed(batch, places));
                    if flow.is_break() {
                        stopped.store(true, Ordering::Relaxed);
                    }
                    flow
                });
                placing
            });
            selection.scan_by(&options, visitors.collect())?;
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            before += u32::try_from(selection.units()).unwrap_or(0);
        }
        Ok(())
    }
}
