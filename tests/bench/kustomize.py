#!/usr/bin/env python3
"""Builds folders with the engine, with the original's library in a loop, and with the original's command, and compares CPU
time, peak memory and, byte by byte, what they print.
usage: kustomize.py [-e folders|growth|crds]... [--rounds N] [-o RESULTS.json]   env WORK: a folder for programs and data

  folders   every folder of the corpus: real repositories, and the original's own tests
  growth    250 to 4,000 ConfigMaps with namespace, prefix and label
  crds      12 MB of the CRDs of real charts, with a label

Each pair runs in turn, and the least CPU time of the rounds counts; growth is counted in instructions, by valgrind. Exits with 1 where an output differs or a bound is missed.
"""
import glob, gzip, json, os

import beside
from beside import CORPUS, WORK, Loop, instructions


def programs():
    """How each of the three is started for a list of folders."""
    loop, command = beside.originals("kustomize", "kustomize")
    arguments = lambda folder: ["build", "--load-restrictor", "LoadRestrictionsNone", "--reorder", "none", folder]
    return {"ours": Loop([beside.built("kustomize", "folders")]), "loop": Loop([loop]), "command": beside.Command(command, arguments)}


# -- what is built ----------------------------------------------------------------------------------------------------
def corpus_folders():
    for file in sorted(glob.glob(f"{CORPUS}/kustomize/repos/*.jsonl.gz")):
        repository = os.path.basename(file).removesuffix(".jsonl.gz")
        for line in gzip.open(file, "rt").read().split("\n"):
            if line: yield f"{CORPUS}/repos/{repository}/{json.loads(line)['dir']}"
    for file in sorted(glob.glob(f"{CORPUS}/kustomize/cases/*/case.json")):
        yield f"{os.path.dirname(file)}/in/{json.load(open(file))['build']}"


def written(name, resources, **fields):
    """A folder with these resources, by file name, and a kustomization of them."""
    folder = f"{WORK}/{name}"
    os.makedirs(folder, exist_ok=True)
    for file, text in resources.items():
        with open(f"{folder}/{file}", "w") as f: f.write(text)
    with open(f"{folder}/kustomization.yaml", "w") as f: json.dump({"resources": sorted(resources), **fields}, f)
    return folder


def config_maps(count):
    objects = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"settings-{i:05d}"}, "data": {"index": str(i), "text": "some text\n" * 4}} for i in range(count)]
    labels = [{"pairs": {"team": "a"}, "includeSelectors": True}]
    return written(f"growth-{count}", {"all.yaml": "---\n".join(json.dumps(o) + "\n" for o in objects)}, namespace="apps", namePrefix="one-", labels=labels)


def crds(bytes_wanted):
    resources, size, names = {}, 0, set()
    for file in sorted(glob.glob(f"{CORPUS}/helm/charts/**/*.yaml", recursive=True), key=lambda file: (-os.path.getsize(file), file)):
        text = open(file).read()
        name = next((line for line in text.splitlines() if line.startswith("  name: ")), None)
        if not text.lstrip("-# \n").startswith("apiVersion: apiextensions.k8s.io/v1\n") or "{{" in text or text.count("\nkind: ") != 1 or name in names: continue
        names.add(name)
        resources[f"{len(resources):03d}.yaml"] = text
        size += len(text)
        if size >= bytes_wanted: break
    return written("crds", resources, labels=[{"pairs": {"team": "a"}}]), size


# -- experiments ------------------------------------------------------------------------------------------------------
class Experiments(beside.Experiments):
    def __init__(self, rounds): super().__init__(programs(), rounds)

    def beside(self, name, folders, others):
        folders = list(folders)
        differing = lambda ours, theirs: [folder for folder, a, b in zip(folders, ours, theirs, strict=True) if a != b]
        return super().beside(name, folders, others, differing)

    def folders(self):
        figures = self.beside("folders", corpus_folders(), ["loop", "command"])
        self.at_least("folders, CPU beside the loop", 10, figures["loop"]["cpu_ratio"])

    def growth(self):
        counts, work = [250, 500, 1000, 2000, 4000], []
        for count in counts:
            folder = config_maps(count)
            figures = self.beside(f"growth {count}", [folder], ["loop"])
            work.append(instructions(self.programs["ours"].command, folder))
        self.doubles(work)
        self.at_least("growth, CPU at 4,000", 50, figures["loop"]["cpu_ratio"])

    def crds(self):
        folder, size = crds(12_000_000)
        figures = self.beside(f"crds of {size / 1e6:.1f} MB", [folder], ["loop", "command"])
        self.at_least("crds, CPU", 10, figures["loop"]["cpu_ratio"])
        self.at_least("crds, memory", 4, figures["loop"]["memory_ratio"])


if __name__ == "__main__": beside.main(__doc__, ["folders", "growth", "crds"], Experiments)
