"""What is installed for packaging, each pinned, once, below the build folder."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

from .targets import ROOT

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
TOOLS = pathlib.Path(os.environ.get("CONVEX_ARCHIVER_PACKAGING_TOOLS") or TARGET / "packaging-tools").resolve()


def run(*command, cwd=None, env=None, stdin=None):
    """What a command printed; ends with all that it said, if it ended badly."""
    ended = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**os.environ, **(env or {})}, input=stdin or "", capture_output=True, text=True
    )
    if ended.returncode:
        raise SystemExit(f"{' '.join(map(str, command[:4]))} … ended with {ended.returncode}\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def once(name, wanted, install):
    """The folder `name`. Installs unless what is there was made of the same text. Of two that run at once, one waits."""
    import fcntl  # Not on Windows, where nothing is installed.

    TOOLS.mkdir(parents=True, exist_ok=True)
    wanted, marker, folder = hashlib.sha256(wanted.encode()).hexdigest(), TOOLS / f"{name}.installed", TOOLS / name
    with open(TOOLS / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.exists() or marker.read_text() != wanted:
            print(f"   installing {name} …", file=sys.stderr, flush=True)
            marker.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            install(folder)
            marker.write_text(wanted)
    return folder


def python(requirements):
    """The programs of a virtual environment with these packages."""
    text = (ROOT / "packaging" / requirements).read_text()

    def install(folder):
        run(sys.executable, "-m", "venv", folder)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        run(*pip, "-r", ROOT / "packaging" / requirements)

    return once(pathlib.Path(requirements).stem, f"{sys.version}\n{text}", install) / "bin"


def node(*packages):
    """The folder `node_modules` with these packages and what they need. Nothing of a package runs while it is installed."""

    def install(folder):
        folder.mkdir()
        (folder / "package.json").write_text('{"private": true}')
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
        run("npm", "install", *quiet, *packages, cwd=folder)

    name = "-".join(package.rpartition("@")[0].replace("/", "-").lstrip("@") for package in packages)
    return once(f"node-{name}", "\n".join(packages), install) / "node_modules"


def crate(name, version):
    """The program of a crate. It is built, which takes minutes the first time."""

    def install(folder):
        run("cargo", "install", "--quiet", "--locked", "--root", folder, f"{name}@{version}")

    return once(name, version, install) / "bin" / name
