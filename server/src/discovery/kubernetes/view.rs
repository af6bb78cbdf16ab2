//! What is known of the cluster, and the targets that it makes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::object::{Kind, Meta, Node, Object, Pod, Service};
use super::watch::{Change, Scope};
use super::{endpoints, endpointslice, ingress, node, pod, service};
use crate::config::prometheus::{KubernetesAttach, KubernetesRole};
use crate::discovery::TargetGroup;

type Key = (Kind, String);

/// Objects, and the groups of those that are targets.
pub(super) struct View {
    main: Kind,
    attach: KubernetesAttach,
    objects: BTreeMap<Kind, BTreeMap<String, Object>>,
    /// Scopes that have not been listed yet: kind and namespace, empty for the whole cluster.
    pending: BTreeSet<Key>,
    /// Objects that have changed since the groups were made.
    dirty: BTreeSet<Key>,
    /// A scope was listed for the first time: groups may be made that could not be before.
    opened: bool,
    made: BTreeMap<String, Made>,
    /// What has happened to objects since it was asked for last, by role and kind of event.
    events: Events,
}

/// See [`View::events`].
pub(super) type Events = BTreeMap<(&'static str, &'static str), u64>;

/// The group of an object.
struct Made {
    group: TargetGroup,
    /// Other objects that were looked up for it, also those that were not there.
    of: Vec<Key>,
}

/// Other objects, for those who make groups. What is asked for is remembered.
pub(super) struct Others<'a> {
    objects: &'a BTreeMap<Kind, BTreeMap<String, Object>>,
    /// What is to be attached.
    pub(super) attach: &'a KubernetesAttach,
    asked: RefCell<Vec<Key>>,
}

impl<'a> Others<'a> {
    fn get(&self, kind: Kind, key: &str) -> Option<&'a Object> {
        self.asked.borrow_mut().push((kind, key.to_owned()));
        self.objects.get(&kind)?.get(key)
    }

    pub(super) fn pod(&self, key: &str) -> Option<&'a Pod> {
        match self.get(Kind::Pod, key)? {
            Object::Pod(o) => Some(o),
            _ => None,
        }
    }

    pub(super) fn service(&self, key: &str) -> Option<&'a Service> {
        match self.get(Kind::Service, key)? {
            Object::Service(o) => Some(o),
            _ => None,
        }
    }

    pub(super) fn node(&self, name: &str) -> Option<&'a Node> {
        match self.get(Kind::Node, name)? {
            Object::Node(o) => Some(o),
            _ => None,
        }
    }

    /// The metadata of an object of which nothing else counts.
    pub(super) fn meta(&self, kind: Kind, key: &str) -> Option<&'a Meta> {
        self.get(kind, key).map(Object::meta)
    }
}

impl View {
    /// Nothing is known yet of `scopes`.
    pub(super) fn new(role: KubernetesRole, attach: &KubernetesAttach, scopes: &[Scope]) -> Self {
        Self {
            main: match role {
                KubernetesRole::Node => Kind::Node,
                KubernetesRole::Pod => Kind::Pod,
                KubernetesRole::Service => Kind::Service,
                KubernetesRole::Endpoints => Kind::Endpoints,
                KubernetesRole::EndpointSlice => Kind::EndpointSlice,
                KubernetesRole::Ingress => Kind::Ingress,
            },
            attach: attach.clone(),
            objects: BTreeMap::new(),
            pending: scopes
                .iter()
                .map(|s| (s.kind, s.namespace.clone()))
                .collect(),
            dirty: BTreeSet::new(),
            opened: false,
            made: BTreeMap::new(),
            events: Events::new(),
        }
    }

    /// Takes a change up.
    pub(super) fn take(&mut self, change: Change) {
        match change {
            Change::All(kind, namespace, objects) => {
                let new: BTreeMap<String, Object> =
                    objects.into_iter().map(|o| (o.meta().key(), o)).collect();
                let known = self.objects.entry(kind).or_default();
                let gone: Vec<String> = known
                    .iter()
                    .filter(|(k, o)| {
                        let of_scope = namespace.is_empty() || o.meta().namespace == namespace;
                        of_scope && !new.contains_key(*k)
                    })
                    .map(|(k, _)| k.clone())
                    .collect();
                for key in gone {
                    self.remove(kind, key);
                }
                for (key, object) in new {
                    self.put(kind, key, object);
                }
                self.opened |= self.pending.remove(&(kind, namespace));
            }
            Change::Put(kind, object) => self.put(kind, object.meta().key(), *object),
            Change::Gone(kind, key) => self.remove(kind, key),
        }
    }

    /// What has happened to objects since the last call. Objects that are only looked up for others
    /// have no role, and are not counted.
    pub(super) fn events(&mut self) -> Events {
        std::mem::take(&mut self.events)
    }

    fn count(&mut self, kind: Kind, event: &'static str) {
        if let Some(role) = kind.role() {
            *self.events.entry((role, event)).or_default() += 1;
        }
    }

    fn put(&mut self, kind: Kind, key: String, object: Object) {
        let known = self.objects.entry(kind).or_default();
        let event = if known.contains_key(&key) {
            "update"
        } else {
            "add"
        };
        // Most events change what nobody reads here: heartbeats of nodes, probes of pods.
        if known.get(&key) != Some(&object) {
            known.insert(key.clone(), object);
            self.dirty.insert((kind, key));
        }
        self.count(kind, event);
    }

    fn remove(&mut self, kind: Kind, key: String) {
        let known = self.objects.entry(kind).or_default();
        if known.remove(&key).is_some() {
            self.dirty.insert((kind, key));
            self.count(kind, "delete");
        }
    }

    /// Makes groups anew whose objects have changed. True when there is something to report.
    pub(super) fn refresh(&mut self) -> bool {
        let opened = std::mem::take(&mut self.opened);
        let dirty = std::mem::take(&mut self.dirty);
        if !opened && dirty.is_empty() {
            return false;
        }
        let nothing = BTreeMap::new();
        let main = self.objects.get(&self.main).unwrap_or(&nothing);
        let before = self.made.len();
        self.made.retain(|key, _| main.contains_key(key));
        let mut changed = opened || before != self.made.len();
        for (key, object) in main {
            if !listed(&self.pending, &object.meta().namespace) {
                continue;
            }
            let fresh = self.made.get(key).is_some_and(|made| {
                !dirty.contains(&(self.main, key.clone()))
                    && !made.of.iter().any(|k| dirty.contains(k))
            });
            if fresh {
                continue;
            }
            let others = Others {
                objects: &self.objects,
                attach: &self.attach,
                asked: RefCell::default(),
            };
            let group = match object {
                Object::Node(o) => node::group(o),
                Object::Pod(o) => pod::group(o, &others),
                Object::Service(o) => service::group(o, &others),
                Object::Endpoints(o) => endpoints::group(o, &others),
                Object::EndpointSlice(o) => endpointslice::group(o, &others),
                Object::Ingress(o) => ingress::group(o, &others),
                Object::Bare(_) => continue,
            };
            let mut of = others.asked.into_inner();
            of.sort();
            of.dedup();
            self.made.insert(key.clone(), Made { group, of });
            changed = true;
        }
        changed
    }

    /// Groups with targets, by the keys of their objects.
    pub(super) fn groups(&self) -> Vec<TargetGroup> {
        let with_targets = |m: &&Made| !m.group.targets.is_empty();
        let made = self.made.values().filter(with_targets);
        made.map(|m| m.group.clone()).collect()
    }
}

/// Whether all that targets of `namespace` are made of has been listed (KSD1).
fn listed(pending: &BTreeSet<Key>, namespace: &str) -> bool {
    !pending
        .iter()
        .any(|(_, scope)| scope.is_empty() || scope == namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(kind: Kind, namespace: &str) -> Scope {
        Scope {
            kind,
            namespace: namespace.into(),
            label_selector: String::new(),
            field_selector: String::new(),
        }
    }

    fn object(kind: Kind, json: &str) -> Object {
        kind.event(format!("{{\"object\":{json}}}").as_bytes())
            .unwrap()
    }

    fn endpoints(namespace: &str, pod: &str) -> Object {
        object(
            Kind::Endpoints,
            &format!(
                r#"{{"metadata":{{"name":"e","namespace":"{namespace}"}},"subsets":[{{
                "ports":[{{"port":1}}],"addresses":[{{"ip":"1.1.1.1","targetRef":
                {{"kind":"Pod","namespace":"{namespace}","name":"{pod}"}}}}]}}]}}"#
            ),
        )
    }

    fn pod(name: &str, phase: &str) -> Object {
        object(
            Kind::Pod,
            &format!(
                r#"{{"metadata":{{"name":"{name}","namespace":"a","resourceVersion":null}},
                "status":{{"phase":"{phase}","startTime":"now"}}}}"#
            ),
        )
    }

    // KSD1, KSD2
    #[test]
    fn groups_are_made_when_all_is_known_and_when_something_of_theirs_changes() {
        let kinds = [Kind::Endpoints, Kind::Service, Kind::Pod];
        let scopes: Vec<Scope> = ["a", "b"]
            .iter()
            .flat_map(|n| kinds.map(|k| scope(k, n)))
            .collect();
        let attach = KubernetesAttach::default();
        let mut v = View::new(KubernetesRole::Endpoints, &attach, &scopes);
        let all = |kind, namespace: &str, objects| Change::All(kind, namespace.into(), objects);
        v.take(all(Kind::Endpoints, "a", vec![endpoints("a", "p")]));
        v.take(all(Kind::Endpoints, "b", vec![endpoints("b", "p")]));
        v.take(all(Kind::Service, "a", Vec::new()));
        v.refresh();
        assert!(v.groups().is_empty(), "pods are not known yet");
        v.take(all(Kind::Pod, "a", Vec::new()));
        assert!(v.refresh());
        let groups = v.groups();
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].source, "endpoints/a/e");
        let put = |name: &str, phase: &str| Change::Put(Kind::Pod, Box::new(pod(name, phase)));
        let phase = |v: &View| {
            let groups = v.groups();
            let phase = groups[0].targets[0].get("__meta_kubernetes_pod_phase");
            phase.map(str::to_owned)
        };
        assert_eq!(phase(&v), None);
        v.take(put("q", "Running"));
        assert!(!v.refresh(), "a pod of somebody else");
        v.take(put("p", "Running"));
        assert!(v.refresh());
        assert_eq!(phase(&v).as_deref(), Some("Running"));
        v.take(put("p", "Running"));
        assert!(!v.refresh(), "nothing that is read has changed");
        v.take(Change::Gone(Kind::Pod, "a/p".into()));
        assert!(v.refresh());
        assert_eq!(phase(&v), None);
        // A list of one namespace says nothing of another.
        for kind in [Kind::Service, Kind::Pod] {
            v.take(all(kind, "b", Vec::new()));
        }
        v.take(all(Kind::Endpoints, "a", Vec::new()));
        assert!(v.refresh());
        assert_eq!(v.groups()[0].source, "endpoints/b/e");
    }
}
