//! Rules over lines: whose they are, where they stand, how they change.
//!
//! Owns: the rule groups of tenants, in folders or in a durable table; when they are looked at.
//! Knows nothing of: how rules are evaluated (`rules`), HTTP.
//!
//! Invariants
//! - RLR1  A group that is answered as stored is durable, and in force.
//! - RLR2  A file or row that cannot be used keeps no other one from being used.

mod place;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::store::Store;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::config::loki::RulerConfig;
use crate::config::prometheus::{LoadedConfig, RuleFile, RuleGroup, load_text, parse_over_lines};
use crate::ingest::LogService;
use crate::rules::{self, GroupView, Lines, Links, Local, Restoring, RuleOptions, SendOptions};
use crate::telemetry::Metrics;
use place::Place;

/// Longest rule group that is posted.
pub(crate) const GROUP_BYTES_MAX: usize = 1 << 20;
/// Most groups of a tenant.
const GROUPS_MAX: usize = 10_000;
/// Shortest time between two looks at files.
const POLL_MIN: Duration = Duration::from_secs(1);
/// Alerts of a request; the family's default.
const BATCH: usize = 256;

/// Groups by namespace, which is the name of a file.
pub(crate) type Namespaces = BTreeMap<String, Vec<RuleGroup>>;

/// Why rules cannot be shown or changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RulerError {
    /// There is none: answer 404.
    #[error("{0}")]
    Unknown(&'static str),
    /// It makes no sense: answer 400.
    #[error("{0}")]
    Bad(String),
    /// Rules stand in files: answer 500.
    #[error("rules stand in files of the folder {0:?}: change those")]
    Files(String),
    /// The disk refuses: answer 500.
    #[error("rules could not be stored: {0}")]
    NotKept(String),
}

/// The rules of all tenants.
pub(crate) struct Ruler {
    place: Place,
    /// Where alerts go, and how often rules are evaluated.
    config: LoadedConfig,
    poll: Duration,
    enable_api: bool,
    rules: rules::Service,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    changed: Notify,
    /// What is in force, to be compared.
    seen: Mutex<Vec<(std::path::PathBuf, RuleFile)>>,
}

impl std::fmt::Debug for Ruler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ruler").finish_non_exhaustive()
    }
}

impl Ruler {
    /// Rules over the lines of `store` as `logs` is configured. Alerts go to `local` when the
    /// configuration names nobody. Without a URL of the dashboards alerts link to `own_url`.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub(crate) fn new(
        store: &Arc<Store>,
        logs: &Arc<LogService>,
        own_url: &str,
        local: Option<Arc<dyn Local>>,
        metrics: &Metrics,
    ) -> Result<Self, String> {
        let c = &logs.config.ruler;
        let url = match c.external_url.as_str() {
            "" => own_url,
            url => url,
        };
        let world = Lines::new(store.clone(), logs.clone(), url);
        let links = Links::Explore {
            url: url.to_owned(),
            source: c.datasource_uid.clone(),
        };
        let rules = rules::Service::new(Arc::new(world), links, options(c), (metrics, "loki_"));
        if let Some(local) = local.filter(|_| c.alertmanager_url.is_empty()) {
            rules.set_local(local);
        }
        let document = crate::config::render_yaml(&c.document()?);
        let config = load_text(Path::new("ruler"), &document).map_err(|e| e.to_string())?;
        let poll = Duration::from_millis(u64::try_from(c.poll_ms).unwrap_or(0));
        Ok(Self {
            place: Place::new(&c.storage, store.clone()),
            config,
            poll: poll.max(POLL_MIN),
            enable_api: c.enable_api,
            rules,
            changing: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            seen: Mutex::default(),
        })
    }

    /// Whether the interface is there.
    pub(crate) fn has_api(&self) -> bool {
        self.enable_api
    }

    /// Puts what stands in files or rows in force, again and again.
    pub(crate) async fn run(self: Arc<Self>, stop: watch::Receiver<bool>) {
        let mut stop = stop;
        loop {
            {
                let _one = self.changing.lock().await;
                tokio::task::block_in_place(|| self.look());
            }
            tokio::select! {
                () = tokio::time::sleep(self.poll) => {}
                () = self.changed.notified() => {}
                _ = async { drop(stop.wait_for(|s| *s).await) } => break,
            }
        }
        self.rules.stop().await;
    }

    /// Puts what stands there now in force. Blocks for the disk; must be called within a runtime.
    fn look(&self) {
        let mut files = Vec::new();
        for (tenant, namespace, text) in self.place.texts() {
            let name = Path::new(&tenant).join(&namespace);
            // RLR2
            match parse_over_lines::<RuleFile>(&name, &text) {
                Ok(file) => files.push((name, file)),
                Err(e) => tracing::error!(error = %e, "rules over lines are left out"),
            }
        }
        let mut seen = self.seen.lock();
        if *seen == files {
            return;
        }
        let config = LoadedConfig {
            rules: files.clone(),
            ..self.config.clone()
        };
        match self
            .rules
            .prepare(&config, query::promql::Engine::default())
        {
            Ok(p) => {
                self.rules.apply(p);
                *seen = files;
            }
            Err(e) => tracing::error!(error = %e, "rules over lines cannot be put in force"),
        }
    }

    /// The groups of a tenant with their state; files are named by their namespace.
    pub(crate) fn groups(&self, tenant: &str) -> Vec<Arc<GroupView>> {
        let all = self.rules.groups().into_iter();
        let own = all.filter_map(|g| {
            let namespace = g.file.strip_prefix(tenant)?.strip_prefix('/')?.to_owned();
            Some(Arc::new(GroupView {
                file: namespace,
                ..GroupView::clone(&g)
            }))
        });
        own.collect()
    }

    /// The groups of a tenant as they stand there.
    ///
    /// # Errors
    /// When there is no folder of the tenant, or a file in it cannot be used.
    pub(crate) fn namespaces(&self, tenant: &str) -> Result<Namespaces, RulerError> {
        self.place.has(tenant)?;
        let mut out = Namespaces::new();
        for (owner, namespace, text) in self.place.texts() {
            if owner == tenant {
                let file: RuleFile = parse_over_lines(Path::new(&namespace), &text)
                    .map_err(|e| RulerError::Bad(e.to_string()))?;
                out.insert(namespace, file.groups);
            }
        }
        Ok(out)
    }

    /// Adds a group to a namespace, or replaces the one of its name (RLR1).
    ///
    /// # Errors
    /// See [`RulerError`].
    pub(crate) async fn set_group(
        &self,
        (tenant, namespace): (&str, &str),
        text: &str,
    ) -> Result<(), RulerError> {
        let group: RuleGroup = parse_over_lines(Path::new(namespace), text)
            .map_err(|e| RulerError::Bad(e.to_string()))?;
        if group.name.is_empty() {
            return Err(RulerError::Bad("rule group has no name".into()));
        }
        self.change(tenant, |all| {
            if all.values().map(Vec::len).sum::<usize>() >= GROUPS_MAX {
                let text = format!("a tenant has at most {GROUPS_MAX} rule groups");
                return Err(RulerError::Bad(text));
            }
            let groups = all.entry(namespace.to_owned()).or_default();
            match groups.iter_mut().find(|g| g.name == group.name) {
                Some(old) => *old = group,
                None => groups.push(group),
            }
            Ok(())
        })
        .await
    }

    /// Removes a group, or a whole namespace.
    ///
    /// # Errors
    /// See [`RulerError`].
    pub(crate) async fn remove(
        &self,
        (tenant, namespace): (&str, &str),
        group: Option<&str>,
    ) -> Result<(), RulerError> {
        self.change(tenant, |all| {
            let groups = all
                .get_mut(namespace)
                .ok_or(RulerError::Unknown("no rule groups found"))?;
            let before = groups.len();
            groups.retain(|g| group.is_some_and(|name| g.name != name));
            match groups.len() == before {
                true => Err(RulerError::Unknown("group does not exist")),
                false => Ok(()),
            }
        })
        .await
    }

    async fn change(
        &self,
        tenant: &str,
        make: impl FnOnce(&mut Namespaces) -> Result<(), RulerError>,
    ) -> Result<(), RulerError> {
        let _one = self.changing.lock().await;
        tokio::task::block_in_place(|| {
            self.place.may_change()?;
            let before = self.namespaces(tenant)?;
            let mut after = before.clone();
            make(&mut after)?;
            self.place.replace(tenant, &before, &after)?;
            self.look();
            Ok(())
        })
    }
}

fn options(c: &RulerConfig) -> RuleOptions {
    RuleOptions {
        restoring: Restoring {
            tolerance_ms: c.outage_ms,
            grace_ms: c.grace_ms,
        },
        resend_ms: c.resend_ms,
        send: SendOptions {
            capacity: c.queue,
            batch: BATCH,
            drain: true,
        },
    }
}
