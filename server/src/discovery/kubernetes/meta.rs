//! Labels that all objects have.

use engine::model::LabelsBuilder;

use super::object::{Kind, Meta};
use super::view::Others;
use crate::discovery::naming::label_part;

/// What the names of all labels begin with.
pub(super) const PREFIX: &str = "__meta_kubernetes_";

/// Sets `__meta_kubernetes_{name}`.
pub(super) fn set(b: &mut LabelsBuilder, name: &str, value: &str) {
    b.set(&format!("{PREFIX}{name}"), value);
}

/// Sets it to `true` or `false`.
pub(super) fn set_bool(b: &mut LabelsBuilder, name: &str, value: bool) {
    set(b, name, if value { "true" } else { "false" });
}

/// Sets it when there is a value.
pub(super) fn set_some(b: &mut LabelsBuilder, name: &str, value: Option<&str>) {
    if let Some(v) = value {
        set(b, name, v);
    }
}

/// Name, labels and annotations of an object of `role`.
pub(super) fn object(b: &mut LabelsBuilder, role: &str, meta: &Meta) {
    set(b, &format!("{role}_name"), &meta.name);
    labels_and_annotations(b, role, meta);
}

/// Each label and annotation with a second one that says that it is there: its value may be empty.
fn labels_and_annotations(b: &mut LabelsBuilder, role: &str, meta: &Meta) {
    for (what, all) in [("label", &meta.labels), ("annotation", &meta.annotations)] {
        for (name, value) in all {
            let name = label_part(name);
            set(b, &format!("{role}_{what}_{name}"), value);
            set(b, &format!("{role}_{what}present_{name}"), "true");
        }
    }
}

/// The namespace; with what is attached of it when that is asked for.
pub(super) fn namespace(b: &mut LabelsBuilder, name: &str, others: &Others<'_>) {
    set(b, "namespace", name);
    if others.attach.namespace
        && let Some(meta) = others.meta(Kind::Namespace, name)
    {
        labels_and_annotations(b, "namespace", meta);
    }
}

/// What is attached of the node `name`. False when it is not known.
pub(super) fn node(b: &mut LabelsBuilder, name: &str, others: &Others<'_>) -> bool {
    match others.node(name) {
        Some(n) => {
            object(b, "node", &n.metadata);
            true
        }
        None => false,
    }
}
