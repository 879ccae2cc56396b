#!/usr/bin/env python3
"""Measures the peers. usage: bench.py EXPERIMENT ARGUMENT...   env as in testbed.py; prints one JSON line per figure, also appended to WORK/results.jsonl.

  kustomizations N CONCURRENT [wait|nowait] [shared|monorepo]   time from the parent Kustomization to all Ready
  raw N [CONNECTIONS] [headless]                                the same 4N objects by bare server-side apply (applybench)
  helm N CONCURRENT                                             N HelmReleases of a tiny chart
  secrets N CONCURRENT                                          N ExternalSecrets over 500 vault secrets, restart
  secrets-steady N CONCURRENT                                   the same with refreshInterval 1m, for 3 minutes
  steady                                                        100 Kustomizations, interval 30s, 3 minutes
  gap [same|dependson] [missing]                                does the pod template come before its secret?
  memory N CONCURRENT                                           six of the processes that one agent replaces: N Kustomizations at work, the rest idle
  recover [elect]                                               kill -9 in the middle of a 60-object apply
env ROUNDS: for gap and recover.
"""
import collections, json, os, random, shutil, subprocess, sys, tarfile, threading, time
from testbed import *


def report(**fields):
    line = json.dumps({"at": time.strftime("%H:%M:%S"), "load": os.getloadavg()[0], **fields})
    print(line, flush=True)
    with open(f"{WORK}/results.jsonl", "a") as f: f.write(line + "\n")


class Ready:
    """Waits by watch until n objects of a path (whose names start with prefix) are Ready; remembers when each became so."""
    def __init__(self, tb, path, n, prefix="", good=ready):
        self.n, self.prefix, self.good = n, prefix, good
        self.times, self.first, self.done = {}, None, threading.Event()
        tb.watch(path, self.on)

    def on(self, at, kind, o):
        name = o["metadata"]["name"]
        if not name.startswith(self.prefix): return
        self.first = self.first or at
        if self.good(o): self.times.setdefault(name, at)
        if len(self.times) >= self.n: self.done.set()

    def wait(self, seconds):
        if not self.done.wait(seconds): raise TimeoutError(f"{len(self.times)} of {self.n} ready")
        return max(self.times.values())

    def nearly_all(self):
        """When 99 of 100 were Ready."""
        return sorted(self.times.values())[self.n * 99 // 100 - 1]


def shared_files(n, wait, interval="60m"):
    files = {"app/objects.yaml": podinfo("${app}"), "app/kustomization.yaml": {"resources": ["objects.yaml"]}}
    files["cluster/apps.yaml"] = [kustomization(f"a-{i:04d}", "./app", wait=wait, interval=interval, targetNamespace="apps", timeout="5m", postBuild={"substitute": {"app": f"a-{i:04d}"}}) for i in range(n)]
    return files


def monorepo_files(n, wait, interval="60m"):
    files = {}
    for i in range(n):
        for o in podinfo(f"a-{i:04d}"): files[f"apps/a-{i:04d}/{o['kind'].lower()}.yaml"] = o
        files[f"apps/a-{i:04d}/kustomization.yaml"] = {"resources": ["serviceaccount.yaml", "service.yaml", "deployment.yaml", "ingress.yaml"]}
    files["cluster/apps.yaml"] = [kustomization(f"a-{i:04d}", f"./apps/a-{i:04d}", wait=wait, interval=interval, targetNamespace="apps", timeout="5m") for i in range(n)]
    return files


def per(by, n): return {a: {k: round(v / n, 2) for k, v in c.items()} for a, c in verbs(by).items()}


def kustomizations(n, concurrent, wait="wait", layout="shared", files=None):
    n, concurrent = int(n), int(concurrent)
    tb = Testbed(f"k{n}-{concurrent}-{wait}-{layout}", nodes=max(2, n // 300 + 1)).start()
    try:
        tb.repository(files or (shared_files if layout == "shared" else monorepo_files)(n, wait == "wait"))
        tb.peer("source-controller"); tb.peer("kustomize-controller", f"--concurrent={concurrent}")
        tb.git_repository(); time.sleep(5)
        r = Ready(tb, KS, n, "a-"); before = tb.usage(); t0 = time.time()
        tb.apply(kustomization("parent", "./cluster", wait=False))
        end = r.wait(3000); after = tb.usage()
        time.sleep(2); by = tb.audit(t0, end)
        avail = sum(1 for d in tb.get("/apis/apps/v1/namespaces/apps/deployments")["items"] if d.get("status", {}).get("availableReplicas"))
        order = sorted(r.times.values())
        report(what="kustomizations", n=n, concurrent=concurrent, wait=wait, layout=layout, seconds=round(end - t0, 1), from_first_child=round(end - r.first, 1), half=round(order[n // 2] - t0, 1),
               available=avail, spent=tb.spent(before, after), requests=verbs(by), per_kustomization=per(by, n),
               detail={a: {f"{v} {res}": c for (v, res), c in x.most_common(14)} for a, x in by.items() if a == "kustomize-controller"})
        if layout == "monorepo": one_file(tb, n)
    finally: tb.stop()


def memory(n, concurrent):
    """Peak memory of three of Flux's controllers and External Secrets' three processes with n Kustomizations: those that have nothing to
    do there count as they stand idle. The notification-controller and Reloader, which an agent replaces, too, are not started."""
    n, concurrent = int(n), int(concurrent)
    tb = Testbed(f"m{n}-{concurrent}", nodes=max(2, n // 300 + 1), peers=CONTROLLERS).start()
    try:
        files = shared_files(n, True)
        for o in files["app/objects.yaml"]:
            if o["kind"] == "Service": o["spec"]["clusterIP"] = "None"
        tb.repository(files)
        tb.peer("source-controller"); tb.peer("kustomize-controller", f"--concurrent={concurrent}"); tb.peer("helm-controller"); tb.peer("external-secrets")
        at, env, binary = lambda k: f"127.0.0.1:{tb.port+k}", tb.peer_env(), f"{tb.data}/bin/external-secrets"
        os.makedirs(f"{tb.data}/webhook", exist_ok=True)
        for name, of in (("tls.crt", "kube-apiserver.crt"), ("tls.key", "kube-apiserver.key"), ("ca.crt", "ca.crt")): shutil.copy(f"{tb.data}/pki/{of}", f"{tb.data}/webhook/{name}")
        tb.run("external-secrets-webhook", [binary, "webhook", f"--cert-dir={tb.data}/webhook", "--lookahead-interval=1m", f"--port={tb.port+47}", f"--metrics-addr={at(41)}", f"--healthz-addr={at(42)}"], **env)
        tb.run("external-secrets-cert-controller", [binary, "certcontroller", "--enable-partial-cache", f"--metrics-addr={at(43)}", f"--healthz-addr={at(44)}"], **env)
        tb.git_repository(); time.sleep(5)
        r = Ready(tb, KS, n, "a-"); t0 = time.time()
        tb.apply(kustomization("parent", "./cluster", wait=False))
        end = r.wait(3000); time.sleep(5)
        theirs = ("source-", "kustomize-", "helm-", "external-secrets")
        peaks = {name: s["peak_mib"] for name, s in tb.spent({}).items() if name.startswith(theirs)}
        report(what="memory", n=n, concurrent=concurrent, seconds=round(end - t0, 1), peaks=peaks, sum=sum(peaks.values()))
    finally: tb.stop()


def one_file(tb, n):
    """One changed file: until the object is live, and how many Kustomizations worked for it."""
    rows = []
    for turn, i in enumerate(([n // 2, n // 3, n - 1])[:int(os.environ.get("ROUNDS", "3"))]):
        name, seen, done, lock = f"a-{i:04d}", {}, threading.Event(), threading.Lock()
        revision = [None]; applied = {}
        def on_deploy(at, kind, o):
            if o["metadata"]["name"] == name and o["spec"]["template"]["spec"]["containers"][0]["image"].endswith(f":7.{turn}.0"): seen.setdefault("live", at)
        def on_ks(at, kind, o):
            if o["metadata"]["name"].startswith("a-") and kind != "LISTED" and revision[0] and revision[0] in o["status"].get("lastAppliedRevision", "") and ready(o): applied.setdefault(o["metadata"]["name"], at)
        a, b = tb.watch("/apis/apps/v1/namespaces/apps/deployments", on_deploy), tb.watch(KS, on_ks)
        objects = podinfo(name, version=f"7.{turn}.0")
        before = tb.usage(); t0 = time.time()
        revision[0] = tb.commit({f"apps/{name}/deployment.yaml": objects[2]})
        tb.flux("reconcile", "source", "git", "app"); t1 = time.time()
        tb.until(lambda: "live" in seen, 900); tb.until(lambda: len(applied) >= n, 900)
        end = max(applied.values()); after = tb.usage(); time.sleep(1)
        by = tb.audit(t0, end)
        rows.append({"push_and_source_s": round(t1 - t0, 2), "live_s": round(seen["live"] - t0, 2), "all_s": round(end - t0, 1), "rebuilt": len(applied),
                     "spent": {k: v["cpu_s"] for k, v in tb.spent(before, after).items() if k in ("source-controller", "kustomize-controller", "kube-apiserver")}, "requests": verbs(by).get("kustomize-controller")})
        a.sock.shutdown(2); b.sock.shutdown(2)
    report(what="one changed file", n=n, rows=rows)


def raw(n, connections=16, headless=""):
    """headless: Services without a cluster IP, because the API server creates those with one strictly one after another."""
    n = int(n)
    tb = Testbed(f"raw{n}", nodes=max(2, n // 300 + 1), peers=[]).start()
    try:
        time.sleep(5)
        with open(f"{tb.data}/objects.jsonl", "w") as f:
            for i in range(n):
                for o in podinfo(f"a-{i:04d}", "apps"):
                    if headless and o["kind"] == "Service": o["spec"]["clusterIP"] = "None"
                    f.write(json.dumps({"path": tb.path_of(o), "object": o}) + "\n")
        r = Ready(tb, "/apis/apps/v1/namespaces/apps/deployments", n, "a-", lambda d: d.get("status", {}).get("availableReplicas")); before = tb.usage(); t0 = time.time()
        subprocess.run(["go", "build", "-o", f"{tb.data}/bin/applybench", "."], cwd=f"{HERE}/applybench", check=True)
        out = json.loads(tb.sh([f"{tb.data}/bin/applybench", "-c", str(connections), "-u", f"https://127.0.0.1:{tb.port}", f"{tb.data}/objects.jsonl"], CA=f"{tb.data}/pki/ca.crt"))
        mid = tb.usage(); end = r.wait(600); after = tb.usage()
        report(what="raw", n=n, connections=connections, headless=bool(headless), **out, all_available=round(end - t0, 1), spent=tb.spent(before, mid), spent_until_available=tb.spent(before, after))
    finally: tb.stop()


def helm_repository(tb, charts="tiny"):
    """A tiny podinfo-like chart in the static Helm repository."""
    chart = f"{tb.data}/chart/{charts}"
    os.makedirs(f"{chart}/templates")
    with open(f"{chart}/Chart.yaml", "w") as f: f.write(f"apiVersion: v2\nname: {charts}\nversion: 0.1.0\nappVersion: 6.9.0\n")
    with open(f"{chart}/values.yaml", "w") as f: f.write("replicaCount: 1\nimage: {repository: registry.example.org/podinfo, tag: 6.9.0}\ncolor: '#34577c'\n")
    for o in podinfo("NAME"):
        text = dump(o).replace("NAME", "{{ .Release.Name }}").replace("replicas: 1", "replicas: {{ .Values.replicaCount }}").replace("registry.example.org/podinfo:6.9.0", "{{ .Values.image.repository }}:{{ .Values.image.tag }}")
        with open(f"{chart}/templates/{o['kind'].lower()}.yaml", "w") as f: f.write(text)
    tb.sh([f"{tb.data}/bin/helm", "package", chart, "-d", f"{tb.data}/charts"]); tb.sh([f"{tb.data}/bin/helm", "repo", "index", f"{tb.data}/charts"])
    tb.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ca", "namespace": "flux-system"}, "stringData": {"ca.crt": open(f"{tb.data}/pki/ca.crt").read()}})


def helm(n, concurrent):
    n, concurrent = int(n), int(concurrent)
    tb = Testbed(f"h{n}-{concurrent}", nodes=max(2, n // 300 + 1), peers=CONTROLLERS[:3]).start()
    try:
        helm_repository(tb)
        tb.repository({"cluster/apps.yaml": [{"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": f"a-{i:04d}", "namespace": "flux-system"},
            "spec": {"interval": "60m", "timeout": "5m", "targetNamespace": "apps", "releaseName": f"a-{i:04d}", "chart": {"spec": {"chart": "tiny", "version": "0.1.0", "interval": "60m", "sourceRef": {"kind": "HelmRepository", "name": "charts"}}}, "values": {"color": f"#{i:06d}"}}} for i in range(n)]})
        tb.peer("source-controller"); tb.peer("kustomize-controller"); tb.peer("helm-controller", f"--concurrent={concurrent}")
        tb.apply({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository", "metadata": {"name": "charts", "namespace": "flux-system"}, "spec": {"interval": "60m", "url": f"https://127.0.0.1:{tb.port+20}/charts", "certSecretRef": {"name": "ca"}}})
        tb.git_repository(); time.sleep(5)
        r = Ready(tb, HR, n, "a-"); before = tb.usage(); t0 = time.time()
        tb.apply(kustomization("parent", "./cluster", wait=False))
        end = r.wait(1500); after = tb.usage(); time.sleep(2); by = tb.audit(t0, end)
        order = sorted(r.times.values())
        report(what="helm", n=n, concurrent=concurrent, seconds=round(end - t0, 1), from_first_child=round(end - r.first, 1), half=round(order[n // 2] - t0, 1), spent=tb.spent(before, after), requests=verbs(by), per_release=per(by, n),
               detail={a: {f"{v} {res}": c for (v, res), c in x.most_common(14)} for a, x in by.items() if a == "helm-controller"})
    finally: tb.stop()


STORE = {"apiVersion": "external-secrets.io/v1", "kind": "SecretStore", "metadata": {"name": "kv1", "namespace": "default"},
         "spec": {"provider": {"azurekv": {"authType": "WorkloadIdentity", "vaultUrl": "https://kv1.vault.azure.net", "serviceAccountRef": {"name": "lockstep"}}}}}


def external_secret(name, key, ns="default", interval="1h"):
    return {"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": name, "namespace": ns},
            "spec": {"refreshInterval": interval, "secretStoreRef": {"name": "kv1", "kind": "SecretStore"}, "target": {"name": name}, "data": [{"secretKey": "value", "remoteRef": {"key": key}}]}}


def vault_summary(log): return {"total": len(log), "by": {f"{m} {s}": c for (m, s), c in collections.Counter((e["method"], str(e["status"])) for e in log).items()},
                                "peak_per_s": max(collections.Counter(e["at"] // 1000 for e in log).values(), default=0)}


def secrets_setup(n, interval):
    tb = Testbed(f"e{n}-{interval}", peers=CONTROLLERS[3:]).start()
    for i in range(500): tb.vault_put(f"s-{i:04d}", f"value-{i:04d}-" + "x" * 24)
    tb.apply(STORE)
    def make(lo):
        for i in range(lo, n, 8): tb.apply(external_secret(f"e-{i:04d}", f"s-{i % 500:04d}", interval=interval))
    ts = [threading.Thread(target=make, args=(k,)) for k in range(8)]
    [t.start() for t in ts]; [t.join() for t in ts]
    time.sleep(3)
    return tb


def secrets(n, concurrent):
    n, concurrent = int(n), int(concurrent)
    tb = secrets_setup(n, "1h")
    try:
        r = Ready(tb, ES.format("default"), n, "e-"); before = tb.usage(); t0 = time.time()
        tb.peer("external-secrets", f"--concurrent={concurrent}")
        end = r.wait(1200); after = tb.usage(); time.sleep(3); by = tb.audit(t0, end)
        first = vault_summary(tb.vault_log(clear=True))
        report(what="secrets", n=n, concurrent=concurrent, seconds=round(end - t0, 1), first_ready=round(min(r.times.values()) - t0, 1), vault=first, spent=tb.spent(before, after), requests=verbs(by),
               detail={a: {f"{v} {res}": c for (v, res), c in x.most_common(14)} for a, x in by.items() if a == "external-secrets"})
        # restart of the operator, nothing changed
        refreshed = {}
        tb.watch(ES.format("default"), lambda at, kind, o: kind != "LISTED" and refreshed.setdefault(o["metadata"]["name"], (at, o["status"].get("refreshTime"))))
        before = tb.usage(); tb.kill("external-secrets"); t1 = time.time()
        tb.peer("external-secrets", f"--concurrent={concurrent}")
        last = [0, time.time()]
        while time.time() - t1 < 400:
            time.sleep(3); log = tb.vault_log(); k = len(refreshed) + len(log)
            if k != last[0]: last = [k, time.time()]
            elif time.time() - max(last[1], t1 + 12) > 8: break
        after = tb.usage(); by = tb.audit(t1)
        report(what="secrets-restart", n=n, concurrent=concurrent, quiet_after=round(last[1] - t1, 1), refreshed=len(refreshed), vault=vault_summary(tb.vault_log(clear=True)),
               spent={k: v for k, v in tb.spent({k: v for k, v in before.items() if k != "external-secrets"}, after).items() if k in ("external-secrets", "kube-apiserver")}, requests=verbs(by))
        # and with every secret due at the start (the API server lost nothing, but refreshInterval is over): force by annotation is not the case measured here
    finally: tb.stop()


def secrets_steady(n, concurrent):
    n, concurrent = int(n), int(concurrent)
    tb = secrets_setup(n, "1m")
    try:
        r = Ready(tb, ES.format("default"), n, "e-")
        tb.peer("external-secrets", f"--concurrent={concurrent}"); r.wait(1200)
        time.sleep(5); tb.vault_log(clear=True); writes = collections.Counter()
        tb.watch("/api/v1/namespaces/default/secrets", lambda at, kind, o: writes.update([kind]))
        before = tb.usage(); t0 = time.time(); time.sleep(180); end = time.time(); after = tb.usage(); time.sleep(1)
        by = tb.audit(t0, end)
        ages = []
        now = time.time()
        for o in tb.get(ES.format("default"))["items"]: ages.append(now - time.mktime(time.strptime(o["status"]["refreshTime"], "%Y-%m-%dT%H:%M:%SZ")) + time.timezone)
        report(what="secrets-steady", n=n, concurrent=concurrent, seconds=180, vault=vault_summary(tb.vault_log()), secret_events=dict(writes), oldest_refresh_s=round(max(ages)), spent=tb.spent(before, after), requests=verbs(by),
               detail={a: {f"{v} {res}": c for (v, res), c in x.most_common(14)} for a, x in by.items() if a == "external-secrets"})
    finally: tb.stop()


def steady():
    n = 100
    tb = Testbed("steady").start()
    try:
        tb.repository(shared_files(n, True, "30s"))
        tb.peer("source-controller"); tb.peer("kustomize-controller")
        tb.git_repository(interval="1m"); time.sleep(3)
        r = Ready(tb, KS, n, "a-")
        tb.apply(kustomization("parent", "./cluster", wait=False)); r.wait(600)
        time.sleep(35); events = collections.Counter()
        tb.watch(KS, lambda at, kind, o: kind != "LISTED" and events.update([o["metadata"]["name"]]))
        log = f"{tb.data}/log/kustomize-controller.log"; size = os.path.getsize(log)
        before = tb.usage(); t0 = time.time(); time.sleep(180); end = time.time(); after = tb.usage(); time.sleep(1)
        by = tb.audit(t0, end)
        done = sum(1 for l in open(log).read()[size:].splitlines() if "Reconciliation finished" in l)
        report(what="steady", n=n, interval="30s", seconds=180, reconciliations=done, spent=tb.spent(before, after), requests=verbs(by), per_reconciliation=per(by, max(1, done)), status_events=sum(events.values()),
               detail={a: {f"{v} {res}": c for (v, res), c in x.most_common(20)} for a, x in by.items()})
    finally: tb.stop()


def consumer(stamp):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}, "annotations": {"stamp": stamp}}, "spec": {"containers": [{"name": "c", "image": f"registry.example.org/web:{stamp}", "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "creds", "key": "value"}}}]}]}}}}


def gap(variant="same", missing=""):
    """20 commits that change an ExternalSecret's key and the Deployment that reads it, in one Kustomization (same), or with the
    Deployment in a second one that depends on the first, which waits (dependson), as the documentation advises."""
    import base64
    tb = Testbed(f"gap-{variant}{missing}", peers=[CONTROLLERS[0], CONTROLLERS[1], CONTROLLERS[3]]).start()
    rounds = int(os.environ.get("ROUNDS", "8" if missing and variant != "same" else "20"))
    try:
        tb.apply(STORE)
        for i in range(rounds + 1):
            if i == 0 or not missing: tb.vault_put(f"k-{i}", f"value-{i}")
        def files(i):
            es, web = external_secret("creds", f"k-{i}"), consumer(f"v{i}")
            if variant == "same": return {"app/all.yaml": [es, web], "app/kustomization.yaml": {"resources": ["all.yaml"]}}
            return {"secrets/es.yaml": es, "secrets/kustomization.yaml": {"resources": ["es.yaml"]}, "app/web.yaml": web, "app/kustomization.yaml": {"resources": ["web.yaml"]}}
        tb.repository(files(0))
        tb.peer("source-controller"); tb.peer("kustomize-controller", "--requeue-dependency=5s"); tb.peer("external-secrets")
        tb.git_repository(); timeout = "10s" if missing else "1m"
        names = ["app"]
        if variant == "same": tb.apply(kustomization("app", "./app", wait=not missing, timeout=timeout))  # waiting on a missing secret blocks the next commit for 30 s or more
        else:
            names = ["secrets", "app"]
            tb.apply(kustomization("secrets", "./secrets", wait=True, timeout=timeout)); tb.apply(kustomization("app", "./app", wait=True, timeout=timeout, dependsOn=[{"name": "secrets"}]))
        tb.until(lambda: all(ready(tb.get(f"{KS}/{k}")) for k in names), 60)
        secret, deploy, pods = {}, {}, {}
        def on_secret(at, kind, o):
            if o["metadata"]["name"] == "creds" and o.get("data", {}).get("value"): secret.setdefault(base64.b64decode(o["data"]["value"]).decode().replace("value-", "v"), (at, int(o["metadata"]["resourceVersion"])))
        def on_deploy(at, kind, o):
            if o["metadata"]["name"] == "web": deploy.setdefault(o["spec"]["template"]["metadata"]["annotations"]["stamp"], (at, int(o["metadata"]["resourceVersion"])))
        def on_pod(at, kind, o):
            s = o["metadata"].get("annotations", {}).get("stamp")
            if s and o.get("status", {}).get("phase") == "Running": pods.setdefault(s, (at, int(o["metadata"]["resourceVersion"])))
        tb.watch("/api/v1/namespaces/default/secrets", on_secret); tb.watch("/apis/apps/v1/namespaces/default/deployments", on_deploy); tb.watch("/api/v1/namespaces/default/pods", on_pod)
        rows = []
        for i in range(1, rounds + 1):
            if missing and variant != "same" and i > 1:  # from a good state, so that the ExternalSecret is Ready=True when its key changes
                good = files(i); es0 = external_secret("creds", "k-0"); good["secrets/es.yaml"] = es0; good["app/web.yaml"] = consumer("v0")
                tb.commit(good); tb.patch(GR + "/app", {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": f"good{i}"}}}); head = tb_head(tb)
                tb.until(lambda: all(ready(tb.get(f"{KS}/{k}")) and head in tb.get(f"{KS}/{k}")["status"].get("lastAppliedRevision", "") for k in names), 120)
            tb.commit(files(i)); tb.flux("reconcile", "source", "git", "app")
            try:
                if missing:
                    end = time.time() + 25
                    while time.time() < end and f"v{i}" not in deploy: time.sleep(0.1)
                    time.sleep(1)
                else: tb.until(lambda: f"v{i}" in deploy and f"v{i}" in secret, 90); time.sleep(1.5); tb.until(lambda: all(ready(tb.get(f"{KS}/{k}")) for k in names), 90)
            except TimeoutError: pass
            v = f"v{i}"; s, d, p = secret.get(v), deploy.get(v), pods.get(v)
            es = tb.get(ES.format("default") + "/creds")
            rows.append({"i": i, "deployment_changed": d is not None, "secret_there": s is not None, "template_before_secret": bool(d and (not s or d[1] < s[1])), "pod_running_before_secret": bool(p and (not s or p[1] < s[1])),
                         "gap_s": round(s[0] - d[0], 3) if s and d else None, "es": [c["reason"] for c in es["status"]["conditions"]]})
        gaps = sorted(r["gap_s"] for r in rows if r["gap_s"] is not None)
        report(what="gap", variant=variant, missing=bool(missing), rounds=rounds, template_before_secret=sum(r["template_before_secret"] for r in rows), pod_running_before_secret=sum(r["pod_running_before_secret"] for r in rows),
               deployment_changed=sum(r["deployment_changed"] for r in rows), gap_min=gaps[0] if gaps else None, gap_median=gaps[len(gaps) // 2] if gaps else None, gap_max=gaps[-1] if gaps else None, rows=rows if missing else None)
    finally: tb.stop()


def recover(elect=""):
    """60 objects (50 ConfigMaps, 10 Deployments) all changed by a commit; kill -9 at a random moment of the apply; restarted at once."""
    rounds = int(os.environ.get("ROUNDS", "10"))
    tb = Testbed(f"recover{elect}").start()
    try:
        def files(i):
            cms = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c-{k:02d}", "namespace": "apps"}, "data": {"stamp": f"v{i}"}} for k in range(50)]
            ds = []
            for k in range(10):
                d = consumer(f"v{i}"); d["metadata"] = {"name": f"d-{k}", "namespace": "apps"}; d["spec"]["selector"]["matchLabels"] = d["spec"]["template"]["metadata"]["labels"] = {"app": f"d-{k}"}; d["spec"]["template"]["spec"]["containers"][0].pop("env"); ds.append(d)
            return {"app/all.yaml": cms + ds, "app/kustomization.yaml": {"resources": ["all.yaml"]}}
        tb.repository(files(0))
        flags = dict(elect=bool(elect))
        tb.peer("source-controller"); tb.peer("kustomize-controller", **flags)
        tb.git_repository(); tb.apply(kustomization("app", "./app", wait=True, timeout="2m"))
        tb.until(lambda: ready(tb.get(f"{KS}/app")), 120)
        state, first, history = {}, threading.Event(), []
        def stamp(o): return o["data"]["stamp"] if o["kind"] == "ConfigMap" else o["spec"]["template"]["metadata"]["annotations"]["stamp"]
        def on(kind_name):
            def f(at, kind, o):
                if o["metadata"]["name"] == "kube-root-ca.crt" or kind == "DELETED": return
                o["kind"] = kind_name; key = (kind_name, o["metadata"]["name"]); s = stamp(o)
                if state.get(key) != s:
                    state[key] = s; history.append((at, key, s))
                    if s == target[0] and kind != "LISTED": first.set()
            return f
        target = ["v0"]
        tb.watch("/api/v1/namespaces/apps/configmaps", on("ConfigMap")); tb.watch("/apis/apps/v1/namespaces/apps/deployments", on("Deployment"))
        def run(i):
            target[0] = f"v{i}"; first.clear(); n0 = len(history)
            tb.commit(files(i)); t0 = time.time(); tb.patch(GR + "/app", {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": str(t0)}}})  # the CLI polls every 2 s
            return n0, t0
        window = []
        for i in range(1, 4):  # the apply without a kill
            n0, t0 = run(i); tb.until(lambda: sum(s == f"v{i}" for s in state.values()) == 60, 60)
            tb.until(lambda: ready(tb.get(f"{KS}/app")) and tb.get(f"{KS}/app")["status"].get("lastAppliedRevision", "").endswith(tb_head(tb)), 60)
            times = [h[0] for h in history[n0:]]; window.append(max(times) - min(times))
        rows = []
        for i in range(4, 4 + rounds):
            n0, t0 = run(i)
            first.wait(60); time.sleep(random.random() * max(window))
            tb.kill("kustomize-controller"); tb.peer("kustomize-controller", **flags); restarted = time.time(); time.sleep(0.1)
            new = sum(s == f"v{i}" for s in state.values())
            tb.until(lambda: sum(s == f"v{i}" for s in state.values()) == 60, 300, 0.02)
            times = [h[0] for h in history[n0:] if h[2] == f"v{i}"]
            tb.until(lambda: ready(tb.get(f"{KS}/app")) and tb.get(f"{KS}/app")["status"].get("lastAppliedRevision", "").endswith(tb_head(tb)), 120)
            rows.append({"new_at_kill": new, "mixed_s": round(max(times) - min(times), 2), "converged_after_restart_s": round(max(times) - restarted, 2), "ready_after_restart_s": round(time.time() - restarted, 2)})
        report(what="recover", elect=bool(elect), apply_window_s=[round(w, 2) for w in window], mixed_rounds=sum(0 < r["new_at_kill"] < 60 for r in rows), rows=rows)
    finally: tb.stop()


def tb_head(tb): return subprocess.check_output(["git", "-C", f"{tb.data}/tree", "rev-parse", "HEAD"], text=True).strip()


if __name__ == "__main__":
    import signal
    signal.signal(signal.SIGTERM, lambda *a: sys.exit(143))
    globals()[sys.argv[1].replace("-", "_")](*sys.argv[2:])
