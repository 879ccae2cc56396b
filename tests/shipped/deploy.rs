//! `deploy/`: builds alike everywhere, installs, and grants what the kinds need and no more.

use clap::Parser as _;
use lockstep::config::Config;
use manifest::Object;
use serde_json::{Value, json};

use super::testbed::{Testbed, run, unique};
use super::{build, checkout};

/// Every way to install.
const INSTALLATIONS: [&str; 3] = ["", "multi-tenancy", "workload-identity"];

fn deployment(objects: &[Object]) -> &Value {
    objects.iter().map(Object::value).find(|object| object["kind"] == "Deployment").expect("there is an agent")
}

fn container(objects: &[Object]) -> &Value {
    &deployment(objects)["spec"]["template"]["spec"]["containers"][0]
}

#[test]
fn the_image_has_the_version_of_the_package() {
    for installation in INSTALLATIONS {
        let objects = build("deploy", installation);
        let image = concat!("registry.example.com/lockstep:v", env!("CARGO_PKG_VERSION"));
        assert_eq!(container(&objects)["image"], image, "deploy/{installation}");
    }
}

#[test]
fn the_agent_is_nobody_and_writes_nowhere_but_to_its_cache() {
    for installation in INSTALLATIONS {
        let objects = build("deploy", installation);
        let security = json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        });
        assert_eq!(container(&objects)["securityContext"], security, "deploy/{installation}");
        let pod = &deployment(&objects)["spec"]["template"]["spec"];
        assert_eq!((&pod["securityContext"]["runAsNonRoot"], &pod["hostNetwork"]), (&json!(true), &Value::Null));
        assert_eq!(pod["volumes"], json!([{"name": "cache", "emptyDir": {}}]), "deploy/{installation}");
    }
}

/// The command line of the container, without the binary.
#[derive(clap::Parser)]
#[command(no_binary_name = true)]
enum Command {
    Run(Config),
}

#[test]
fn the_agent_understands_its_arguments_and_listens_where_it_is_probed() {
    let settings = |installation| {
        let objects = build("deploy", installation);
        let container = container(&objects);
        let arguments = container["args"].as_array().expect("there are arguments").iter().filter_map(Value::as_str);
        let Command::Run(config) = Command::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}"));
        let ports = json!([
            {"name": "http-prom", "containerPort": config.metrics_addr.port()},
            {"name": "healthz", "containerPort": config.health_addr.port()},
        ]);
        assert_eq!(container["ports"], ports, "deploy/{installation}");
        let cache = config.cache.strip_prefix("/tmp").is_ok();
        assert!(cache && container["volumeMounts"] == json!([{"name": "cache", "mountPath": "/tmp"}]));
        (config.no_cross_namespace_refs, config.default_service_account)
    };
    let open = (false, None);
    assert_eq!(INSTALLATIONS.map(settings), [open.clone(), (true, Some("default".to_owned())), open]);
}

#[test]
fn the_mightiest_role_is_bound_by_default_and_not_for_tenants() {
    let is_bound = |installation| {
        let objects = build("deploy", installation);
        objects.iter().any(|object| object.value()["roleRef"]["name"] == "cluster-admin")
    };
    assert_eq!(INSTALLATIONS.map(is_bound), [true, false, true]);
}

#[test]
#[ignore = "needs the testbed: make test"]
fn kustomize_and_kubectl_build_the_same_bytes() {
    let testbed = Testbed::shared();
    for installation in INSTALLATIONS {
        let folder = checkout("deploy").join(installation);
        let ours = kustomize::print(&build("deploy", installation));
        let kustomize = run(testbed.tool("kustomize").arg("build").arg(&folder));
        let kubectl = run(testbed.tool("kubectl").arg("kustomize").arg(&folder));
        assert_eq!((ours.trim(), ours.trim()), (kustomize.as_str(), kubectl.as_str()), "deploy/{installation}");
    }
}

#[test]
#[ignore = "needs the testbed: make test"]
fn two_commands_install_it_and_flux_finds_it() {
    let testbed = Testbed::shared();
    run(testbed.tool("kubectl").args(["apply", "--server-side", "-f"]).arg(checkout("crds")));
    run(testbed.tool("kubectl").args(["apply", "-k"]).arg(checkout("deploy")));
    // The namespace enforces the strictest pod security standard: that there is a pod tells that it is met.
    testbed.kubectl(&["rollout", "status", "deployment/lockstep", "-n", "lockstep-system", "--timeout=60s"]);
    let mut check = testbed.tool("flux");
    let done = check.args(["check", "-n", "lockstep-system"]).output().expect("flux is built");
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success() && said.contains("lockstep: deployment ready"), "{said}");
    let version = run(testbed.tool("flux").args(["version", "-n", "lockstep-system"]));
    assert!(version.contains(concat!("lockstep: v", env!("CARGO_PKG_VERSION"))), "{version}");
    let may_all = ["auth", "can-i", "*", "*", "--as=system:serviceaccount:lockstep-system:lockstep"];
    assert_eq!(testbed.kubectl(&may_all), "yes");
}

/// The installation for tenants, under names of its own; gives its namespace and ServiceAccount.
fn install_for_tenants(testbed: &Testbed) -> (String, String) {
    let name = unique("agent");
    testbed.apply(&kustomize::print(&build("deploy", "multi-tenancy")).replace("lockstep", &name));
    (format!("{name}-system"), name)
}

/// What the agent may do in its own name: verb, resource, namespace, or the whole cluster.
const MAY: &[(&str, &str, &str)] = &[
    ("watch", "gitrepositories.source.toolkit.fluxcd.io", "--all-namespaces"),
    ("patch", "kustomizations.kustomize.toolkit.fluxcd.io", "--all-namespaces"),
    ("patch", "kustomizations.kustomize.toolkit.fluxcd.io/status", "--all-namespaces"),
    ("update", "helmreleases.helm.toolkit.fluxcd.io/finalizers", "--all-namespaces"),
    ("patch", "clustersecretstores.external-secrets.io/status", "--all-namespaces"),
    ("list", "passwords.generators.external-secrets.io", "--all-namespaces"),
    ("watch", "secrets", "--all-namespaces"),
    ("update", "secrets", "--all-namespaces"),
    ("get", "configmaps", "--all-namespaces"),
    ("list", "namespaces", "--all-namespaces"),
    ("create", "serviceaccounts/token", "--all-namespaces"),
    ("create", "events", "--all-namespaces"),
    ("impersonate", "serviceaccounts", "--all-namespaces"),
    ("create", "leases.coordination.k8s.io", "--namespace=AGENT"),
];

/// What it may not do without a ServiceAccount that may.
const MAY_NOT: &[(&str, &str, &str)] = &[
    ("create", "kustomizations.kustomize.toolkit.fluxcd.io", "--all-namespaces"),
    ("delete", "kustomizations.kustomize.toolkit.fluxcd.io", "--all-namespaces"),
    ("create", "externalsecrets.external-secrets.io", "--all-namespaces"),
    ("delete", "secretstores.external-secrets.io", "--all-namespaces"),
    ("create", "deployments.apps", "--all-namespaces"),
    ("list", "pods", "--namespace=AGENT"),
    ("create", "configmaps", "--namespace=AGENT"),
    ("update", "leases.coordination.k8s.io", "--namespace=flux-system"),
    ("create", "leases.coordination.k8s.io", "--namespace=kube-system"),
    ("create", "namespaces", "--all-namespaces"),
    ("patch", "customresourcedefinitions.apiextensions.k8s.io", "--all-namespaces"),
    ("impersonate", "users", "--all-namespaces"),
    ("impersonate", "groups", "--all-namespaces"),
    ("bind", "clusterroles.rbac.authorization.k8s.io", "--all-namespaces"),
    ("create", "clusterrolebindings.rbac.authorization.k8s.io", "--all-namespaces"),
];

#[test]
#[ignore = "needs the testbed: make test"]
fn for_tenants_it_may_do_what_its_kinds_need_and_no_more() {
    let testbed = Testbed::shared();
    run(testbed.tool("kubectl").args(["apply", "--server-side", "-f"]).arg(checkout("crds")));
    let (namespace, name) = install_for_tenants(testbed);
    let agent = format!("--as=system:serviceaccount:{namespace}:{name}");
    let is_allowed = |(verb, resource, scope): &&(&str, &str, &str)| {
        let scope = scope.replace("AGENT", &namespace);
        let (resource, subresource) = match resource.split_once('/') {
            Some((kind, part @ ("status" | "finalizers" | "token"))) => (kind, Some(format!("--subresource={part}"))),
            _ => (*resource, None),
        };
        let mut kubectl = testbed.tool("kubectl");
        kubectl.args(["auth", "can-i", verb, resource, &agent]).args(scope.split(' ')).args(subresource);
        kubectl.output().expect("kubectl is built").status.success()
    };
    let refused: Vec<_> = MAY.iter().filter(|case| !is_allowed(case)).collect();
    let granted: Vec<_> = MAY_NOT.iter().filter(is_allowed).collect();
    assert!(refused.is_empty() && granted.is_empty(), "refused: {refused:?}, granted: {granted:?}");
}

#[test]
#[ignore = "needs the testbed: make test"]
fn for_tenants_it_applies_in_the_name_of_their_service_accounts_alone() {
    let testbed = Testbed::shared();
    let (namespace, name) = install_for_tenants(testbed);
    let kubeconfig = testbed.kubeconfig_for(&namespace, &name);
    let tenant = testbed.namespace("tenant");
    testbed.service_account(&tenant, "deployer");
    let subject = format!("--serviceaccount={tenant}:deployer");
    testbed.kubectl(&["create", "rolebinding", "deployer", "--clusterrole=edit", &subject, "-n", &tenant]);
    let create = |map: &str, who: &[&str]| {
        let mut kubectl = testbed.tool("kubectl");
        kubectl.arg("--kubeconfig").arg(&kubeconfig).args(["create", "configmap", map, "-n", &tenant]).args(who);
        super::testbed::attempt(&mut kubectl)
    };
    let deployer = format!("--as=system:serviceaccount:{tenant}:deployer");
    create("as-deployer", &[&deployer]).unwrap_or_else(|said| panic!("{said}"));
    for who in [&[][..], &["--as=admin"], &[&deployer, "--as-group=system:masters"]] {
        let said = create("refused", who).expect_err("it is refused");
        assert!(said.contains("forbidden"), "{who:?}: {said}");
    }
}
