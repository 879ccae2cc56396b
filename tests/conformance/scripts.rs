//! Scripted sequences: one behaviour each.

use apply::cluster::{PatchKind, Propagation};
use apply::{Call, Reference, Selection};
use manifest::Object;
use serde_json::{Value, json};

use super::{Step, custom, limits};

type Script = fn(&str) -> Vec<Step>;

/// Every script, by behaviour. Each gets a namespace of its own.
pub(crate) fn all() -> Vec<(&'static str, Script)> {
    vec![
        ("apply and conflict", conflicts),
        ("ownership", ownership),
        ("before first apply", before_first_apply),
        ("list maps", list_maps),
        ("create, update, patch", writes),
        ("dry run", dry_run),
        ("missing namespace, unknown kind", missing),
        ("immutable fields", immutable),
        ("claims, jobs, stateful sets", immutable_workloads),
        ("validation of built-in kinds", validation),
        ("secrets", secrets),
        ("finalizers and preconditions", deletion),
        ("owners", owners),
        ("custom resources", custom::custom),
        ("schemas of custom resources", custom::schemas),
        ("status of custom resources", custom::status),
        ("lists", lists),
        ("namespaces", namespaces),
        ("services", services),
        ("patches that fail", bad_patches),
        ("generation", generation),
        ("what is no map", limits::no_maps),
        ("quota", limits::quota),
    ]
}

pub(crate) fn object(value: Value) -> Object {
    Object::new(value).expect("made here")
}

pub(crate) fn send(name: &'static str, call: Call) -> Step {
    Step::Send(name, call)
}

pub(crate) fn apply(manager: &str, value: Value) -> Call {
    Call::Apply { object: object(value), manager: manager.into(), force: false, dry_run: false, subresource: None }
}

pub(crate) fn force(manager: &str, value: Value) -> Call {
    Call::Apply { object: object(value), manager: manager.into(), force: true, dry_run: false, subresource: None }
}

pub(crate) fn create(value: Value) -> Call {
    Call::Create { object: object(value), manager: "maker".into(), dry_run: false, subresource: None }
}

pub(crate) fn update(value: Value) -> Call {
    Call::Update { object: object(value), manager: "updater".into(), dry_run: false, subresource: None }
}

pub(crate) fn merge(at: &Reference, patch: Value) -> Call {
    let (at, manager) = (at.clone(), "editor".into());
    Call::Patch { at, kind: PatchKind::Merge, patch, manager, dry_run: false, subresource: None }
}

fn json_patch(at: &Reference, patch: Value) -> Call {
    let (at, manager) = (at.clone(), "editor".into());
    Call::Patch { at, kind: PatchKind::Json, patch, manager, dry_run: false, subresource: None }
}

pub(crate) fn delete(at: &Reference, propagation: Propagation) -> Call {
    Call::Delete { at: at.clone(), uid: None, resource_version: None, propagation, dry_run: false }
}

fn get(at: &Reference) -> Call {
    Call::Get(at.clone())
}

fn config(namespace: &str, name: &str, data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": namespace }, "data": data })
}

pub(crate) fn config_at(namespace: &str, name: &str) -> Reference {
    Reference::new("v1", "ConfigMap", namespace, name)
}

pub(crate) fn with(mut value: Value, pointer: &str, new: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
    value.pointer_mut(parent).expect("it is there")[field] = new;
    value
}

fn deployment(namespace: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": namespace },
        "spec": {
            "replicas": 0,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "main", "image": "a:1" }] },
            },
        },
    })
}

fn conflicts(ns: &str) -> Vec<Step> {
    let map = |data: Value| config(ns, "a", data);
    vec![
        send("first", apply("one", map(json!({ "x": "1", "y": "1" })))),
        send("same", apply("one", map(json!({ "x": "1", "y": "1" })))),
        send("one field", apply("two", map(json!({ "x": "2" })))),
        send("shared", apply("two", map(json!({ "x": "1" })))),
        send("edited", merge(&config_at(ns, "a"), json!({ "data": { "y": "3", "z": "4" } }))),
        send("two managers", apply("three", map(json!({ "x": "5", "y": "6", "z": "7" })))),
        send("forced", force("three", map(json!({ "x": "5", "y": "6", "z": "7" })))),
        send("labels", apply("one", with(map(json!({})), "/metadata/labels", json!({ "l": "1" })))),
        send("labels again", apply("two", with(map(json!({})), "/metadata/labels", json!({ "l": "2", "m": "1" })))),
        send("nothing", apply("three", map(json!({})))),
        send("read", get(&config_at(ns, "a"))),
    ]
}

fn ownership(ns: &str) -> Vec<Step> {
    let map = |data: Value| config(ns, "a", data);
    vec![
        send("one", apply("one", map(json!({ "a": "1", "b": "1", "c": "1" })))),
        send("two", apply("two", map(json!({ "b": "1" })))),
        send("less", apply("one", map(json!({ "c": "1" })))),
        send("editor takes c", merge(&config_at(ns, "a"), json!({ "data": { "c": "2" } }))),
        send("one leaves c", apply("one", map(json!({ "d": "1" })))),
        send("editor removes b", merge(&config_at(ns, "a"), json!({ "data": { "b": null } }))),
        send("two has it again", apply("two", map(json!({ "b": "1" })))),
        send(
            "no data",
            apply(
                "two",
                json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a", "namespace": ns } }),
            ),
        ),
        send(
            "finalizers",
            apply("one", with(map(json!({})), "/metadata/finalizers", json!(["example.com/a", "example.com/b"]))),
        ),
        send("finalizers less", apply("one", with(map(json!({})), "/metadata/finalizers", json!(["example.com/b"])))),
        send("finalizers none", apply("one", map(json!({})))),
    ]
}

fn before_first_apply(ns: &str) -> Vec<Step> {
    let map = |data: Value| config(ns, "a", data);
    vec![
        send("made", create(map(json!({ "x": "1" })))),
        send("reset", merge(&config_at(ns, "a"), json!({ "metadata": { "managedFields": [{}] } }))),
        send("not tracked", merge(&config_at(ns, "a"), json!({ "data": { "y": "1" } }))),
        send("conflict", apply("one", map(json!({ "x": "2" })))),
        send("forced", force("one", map(json!({ "x": "2" })))),
        send("managed fields in an apply", apply("one", with(map(json!({})), "/metadata/managedFields", json!([])))),
    ]
}

/// Only the containers of a Deployment.
fn containers_of(ns: &str, list: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": ns },
        "spec": { "template": { "spec": { "containers": list } } },
    })
}

fn list_maps(ns: &str) -> Vec<Step> {
    let base = deployment(ns);
    let at = Reference::new("apps/v1", "Deployment", ns, "web");
    let containers = "/spec/template/spec/containers";
    let other = |list: Value| containers_of(ns, list);
    let main = |env: Value| json!({ "name": "main", "env": env });
    let side = json!({ "name": "side", "image": "b:1" });
    let (a, c) = (json!({ "name": "A", "value": "1" }), json!({ "name": "C", "value": "3" }));
    let rich = with(
        base.clone(),
        containers,
        json!([{
            "name": "main", "image": "a:1", "args": ["a", "b"],
            "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }],
            "ports": [{ "containerPort": 80 }, { "containerPort": 80, "protocol": "UDP" }],
        }]),
    );
    vec![
        send("rich", apply("one", rich.clone())),
        send("side", apply("two", other(json!([side])))),
        send("env", apply("two", other(json!([main(json!([c])), side])))),
        send("order", apply("two", other(json!([side, main(json!([c, a]))])))),
        send(
            "conflict",
            apply("two", other(json!([{ "name": "main", "env": [{ "name": "A", "value": "9" }], "args": ["z"] }]))),
        ),
        send("less", apply("one", base.clone())),
        send("side gone", apply("two", other(json!([main(json!([c]))])))),
        send("duplicate", apply("two", other(json!([main(json!([c, { "name": "C", "value": "4" }]))])))),
        send("without key", apply("two", other(json!([{ "image": "x" }])))),
        send("no list", apply("two", other(json!({ "name": "main" })))),
        send("selector key", force("two", with(base, "/spec/template/spec/nodeSelector", json!({ "disk": "ssd" })))),
        send(
            "selector key of another",
            force("one", with(rich, "/spec/template/spec/nodeSelector", json!({ "zone": "a" }))),
        ),
        send(
            "merge patch replaces",
            merge(
                &at,
                json!({ "spec": { "template": { "spec": { "containers": [{ "name": "main", "image": "c:1" }] } } } }),
            ),
        ),
    ]
}

fn writes(ns: &str) -> Vec<Step> {
    let at = config_at(ns, "a");
    let stale = with(config(ns, "a", json!({ "x": "3" })), "/metadata/resourceVersion", json!("1"));
    let foreign =
        with(config(ns, "a", json!({ "x": "3" })), "/metadata/uid", json!("11111111-2222-3333-4444-555555555555"));
    // What makes an object, and writes none that is there.
    let of_none = |name: &str| {
        with(config(ns, name, json!({ "x": "1" })), "/metadata/resourceVersion", json!("9223372036854775807"))
    };
    vec![
        send("update of nothing", update(config(ns, "a", json!({ "x": "1" })))),
        send("patch of nothing", merge(&at, json!({ "data": { "x": "1" } }))),
        send("create", create(config(ns, "a", json!({ "x": "1" })))),
        send("create again", create(config(ns, "a", json!({ "x": "1" })))),
        send("update", update(config(ns, "a", json!({ "x": "2", "y": "1" })))),
        send("update with the same", update(config(ns, "a", json!({ "x": "2", "y": "1" })))),
        send("update, stale", update(stale.clone())),
        send("update, other uid", update(foreign.clone())),
        send("apply, stale", apply("one", stale.clone())),
        send("apply, other uid", apply("one", foreign)),
        send("patch, stale", merge(&at, json!({ "metadata": { "resourceVersion": "1" }, "data": { "x": "9" } }))),
        send(
            "json patch",
            json_patch(
                &at,
                json!([{ "op": "replace", "path": "/data/x", "value": "7" }, { "op": "add", "path": "/metadata/labels", "value": { "l": "1" } }]),
            ),
        ),
        send("merge patch", merge(&at, json!({ "data": { "y": null }, "metadata": { "annotations": { "n": "1" } } }))),
        send("immutable metadata", merge(&at, json!({ "metadata": { "creationTimestamp": null, "generation": 7 } }))),
        send(
            "create, with a version",
            create(with(config(ns, "b", json!({})), "/metadata/resourceVersion", json!("1"))),
        ),
        send(
            "apply new, with a version",
            apply("one", with(config(ns, "b", json!({})), "/metadata/resourceVersion", json!("1"))),
        ),
        send("apply new, with a version of none", apply("one", of_none("c"))),
        send("it is there by now", get(&config_at(ns, "c"))),
        send("the same once more", apply("one", of_none("c"))),
        send("the same by another", force("two", of_none("c"))),
        send("it is as it was", get(&config_at(ns, "c"))),
    ]
}

fn dry_run(ns: &str) -> Vec<Step> {
    let at = config_at(ns, "a");
    let tried = |data: Value| Call::Apply {
        object: object(config(ns, "a", data)),
        manager: "one".into(),
        force: true,
        dry_run: true,
        subresource: None,
    };
    let erase = || Call::Delete {
        at: at.clone(),
        uid: None,
        resource_version: None,
        propagation: Propagation::Background,
        dry_run: true,
    };
    vec![
        send("new", tried(json!({ "x": "1" }))),
        send("not there", get(&at)),
        send("delete what is not there", erase()),
        send("made", apply("one", config(ns, "a", json!({ "x": "1" })))),
        send("changed", tried(json!({ "x": "2" }))),
        send("unchanged", get(&at)),
        send("deleted", erase()),
        send("still there", get(&at)),
    ]
}

fn missing(ns: &str) -> Vec<Step> {
    let nowhere = config("not-there", "a", json!({}));
    let widget = json!({ "apiVersion": "nobody.example.org/v1", "kind": "Widget", "metadata": { "name": "w", "namespace": ns } });
    vec![
        send("apply", apply("one", nowhere.clone())),
        send("create", create(nowhere.clone())),
        send("update", update(nowhere)),
        send("get", get(&config_at("not-there", "a"))),
        send("get in a namespace", get(&config_at(ns, "a"))),
        send("delete", delete(&config_at(ns, "a"), Propagation::Background)),
        send("unknown kind", apply("one", widget)),
        send("scope of an unknown kind", Call::Scope(manifest::Gvk::new("nobody.example.org/v1", "Widget"))),
        send("scope", Call::Scope(manifest::Gvk::new("apps/v1", "Deployment"))),
        send("scope, other version", Call::Scope(manifest::Gvk::new("apps/v1beta1", "Deployment"))),
        send("cluster scope", Call::Scope(manifest::Gvk::new("v1", "Namespace"))),
    ]
}

fn immutable(ns: &str) -> Vec<Step> {
    let sealed = with(config(ns, "sealed", json!({ "x": "1" })), "/immutable", json!(true));
    let secret = |kind: &str| json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s", "namespace": ns }, "type": kind });
    let binding = |role: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": "b", "namespace": ns },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role },
            "subjects": [{ "kind": "ServiceAccount", "name": "robot", "namespace": ns }],
        })
    };
    let other = with(deployment(ns), "/spec/selector/matchLabels", json!({ "app": "web", "tier": "x" }));
    let other = with(other, "/spec/template/metadata/labels", json!({ "app": "web", "tier": "x" }));
    vec![
        send("sealed", apply("one", sealed.clone())),
        send("sealed, changed", apply("one", with(sealed.clone(), "/data/x", json!("2")))),
        send("sealed, opened", apply("one", with(sealed.clone(), "/immutable", json!(false)))),
        send("sealed, labelled", apply("one", with(sealed, "/metadata/labels", json!({ "l": "1" })))),
        send("secret", apply("one", secret("example.com/a"))),
        send("secret, other type", apply("one", secret("example.com/b"))),
        send("binding", apply("one", binding("a"))),
        send("binding, other role", apply("one", binding("b"))),
        send("deployment", apply("one", deployment(ns))),
        send("deployment, other selector", apply("one", other)),
    ]
}

fn immutable_workloads(ns: &str) -> Vec<Step> {
    let template = json!({
        "metadata": { "labels": { "app": "x" } },
        "spec": { "restartPolicy": "Never", "containers": [{ "name": "main", "image": "a:1" }] },
    });
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "set", "namespace": ns },
        "spec": {
            "replicas": 0, "serviceName": "x", "selector": { "matchLabels": { "app": "x" } },
            "template": { "metadata": { "labels": { "app": "x" } }, "spec": { "containers": [{ "name": "main", "image": "a:1" }] } },
        },
    });
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "job", "namespace": ns },
        "spec": { "suspend": true, "template": template },
    });
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "claim", "namespace": ns },
        "spec": { "accessModes": ["ReadWriteOnce"], "storageClassName": "a", "resources": { "requests": { "storage": "1Gi" } } },
    });
    vec![
        send("set", apply("one", set.clone())),
        send("set, other service", apply("one", with(set, "/spec/serviceName", json!("y")))),
        send("job", apply("one", job.clone())),
        send("job, other image", apply("one", with(job, "/spec/template/spec/containers/0/image", json!("a:2")))),
        send("claim", apply("one", claim.clone())),
        send("claim, other class", apply("one", with(claim, "/spec/storageClassName", json!("b")))),
    ]
}

fn validation(ns: &str) -> Vec<Step> {
    let base = deployment(ns);
    let container = |value: Value| with(base.clone(), "/spec/template/spec/containers", json!([value]));
    vec![
        send("name", apply("one", config(ns, "Not_A_Name", json!({})))),
        send(
            "service name",
            apply(
                "one",
                json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "1a", "namespace": ns }, "spec": { "ports": [{ "port": 80 }] } }),
            ),
        ),
        send("no image", apply("one", container(json!({ "name": "main" })))),
        send("no name of a container", create(container(json!({ "image": "a:1" })))),
        send(
            "labels do not match",
            apply("one", with(base.clone(), "/spec/template/metadata/labels", json!({ "app": "other" }))),
        ),
        send("number in a map of texts", create(config(ns, "a", json!({ "x": 1 })))),
        send("bool in a map of texts", create(config(ns, "a", json!({ "x": true })))),
        send(
            "service without ports",
            apply(
                "one",
                json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s", "namespace": ns }, "spec": { "selector": { "a": "b" } } }),
            ),
        ),
    ]
}

fn secrets(ns: &str) -> Vec<Step> {
    let secret = |data: Value| json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s", "namespace": ns }, "data": data });
    let plain = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "p", "namespace": ns }, "stringData": { "k": "value" } });
    let at = Reference::new("v1", "Secret", ns, "s");
    vec![
        send("applied", apply("one", secret(json!({ "a": "Zm9v", "b": "YmFy" })))),
        send("less", apply("one", secret(json!({ "a": "Zm9v" })))),
        send("bad base64, created", create(with(secret(json!({ "a": "hunter2!" })), "/metadata/name", json!("t")))),
        send("conflict shows no value", apply("two", secret(json!({ "a": "YmF6" })))),
        send(
            "base64 with line breaks, created",
            create(with(secret(json!({ "a": "aHVu\ndGVyMg==\n" })), "/metadata/name", json!("u"))),
        ),
        send(
            "base64 with blanks, created",
            create(with(secret(json!({ "a": "aHVu dGVyMg==" })), "/metadata/name", json!("v"))),
        ),
        send("stringData, created", create(plain)),
        send("merged", merge(&at, json!({ "stringData": { "c": "plain" } }))),
    ]
}

fn deletion(ns: &str) -> Vec<Step> {
    let at = config_at(ns, "a");
    let held = with(config(ns, "a", json!({})), "/metadata/finalizers", json!(["example.com/hold"]));
    let guarded = |uid: Option<&str>, revision: Option<&str>| Call::Delete {
        at: at.clone(),
        uid: uid.map(Into::into),
        resource_version: revision.map(Into::into),
        propagation: Propagation::Background,
        dry_run: false,
    };
    vec![
        send("made", create(held)),
        send("other uid", guarded(Some("11111111-2222-3333-4444-555555555555"), None)),
        send("other version", guarded(None, Some("1"))),
        send("begun", delete(&at, Propagation::Background)),
        send("begun again", delete(&at, Propagation::Background)),
        send(
            "one more finalizer",
            merge(&at, json!({ "metadata": { "finalizers": ["example.com/hold", "example.com/more"] } })),
        ),
        send("still writable", merge(&at, json!({ "data": { "x": "1" } }))),
        send("let go", merge(&at, json!({ "metadata": { "finalizers": null } }))),
        send("gone", get(&at)),
        send("plain", create(config(ns, "b", json!({})))),
        send("plain, deleted", delete(&config_at(ns, "b"), Propagation::Background)),
        send("foreground", create(config(ns, "c", json!({})))),
        send("foreground, deleted", delete(&config_at(ns, "b"), Propagation::Foreground)),
    ]
}

fn owners(ns: &str) -> Vec<Step> {
    let owned = |name: &str, uid: &str| {
        let reference = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid }]);
        with(config(ns, name, json!({})), "/metadata/ownerReferences", reference)
    };
    vec![
        send("of nobody", apply("one", owned("stray", "11111111-2222-3333-4444-555555555555"))),
        Step::Gone(config_at(ns, "stray")),
        send(
            "two owners at once",
            apply("one", with(owned("a", "1"), "/metadata/ownerReferences/0/controller", json!(true))),
        ),
    ]
}

fn lists(ns: &str) -> Vec<Step> {
    let labelled = |name: &str, labels: Value| create(with(config(ns, name, json!({})), "/metadata/labels", labels));
    let list = |selector: &str| Call::List(Selection::all("v1", "ConfigMap").within(ns).labelled(selector));
    vec![
        send("a", labelled("a", json!({ "app": "x", "tier": "1" }))),
        send("b", labelled("b", json!({ "app": "y" }))),
        send("c", labelled("c", json!({ "tier": "2" }))),
        send("all", Call::List(Selection::all("v1", "ConfigMap").within(ns))),
        send("one", Call::List(Selection::one(&config_at(ns, "b")))),
        send("equal", list("app=x")),
        send("unequal", list("app!=x")),
        send("in", list("app in (x, y),tier")),
        send("notin", list("tier notin (1)")),
        send("missing", list("!app")),
        send("nothing", list("app=z")),
    ]
}

fn namespaces(ns: &str) -> Vec<Step> {
    let name = format!("{ns}-inner");
    let at = Reference::new("v1", "Namespace", "", &name);
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    let held = with(config(&name, "held", json!({})), "/metadata/finalizers", json!(["example.com/hold"]));
    vec![
        send("applied", apply("one", namespace.clone())),
        send("labelled", apply("one", with(namespace, "/metadata/labels", json!({ "l": "1" })))),
        send("held", create(held)),
        send("deleted", delete(&at, Propagation::Background)),
        Step::Has(config_at(&name, "held"), "/metadata/deletionGracePeriodSeconds", json!(0)),
        send("create", create(config(&name, "late", json!({})))),
        send("apply", apply("one", config(&name, "late", json!({})))),
        send("let go", merge(&config_at(&name, "held"), json!({ "metadata": { "finalizers": null } }))),
        Step::Gone(at),
    ]
}

fn services(ns: &str) -> Vec<Step> {
    let service = |spec: Value| json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s", "namespace": ns }, "spec": spec });
    let at = Reference::new("v1", "Service", ns, "s");
    vec![
        send(
            "made",
            apply("one", service(json!({ "ports": [{ "port": 80, "name": "a" }], "selector": { "app": "x" } }))),
        ),
        send(
            "more ports",
            apply(
                "two",
                service(
                    json!({ "ports": [{ "port": 81, "name": "b" }, { "port": 80, "protocol": "UDP", "name": "c" }] }),
                ),
            ),
        ),
        send(
            "selector",
            apply("two", service(json!({ "ports": [{ "port": 81, "name": "b" }], "selector": { "tier": "y" } }))),
        ),
        send(
            "put without address",
            update(service(
                json!({ "ports": [{ "port": 82, "protocol": "TCP", "targetPort": 82 }], "selector": { "app": "x" }, "type": "ClusterIP" }),
            )),
        ),
        send("other type", merge(&at, json!({ "spec": { "publishNotReadyAddresses": true } }))),
    ]
}

fn bad_patches(ns: &str) -> Vec<Step> {
    let at = config_at(ns, "a");
    vec![
        send("made", create(config(ns, "a", json!({ "x": "1" })))),
        send("missing path", json_patch(&at, json!([{ "op": "remove", "path": "/data/y" }]))),
        send("test fails", json_patch(&at, json!([{ "op": "test", "path": "/data/x", "value": "2" }]))),
        send("other name", merge(&at, json!({ "metadata": { "name": "b" } }))),
        send("other namespace", merge(&at, json!({ "metadata": { "namespace": "b" } }))),
    ]
}

fn generation(ns: &str) -> Vec<Step> {
    let base = deployment(ns);
    let network = |name: &str| {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "n", "namespace": ns },
            "spec": { "podSelector": { "matchLabels": { "app": name } }, "policyTypes": ["Ingress"] },
        })
    };
    let account =
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "robot", "namespace": ns } });
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "a:b", "namespace": ns },
        "rules": [{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get"] }],
    });
    let at = Reference::new("apps/v1", "Deployment", ns, "web");
    vec![
        send("made", apply("one", base.clone())),
        send("labelled", apply("one", with(base.clone(), "/metadata/labels", json!({ "l": "1" })))),
        send("annotated", apply("one", with(base.clone(), "/metadata/annotations", json!({ "n": "1" })))),
        send("changed", apply("one", with(base, "/spec/template/spec/containers/0/image", json!("a:2")))),
        send("deleted in the foreground", delete(&at, Propagation::Foreground)),
        Step::Gone(at),
        send("policy", apply("one", network("a"))),
        send("policy, changed", apply("one", network("b"))),
        send("account", apply("one", account)),
        send("role", apply("one", role)),
        send("read a role", get(&Reference::new("rbac.authorization.k8s.io/v1", "Role", ns, "a:b"))),
    ]
}
