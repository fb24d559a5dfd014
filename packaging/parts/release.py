"""The files of a release: archives, checksums, the list of what is inside."""

import gzip
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import time
import zipfile

from . import tools
from .targets import NAME, ROOT, VERSION

BESIDE = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"]
CYCLONEDX = "0.5.7"
SBOM = f"{NAME}-{VERSION}.cdx.json"
# A ZIP knows no earlier one.
EARLIEST = 315532800


def moment():
    """What all files of an archive are dated, so that the same files make the same archive."""
    told = os.environ.get("SOURCE_DATE_EPOCH")
    if not told:
        asked = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True)
        told = asked.stdout.strip() if asked.returncode == 0 else ""
    return max(int(told or 0), EARLIEST)


def archive(target, program, output):
    output.mkdir(parents=True, exist_ok=True)
    path, when = output / target.archive, moment()
    files = [(pathlib.Path(program), target.program, 0o755)] + [(ROOT / name, name, 0o644) for name in BESIDE]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zip:
            for source, name, mode in files:
                entry = zipfile.ZipInfo(f"{target.folder}/{name}", time.gmtime(when)[:6])
                entry.external_attr, entry.compress_type = mode << 16, zipfile.ZIP_DEFLATED
                zip.writestr(entry, source.read_bytes())
        return path
    # Without a name and a date of its own.
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=when) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for source, name, mode in files:
            entry = tar.gettarinfo(source, f"{target.folder}/{name}")
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            entry.mode, entry.mtime = mode, when
            with open(source, "rb") as content:
                tar.addfile(entry, content)
    return path


def unpacked(target, archives, output):
    """The program out of a platform's archive."""
    shutil.unpack_archive(archives / target.archive, output)
    return pathlib.Path(output) / target.folder / target.program


def sums(folder):
    """As `sha256sum --check` reads them."""
    paths = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    if not paths:
        raise SystemExit(f"{folder} has no files")
    lines = []
    for path in paths:
        with open(path, "rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    (folder / "SHA256SUMS").write_text("".join(lines))
    return folder / "SHA256SUMS"


def binary(target, jobs=None):
    """Builds the program of a platform; where it is."""
    arguments = ["--locked", "--profile", "dist", "--bin", NAME]
    if jobs:
        arguments.append(f"-j{jobs}")
    env = dict(os.environ)
    if target.linked_by_zig:
        env["PATH"] = f"{tools.python('requirements.txt')}{os.pathsep}{env['PATH']}"
        triple = f"{target.triple}.{target.glibc}" if target.glibc else target.triple
        command = ["cargo", "zigbuild", "--target", triple, *arguments]
    else:
        command = ["cargo", "build", "--target", target.triple, *arguments]
    if subprocess.run(command, cwd=ROOT, env=env).returncode:
        raise SystemExit(f"{target.triple} cannot be built")
    program = tools.TARGET / target.triple / "dist" / target.program
    if target.glibc:
        needs = glibc_needed(program)
        if needs > version_of(target.glibc):
            raise SystemExit(f"{program} needs glibc {'.'.join(map(str, needs))}, not {target.glibc}")
    return program


def version_of(text):
    return tuple(map(int, text.split(".")))


def glibc_needed(program):
    """The newest version of glibc of which a dynamic symbol is needed."""
    said = tools.run("objdump", "-T", program)
    versions = {version_of(text) for text in re.findall(r"\(?GLIBC_([0-9.]+)\)?", said)}
    if not versions:
        raise SystemExit(f"{program} needs no symbol of glibc: is it another kind of program?")
    return max(versions)


def sbom(output):
    """Which crates are inside, by cargo-cyclonedx: those of all platforms."""
    output.mkdir(parents=True, exist_ok=True)
    command = [tools.crate("cargo-cyclonedx", CYCLONEDX), "cyclonedx", "--format", "json", "--spec-version", "1.5", "--target", "all"]
    # It writes beside Cargo.toml, and only there.
    written = ROOT / SBOM
    try:
        tools.run(*command, "--override-filename", SBOM.removesuffix(".json"), cwd=ROOT)
        # Where it was built is nobody's business.
        text = written.read_text().replace(str(ROOT), "")
        listed = json.loads(text)
        (output / SBOM).write_text(text)
    finally:
        written.unlink(missing_ok=True)
    missing = {name for name in ("arrow-array", "object_store", "rustls") if name not in {c["name"] for c in listed["components"]}}
    if missing:
        raise SystemExit(f"the list lacks {', '.join(sorted(missing))}")
    return output / SBOM
