//! Silences: alerts that are not told for a time because somebody said so.
//!
//! Owns: validity, what an update may change, states, which silences hold for an alert.
//! Knows nothing of: where silences are kept, the clock, the source of new names.
//!
//! Invariants
//! - SIL1  A silence that has taken effect is never changed into another one: it ends, and a new
//!   one with a new name begins.
//! - SIL2  No silence holds for everything: at least one condition asks for a value.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::config::alertmanager::{MatchOp, Matcher};

/// A condition with the two flags of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    /// The label.
    pub(crate) name: String,
    /// Text or pattern.
    pub(crate) value: String,
    /// Whether the value is a pattern.
    pub(crate) is_regex: bool,
    /// Whether it has to match.
    pub(crate) is_equal: bool,
}

/// A silence.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Silence {
    /// Its name; empty before it has one.
    pub(crate) id: String,
    /// All must hold.
    pub(crate) matchers: Vec<Condition>,
    /// From when.
    pub(crate) starts_at: Timestamp,
    /// Until when.
    pub(crate) ends_at: Timestamp,
    /// Last change.
    pub(crate) updated_at: Timestamp,
    /// Who.
    pub(crate) created_by: String,
    /// Why.
    pub(crate) comment: String,
    /// Anything else.
    pub(crate) annotations: BTreeMap<String, String>,
}

/// Where a silence is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// In force.
    Active,
    /// Not yet.
    Pending,
    /// No more.
    Expired,
}

/// Why a silence is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SilenceError {
    /// No silence has that name: answer 404.
    #[error("silence not found")]
    Unknown,
    /// It makes no sense: answer 400 with the sentence.
    #[error("invalid silence: {0}")]
    Invalid(String),
    /// It is in force, but would not survive the end of the process: answer 500.
    #[error("silence could not be stored: {0}")]
    NotKept(String),
}

impl Silence {
    /// Roughly what it takes to keep.
    pub(crate) fn size_bytes(&self) -> usize {
        let matchers = self.matchers.iter();
        let matchers: usize = matchers.map(|c| c.name.len() + c.value.len() + 4).sum();
        let annotations = self.annotations.iter();
        let annotations: usize = annotations.map(|(n, v)| n.len() + v.len()).sum();
        64 + matchers + annotations + self.created_by.len() + self.comment.len()
    }

    /// The state at a moment.
    pub(crate) fn state(&self, now: Timestamp) -> State {
        if now < self.starts_at {
            State::Pending
        } else if now > self.ends_at {
            State::Expired
        } else {
            State::Active
        }
    }

    fn compiled(&self) -> Result<Vec<Matcher>, SilenceError> {
        let each = self.matchers.iter().map(|c| {
            if c.name.is_empty() {
                return Err(format!(
                    "invalid label matcher: invalid label name {:?}",
                    ""
                ));
            }
            Matcher::new(&c.name, MatchOp::of(c.is_regex, c.is_equal), &c.value)
                .map_err(|e| format!("invalid label matcher: {e}"))
        });
        each.collect::<Result<_, _>>()
            .map_err(SilenceError::Invalid)
    }

    /// Checks everything that does not depend on other silences.
    fn check(&self, now: Timestamp) -> Result<Vec<Matcher>, SilenceError> {
        let invalid = |s: &str| Err(SilenceError::Invalid(s.to_owned()));
        let compiled = self.compiled()?;
        if compiled.is_empty() {
            return invalid("at least one matcher required");
        }
        // SIL2
        let asks = |m: &Matcher| !m.matches("") || m.op == MatchOp::NotEqual;
        if !compiled.iter().any(asks) {
            return invalid("at least one matcher must not match the empty string");
        }
        if self.ends_at <= self.starts_at {
            return invalid("end time must not be before start time");
        }
        if self.ends_at < now {
            return invalid("end time can't be in the past");
        }
        Ok(compiled)
    }
}

/// All silences that are known, with their compiled conditions.
#[derive(Debug, Default)]
pub(crate) struct Silences {
    all: BTreeMap<String, (Silence, Vec<Matcher>)>,
}

impl Silences {
    /// Takes back one that was kept; one that no longer makes sense is dropped.
    pub(crate) fn restore(&mut self, s: Silence) {
        if let Ok(compiled) = s.compiled() {
            self.all.insert(s.id.clone(), (s, compiled));
        }
    }

    /// Takes one over from another instance unless what is known is as new; true when it was.
    ///
    /// # Errors
    /// When it makes no sense.
    pub(crate) fn merge(&mut self, s: Silence) -> Result<bool, SilenceError> {
        if self
            .get(&s.id)
            .is_some_and(|k| k.updated_at >= s.updated_at)
        {
            return Ok(false);
        }
        if s.id.is_empty() || s.matchers.is_empty() {
            return Err(SilenceError::Invalid("a silence of nothing".into()));
        }
        let compiled = s.compiled()?;
        self.all.insert(s.id.clone(), (s, compiled));
        Ok(true)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Silence> {
        self.all.values().map(|(s, _)| s)
    }

    /// One of them.
    pub(crate) fn get(&self, id: &str) -> Option<&Silence> {
        self.all.get(id).map(|(s, _)| s)
    }

    /// Creates a silence, or changes the one with the same name. Gives the names of all silences
    /// that are different now; the first is the one that was asked for.
    ///
    /// # Errors
    /// See [`SilenceError`].
    pub(crate) fn set(
        &mut self,
        mut new: Silence,
        new_id: String,
        now: Timestamp,
    ) -> Result<Vec<String>, SilenceError> {
        let known = match new.id.as_str() {
            "" => None,
            id => Some(self.get(id).cloned().ok_or(SilenceError::Unknown)?),
        };
        let mut changed = Vec::new();
        let in_place = known.as_ref().is_some_and(|k| may_become(k, &new, now));
        if !in_place && new.starts_at < now {
            new.starts_at = now;
        }
        let compiled = new.check(now)?;
        if !in_place {
            new.id = new_id;
        }
        changed.push(new.id.clone());
        if let (Some(k), false) = (known, in_place) {
            // SIL1
            if k.state(now) != State::Expired {
                self.expire(&k.id, now)?;
                changed.push(k.id);
            }
        }
        let before = self.get(&new.id).map(|k| k.updated_at);
        new.updated_at = newer(before, now);
        self.all.insert(new.id.clone(), (new, compiled));
        Ok(changed)
    }

    /// Ends a silence; one that has ended stays as it is.
    ///
    /// # Errors
    /// When there is none of that name.
    pub(crate) fn expire(&mut self, id: &str, now: Timestamp) -> Result<(), SilenceError> {
        let (s, _) = self.all.get_mut(id).ok_or(SilenceError::Unknown)?;
        match s.state(now) {
            State::Expired => return Ok(()),
            State::Pending => s.starts_at = now,
            State::Active => {}
        }
        s.ends_at = now;
        s.updated_at = newer(Some(s.updated_at), now);
        Ok(())
    }

    /// Roughly what all of them take. Cost: their number.
    pub(crate) fn bytes(&self) -> usize {
        self.iter().map(Silence::size_bytes).sum()
    }

    /// Names of the silences that hold for labels now. Cost: silences times conditions.
    pub(crate) fn holding<'l>(
        &self,
        label: &dyn Fn(&str) -> &'l str,
        now: Timestamp,
    ) -> Vec<String> {
        let holds = |(s, compiled): &&(Silence, Vec<Matcher>)| {
            // One that ends now no longer holds.
            s.state(now) == State::Active
                && s.ends_at > now
                && compiled.iter().all(|m| m.matches(label(&m.name)))
        };
        let holding = self.all.values().filter(holds);
        holding.map(|(s, _)| s.id.clone()).collect()
    }

    /// Forgets what ended before `horizon`; gives the names.
    pub(crate) fn forget(&mut self, horizon: Timestamp) -> Vec<String> {
        let old = self.iter().filter(|s| s.ends_at < horizon);
        let gone: Vec<String> = old.map(|s| s.id.clone()).collect();
        for id in &gone {
            self.all.remove(id);
        }
        gone
    }
}

/// The time of a change: later than that of the one `before`, also where that was made by an
/// instance whose clock is ahead.
fn newer(before: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let after = before.and_then(|t| t.checked_add(SignedDuration::from_nanos(1)).ok());
    after.map_or(now, |t| t.max(now))
}

/// Whether a silence may be changed in place.
fn may_become(old: &Silence, new: &Silence, now: Timestamp) -> bool {
    if old.matchers != new.matchers {
        return false;
    }
    match old.state(now) {
        State::Active => {
            new.starts_at.as_second() == old.starts_at.as_second() && new.ends_at >= now
        }
        State::Pending => new.starts_at >= now,
        State::Expired => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::alert::tests::at;
    use super::*;

    fn condition(value: &str, is_regex: bool, is_equal: bool) -> Condition {
        Condition {
            name: "a".into(),
            value: value.into(),
            is_regex,
            is_equal,
        }
    }

    fn silence(from: i64, to: i64) -> Silence {
        Silence {
            id: String::new(),
            matchers: vec![condition("b", false, true)],
            starts_at: at(from),
            ends_at: at(to),
            updated_at: at(0),
            created_by: "me".into(),
            comment: "why".into(),
            annotations: BTreeMap::new(),
        }
    }

    #[test]
    fn silences_that_mean_nothing_are_refused() {
        let mut all = Silences::default();
        for (matchers, valid) in [
            (vec![], false),
            (vec![condition("", false, true)], false),
            (vec![condition(".*", true, true)], false),
            (vec![condition("(", true, true)], false),
            (vec![condition("x", false, false)], true),
            (vec![condition(".+", true, true)], true),
        ] {
            let new = Silence {
                matchers: matchers.clone(),
                ..silence(0, 10)
            };
            let got = all.set(new, "n".into(), at(0));
            assert_eq!(got.is_ok(), valid, "{matchers:?}: {got:?}");
        }
        assert!(all.set(silence(10, 5), "n".into(), at(0)).is_err());
        assert!(all.set(silence(-20, -10), "n".into(), at(0)).is_err());
        let unknown = Silence {
            id: "nobody".into(),
            ..silence(0, 10)
        };
        assert_eq!(
            all.set(unknown, "n".into(), at(0)),
            Err(SilenceError::Unknown)
        );
    }

    #[test]
    fn updates_change_in_place_or_make_a_new_one() {
        let mut all = Silences::default();
        all.set(silence(0, 100), "one".into(), at(0)).unwrap();
        let longer = Silence {
            id: "one".into(),
            ..silence(0, 200)
        };
        assert_eq!(all.set(longer.clone(), "x".into(), at(5)).unwrap(), ["one"]);
        let other = Silence {
            matchers: vec![condition("c", false, true)],
            ..longer
        };
        let changed = all.set(other, "two".into(), at(6)).unwrap();
        assert_eq!(changed, ["two", "one"]);
        assert_eq!(all.get("one").unwrap().ends_at, at(6));
        assert_eq!(all.get("two").unwrap().starts_at, at(6));
        all.expire("one", at(50)).unwrap();
        assert_eq!(all.get("one").unwrap().ends_at, at(6), "ended is ended");
        assert_eq!(all.forget(at(7)), ["one"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        /// Silences of one label are set, changed and ended at random: an alert is silenced at a
        /// moment exactly when one of the silences as they were then holds.
        #[test]
        fn prop_a_life_of_silences(
            steps in proptest::collection::vec((0..4u8, 0..6usize, 0..30i64, 1..30i64), 1..30)
        ) {
            let mut all = Silences::default();
            let mut ids: Vec<String> = Vec::new();
            for (n, (what, which, from, length)) in steps.into_iter().enumerate() {
                let now = at(i64::try_from(n).unwrap() * 3);
                let start = i64::try_from(n).unwrap() * 3 + from - 10;
                let mut new = silence(start, start + length);
                let before: Vec<Silence> = all.iter().cloned().collect();
                match ids.get(which).cloned() {
                    Some(id) if what == 0 => all.expire(&id, now).unwrap(),
                    old => {
                        new.id = if what == 1 { old.unwrap_or_default() } else { String::new() };
                        if let Ok(changed) = all.set(new, format!("s{n}"), now) {
                            ids.extend(changed.first().cloned());
                        }
                    }
                }
                // SIL1: what was in force keeps its meaning; only its end moves.
                for old in before.iter().filter(|s| s.state(now) != State::Pending) {
                    let s = all.get(&old.id).unwrap();
                    prop_assert_eq!(&s.matchers, &old.matchers);
                    prop_assert_eq!(s.starts_at.as_second(), old.starts_at.as_second());
                    if old.state(now) == State::Expired {
                        prop_assert_eq!(s, old);
                    }
                }
                let held = all.holding(&|name| if name == "a" { "b" } else { "" }, now);
                let oracle = all.iter().filter(|s| s.starts_at <= now && now < s.ends_at);
                prop_assert_eq!(held.len(), oracle.count());
                prop_assert!(all.holding(&|_| "c", now).is_empty());
            }
        }
    }
}
