#!/usr/bin/env python3
"""Makes documents out of releases of npm's `@mdn/browser-compat-data` (CC0-1.0): one document per feature.

    make.py demo                        rewrites browser-compat.ndjson.gz beside this script (6.0.0, then 7.0.0 in two steps)
    make.py release VERSION DIRECTORY   a whole release as DIRECTORY/TABLE.ndjson, for
                                        `convex-archiver simulate --documents … --then … --by feature`

Needs Python 3.10 and npm. The table is the first word of the feature's path; every number becomes a float64, as when a
JavaScript program stores it. The same releases always give the same documents in the same order.
"""

import gzip
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile

PACKAGE = "@mdn/browser-compat-data"
DEMO_TABLES = ["html", "http", "svg"]


def release(version):
    """All documents of a release: {table: {feature: document}}, both sorted."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", f"{PACKAGE}@{version}"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        [archive] = pathlib.Path(folder).glob("*.tgz")
        with tarfile.open(archive) as files:
            tree = json.load(files.extractfile("package/data.json"))
    # `browsers` and `__meta` hold no features.
    return {table: dict(sorted(features(tree[table], table))) for table in sorted(tree.keys() - {"__meta", "browsers"})}


def features(node, path):
    """The documents of `node` and everything below it."""
    if "__compat" in node:
        yield path, {"feature": path, **as_stored(node["__compat"])}
    for name, child in node.items():
        if name != "__compat" and isinstance(child, dict):
            yield from features(child, f"{path}.{name}")


def as_stored(value):
    """A value as Convex holds it: keys sorted, numbers float64."""
    if isinstance(value, dict):
        return {name: as_stored(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [as_stored(item) for item in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return value


def line(value):
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"


def demo():
    """Step 0 is the whole of the first release; steps 1 and 2 hold what differs, every other change in each."""
    old, new = release("6.0.0"), release("7.0.0")
    text = io.StringIO()
    changes = []
    for table in DEMO_TABLES:
        for document in old[table].values():
            text.write(line({"step": 0, "table": table, "document": document}))
        for feature in sorted(old[table].keys() | new[table].keys()):
            document = new[table].get(feature)
            if document is None:
                changes.append({"table": table, "deleted": feature})
            elif document != old[table].get(feature):
                changes.append({"table": table, "document": document})
    for step in (1, 2):
        for change in changes[step - 1 :: 2]:
            text.write(line({"step": step, **change}))
    target = pathlib.Path(__file__).with_name("browser-compat.ndjson.gz")
    target.write_bytes(gzip.compress(text.getvalue().encode(), 9, mtime=0))
    print(f"{target.name}: {target.stat().st_size} bytes, {text.getvalue().count(chr(10))} lines, {len(changes)} changes")


def directory(version, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    for table, documents in release(version).items():
        with open(folder / f"{table}.ndjson", "w", encoding="utf-8", newline="\n") as file:
            file.writelines(line(document) for document in documents.values())
        total += len(documents)
    print(f"{folder}: {total} documents")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["demo"]:
            demo()
        case ["release", version, folder]:
            directory(version, folder)
        case _:
            sys.exit(__doc__)
