"""Every platform of a release, and how its files and packages are called. Names are made here and nowhere else."""

import pathlib
import platform
import tomllib
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MANIFEST = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
NAME = MANIFEST["name"]
VERSION = MANIFEST["version"]
# Packages of one platform are named below it. npm gives a scope to one owner.
SCOPE = f"@{NAME}"


@dataclass(frozen=True)
class Target:
    triple: str
    # The workflow's machine that builds it, and runs what it has built.
    runner: str
    # As Node calls it: process.platform, process.arch, and the C library where there are two.
    os: str
    cpu: str
    libc: str | None = None
    # The oldest glibc that it runs with. Linked by zig, which knows the symbols of every version.
    glibc: str | None = None
    # As container images call it; only what has a name here is put into one.
    image: str | None = None
    # Whether the workflow's machine can run it.
    runs: bool = True

    @property
    def linked_by_zig(self):
        return self.os == "linux"

    @property
    def program(self):
        return f"{NAME}.exe" if self.os == "win32" else NAME

    @property
    def folder(self):
        """In the archive of a release."""
        return f"{NAME}-{VERSION}-{self.triple}"

    @property
    def archive(self):
        return f"{self.folder}.{'zip' if self.os == 'win32' else 'tar.gz'}"

    @property
    def package(self):
        """npm's. glibc's is the one without a suffix."""
        return f"{SCOPE}/{self.os}-{self.cpu}" + ("-musl" if self.libc == "musl" else "")


TARGETS = [
    Target("x86_64-unknown-linux-gnu", "ubuntu-24.04", "linux", "x64", "glibc", glibc="2.17", image="amd64"),
    Target("aarch64-unknown-linux-gnu", "ubuntu-24.04-arm", "linux", "arm64", "glibc", glibc="2.17", image="arm64"),
    Target("x86_64-unknown-linux-musl", "ubuntu-24.04", "linux", "x64", "musl"),
    Target("aarch64-unknown-linux-musl", "ubuntu-24.04-arm", "linux", "arm64", "musl"),
    Target("aarch64-apple-darwin", "macos-15", "darwin", "arm64"),
    Target("x86_64-apple-darwin", "macos-15", "darwin", "x64", runs=False),
    Target("x86_64-pc-windows-msvc", "windows-2025", "win32", "x64"),
]


def target(triple):
    for one in TARGETS:
        if one.triple == triple:
            return one
    raise SystemExit(f"{triple} is no target of a release: {', '.join(one.triple for one in TARGETS)}")


def here():
    """The target of this machine: glibc's, where there is Linux."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine())
    system = {"Linux": "unknown-linux-gnu", "Darwin": "apple-darwin", "Windows": "pc-windows-msvc"}[platform.system()]
    return target(f"{machine}-{system}")
