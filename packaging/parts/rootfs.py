"""Everything that the container's image holds: the program, the parts of glibc that it needs, and hardly anything else."""

import pathlib
import re
import shutil
import subprocess

from .targets import NAME, ROOT

TEXTS = {
    # So that the user has a name in what tools print.
    "etc/passwd": "nobody:x:65534:65534:nobody:/nowhere:/nowhere\n",
    "etc/group": "nogroup:x:65534:\n",
    # Without it glibc asks the name servers before it looks into /etc/hosts.
    "etc/nsswitch.conf": "hosts: files dns\n",
}
# glibc's, which must be told where its files are.
COPYRIGHT = pathlib.Path("/usr/share/doc/libc6/copyright")


def libraries(program):
    """Those that the loader finds on this machine, and the loader: none, if the program needs none."""
    ended = subprocess.run(["ldd", program], capture_output=True, text=True)
    said = ended.stdout + ended.stderr
    if "not a dynamic executable" in said or "statically linked" in said:
        return []
    if ended.returncode or "not found" in said:
        raise SystemExit(f"the libraries of {program} are not here:\n{said}")
    return [pathlib.Path(path) for path in re.findall(r"(/\S+) \(0x", ended.stdout)]


def build(program, output):
    output = pathlib.Path(output)
    if output.exists() and any(output.iterdir()):
        raise SystemExit(f"{output} is not empty")
    files = [(program, NAME, 0o755)]
    # Under the names by which they are asked for, whatever they are links to.
    files += [(path, path.relative_to("/"), 0o755) for path in libraries(program)]
    files += [(ROOT / name, f"licenses/{name}", 0o644) for name in ("LICENSE-APACHE", "LICENSE-MIT")]
    if len(files) > 3 and COPYRIGHT.exists():
        files.append((COPYRIGHT, "licenses/glibc", 0o644))
    for source, name, mode in files:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, output / name)
        (output / name).chmod(mode)
    for name, text in TEXTS.items():
        (output / name).parent.mkdir(exist_ok=True)
        (output / name).write_text(text)
    # Pages that are too large for memory go there.
    (output / "tmp").mkdir()
    (output / "tmp").chmod(0o1777)
    return sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file())
