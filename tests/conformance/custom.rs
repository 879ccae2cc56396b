//! Scripted sequences about custom resources.

use apply::cluster::{PatchKind, Propagation, Subresource};
use apply::{Call, Reference};
use serde_json::{Value, json};

use super::Step;
use super::scripts::{apply, config_at, create, delete, force, merge, object, send, update, with};

fn definition(ns: &str) -> Value {
    let group = format!("{ns}.example.com");
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("widgets.{group}") },
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": { "kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList" },
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                    "spec": { "type": "object", "required": ["size"], "properties": {
                        "size": { "type": "string", "enum": ["small", "large"] },
                        "interval": { "type": "string", "pattern": "^[0-9]+s$" },
                        "count": { "type": "integer", "default": 3, "minimum": 1, "maximum": 9 },
                        "port": { "x-kubernetes-int-or-string": true },
                        "tags": { "type": "array", "x-kubernetes-list-type": "set", "maxItems": 3, "items": { "type": "string", "maxLength": 5 } },
                        "parts": {
                            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
                            "items": { "type": "object", "required": ["id"], "properties": { "id": { "type": "string" }, "n": { "type": "integer" } } },
                        },
                        "settings": { "type": "object", "additionalProperties": { "type": "object", "properties": { "on": { "type": "boolean", "default": true } } } },
                        "whole": { "type": "object", "x-kubernetes-map-type": "atomic", "properties": { "a": { "type": "string" }, "b": { "type": "string" } } },
                        "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                        "maybe": { "type": "string", "nullable": true },
                    } },
                    "status": { "type": "object", "properties": { "phase": { "type": "string" }, "observedGeneration": { "type": "integer" } } },
                } } },
            }],
        },
    })
}

fn definition_at(ns: &str) -> Reference {
    Reference::new("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", &format!("widgets.{ns}.example.com"))
}

fn widget(ns: &str, spec: Value) -> Value {
    let version = format!("{ns}.example.com/v1");
    json!({ "apiVersion": version, "kind": "Widget", "metadata": { "name": "w", "namespace": ns }, "spec": spec })
}

fn widget_at(ns: &str) -> Reference {
    Reference::new(&format!("{ns}.example.com/v1"), "Widget", ns, "w")
}

/// Makes the kind and waits until it is served.
fn defined(ns: &str) -> Vec<Step> {
    vec![
        send("definition", create(definition(ns))),
        Step::Has(definition_at(ns), "/status/conditions/1/status", json!("True")),
        send("discover", Call::Discover),
    ]
}

pub(crate) fn custom(ns: &str) -> Vec<Step> {
    let full = json!({
        "size": "small", "tags": ["a", "b"], "parts": [{ "id": "x", "n": 1 }, { "id": "y" }],
        "settings": { "k": {} }, "whole": { "a": "1" }, "free": { "deep": { "er": [1, 2] } },
    });
    let mut steps = defined(ns);
    steps.extend([
        send("made", apply("one", widget(ns, full))),
        send("others", apply("two", widget(ns, json!({ "size": "small", "tags": ["c"], "parts": [{ "id": "z" }, { "id": "x", "n": 1 }], "free": { "other": 1 } })))),
        send("conflict", apply("two", widget(ns, json!({ "size": "large", "parts": [{ "id": "x", "n": 2 }], "whole": { "b": "1" } })))),
        send("less", apply("one", widget(ns, json!({ "size": "small", "tags": ["b"] })))),
        send("unknown field", apply("one", widget(ns, json!({ "size": "small", "colour": "red" })))),
        send("unknown field, created", create(with(widget(ns, json!({ "size": "small", "colour": "red" })), "/metadata/name", json!("v")))),
        send("update without version", update(widget(ns, json!({ "size": "large" })))),
        send("merged", merge(&widget_at(ns), json!({ "spec": { "count": 5, "settings": { "m": { "on": false } } } }))),
        send("null", merge(&widget_at(ns), json!({ "spec": { "maybe": null, "interval": null } }))),
        send("deleted", delete(&widget_at(ns), Propagation::Background)),
        send("definition deleted", delete(&definition_at(ns), Propagation::Background)),
        Step::Gone(definition_at(ns)),
    ]);
    steps
}

pub(crate) fn schemas(ns: &str) -> Vec<Step> {
    let bad = |name: &'static str, spec: Value| send(name, create(widget(ns, spec)));
    let mut steps = defined(ns);
    steps.extend([
        bad("required", json!({})),
        bad("enum and pattern", json!({ "size": "huge", "interval": "5m" })),
        bad("type of a text", json!({ "size": "small", "interval": 5 })),
        bad("type of a number", json!({ "size": "small", "count": "x" })),
        bad("type of a map", json!({ "size": "small", "settings": [] })),
        bad("type of a list", json!({ "size": "small", "parts": {} })),
        bad("too small", json!({ "size": "small", "count": 0 })),
        bad("too large", json!({ "size": "small", "count": 10 })),
        bad("too many", json!({ "size": "small", "tags": ["a", "b", "c", "d"] })),
        bad("too long", json!({ "size": "small", "tags": ["abcdef"] })),
        bad("twice in a set", json!({ "size": "small", "tags": ["a", "a"] })),
        bad("twice in a map", json!({ "size": "small", "parts": [{ "id": "a" }, { "id": "a" }] })),
        bad("key missing", json!({ "size": "small", "parts": [{ "n": 1 }] })),
        bad("int or string", json!({ "size": "small", "port": true })),
        bad("spec is a text", json!("x")),
        send("applied", apply("one", widget(ns, json!({ "size": "huge" })))),
        send("definition deleted", delete(&definition_at(ns), Propagation::Background)),
    ]);
    steps
}

pub(crate) fn status(ns: &str) -> Vec<Step> {
    let given = |phase: &str| with(widget(ns, json!({ "size": "large" })), "/status", json!({ "phase": phase }));
    let at = widget_at(ns);
    let call = |value: Value| Call::Apply {
        object: object(value),
        manager: "controller".into(),
        force: true,
        dry_run: false,
        subresource: Some(Subresource::Status),
    };
    let patch = |patch: Value| Call::Patch {
        at: at.clone(),
        kind: PatchKind::Merge,
        patch,
        manager: "controller".into(),
        dry_run: false,
        subresource: Some(Subresource::Status),
    };
    let mut steps = defined(ns);
    steps.extend([
        send("status of nothing", call(given("A"))),
        send("made with a status", create(with(given("A"), "/spec/size", json!("small")))),
        send("applied to status", call(given("B"))),
        send("main keeps status", merge(&at, json!({ "spec": { "size": "large" }, "status": { "phase": "C" } }))),
        send("applied to main with a status", force("one", given("D"))),
        send("status patched", patch(json!({ "spec": { "size": "small" }, "status": { "observedGeneration": 2 }, "metadata": { "labels": { "l": "1" } } }))),
        send("status, wrong type", patch(json!({ "status": { "phase": 5 } }))),
        send("status of a ConfigMap", Call::Patch {
            at: config_at(ns, "x"), kind: PatchKind::Merge, patch: json!({}), manager: "m".into(), dry_run: false,
            subresource: Some(Subresource::Status),
        }),
        send("definition deleted", delete(&definition_at(ns), Propagation::Background)),
    ]);
    steps
}
