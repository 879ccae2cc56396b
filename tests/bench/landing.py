#!/usr/bin/env python3
"""How the agent lands a thousand units: time, requests, CPU and memory beside bare server-side apply of the same objects.

usage: landing.py [-n N,N] [-e EXPERIMENT,...] [--headless] [--flux CONCURRENT] [--binary FILE] [-o FILE]
env: WORK (folder for data and results)

Every experiment has a testbed of its own. `ratio` is against `applybench` on that testbed, the mean of a run before and a run
after, since bare runs differ by a third; the objects that both made are compared, and a difference fails the run. Both count until 99 of 100
are available: a Deployment whose status met a conflict may wait for tens of seconds in the controller's queue, whoever applied it.
--flux measures Flux's own controllers with the same repository, too.

  land      N Kustomizations of podinfo with `wait: true`, from push to all Ready; then the agent restarts
  rest      100 Kustomizations, interval 20s: a minute in which nothing changes, then one object changed by hand
  file      N folders, N Kustomizations, `wait: true`: one changed file
  secrets   2,000 ExternalSecrets over 500 vault secrets: first sync, restart, a minute at refreshInterval 1m
  memory    1,000 Kustomizations, 2,000 ExternalSecrets and 500 CustomResourceDefinitions at once
  footprint 200 Kustomizations, 100 HelmReleases, 2,000 ExternalSecrets, 108 CustomResourceDefinitions, a repository of 1.5 GiB;
            with --limit MIB the agent has no more than that, as in a container
"""
import argparse, collections, json, os, re, subprocess, sys, threading, time
from testbed import *
from bench import Ready, STORE, external_secret, helm_repository, monorepo_files, shared_files, tb_head, vault_summary

PARSER = argparse.ArgumentParser(usage=__doc__)
PARSER.add_argument("-n", default="100,300,1000")
PARSER.add_argument("-e", default="land,rest,file,secrets,memory")
PARSER.add_argument("--headless", action="store_true")
PARSER.add_argument("--flux", type=int, default=0)
PARSER.add_argument("--binary", default=f"{HERE}/../../target/dist/lockstep")
PARSER.add_argument("--log", default="info")
PARSER.add_argument("--limit", type=int, default=0, help="MiB that footprint's agent may have, as a container's limit")
PARSER.add_argument("-o")
OPTIONS = PARSER.parse_args()
AGENT = "lockstep"
# As deploy/agent/deployment.yaml has it.
SETTINGS = {"_RJEM_MALLOC_CONF": "narenas:2,dirty_decay_ms:2000,muzzy_decay_ms:0"}
ROWS = []


class Bed(Testbed):
    """A testbed with our CRDs; the agent is one of its parts."""
    def __init__(self, name, n=100, **more):
        flux = ("source-controller", "kustomize-controller") if OPTIONS.flux else ()
        super().__init__(name, nodes=max(4, n // 40), peers=flux, **more)

    def start(self):
        super().start(with_crds=False)
        self.kubectl("apply", "--server-side", "-f", f"{HERE}/../../crds")
        for name in ("flux-system", "lockstep-system", "apps", "raw", "raw-after"):
            self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        ca = open(f"{self.data}/pki/ca.crt").read()
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git", "namespace": "flux-system"},
                    "stringData": {"username": "flux", "password": "secret", "ca.crt": ca}})
        self.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "lockstep", "namespace": "default",
                    "annotations": {"azure.workload.identity/client-id": CLIENT, "azure.workload.identity/tenant-id": TENANT}}})
        if self.peers: self.sh([f"{TESTBED}/build.sh", f"{self.data}/bin", *self.peers])
        return self

    def agent(self, *flags):
        binary = os.path.abspath(OPTIONS.binary)
        log, sizes = f"{self.data}/log/{AGENT}.log", ["--metrics-addr", f"127.0.0.1:{self.port+40}", "--health-addr", f"127.0.0.1:{self.port+41}"]
        self.run(AGENT, [*limited(), binary, "run", "--enable-leader-election=false", "--namespace=lockstep-system", f"--cache={self.data}/cache", f"--log-level={OPTIONS.log}", *sizes, *flags],
                 **self.peer_env(), **SETTINGS, NO_PROXY="127.0.0.1,localhost")
        return log

    def source(self, interval="60m"):
        self.git_repository(interval)

    def pull(self):
        """Tells the agent to fetch, as a webhook would."""
        self.patch(GR + "/app", {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": str(time.time())}}})

    def requests(self, since, until=None):
        """The agent's requests: total without watches and leases, and each verb and resource."""
        time.sleep(1)  # the audit log is buffered
        by = self.audit(since, until)
        ours = collections.Counter()
        for agent, counts in by.items():
            if agent not in PEERS_AND_PARTS: ours.update(counts)
        return ours

    def watched(self, since):
        lo = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since))
        count = collections.Counter()
        for line in open(self.audit_log):
            e = json.loads(line) if line.endswith("\n") else {"verb": ""}
            if e["verb"] == "watch" and e["stage"] == "ResponseStarted" and e["requestReceivedTimestamp"] >= lo and is_ours(e.get("userAgent", "")): count[e.get("objectRef", {}).get("resource")] += 1
        return dict(count)

    def names(self, since, verb=None, resource=None):
        """Names of the objects that the agent asked for, with how often."""
        lo, names = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since)), collections.Counter()
        for line in open(self.audit_log):
            e = json.loads(line) if line.endswith("\n") else {"verb": "watch"}
            ref = e.get("objectRef", {})
            if e["verb"] == "watch" or e["requestReceivedTimestamp"] < lo or not is_ours(e.get("userAgent", "")): continue
            if verb in (None, e["verb"]) and resource in (None, ref.get("resource")): names[ref.get("name")] += 1
        return names

    def cpu(self, before, name=AGENT): return self.spent(before).get(name, {}).get("cpu_s")

    def quiet(self, seconds=3, limit=600):
        """Waits until the agent has used no CPU worth telling for a while; returns when that began."""
        used, since, end = None, time.time(), time.time() + limit
        while time.time() < end:
            now = self.usage()[AGENT][0]
            if used is None or now - used > 0.02 * (time.time() - since + 0.5): used, since = now, time.time()
            elif time.time() - since > seconds: return since
            time.sleep(0.2)
        raise TimeoutError("the agent does not come to rest")


PEERS_AND_PARTS = {"kube-controller-manager", "kube-scheduler", "kube-apiserver", "kubectl", "kwok", "measure", "Go-http-client", "controlplane", "source-controller", "kustomize-controller"}


def cgroup():
    """Where this machine's memory controller is, and its files of limit, peak and kills."""
    v1, v2 = "/sys/fs/cgroup/memory/lockstep", "/sys/fs/cgroup/lockstep"
    if os.path.isdir(os.path.dirname(v1)): return v1, "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"): return v2, "memory.max", "memory.peak", "memory.events"
    sys.exit("--limit needs a memory controller below /sys/fs/cgroup")


def limited():
    """What starts the agent with `--limit` MiB, as the kubelet does: pages of files count, and are given back when they are in the way."""
    if not OPTIONS.limit: return []
    folder, limit, _, _ = cgroup()
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{limit}", "w") as f: f.write(str(OPTIONS.limit << 20))
    return ["sh", "-c", f'echo $$ > {folder}/cgroup.procs && exec "$0" "$@"']


def under_limit():
    """What the limit came to: its peak in MiB, and how often the kernel has killed for it."""
    if not OPTIONS.limit: return {}
    folder, _, peak, events = cgroup()
    kills = [line.split()[1] for line in open(f"{folder}/{events}") if line.startswith("oom_kill ")]
    return dict(limit_mib=OPTIONS.limit, limited_peak_mib=int(open(f"{folder}/{peak}").read()) >> 20, oom_kills=int(kills[0]))


def is_ours(agent): return agent.split("/")[0] not in PEERS_AND_PARTS


def row(experiment, **figures):
    ROWS.append({"experiment": experiment, "load": round(os.getloadavg()[0], 1), **figures})
    print(json.dumps(ROWS[-1]), flush=True)


def must(figures, **limits):
    """Adds what was missed."""
    figures["missed"] = [f"{name} {figures[name]} > {limit}" for name, limit in limits.items() if figures[name] is None or figures[name] > limit]
    return figures


def total(counts): return sum(counts.values())


def detail(counts, n=1): return {f"{verb} {resource}": round(count / n, 3) for (verb, resource), count in counts.most_common(25)}


def raw(tb, n, namespace="raw"):
    """The yardstick: the same objects by bare server-side apply."""
    with open(f"{tb.data}/objects.jsonl", "w") as f:
        for i in range(n):
            for o in headless(podinfo(f"a-{i:04d}", namespace)): f.write(json.dumps({"path": tb.path_of(o), "object": o}) + "\n")
    r = Ready(tb, f"/apis/apps/v1/namespaces/{namespace}/deployments", n, "a-", lambda d: d.get("status", {}).get("availableReplicas"))
    subprocess.run(["go", "build", "-o", f"{tb.data}/bin/applybench", "."], cwd=f"{HERE}/applybench", check=True)
    before, t0 = tb.usage(), time.time()
    tb.sh([f"{tb.data}/bin/applybench", "-c", "16", "-u", f"https://127.0.0.1:{tb.port}", f"{tb.data}/objects.jsonl"], CA=f"{tb.data}/pki/ca.crt")
    end = r.wait(900)
    return {"seconds": round(end - t0, 1), "most_s": r.nearly_all() - t0, "apiserver_cpu_s": tb.cpu(before, "kube-apiserver")}


def headless(objects):
    for o in objects:
        if OPTIONS.headless and o["kind"] == "Service": o["spec"]["clusterIP"] = "None"
    return objects


def files_of(layout, n, **spec):
    files = layout(n, True, **spec)
    if not OPTIONS.headless: return files
    return {name: text if name.startswith("cluster") or "kustomization" in name else headless(text if isinstance(text, list) else [text]) for name, text in files.items()}


def same_objects(tb, n):
    """What was made in `apps` is what was made in `raw`, but for owner labels and what the server assigns."""
    def essence(o):
        o["metadata"] = {"name": o["metadata"]["name"], "labels": {k: v for k, v in o["metadata"].get("labels", {}).items() if "fluxcd" not in k}}
        o.pop("status", None); o.get("spec", {}).pop("clusterIP", None); o.get("spec", {}).pop("clusterIPs", None)
        return json.dumps(o, sort_keys=True)
    for path in ("/api/v1/namespaces/{}/serviceaccounts", "/api/v1/namespaces/{}/services", "/apis/apps/v1/namespaces/{}/deployments", "/apis/networking.k8s.io/v1/namespaces/{}/ingresses"):
        sides = [sorted(essence(o) for o in tb.get(path.format(ns))["items"] if o["metadata"]["name"].startswith("a-")) for ns in ("raw", "apps")]
        if sides[0] != sides[1] or len(sides[0]) != n: raise AssertionError(f"{path}: {len(sides[0])} and {len(sides[1])} objects, or they differ")


def land(n):
    tb = Bed(f"land{n}", n).start()
    try:
        beside = raw(tb, n)
        tb.repository({"cluster/kustomization.yaml": {"resources": []}, "cluster/none.yaml": ""})
        log = tb.agent()
        tb.source()
        tb.apply(kustomization("parent", "./cluster", wait=False))
        tb.until(lambda: ready(tb.get(f"{KS}/parent")), 60)
        files = files_of(shared_files, n)
        files["cluster/kustomization.yaml"] = {"resources": ["apps.yaml"]}
        tb.commit(files)
        r = Ready(tb, KS, n, "a-"); tb.quiet(1)
        before, t0 = tb.usage(), time.time()
        tb.pull()
        end = r.wait(3000); tb.quiet(); after = tb.usage()
        counts, spent = tb.requests(t0), tb.spent(before, after)
        same_objects(tb, n)
        after_it = raw(tb, n, "raw-after"); tb.quiet()
        mean = {what: (beside[what] + after_it[what]) / 2 for what in beside}
        half = sorted(r.times.values())[n // 2]
        beyond = total(counts) - 2.2 * 5 * n  # the Kustomization itself is an object that its parent lands
        figures = dict(n=n, headless=OPTIONS.headless, raw_s=beside["seconds"], raw_after_s=after_it["seconds"], seconds=round(end - t0, 1), raw_most_s=round(mean["most_s"], 1), most_s=round(r.nearly_all() - t0, 1), ratio=round((r.nearly_all() - t0) / mean["most_s"], 2), half_s=round(half - t0, 1),
                       requests_per_unit=round(total(counts) / n, 2), beyond_objects_per_unit=round(beyond / n, 2), cpu_ms_per_unit=round(1000 * spent[AGENT]["cpu_s"] / n, 1),
                       apiserver_ratio=round(spent["kube-apiserver"]["cpu_s"] / mean["apiserver_cpu_s"], 2), apiserver_cpu_s=spent["kube-apiserver"]["cpu_s"], peak_mib=spent[AGENT]["peak_mib"], detail=detail(counts, n), watches=tb.watched(t0))
        row("land", **must(figures, ratio=1.3, beyond_objects_per_unit=6, cpu_ms_per_unit=30, apiserver_ratio=1.3))
        restart(tb, n, end - t0)
    finally: tb.stop()


def restart(tb, n, first):
    tb.kill(AGENT)
    before, t0 = {}, time.time()
    tb.agent()
    end = tb.quiet(); after = tb.usage()
    counts = tb.requests(t0)
    writes = sum(c for (verb, _), c in counts.items() if verb not in ("get", "list"))
    figures = dict(n=n, seconds=round(end - t0, 1), of_first=round((end - t0) / first, 3), requests=total(counts), reads_per_unit=round(sum(c for (verb, _), c in counts.items() if verb == "get") / n, 2), lists=sum(c for (verb, _), c in counts.items() if verb == "list"),
                   writes=writes, cpu_s=tb.spent(before, after)[AGENT]["cpu_s"], peak_mib=tb.spent(before, after)[AGENT]["peak_mib"], detail=detail(counts))
    row("restart", **must(figures, of_first=0.05, reads_per_unit=1, writes=0))


def rest(n=100):
    tb = Bed("rest", n).start()
    try:
        tb.repository(files_of(shared_files, n, interval="20s"))
        tb.agent(); tb.source()
        r = Ready(tb, KS, n, "a-")
        tb.apply(kustomization("parent", "./cluster", wait=False)); r.wait(600); time.sleep(25)
        before, t0 = tb.usage(), time.time(); time.sleep(60)
        counts, cpu = tb.requests(t0), tb.cpu(before)
        figures = dict(n=n, intervals=3, requests_per_unit_and_interval=round(total(counts) / n / 3, 2), cpu_s_per_minute=cpu, detail=detail(counts, 3 * n))
        row("rest", **must(figures, requests_per_unit_and_interval=0))
        path, seen = "/apis/apps/v1/namespaces/apps/deployments", {}
        def on(at, kind, o):
            if o["metadata"]["name"] == "a-0007" and o["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":6.9.0"): seen.setdefault("back", at) if "t0" in seen else None
        tb.watch(path, on)
        tb.patch(f"{path}/a-0007", {"spec": {"template": {"spec": {"containers": [{**podinfo("a-0007")[2]["spec"]["template"]["spec"]["containers"][0], "image": "other:1"}]}}}})
        seen["t0"] = time.time()
        tb.until(lambda: "back" in seen, 60); tb.quiet()
        counts = tb.requests(seen["t0"])
        names = tb.names(seen["t0"])
        row("one object", **must(dict(put_back_s=round(seen["back"] - seen["t0"], 2)), put_back_s=1), requests=total(counts), detail=detail(counts), names=dict(names.most_common(8)))
    finally: tb.stop()


def file(n):
    tb = Bed(f"file{n}", n).start()
    try:
        tb.repository(files_of(monorepo_files, n))
        OPTIONS.log = "debug"; tb.agent(); tb.source()
        r = Ready(tb, KS, n, "a-"); before, t0 = tb.usage(), time.time()
        tb.apply(kustomization("parent", "./cluster", wait=False)); end = r.wait(3000); tb.quiet()
        row("folders", n=n, seconds=round(end - t0, 1), cpu_ms_per_unit=round(1000 * tb.cpu(before) / n, 1), peak_mib=tb.spent({})[AGENT]["peak_mib"])
        for turn, i in enumerate((n // 2, n // 3, n - 1)): one_file(tb, n, turn, i)
    finally: tb.stop()


def one_file(tb, n, turn, i):
    name, seen, applied, revision = f"a-{i:04d}", {}, {}, [None]
    def on_deploy(at, kind, o):
        if o["metadata"]["name"] == name and o["spec"]["template"]["spec"]["containers"][0]["image"].endswith(f":7.{turn}.0"): seen.setdefault("live", at)
    def on_ks(at, kind, o):
        if o["metadata"]["name"].startswith("a-") and kind != "LISTED" and revision[0] and revision[0] in o["status"].get("lastAppliedRevision", "") and ready(o): applied.setdefault(o["metadata"]["name"], at)
    tb.watch("/apis/apps/v1/namespaces/apps/deployments", on_deploy); tb.watch(KS, on_ks)
    log = f"{tb.data}/log/{AGENT}.log"; size = os.path.getsize(log)
    revision[0] = tb.commit({f"apps/{name}/deployment.yaml": podinfo(name, version=f"7.{turn}.0")[2]})
    before, t0 = tb.usage(), time.time(); tb.pull()
    tb.until(lambda: "live" in seen, 900); tb.until(lambda: len(applied) >= n, 900, every=0.02)
    end = max(applied.values()); tb.quiet()
    compiled = len(re.findall('"compiled"|compiled$', open(log).read()[size:], re.M))
    counts = tb.requests(t0)
    figures = dict(n=n, live_s=round(seen["live"] - t0, 2), all_s=round(end - t0, 2), compiled=compiled, requests_per_unit=round(total(counts) / n, 2), cpu_s=tb.cpu(before), detail=detail(counts, n))
    row("one file", **must(figures, compiled=1))  # the unit, and nothing else


def secrets(n=2000):
    tb = Bed("secrets", n).start()
    try:
        vault(tb, n, "1h")
        r = Ready(tb, ES.format("default"), n, "e-"); before, t0 = tb.usage(), time.time()
        tb.agent(); end = r.wait(1200); tb.quiet(); counts, log = tb.requests(t0), tb.vault_log(clear=True)
        spent, values = tb.spent(before), collections.Counter()
        for s in tb.get("/api/v1/namespaces/default/secrets")["items"]:
            if s["metadata"]["name"].startswith("e-"): values[s["data"]["value"]] += 1
        if len(values) != 500 or set(values.values()) != {n // 500}: raise AssertionError(f"{len(values)} values")
        figures = dict(n=n, seconds=round(end - t0, 1), vault_reads=reads(log), vault=vault_summary(log), peak_per_s=vault_summary(log)["peak_per_s"], requests_per_secret=round(total(counts) / n, 2), cpu_s=spent[AGENT]["cpu_s"], apiserver_cpu_s=spent["kube-apiserver"]["cpu_s"], peak_mib=spent[AGENT]["peak_mib"], logins=tokens(tb), parts={part: s["cpu_s"] for part, s in spent.items()}, detail=detail(counts, n))
        row("secrets", **must(figures, vault_reads=500, peak_per_s=100, logins=1))
        tb.kill(AGENT); first = end - t0; t0 = time.time(); tb.agent(); end = tb.quiet(); counts, log = tb.requests(t0), tb.vault_log(clear=True)
        figures = dict(n=n, seconds=round(end - t0, 1), of_first=round((end - t0) / first, 2), vault_reads=reads(log), requests=total(counts), cpu_s=tb.cpu({}), peak_mib=tb.spent({})[AGENT]["peak_mib"], detail=detail(counts))
        row("secrets restart", **must(figures, vault_reads=0))
        def hasten(lo):
            for i in range(lo, n, 8): tb.patch(f"{ES.format('default')}/e-{i:04d}", {"spec": {"refreshInterval": "1m"}})
        spread(hasten); time.sleep(75); tb.vault_log(clear=True)
        before, t0 = tb.usage(), time.time(); time.sleep(60); log, counts = tb.vault_log(), tb.requests(t0)
        figures = dict(n=n, vault_reads=reads(log), peak_per_s=vault_summary(log)["peak_per_s"], not_looked_at=n - len(tb.names(t0, "get", "secrets")), requests_per_secret=round(total(counts) / n, 2), cpu_s=tb.cpu(before), detail=detail(counts, n))
        row("secrets minute", **must(figures, vault_reads=510, peak_per_s=100, not_looked_at=0))
    finally: tb.stop()


def tokens(tb):
    """Tokens that were asked for of the API server: one login needs one."""
    return sum(1 for line in open(tb.audit_log) if '"serviceaccounts"' in line and '"subresource":"token"' in line and is_ours(json.loads(line).get("userAgent", "")))


def reads(log): return sum(1 for e in log if e["method"] == "GET" and e["status"] == 200)


def spread(work):
    threads = [threading.Thread(target=work, args=(lo,)) for lo in range(8)]
    [t.start() for t in threads]; [t.join() for t in threads]


def vault(tb, n, interval):
    for i in range(500): tb.vault_put(f"s-{i:04d}", f"value-{i:04d}-" + "x" * 24)
    tb.apply(STORE)
    def make(lo):
        for i in range(lo, n, 8): tb.apply(external_secret(f"e-{i:04d}", f"s-{i % 500:04d}", interval=interval))
    spread(make); tb.vault_log(clear=True)


def definitions(tb, n):
    """Kinds of some size."""
    for i in range(n):
        tb.apply({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"things.g{i}.example.org"}, "spec": {"group": f"g{i}.example.org", "scope": "Namespaced", "names": {"kind": "Thing", "listKind": "ThingList", "plural": "things", "singular": "thing"},
                  "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {f"field{k}": {"type": "string", "description": "what it means, at length " * 10} for k in range(30)}}}}}}]}})


def memory(n=1000):
    tb = Bed("memory", n).start()
    try:
        definitions(tb, 500)
        vault(tb, 2000, "1h")
        tb.repository(files_of(shared_files, n))
        a, b = Ready(tb, KS, n, "a-"), Ready(tb, ES.format("default"), 2000, "e-")
        before, t0 = tb.usage(), time.time()
        tb.agent(); tb.source(); tb.apply(kustomization("parent", "./cluster", wait=False))
        end = max(a.wait(3000), b.wait(3000)); tb.quiet(); spent = tb.spent(before)[AGENT]
        row("memory", **must(dict(seconds=round(end - t0, 1), peak_mib=spent["peak_mib"], rss_mib=spent["rss_mib"], cpu_s=spent["cpu_s"]), peak_mib=120))
        tb.kill(AGENT); t0 = time.time(); tb.agent(); end = tb.quiet(); spent = tb.spent({})[AGENT]
        row("memory restart", **must(dict(seconds=round(end - t0, 1), peak_mib=spent["peak_mib"], rss_mib=spent["rss_mib"]), peak_mib=120))
    finally: tb.stop()


def footprint(n=200, releases=100, ballast_mib=1536):
    """The set of requirement 12 (reference/unmet.md)."""
    tb, most = Bed("footprint", n).start(), dict(oom_kills=0) if OPTIONS.limit else dict(peak_mib=256)
    try:
        definitions(tb, 108); vault(tb, 2000, "1h"); helm_repository(tb)
        tb.apply({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository", "metadata": {"name": "charts", "namespace": "flux-system"}, "spec": {"interval": "60m", "url": f"https://127.0.0.1:{tb.port+20}/charts", "certSecretRef": {"name": "ca"}}})
        files = files_of(shared_files, n)
        files["cluster/releases.yaml"] = [{"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": f"h-{i:04d}", "namespace": "flux-system"},
            "spec": {"interval": "60m", "timeout": "5m", "targetNamespace": "apps", "releaseName": f"h-{i:04d}", "chart": {"spec": {"chart": "tiny", "version": "0.1.0", "sourceRef": {"kind": "HelmRepository", "name": "charts"}}}}} for i in range(releases)]
        tree = tb.repository(files)
        for repository in (tree, f"{tb.data}/repos/org/app"):  # random bytes: nobody gains by packing them
            for key, value in (("core.compression", "0"), ("core.bigFileThreshold", "512k"), ("pack.window", "0")): subprocess.run(["git", "-C", repository, "config", key, value], check=True)
        os.makedirs(f"{tree}/ballast")
        for i in range(ballast_mib):
            with open(f"{tree}/ballast/{i:04d}.bin", "wb") as f: f.write(os.urandom(1 << 20))
        tb.commit({}, "ballast")
        waits = [Ready(tb, KS, n, "a-"), Ready(tb, HR, releases, "h-"), Ready(tb, ES.format("default"), 2000, "e-")]
        before, t0 = tb.usage(), time.time()
        tb.agent(); tb.git_repository(seconds=900); tb.apply(kustomization("parent", "./cluster", wait=False))
        end = max(w.wait(1500) for w in waits); tb.quiet(); spent = tb.spent(before)[AGENT]
        row("footprint", **must(dict(seconds=round(end - t0, 1), peak_mib=spent["peak_mib"], rss_mib=spent["rss_mib"], anonymous_mib=tb.anonymous(AGENT), cpu_s=spent["cpu_s"], **under_limit()), **most))
        tb.kill(AGENT); t0 = time.time(); tb.agent(); end = tb.quiet(); spent = tb.spent({})[AGENT]
        row("footprint restart", **must(dict(seconds=round(end - t0, 1), peak_mib=spent["peak_mib"], rss_mib=spent["rss_mib"], anonymous_mib=tb.anonymous(AGENT), **under_limit()), **most))
    finally: tb.stop()


def flux(n):
    """Flux's controllers on the same set."""
    import bench
    bench.kustomizations(n, OPTIONS.flux, files=files_of(shared_files, n))


def main():
    sizes, experiments = [int(n) for n in OPTIONS.n.split(",")], OPTIONS.e.split(",")
    for name in experiments:
        if name in ("land", "file"): [globals()[name](n) for n in sizes if name == "land" or n >= 100]
        else: globals()[name]()
    if OPTIONS.flux: [flux(n) for n in sizes]
    print("\n" + table())
    if OPTIONS.o:
        with open(OPTIONS.o, "w") as f: json.dump(ROWS, f, indent=1)
    return any(r.get("missed") for r in ROWS)


def table():
    lines = [("experiment", "figures", "missed")]
    for r in ROWS:
        plain = " ".join(f"{k}={v}" for k, v in r.items() if k not in ("experiment", "missed", "load") and not isinstance(v, (dict, list)))
        lines.append((r["experiment"], plain, "; ".join(r.get("missed", []))))
    return "\n".join(f"{a:16} | {b} | {c}" for a, b, c in lines)


if __name__ == "__main__":
    import signal
    signal.signal(signal.SIGTERM, lambda *a: sys.exit(143))
    sys.exit(main())
