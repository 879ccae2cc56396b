#!/usr/bin/env python3
"""Builds folders with the engine, with the original's library in a loop, and with the original's command, and compares CPU
time, peak memory and, byte by byte, what they print.
usage: kustomize.py [-e folders|growth|crds]... [--rounds N] [-o RESULTS.json]   env WORK: a folder for programs and data

  folders   every folder of the corpus: real repositories, and the original's own tests
  growth    250 to 4,000 ConfigMaps with namespace, prefix and label
  crds      12 MB of the CRDs of real charts, with a label

Each pair runs in turn, and the least CPU time of the rounds counts; growth is counted in instructions, by valgrind. Exits with 1 where an output differs or a bound is missed.
"""
import argparse, glob, gzip, json, os, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.abspath(f"{HERE}/../..")
CORPUS = f"{PROJECT}/../shared/corpus"
WORK = os.path.abspath(os.environ.get("WORK", f"{PROJECT}/target/bench"))


# -- the three programs -----------------------------------------------------------------------------------------------
def programs():
    """Builds them, and says how each is started for a list of folders on its standard input."""
    os.makedirs(f"{WORK}/bin", exist_ok=True)
    lines = subprocess.run(["cargo", "bench", "--quiet", "-p", "kustomize", "--bench", "folders", "--no-run", "--message-format", "json"],
                           cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    messages = [json.loads(line) for line in lines if line.startswith("{")]
    [ours] = [m["executable"] for m in messages if m.get("target", {}).get("name") == "folders" and m.get("executable")]
    subprocess.run(["go", "build", "-o", f"{WORK}/bin/loop", "."], cwd=f"{HERE}/kustomize", check=True)
    subprocess.run([f"{HERE}/../testbed/build.sh", f"{WORK}/bin", "kustomize"], check=True)
    return {"ours": Loop([ours]), "loop": Loop([f"{WORK}/bin/loop"]), "command": Command(f"{WORK}/bin/kustomize")}


def measured(command, folders=()):
    """Output, CPU seconds, peak MiB."""
    out, given = f"{WORK}/out", f"{WORK}/in"
    with open(given, "w") as f: f.writelines(folder + "\n" for folder in folders)
    with open(given) as stdin, open(out, "wb") as stdout:
        process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    with open(out, "rb") as f: text = f.read()
    return text, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, process.returncode


def instructions(command, folder):
    """What a build executes. CPU time of a few milliseconds, most of them page faults, says little about growth."""
    told = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command], input=folder + "\n", text=True, check=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE).stderr
    return int(told.split("Collected :")[1].split()[0])


class Loop:
    """A program that builds folder after folder in one process."""
    def __init__(self, command): self.command = command

    def run(self, folders):
        text, seconds, peak, code = measured(self.command, folders)
        if code != 0: sys.exit(f"{self.command[0]} ended with {code}")
        outputs, at = [], 0
        while at < len(text):
            end = text.index(b"\n", at)
            length, at = int(text[at:end]), end + 1
            outputs.append(text[at:at + length] if length >= 0 else None)
            at += max(length, 0)
        return outputs, seconds, peak


class Command:
    """The original's command, a process for each folder."""
    def __init__(self, path): self.path = path

    def run(self, folders):
        outputs, seconds, peak = [], 0, 0
        for folder in folders:
            text, cpu, memory, code = measured([self.path, "build", "--load-restrictor", "LoadRestrictionsNone", "--reorder", "none", folder])
            outputs.append(text if code == 0 else None)
            seconds, peak = seconds + cpu, max(peak, memory)
        return outputs, seconds, peak


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
class Experiments:
    def __init__(self, rounds): self.programs, self.rounds, self.missed, self.results = programs(), rounds, [], []

    def beside(self, name, folders, others):
        """Runs ours and the others in turn, checks that all print the same, and gives the ratios of CPU time and peak memory."""
        folders, sides = list(folders), ["ours", *others]
        runs = [{side: self.programs[side].run(folders) for side in sides} for _ in range(self.rounds)]
        least = {side: (min(run[side][1] for run in runs), min(run[side][2] for run in runs)) for side in sides}
        figures = {side: {"cpu_s": round(cpu, 3), "peak_mib": round(peak)} for side, (cpu, peak) in least.items()}
        for side in others:
            differ = [folder for folder, a, b in zip(folders, runs[0]["ours"][0], runs[0][side][0], strict=True) if a != b]
            if differ: self.miss(f"{name}: {len(differ)} of {len(folders)} folders differ from the {side}'s: {differ[:3]}")
            figures[side] |= {"cpu_ratio": round(least[side][0] / least["ours"][0], 1), "memory_ratio": round(least[side][1] / least["ours"][1], 1)}
        self.tell(name, folders=len(folders), **figures)
        return figures

    def tell(self, name, **figures):
        self.results.append({"experiment": name, **figures})
        print(json.dumps(self.results[-1]), flush=True)

    def miss(self, text):
        self.missed.append(text)
        print(f"MISSED {text}", flush=True)

    def at_least(self, name, bound, value):
        if value < bound: self.miss(f"{name}: {value}, must be at least {bound}")

    def folders(self):
        figures = self.beside("folders", corpus_folders(), ["loop", "command"])
        self.at_least("folders, CPU beside the loop", 10, figures["loop"]["cpu_ratio"])

    def growth(self):
        counts, work = [250, 500, 1000, 2000, 4000], []
        for count in counts:
            folder = config_maps(count)
            figures = self.beside(f"growth {count}", [folder], ["loop"])
            work.append(instructions(self.programs["ours"].command, folder))
        steps = [round(b / a, 2) for a, b in zip(work, work[1:])]
        self.tell("growth of the instructions when the number doubles", steps=steps)
        if max(steps) > 2.2: self.miss(f"growth: {steps}, must be at most 2.2")
        self.at_least("growth, CPU at 4,000", 50, figures["loop"]["cpu_ratio"])

    def crds(self):
        folder, size = crds(12_000_000)
        figures = self.beside(f"crds of {size / 1e6:.1f} MB", [folder], ["loop", "command"])
        self.at_least("crds, CPU", 10, figures["loop"]["cpu_ratio"])
        self.at_least("crds, memory", 4, figures["loop"]["memory_ratio"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-e", "--experiment", action="append", choices=["folders", "growth", "crds"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-o", "--output")
    given = parser.parse_args()
    experiments = Experiments(given.rounds)
    for name in given.experiment or ["folders", "growth", "crds"]: getattr(experiments, name)()
    if given.output:
        with open(given.output, "w") as f: json.dump({"missed": experiments.missed, "results": experiments.results}, f, indent=1)
    sys.exit(1 if experiments.missed else 0)


if __name__ == "__main__": main()
