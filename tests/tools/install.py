"""install.py DIRECTORY: makes DIRECTORY/python, a virtual environment with the packages of requirements.txt, and
DIRECTORY/node/node_modules with those of package.json, DIRECTORY/next with those of requirements-next.txt for the same
Python, and DIRECTORY/clients, DIRECTORY/dbt and DIRECTORY/schedules, other virtual environments, with those of
requirements-clients.txt and so on, unless they are there already. Test programs run side by side: one installs, the others wait."""

import fcntl
import hashlib
import pathlib
import shutil
import subprocess
import sys

root = pathlib.Path(sys.argv[1])
here = pathlib.Path(__file__).parent
requirements = (here / "requirements.txt").read_text()
upcoming = (here / "requirements-next.txt").read_text()
clients = (here / "requirements-clients.txt").read_text()
dbt = (here / "requirements-dbt.txt").read_text()
schedules = (here / "requirements-schedules.txt").read_text()
package = (here / "package.json").read_text()


def packages(text):
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def new_python(name):
    """A virtual environment; answers how its pip installs."""
    venv = root / name
    shutil.rmtree(venv, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    return pip_of(name)


def pip_of(name):
    return [root / name / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def python():
    pip = new_python("python")
    for block in requirements.split("\n\n"):
        if wanted := packages(block):
            subprocess.run([*pip, *wanted], check=True)


def following():
    folder = root / "next"
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([*pip_of("python"), "--no-deps", "--target", folder, *packages(upcoming)], check=True)


def python_of_clients():
    pip = new_python("clients")
    subprocess.run([*pip, "--no-deps", "--ignore-requires-python", *packages(clients)], check=True)


def python_of_dbt():
    subprocess.run([*new_python("dbt"), "--no-deps", *packages(dbt)], check=True)


def python_of_schedules():
    subprocess.run([*new_python("schedules"), "--no-deps", *packages(schedules)], check=True)


def node():
    folder = root / "node"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "package.json").write_text(package)
    # Nothing of a package runs while it is installed.
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
    subprocess.run(["npm", "install", *quiet], cwd=folder, check=True)


def once(name, wanted, install, needs):
    """Installs unless what is there was made of the same text."""
    wanted, marker = hashlib.sha256(wanted.encode()).hexdigest(), root / name
    if marker.exists() and marker.read_text() == wanted:
        return
    marker.unlink(missing_ok=True)
    try:
        install()
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"{error}\nthe tests need {needs}")
    marker.write_text(wanted)


root.mkdir(parents=True, exist_ok=True)
with open(root / "lock", "w") as lock:
    # Given back when this process ends, however it ends.
    fcntl.flock(lock, fcntl.LOCK_EX)
    needs = "Python 3.11 with venv and pip (Debian: apt install python3-venv) and a package index"
    once("installed", f"{sys.version}\n{requirements}", python, needs)
    once("installed-next", f"{sys.version}\n{upcoming}", following, needs)
    once("installed-clients", f"{sys.version}\n{clients}", python_of_clients, needs)
    once("installed-dbt", f"{sys.version}\n{dbt}", python_of_dbt, needs)
    once("installed-schedules", f"{sys.version}\n{schedules}", python_of_schedules, needs)
    once("installed-node", package, node, "Node.js 20 with npm, and a package registry")
