//! How long entries are kept: by tenant, and within a tenant by what their stream is called.
//!
//! Retention works on parts: a stream leaves a part when the newest entry of that part is older
//! than the stream's period, so an entry may outlive its period by the length of a part (a day).

use std::collections::HashMap;

use crate::model::{Labels, Matcher, TenantId};

/// An exception for some streams of a tenant.
#[derive(Debug, Clone)]
pub struct RetentionRule {
    /// Which streams.
    pub matchers: Vec<Matcher>,
    /// Of several rules that match, the highest wins; of equal ones the shorter period.
    pub priority: i64,
    /// How long, ms; 0 = for ever.
    pub period_ms: i64,
}

/// How long the entries of a tenant are kept.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    /// Entries of streams that no rule names, ms; 0 = for ever.
    pub period_ms: i64,
    /// Exceptions.
    pub rules: Vec<RetentionRule>,
}

impl Retention {
    /// The same for every stream, ms; 0 = for ever.
    #[must_use]
    pub fn of(period_ms: i64) -> Self {
        Self {
            period_ms,
            rules: Vec::new(),
        }
    }

    /// Period of a stream, ms; 0 = for ever. Cost: every rule's matchers.
    #[must_use]
    pub fn period_of(&self, labels: &Labels) -> i64 {
        // "For ever" is the longest of all.
        let length = |ms: i64| if ms <= 0 { i64::MAX } else { ms };
        let matching = self
            .rules
            .iter()
            .filter(|r| Matcher::all_match(&r.matchers, labels));
        let best = matching.max_by(|a, b| {
            let shorter = length(b.period_ms).cmp(&length(a.period_ms));
            a.priority.cmp(&b.priority).then(shorter)
        });
        best.map_or(self.period_ms, |r| r.period_ms).max(0)
    }

    /// The shortest period of any stream, ms; 0 = all are kept for ever.
    fn shortest(&self) -> i64 {
        let rules = self.rules.iter().map(|r| r.period_ms);
        let all = rules.chain([self.period_ms]).filter(|p| *p > 0);
        all.min().unwrap_or(0)
    }
}

/// The retention of every tenant.
#[derive(Debug, Clone, Default)]
pub struct Retentions {
    /// Of tenants without an entry of their own.
    pub default: Retention,
    /// Of single tenants.
    pub tenants: HashMap<TenantId, Retention>,
}

impl Retentions {
    fn of(&self, tenant: TenantId) -> &Retention {
        self.tenants.get(&tenant).unwrap_or(&self.default)
    }

    /// What has to leave a part whose newest entry is `newest` (ns), at `now` (ms).
    pub(super) fn verdict(
        &self,
        tenant: TenantId,
        newest: i64,
        streams: &[Labels],
        now_ms: i64,
    ) -> Verdict {
        let retention = self.of(tenant);
        let expired = |period: i64| {
            let oldest = now_ms.saturating_sub(period).saturating_mul(1_000_000);
            period > 0 && newest < oldest
        };
        if !expired(retention.shortest()) {
            return Verdict::Keep;
        }
        let gone: Vec<&Labels> = streams
            .iter()
            .filter(|l| expired(retention.period_of(l)))
            .collect();
        if gone.len() == streams.len() {
            Verdict::Drop
        } else if gone.is_empty() {
            Verdict::Keep
        } else {
            Verdict::Without(gone.into_iter().cloned().collect())
        }
    }
}

/// What happens to a part.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays.
    Keep,
    /// All of it goes.
    Drop,
    /// It stays without these streams.
    Without(Vec<Labels>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(app: &str, priority: i64, period_ms: i64) -> RetentionRule {
        RetentionRule {
            matchers: vec![Matcher::equal("app", app)],
            priority,
            period_ms,
        }
    }

    #[test]
    fn the_highest_priority_decides_and_then_the_shorter_period() {
        let app = |a: &str| Labels::from_pairs([("app", a)]);
        let r = Retention {
            period_ms: 7,
            rules: vec![
                rule("a", 1, 100),
                rule("a", 2, 50),
                rule("a", 2, 60),
                rule("b", 1, 0),
                rule("b", 1, 30),
                rule("c", 1, 0),
            ],
        };
        let periods = ["a", "b", "c", "d"].map(|a| r.period_of(&app(a)));
        assert_eq!(periods, [50, 30, 0, 7]);
        assert_eq!(r.shortest(), 7);
        assert_eq!(Retention::default().shortest(), 0);
    }

    #[test]
    fn streams_leave_a_part_when_its_newest_entry_is_too_old() {
        let streams = [
            Labels::from_pairs([("app", "a")]),
            Labels::from_pairs([("app", "b")]),
        ];
        let t = TenantId::DEFAULT;
        let all = Retentions {
            default: Retention {
                period_ms: 1000,
                rules: vec![rule("a", 1, 100)],
            },
            tenants: HashMap::from([(TenantId(7), Retention::default())]),
        };
        let at = |tenant, now_ms| all.verdict(tenant, 50 * 1_000_000, &streams, now_ms);
        assert_eq!(at(t, 150), Verdict::Keep);
        assert_eq!(at(t, 151), Verdict::Without(vec![streams[0].clone()]));
        assert_eq!(at(t, 1051), Verdict::Drop);
        assert_eq!(at(TenantId(7), i64::MAX / 2), Verdict::Keep);
    }
}
