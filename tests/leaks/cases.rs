//! What refuses a value, and tells about it in its own words.

/// Where the value goes in what is substituted.
pub const VALUE: &str = "VALUE";

/// Manifests that the API server or a step before it refuses with the value in them, whatever it looks like.
pub const SUBSTITUTED: &[(&str, &str)] = &[
    ("name", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: 'VALUE'\n"),
    ("label", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels:\n    a: 'VALUE'\n"),
    ("label-key", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels:\n    'VALUE': a\n"),
    ("annotation-key", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  annotations:\n    'VALUE': a\n"),
    ("data-key", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  'VALUE': a\n"),
    ("immutable", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nimmutable: 'VALUE'\n"),
    ("api-version", "apiVersion: 'VALUE/v1'\nkind: ConfigMap\nmetadata: {name: a}\n"),
    ("kind", "apiVersion: v1\nkind: 'VALUE'\nmetadata: {name: a}\n"),
    ("unknown-field", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  'VALUE': 1\n"),
    ("base64", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata:\n  password: 'VALUE'\n"),
    (
        "tls",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: 'VALUE'\n",
    ),
    (
        "docker",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ntype: kubernetes.io/dockerconfigjson\nstringData:\n  .dockerconfigjson: 'VALUE'\n",
    ),
    (
        "replicas",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  replicas: 'VALUE'\n  selector: {matchLabels: {a: a}}\n  template: {metadata: {labels: {a: a}}, spec: {containers: [{name: a, image: a}]}}\n",
    ),
    (
        "container",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  selector: {matchLabels: {a: a}}\n  template: {metadata: {labels: {a: a}}, spec: {containers: [{name: 'VALUE', image: a}]}}\n",
    ),
    (
        "pull-policy",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: a, imagePullPolicy: 'VALUE'}]}\n",
    ),
    (
        "port",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: a, ports: [{containerPort: 'VALUE'}]}]}\n",
    ),
    (
        "port-name",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: a, ports: [{containerPort: 80, name: 'VALUE'}]}]}\n",
    ),
    (
        "quantity",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: a, resources: {limits: {cpu: 'VALUE'}}}]}\n",
    ),
    (
        "resource",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: a, resources: {limits: {'VALUE': 1}}}]}\n",
    ),
    (
        "restart",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {restartPolicy: 'VALUE', containers: [{name: a, image: a}]}\n",
    ),
    (
        "hostname",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {hostname: 'VALUE', containers: [{name: a, image: a}]}\n",
    ),
    (
        "account",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {serviceAccountName: 'VALUE', containers: [{name: a, image: a}]}\n",
    ),
    (
        "user",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {securityContext: {runAsUser: 'VALUE'}, containers: [{name: a, image: a}]}\n",
    ),
    (
        "toleration",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {tolerations: [{operator: 'VALUE'}], containers: [{name: a, image: a}]}\n",
    ),
    (
        "volume",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {volumes: [{name: 'VALUE', emptyDir: {}}], containers: [{name: a, image: a}]}\n",
    ),
    (
        "service-type",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: 'VALUE', ports: [{port: 80}]}\n",
    ),
    (
        "cluster-ip",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: 'VALUE', ports: [{port: 80}]}\n",
    ),
    (
        "external-name",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: ExternalName, externalName: 'VALUE'}\n",
    ),
    (
        "protocol",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80, protocol: 'VALUE'}]}\n",
    ),
    (
        "ingress",
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec: {rules: [{host: 'VALUE', http: {paths: [{pathType: Prefix, path: /, backend: {service: {name: a, port: {number: 80}}}}]}}]}\n",
    ),
    (
        "path-type",
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec: {rules: [{http: {paths: [{pathType: 'VALUE', path: /, backend: {service: {name: a, port: {number: 80}}}}]}}]}\n",
    ),
    (
        "cidr",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 'VALUE'}}]}]}\n",
    ),
    (
        "schedule",
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: a}\nspec: {schedule: 'VALUE', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}}}\n",
    ),
    (
        "storage",
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 'VALUE'}}}\n",
    ),
    (
        "access-mode",
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a}\nspec: {accessModes: ['VALUE'], resources: {requests: {storage: 1Gi}}}\n",
    ),
    (
        "role",
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: a}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: 'VALUE', name: a}\n",
    ),
    (
        "refresh",
        "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: a}\nspec: {refreshInterval: 'VALUE', secretStoreRef: {name: vault}, data: [{secretKey: a, remoteRef: {key: canary}}]}\n",
    ),
    (
        "remote-key",
        "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: a}\nspec: {refreshInterval: 1h, secretStoreRef: {name: vault}, data: [{secretKey: a, remoteRef: {key: 'VALUE'}}]}\n",
    ),
    (
        "store",
        "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: a}\nspec: {refreshInterval: 1h, secretStoreRef: {name: 'VALUE'}, data: [{secretKey: a, remoteRef: {key: canary}}]}\n",
    ),
    (
        "release",
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: a}\nspec: {interval: 'VALUE', chart: {spec: {chart: ./charts/leak, sourceRef: {kind: GitRepository, name: repo}}}}\n",
    ),
    (
        "chart",
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: a}\nspec: {interval: 1h, chart: {spec: {chart: './charts/VALUE', sourceRef: {kind: GitRepository, name: repo}}}}\n",
    ),
];

/// Manifests that are no YAML, or no manifest, once a value with quotes and braces stands in them.
pub const BROKEN: &[(&str, &str)] = &[
    ("flow", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {password: [VALUE}\n"),
    ("list", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: [VALUE]\n"),
    ("map", "VALUE\n"),
    ("nested", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  password: VALUE\n other: b\n"),
];

/// What the chart is asked to do with the value; `broken` and `target` are about how the value comes.
pub const RELEASES: &[(&str, &str)] = &[
    ("fail", "fail"),
    ("required", "required"),
    ("atoi", "atoi"),
    ("yaml", "yaml"),
    ("index", "index"),
    ("call", "call"),
    ("include", "include"),
    ("tpl", "tpl"),
    ("regex", "regex"),
    ("semver", "semver"),
    ("date", "date"),
    ("refused", "refused"),
    ("label", "label"),
    ("kind", "kind"),
    ("broken", "broken"),
    ("target", "target"),
];

/// The one template of the chart.
pub const CHART: &str = r#"{{- $value := .Values.secret }}
{{- if eq .Values.case "fail" }}{{ fail (printf "the password %s is bad" $value) }}{{ end }}
{{- if eq .Values.case "required" }}{{ required (printf "not with %s" $value) .Values.absent }}{{ end }}
{{- if eq .Values.case "atoi" }}{{ fail (printf "%d %v" (atoi $value) (toJson .Values)) }}{{ end }}
{{- if eq .Values.case "yaml" }}{{ fail (toString (printf "a: [%s" $value | fromYaml)) }}{{ end }}
{{- if eq .Values.case "index" }}{{ index .Values $value "a" }}{{ end }}
{{- if eq .Values.case "call" }}{{ $value.password }}{{ end }}
{{- if eq .Values.case "include" }}{{ include $value . }}{{ end }}
{{- if eq .Values.case "tpl" }}{{ tpl (printf "{{ %s }}" $value) . }}{{ end }}
{{- if eq .Values.case "regex" }}{{ mustRegexMatch (printf "(%s" $value) "a" }}{{ end }}
{{- if eq .Values.case "semver" }}{{ semver $value }}{{ end }}
{{- if eq .Values.case "date" }}{{ mustToDate "2006-01-02" $value }}{{ end }}
{{- if eq .Values.case "refused" }}
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {type: {{ toJson $value }}, ports: [{port: 80}]}
{{- end }}
{{- if eq .Values.case "label" }}
apiVersion: v1
kind: ConfigMap
metadata: {name: a, labels: {a: {{ toJson $value }}}}
{{- end }}
{{- if eq .Values.case "kind" }}
apiVersion: v1
kind: {{ toJson $value }}
metadata: {name: a}
{{- end }}
"#;

/// Folders with a sealed file: its name, its content, and the kustomization beside it.
pub const SEALED: &[(&str, &str, &str, &str)] = &[
    (
        "tampered",
        "a.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {password: \"VALUE\"}\n",
        "",
    ),
    (
        "type",
        "a.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {password: {nested: \"VALUE\"}}\n",
        "",
    ),
    ("base64", "a.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {password: \"VALUE\"}\n", ""),
    (
        "service",
        "a.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: \"VALUE\", ports: [{port: 80}]}\n",
        "",
    ),
    ("name", "a.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: \"VALUE\"}\nstringData: {a: b}\n", ""),
    ("env", "a.env", "PASSWORD=VALUE\n", "secretGenerator: [{name: a, envs: [a.env], literals: [PASSWORD=b]}]\n"),
    (
        "patch",
        "a.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: nobody}\nstringData: {password: \"VALUE\"}\n",
        "patches: [{path: a.yaml}]\n",
    ),
    ("options", "a.env", "PASSWORD=VALUE\n", "secretGenerator: [{name: a, type: kubernetes.io/tls, envs: [a.env]}]\n"),
];

/// The rest of the spec of ExternalSecrets of the vault's key `canary`.
pub const FETCHED: &[(&str, &str)] = &[
    ("property", "  data: [{secretKey: a, remoteRef: {key: canary, property: password}}]\n"),
    ("absent-property", "  data: [{secretKey: a, remoteRef: {key: json, property: nested.absent}}]\n"),
    ("extract", "  dataFrom: [{extract: {key: canary}}]\n"),
    ("decode", "  data: [{secretKey: a, remoteRef: {key: canary, decodingStrategy: Base64}}]\n"),
    (
        "template-fail",
        "  target: {template: {data: {a: '{{ fail .a }}'}}}\n  data: [{secretKey: a, remoteRef: {key: canary}}]\n",
    ),
    (
        "template-json",
        "  target: {template: {data: {a: '{{ (mustFromJson .a).b }}'}}}\n  data: [{secretKey: a, remoteRef: {key: canary}}]\n",
    ),
    (
        "template-call",
        "  target: {template: {data: {a: '{{ .a.b }}'}}}\n  data: [{secretKey: a, remoteRef: {key: canary}}]\n",
    ),
    (
        "template-key",
        "  target: {template: {data: {a: '{{ index .a .a }}'}}}\n  data: [{secretKey: a, remoteRef: {key: canary}}]\n",
    ),
    (
        "template-pem",
        "  target: {template: {data: {a: '{{ pkcs12cert .a }}'}}}\n  data: [{secretKey: a, remoteRef: {key: canary}}]\n",
    ),
    (
        "label",
        "  target: {template: {metadata: {labels: {a: '{{ .a }}'}}, data: {a: b}}}\n  data: [{secretKey: a, remoteRef: {key: canary}}]\n",
    ),
    (
        "tls",
        "  target: {template: {type: kubernetes.io/tls, data: {tls.crt: '{{ .a }}'}}}\n  data: [{secretKey: a, remoteRef: {key: canary}}]\n",
    ),
    (
        "docker",
        "  target: {template: {type: kubernetes.io/dockerconfigjson, data: {.dockerconfigjson: '{{ .a }}'}}}\n  data: [{secretKey: a, remoteRef: {key: canary}}]\n",
    ),
    ("key", "  dataFrom: [{extract: {key: json}, rewrite: [{regexp: {source: password, target: 'a b'}}]}]\n"),
];
