"""The objects that a head names: the parts with the live files of its tables, and the schemas of their columns."""

import gzip
import json

from texts import Difference, Sum, sha256, sum_of


def part_path(folder, month, version):
    return f"parts/{folder}/{month}/{version:020}.jsonl.gz"


def part_lines(store, folder, month, said):
    """The lines of a part, which count and sum prove."""
    path = part_path(folder, month, said["version"])
    lines = gzip.decompress(store.read(path)).splitlines()
    if sum_of(lines) != Sum.said(said):
        raise Difference(f"{path} is not what the head says")
    return lines


def columns_of(store, table):
    """The columns in the newest schema of a table, as its entry in a head names it."""
    schema = table["schema"]
    if schema["version"] == 0:
        return []
    path = f"log/{schema['version']:020}.schemas.{schema['digest']}.json"
    text = store.read(path)
    if sha256(text) != schema["digest"]:
        raise Difference(f"{path} does not have the digest in its name")
    (found,) = (s["schema"] for s in json.loads(text)["schemas"] if s["table"] == table["table"])
    size = {"schema": found["id"], "last_field_id": found["last_field_id"], "fields": len(found["fields"])}
    if size != {name: schema[name] for name in size}:
        raise Difference(f"{path} is not what the head says")
    return found["fields"]
