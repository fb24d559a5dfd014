"""Measures the release binary of convex-archiver: against DuckDB's COPY and its way from the archive to a state, against
itself, against a client that does nothing. Standard library only; builds and fetches what it needs into target/compare/.

Two commands run in turn, A B A B ...: machines are shared and noisy, so read CPU seconds and the ratios pair by pair,
never one wall time. CPU (user + system), wall time and peak RSS of a process are the kernel's, from wait4; the server's
own are not in them. After each scenario the rows written are counted: a run that lost one is no result.
"""

import argparse
import contextlib
import glob
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORK = os.path.join(ROOT, "target", "compare")
DUCKDB = "2.0.0"
DOCUMENTS = 2_000_000
MIB = 1 << 20


def main():
    says = {name: " ".join(run.__doc__.split()) for name, run in SCENARIOS.items()}
    epilog = "scenarios:\n" + "\n".join(f"  {name:12} {text}" for name, text in says.items())
    parser = argparse.ArgumentParser(
        prog="benches/compare/run",
        description=__doc__,
        epilog=epilog + "\n\nDisk: 5 GB for x1 and 4 GB for x4 in target/compare/data, kept for the next time.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help="which ones, in this order (default: all)")
    parser.add_argument("--pairs", type=int, default=5, help="how often each command runs (default 5)")
    parser.add_argument("--binary", help="measure this convex-archiver instead of building target/release")
    options = parser.parse_args()
    unknown = [name for name in options.scenario if name not in SCENARIOS]
    if unknown or options.pairs < 1:
        parser.error(f"no such scenario: {', '.join(unknown)}" if unknown else "--pairs must be at least 1")
    bench = Bench(options)
    for name in options.scenario or SCENARIOS:
        print(f"\n## {name}: {says[name]}", flush=True)
        SCENARIOS[name](bench)


class Bench:
    def __init__(self, options):
        self.pairs = options.pairs
        for folder in ("bin", "data", "out", "log"):
            os.makedirs(os.path.join(WORK, folder), exist_ok=True)
        self.gen, self.server, self.follow = rust("gen", "documents"), rust("server"), rust("follow")
        self.python = venv()
        if options.binary:
            self.archiver = os.path.abspath(options.binary)
        else:
            call(["cargo", "build", "--release", "--locked", "--bin", "convex-archiver"], cwd=ROOT)
            target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
            self.archiver = os.path.join(ROOT, target, "release", "convex-archiver")
        describe(self.archiver)

    def data(self, scale, kind):
        """The folder of pages at this scale, with `kind` in it, generated once."""
        folder = os.path.join(WORK, "data", f"x{scale}")
        done = os.path.join(folder, f"{kind}.done")
        stamp = str(os.path.getmtime(self.gen))
        if not os.path.exists(done) or open(done).read() != stamp:
            shutil.rmtree(os.path.join(folder, kind), ignore_errors=True)
            call([self.gen, folder, str(scale), kind])
            with open(done, "w") as file:
                file.write(stamp)
        return folder

    @contextlib.contextmanager
    def serve(self, scale, snapshot, deltas, delay=0):
        """The port of a server of these pages."""
        for kind in (snapshot, deltas):
            if kind != "none":
                folder = self.data(scale, kind)
        process = subprocess.Popen(
            [self.server, folder, snapshot, deltas, str(delay)], stdout=subprocess.PIPE, text=True
        )
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()
            process.wait()

    def sync(self, port, documents):
        """One command: a whole sync into an empty archive, and the check that all documents are in it."""
        out = os.path.join(WORK, "out", "archive")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CONVEX_")}
        environment["CONVEX_SELF_HOSTED_URL"] = f"http://127.0.0.1:{port}"
        environment["CONVEX_SELF_HOSTED_ADMIN_KEY"] = "bench|0123456789abcdef"
        return Command([self.archiver, "sync", "--archive", out], out, environment, documents)

    def duckdb(self, scale):
        """One command: DuckDB's COPY of the same documents."""
        out = os.path.join(WORK, "out", "duckdb")
        source = os.path.join(self.data(scale, "ndjson"), "ndjson")
        script = os.path.join(HERE, "duckdb_copy.py")
        return Command([self.python, script, source, out], out, None, DOCUMENTS * scale)

    def duckdb_state(self, views, what):
        """One command: DuckDB's own way from the archive to its newest state."""
        out = os.path.join(WORK, "out", "duckdb")
        return Command([self.python, os.path.join(HERE, "duckdb_state.py"), views, what, out], out, None, None)

    def pairs_of(self, a, b):
        """The runs of two commands in turn; the rows that each wrote last are counted."""
        runs = []
        for _ in range(self.pairs):
            runs.append((a.run(), b.run()))
            print(".", end="", flush=True)
        print()
        self.check(a)
        self.check(b)
        return runs

    def runs_of(self, a):
        runs = []
        for _ in range(self.pairs):
            runs.append(a.run())
            print(".", end="", flush=True)
        print()
        self.check(a)
        return runs

    def check(self, command):
        if command.documents is None:
            return
        count = (
            "import duckdb, sys\n"
            "files = sys.stdin.read().splitlines()\n"
            "duckdb.sql('set enable_progress_bar = false')\n"
            "print(sum(n for (n,) in duckdb.execute('select num_rows from parquet_file_metadata(?)', [files]).fetchall()))"
        )
        files = "\n".join(command.files())
        rows = int(subprocess.check_output([self.python, "-c", count], input=files, text=True))
        if rows != command.documents:
            sys.exit(f"{command.name}: {rows} rows written instead of {command.documents}: nothing to compare")


class Command:
    """Something to run; its output folder is emptied before each run, and stays after the last."""

    def __init__(self, arguments, out, environment, documents):
        self.arguments, self.out, self.environment, self.documents = arguments, out, environment, documents
        self.name = os.path.basename(arguments[0])
        self.log = os.path.join(WORK, "log", f"{self.name}.log")

    def files(self):
        return sorted(glob.glob(os.path.join(self.out, "**", "*.parquet"), recursive=True))

    def said(self):
        """What it printed last."""
        with open(self.log, errors="replace") as file:
            return file.read()

    def run(self):
        """CPU seconds, wall seconds, peak MiB, megabytes of Parquet."""
        if self.out:
            shutil.rmtree(self.out, ignore_errors=True)
            os.makedirs(self.out)
        log = self.log
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions = [(os.POSIX_SPAWN_OPEN, 1, log, flags, 0o644), (os.POSIX_SPAWN_DUP2, 1, 2)]
        began = time.monotonic()
        process = os.posix_spawnp(
            self.arguments[0], self.arguments, self.environment or os.environ, file_actions=actions
        )
        try:
            _, status, usage = os.wait4(process, 0)
        except KeyboardInterrupt:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise
        wall = time.monotonic() - began
        if status:
            tail = open(log, errors="replace").read()[-2000:]
            sys.exit(f"\nfailed ({os.waitstatus_to_exitcode(status)}): {' '.join(self.arguments)}\n{tail}")
        # Linux counts in KiB, macOS in bytes.
        peak = usage.ru_maxrss / (1 if sys.platform == "darwin" else 1024) / (MIB if sys.platform == "darwin" else 1)
        stored = sum(os.path.getsize(path) for path in self.files()) / 1e6 if self.out else 0
        return usage.ru_utime + usage.ru_stime, wall, peak, stored


def snapshot(bench):
    """2 M documents, 1 GB, against DuckDB's COPY. Goals: CPU and wall at least 1.5x less, peak at most 256 MiB."""
    with bench.serve(1, "snap", "none") as port:
        runs = bench.pairs_of(bench.sync(port, DOCUMENTS), bench.duckdb(1))
    table("archiver", "DuckDB", runs)


def snapshot_x4(bench):
    """8 M documents, 4 GB. Goal: peak at most 256 MiB, as at x1."""
    with bench.serve(4, "snap", "none") as port:
        peaks("archiver", bench.runs_of(bench.sync(port, 4 * DOCUMENTS)))


def deltas(bench):
    """The same documents, six tables interleaved, as deltas after an empty snapshot, against the snapshot's CPU per
    document. Goal: at most 1.5x."""
    with bench.serve(1, "none", "mixed") as mixed, bench.serve(1, "snap", "none") as walked:
        runs = bench.pairs_of(bench.sync(walked, DOCUMENTS), bench.sync(mixed, DOCUMENTS))
    table("snapshot", "deltas", runs)


def tables(bench):
    """The same documents dealt out into 504 tables, interleaved, as deltas. Goal: peak at most 256 MiB."""
    with bench.serve(1, "none", "many") as port:
        peaks("archiver", bench.runs_of(bench.sync(port, DOCUMENTS)))


def state(bench):
    """2 M documents and 1 M later revisions of them: the newest state as a restore, as text, and counted, against DuckDB
    running the views on the same files. Goal: wall no longer, peak at most 256 MiB."""
    with bench.serve(1, "snap", "later") as port:
        made = bench.sync(port, DOCUMENTS + DOCUMENTS // 2)
        # Some thirty files of deltas a table, as of as many runs.
        made.arguments += ["--commit-every", "100ms"]
        made.run()
    bench.check(made)
    views = os.path.join(WORK, "out", "views.sql")
    with open(views, "w") as file:
        script = [bench.archiver, "-q", "views", "--engine", "duckdb", "--archive", made.out]
        subprocess.run(script, stdout=file, check=True)
    out = os.path.join(WORK, "out", "state")
    for what, arguments in (
        ("restore", ["restore", "--output", os.path.join(out, "restore.zip")]),
        ("text", ["export", "--format", "ndjson", "--output", os.path.join(out, "text")]),
        ("count", ["tables", "--count"]),
    ):
        a = Command([bench.archiver, "-q", *arguments, "--json", "--archive", made.out], out, None, None)
        b = bench.duckdb_state(views, what)
        runs = bench.pairs_of(a, b)
        said = json.loads(a.said())
        ours = sum(table["documents"] for table in said["tables"])
        theirs = int(b.said().rsplit("documents ", 1)[1])
        if ours != theirs:
            sys.exit(f"{what}: {ours} documents, DuckDB has {theirs}: nothing to compare")
        print(f"{what}: {ours} documents, {len(made.files())} files")
        table("archiver", "DuckDB", runs)


def latency(bench):
    """20 ms before every answer, against a client that follows the cursors and throws the pages away. Goal: wall at most
    1.15x."""
    with bench.serve(1, "snap", "none", delay=20) as port:
        follow = Command([bench.follow, port], None, None, None)
        runs = bench.pairs_of(follow, bench.sync(port, DOCUMENTS))
    table("follower", "archiver", runs)


SCENARIOS = {
    "snapshot": snapshot,
    "snapshot-x4": snapshot_x4,
    "deltas": deltas,
    "tables": tables,
    "latency": latency,
    "state": state,
}


def table(a, b, runs):
    """Medians, and the ratios pair by pair."""
    print(f"{'':14} {a:>10} {b:>10}   {b + '/' + a}: min - median - max of {len(runs)} pairs")
    for place, name in enumerate(("CPU s", "wall s", "peak MiB", "Parquet MB")):
        left, right = [run[0][place] for run in runs], [run[1][place] for run in runs]
        line = f"{name:14} {statistics.median(left):10.2f} {statistics.median(right):10.2f}"
        if all(left) and all(right):
            ratios = [y / x for x, y in zip(left, right)]
            line += f"   {min(ratios):.3f} - {statistics.median(ratios):.3f} - {max(ratios):.3f}"
        print(line)


def peaks(name, runs):
    for place, what in enumerate(("CPU s", "wall s", "peak MiB", "Parquet MB")):
        values = [run[place] for run in runs]
        print(f"{what:14} {name}: {min(values):.2f} - {statistics.median(values):.2f} - {max(values):.2f}"
              f"   min - median - max of {len(runs)} runs")


def rust(name, *modules):
    """The program of a source file that stands here, and of its modules."""
    sources = [os.path.join(HERE, f"{source}.rs") for source in (name, *modules)]
    program = os.path.join(WORK, "bin", name)
    if not os.path.exists(program) or os.path.getmtime(program) < max(map(os.path.getmtime, sources)):
        call(["rustc", "--edition", "2021", "-O", "-o", program, sources[0]])
    return program


def venv():
    """The interpreter of an environment with the peer in it."""
    folder = os.path.join(WORK, f"venv-duckdb-{DUCKDB}")
    python = os.path.join(folder, "bin", "python")
    done = os.path.join(folder, "done")
    if not os.path.exists(done):
        call([sys.executable, "-m", "venv", "--clear", folder])
        call([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"duckdb=={DUCKDB}"])
        open(done, "w").close()
    return python


def call(arguments, **more):
    print("+", " ".join(arguments), file=sys.stderr, flush=True)
    if subprocess.run(arguments, stdout=sys.stderr, **more).returncode:
        sys.exit(f"failed: {' '.join(arguments)}")


def describe(archiver):
    def said(*arguments):
        try:
            answer = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT)
            return answer.stdout.strip() if answer.returncode == 0 else "unknown"
        except OSError:
            return "unknown"

    cpu = platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    with contextlib.suppress(OSError):
        names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
        cpu = names[0] if names else cpu
    print(f"{said(archiver, '--version')} at {said('git', 'rev-parse', '--short', 'HEAD')}; DuckDB {DUCKDB}; "
          f"{said('rustc', '--version')}; Python {platform.python_version()}")
    print(f"{os.cpu_count()} cores ({cpu}), {memory:.0f} GiB, {platform.system()} {platform.release()}, "
          f"{time.strftime('%Y-%m-%d', time.gmtime())}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
