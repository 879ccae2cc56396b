//! The story: what a person does in each step, and what the cluster must say of it.

use std::collections::BTreeMap;

use anyhow::Context as _;
use apply::Reference;
use base64::Engine as _;
use manifest::{Object, ObjectId};
use serde_json::{Value, json};
use sops::{Config, Format, Identities, Indents, Sealed};

use super::account::Account;
use super::stage::{FLUX, SHOP, Stage, ready};

/// Files that the story changes.
const DATABASE: &str = "apps/demo/database.sops.yaml";
const ORDERS: &str = "apps/base/orders.yaml";
const PAYMENT: &str = "apps/base/payment.yaml";
const BASE: &str = "apps/base/kustomization.yaml";
const QUOTA: &str = "apps/demo/quota.yaml";
const OVERLAY: &str = "apps/demo/kustomization.yaml";

/// What stands in the files and in the store; the repository is an example for everybody to read.
const FIRST_PASSWORD: &str = "example-password-1";
const SECOND_PASSWORD: &str = "example-password-2";
const THIRD_PASSWORD: &str = "example-password-3";
const FIRST_TOKEN: &str = "example-token-1";
const SECOND_TOKEN: &str = "example-token-2";

/// Annotation of a pod template that changes with the secrets that the pods read.
const STAMP: &str = "/spec/template/metadata/annotations/lockstep.dev~1secrets";

/// The applications at one moment.
struct Shot(BTreeMap<ObjectId, Object>);

impl Shot {
    async fn take(stage: &Stage) -> anyhow::Result<Self> {
        let mut objects = stage.list("v1", "Secret").await?;
        objects.extend(stage.list("apps/v1", "Deployment").await?);
        let applications = objects.into_iter().filter(|object| object.namespace() == SHOP);
        Ok(Self(applications.map(|object| (object.id(), object)).collect()))
    }

    fn find(&self, kind: &str, name: &str) -> Option<&Object> {
        self.0.values().find(|object| object.kind() == kind && object.name() == name)
    }

    fn field(&self, kind: &str, name: &str, pointer: &str) -> Option<&Value> {
        self.find(kind, name)?.value().pointer(pointer)
    }

    /// Whether a key of a Secret holds this text.
    fn holds(&self, secret: &str, key: &str, text: &str) -> bool {
        let value = self.field("Secret", secret, &format!("/data/{key}")).and_then(Value::as_str);
        value.is_some_and(|value| value == base64::engine::general_purpose::STANDARD.encode(text))
    }

    fn generation(&self, deployment: &str) -> i64 {
        self.find("Deployment", deployment).map_or(0, Object::generation)
    }

    /// Whether a part of an object is as it was in another shot.
    fn is_same(&self, before: &Self, kind: &str, name: &str, pointer: &str) -> bool {
        let part = self.field(kind, name, pointer);
        part.is_some() && part == before.field(kind, name, pointer)
    }

    /// Whether the pods of a Deployment were replaced exactly once since.
    fn rolled_out_once(&self, before: &Self, deployment: &str) -> bool {
        self.generation(deployment) == before.generation(deployment) + 1
            && !self.is_same(before, "Deployment", deployment, "/spec/template")
    }
}

fn unit(name: &str) -> Reference {
    Reference::new("kustomize.toolkit.fluxcd.io/v1", "Kustomization", FLUX, name)
}

fn external_secret() -> Reference {
    Reference::new("external-secrets.io/v1", "ExternalSecret", SHOP, "payment")
}

fn deployment(name: &str) -> Reference {
    Reference::new("apps/v1", "Deployment", SHOP, name)
}

fn is_ready(object: &Object) -> bool {
    ready(object).is_some_and(|(status, ..)| status == "True")
}

/// Whether all pods are those of the newest template, and ready.
fn is_rolled_out(deployment: &Object) -> bool {
    let status = |field: &str| deployment.value()["status"][field].as_i64().unwrap_or(0);
    let wanted = deployment.value()["spec"]["replicas"].as_i64().unwrap_or(1);
    status("observedGeneration") == deployment.generation()
        && [status("updatedReplicas"), status("readyReplicas"), status("replicas")] == [wanted; 3]
}

fn has_landed(object: &Object, revision: &str) -> bool {
    is_ready(object) && object.text("/status/lastAppliedRevision") == Some(revision)
}

fn has_failed(object: &Object, revision: &str) -> bool {
    ready(object).is_some_and(|(status, ..)| status == "False")
        && object.text("/status/lastAttemptedRevision") == Some(revision)
}

fn names(ids: &[ObjectId]) -> String {
    ids.iter().map(|id| format!("{} {}", id.kind, id.name)).collect::<Vec<_>>().join(", ")
}

/// Position of the first write of an object.
fn place(written: &[ObjectId], kind: &str, name: &str) -> Option<usize> {
    written.iter().position(|id| id.kind == kind && id.name == name)
}

fn is_before(written: &[ObjectId], first: (&str, &str), second: (&str, &str)) -> bool {
    match (place(written, first.0, first.1), place(written, second.0, second.1)) {
        (Some(first), Some(second)) => first < second,
        _ => false,
    }
}

/// Encrypts the database's password as `sops` does, for the recipients of the repository's `.sops.yaml`.
fn seal(stage: &mut Stage, password: &str) -> anyhow::Result<()> {
    let plain = format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n    name: database\n    namespace: {SHOP}\nstringData:\n    password: {password}\n"
    );
    let mut has_failed = false;
    let mut random = |bytes: &mut [u8]| has_failed |= getrandom::fill(bytes).is_err();
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let settings = Config::parse(stage.repository.read(".sops.yaml")?)?.settings_for(DATABASE, &now)?;
    let settings = settings.context(".sops.yaml has no rules")?;
    let sealed = Sealed::encrypt(plain.as_bytes(), Format::Yaml, settings, &Identities::default(), &now, &mut random)?;
    anyhow::ensure!(!has_failed, "the system has no randomness");
    stage.repository.write(DATABASE, String::from_utf8(sealed.emit(Format::Yaml, Indents::default())?)?);
    Ok(())
}

/// Commits, and has the agent look.
async fn push(stage: &mut Stage, account: &mut Account, message: &str) -> anyhow::Result<String> {
    let revision = stage.repository.commit(message)?;
    account.commit(&revision, message);
    stage.request().await?;
    Ok(revision)
}

/// An empty cluster, and what `flux bootstrap` puts there.
pub(super) async fn first_landing(stage: &mut Stage, account: &mut Account) -> anyhow::Result<bool> {
    account.step("first-landing", "The first landing: an empty cluster, and a repository with its secrets");
    let revision = stage.repository.commit("A shop")?;
    account.commit(&revision, "A shop");
    for document in yaml::documents(stage.repository.read("clusters/demo/flux-system/gotk-sync.yaml")?) {
        stage.apply(Object::new(yaml::from_str(document.text)?)?).await?;
    }
    for name in ["flux-system", "infrastructure", "apps"] {
        stage.until(&unit(name), |object| has_landed(object, &revision)).await?;
        account.claim(format!("Kustomization {name} is Ready at this revision"), true);
    }
    stage.until(&Reference::new("helm.toolkit.fluxcd.io/v2", "HelmRelease", SHOP, "web"), is_ready).await?;
    account.claim("HelmRelease web is Ready", true);
    let external = stage.until(&external_secret(), is_ready).await?;
    let is_synced = ready(&external).is_some_and(|(_, reason, _)| reason == "SecretSynced");
    account.claim("ExternalSecret payment is Ready: SecretSynced", is_synced);
    let shot = Shot::take(stage).await?;
    account.claim(
        "Secret database holds what SOPS had sealed in the repository",
        shot.holds("database", "password", FIRST_PASSWORD),
    );
    account.claim("Secret payment holds what the store holds", shot.holds("payment", "token", FIRST_TOKEN));
    let written = stage.written_since(0);
    let is_ordered =
        ["database", "payment"].iter().all(|secret| is_before(&written, ("Secret", secret), ("Deployment", "orders")));
    account.claim("both Secrets were written before Deployment orders, which reads them", is_ordered);
    let pods = shot.find("Deployment", "orders").is_some_and(is_rolled_out);
    account.claim("Deployment orders: 2 of 2 pods are ready", pods);
    Ok(account.end())
}

/// A password and who reads it, in one commit.
pub(super) async fn together(stage: &mut Stage, account: &mut Account) -> anyhow::Result<bool> {
    account.step("together", "One commit: a new password, and a new release of who reads it");
    let (before, mark) = (Shot::take(stage).await?, stage.mark());
    seal(stage, SECOND_PASSWORD)?;
    stage.repository.edit(ORDERS, "pause:3.10", "pause:3.10.1")?;
    let revision = push(stage, account, "Rotate the database password, with orders 3.10.1").await?;
    stage.until(&unit("apps"), |object| has_landed(object, &revision)).await?;
    let (after, written) = (Shot::take(stage).await?, stage.written_since(mark));
    account.claim("Secret database holds the new password", after.holds("database", "password", SECOND_PASSWORD));
    account.claim("Secret payment is as it was", after.is_same(&before, "Secret", "payment", "/data"));
    let image = after.field("Deployment", "orders", "/spec/template/spec/containers/0/image");
    let is_new = image.is_some_and(|image| image.as_str().is_some_and(|image| image.ends_with(":3.10.1")));
    account.claim("Deployment orders runs the new release", is_new);
    account.claim("its pods were replaced once, for both", after.rolled_out_once(&before, "orders"));
    let is_all = written.len() == 2 && is_before(&written, ("Secret", "database"), ("Deployment", "orders"));
    account.claim(format!("written, in this order: {}", names(&written)), is_all);
    Ok(account.end())
}

/// A new value in the store, and nothing in Git.
pub(super) async fn rotation(stage: &mut Stage, account: &mut Account) -> anyhow::Result<bool> {
    account.step("rotation", "A new token in the store: no commit");
    let (before, mark) = (Shot::take(stage).await?, stage.mark());
    let store = Reference::new("external-secrets.io/v1", "SecretStore", SHOP, "vault");
    let fake = json!({"data": [{"key": "payment-token", "value": SECOND_TOKEN}]});
    account.does("somebody changes the value of payment-token in the store");
    stage.patch(&store, json!({"spec": {"provider": {"fake": fake}}})).await?;
    account.does("kubectl annotate externalsecret payment force-sync=now, rather than to wait for its interval");
    let synced = |object: &Object| object.text("/status/syncedResourceVersion").map(str::to_owned);
    let last = synced(&stage.get(&external_secret()).await?);
    stage.patch(&external_secret(), json!({"metadata": {"annotations": {"force-sync": "now"}}})).await?;
    for reader in [deployment("orders"), deployment("web")] {
        let generation = before.generation(&reader.name);
        stage.until(&reader, |object| object.generation() > generation && is_rolled_out(object)).await?;
    }
    stage.until(&external_secret(), |object| is_ready(object) && synced(object) != last).await?;
    stage.until(&unit("apps"), is_ready).await?;
    let (after, written) = (Shot::take(stage).await?, stage.written_since(mark));
    account.claim("Secret payment holds the new token", after.holds("payment", "token", SECOND_TOKEN));
    for name in ["orders", "web"] {
        let what = format!("the pods of Deployment {name}, which reads it, were replaced once");
        account.claim(what, after.rolled_out_once(&before, name));
        let is_stamped = after.field("Deployment", name, STAMP).is_some()
            && !after.is_same(&before, "Deployment", name, STAMP)
            && after.is_same(&before, "Deployment", name, "/spec/template/spec");
        account.claim("for nothing but the stamp of its secrets", is_stamped);
    }
    let is_all = written.len() == 3 && place(&written, "Secret", "payment") == Some(0);
    account.claim(format!("written, in this order: {}", names(&written)), is_all);
    Ok(account.end())
}

/// Several mistakes at once.
pub(super) async fn errors(stage: &mut Stage, account: &mut Account) -> anyhow::Result<bool> {
    account.step("errors", "One commit with three mistakes: all are told, nothing is written");
    let (before, mark, files) = (Shot::take(stage).await?, stage.mark(), stage.repository.files());
    stage.repository.edit(PAYMENT, "  refreshInterval: 1m", "  refreshInterval 1m")?;
    stage.repository.edit(BASE, "- orders.yaml", "- order.yaml")?;
    stage.repository.edit(OVERLAY, "- ../base", "- ../base\n- quota.yaml")?;
    stage.repository.write(QUOTA, "apiVersion: v1\nkind: ResourceQuota\nspec: {hard: {pods: 4}}\n".into());
    let revision = push(stage, account, "Improve everything").await?;
    let apps = stage.until(&unit("apps"), |object| has_failed(object, &revision)).await?;
    let (after, written) = (Shot::take(stage).await?, stage.written_since(mark));
    let message = ready(&apps).map(|(.., message)| message.to_owned()).unwrap_or_default();
    account.quote(&message);
    for (what, file) in [("broken YAML", PAYMENT), ("missing file", BASE), ("object without a name", QUOTA)] {
        account.claim(format!("{file}: the {what} is told"), message.contains(file));
    }
    account.claim("the agent wrote nothing of the applications", written.is_empty());
    let is_same = before
        .0
        .iter()
        .all(|(id, object)| after.0.get(id).is_some_and(|now| now.resource_version() == object.resource_version()));
    account.claim("no Secret and no Deployment has changed", is_same && before.0.len() == after.0.len());
    stage.repository.restore(files);
    Ok(account.end())
}

/// A release whose pods crash.
pub(super) async fn reverted(stage: &mut Stage, account: &mut Account) -> anyhow::Result<bool> {
    account.step("reverted", "A bad release, with another password: it is taken back, with the old password's bytes");
    let (before, mark) = (Shot::take(stage).await?, stage.mark());
    let landed = stage.get(&unit("apps")).await?.text("/status/lastAppliedRevision").map(str::to_owned);
    seal(stage, THIRD_PASSWORD)?;
    let crashing = "        app: orders\n        testbed/fail: \"true\"\n    spec:";
    stage.repository.edit(ORDERS, "        app: orders\n    spec:", crashing)?;
    stage.repository.edit(ORDERS, "  replicas: 1\n", "  replicas: 1\n  progressDeadlineSeconds: 1\n")?;
    account.does("the pods of this release crash (label testbed/fail: the cluster of the demo lets them)");
    let revision = push(stage, account, "Orders 3.11, with a new password").await?;
    let apps = stage.until(&unit("apps"), |object| has_failed(object, &revision)).await?;
    let (after, written) = (Shot::take(stage).await?, stage.written_since(mark));
    let (_, reason, message) = ready(&apps).unwrap_or_default();
    account.quote(message);
    let count = |kind: &str, name: &str| written.iter().filter(|id| id.kind == kind && id.name == name).count();
    let is_both_ways = count("Secret", "database") == 2 && count("Deployment", "orders") == 2;
    account.claim("the new password and the new release were written, and taken back", is_both_ways);
    let is_same = after.is_same(&before, "Secret", "database", "/data");
    account.claim("Secret database has its old bytes again", is_same);
    let is_same = after.is_same(&before, "Deployment", "orders", "/spec");
    account.claim("Deployment orders is as it was", is_same);
    let is_held = reason == "HealthCheckFailed"
        && landed.as_deref().is_some_and(|landed| message.starts_with(&format!("held at {landed}")))
        && apps.text("/status/lastAppliedRevision").map(str::to_owned) == landed;
    account.claim("Kustomization apps is not Ready, and says what it is held at", is_held);
    stage.until(&deployment("orders"), is_rolled_out).await?;
    account.claim("the pods of the release before run", true);
    Ok(account.end())
}
