"""importer_refuses.py ZIP: the fake of Convex's importer takes this restore, and refuses each of many ways in which it could be
wrong, by the code that the real importer has for it; and uploads that it could not put together. ZIP holds a table `users` and one of the component `shop`.
"""

import io
import json
import pathlib
import sys
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tools"))

from import_fake import SMALLEST_PART, Fake  # noqa: E402
from import_rules import Refused, Target, read  # noqa: E402

USERS, SCHEMA, TABLES = "users/documents.jsonl", "users/generated_schema.jsonl", "_tables/documents.jsonl"
MIB = 1 << 20


def zipped(entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as whole:
        for name, text in entries.items():
            whole.writestr(name, text)
    return buffer.getvalue()


class Restore:
    """A restore, and harms to it: each makes another one, as entries by name."""

    def __init__(self, path):
        with zipfile.ZipFile(path) as whole:
            self.entries = {name: whole.read(name).decode("utf-8") for name in whole.namelist()}
        self.first, self.second = self.entries[USERS].splitlines()[:2]
        self.id = json.loads(self.first)["_id"]

    def without(self, name):
        return {kept: text for kept, text in self.entries.items() if kept != name}

    def put(self, name, text):
        return self.entries | {name: text}

    def renamed(self, name, new):
        return self.without(name) | {new: self.entries[name]}

    def line(self, text):
        """With this first document in `users`."""
        return self.put(USERS, self.entries[USERS].replace(self.first, text, 1))

    def field(self, text):
        """With these fields more in the first document."""
        return self.line(self.first[:-1] + "," + text + "}")

    def changed(self, old, new):
        assert old in self.first, old
        return self.line(self.first.replace(old, new, 1))


def wrong_letter(document_id):
    """No id any more: its checksum does not fit."""
    return document_id[:-6] + ("0" if document_id[-6] != "0" else "1") + document_id[-5:]


def of_other_table(restore):
    (other,) = (name for name in restore.entries if name.endswith("documents.jsonl") and name.startswith("orders/"))
    return json.loads(restore.entries[other].splitlines()[0])["_id"]


def harms(restore):
    """What is wrong, the code, and the entries."""
    created = json.dumps(json.loads(restore.first)["_creationTime"])
    time = f'"_creationTime":{created}'
    nested = "[" * 16 + "]" * 16
    keys = ",".join(f'"k{n}":1' for n in range(1025))
    yield "a table whose name is none", "InvalidTableName", restore.renamed(USERS, "us-ers/documents.jsonl")
    yield "a table whose name is too long", "InvalidTableName", restore.renamed(USERS, f"{'u' * 65}/documents.jsonl")
    yield "a table of underscores", "InvalidTableName", restore.renamed(USERS, "__/documents.jsonl")
    yield "such a name in _tables", "InvalidTableName", restore.put(TABLES, '{"name":"a b","id":10001}\n')
    shop = "_components/shop/items/documents.jsonl"
    yield "a component whose name is none", "InvalidComponentName", restore.renamed(shop, shop.replace("shop", "sh.op"))
    yield "no schema", "FakeOnly", restore.without(SCHEMA)
    yield "another schema", "ImportFailed", restore.put(SCHEMA, '"object"\n')
    yield "more after the schema", "ImportFailed", restore.put(SCHEMA, '"uniform"\n{}\n')
    yield "two tables of one name", "DuplicateTableName", restore.put(TABLES, restore.entries[TABLES] + '{"name":"users","id":10099}\n')
    yield "two tables of one number", "InvalidId", restore.put(TABLES, '{"name":"a","id":10001}\n{"name":"b","id":10001}\n')
    yield "no number", "InvalidId", restore.put(TABLES, '{"name":"users","id":0}\n')
    yield "another number", "ImportConflict", restore.put(TABLES, '{"name":"users","id":10077}\n')
    yield "a blank line", "JsonInvalidRow", restore.put(USERS, restore.entries[USERS] + "\n")
    yield "a byte order mark", "JsonInvalidRow", restore.put(USERS, "\ufeff" + restore.entries[USERS])
    yield "half a line", "JsonInvalidRow", restore.line(restore.first[: len(restore.first) // 2])
    yield "a line that is no object", "JsonInvalidRow", restore.line("[1]")
    yield "half of a surrogate pair", "JsonInvalidRow", restore.field(r'"x":"\ud800"')
    yield "NaN as no JSON has it", "JsonInvalidRow", restore.field('"x":NaN')
    yield "a number beyond a double", "JsonInvalidRow", restore.field('"x":1e999')
    yield "an integer as _creationTime", "InvalidCreationTimeError", restore.changed(time, f'"_creationTime":{int(float(created))}')
    yield "a _creationTime of 0", "InvalidCreationTimeError", restore.changed(time, '"_creationTime":0.0')
    yield "a text as _creationTime", "InvalidCreationTimeError", restore.changed(time, f'"_creationTime":"{created}"')
    yield "no _creationTime", "FakeOnly", restore.changed(time + ",", "")
    yield "no _id", "FakeOnly", restore.changed(f'"_id":"{restore.id}",', "")
    yield "an id of another table", "ImportConflict", restore.changed(restore.id, of_other_table(restore))
    yield "an id with a wrong letter", "ImportConflict", restore.changed(restore.id, wrong_letter(restore.id))
    yield "an id in capitals", "ImportConflict", restore.changed(restore.id, restore.id.upper())
    yield "an id twice", "DuplicateId", restore.line(f"{restore.first}\n{restore.first}")
    for name in ("_ts", "_table", "_component", "_deleted", "_tombstone"):
        yield f"the field {name}", "InvalidDocumentError", restore.field(f'"{name}":1')
    yield "a field that begins with a dollar", "InvalidDocumentError", restore.field('"$x":1')
    yield "one in an object", "InvalidDocumentError", restore.field('"x":{"a":1,"$b":2}')
    yield "a wrapper that is none", "InvalidDocumentError", restore.field('"x":{"$set":[]}')
    yield "a field beyond ASCII", "InvalidDocumentError", restore.field('"zürich":1')
    yield "a field with a control character", "InvalidDocumentError", restore.field(r'"a\nb":1')
    yield "a field of 1,025 characters", "InvalidDocumentError", restore.field(f'"{"x" * 1025}":1')
    yield "an ordinary number in $float", "InvalidDocumentError", restore.field('"x":{"$float":"AAAAAAAA8D8="}')
    yield "bytes that are no base64", "JsonInvalidRow", restore.field('"x":{"$bytes":"-"}')
    yield "an int64 of four bytes", "JsonInvalidRow", restore.field('"x":{"$integer":"AAAAAA=="}')
    yield "17 levels", "InvalidDocumentError", restore.field(f'"x":{nested}')
    yield "an array of 8,193", "InvalidDocumentError", restore.field(f'"x":[{"1," * 8192}1]')
    yield "an object of 1,025", "InvalidDocumentError", restore.field(f'"x":{{{keys}}}')
    yield "a document of more than 1 MiB", "InvalidDocumentError", restore.field(f'"x":"{"x" * MIB}"')
    yield "stored files", "FakeOnly", restore.put("_storage/kg2.png", "")


def refused(code, act):
    try:
        act()
    except Refused as refusal:
        assert refusal.code == code, f"{refusal} instead of {code}"
    else:
        raise AssertionError(f"taken instead of {code}")


def main(path):
    restore, count = Restore(path), 0
    good = read(zipped(restore.entries))
    # What is at the edge is taken: 16 levels, 1,024 fields, 8,192 values; a folder around all; a last line without its end.
    keys = ",".join(f'"k{n}":1' for n in range(1024))
    read(zipped(restore.field(f'"x":{"[" * 15 + "]" * 15},"y":[{"1," * 8191}1],"z":{{{keys}}},"":{{"_b":null}}')))
    read(zipped({f"snapshot/{name}": text.removesuffix("\n") for name, text in restore.entries.items()}))
    for what, code, entries in harms(restore):
        try:
            refused(code, lambda: Target().take(read(zipped(entries)), "replaceAll"))  # noqa: B023
        except AssertionError as error:
            sys.exit(f"{what}: {error}")
        count += 1
    refused("ImportFailed", lambda: read(b"no ZIP"))
    modes(good)
    uploads(zipped(restore.entries))
    print(f"{count + 1} ZIPs are refused")


def modes(good):
    """What depends on what the deployment holds already."""
    users, items = ("", "users"), ("shop", "items")
    number, documents = good[users]
    one = {users: (number, dict([next(iter(documents.items()))]))}
    (gone,) = one[users][1]

    target = Target()
    refused("BadQueryArgs", lambda: target.take(good, "replace-all"))
    assert target.take(good, "requireEmpty") == sum(len(rows) for _, rows in good.values())
    refused("TableExists", lambda: target.take(one, "requireEmpty"))
    refused("ImportFailed", lambda: target.take(one, "append"))
    # A document that was deleted never comes back by an append, but by a replacement.
    target.delete(users, gone)
    refused("ImportFailed", lambda: target.take(one, "append"))
    assert len(target.tables[users].documents) == len(documents) - 1
    assert target.take({users: good[users]}, "replace") == len(documents) and gone in target.tables[users].documents
    assert items in target.tables
    # A number that another table has: only a replacement of all takes it.
    alien = {("", "alien"): one[users]}
    for mode in ("requireEmpty", "append", "replace"):
        refused("TableNumberConflict", lambda: target.take(alien, mode))  # noqa: B023
    assert target.take(alien, "replaceAll") == 1 and list(target.tables) == [("", "alien")]
    # A table without documents keeps its number.
    target.take({users: (number, {})}, "replaceAll")
    assert target.tables[users].number == number


def uploads(content):
    """What depends on how a ZIP is uploaded."""
    fake = Fake("a key", "/dev/null")

    def uploaded(*parts):
        token = fake.start()["uploadToken"]
        tokens = [fake.part(token, number, part) for number, part in enumerate(parts, 1)]
        return {"uploadToken": token, "partTokens": tokens, "import": {"mode": "replaceAll", "format": "zip"}}

    state = lambda finished: fake.imports[finished["importId"]]["state"]["state"]  # noqa: E731
    first, rest = content[:100], content[100:]
    large = b"\0" * SMALLEST_PART
    refused("BadUploadToken", lambda: fake.part("upload-0", 1, content))
    refused("BadPart", lambda: fake.part(fake.start()["uploadToken"], 2, content))
    refused("BadPart", lambda: fake.finish(uploaded(first, rest)))
    refused("BadPart", lambda: fake.finish(uploaded(content) | {"partTokens": []}))
    for how in ({"format": "csv"}, {"tableName": "users"}, {"componentPath": "shop"}):
        refused("FakeOnly", lambda: fake.finish(uploaded(content) | {"import": {"mode": "append", "format": "zip"} | how}))  # noqa: B023
    # Nothing is written before it is asked for a second time, and then once.
    assert state(fake.finish(uploaded(large, b"no ZIP"))) == "failed"
    finished = fake.finish(uploaded(content))
    assert state(finished) == "waiting_for_confirmation" and not fake.target.tables
    fake.perform(finished)
    assert state(finished) == "completed" and fake.target.tables
    refused("ImportFailed", lambda: fake.perform(finished))
    refused("FakeOnly", lambda: fake.query({"path": "users:list"}))
    refused("FakeOnly", lambda: fake.answer({"udfPath": "users:list"}))


main(sys.argv[1])
