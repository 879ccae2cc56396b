"""An engine beside the original's library in a loop and the original's command: what kustomize.py and helm.py share."""
import argparse, json, os, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.abspath(f"{HERE}/../..")
CORPUS = f"{PROJECT}/../shared/corpus"
WORK = os.path.abspath(os.environ.get("WORK", f"{PROJECT}/target/bench"))


def built(package, bench, *flags):
    """Builds a program of ours from `benches`, and says where it is."""
    lines = subprocess.run(["cargo", "bench", "--quiet", *flags, "-p", package, "--bench", bench, "--no-run", "--message-format", "json"],
                           cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    messages = [json.loads(line) for line in lines if line.startswith("{")]
    [ours] = [m["executable"] for m in messages if m.get("target", {}).get("name") == bench and m.get("executable")]
    return ours


def originals(loop, command):
    """Builds the loop of a folder beside this file, and the command, and says where they are."""
    os.makedirs(f"{WORK}/bin", exist_ok=True)
    subprocess.run(["go", "build", "-o", f"{WORK}/bin/{loop}-loop", "."], cwd=f"{HERE}/{loop}", check=True)
    subprocess.run([f"{HERE}/../testbed/build.sh", f"{WORK}/bin", command], check=True)
    return f"{WORK}/bin/{loop}-loop", f"{WORK}/bin/{command}"


def measured(command, jobs=()):
    """Output, CPU seconds, peak MiB, exit code."""
    out, given = f"{WORK}/out", f"{WORK}/in"
    with open(given, "w") as f: f.writelines(job + "\n" for job in jobs)
    with open(given) as stdin, open(out, "wb") as stdout:
        process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    with open(out, "rb") as f: text = f.read()
    return text, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, process.returncode


def instructions(command, job):
    """What one job executes. CPU time of a few milliseconds, most of them page faults, says little about growth."""
    told = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command], input=job + "\n", text=True, check=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE).stderr
    return int(told.split("Collected :")[1].split()[0])


class Loop:
    """A program that does job after job, a line each, in one process."""
    def __init__(self, command): self.command = command

    def run(self, jobs):
        text, seconds, peak, code = measured(self.command, jobs)
        if code != 0: sys.exit(f"{self.command[0]} ended with {code}")
        outputs, at = [], 0
        while at < len(text):
            end = text.index(b"\n", at)
            length, at = int(text[at:end]), end + 1
            outputs.append(text[at:at + length] if length >= 0 else None)
            at += max(length, 0)
        return outputs, seconds, peak


class Command:
    """The original's command, a process for each job."""
    def __init__(self, path, arguments): self.path, self.arguments = path, arguments

    def run(self, jobs):
        outputs, seconds, peak = [], 0, 0
        for job in jobs:
            text, cpu, memory, code = measured([self.path, *self.arguments(job)])
            outputs.append(text if code == 0 else None)
            seconds, peak = seconds + cpu, max(peak, memory)
        return outputs, seconds, peak


class Experiments:
    """Experiments with the programs `ours`, `loop` and `command`: what they found, and what was missed."""
    def __init__(self, programs, rounds): self.programs, self.rounds, self.missed, self.results = programs, rounds, [], []

    def beside(self, name, jobs, others, differing):
        """Runs ours and the others in turn, and gives the ratios of CPU time and peak memory. `differing(ours, theirs)`, of
        all outputs, names those that are not the same."""
        jobs, sides = list(jobs), ["ours", *others]
        runs = [{side: self.programs[side].run(jobs) for side in sides} for _ in range(self.rounds)]
        least = {side: (min(run[side][1] for run in runs), min(run[side][2] for run in runs)) for side in sides}
        figures = {side: {"cpu_s": round(cpu, 3), "peak_mib": round(peak)} for side, (cpu, peak) in least.items()}
        for side in others:
            differ = differing(runs[0]["ours"][0], runs[0][side][0])
            if differ: self.miss(f"{name}: {len(differ)} of {len(jobs)} differ from the {side}'s: {differ[:3]}")
            figures[side] |= {"cpu_ratio": round(least[side][0] / least["ours"][0], 1), "memory_ratio": round(least[side][1] / least["ours"][1], 1)}
        self.tell(name, jobs=len(jobs), **figures)
        return figures

    def doubles(self, work):
        """Instructions of jobs each of which is twice the one before."""
        steps = [round(b / a, 2) for a, b in zip(work, work[1:])]
        self.tell("growth of the instructions when the number doubles", instructions=work, steps=steps)
        if max(steps) > 2.2: self.miss(f"growth: {steps}, must be at most 2.2")

    def tell(self, name, **figures):
        self.results.append({"experiment": name, **figures})
        print(json.dumps(self.results[-1]), flush=True)

    def miss(self, text):
        self.missed.append(text)
        print(f"MISSED {text}", flush=True)

    def at_least(self, name, bound, value):
        if value < bound: self.miss(f"{name}: {value}, must be at least {bound}")


def main(usage, names, experiments):
    """Does the experiments that are asked for, or all; exits with 1 where something was missed."""
    parser = argparse.ArgumentParser(description=usage, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-e", "--experiment", action="append", choices=names)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-o", "--output")
    given = parser.parse_args()
    done = experiments(given.rounds)
    for name in given.experiment or names: getattr(done, name)()
    if given.output:
        with open(given.output, "w") as f: json.dump({"missed": done.missed, "results": done.results}, f, indent=1)
    sys.exit(1 if done.missed else 0)
