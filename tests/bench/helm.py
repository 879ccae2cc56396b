#!/usr/bin/env python3
"""Renders charts with the engine, with the original's engine in a loop, and with the original's command, and compares CPU time
and what they print.
usage: helm.py [-e charts|keys|growth]... [--rounds N] [-o RESULTS.json]   env WORK: a folder for programs and data

  charts    every chart of the corpus with its default values and with each of its files of values
  keys      those whose time is RSA and bcrypt
  growth    a chart with 25 to 400 dependencies, each with templates within templates

Each pair runs in turn, and the least CPU time of the rounds counts; growth is counted in instructions, by valgrind. Documents
are compared byte by byte, but for those in which the corpus masks what is random; those of bjw-s, whose order is random in
the original, as a set. Exits with 1 where an output differs or a bound is missed.
"""
import argparse, glob, gzip, json, os, shutil, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kustomize import CORPUS, HERE, PROJECT, WORK, Loop, measured

CHARTS = f"{CORPUS}/helm/charts"
# They make certificates, or hashes of passwords, which cost the same everywhere.
KEYS = ("actions-runner-controller", "bitnami-dremio", "bitnami-rabbitmq-cluster-operator", "prometheus-pushgateway")
# Dependencies that lie beside the chart in the corpus, and those that are nowhere: a chart without templates stands in.
BESIDE = ["kube-state-metrics", "prometheus-node-exporter"]
ABSENT = {"grafana": "12.11.1", "prometheus-windows-exporter": "0.12.0"}


class Command:
    """The original's command, a process for each chart."""
    def __init__(self, path): self.path = path

    def run(self, jobs):
        outputs, seconds, peak = [], 0, 0
        for job in map(json.loads, jobs):
            arguments = ["template", "rel", job["Chart"], "-n", "apps", "--include-crds", "--kube-version", job["Kube"], "--api-versions", ",".join(job["APIs"])]
            arguments += ["-f", job["Values"]] if job["Values"] else []
            arguments += ["--set", job["Set"]] if job["Set"] else []
            arguments += ["--skip-schema-validation"] if job["NoSchema"] else []
            text, cpu, memory, code = measured([self.path, *arguments])
            outputs.append(text if code == 0 else None)
            seconds, peak = seconds + cpu, max(peak, memory)
        return outputs, seconds, peak


def programs():
    """Builds the three programs, ours as it is shipped."""
    os.makedirs(f"{WORK}/bin", exist_ok=True)
    lines = subprocess.run(["cargo", "bench", "--quiet", "--profile", "dist", "-p", "helm", "--bench", "charts", "--no-run", "--message-format", "json"],
                           cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    messages = [json.loads(line) for line in lines if line.startswith("{")]
    [ours] = [m["executable"] for m in messages if m.get("target", {}).get("name") == "charts" and m.get("executable")]
    subprocess.run(["go", "build", "-o", f"{WORK}/bin/helm-loop", "."], cwd=f"{HERE}/helm", check=True)
    subprocess.run([f"{HERE}/../testbed/build.sh", f"{WORK}/bin", "helm"], check=True)
    # The setting of deploy/agent/deployment.yaml.
    return {"ours": Loop(["env", "MALLOC_ARENA_MAX=2", ours]), "loop": Loop([f"{WORK}/bin/helm-loop"]), "command": Command(f"{WORK}/bin/helm")}


# -- what is rendered -------------------------------------------------------------------------------------------------
def folder(name):
    """Where a chart lies; one whose dependencies are not with it is put together first."""
    if name != "kube-prometheus-stack": return f"{CHARTS}/{name}"
    whole = f"{WORK}/charts/{name}"
    shutil.rmtree(whole, ignore_errors=True)
    shutil.copytree(f"{CHARTS}/{name}", whole)
    for beside in BESIDE: shutil.copytree(f"{CHARTS}/{beside}", f"{whole}/charts/{beside}")
    for absent, version in ABSENT.items():
        os.makedirs(f"{whole}/charts/{absent}")
        with open(f"{whole}/charts/{absent}/Chart.yaml", "w") as f: f.write(f"apiVersion: v2\nname: {absent}\nversion: {version}\n")
    return whole


def corpus_jobs(chosen):
    """A line for each case that Helm renders, with what of it may differ: None for all, or indexes of documents."""
    for file in sorted(glob.glob(f"{CORPUS}/helm/expected/*.jsonl.gz")):
        name = os.path.basename(file).removesuffix(".jsonl.gz")
        if not chosen(name) or not os.path.isdir(f"{CHARTS}/{name}"): continue
        chart = folder(name)
        for line in gzip.open(file, "rt").read().split("\n"):
            case = json.loads(line) if line else {}
            if case.get("t") != "case" or case["status"] != "ok": continue
            given = dict(zip(case["args"], case["args"][1:]))
            values = case["values"] and (f"{CORPUS}/helm/{case['values']}" if case["values"].startswith("values/") else f"{CHARTS}/{case['values']}")
            masked = {mask["doc"] for mask in case.get("masks") or []}
            yield json.dumps({"Chart": chart, "Values": values or "", "Set": given.get("--set", ""), "Kube": given["--kube-version"],
                              "APIs": given["--api-versions"].split(","), "NoSchema": "--skip-schema-validation" in case["args"]}), masked, name.startswith("bjw-s")


def with_dependencies(count):
    """A chart with so many dependencies, all of which execute texts with templates in them."""
    chart = f"{WORK}/growth-helm-{count}"
    shutil.rmtree(chart, ignore_errors=True)
    text = "\n".join(f"  key{i}: {{{{ tpl .Values.text (dict \"Values\" .Values \"Template\" $.Template \"index\" {i}) | quote }}}}" for i in range(20))
    for index in range(count):
        below = f"{chart}/charts/part{index:03d}"
        os.makedirs(f"{below}/templates")
        with open(f"{below}/Chart.yaml", "w") as f: f.write(f"apiVersion: v2\nname: part{index:03d}\nversion: 1.0.0\n")
        with open(f"{below}/values.yaml", "w") as f: json.dump({"text": "{{ include \"part.name\" . }}-{{ .index }}-{{ .Values.global.team }}" + " words" * 20, "list": list(range(50))}, f)
        with open(f"{below}/templates/_helpers.tpl", "w") as f: f.write("{{ define \"part.name\" }}{{ .Values.global.team }}-{{ len .Values.list }}{{ end }}")
        with open(f"{below}/templates/map.yaml", "w") as f: f.write(f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{{{ include \"part.name\" . }}}}-{index}\ndata:\n{text}\n")
    with open(f"{chart}/Chart.yaml", "w") as f: f.write("apiVersion: v2\nname: whole\nversion: 1.0.0\n")
    with open(f"{chart}/values.yaml", "w") as f: f.write("global: {team: a}\n")
    return json.dumps({"Chart": chart, "Values": "", "Set": "", "Kube": "1.36.2", "APIs": ["a/v1"], "NoSchema": False})


def instructions(command, job):
    told = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command], input=job + "\n", text=True, check=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE).stderr
    return int(told.split("Collected :")[1].split()[0])


def documents(text, masked, as_set):
    found = text.split(b"---\n# Source: ")[1:]
    if as_set and not masked: return sorted(document.split(b"\n", 1)[1].strip() for document in found)
    if as_set or -1 in masked: return len(found)
    return [None if index in masked else document for index, document in enumerate(found)]


# -- experiments ------------------------------------------------------------------------------------------------------
class Experiments:
    def __init__(self, rounds): self.programs, self.rounds, self.missed, self.results = programs(), rounds, [], []

    def beside(self, name, cases, others):
        """Runs ours and the others in turn, checks that all print the same, and gives the ratios of CPU time."""
        cases, sides = list(cases), ["ours", *others]
        jobs = [job for job, *_ in cases]
        runs = [{side: self.programs[side].run(jobs) for side in sides} for _ in range(self.rounds)]
        least = {side: min(run[side][1] for run in runs) for side in sides}
        figures = {side: {"cpu_s": round(cpu, 3)} for side, cpu in least.items()}
        for side in others:
            differ = []
            for (job, masked, as_set), ours, theirs in zip(cases, runs[0]["ours"][0], runs[0][side][0], strict=True):
                seen = [text if text is None else documents(text, masked, as_set) for text in (ours, theirs)]
                if seen[0] != seen[1] or seen[0] is None: differ.append(f"{json.loads(job)['Chart']} {json.loads(job)['Values']}")
            if differ: self.miss(f"{name}: {len(differ)} of {len(cases)} differ from the {side}'s: {differ[:3]}")
            figures[side]["cpu_ratio"] = round(least[side] / least["ours"], 1)
        self.tell(name, renders=len(cases), **figures)
        return figures

    def tell(self, name, **figures):
        self.results.append({"experiment": name, **figures})
        print(json.dumps(self.results[-1]), flush=True)

    def miss(self, text):
        self.missed.append(text)
        print(f"MISSED {text}", flush=True)

    def at_least(self, name, bound, value):
        if value < bound: self.miss(f"{name}: {value}, must be at least {bound}")

    def charts(self):
        figures = self.beside("charts", corpus_jobs(lambda name: name not in KEYS), ["loop", "command"])
        self.at_least("charts, CPU beside the loop", 4, figures["loop"]["cpu_ratio"])
        self.at_least("charts, CPU beside the command", 10, figures["command"]["cpu_ratio"])

    def keys(self):
        self.beside("charts with keys and hashes", corpus_jobs(lambda name: name in KEYS), ["loop", "command"])

    def growth(self):
        counts, work = [25, 50, 100, 200, 400], []
        for count in counts:
            job = with_dependencies(count)
            self.beside(f"growth {count}", [(job, set(), False)], ["loop"])
            work.append(instructions(self.programs["ours"].command, job))
        steps = [round(b / a, 2) for a, b in zip(work, work[1:])]
        self.tell("growth of the instructions when the number doubles", instructions=work, steps=steps)
        if max(steps) > 2.2: self.miss(f"growth: {steps}, must be at most 2.2")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-e", "--experiment", action="append", choices=["charts", "keys", "growth"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-o", "--output")
    given = parser.parse_args()
    experiments = Experiments(given.rounds)
    for name in given.experiment or ["charts", "keys", "growth"]: getattr(experiments, name)()
    if given.output:
        with open(given.output, "w") as f: json.dump({"missed": experiments.missed, "results": experiments.results}, f, indent=1)
    sys.exit(1 if experiments.missed else 0)


if __name__ == "__main__": main()
