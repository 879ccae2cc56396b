"""A testbed of our own (../testbed/up.sh) driven from Python, with measurements: CPU-s, peak RSS, audit log by verb.

env: WORK (work folder).
"""
import collections, glob, http.client, json, os, ssl, subprocess, threading, time
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
TESTBED, PEERS, WORK = f"{HERE}/../testbed", f"{HERE}/peers", os.path.abspath(os.environ["WORK"])
CLIENT, TENANT = "22222222-2222-2222-2222-222222222222", "11111111-1111-1111-1111-111111111111"
CONTROLLERS = ["source-controller", "kustomize-controller", "helm-controller", "external-secrets"]
KS = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations"
HR = "/apis/helm.toolkit.fluxcd.io/v2/namespaces/flux-system/helmreleases"
GR = "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories"
ES = "/apis/external-secrets.io/v1/namespaces/{}/externalsecrets"


class Testbed:
    def __init__(self, name, nodes=4, audit=True, peers=("source-controller", "kustomize-controller")):
        self.name, self.nodes, self.peers, self.azure = name, nodes, peers, "external-secrets" in peers
        self.data = f"{WORK}/data-{name}"
        self.audit_log = f"{WORK}/audit-{name}.log" if audit else None
        self.local = threading.local()
        self.watches = []
        self.supervisor = None

    # -- life ------------------------------------------------------------------------------------------------------
    def env(self, **more):
        return {**os.environ, **more}

    def start(self, with_crds=True, **more):
        """Starts it; `more` is environment for up.sh. It ends with stop(), or with this process."""
        extra = ""
        if self.audit_log:
            policy = f"{WORK}/audit-policy.yaml"
            with open(policy, "w") as f:
                f.write("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n")
            open(self.audit_log, "w").close()
            extra = f"--audit-policy-file={policy} --audit-log-path={self.audit_log} --audit-log-maxsize=4000"
        self.supervisor = subprocess.Popen([f"{TESTBED}/up.sh"], env=self.env(DATA=self.data, NODES=str(self.nodes), APISERVER_EXTRA=extra, **more),
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        if not self.supervisor.stdout.readline().startswith("ready "): raise RuntimeError(f"{self.name} did not start")
        self.port = int(open(f"{self.data}/port").read())
        self.context = ssl.create_default_context(cafile=f"{self.data}/pki/ca.crt")
        if with_crds:
            self.crds()
            self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "apps"}})
            ca = open(f"{self.data}/pki/ca.crt").read()
            self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git", "namespace": "flux-system"},
                        "stringData": {"username": "flux", "password": "secret", "ca.crt": ca}})
        if with_crds and self.azure:
            self.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "lockstep", "namespace": "default",
                        "annotations": {"azure.workload.identity/client-id": CLIENT, "azure.workload.identity/tenant-id": TENANT}}})
        return self

    def crds(self):
        """Builds the peers, and installs their CRDs and the namespace flux-system."""
        self.sh([f"{TESTBED}/build.sh", f"{self.data}/bin", *self.peers])
        self.sh([f"{PEERS}/crds.sh", self.data, *self.peers])

    def sh(self, command, **env):
        done = subprocess.run(command, env=self.env(**env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode: raise RuntimeError(f"{command}: {done.stdout}")
        return done.stdout

    def run(self, name, command, **env):
        """Starts a process as a part of the testbed."""
        self.sh([f"{TESTBED}/part.sh", self.data, "run", name, "env", *(f"{k}={v}" for k, v in env.items()), *command])

    def kill(self, name):
        self.sh([f"{TESTBED}/part.sh", self.data, "kill", name])

    def stop(self):
        if self.supervisor:
            self.supervisor.stdin.close()
            self.supervisor.wait()

    # -- API ---------------------------------------------------------------------------------------------------------
    def connection(self, timeout=60):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=timeout)

    def api(self, method, path, body=None, kind="application/json"):
        for attempt in (0, 1, 2):
            if not hasattr(self.local, "c"): self.local.c = self.connection()
            try:
                self.local.c.request(method, path, json.dumps(body) if body is not None else None, {"Authorization": "Bearer admin-token", "Content-Type": kind, "User-Agent": "measure"})
                r = self.local.c.getresponse()
                body = r.read()
                # A group that has just gone is told in plain text.
                return r.status, json.loads(body or b"null") if r.headers.get_content_type() == "application/json" else {"message": body.decode()}
            except (http.client.HTTPException, OSError):
                del self.local.c
                if attempt == 2: raise

    def get(self, path): return self.api("GET", path)[1]

    def patch(self, path, body):
        s, b = self.api("PATCH", path, body, "application/merge-patch+json")
        if s >= 300: raise RuntimeError(f"{path}: {b}")
        return b

    PLURALS = {"Ingress": "ingresses", "NetworkPolicy": "networkpolicies", "GitRepository": "gitrepositories", "HelmRepository": "helmrepositories"}

    def path_of(self, o):
        group = "/api/v1" if o["apiVersion"] == "v1" else f"/apis/{o['apiVersion']}"
        plural = self.PLURALS.get(o["kind"], o["kind"].lower() + ("es" if o["kind"].endswith("s") else "s"))
        ns = o["metadata"].get("namespace")
        return f"{group}{f'/namespaces/{ns}' if ns else ''}/{plural}/{o['metadata']['name']}"

    def apply(self, o):
        for attempt in range(40):
            s, b = self.api("PATCH", self.path_of(o) + "?fieldManager=measure&force=true", o, "application/apply-patch+yaml")
            if s < 300: return b
            if s != 404 or attempt > 30: raise RuntimeError(f"{o['kind']} {o['metadata']['name']}: {b}")
            time.sleep(0.25)  # its CRD is not served yet

    def kubectl(self, *args, check=True):
        return subprocess.run([f"{self.data}/bin/kubectl", *args], env=self.env(KUBECONFIG=f"{self.data}/pki/admin.kubeconfig"), check=check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout

    def watch(self, path, on):
        """Calls on(time, type, object) for what is there (type LISTED) and for each event from then on."""
        # After many definitions the server answers for a while that its storage is being made ready.
        for _ in range(60):
            listed = self.get(path)
            if "items" in listed: break
            time.sleep(1)
        for o in listed["items"]: on(time.time(), "LISTED", o)
        c = self.connection(timeout=7200)
        c.request("GET", f"{path}{'&' if '?' in path else '?'}watch=1&resourceVersion={listed['metadata']['resourceVersion']}&timeoutSeconds=7000", headers={"Authorization": "Bearer admin-token", "User-Agent": "measure"})
        r = c.getresponse()
        def follow():
            try:
                for line in r:
                    e = json.loads(line)
                    on(time.time(), e["type"], e["object"])
            except (OSError, http.client.HTTPException, ValueError, AttributeError): pass  # closed
        threading.Thread(target=follow, daemon=True).start()
        self.watches.append(c)
        return c

    # -- peers -----------------------------------------------------------------------------------------------------
    def peer_env(self):
        return dict(KUBECONFIG=f"{self.data}/pki/admin.kubeconfig", RUNTIME_NAMESPACE="flux-system", SSL_CERT_FILE=f"{self.data}/pki/ca.crt",
                    HTTPS_PROXY=f"http://127.0.0.1:{self.port+14}", TMPDIR=self.tmp())

    def tmp(self):
        os.makedirs(f"{self.data}/tmp", exist_ok=True)
        return f"{self.data}/tmp"

    def peer(self, name, *flags, elect=False):
        at = lambda n: f"127.0.0.1:{self.port+n}"
        flux = ["--events-addr=", "--watch-all-namespaces", f"--enable-leader-election={str(elect).lower()}"]
        os.makedirs(f"{self.data}/source", exist_ok=True)
        args = {"source-controller": [*flux, f"--storage-path={self.data}/source", f"--storage-addr={at(30)}", f"--storage-adv-addr={at(30)}", f"--metrics-addr={at(31)}", f"--health-addr={at(32)}"],
                "kustomize-controller": [*flux, f"--metrics-addr={at(33)}", f"--health-addr={at(34)}"],
                "helm-controller": [*flux, f"--metrics-addr={at(35)}", f"--health-addr={at(36)}"],
                "external-secrets": [f"--metrics-addr={at(37)}", f"--live-addr={at(38)}"]}[name]
        self.run(name, [f"{self.data}/bin/{name}", *args, *flags], **self.peer_env())

    def flux(self, *args, check=True):
        return subprocess.run([f"{self.data}/bin/flux", *args], env=self.env(KUBECONFIG=f"{self.data}/pki/admin.kubeconfig"), check=check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout

    def vault_put(self, name, value, content_type=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port + 10)
        body = {"value": value}
        if content_type: body["contentType"] = content_type
        c.request("PUT", f"/secrets/{name}?api-version=7.4", json.dumps(body), {"Host": "kv1.vault.azure.net", "Content-Type": "application/json"})
        r = c.getresponse(); r.read()
        assert r.status < 300, r.status

    def vault_log(self, clear=False):
        c = http.client.HTTPConnection("127.0.0.1", self.port + 13)
        c.request("GET", "/log/kv1.vault.azure.net"); log = json.loads(c.getresponse().read())
        if clear: c.request("DELETE", "/log/kv1.vault.azure.net"); c.getresponse().read()
        return log

    # -- git ---------------------------------------------------------------------------------------------------------
    def repository(self, files):
        """Makes org/app on the Git server with these files and returns its work tree."""
        tree, bare = f"{self.data}/tree", f"{self.data}/repos/org/app"
        git = ["git", "-c", "init.defaultBranch=main"]
        subprocess.run([*git, "init", "-q", "--bare", bare], check=True)
        subprocess.run([*git, "init", "-q", tree], check=True)
        subprocess.run(["git", "-C", tree, "remote", "add", "origin", bare], check=True)
        self.commit(files, "first")
        return tree

    def commit(self, files, message="change"):
        tree = f"{self.data}/tree"
        for name, text in files.items():
            path = f"{tree}/{name}"
            if text is None: os.unlink(path); continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as f: f.write(text if isinstance(text, str) else dump(text))
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", tree, *who, "add", "-A"], check=True)
        subprocess.run(["git", "-C", tree, *who, "commit", "-q", "--allow-empty", "-m", message], check=True)
        subprocess.run(["git", "-C", tree, "push", "-q", "origin", "HEAD:main"], check=True)
        return subprocess.check_output(["git", "-C", tree, "rev-parse", "HEAD"], text=True).strip()

    def git_repository(self, interval="60m", seconds=60):
        self.apply({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": {"name": "app", "namespace": "flux-system"},
                    "spec": {"interval": interval, "timeout": f"{seconds}s", "url": f"https://127.0.0.1:{self.port+20}/org/app", "ref": {"branch": "main"}, "secretRef": {"name": "git"}}})
        self.until(lambda: ready(self.get(GR + "/app")), seconds)

    def until(self, what, seconds, every=0.1):
        end = time.time() + seconds
        while time.time() < end:
            v = what()
            if v: return v
            time.sleep(every)
        raise TimeoutError(f"{self.name}: not in {seconds} s")

    # -- measures ----------------------------------------------------------------------------------------------------
    def usage(self):
        out = {}
        for f in glob.glob(f"{self.data}/pids/*"):
            try:
                pid = int(open(f).read())
                s = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
                status = dict(l.split(":", 1) for l in open(f"/proc/{pid}/status").read().splitlines() if ":" in l)
                out[os.path.basename(f)] = ((int(s[11]) + int(s[12])) / os.sysconf("SC_CLK_TCK"), int(status["VmHWM"].split()[0]) / 1024, int(status["VmRSS"].split()[0]) / 1024)
            except (OSError, KeyError, ValueError): pass
        return out

    def anonymous(self, name):
        """MiB of a part that are no pages of files: what the kernel cannot take back."""
        status = open(f"/proc/{int(open(f'{self.data}/pids/{name}').read())}/status").read()
        return round(next(int(l.split()[1]) for l in status.splitlines() if l.startswith("RssAnon:")) / 1024)

    def spent(self, before, after=None):
        after = after or self.usage()
        return {n: {"cpu_s": round(c - before.get(n, (0,))[0], 1), "peak_mib": round(h), "rss_mib": round(r)} for n, (c, h, r) in sorted(after.items())}

    def audit(self, since, until=None):
        """Requests completed since a time, by agent: verb (dry-runs apart) and resource."""
        lo = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since)) + f".{int(since % 1 * 1e6):06d}Z"
        hi = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(until)) + f".{int(until % 1 * 1e6):06d}Z" if until else "9"
        by = collections.defaultdict(collections.Counter)
        for line in open(self.audit_log):
            if not line.endswith("\n"): continue
            e = json.loads(line)
            if e["verb"] == "watch" or not lo <= e["requestReceivedTimestamp"] < hi or e["stage"] != "ResponseComplete": continue
            agent = e.get("userAgent", "?").split("/")[0]
            if agent in ("testbed", "measure", "kwok", "curl"): continue
            ref = e.get("objectRef", {})
            verb = e["verb"] + ("-dry-run" if "dryRun=All" in e["requestURI"] else "")
            resource = ref.get("resource", "(discovery)") + ("/" + ref["subresource"] if ref.get("subresource") else "")
            by[agent][(verb, resource)] += 1
        return by


def verbs(by):
    """{agent: {verb: n}} of an audit()."""
    out = {}
    for agent, c in by.items():
        v = collections.Counter()
        for (verb, resource), n in c.items(): v["discovery" if resource == "(discovery)" else verb] += n
        out[agent] = {**dict(v.most_common()), "total": sum(v.values())}
    return out


def ready(o):
    if not o or "status" not in o: return False
    if o["status"].get("observedGeneration", o["metadata"].get("generation")) != o["metadata"].get("generation"): return False
    return any(c["type"] == "Ready" and c["status"] == "True" for c in o["status"].get("conditions", []))


def dump(*docs):
    flat = [d for doc in docs for d in (doc if isinstance(doc, list) else [doc])]
    return yaml.safe_dump_all(flat, sort_keys=False, default_flow_style=False)


def podinfo(name, namespace=None, version="6.9.0"):
    meta = lambda: {"name": name, **({"namespace": namespace} if namespace else {}), "labels": {"app.kubernetes.io/name": name}}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta()},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta(), "spec": {"type": "ClusterIP", "selector": {"app": name}, "ports": [{"name": "http", "port": 9898, "targetPort": "http", "protocol": "TCP"}, {"name": "grpc", "port": 9999, "targetPort": "grpc", "protocol": "TCP"}]}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta(), "spec": {
            "replicas": 1, "minReadySeconds": 0, "revisionHistoryLimit": 5, "progressDeadlineSeconds": 60, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}},
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}, "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9797"}},
                         "spec": {"serviceAccountName": name, "containers": [{"name": "podinfod", "image": f"registry.example.org/podinfo:{version}", "imagePullPolicy": "IfNotPresent",
                             "ports": [{"name": "http", "containerPort": 9898, "protocol": "TCP"}, {"name": "http-metrics", "containerPort": 9797, "protocol": "TCP"}, {"name": "grpc", "containerPort": 9999, "protocol": "TCP"}],
                             "command": ["./podinfo", "--port=9898", "--port-metrics=9797", "--grpc-port=9999", "--level=info"], "env": [{"name": "PODINFO_UI_COLOR", "value": "#34577c"}],
                             "resources": {"limits": {"cpu": "2000m", "memory": "512Mi"}, "requests": {"cpu": "10m", "memory": "32Mi"}}}]}}}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta(), "spec": {"ingressClassName": "nginx", "rules": [{"host": f"{name}.example.org", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": name, "port": {"number": 9898}}}}]}}]}},
    ]


def kustomization(name, path, **spec):
    return {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": name, "namespace": "flux-system"},
            "spec": {"interval": "60m", "path": path, "prune": True, "sourceRef": {"kind": "GitRepository", "name": "app"}, **spec}}
