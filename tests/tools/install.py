"""install.py DIRECTORY: makes DIRECTORY/python, a virtual environment with the packages of requirements.txt, unless it is
there already. Test programs run side by side: one installs, the others wait."""

import fcntl
import hashlib
import pathlib
import shutil
import subprocess
import sys

root = pathlib.Path(sys.argv[1])
requirements = pathlib.Path(__file__).with_name("requirements.txt").read_text()
wanted = hashlib.sha256(f"{sys.version}\n{requirements}".encode()).hexdigest()
venv, marker = root / "python", root / "installed"

root.mkdir(parents=True, exist_ok=True)
with open(root / "lock", "w") as lock:
    # Given back when this process ends, however it ends.
    fcntl.flock(lock, fcntl.LOCK_EX)
    if marker.exists() and marker.read_text() == wanted:
        sys.exit()
    marker.unlink(missing_ok=True)
    shutil.rmtree(venv, ignore_errors=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        for block in requirements.split("\n\n"):
            if packages := [line for line in block.splitlines() if line and not line.startswith("#")]:
                pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
                subprocess.run([*pip, *packages], check=True)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}\nthe tests need Python 3.11 with venv and pip (Debian: apt install python3-venv) and a package index")
    marker.write_text(wanted)
