"""restored_zip.py ZIP EXPECTED TS: the ZIP of a restore, read with nothing but zipfile and json, is the state at TS, and
is laid out as `npx convex import` wants it."""

import json
import re
import sys
import zipfile
from collections import defaultdict

from archive import Difference, parse, same

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def table_number(document_id):
    """The number in an id, whose checksum must be right."""
    bits = 0
    for letter in document_id:
        bits = bits << 5 | ALPHABET.index(letter)
    length = len(document_id) * 5 // 8
    whole = (bits >> (len(document_id) * 5 - length * 8)).to_bytes(length, "big")
    low = high = 0
    for byte in whole[:-2]:
        low = (low + byte) % 256
        high = (high + low) % 256
    if whole[-2:] != bytes([low, high]):
        raise Difference(f"{document_id} is no id")
    number = 0
    for i, byte in enumerate(whole[:-2]):
        number |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return number


def keys_sorted(pairs):
    if [key for key, _ in pairs] != sorted(key for key, _ in pairs):
        raise Difference(f"keys are not sorted: {pairs}")
    return dict(pairs)


def main(path, expected, at):
    state = defaultdict(dict)
    with open(expected, encoding="utf-8") as lines:
        for revision in map(json.loads, lines):
            if revision["ts"] <= at:
                state[revision["table"]][revision["id"]] = revision["document"]
    found, numbers, entries = {}, {}, set()
    with zipfile.ZipFile(path) as whole:
        if bad := whole.testzip():
            raise Difference(f"{bad} is damaged")
        for info in whole.infolist():
            if info.filename in entries or info.date_time != (1980, 1, 1, 0, 0, 0) or info.compress_type != zipfile.ZIP_DEFLATED:
                raise Difference(f"an odd entry: {info}")
            entries.add(info.filename)
            if info.filename == "README.md":
                if "convex-archiver" not in whole.read(info).decode("utf-8"):
                    raise Difference("README.md does not say what made it")
                continue
            match = re.fullmatch(r"((?:_components/\w+/)*)(\w+)/(documents|generated_schema)\.jsonl", info.filename)
            component = match[1].replace("_components/", "").rstrip("/")
            text = whole.read(info).decode("utf-8")
            lines = text.split("\n")
            if lines.pop() != "":
                raise Difference(f"{info.filename} does not end with a newline")
            if match[3] == "generated_schema":
                if lines != ['"uniform"']:
                    raise Difference(f"{info.filename} is {lines}")
            elif match[2] == "_tables":
                for line in map(json.loads, lines):
                    numbers["/".join(filter(None, [component, line["name"]]))] = line["id"]
            else:
                if f"{match[1]}{match[2]}/generated_schema.jsonl" not in whole.namelist():
                    raise Difference(f"{info.filename} has no schema")
                documents = {}
                for line in lines:
                    raw = json.loads(line, object_pairs_hook=keys_sorted)
                    if odd := [key for key in raw if key.startswith("_") and key not in {"_id", "_creationTime"}]:
                        raise Difference(f"{info.filename}: {odd}")
                    if not isinstance(raw["_creationTime"], float):
                        raise Difference(f"{info.filename}: _creationTime is {raw['_creationTime']!r}")
                    documents[raw["_id"]] = parse(line)
                if list(documents) != sorted(documents) or len(documents) != len(lines):
                    raise Difference(f"{info.filename}: ids do not ascend")
                found["/".join(filter(None, [component, match[2]]))] = documents
    for table, documents in found.items():
        if wrong := [i for i in documents if table_number(i) != numbers[table]]:
            raise Difference(f"table {table} has number {numbers[table]}, but {wrong[0]}")
        live = {key: document for key, document in state[table].items() if document is not None}
        same(f"table {table}", documents, live)
    if missing := {table for table, documents in state.items() if any(documents.values())} - found.keys():
        raise Difference(f"tables are missing: {sorted(missing)}")
    print(json.dumps({"tables": len(found), "documents": sum(map(len, found.values()))}))


try:
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
except Difference as difference:
    sys.exit(str(difference))
