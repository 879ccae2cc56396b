#!/usr/bin/env python3
"""Does an agent leave the same cluster behind as Flux and External Secrets do?

usage: differential.py SAMPLE [--agent COMMAND] [--steps N] [--managers] [--keep] [-o report.json]

One control plane runs Flux's controllers and External Secrets, another one the agent under test (without --agent: Flux again, which
must give 0 differences). Both have the same CRDs and read the same Git server, Helm repository, token endpoint and vault, by the same
names (github.com, kv1.vault.azure.net through the name proxy). After each commit of SAMPLE both must come to rest; then all
objects of all kinds are dumped, volatile fields masked (masks.py), and compared. Exit status: 0 no difference but named ones, 1 differences,
2 it failed.

SAMPLE: bootstrap/*.yaml  applied to both clusters before the first commit, after those of ../bootstrap; @CA@ stands for the CA of all servers
        charts/NAME/      charts, packaged into the Helm repository at https://github.com/charts
        commits/NN-name/  one folder per commit, in order: files to write; DELETE lists paths to remove; VAULT.json: secrets to set
                          before the push ({"name": "value"}), a null deletes
        NAMED             differences that are meant, besides those of ../NAMED, one a line: a regular expression over "COMMIT KIND NAMESPACE/NAME FIELD VALUE" (the agent's), a tab, the reason
        or: a Git repository (each commit of its first-parent history is pushed in turn) with bootstrap/ and charts/ at its head
The agent's environment: KUBECONFIG, RUNTIME_NAMESPACE=flux-system, SSL_CERT_FILE, HTTPS_PROXY, TMPDIR; DIFFERENTIAL_PORT is free for it.
env: as testbed.py.
"""
import argparse, collections, concurrent.futures, hashlib, http.client, json, os, re, shutil, subprocess, sys, tempfile, time
from testbed import *
import masks

SOURCE = "/apis/source.toolkit.fluxcd.io/v1/gitrepositories"


class Side(Testbed):
    """One control plane; the first one also carries the servers."""
    def resources(self):
        """(path, kind, namespaced) of every listable kind, preferred versions only."""
        out = []
        groups = [("/api/v1", "v1")] + [(f"/apis/{g['preferredVersion']['groupVersion']}", g["preferredVersion"]["groupVersion"]) for g in self.get("/apis")["groups"]]
        for path, version in groups:
            for r in self.get(path).get("resources", []):
                if "/" not in r["name"] and "list" in r["verbs"] and r["kind"] not in masks.KINDS: out.append((f"{path}/{r['name']}", version, r["kind"]))
        return out

    def snapshot(self, full=True, managers=False):
        out = {}
        for path, version, kind in self.known:
            if not full and kind == "CustomResourceDefinition": continue
            status, body = self.api("GET", path)
            if status == 404: continue
            for o in body.get("items", []):
                o["apiVersion"], o["kind"] = version, kind
                key, value = masks.mask(o, managers)
                if key is None: continue
                out.setdefault(key, []).append(value)
        for k in out: out[k].sort(key=lambda v: json.dumps(v, sort_keys=True))
        return out

    def rest(self, revision, quiet, limit):
        """Waits until the source has the revision and nothing (masked) changed for `quiet` seconds. Returns the seconds that took."""
        began = time.time(); last, since, seen = None, time.time(), False
        while time.time() - began < limit:
            self.known = self.resources()
            if not seen:
                seen = all(revision in g.get("status", {}).get("artifact", {}).get("revision", "") for g in self.get(SOURCE)["items"])
                since = time.time()
            busy = any(c["type"] == "Ready" and c["status"] == "Unknown" for path in (KS, HR) for o in self.get(path).get("items", []) for c in o.get("status", {}).get("conditions", []))
            if busy: last = None
            now = hashlib.sha256(json.dumps(self.snapshot(full=False), sort_keys=True).encode()).digest()
            if now != last: last, since = now, time.time()
            if seen and time.time() - since > quiet: return round(since - began, 1)
            time.sleep(1.5)
        print(f"  {self.name}: not at rest within {limit} s", flush=True)
        return None

    def request(self, stamp):
        for g in self.get(SOURCE)["items"]:
            self.patch(f"/apis/source.toolkit.fluxcd.io/v1/namespaces/{g['metadata']['namespace']}/gitrepositories/{g['metadata']['name']}", {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": stamp}}})


def start_sides():
    """Two control planes under one CA. The servers of the first serve both: its token endpoint trusts both clusters."""
    a, b = Side("diff-a", peers=CONTROLLERS), Side("diff-b", audit=False, peers=CONTROLLERS)
    a.start(with_crds=False); b.start(with_crds=False, CA_OF=a.data)
    for s in (a, b): s.crds()
    application = f"{a.data}/applications/{CLIENT}.json"
    config = json.load(open(application))
    subjects = ["system:serviceaccount:default:lockstep"] + [f"system:serviceaccount:{n}" for n in os.environ.get("SUBJECTS", "apps:vault-reader").split(",")]
    config["federated"] = [{"issuer": f"https://127.0.0.1:{s.port}", "subject": x, "audience": "api://AzureADTokenExchange"} for s in (a, b) for x in subjects]
    json.dump(config, open(application, "w"))
    return a, b


def peers(side):
    for name, flags in (("source-controller", ["--requeue-dependency=2s"]), ("kustomize-controller", ["--requeue-dependency=2s", "--concurrent=8"]), ("helm-controller", ["--requeue-dependency=2s"]), ("external-secrets", ["--concurrent=4"])):
        side.peer(name, *flags)


def environment(side, a):
    return dict(KUBECONFIG=f"{side.data}/pki/admin.kubeconfig", RUNTIME_NAMESPACE="flux-system", SSL_CERT_FILE=f"{a.data}/pki/ca.crt", HTTPS_PROXY=f"http://127.0.0.1:{a.port+14}", TMPDIR=side.tmp(), DIFFERENTIAL_PORT=str(side.port + 50))


def vault(a, name, value):
    c = http.client.HTTPConnection("127.0.0.1", a.port + 10)
    tags = None
    if isinstance(value, dict): value, tags = value["value"], value.get("tags")
    if value is None: c.request("DELETE", f"/secrets/{name}?api-version=7.4", headers={"Host": "kv1.vault.azure.net"})
    else: c.request("PUT", f"/secrets/{name}?api-version=7.4", json.dumps({"value": value, "tags": tags}), {"Host": "kv1.vault.azure.net", "Content-Type": "application/json"})
    r = c.getresponse(); r.read()
    assert r.status < 300, f"vault: {name}: {r.status}"


def commits(sample):
    """(name, function that changes the work tree) for each commit."""
    if os.path.exists(f"{sample}/commits"):
        for name in sorted(os.listdir(f"{sample}/commits")):
            folder = f"{sample}/commits/{name}"
            def change(tree, folder=folder):
                if os.path.exists(f"{folder}/DELETE"):
                    for p in open(f"{folder}/DELETE").read().split(): subprocess.run(["git", "-C", tree, "rm", "-rqf", p], check=True)
                shutil.copytree(folder, tree, dirs_exist_ok=True, ignore=lambda d, names: {"DELETE", "VAULT.json"} & set(names) if d == folder else ())
            v = f"{folder}/VAULT.json"
            yield name, change, json.load(open(v)) if os.path.exists(v) else {}
        return
    for sha in subprocess.check_output(["git", "-C", sample, "rev-list", "--first-parent", "--reverse", "HEAD"], text=True).split():
        def change(tree, sha=sha):
            subprocess.run(["git", "-C", tree, "rm", "-rqf", "--ignore-unmatch", "."], check=True)
            archive = subprocess.Popen(["git", "-C", sample, "archive", sha], stdout=subprocess.PIPE)
            subprocess.run(["tar", "-x", "-C", tree], stdin=archive.stdout, check=True)
        yield sha[:12], change, {}


def differences(x, y, path=""):
    """(field, left, right) wherever two masked values differ."""
    if isinstance(x, dict) and isinstance(y, dict):
        for k in sorted({*x, *y}): yield from differences(x.get(k, masks.ABSENT), y.get(k, masks.ABSENT), f"{path}.{k}" if path else k)
    elif isinstance(x, list) and isinstance(y, list):
        named = lambda l: all(isinstance(e, dict) for e in l) and next((k for k in ("name", "type", "id", "key") if all(k in e for e in l) and len({str(e[k]) for e in l}) == len(l)), None)
        key = named(x + []) if x and y and named(x) and named(x) == named(y) else None
        if key:
            left, right = {str(e[key]): e for e in x}, {str(e[key]): e for e in y}
            for k in sorted({*left, *right}): yield from differences(left.get(k, masks.ABSENT), right.get(k, masks.ABSENT), f"{path}[{k}]")
            if list(left) != list(right) and set(left) == set(right): yield f"{path}[order]", list(left), list(right)
        else:
            for i in range(max(len(x), len(y))): yield from differences(x[i] if i < len(x) else masks.ABSENT, y[i] if i < len(y) else masks.ABSENT, f"{path}[{i}]")
    elif x != y: yield path, x, y


def compare(left, right):
    rows = []
    for key in sorted({*left, *right}):
        x, y = left.get(key, []), right.get(key, [])
        if len(x) != len(y): rows.append((key, "(count)", len(x), len(y)))
        for a, b in zip(x, y): rows += [(key, f, u, v) for f, u, v in differences(a, b)]
    return rows


def named(sample):
    """[(expression, reason)] of the differences that are meant."""
    lines = [l for f in (f"{sample}/../NAMED", f"{sample}/NAMED") if os.path.exists(f) for l in open(f).read().splitlines()]
    return [(re.compile(e), reason) for e, reason in (l.split("\t") for l in lines if l and not l.startswith("#"))]


def show(v):
    t = v if isinstance(v, str) else json.dumps(v, sort_keys=True)
    return t if len(t) < 140 else t[:137] + "..."


def main():
    p = argparse.ArgumentParser(); p.add_argument("sample"); p.add_argument("--agent"); p.add_argument("--steps", type=int, default=99); p.add_argument("--managers", action="store_true")
    p.add_argument("--keep", action="store_true"); p.add_argument("--quiet", type=float, default=12); p.add_argument("--limit", type=float, default=180); p.add_argument("-o")
    args = p.parse_args(); sample = os.path.abspath(args.sample)
    a, b = start_sides(); total, report = 0, []
    meant, reasons = named(sample), collections.Counter()
    pool = concurrent.futures.ThreadPoolExecutor(2)
    both = lambda f: list(pool.map(f, (a, b)))
    try:
        for chart in sorted(os.listdir(f"{sample}/charts")) if os.path.exists(f"{sample}/charts") else []: a.sh([f"{a.data}/bin/helm", "package", f"{sample}/charts/{chart}", "-d", f"{a.data}/charts"])
        a.sh([f"{a.data}/bin/helm", "repo", "index", f"{a.data}/charts"])
        a.repository({"README": sample.rsplit("/", 1)[1] + "\n"})
        os.rename(f"{a.data}/repos/org/app", f"{a.data}/repos/org/fleet"); subprocess.run(["git", "-C", f"{a.data}/tree", "remote", "set-url", "origin", f"{a.data}/repos/org/fleet"], check=True)
        ca = open(f"{a.data}/pki/ca.crt").read()
        for s in (a, b):
            s.peer_env = lambda s=s: environment(s, a)
        peers(a)
        if args.agent: b.run("agent", ["bash", "-c", "exec " + args.agent], **environment(b, a))
        else: peers(b)
        for n, (name, change, secrets) in enumerate(commits(sample)):
            if n >= args.steps: break
            for k, v in secrets.items(): vault(a, k, v)
            change(f"{a.data}/tree"); revision = a.commit({}, name)
            if n == 0:
                folders = [d for d in (f"{sample}/../bootstrap", f"{sample}/bootstrap") if os.path.exists(d)]
                for f in (f"{d}/{f}" for d in folders for f in sorted(os.listdir(d))):
                    for o in yaml.safe_load_all(open(f).read().replace("@CA@", json.dumps(ca)[1:-1])):
                        if o: [s.apply(o) for s in (a, b)]
            else: [s.request(str(n)) for s in (a, b)]
            seconds = both(lambda s: s.rest(revision, args.quiet, args.limit))
            left, right = both(lambda s: s.snapshot(managers=args.managers))
            rows, passed, met = [], [], collections.Counter()
            for row in compare(left, right):
                reason = next((why for e, why in meant if e.search(f"{name} {row[0]} {row[1]} {show(row[3])}")), None)
                if reason: met[reason] += 1; passed.append([*row, reason])
                else: rows.append(row)
            total += len(rows); reasons += met
            print(f"commit {name}: {sum(map(len, left.values()))} | {sum(map(len, right.values()))} objects, at rest after {seconds[0]} | {seconds[1]} s, {len(rows)} differences", flush=True)
            for reason, count in met.items(): print(f"  meant, {count} times: {reason}", flush=True)
            for key, field, u, v in rows: print(f"  {key}  {field}\n    flux  {show(u)}\n    agent {show(v)}", flush=True)
            kinds = collections.Counter(k.split()[0] for k, *_ in rows)
            if rows: print("  by kind: " + ", ".join(f"{k} {c}" for k, c in kinds.most_common()))
            report.append({"commit": name, "seconds": seconds, "differences": [list(r) for r in rows], "meant": passed, "objects": sum(map(len, left.values()))})
            for kind, path in (("Kustomization", KS), ("HelmRelease", HR)):
                for o in a.get(path)["items"]:
                    if not ready(o): print(f"  not Ready under Flux: {kind} {o['metadata']['name']}: {next((c['reason'] + ': ' + c['message'] for c in o['status'].get('conditions', []) if c['type'] == 'Ready'), '')[:300]}", flush=True)
        for e, reason in meant:
            if not reasons[reason]: print(f"named, and not met: {reason}")
        print(f"{total} differences in {len(report)} commits, {sum(reasons.values())} more that are meant")
        if args.o: json.dump(report, open(args.o, "w"), indent=1)
        return 1 if total else 0
    finally:
        if not args.keep: b.stop(); a.stop()


if __name__ == "__main__":
    import signal
    signal.signal(signal.SIGTERM, lambda *x: sys.exit(143))
    try: sys.exit(main())
    except (RuntimeError, TimeoutError, AssertionError, subprocess.CalledProcessError) as e: print(f"failed: {e}", file=sys.stderr); sys.exit(2)
