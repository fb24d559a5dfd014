#!/usr/bin/env python3
"""Counts the instructions of one sync of pages in memory, SHA-256 left out: valgrind has no hardware for it, so there it is many
times as dear as it is. Needs valgrind. The count of making the pages is taken off. On one machine and build two runs differ by
less than 0.5 %, however busy the machine is.
"""

import argparse
import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "target", "instructions")


def main():
    parser = argparse.ArgumentParser(prog="benches/instructions.py", description=__doc__)
    parser.add_argument("pages", nargs="*", help="snapshot, deltas, tables (504 of them); default: snapshot")
    parser.add_argument("--share", type=int, default=39, help="of so many documents of benches/compare one (default 39: 25 MB)")
    parser.add_argument("--top", type=int, default=0, help="list so many of the dearest functions")
    parser.add_argument("--program", help="count this build of the bench instead of building it")
    options = parser.parse_args()
    os.makedirs(OUT, exist_ok=True)
    program = options.program or build()
    for pages in options.pages or ["snapshot"]:
        made, _ = count(program, pages, options.share, 0)
        synced, said = count(program, pages, options.share, 1)
        functions = {name: n - made.get(name, 0) for name, n in synced.items()}
        hashing = sum(n for name, n in functions.items() if re.search(r"\bsha2|sha256", name))
        print(f"{pages}: {(sum(functions.values()) - hashing) / 1e6:,.1f} M instructions "
              f"and {hashing / 1e6:,.1f} M of SHA-256; {'; '.join(said)}", flush=True)
        for name, n in sorted(functions.items(), key=lambda f: -f[1])[: options.top]:
            print(f"{n / 1e6:12,.1f} M  {name}")


def build():
    command = ["cargo", "bench", "--locked", "--bench", "instructions", "--no-run"]
    said = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    if said.returncode:
        sys.exit(said.stderr)
    return os.path.join(ROOT, re.search(r"\((\S*instructions-\S*)\)", said.stderr).group(1))


def count(program, pages, share, syncs):
    """Instructions by function, and what the program says."""
    file = os.path.join(OUT, f"{pages}.{syncs}")
    environment = {**os.environ, "PAGES": pages, "BENCH_SHARE": str(share), "SYNCS": str(syncs)}
    command = ["valgrind", "--tool=callgrind", "--compress-strings=no", "--compress-pos=no", f"--callgrind-out-file={file}", program]
    said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if said.returncode:
        sys.exit(said.stderr)
    functions = {}
    for part in glob.glob(f"{file}*"):
        name, is_call = "", False
        for line in open(part, errors="replace"):
            if line.startswith("fn="):
                name = line[3:].strip()
            elif line.startswith("calls="):
                # What the function that is called costs stands under its own name.
                is_call = True
            elif line[:1].isdigit() or line[:1] in "+-*":
                if not is_call:
                    functions[name] = functions.get(name, 0) + int(line.split()[1])
                is_call = False
    return functions, said.stdout.splitlines()


if __name__ == "__main__":
    main()
