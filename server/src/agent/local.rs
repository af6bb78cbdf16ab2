//! Entries straight to this process' own store: no HTTP, no encoding.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::model::TenantId;
use engine::store::Store;
use engine::wire::loki::{PushEntry, PushStream};
use exporters::logs::entry::{Entry, LabelSet};
use exporters::logs::positions::Ledger;
use exporters::logs::stages::TENANT_LABEL;
use tokio::sync::mpsc;

use super::read::now_ns;
use super::send::sent_labels;
use super::tally::{Reason, Tally};
use crate::config::LabelMap;
use crate::ingest::{LogService, Refused};

/// Bytes of lines that are stored together. Far below the burst that limits allow by default.
const BATCH_BYTES: usize = 1024 * 1024;
/// First and longest wait after the store refused a batch that it may take later.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Whose entries are when nobody says.
const NO_TENANT: &str = "fake";

/// The store as a receiver.
pub(crate) struct Local {
    logs: Arc<LogService>,
    store: Arc<Store>,
    external: LabelMap,
    tenant: String,
    numbers: Arc<Tally>,
}

impl Local {
    /// The store behind `logs`. `external` and `tenant` are for entries without their own.
    pub(crate) fn new(
        logs: Arc<LogService>,
        store: Arc<Store>,
        external: LabelMap,
        tenant: &str,
    ) -> Self {
        Self {
            logs,
            store,
            external,
            tenant: match tenant {
                "" => NO_TENANT.to_owned(),
                t => t.to_owned(),
            },
            numbers: Arc::new(Tally::new("local".into())),
        }
    }

    /// Its numbers.
    pub(super) fn numbers(&self) -> Arc<Tally> {
        self.numbers.clone()
    }

    /// Takes entries until nobody gives any more.
    pub(super) async fn run(self, mut entries: mpsc::Receiver<Vec<Entry>>, ledger: Arc<Ledger>) {
        while let Some(all) = entries.recv().await {
            let mut batch = Vec::new();
            let mut bytes = 0;
            for e in all {
                if bytes + e.line.len() > BATCH_BYTES && !batch.is_empty() {
                    self.store(std::mem::take(&mut batch)).await;
                    super::note(&ledger).await;
                    bytes = 0;
                }
                bytes += e.line.len();
                batch.push(e);
            }
            self.store(batch).await;
            super::note(&ledger).await;
        }
    }

    /// Stores entries, tenant by tenant. Their tickets end when that is done (AGT1).
    async fn store(&self, entries: Vec<Entry>) {
        let mut tenants: BTreeMap<&str, BTreeMap<&LabelSet, Vec<&Entry>>> = BTreeMap::new();
        for e in &entries {
            let tenant = e.labels.get(TENANT_LABEL).unwrap_or(&self.tenant);
            let streams = tenants.entry(tenant).or_default();
            streams.entry(&e.labels).or_default().push(e);
        }
        for (tenant, streams) in tenants {
            let (lines, bytes) = streams
                .values()
                .flatten()
                .fold((0, 0), |(n, b), e| (n + 1, b + e.line.len() as u64));
            match self.push(tenant, &streams).await {
                Ok(()) => self.numbers.sent(lines, bytes),
                Err(e) => {
                    tracing::error!(error = %e.text, "the store refused lines, they are dropped");
                    let reason = Reason::Refused;
                    self.numbers.dropped(tenant, reason, lines, bytes);
                }
            }
        }
    }

    /// Stores the streams of one tenant; waits as long as the store says later.
    async fn push(
        &self,
        name: &str,
        streams: &BTreeMap<&LabelSet, Vec<&Entry>>,
    ) -> Result<(), Refused> {
        let mut pause = PAUSE_MIN;
        loop {
            let refused = match self.try_push(name, streams).await {
                Ok(()) => return Ok(()),
                Err(e) => e,
            };
            if refused.status != 429 && refused.status < 500 {
                return Err(refused);
            }
            self.numbers.retried(name);
            tracing::debug!(error = %refused.text, "the store takes these lines later");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn try_push(
        &self,
        name: &str,
        streams: &BTreeMap<&LabelSet, Vec<&Entry>>,
    ) -> Result<(), Refused> {
        let (id, name) = if self.logs.config.auth_enabled {
            let id = match self.store.state.known_tenant(name) {
                Some(id) => id,
                None => tokio::task::block_in_place(|| self.store.state.tenant(name))
                    .map_err(|e| Refused::new(503, e.to_string()))?,
            };
            (id, name)
        } else {
            (TenantId::DEFAULT, NO_TENANT)
        };
        let streams = streams.iter().map(|(labels, entries)| PushStream {
            labels: sent_labels(labels, &self.external)
                .map(|(n, v)| (n.into(), v.into()))
                .collect(),
            entries: entries.iter().map(|e| as_pushed(e)).collect(),
        });
        let streams = streams.collect();
        self.logs
            .push(&self.store.logs, (id, name), streams, now_ns())
            .await
    }
}

fn as_pushed(e: &Entry) -> PushEntry<'_> {
    let metadata = e.metadata.iter();
    PushEntry {
        time: e.time_ns,
        line: e.line.as_str().into(),
        metadata: metadata
            .map(|(n, v)| (n.as_str().into(), v.as_str().into()))
            .collect(),
    }
}
