"""Programs that are watched: how they end, and what they said."""

import os
import pathlib
import signal
import subprocess
import time

PATIENCE = 60

# Who runs this by nohup or in the background lets it ignore some signals, and what is ignored is so in every child, too.
for one in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(one, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


def environment(**more):
    """This process's own, without what would steer the program or npm."""
    steering = ("CONVEX_", "AWS_", "npm_", "NPM_", "SSL_CERT_", "RUST_LOG", "MALLOC_", "GLIBC_", "NODE_OPTIONS", "NODE_PATH")
    return {name: value for name, value in os.environ.items() if not name.startswith(steering)} | more


def check(holds, *said):
    if not holds:
        raise SystemExit("\n".join(["this does not hold:", *map(str, said)]))


def ended(command, cwd, env, stdin=b""):
    """(code, stdout, stderr)"""
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, input=stdin, capture_output=True, timeout=PATIENCE)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class Running:
    """A program that has begun, in a process group of its own. Killed at the end, with all of the group."""

    def __init__(self, command, cwd, env, until, **more):
        self.process = subprocess.Popen(
            list(map(str, command)), cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            process_group=0, **more,
        )
        self.said = []
        while not self.said or until not in self.said[-1]:
            line = self.process.stdout.readline()
            if not line:
                self.process.wait()
                raise SystemExit(f"{command} ended with {self.process.returncode} and said no `{until}`:\n{''.join(self.said)}")
            self.said.append(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdout.close()

    def value(self, label):
        """What stands behind a label in what it said at its start."""
        return next(line.split(maxsplit=1)[1].strip() for line in self.said if line.startswith(label))

    def end(self):
        """How it ended; it must have been told to. Below zero: by which signal."""
        try:
            rest, _ = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"it does not end: {self.family()}") from None
        self.said.append(rest)
        return self.process.returncode

    def family(self):
        """Itself and all that descends from it, as (process, its name, its arguments)."""
        parents = {}
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                name, rest = stat.read_text().split("(", 1)[1].rsplit(")", 1)
                arguments = stat.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # It has ended.
            parents[int(stat.parent.name)] = (int(rest.split()[1]), name, arguments)
        found = {self.process.pid}
        while more := {pid for pid, (parent, _, _) in parents.items() if parent in found} - found:
            found |= more
        return [(pid, *parents[pid][1:]) for pid in sorted(found) if pid in parents]

    def wait_for(self, holds):
        begin = time.monotonic()
        while not (found := [one for one in self.family() if holds(one)]):
            check(time.monotonic() - begin < PATIENCE, "it does not come about", *self.family())
            time.sleep(0.02)
        return found[0]
