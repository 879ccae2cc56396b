#!/usr/bin/env python3
"""Opens encrypted files with the engine, with the original's library in a loop, and with the original's command, and compares
CPU time and plaintexts.
usage: sops.py [-e files|memory]... [--rounds N] [-o RESULTS.json]   env WORK: a folder for programs and data

  files     1,000 files of {1, 20, 500} values x formats x keys, made by the original's command
  memory    the same files once and five times: the peak must not grow

Each pair runs in turn, and the least CPU time of the rounds counts. Exits with 1 where an output differs or a bound is missed.
"""
import json, os, shutil, subprocess

import beside
from beside import WORK, Loop

FOLDER = f"{WORK}/sops-files"
FORMATS = ("yaml", "json", "env", "ini", "bin")
# So many of each format and keys; few are large, as in repositories.
SIZES = {1: 40, 20: 22, 500: 5}


def programs():
    loop, command = beside.originals("sops", "sops")
    recipients = identities()
    os.environ["SOPS_AGE_KEY_FILE"] = f"{FOLDER}/key"
    make(command, recipients)
    return {"ours": Loop([beside.built("sops", "files", "--profile", "dist")]), "loop": Loop([loop]), "command": beside.Command(command, lambda path: ["decrypt", path])}


def identities():
    """Three new keys in one file, and what they are called."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)
    subprocess.run([f"{beside.HERE}/../testbed/build.sh", f"{WORK}/bin", "age"], check=True)
    made = [subprocess.run([f"{WORK}/bin/age-keygen"], check=True, capture_output=True, text=True).stdout for _ in range(3)]
    with open(f"{FOLDER}/key", "w") as f: f.writelines(made)
    return [line.removeprefix("# public key: ") for text in made for line in text.splitlines() if line.startswith("# public key: ")]


def plain(form, count, number):
    """A document of so many values."""
    values = {f"key{i:03d}": f"value {number} {i} " + "x" * (i % 40) for i in range(count)}
    if form == "yaml": return "apiVersion: v1\nkind: Secret\nmetadata:\n    name: db\nstringData:\n" + "".join(f"    {k}: {v}\n" for k, v in values.items())
    if form == "json": return json.dumps({"stringData": values, "list": list(range(count))}, indent="\t")
    if form == "env": return "".join(f"{k}={v}\n" for k, v in values.items())
    if form == "ini": return "[section]\n" + "".join(f"{k} = {v}\n" for k, v in values.items())
    return "".join(values.values())


def make(command, recipients):
    """Files for one key, for three, and for two groups of which each must open."""
    rules = {"one": {"age": recipients[0]}, "three": {"age": ",".join(recipients)},
             "groups": {"key_groups": [{"age": [recipients[0]]}, {"age": recipients[1:]}]}}
    for name, rule in rules.items():
        with open(f"{FOLDER}/{name}.config", "w") as f: json.dump({"creation_rules": [rule]}, f)
        for form in FORMATS:
            for count, files in SIZES.items():
                for number in range(files):
                    path = f"{FOLDER}/{name}-{count}-{number}.{form}"
                    with open(path, "w") as f: f.write(plain(form, count, number))
                    subprocess.run([command, "--config", f"{FOLDER}/{name}.config", "encrypt", "-i", path], check=True, capture_output=True)


class Experiments(beside.Experiments):
    def __init__(self, rounds): super().__init__(programs(), rounds)

    def jobs(self): return sorted(f"{FOLDER}/{name}" for name in os.listdir(FOLDER) if name.split(".")[-1] in FORMATS)

    def files(self):
        jobs = self.jobs()
        differing = lambda ours, theirs: [job for job, a, b in zip(jobs, ours, theirs) if a is None or a != b]
        figures = self.beside("files", jobs, ["loop", "command"], differing)
        self.at_least("beside the command", 20, figures["command"]["cpu_ratio"])
        self.at_least("beside the loop", 3, figures["loop"]["cpu_ratio"])

    def memory(self):
        jobs = self.jobs()
        once, often = (self.programs["ours"].run(jobs * times)[2] for times in (1, 5))
        self.tell("memory", once_mib=round(once, 1), five_times_mib=round(often, 1))
        if often > 1.2 * once: self.miss(f"memory: {often:.1f} MiB for five times the files, {once:.1f} for once")


if __name__ == "__main__": beside.main(__doc__, ["files", "memory"], Experiments)
