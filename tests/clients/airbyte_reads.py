"""airbyte_reads.py URL KEY EXPECTED AT FOLDER: Airbyte's source for Convex, as it is, reads the deployment at URL, which holds what
EXPECTED held at AT. It is asked for all that it can do: spec, check, discover; every stream whole; every stream by increments,
also from the middle of a snapshot. Its last state is left in FOLDER. Where one is there already, it goes on from that: what
it reads then are the revisions since, and the whole of tables that came later.

It knows one encoding, `json`: int64 and bytes arrive as text, and which of them was text the comparison does not ask. It asks
for tables of the root only, though it is shown streams for those of components, too: what it gets for such a name is what the
root has under it.
"""

import base64
import json
import math
import pathlib
import struct
import subprocess
import sys

import jsonschema
from truth import Difference, Truth, same

OWN = {"_ab_cdc_updated_at", "_ab_cdc_deleted_at"}


class Airbyte:
    """The source as a program, as Airbyte runs it."""

    def __init__(self, url, key, folder):
        self.folder = folder
        self.config = self.file("config.json", {"deployment_url": url, "access_key": key})

    def file(self, name, content):
        path = self.folder / name
        path.write_text(json.dumps(content))
        return path

    def run(self, *arguments):
        """The messages that it prints, by type, each with its place among all."""
        program = pathlib.Path(sys.executable).with_name("source-convex")
        ended = subprocess.run([program, *arguments], capture_output=True, text=True)
        if ended.returncode != 0:
            raise Difference(f"{arguments} ended with {ended.returncode}:\n{ended.stdout[-4000:]}{ended.stderr[-4000:]}")
        return [json.loads(line) for line in ended.stdout.splitlines()]

    def only(self, kind, *arguments):
        (message,) = (m for m in self.run(*arguments) if m["type"] == kind)
        return message

    def read(self, streams, mode, states=None):
        """What a read says: records and states, in their order."""
        configured = [{"stream": s, "sync_mode": mode, "destination_sync_mode": "append"} for s in streams]
        arguments = ["read", "--config", self.config, "--catalog", self.file("catalog.json", {"streams": configured})]
        if states:
            arguments += ["--state", self.file("state-in.json", states)]
        return [m for m in self.run(*arguments) if m["type"] in {"RECORD", "STATE"}]


def as_json(value):
    """A value in Convex's encoding `json`."""
    match value:
        case {"int": digits}:
            return digits
        case {"float": bits}:
            number = struct.unpack(">d", bytes.fromhex(bits))[0]
            if math.isnan(number):
                return "NaN"
            return number if math.isfinite(number) else f"{'-' * (number < 0)}Infinity"
        case {"bytes": digits}:
            return base64.b64encode(bytes.fromhex(digits)).decode()
        case {"array": items}:
            return [as_json(item) for item in items]
        case {"object": members}:
            return {name: as_json(member) for name, member in members.items()}
    return value


def record(table, key, ts, document):
    """What Airbyte should make of a revision, as text: so 1 is not 1.0, and -0.0 not 0.0."""
    fields = {"_id": key} if document is None else as_json(document)
    said = {"_table": table, "_component": "", "_ts": ts, "_ab_cdc_lsn": ts, "_deleted": document is None}
    return json.dumps(fields | said, sort_keys=True)


def records(messages, stream):
    """The records of a stream, by `_id` and `_ts`."""
    found = {}
    for message in messages:
        if message["type"] == "RECORD" and message["record"]["stream"] == stream:
            data = {name: value for name, value in message["record"]["data"].items() if name not in OWN}
            found[data["_id"], data["_ts"]] = json.dumps(data, sort_keys=True)
    return found


def states(messages):
    """The last state of each stream."""
    last = {m["state"]["stream"]["stream_descriptor"]["name"]: m["state"] for m in messages if m["type"] == "STATE"}
    return list(last.values())


def cursors(said):
    """From stream to the cursor of the change log."""
    return {s["stream"]["stream_descriptor"]["name"]: s["stream"]["stream_state"]["delta_cursor"] for s in said}


def in_the_middle(airbyte, stream, messages, whole):
    """Stopped at the first state that stands inside of the snapshot and started there again, it misses nothing."""
    name = stream["name"]
    stop, state = next(
        (place, m["state"])
        for place, m in enumerate(messages)
        if m["type"] == "STATE" and m["state"]["stream"]["stream_descriptor"]["name"] == name
        and m["state"]["stream"]["stream_state"]["snapshot_has_more"]
    )
    before = records(messages[:stop], name)
    after = records(airbyte.read([stream], "incremental", [state]), name)
    if not before or len(after) >= len(whole):
        raise Difference(f"stream {name}: {len(before)} records before the middle, {len(after)} after it, of {len(whole)}")
    same(f"stream {name}, from the middle on", before | after, whole)


def valid(stream, messages):
    """Every document is as the stream's schema says."""
    validator = jsonschema.Draft7Validator(stream["json_schema"])
    for message in messages:
        if message["type"] == "RECORD" and message["record"]["stream"] == stream["name"]:
            data = message["record"]["data"]
            if not data["_deleted"] and (error := next(validator.iter_errors(data), None)):
                raise Difference(f"stream {stream['name']}: {data['_id']}: {error.message[:300]} at {list(error.path)}")


def main(url, key, expected, at, folder):
    truth, airbyte, at = Truth(expected), Airbyte(url, key, pathlib.Path(folder)), int(at)
    live = truth.state(at)
    spec = airbyte.only("SPEC", "spec")["spec"]["connectionSpecification"]
    assert spec["required"] == ["deployment_url", "access_key"]
    status = airbyte.only("CONNECTION_STATUS", "check", "--config", airbyte.config)["connectionStatus"]
    if status["status"] != "SUCCEEDED":
        raise Difference(f"check: {status}")
    streams = airbyte.only("CATALOG", "discover", "--config", airbyte.config)["catalog"]["streams"]
    names = {stream["name"] for stream in streams}
    # Tables without documents are shown, too.
    wanted = {table.rpartition("/")[2] for table in live} | names - set(truth.names)
    same("streams", dict.fromkeys(names), dict.fromkeys(wanted))

    held = airbyte.folder / "state.json"
    earlier = json.loads(held.read_text()) if held.exists() else []
    since = cursors(earlier)
    full, increments = airbyte.read(streams, "full_refresh"), airbyte.read(streams, "incremental", earlier)
    largest = max(streams, key=lambda stream: len(live[stream["name"]]))
    in_components = {table.rpartition("/")[2] for table in live if "/" in table}
    for stream in streams:
        name = stream["name"]
        whole = {(i, r["ts"]): record(name, i, r["ts"], r["document"]) for i, r in live[name].items()}
        same(f"stream {name}, whole", records(full, name), whole)
        wanted = whole
        if name in since:
            later = truth.between(name, since[name], at)
            wanted = {(i, ts): record(name, i, ts, document) for (i, ts), document in later.items()}
        same(f"stream {name}, by increments", records(increments, name), wanted)
        # A name that a component has too is shown with the schema of one of the two.
        if name not in in_components:
            valid(stream, full)
        if stream is largest and not earlier:
            in_the_middle(airbyte, stream, increments, whole)
    airbyte.file("state.json", states(increments))
    full, increments = (sum(m["type"] == "RECORD" for m in messages) for messages in (full, increments))
    print(json.dumps({"streams": len(streams), "documents": full, "increments": increments}))


try:
    main(*sys.argv[1:])
except Difference as difference:
    sys.exit(str(difference))
