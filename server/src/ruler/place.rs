//! Where the rules of tenants stand: in folders, or in a durable table.
//!
//! A row of the table is a namespace of a tenant: the document of its groups.

use std::path::Path;
use std::sync::Arc;

use engine::state::Change;
use engine::store::Store;

use super::{Namespaces, RulerError};
use crate::config::loki::RuleStorage;
use crate::config::prometheus::RuleFile;
use crate::config::yaml;

const TABLE: &str = "loki.rules";

/// Where rules stand.
pub(super) enum Place {
    /// `<tenant>/<namespace>` below a folder.
    Folder(String),
    /// Rows of a table.
    Table(Arc<Store>),
}

/// Key of a namespace. Neither a tenant's name nor a namespace holds a NUL.
fn key(tenant: &str, namespace: &str) -> Vec<u8> {
    format!("{tenant}\0{namespace}").into_bytes()
}

impl Place {
    pub(super) fn new(storage: &RuleStorage, store: Arc<Store>) -> Self {
        match storage {
            RuleStorage::Own => Self::Table(store),
            RuleStorage::Local(dir) => Self::Folder(dir.clone()),
        }
    }

    /// Whether a tenant may be asked for.
    ///
    /// # Errors
    /// When rules stand in folders and it has none.
    pub(super) fn has(&self, tenant: &str) -> Result<(), RulerError> {
        match self {
            Self::Folder(dir) if !Path::new(dir).join(tenant).is_dir() => Err(RulerError::Bad(
                format!("unable to read rule dir {dir}/{tenant}: no such folder"),
            )),
            _ => Ok(()),
        }
    }

    /// Whether the interface may change rules.
    ///
    /// # Errors
    /// When they stand in files.
    pub(super) fn may_change(&self) -> Result<(), RulerError> {
        match self {
            Self::Folder(dir) => Err(RulerError::Files(dir.clone())),
            Self::Table(_) => Ok(()),
        }
    }

    /// Tenant, namespace and document of everything there is.
    pub(super) fn texts(&self) -> Vec<(String, String, String)> {
        match self {
            Self::Folder(dir) => files(Path::new(dir)),
            Self::Table(store) => {
                let rows = store.state.list(TABLE).into_iter();
                let rows = rows.filter_map(|(key, value)| {
                    let key = String::from_utf8(key).ok()?;
                    let (tenant, namespace) = key.split_once('\0')?;
                    let text = String::from_utf8(value).ok()?;
                    Some((tenant.to_owned(), namespace.to_owned(), text))
                });
                rows.collect()
            }
        }
    }

    /// Makes the rules of a tenant those of `after` and waits until that is durable.
    ///
    /// # Errors
    /// When rules stand in files, or the disk refuses.
    pub(super) fn replace(
        &self,
        tenant: &str,
        before: &Namespaces,
        after: &Namespaces,
    ) -> Result<(), RulerError> {
        self.may_change()?;
        let Self::Table(store) = self else {
            return Ok(());
        };
        let mut rows = Vec::new();
        for name in before.keys().chain(after.keys()) {
            let groups = after.get(name).filter(|g| !g.is_empty());
            if before.get(name) == groups {
                continue;
            }
            let text = groups.map(|groups| {
                let file = RuleFile {
                    groups: groups.clone(),
                };
                yaml::render(&file).into_bytes()
            });
            rows.push((key(tenant, name), text));
        }
        let changes = rows.iter().map(|(key, value)| Change {
            table: TABLE,
            key,
            value: value.as_deref(),
        });
        let changes: Vec<Change<'_>> = changes.collect();
        let end = store.state.change(&changes);
        let kept = end.and_then(|end| store.state.wait_durable(end));
        kept.map_err(|e| RulerError::NotKept(e.to_string()))
    }
}

/// The rule files of all tenants, in the order of their paths.
fn files(dir: &Path) -> Vec<(String, String, String)> {
    let mut out = Vec::new();
    for tenant in children(dir) {
        let own = dir.join(&tenant);
        if !own.is_dir() {
            continue;
        }
        for name in children(&own) {
            let file = own.join(&name);
            if name.starts_with('.') || !file.is_file() {
                continue;
            }
            match yaml::read(&file) {
                Ok(text) => out.push((tenant.clone(), name, text)),
                Err(e) => tracing::error!(error = %e, "rules over lines are left out"),
            }
        }
    }
    out
}

/// Names in a folder, sorted; none when there is no such folder.
fn children(dir: &Path) -> Vec<String> {
    let found = std::fs::read_dir(dir).into_iter().flatten();
    let names = found.filter_map(|e| e.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}
