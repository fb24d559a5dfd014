"""A FAKE of Convex's importer, its rules: which ZIPs it takes, which it refuses, and what a deployment holds after one.

Written from what is known of the real importer, to refuse what that refuses; no code of it runs here. Where both refuse, the
code is the real one's. `FakeOnly` are things that the real importer takes in a way that no restore may rely on: a table whose
numbers would all become float64, an `_id` that it would make up; and stored files, of which this fake knows nothing.

Values have the form that `expected.rs` describes.
"""

import base64
import io
import json
import math
import re
import struct
import zipfile
from dataclasses import dataclass, field

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
ENTRY = re.compile(r"((?:[^/]+/)*)([^/]+)/(documents|generated_schema)\.jsonl")
COMPONENTS = re.compile(r"(?:_components/[^/]+/)*$")
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
MODES = {"requireEmpty", "append", "replace", "replaceAll"}


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass
class Table:
    number: int
    documents: dict = field(default_factory=dict)
    # Every id that was ever used since the table was made: an append never takes one of them again.
    used: set = field(default_factory=set)


# Names and ids.


def legal(name, code):
    if not IDENTIFIER.fullmatch(name) or not name.strip("_"):
        raise Refused(code, f"{name!r} is no identifier of up to 64 letters, digits and underscores")
    return name


def table_number(document_id):
    """The number of the table that an id belongs to; None if the text is no id in its one canonical form."""
    if not 31 <= len(document_id) <= 37 or not set(document_id) <= set(ALPHABET):
        return None
    bits = 0
    for letter in document_id:
        bits = bits << 5 | ALPHABET.index(letter)
    length, padding = divmod(len(document_id) * 5, 8)
    if bits & (1 << padding) - 1:
        return None
    whole = (bits >> padding).to_bytes(length, "big")
    low = high = 0
    for byte in whole[:-2]:
        low = (low + byte) % 256
        high = (high + low) % 256
    number = 0
    for size, byte in enumerate(whole[:5], 1):
        number |= (byte & 0x7F) << 7 * (size - 1)
        if byte < 0x80:
            canonical = byte > 0 and length == size + 16 + 2 and whole[-2:] == bytes([low, high])
            return number if canonical else None
    return None


# Values.


def strict_json(text):
    """JSON as strict as a reader in Rust: no NaN, no numbers beyond a double, no half of a surrogate pair."""

    def real(digits):
        number = float(digits)
        if math.isinf(number):
            raise ValueError(f"{digits} is out of range")
        return Float(number)

    def integer(digits):
        fits = digits != "-0" and -(2**63) <= int(digits) < 2**63
        return Int(int(digits)) if fits else real(digits)

    def constant(name):
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, parse_int=integer, parse_float=real, parse_constant=constant, object_pairs_hook=Pairs)


@dataclass
class Int:
    number: int


@dataclass
class Float:
    number: float


class Pairs(list):
    """The fields of an object, in their order."""


def decode(node, depth=1):
    """A value in Convex's export format, and its size."""
    match node:
        case None | bool():
            return node, 1
        case Int(number):
            return {"int": str(number)}, 9
        case Float(number):
            return {"float": struct.pack(">d", number).hex()}, 9
        case str():
            return node, 2 + len(node.encode("utf-8"))
        case Pairs() if node and node[0][0].startswith("$"):
            return wrapped(node)
    if depth > 16:
        raise Refused("InvalidDocumentError", "nested deeper than 16 levels")
    if not isinstance(node, Pairs):
        if len(node) > 8192:
            raise Refused("InvalidDocumentError", "an array of more than 8,192 values")
        items = [decode(item, depth + 1) for item in node]
        return {"array": [item for item, _ in items]}, 2 + sum(size for _, size in items)
    if len(node) > 1024:
        raise Refused("InvalidDocumentError", "an object of more than 1,024 fields")
    fields, size = {}, 2
    for name, member in node:
        if name.startswith("$") or len(name) > 1024 or not all(" " <= letter <= "~" for letter in name):
            raise Refused("InvalidDocumentError", f"no field can be named {name!r}")
        fields[name], more = decode(member, depth + 1)
        size += len(name) + 1 + more
    return {"object": fields}, size


def wrapped(pairs):
    """A value that JSON has no form for: `{"$bytes": …}`, `{"$integer": …}`, `{"$float": …}`."""
    match pairs:
        case [(kind, str(text))] if kind in {"$bytes", "$integer", "$float"}:
            content = base64.b64decode(text, validate=True)
        case _:
            raise Refused("InvalidDocumentError", f"an object whose first field is {pairs[0][0]!r}")
    if kind == "$bytes":
        return {"bytes": content.hex()}, 2 + len(content)
    if kind == "$integer":
        return {"int": str(struct.unpack("<q", content)[0])}, 9
    (number,) = struct.unpack("<d", content)
    if math.isfinite(number) and content != struct.pack("<d", -0.0):
        raise Refused("InvalidDocumentError", f"{number!r} wrapped in $float")
    return {"float": content[::-1].hex()}, 9


def document(line):
    """`_id` and value of a line."""
    try:
        node = strict_json(line)
        if not isinstance(node, Pairs):
            raise ValueError("no object")
        value, size = decode(node)
    except (ValueError, struct.error) as error:
        raise Refused("JsonInvalidRow", f"{error} in {line[:80]!r}") from error
    fields = value.get("object", {})
    if odd := [name for name in fields if name.startswith("_") and name not in {"_id", "_creationTime"}]:
        raise Refused("InvalidDocumentError", f"no field of a document can be named {odd[0]!r}")
    if size > 1 << 20:
        raise Refused("InvalidDocumentError", f"a document of {size} bytes: at most 1 MiB")
    if not isinstance(fields.get("_id"), str) or "_creationTime" not in fields:
        raise Refused("FakeOnly", f"no _id or no _creationTime, which the importer would make up, in {line[:80]!r}")
    match fields["_creationTime"]:
        case {"float": bits} if 0 < struct.unpack(">d", bytes.fromhex(bits))[0] < 2**53:
            return fields["_id"], value
    raise Refused("InvalidCreationTimeError", f"_creationTime is {fields['_creationTime']}")


# The ZIP.


def lines_of(text):
    lines = text.decode("utf-8").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def numbers_of(name, text):
    """What a `_tables/documents.jsonl` says: table and number."""
    numbers = {}
    for line in lines_of(text):
        try:
            row = json.loads(line)
            table, number = row["name"], row["id"]
        except (ValueError, KeyError, TypeError) as error:
            raise Refused("JsonInvalidRow", f"{name}: {line[:80]!r}") from error
        if legal(table, "InvalidTableName") in numbers:
            raise Refused("DuplicateTableName", f"{name} names {table} twice")
        if isinstance(number, bool) or number != int(number) or not 0 < number < 2**32 or number in numbers.values():
            raise Refused("InvalidId", f"{name}: {number!r} is no number of a table, or that of another")
        numbers[table] = int(number)
    return numbers


def read(content):
    """The tables of a ZIP: `(component, name)` to number (None: not said) and documents."""
    numbers, documents, uniform = {}, {}, set()
    try:
        whole = zipfile.ZipFile(io.BytesIO(content))
        entries = [(info.filename, whole.read(info)) for info in whole.infolist()]
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise Refused("ImportFailed", f"no ZIP: {error}") from error
    if len({name for name, _ in entries}) < len(entries):
        raise Refused("FakeOnly", "an entry stands in the ZIP twice")
    for name, text in entries:
        if not (match := ENTRY.fullmatch(name)):
            if "/_storage/" in f"/{name}":
                raise Refused("FakeOnly", f"{name}: the fake knows nothing of files")
            continue
        folders = COMPONENTS.search(match[1])[0].split("/")[1::2]
        component = "/".join(legal(folder, "InvalidComponentName") for folder in folders)
        table, kind = match[2], match[3]
        if table == "_tables":
            numbers |= {(component, table): number for table, number in numbers_of(name, text).items()}
        elif table == "_storage":
            raise Refused("FakeOnly", f"{name}: the fake knows nothing of files")
        elif IDENTIFIER.fullmatch(table) and table.startswith("_") and table.strip("_"):
            continue
        elif kind == "documents":
            documents[component, legal(table, "InvalidTableName")] = rows_of(name, text)
        elif lines_of(text) == ['"uniform"']:
            uniform.add((component, table))
        else:
            raise Refused("ImportFailed", f"cannot parse {name}")
    if bare := documents.keys() - uniform:
        raise Refused("FakeOnly", f"{min(bare)} has no generated_schema.jsonl: its numbers would all become float64")
    return {key: (numbers.get(key), documents.get(key, {})) for key in numbers.keys() | documents.keys()}


def rows_of(name, text):
    rows = {}
    for line in lines_of(text):
        key, value = document(line)
        if key in rows:
            raise Refused("DuplicateId", f"{name} has {key} twice")
        rows[key] = value
    return rows


# The deployment.


class Target:
    """The deployment into which is imported."""

    def __init__(self):
        self.tables = {}

    def delete(self, key, document_id):
        """As a mutation does."""
        del self.tables[key].documents[document_id]

    def take(self, upload, mode):
        """Imports all or nothing; answers how many documents were written."""
        if mode not in MODES:
            raise Refused("BadQueryArgs", f"no such mode: {mode}")
        stay = {} if mode == "replaceAll" else {key: t for key, t in self.tables.items() if mode == "append" or key not in upload}
        after, written = dict(stay), 0
        for key, (number, documents) in sorted(upload.items()):
            present = self.tables.get(key)
            if mode == "requireEmpty" and present and present.documents:
                raise Refused("TableExists", f"table {key} has documents")
            number = number or next(map(table_number, documents), None) or (present and present.number)
            if number is None:
                raise Refused("FakeOnly", f"nothing says which number table {key} is to have")
            self.check_number(key, number, after)
            for document_id in documents:
                if table_number(document_id) != number:
                    raise Refused("ImportConflict", f"{document_id} is no id of table {key}, whose number is {number}")
            after[key] = self.filled(key, number, documents, mode)
            written += len(documents)
        self.tables = after
        return written

    def check_number(self, key, number, after):
        for other, table in after.items():
            if other[0] == key[0] and (other == key) != (table.number == number):
                message = f"New table `{key[1]}` has IDs that conflict with existing table `{other[1]}`"
                raise Refused("TableNumberConflict", message)

    def filled(self, key, number, documents, mode):
        present = self.tables.get(key)
        if mode != "append" or present is None:
            return Table(number, dict(documents), set(documents))
        for document_id in documents:
            if document_id in present.documents:
                raise Refused("ImportFailed", f"Cannot create document with _id {document_id} that already exists")
            if document_id in present.used:
                raise Refused("ImportFailed", f"Cannot recreate document with _id {document_id} that was deleted")
        return Table(number, present.documents | documents, present.used | set(documents))
