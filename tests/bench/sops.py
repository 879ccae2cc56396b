#!/usr/bin/env python3
"""Opens encrypted files with the engine, with the original's library in a loop, and with the original's command, and compares
CPU time and plaintexts.
usage: sops.py [-e files|memory]... [--rounds N] [-o RESULTS.json]   env WORK: a folder for programs and data

  files     1,000 files of {1, 20, 500} values x formats x keys, made by the original's command: one row for each kind of key, whose
            identity alone is given, and one for all
  memory    the same files once and five times: the peak must not grow

PGP keys are given as GnuPG 1 kept them: such a ring the original's library opens without a gpg process. Each pair runs in turn, and the least CPU time of the rounds counts. Exits with 1 where an output differs or a bound is missed.
"""
import contextlib, json, os, shutil, subprocess

import beside
from beside import WORK, Loop

FOLDER = f"{WORK}/sops-files"
FORMATS = ("yaml", "json", "env", "ini", "bin")
# So many of each format and rule; few are large, as in repositories.
SIZES = {1: 17, 20: 9, 500: 3}


def programs():
    loop, command = beside.originals("sops", "sops")
    make(command)
    return {"ours": Loop([beside.built("sops", "files", "--profile", "dist")]), "loop": Loop([loop]), "command": beside.Command(command, lambda path: ["decrypt", path])}


def run(*command): return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# The variables that give the identity of each kind, to both.
IDENTITIES = {"x25519": {"SOPS_AGE_KEY_FILE": "x25519"}, "postquantum": {"SOPS_AGE_KEY_FILE": "postquantum"},
              "ed25519": {"SOPS_AGE_SSH_PRIVATE_KEY_FILE": "ed25519"}, "rsa": {"SOPS_AGE_SSH_PRIVATE_KEY_FILE": "rsa"},
              "pgp": {"GNUPGHOME": "gnupg", "SOPS_PGP_KEY_FILE": "pgp.asc"}}


@contextlib.contextmanager
def identity(kind):
    """Gives the identity of a kind, and no other."""
    variables = {name: f"{FOLDER}/{file}" for name, file in IDENTITIES[kind].items()}
    os.environ.update(variables)
    yield
    for name in variables: del os.environ[name]


def identities():
    """New identities of each kind, and the rules by which files are encrypted for them."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(f"{FOLDER}/gnupg", mode=0o700)
    run(f"{beside.HERE}/../testbed/build.sh", f"{WORK}/bin", "age")
    age = lambda name, count, *flags: keep(name, [run(f"{WORK}/bin/age-keygen", *flags) for _ in range(count)])
    recipients, [hybrid] = age("x25519", 3), age("postquantum", 1, "-pq")
    return {"x25519-one": {"age": recipients[0]}, "x25519-three": {"age": ",".join(recipients)},
            "x25519-groups": {"key_groups": [{"age": [recipients[0]]}, {"age": recipients[1:]}]},
            "postquantum-one": {"age": hybrid}, "ed25519-one": {"age": ssh("ed25519")}, "rsa-one": {"age": ssh("rsa", "-b", "3072")},
            "pgp-one": {"pgp": pgp()}}


def keep(name, made):
    with open(f"{FOLDER}/{name}", "w") as f: f.writelines(made)
    return [line.removeprefix("# public key: ") for text in made for line in text.splitlines() if line.startswith("# public key: ")]


def ssh(kind, *flags):
    run("ssh-keygen", "-q", "-t", kind, *flags, "-N", "", "-C", "", "-f", f"{FOLDER}/{kind}")
    with open(f"{FOLDER}/{kind}.pub") as f: return f.read().strip()


def pgp():
    """A key without a passphrase; its fingerprint."""
    gpg = lambda *arguments: subprocess.run(["gpg", "--homedir", f"{FOLDER}/gnupg", "--batch", "--pinentry-mode", "loopback", "--passphrase", "", *arguments], check=True, capture_output=True).stdout
    gpg("--quick-gen-key", "bench", "rsa3072", "default", "never")
    [fingerprint, *_] = [line.split(":")[9] for line in gpg("--with-colons", "-K").decode().splitlines() if line.startswith("fpr:")]
    gpg("--quick-add-key", fingerprint, "rsa3072", "encr", "never")
    for path, arguments in {"gnupg/secring.gpg": ["--export-secret-keys"], "gnupg/pubring.gpg": ["--export"], "pgp.asc": ["--armor", "--export-secret-keys"]}.items():
        exported = gpg(*arguments)
        with open(f"{FOLDER}/{path}", "wb") as f: f.write(exported)
    run("gpgconf", "--homedir", f"{FOLDER}/gnupg", "--kill", "gpg-agent")
    return fingerprint


def plain(form, count, number):
    """A document of so many values."""
    values = {f"key{i:03d}": f"value {number} {i} " + "x" * (i % 40) for i in range(count)}
    if form == "yaml": return "apiVersion: v1\nkind: Secret\nmetadata:\n    name: db\nstringData:\n" + "".join(f"    {k}: {v}\n" for k, v in values.items())
    if form == "json": return json.dumps({"stringData": values, "list": list(range(count))}, indent="\t")
    if form == "env": return "".join(f"{k}={v}\n" for k, v in values.items())
    if form == "ini": return "[section]\n" + "".join(f"{k} = {v}\n" for k, v in values.items())
    return "".join(values.values())


def make(command):
    """Files for each kind of key, and, where keys cost least, for three keys and for two groups of which each must open."""
    for name, rule in identities().items():
        with open(f"{FOLDER}/{name}.config", "w") as f: json.dump({"creation_rules": [rule]}, f)
        with identity(name.split("-")[0]):
            for form in FORMATS:
                for count, files in SIZES.items():
                    for number in range(files):
                        path = f"{FOLDER}/{name}-{count}-{number}.{form}"
                        with open(path, "w") as f: f.write(plain(form, count, number))
                        run(command, "--config", f"{FOLDER}/{name}.config", "encrypt", "-i", path)


class Experiments(beside.Experiments):
    def __init__(self, rounds): super().__init__(programs(), rounds)

    def jobs(self, kind): return sorted(f"{FOLDER}/{name}" for name in os.listdir(FOLDER) if name.startswith(f"{kind}-") and name.split(".")[-1] in FORMATS)

    def files(self):
        sums = dict.fromkeys(self.programs, 0)
        for kind in IDENTITIES:
            jobs = self.jobs(kind)
            differing = lambda ours, theirs: [job for job, a, b in zip(jobs, ours, theirs) if a is None or a != b]
            with identity(kind): figures = self.beside(kind, jobs, ["loop", "command"], differing)
            for side in sums: sums[side] += figures[side]["cpu_s"]
        ratios = {side: round(sums[side] / sums["ours"], 1) for side in ("loop", "command")}
        self.tell("all", cpu_s=sums, cpu_ratios=ratios)
        self.at_least("beside the command", 20, ratios["command"])
        self.at_least("beside the loop", 3, ratios["loop"])

    def memory(self):
        for kind in IDENTITIES:
            jobs = self.jobs(kind)
            with identity(kind): once, often = (self.programs["ours"].run(jobs * times)[2] for times in (1, 5))
            self.tell("memory", kind=kind, once_mib=round(once, 1), five_times_mib=round(often, 1))
            if often > 1.2 * once: self.miss(f"memory, {kind}: {often:.1f} MiB for five times the files, {once:.1f} for once")


if __name__ == "__main__": beside.main(__doc__, ["files", "memory"], Experiments)
