"""The packages of npm: one for each platform, which holds the program, and `convex-archiver`, which finds it there and runs it."""

import json
import pathlib
import shutil

from .targets import MANIFEST, NAME, ROOT, TARGETS, VERSION

LICENSES = ["LICENSE-APACHE", "LICENSE-MIT"]


def common():
    """What Cargo.toml says. npm's provenance needs the repository, and compares it with where the workflow runs."""
    said = {"license": MANIFEST["license"]}
    if repository := MANIFEST.get("repository"):
        said |= {"repository": {"type": "git", "url": f"git+{repository}.git"}, "homepage": f"{repository}#readme"}
    return said


def write(folder, manifest, files):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for source in [*files, *(ROOT / name for name in LICENSES)]:
        shutil.copy2(source, folder)
    (folder / "package.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return folder


def platform(target, program, output):
    needs = f"glibc {target.glibc} or newer" if target.glibc else target.libc
    what = f"{target.os} {target.cpu}" + (f" ({needs})" if needs else "")
    manifest = {
        "name": target.package,
        "version": VERSION,
        "description": f"The program of the package {NAME} for {what}",
        **common(),
        "os": [target.os],
        "cpu": [target.cpu],
        **({"libc": [target.libc]} if target.libc else {}),
        "files": [target.program, *LICENSES],
        # Yarn leaves it as a file, not in a ZIP.
        "preferUnplugged": True,
    }
    folder = write(output / target.package.replace("/", "-").lstrip("@"), manifest, [])
    try:
        # It is large.
        (folder / target.program).hardlink_to(pathlib.Path(program).resolve())
    except OSError:
        shutil.copyfile(program, folder / target.program)
    # What was carried through a workflow's artifacts may be executed no more.
    (folder / target.program).chmod(0o755)
    return folder


def main(output):
    source = ROOT / "packaging" / "npm"
    manifest = {
        "name": NAME,
        "version": VERSION,
        "description": MANIFEST["description"],
        "keywords": MANIFEST["keywords"],
        **common(),
        "bin": {NAME: f"{NAME}.js"},
        "files": [f"{NAME}.js", *LICENSES],
        "engines": {"node": ">=18"},
        # Exactly this version: the two are one.
        "optionalDependencies": {target.package: VERSION for target in TARGETS},
    }
    return write(output / NAME, manifest, [source / f"{NAME}.js", source / "README.md"])
