"""schedules_read.py FOLDER: reads what `convex-archiver init` wrote as those read it for whom it is: by the schemas of GitHub's workflows, of
compose files and of Kubernetes, by cron's rules, and by systemd where that is installed. Each reader is shown a broken file first, which it
has to refuse."""

import datetime
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import cronsim
import kubernetes_validate
import yaml

folder = pathlib.Path(sys.argv[1])
read = []


def refuses(reader, *broken):
    try:
        reader(*broken)
    except Exception:
        return
    sys.exit(f"{reader.__name__} takes a broken file: {broken}")


def by_schema(name, text):
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(text)
        file.flush()
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", name, file.name]
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            raise ValueError(ended.stdout + ended.stderr)


def kubernetes(text):
    for document in yaml.safe_load_all(text):
        kubernetes_validate.validate(document, "1.34", strict=True)


def cron(line):
    """When the command of a line runs, within a day; and the command."""
    *fields, command = line.split(" ", 5)
    begin = datetime.datetime(2026, 11, 30)
    moments = cronsim.CronSim(" ".join(fields), begin)
    count = sum(1 for _ in iter(lambda: next(moments) < begin + datetime.timedelta(days=1), False))
    # cron's own rule: an unescaped percent sign ends the command.
    if "%" in command.replace("\\%", ""):
        raise ValueError("a percent sign")
    return count, command.replace("\\%", "%")


def systemd(*paths):
    ended = subprocess.run(["systemd-analyze", "verify", *map(str, paths)], capture_output=True, text=True)
    if ended.returncode or ended.stderr.strip():
        raise ValueError(ended.stdout + ended.stderr)


refuses(by_schema, "vendor.github-workflows", "on: push\njobs: {a: {steps: []}}\n")
refuses(by_schema, "vendor.compose-spec", "services: {a: {image: [x]}}\n")
refuses(kubernetes, "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: a}\nspec: {schedul: x}\n")
refuses(cron, "61 * * * * true")
refuses(cron, "1 * * * * date +%s")

for path in sorted(folder.rglob("*.*")):
    text = path.read_text()
    if path.name.endswith(".github.yml"):
        by_schema("vendor.github-workflows", text)
        workflow = yaml.safe_load(text)
        # PyYAML reads the key `on` as true.
        cron(workflow[True]["schedule"][0]["cron"] + " x")
    elif path.name.endswith(".compose.yml"):
        by_schema("vendor.compose-spec", text)
    elif path.name.endswith(".kubernetes.yml"):
        kubernetes(text)
        cron(next(d for d in yaml.safe_load_all(text) if d["kind"] == "CronJob")["spec"]["schedule"] + " x")
    elif path.name.endswith(".cron"):
        sync, status = [cron(line) for line in text.splitlines() if not line.startswith("#")]
        if sync[0] != 24 or status[0] != 2:
            raise ValueError(f"{sync} {status}")
        words = subprocess.run(["sh", "-c", f'set -- {sync[1]}; printf "%s\\n" "$@"'], capture_output=True, text=True, check=True)
        read.append({"archive": words.stdout.split("\n")[words.stdout.split("\n").index("--archive") + 1]})
    elif path.name.endswith(".service"):
        if shutil.which("systemd-analyze"):
            broken = path.with_name("broken.service")
            broken.write_text("[Service]\nExecStart=relative\nNoSuchThing=1\n")
            refuses(systemd, broken)
            broken.unlink()
            systemd(path, path.with_name("convex-archiver.timer"))
        else:
            print("there is no systemd-analyze here: the service and its timer were not read", file=sys.stderr)
    elif path.suffix not in (".timer", ".tf"):
        sys.exit(f"nobody reads {path}")
    read.append(path.name)

print(json.dumps(read))
