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
import glob, gzip, json, os, shutil

import beside
from beside import CORPUS, WORK, Loop, instructions

CHARTS = f"{CORPUS}/helm/charts"
# They make certificates, or hashes of passwords, which cost the same everywhere.
KEYS = ("actions-runner-controller", "bitnami-dremio", "bitnami-rabbitmq-cluster-operator", "prometheus-pushgateway")
# Dependencies that lie beside the chart in the corpus, and those that are nowhere: a chart without templates stands in.
BESIDE = ["kube-state-metrics", "prometheus-node-exporter"]
ABSENT = {"grafana": "12.11.1", "prometheus-windows-exporter": "0.12.0"}


def arguments(line):
    """What the original's command is given for a job."""
    job = json.loads(line)
    return ["template", "rel", job["Chart"], "-n", "apps", "--include-crds", "--kube-version", job["Kube"], "--api-versions", ",".join(job["APIs"]),
            *(["-f", job["Values"]] if job["Values"] else []), *(["--set", job["Set"]] if job["Set"] else []), *(["--skip-schema-validation"] if job["NoSchema"] else [])]


def programs():
    """How each of the three is started for a list of jobs; ours with two places for freed memory, as the agent has."""
    loop, command = beside.originals("helm", "helm")
    os.environ["MALLOC_ARENA_MAX"] = "2"
    return {"ours": Loop([beside.built("helm", "charts", "--profile", "dist")]), "loop": Loop([loop]), "command": beside.Command(command, arguments)}


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


def documents(text, masked, as_set):
    found = text.split(b"---\n# Source: ")[1:]
    if as_set and not masked: return sorted(document.split(b"\n", 1)[1].strip() for document in found)
    if as_set or -1 in masked: return len(found)
    return [None if index in masked else document for index, document in enumerate(found)]


# -- experiments ------------------------------------------------------------------------------------------------------
class Experiments(beside.Experiments):
    def __init__(self, rounds): super().__init__(programs(), rounds)

    def beside(self, name, cases, others):
        cases = list(cases)

        def differing(ours, theirs):
            for (job, masked, as_set), *texts in zip(cases, ours, theirs, strict=True):
                seen = [text if text is None else documents(text, masked, as_set) for text in texts]
                if seen[0] != seen[1] or seen[0] is None: yield f"{json.loads(job)['Chart']} {json.loads(job)['Values']}"
        return super().beside(name, [job for job, *_ in cases], others, lambda *outputs: list(differing(*outputs)))

    def charts(self):
        figures = self.beside("charts", corpus_jobs(lambda name: name not in KEYS), ["loop", "command"])
        self.at_least("charts, CPU beside the loop", 4, figures["loop"]["cpu_ratio"])
        self.at_least("charts, CPU beside the command", 10, figures["command"]["cpu_ratio"])

    def keys(self):
        self.beside("charts with keys and hashes", corpus_jobs(lambda name: name in KEYS), ["loop", "command"])

    def growth(self):
        work = []
        for count in [25, 50, 100, 200, 400]:
            job = with_dependencies(count)
            self.beside(f"growth {count}", [(job, set(), False)], ["loop"])
            work.append(instructions(self.programs["ours"].command, job))
        self.doubles(work)


if __name__ == "__main__": beside.main(__doc__, ["charts", "keys", "growth"], Experiments)
