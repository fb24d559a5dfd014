"""The tools of terraform/check, each pinned, installed once into a folder: two virtual environments, and the typings of the
providers as far as they are used."""

import base64
import fcntl
import hashlib
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

HERE = pathlib.Path(__file__).parent

# Made from hashicorp/aws 6.25.0 and hashicorp/google 6.50.0.
PROVIDERS = {
    "aws": ("@cdktf/provider-aws@21.22.1", "BuSHeaQFUL9l33pBzIMRT7cTQ69AM2mLtijjteCPhVQRmvuhuj9Lvfymf7knAMhYqAT6+Lrls9jiGVW/Us3zrQ=="),
    "google": ("@cdktf/provider-google@16.12.1", "KqNA/5RiFT07r0PSZ6/07cJ2zESUgbj1JchVj21iBFBZVUbD+578xA/k8eq/r0cbyEgLmg9eYWeVslaYah4DCQ=="),
}


class Tools:
    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.root.mkdir(parents=True, exist_ok=True)

    def once(self, name, wanted, install):
        """Installs unless what is there was made of the same text. Of two that run at once, one waits."""
        wanted, marker = hashlib.sha256(wanted.encode()).hexdigest(), self.root / f"{name}.installed"
        with open(self.root / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not marker.exists() or marker.read_text() != wanted:
                marker.unlink(missing_ok=True)
                install()
                marker.write_text(wanted)
        return self.root / name

    def python(self, name="python", requirements="requirements.txt"):
        """The interpreter of a virtual environment with these packages."""
        text = (HERE / requirements).read_text()

        def install():
            print(f"   installing {requirements} …", flush=True)
            venv = self.root / name
            shutil.rmtree(venv, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            subprocess.run([*pip, "-r", HERE / requirements], check=True)

        return self.once(name, f"{sys.version}\n{text}", install) / "bin" / "python"

    def checkov(self):
        return self.python("checkov", "requirements-checkov.txt").parent / "checkov"

    def typings(self, folder):
        """Of each provider, the folder with the typings of all that is used below `folder`."""
        text = "\n".join(path.read_text() for path in sorted(pathlib.Path(folder).rglob("*.tf")))
        used = sorted(set(re.findall(r'^(resource|data) "(\w+)"', text, re.M)))
        return {name: self.typings_of(name, [(k, of) for k, of in used if of.startswith(f"{name}_")]) for name in PROVIDERS}

    def typings_of(self, name, used):
        package, sha512 = PROVIDERS[name]
        archive = self.root / f"{name}-package" / (package[1:].replace("/", "-").replace("@", "-") + ".tgz")

        def download():
            print(f"   downloading {package} …", flush=True)
            archive.parent.mkdir(exist_ok=True)
            subprocess.run(["npm", "pack", "--silent", package], cwd=archive.parent, stdout=subprocess.DEVNULL, check=True)
            found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
            if found != sha512:
                sys.exit(f"{package} is not the package that it was: sha512 {found}")

        wanted = {"provider"} | {
            (f"data-{of}" if kind == "data" else of.removeprefix(f"{name}_")).replace("_", "-") for kind, of in used
        }
        text = package + sha512 + "\n".join(sorted(wanted))
        # Named by what it holds, so that another checkout that uses other resources does not take it away from a check that runs.
        folder = self.root / f"{name}-typings-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

        def extract():
            shutil.rmtree(folder, ignore_errors=True)
            with tarfile.open(archive) as tar:
                for member in tar:
                    parts = member.name.split("/")
                    if len(parts) == 4 and parts[1] == "lib" and parts[2] in wanted and parts[3] in ("index.js", "index.d.ts"):
                        target = folder.joinpath(*parts[1:])
                        target.parent.mkdir(parents=True, exist_ok=True)
                        target.write_bytes(tar.extractfile(member).read())

        self.once(f"{name}-package", package + sha512, download)
        return self.once(folder.name, text, extract)
