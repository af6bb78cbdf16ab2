//! The route tree: which receivers an alert reaches.
//!
//! Owns: the walk through the tree, what children take over from their parents.
//! Knows nothing of: alerts beyond their labels, groups, time.
//!
//! Invariants
//! - RT1  Every label set reaches at least one receiver: the root matches everything.
//! - RT2  A node takes an alert itself only when none of its children does.

use std::collections::BTreeSet;
use std::fmt;

use jiff::SignedDuration;

use crate::config::PromDuration;
use crate::config::alertmanager::{GROUP_BY_ALL, Matcher, RouteConfig};

/// Until the first notification of a group, unless the file says otherwise.
const GROUP_WAIT: SignedDuration = SignedDuration::from_secs(30);
/// Between notifications of a group, unless the file says otherwise.
const GROUP_INTERVAL: SignedDuration = SignedDuration::from_mins(5);
/// Until an unchanged group is told again, unless the file says otherwise.
const REPEAT_INTERVAL: SignedDuration = SignedDuration::from_hours(4);

/// Which labels make a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GroupBy {
    /// All.
    All,
    /// These; one that an alert does not have is left out.
    Names(BTreeSet<String>),
}

/// How a node groups and tells.
#[derive(Debug, Clone)]
pub(crate) struct RouteOptions {
    /// Who is told.
    pub(crate) receiver: String,
    /// Which labels make a group.
    pub(crate) group_by: GroupBy,
    /// Until the first notification of a group.
    pub(crate) group_wait: SignedDuration,
    /// Between notifications of a group.
    pub(crate) group_interval: SignedDuration,
    /// Until an unchanged group is told again.
    pub(crate) repeat_interval: SignedDuration,
    /// Named intervals in which nothing is told; not taken over.
    pub(crate) mute: Vec<String>,
    /// Named intervals outside of which nothing is told; not taken over.
    pub(crate) active: Vec<String>,
    /// Labels for messages.
    pub(crate) labels: std::collections::BTreeMap<String, String>,
}

impl RouteOptions {
    /// What stands above the root.
    fn top() -> Self {
        Self {
            receiver: String::new(),
            group_by: GroupBy::Names(BTreeSet::new()),
            group_wait: GROUP_WAIT,
            group_interval: GROUP_INTERVAL,
            repeat_interval: REPEAT_INTERVAL,
            mute: Vec::new(),
            active: Vec::new(),
            labels: std::collections::BTreeMap::new(),
        }
    }

    /// The options of a child.
    fn child(&self, config: &RouteConfig) -> Self {
        let span = |own: Option<PromDuration>, above: SignedDuration| {
            own.map_or(above, |d| SignedDuration::from_millis(d.as_ms()))
        };
        let mut labels = self.labels.clone();
        let own = config.labels.iter();
        labels.extend(own.map(|(n, v)| (n.to_owned(), v.to_owned())));
        Self {
            receiver: match config.receiver.as_str() {
                "" => self.receiver.clone(),
                own => own.to_owned(),
            },
            group_by: match &config.group_by {
                None => self.group_by.clone(),
                Some(names) if names.iter().any(|n| n == GROUP_BY_ALL) => GroupBy::All,
                Some(names) => GroupBy::Names(names.iter().cloned().collect()),
            },
            group_wait: span(config.group_wait, self.group_wait),
            group_interval: span(config.group_interval, self.group_interval),
            repeat_interval: span(config.repeat_interval, self.repeat_interval),
            mute: config.mute_time_intervals.clone(),
            active: config.active_time_intervals.clone(),
            labels,
        }
    }
}

/// A node of the tree with everything it has taken over. Its depth is bounded by the depth of
/// documents.
#[derive(Debug)]
pub(crate) struct Route {
    index: usize,
    key: String,
    options: RouteOptions,
    conditions: Vec<Matcher>,
    go_on: bool,
    children: Vec<Route>,
}

impl Route {
    /// The tree of a checked document.
    pub(crate) fn new(root: &RouteConfig) -> Self {
        Self::below(root, &RouteOptions::top(), "", &mut 0)
    }

    fn below(config: &RouteConfig, above: &RouteOptions, path: &str, count: &mut usize) -> Self {
        let options = above.child(config);
        let conditions = config.conditions();
        let own: Vec<String> = conditions.iter().map(ToString::to_string).collect();
        let slash = if path.is_empty() { "" } else { "/" };
        let key = format!("{path}{slash}{{{}}}", own.join(","));
        let index = *count;
        *count += 1;
        let children = config.routes.iter();
        let children = children
            .map(|c| Self::below(c, &options, &key, count))
            .collect();
        Self {
            index,
            key,
            options,
            conditions,
            go_on: config.r#continue,
            children,
        }
    }

    /// The node's place in the order of the tree.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The path of conditions from the root.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// How the node groups and tells.
    pub(crate) fn options(&self) -> &RouteOptions {
        &self.options
    }

    /// Who is told.
    pub(crate) fn receiver(&self) -> &str {
        &self.options.receiver
    }

    /// The nodes that take an alert with these labels, in the order of the tree (RT1). `label`
    /// gives the value of a name, empty when it is missing. Cost: the nodes that are visited
    /// times their conditions.
    pub(crate) fn takers<'r, 'l>(&'r self, label: &dyn Fn(&str) -> &'l str) -> Vec<&'r Self> {
        let mut out = Vec::new();
        self.collect(label, &mut out);
        out
    }

    /// Whether this node or one below took the alert.
    fn collect<'r, 'l>(&'r self, label: &dyn Fn(&str) -> &'l str, out: &mut Vec<&'r Self>) -> bool {
        if !self.conditions.iter().all(|m| m.matches(label(&m.name))) {
            return false;
        }
        let before = out.len();
        for child in &self.children {
            if child.collect(label, out) && !child.go_on {
                break;
            }
        }
        if out.len() == before {
            // RT2
            out.push(self);
        }
        true
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let conditions: Vec<String> = self.conditions.iter().map(ToString::to_string).collect();
        let shown = match (depth, conditions.is_empty()) {
            (0, _) => "default-route".to_owned(),
            (_, true) => "{}".to_owned(),
            _ => format!("{{{}}}", conditions.join(",")),
        };
        let go_on = if self.go_on { "  continue: true" } else { "" };
        writeln!(
            f,
            "{:indent$}└── {shown}{go_on}  receiver: {}",
            "",
            self.options.receiver,
            indent = depth * 4
        )?;
        self.children.iter().try_for_each(|c| c.write(f, depth + 1))
    }
}

/// The tree, one node a line.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::config::alertmanager::load_text;

    fn tree(routes: &str) -> Route {
        let names = ["root", "a", "b", "c", "d"].map(|n| format!("{{name: {n}}}"));
        let text = format!(
            "route: {{receiver: root, routes: {routes}}}\nreceivers: [{}]",
            names.join(", ")
        );
        let loaded = load_text(Path::new("am.yml"), &text).unwrap();
        Route::new(&loaded.document.route.unwrap())
    }

    fn reached(tree: &Route, labels: &[(&str, &str)]) -> String {
        let value = |name: &str| {
            let found = labels.iter().find(|(n, _)| *n == name);
            found.map_or("", |(_, v)| *v)
        };
        let takers = tree.takers(&value);
        let names: Vec<&str> = takers.iter().map(|r| r.receiver()).collect();
        names.join(",")
    }

    #[test]
    fn the_first_match_ends_the_search_unless_it_goes_on() {
        let t = tree(
            "[{matchers: ['x=1'], receiver: a, continue: true}, {matchers: ['x=~\"1|2\"'], receiver: b},
              {matchers: ['x=1'], receiver: c}, {matchers: ['y=\"\"', 'x=3'], receiver: d}]",
        );
        for (labels, want) in [
            (&[("x", "1")][..], "a,b"),
            (&[("x", "2")], "b"),
            (&[("x", "12")], "root"),
            (&[("x", "3")], "d"),
            (&[("x", "3"), ("y", "1")], "root"),
            (&[], "root"),
        ] {
            assert_eq!(reached(&t, labels), want, "{labels:?}");
        }
    }

    #[test]
    fn a_child_that_goes_on_keeps_its_parent_out() {
        let t = tree("[{matchers: ['x=1'], receiver: a, continue: true}]");
        assert_eq!(reached(&t, &[("x", "1")]), "a");
    }

    #[test]
    fn receivers_are_taken_over_from_parents() {
        let t = tree(
            "[{match: {x: '1'}, receiver: a, routes: [{match_re: {y: '[0-9]+'}}, {match: {z: '1'}, receiver: b}]}]",
        );
        assert_eq!(reached(&t, &[("x", "1"), ("y", "12")]), "a");
        assert_eq!(reached(&t, &[("x", "1"), ("z", "1")]), "b");
        assert_eq!(reached(&t, &[("x", "1")]), "a");
        assert_eq!(reached(&t, &[("y", "1")]), "root");
        assert!(t.to_string().contains("{x=\"1\"}  receiver: a"), "{t}");
    }

    #[test]
    fn options_are_taken_over_except_intervals_and_going_on() {
        let text = "route:\n  {receiver: r, group_by: [a], group_wait: 1s, labels: {x: '1', y: '1'}, routes: [\
            {matchers: ['m=1'], group_by: [], repeat_interval: 1h, mute_time_intervals: [t], labels: {y: '2'}, routes: [{}]}]}\n\
            receivers: [{name: r}]\ntime_intervals: [{name: t}]\n";
        let loaded = load_text(Path::new("am.yml"), text).unwrap();
        let root = Route::new(&loaded.document.route.unwrap());
        let (child, grandchild) = (&root.children[0], &root.children[0].children[0]);
        assert_eq!(root.options.group_interval, GROUP_INTERVAL);
        assert_eq!(child.options.group_by, GroupBy::Names(BTreeSet::new()));
        assert_eq!(child.options.mute, ["t"]);
        assert!(grandchild.options.mute.is_empty());
        let o = &grandchild.options;
        assert_eq!(
            (o.group_wait.as_secs(), o.repeat_interval.as_secs()),
            (1, 3600)
        );
        assert_eq!((o.labels["x"].as_str(), o.labels["y"].as_str()), ("1", "2"));
        assert_eq!(grandchild.key(), "{}/{m=\"1\"}/{}");
        assert_eq!(grandchild.index(), 2);
    }

    /// Matchers on two labels with two values: small enough that most trees do something.
    fn any_routes() -> impl Strategy<Value = String> {
        let leaf = ("[xy]", "(=|!=|=~|!~)", "[12]?", "[abcd]", any::<bool>());
        let leaf = leaf.prop_map(|(l, op, v, r, go_on)| {
            format!("matchers: ['{l}{op}\"{v}\"'], receiver: {r}, continue: {go_on}")
        });
        leaf.clone()
            .prop_map(|l| format!("{{{l}}}"))
            .prop_recursive(3, 20, 4, move |inner| {
                (leaf.clone(), proptest::collection::vec(inner, 0..4))
                    .prop_map(|(l, below)| format!("{{{l}, routes: [{}]}}", below.join(", ")))
            })
    }

    /// The rules of the tree in their declarative form.
    fn oracle<'r>(r: &'r Route, value: &dyn Fn(&str) -> &'static str) -> Option<Vec<&'r str>> {
        if !r.conditions.iter().all(|m| m.matches(value(&m.name))) {
            return None;
        }
        let answers: Vec<_> = r.children.iter().map(|c| (c, oracle(c, value))).collect();
        let last = answers.iter().position(|(c, a)| a.is_some() && !c.go_on);
        let visited = last.map_or(answers.len(), |i| i + 1);
        let taken: Vec<&str> = answers[..visited]
            .iter()
            .flat_map(|(_, a)| a.clone().unwrap_or_default())
            .collect();
        Some(if taken.is_empty() {
            vec![&r.options.receiver]
        } else {
            taken
        })
    }

    proptest! {
        #[test]
        fn prop_every_label_set_reaches_whom_the_rules_say(
            routes in proptest::collection::vec(any_routes(), 0..5), x in 0..3usize, y in 0..3usize
        ) {
            let t = tree(&format!("[{}]", routes.join(", ")));
            let value = |name: &str| ["", "1", "2"][if name == "x" { x } else { y }];
            let takers = t.takers(&value);
            let names: Vec<&str> = takers.iter().map(|r| r.receiver()).collect();
            // RT1
            prop_assert!(!names.is_empty());
            prop_assert_eq!(Some(names), oracle(&t, &value));
        }
    }
}
