//! All alerts that are known.
//!
//! Owns: what a posted alert must be, what it becomes together with what is known of it, when it
//! is forgotten.
//! Knows nothing of: groups, receivers, where alerts come from. They live in memory only: senders
//! repeat them.
//!
//! Invariants
//! - ALS1  An alert that is refused changes nothing; the others of its batch are taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::alert::{Alert, LabelSet, fingerprint};

/// An alert as it comes in.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PostedAlert {
    /// Its labels; empty values count as missing.
    pub(crate) labels: LabelSet,
    /// Its texts.
    pub(crate) annotations: LabelSet,
    /// Since when it fires; now when not said.
    pub(crate) starts_at: Option<Timestamp>,
    /// When it is over; after the resolve timeout when not said.
    pub(crate) ends_at: Option<Timestamp>,
    /// Where it comes from.
    pub(crate) generator_url: String,
}

/// Limits of what is kept.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AlertLimits {
    /// Alerts of one name; 0 for any number.
    pub(crate) per_alertname: usize,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    known: BTreeMap<u64, Alert>,
    per_name: BTreeMap<String, usize>,
    limits: AlertLimits,
}

impl PostedAlert {
    /// The alert with everything that was not said.
    ///
    /// # Errors
    /// What is wrong with it.
    fn complete(self, resolve_timeout: SignedDuration, now: Timestamp) -> Result<Alert, String> {
        let mut labels = self.labels;
        labels.retain(|_, v| !v.is_empty());
        if labels.is_empty() {
            return Err("at least one label pair required".to_owned());
        }
        if labels
            .keys()
            .chain(self.annotations.keys())
            .any(String::is_empty)
        {
            return Err("invalid label set: invalid name \"\"".to_owned());
        }
        let starts_at = self.starts_at.or(self.ends_at).unwrap_or(now);
        let timeout = self.ends_at.is_none();
        let later = || now.checked_add(resolve_timeout).unwrap_or(Timestamp::MAX);
        let ends_at = self.ends_at.unwrap_or_else(later);
        if starts_at > ends_at {
            return Err("start time must be before end time".to_owned());
        }
        Ok(Alert {
            fingerprint: fingerprint(&labels),
            labels: Arc::new(labels),
            annotations: Arc::new(self.annotations),
            generator_url: self.generator_url,
            starts_at,
            ends_at,
            timeout,
            updated_at: now,
        })
    }
}

impl Alerts {
    /// An empty table.
    pub(crate) fn new(limits: AlertLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Takes an alert; gives what is known of it now.
    ///
    /// # Errors
    /// What is wrong with it; nothing has changed then (ALS1).
    pub(crate) fn put(
        &mut self,
        posted: PostedAlert,
        resolve_timeout: SignedDuration,
        now: Timestamp,
    ) -> Result<Alert, String> {
        let new = posted.complete(resolve_timeout, now)?;
        let alert = match self.known.get(&new.fingerprint) {
            Some(old) => new.merged(old, now),
            None => {
                let name = new.label("alertname");
                let count = self.per_name.get(name).copied().unwrap_or(0);
                let max = self.limits.per_alertname;
                if max > 0 && count >= max {
                    return Err(format!(
                        "the limit of {max} alerts with the name {name:?} is reached"
                    ));
                }
                *self.per_name.entry(name.to_owned()).or_default() += 1;
                new
            }
        };
        self.known.insert(alert.fingerprint, alert.clone());
        Ok(alert)
    }

    /// All of them, by identity.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Alert> + Clone {
        self.known.values()
    }

    /// Forgets what is over.
    pub(crate) fn collect(&mut self, now: Timestamp) {
        let per_name = &mut self.per_name;
        self.known.retain(|_, a| {
            let over = a.resolved(now);
            if over && let Some(n) = per_name.get_mut(a.label("alertname")) {
                *n = n.saturating_sub(1);
            }
            !over
        });
        per_name.retain(|_, n| *n > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::alert::tests::{at, labels};
    use super::*;

    const TIMEOUT: SignedDuration = SignedDuration::from_mins(5);

    fn posted(pairs: &[(&str, &str)]) -> PostedAlert {
        PostedAlert {
            labels: labels(pairs),
            ..PostedAlert::default()
        }
    }

    #[test]
    fn what_is_not_said_is_completed() {
        let mut all = Alerts::default();
        let a = all
            .put(posted(&[("a", "1"), ("empty", "")]), TIMEOUT, at(0))
            .unwrap();
        assert_eq!(a.labels.len(), 1);
        assert_eq!((a.starts_at, a.ends_at, a.timeout), (at(0), at(300), true));
        let mut ended = posted(&[("a", "2")]);
        ended.ends_at = Some(at(-5));
        let a = all.put(ended, TIMEOUT, at(0)).unwrap();
        assert_eq!((a.starts_at, a.timeout), (at(-5), false));
        all.collect(at(0));
        assert_eq!(all.iter().count(), 1);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let mut all = Alerts::default();
        assert!(all.put(posted(&[]), TIMEOUT, at(0)).is_err());
        assert!(all.put(posted(&[("a", "")]), TIMEOUT, at(0)).is_err());
        let mut backwards = posted(&[("a", "1")]);
        (backwards.starts_at, backwards.ends_at) = (Some(at(5)), Some(at(1)));
        assert!(all.put(backwards, TIMEOUT, at(0)).is_err());
        assert_eq!(all.iter().count(), 0);
    }

    #[test]
    fn names_are_limited() {
        let mut all = Alerts::new(AlertLimits { per_alertname: 1 });
        let one = posted(&[("alertname", "A"), ("i", "1")]);
        all.put(one.clone(), TIMEOUT, at(0)).unwrap();
        all.put(one, TIMEOUT, at(1)).unwrap();
        let two = posted(&[("alertname", "A"), ("i", "2")]);
        assert!(all.put(two.clone(), TIMEOUT, at(2)).is_err());
        all.collect(at(400));
        all.put(two, TIMEOUT, at(400)).unwrap();
    }
}
