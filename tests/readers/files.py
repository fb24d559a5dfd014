"""Data files: every byte against its sums, and the rows in them, read by pyarrow."""

import base64
import io
import json

import pyarrow.parquet as pq

from rows import document
from texts import Difference, Sum, crc32c, export_json, quoted, sha256, sum_of
from covered import name_of

OWN = {"_id": (1, "string"), "_creationTime": (2, "double"), "_ts": (3, "int64"), "_tombstone": (4, "bool")}
OWN |= {"_base": (5, "int64")}
BEHIND = {"_nulls": (6, "string"), "_rescued": (7, "string")}
ARROW = {"boolean": "bool", "int64": "int64", "float64": "double", "bytes": "binary", "string": "string", "json": "string"}


def check_bytes(path, file, content):
    """The footer against the commit, the blocks before it against the footer, and all of it against its digest."""

    def must(holds, what):
        if not holds:
            raise Difference(f"{path}: {what}")

    must(len(content) == file["bytes"] and sha256(content) == file["sha256"], "it has other bytes than the commit says")
    length = file["footer"]["bytes"]
    body, footer = content[:-length], content[-length:]
    must(crc32c(footer) == file["footer"]["crc32c"] and footer[-4:] == b"PAR1", "its footer is another one")
    parquet = pq.read_metadata(io.BytesIO(content))
    told = {key.decode(): text for key, text in (parquet.metadata or {}).items()}
    blocks = json.loads(told["convex.blocks"])
    size, sums = blocks["block"], base64.b64decode(blocks["crc32c"])
    must(size == 65536 and len(sums) == 4 * -(-len(body) // size), "its footer has not one sum per block")
    for n in range(0, len(body), size):
        at = 4 * (n // size)
        must(crc32c(body[n : n + size]).to_bytes(4, "little") == sums[at : at + 4], f"the block at {n} is another one")
    return told


def check_schema(path, schema, columns):
    """Columns, by their field ids, are those of the table's newest schema, or some of them."""

    def must(holds, what):
        if not holds:
            raise Difference(f"{path}: {what}")

    def id_of(field):
        return int((field.metadata or {}).get(b"PARQUET:field_id", -1))

    def said(field, key, otherwise=None):
        told = (field.metadata or {}).get(key)
        return otherwise if told is None else told.decode()

    def same(fields, columns):
        by_id = {column["id"]: column for column in columns}
        for field in fields:
            column = by_id.get(id_of(field))
            must(column is not None, f"no column has the id {id_of(field)} of {field.name}")
            must(field.name == column["column"], f"the column {column['id']} is {field.name}, not {column['column']}")
            name = said(field, b"convex.name", field.name)
            must(name == column["name"], f"{field.name} says that it is {name}")
            node(field, column)

    def node(field, column):
        kind = column["type"]
        match kind:
            case {"struct": columns}:
                same(list(field.type), columns)
            case {"list": element}:
                item = field.type.value_field
                must((item.name, id_of(item)) == ("element", element["id"]), f"the items of {field.name} are others")
                node(item, element)
            case _:
                must(str(field.type) == ARROW[kind], f"{field.name} is {field.type} and not {kind}")
        known = said(field, b"convex.references")
        must(known == column.get("references"), f"{field.name} says that it points to {known}")
        must(said(field, b"convex.type") == kind_of(kind), f"{field.name} says that it is {said(field, b'convex.type')}")

    fields = list(schema)
    first, last = fields[: len(OWN)], fields[-len(BEHIND) :]
    own = [(field.name, (id_of(field), str(field.type))) for field in first + last]
    must(own == [*OWN.items(), *BEHIND.items()], f"its own columns are {own}")
    same(fields[len(OWN) : -len(BEHIND)], columns)


def kind_of(column_type):
    """The word for what a column is for."""
    match column_type:
        case {"struct": _}:
            return "object"
        case {"list": element}:
            inner = kind_of(element["type"])
            return "array_" + ("json" if inner.count("array_") >= 3 else inner)
    return column_type


def in_share(share, key):
    return share == "all" or crc32c(key.encode()) % 64 == 0


def revision_text(table, key, ts, found):
    document = "null" if found is None else export_json(found)
    return f"[{quoted(table)},{quoted(key)},{ts},{document}]".encode()


def read_file(store, file, columns, s):
    """The revisions in a file, `(id, ts, document or None)` in the order of its rows; S is that of its base."""
    path, table = file["path"], name_of(file["table"])
    content = store.read(path)
    told = check_bytes(path, file, content)
    parquet = pq.ParquetFile(io.BytesIO(content))
    check_schema(path, parquet.schema_arrow, columns)
    rows = parquet.read().to_pylist()
    revisions = []
    for row in rows:
        try:
            revisions.append((row["_id"], row["_ts"], document(columns, row)))
        except (Difference, KeyError, ValueError, IndexError, TypeError) as error:
            raise Difference(f"{path}: {row['_id']} cannot be read: {error!r}; the row is {row}") from error

    def must(holds, what):
        if not holds:
            raise Difference(f"{path}: {what}")

    ids, moments = [row["_id"] for row in rows], [row["_ts"] for row in rows]
    must(all(row["_base"] == s for row in rows), "a row is of another base")
    must(file["phase"] == "snapshot" or moments == sorted(moments), "its rows do not ascend by _ts")
    found = {
        "rows": len(rows),
        "tombstones": sum(row["_tombstone"] for row in rows),
        "rescued_rows": sum(row["_rescued"] is not None for row in rows),
        "min_ts": str(min(moments)),
        "max_ts": str(max(moments)),
        "ids_ascend": all(a < b for a, b in zip(ids, ids[1:])),
    }
    if "min_id" in file:
        found |= {"min_id": min(ids), "max_id": max(ids)}
    said = {name: file[name] for name in found}
    must(found == said, f"the commit says {said}, there are {found}")
    created = [row["_creationTime"] for row in rows if row["_creationTime"] is not None]
    if "min_created" in file:
        bounds = (float(file["min_created"]), float(file["max_created"]))
        must(bounds == (min(created), max(created)), f"its documents were not created within {bounds}")
    if "convex.content" in told:
        content = json.loads(told["convex.content"])
        texts = [revision_text(table, *revision) for revision in revisions if in_share(content["share"], revision[0])]
        must(sum_of(texts) == Sum.said(content), f"its documents sum up to {sum_of(texts)}, its footer says {content}")
    return revisions, "convex.content" in told
