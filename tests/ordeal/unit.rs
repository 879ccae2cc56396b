//! The unit that is landed: sixty objects, of which a chart makes five and external secrets nine.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::rules::{Key, Rules};

/// Deployments that each read a Secret of the vault, one of SOPS and a ConfigMap.
const WEBS: usize = 6;
/// Secrets of SOPS.
pub const SEALED: usize = 2;
/// ConfigMaps that nobody reads.
const NOTES: usize = 2;
/// The one whose pods crash in a bad revision.
const CRASHING: usize = 1;

/// What is in a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// It lands.
    Good,
    /// One object is refused by the server's dry run.
    Refused,
    /// The pods of one Deployment crash.
    Crashing,
}

/// Which of the two that come and go a revision has.
fn guest(number: u64) -> &'static str {
    if number.is_multiple_of(2) { "even" } else { "odd" }
}

/// Secrets of the vault whose key is of a revision.
pub fn fetched(number: u64) -> Vec<String> {
    (0..WEBS).map(|index| format!("fetched-{index}")).chain([guest(number).to_owned()]).collect()
}

/// What must hold of it at any time.
pub fn rules() -> Rules {
    let webs = (0..WEBS).flat_map(|index| {
        let secrets = [format!("fetched-{index}"), format!("sealed-{}", index % SEALED)];
        secrets.map(|secret| (format!("web-{index}"), secret))
    });
    let others = [("even", "even"), ("odd", "odd"), ("chart", "chart")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    let kept = &keys(0) & &keys(1);
    Rules {
        readers: webs.chain(others).collect(),
        turning: ("turner".into(), "turning".into()),
        kept,
        theirs: "theirs".into(),
        scaled: [("web-0".to_owned(), 2)].into(),
        ..Rules::default()
    }
}

/// The objects of a revision.
pub fn keys(number: u64) -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    let mut add = |resource: &str, name: &str| {
        keys.insert((resource.to_owned(), name.to_owned()));
    };
    for index in 0..WEBS {
        for resource in ["deployments", "services", "serviceaccounts"] {
            add(resource, &format!("web-{index}"));
        }
        add("configmaps", &format!("conf-{index}"));
    }
    for name in fetched(number).iter().map(String::as_str).chain(["turning", "values"]) {
        add("externalsecrets", name);
        add("secrets", name);
    }
    (0..SEALED).for_each(|index| add("secrets", &format!("sealed-{index}")));
    (0..NOTES).for_each(|index| add("configmaps", &format!("note-{index}")));
    for resource in ["deployments", "configmaps"] {
        add(resource, guest(number));
    }
    for resource in ["deployments", "services", "serviceaccounts", "configmaps", "secrets"] {
        add(resource, "chart");
    }
    add("deployments", "turner");
    add("helmreleases", "chart");
    add("helmrepositories", "charts");
    for resource in ["roles", "rolebindings", "poddisruptionbudgets", "cronjobs"] {
        add(resource, "web");
    }
    keys
}

/// One document of the repository.
fn document(version: &str, kind: &str, name: &str, number: u64, rest: &str) -> String {
    format!(
        "---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, annotations: {{revision: '{number}'}}}}\n{rest}\n"
    )
}

fn external(name: &str, key: &str, field: &str, number: u64) -> String {
    let spec = format!(
        "spec: {{refreshInterval: 1h, secretStoreRef: {{name: vault}}, data: [{{secretKey: {field}, remoteRef: {{key: {key}}}}}]}}"
    );
    document("external-secrets.io/v1", "ExternalSecret", name, number, &spec)
}

/// `labels` are further ones of its pods; `reads` are Secrets.
fn deployment(name: &str, number: u64, labels: &str, reads: &[&str]) -> String {
    let patience = if labels.is_empty() { 120 } else { 3 };
    let reads: String = reads.iter().fold(String::new(), |mut all, secret| {
        let _ = write!(all, "{{secretRef: {{name: {secret}}}}}, ");
        all
    });
    let spec = format!(
        "spec:\n  progressDeadlineSeconds: {patience}\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    \
         metadata: {{labels: {{app: {name}{labels}}}, annotations: {{revision: '{number}'}}}}\n    \
         spec: {{containers: [{{name: app, image: 'app:1', envFrom: [{reads}{{configMapRef: {{name: note-0}}}}]}}]}}"
    );
    document("apps/v1", "Deployment", name, number, &spec)
}

/// The file of everything but the Secrets of SOPS.
pub fn manifests(number: u64, flavour: Flavour, charts: &str) -> String {
    let mut all = Vec::new();
    for index in 0..WEBS {
        let (name, fetched, sealed) =
            (format!("web-{index}"), format!("fetched-{index}"), format!("sealed-{}", index % SEALED));
        let is_bad = flavour == Flavour::Crashing && index == CRASHING;
        let labels = if is_bad { ", testbed/fail: 'true'" } else { "" };
        all.push(deployment(&name, number, labels, &[&fetched, &sealed]));
        let port = if flavour == Flavour::Refused && index == WEBS - 1 { 0 } else { 80 };
        let ports = format!("spec: {{clusterIP: None, selector: {{app: {name}}}, ports: [{{port: {port}}}]}}");
        all.push(document("v1", "Service", &name, number, &ports));
        all.push(document("v1", "ServiceAccount", &name, number, ""));
        all.push(document("v1", "ConfigMap", &format!("conf-{index}"), number, "data: {a: b}"));
    }
    all.extend(fetched(number).iter().map(|name| external(name, &format!("{name}-{number}"), "password", number)));
    let note = |name: &str| document("v1", "ConfigMap", name, number, &format!("data: {{revision: '{number}'}}"));
    all.extend((0..NOTES).map(|index| note(&format!("note-{index}"))));
    let guest = guest(number);
    all.extend([note(guest), deployment(guest, number, "", &[guest])]);
    all.extend([external("turning", "turning", "password", number), deployment("turner", number, "", &["turning"])]);
    all.extend([external("values", &format!("values-{number}"), "values.yaml", number), release(number, charts)]);
    all.push(small(number));
    all.concat()
}

fn release(number: u64, charts: &str) -> String {
    let source = format!("spec: {{interval: 1h, url: '{charts}'}}");
    let spec = format!(
        "spec:\n  interval: 1h\n  chart: {{spec: {{chart: chart, version: 1.0.0, interval: 1h, sourceRef: {{kind: HelmRepository, name: charts}}}}}}\n  \
         values: {{revision: '{number}'}}\n  valuesFrom: [{{kind: Secret, name: values, valuesKey: values.yaml}}]"
    );
    document("source.toolkit.fluxcd.io/v1", "HelmRepository", "charts", number, &source)
        + &document("helm.toolkit.fluxcd.io/v2", "HelmRelease", "chart", number, &spec)
}

fn small(number: u64) -> String {
    let roles = "rbac.authorization.k8s.io/v1";
    let binding = "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: web}\nsubjects: [{kind: ServiceAccount, name: web-0}]";
    let job = "spec: {schedule: '0 0 1 1 *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: 'a:1'}]}}}}}";
    document(roles, "Role", "web", number, "rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]")
        + &document(roles, "RoleBinding", "web", number, binding)
        + &document(
            "policy/v1",
            "PodDisruptionBudget",
            "web",
            number,
            "spec: {maxUnavailable: 1, selector: {matchLabels: {app: web-0}}}",
        )
        + &document("batch/v1", "CronJob", "web", number, job)
}

/// The files of the chart `chart`: a Deployment that reads a Secret of the chart, whose bytes come from the vault.
pub fn chart() -> [(&'static str, String); 2] {
    let head = |version: &str, kind: &str, rest: &str| {
        format!(
            "---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: '{{{{ .Release.Name }}}}', annotations: {{revision: '{{{{ .Values.revision }}}}'}}}}\n{rest}\n"
        )
    };
    let deployment = "spec:\n  selector: {matchLabels: {app: chart}}\n  template:\n    \
                      metadata: {labels: {app: chart}, annotations: {revision: '{{ .Values.revision }}'}}\n    \
                      spec: {containers: [{name: app, image: 'app:1', envFrom: [{secretRef: {name: '{{ .Release.Name }}'}}]}]}";
    let templates = [
        head("v1", "Secret", "stringData: {password: {{ .Values.password | quote }}}"),
        head("v1", "ConfigMap", "data: {a: b}"),
        head("v1", "ServiceAccount", ""),
        head("v1", "Service", "spec: {clusterIP: None, selector: {app: chart}, ports: [{port: 80}]}"),
        head("apps/v1", "Deployment", deployment),
    ];
    let meta = "apiVersion: v2\nname: chart\nversion: 1.0.0\n".to_owned();
    [("Chart.yaml", meta), ("templates/all.yaml", templates.concat())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_sixty_objects_and_its_neighbour_has_another_guest() {
        assert_eq!(keys(1).len(), 60, "{:?}", keys(1));
        let manifests = manifests(1, Flavour::Good, "https://charts");
        // Not in the file: two of SOPS, nine that ExternalSecrets make, five of the chart.
        assert_eq!(manifests.matches("\nkind: ").count(), 60 - 2 - 9 - 5);
        let differs = &keys(1) - &keys(2);
        assert_eq!(differs.len(), 4, "{differs:?}");
        assert!(rules().kept.is_subset(&keys(2)));
    }
}
