//! A chart for tests. Included by path.

#![allow(unreachable_pub, reason = "it is included")]

use std::collections::BTreeMap;

/// A small chart `web`: a Deployment that reads a Secret of the chart, hooks before, after and in the end, a definition.
/// With the value `fail` set to "true" its pods crash.
pub fn chart(version: &str, extra: &[(&str, &str)]) -> BTreeMap<String, String> {
    let deployment = "apiVersion: apps/v1
kind: Deployment
metadata: {name: '{{ .Release.Name }}'}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web{{ if .Values.fail }}, testbed/fail: '{{ .Values.fail }}'{{ end }}}}
    spec: {containers: [{name: web, image: 'web:{{ .Values.tag }}', envFrom: [{secretRef: {name: web}}]}]}
";
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: web}\nstringData: {password: '{{ .Values.password }}'}\n";
    let account = "apiVersion: v1
kind: ServiceAccount
metadata:
  name: migrate
  annotations:
    helm.sh/hook: pre-install,pre-upgrade
    helm.sh/hook-weight: '-5'
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
";
    let hook = |name: &str, events: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations: {{helm.sh/hook: '{events}'}}\n\
             spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: a, image: a}}]}}}}}}\n"
        )
    };
    let crd = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.charts.example.com}
spec:
  group: charts.example.com
  scope: Namespaced
  names: {kind: Gadget, plural: gadgets}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
";
    let schema = r#"{"type": "object", "properties": {"tag": {"type": "string"}}}"#;
    let mut files: BTreeMap<String, String> = [
        ("Chart.yaml", format!("apiVersion: v2\nname: web\nversion: {version}\nappVersion: '9'\n")),
        ("values.yaml", "tag: one\nfail: ''\npassword: plain\n".into()),
        ("values.schema.json", schema.into()),
        ("templates/deployment.yaml", deployment.into()),
        ("templates/secret.yaml", secret.into()),
        ("templates/account.yaml", account.into()),
        ("templates/before.yaml", hook("before", "pre-install,pre-upgrade")),
        ("templates/after.yaml", hook("after", "post-install")),
        ("templates/farewell.yaml", hook("farewell", "pre-delete")),
        ("crds/gadgets.yaml", crd.into()),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .into();
    files.extend(extra.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())));
    files
}
