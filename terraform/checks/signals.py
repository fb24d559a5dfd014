"""signals.py FILE PROGRAM: holds the log filters of modules/log_signals against what the program really prints. FILE holds the
module's outputs. Each run ends differently, and its log must give exactly the signals that are expected of it.

The filters are evaluated here: as much of the two clouds' languages as the module uses.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

CLOUDWATCH = re.compile(r'\(\$\.(\w+) = ("[^"]*"|\d+)\)')
LOGGING = re.compile(r'jsonPayload\.(\w+)=("[^"]*"|\d+)')


def terms(text, cloudwatch):
    """[(field, value)] of which one has to hold."""
    inner, pattern, between = (text[2:-2], CLOUDWATCH, " || ") if cloudwatch else (text[1:-1], LOGGING, " OR ")
    whole = text == (f"{{ {inner} }}" if cloudwatch else f"({inner})")
    found = [pattern.fullmatch(part) for part in inner.split(between)]
    if not whole or not all(found):
        sys.exit(f"a filter that this test does not understand: {text}")
    return [(match[1], json.loads(match[2])) for match in found]


def lines_of(log):
    """What a log service takes for structured: lines that are JSON objects."""
    for line in log.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry


def raised(signals, log):
    """name -> how many lines match, for each cloud alike."""
    counts = {}
    for name, signal in signals.items():
        by_cloud = [
            sum(any(entry.get(f) == v and type(entry.get(f)) is type(v) for f, v in of) for entry in lines_of(log))
            for of in (terms(signal["cloudwatch"], True), terms(signal["cloud_logging"], False))
        ]
        if by_cloud[0] != by_cloud[1]:
            sys.exit(f"the filters of {name} say different things")
        if by_cloud[0]:
            counts[name] = by_cloud[0]
    return counts


class Runs:
    def __init__(self, program, folder, signals):
        self.program, self.folder, self.signals = program, folder, signals
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("CONVEX_", "RUST_LOG"))}
        self.wrong, self.done = [], 0

    def start(self, *arguments, key="simulated|key"):
        return subprocess.Popen(
            # As the modules run it.
            [self.program, "--log-format", "json", *arguments],
            env=self.environment | {"CONVEX_DEPLOY_KEY": key},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            # ECS and Cloud Run put both into one log.
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ended(self, what, process, code, expected):
        log, _ = process.communicate(timeout=180)
        self.done += 1
        found = raised(self.signals, log)
        if process.returncode != code or found != dict.fromkeys(expected, 1):
            self.wrong.append(f"{what}: exit code {process.returncode} (expected {code}), signals {found} (expected {expected})\n{log}")

    def conflict(self, url):
        """Syncs that make one archive at once: whoever comes second to the first commit ends with 4."""
        for attempt in range(20):
            together = [self.start("sync", "--archive", f"race-{attempt}", "--deployment", url) for _ in range(3)]
            logs = [(process, process.communicate(timeout=180)[0]) for process in together]
            for process, log in logs:
                if process.returncode == 4:
                    self.done += 1
                    if (found := raised(self.signals, log)) != {"conflict": 1}:
                        self.wrong.append(f"a lost race: signals {found}\n{log}")
                    return
        self.wrong.append("20 races, and nobody lost one")


def main(file, program):
    with open(file) as text:
        signals = json.load(text)["signals"]
    program = pathlib.Path(program).resolve()
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(program, folder, signals)
        arguments = ["simulate", "--listen", "127.0.0.1:0", "--key", "simulated|key", "--generate", "300", "--latency", "20ms"]
        deployment = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            url = next(line.split()[1] for line in deployment.stdout if line.startswith("URL:"))
            sync = ["sync", "--deployment", url, "--archive"]
            # Nobody listens there: that heals itself, or no run completes. It takes half a minute to give up, meanwhile:
            nobody = runs.start("sync", "--deployment", "http://127.0.0.1:9", "--archive", "c")
            runs.ended("the first sync", runs.start(*sync, "a"), 0, ["completed"])
            runs.ended("a sync that finds nothing new", runs.start(*sync, "a"), 0, ["completed"])
            runs.ended("a sync with findings", runs.start(*sync, "b", "--include", "messages", "--include", "gone"), 3, ["completed", "findings"])
            runs.ended("a wrong key", runs.start(*sync, "a", key="simulated|other"), 2, ["failed"])
            runs.ended("status with time left", runs.start("status", "--archive", "a", "--fail-on", "window=13d"), 0, [])
            runs.ended("status with little left", runs.start("status", "--archive", "a", "--fail-on", "window=15d"), 3, ["window"])
            runs.conflict(url)
            runs.ended("no deployment", nobody, 5, [])
        finally:
            deployment.kill()
            deployment.wait()
    print("\n".join(runs.wrong))
    print(f"{runs.done} runs: {len(runs.wrong)} wrong")
    sys.exit(bool(runs.wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])
