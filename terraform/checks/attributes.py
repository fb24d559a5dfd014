"""attributes.py FOLDER NAME=PACKAGE…: holds every resource, data source and provider in *.tf below FOLDER against the providers'
typings: types, attributes, nested blocks, what is required, how many blocks there may be, literals of the wrong type, and
attributes of other resources that expressions name. Needs no Terraform; where that is, `terraform validate` says the same and more."""

import pathlib
import re
import sys

import hcl2
from typings import Typings

META = {"count", "for_each", "depends_on", "provider", "lifecycle", "provisioner", "connection"}
NOT_CODE = {"__is_block__", "__comments__", "__inline_comments__", "__start_line__", "__end_line__"}


def unquoted(name):
    return name.strip('"')


def is_block(value):
    return isinstance(value, list) and all(isinstance(v, dict) and v.get("__is_block__") for v in value) and value != []


def items(body):
    return {unquoted(name): value for name, value in body.items() if name not in NOT_CODE}


def blocks(body):
    """The nested blocks of a body: name -> (bodies, whether all are there for sure)."""
    found = {}
    for name, value in items(body).items():
        if name == "dynamic":
            for dynamic in value:
                for label, inner in items(dynamic).items():
                    found.setdefault(label, []).extend((content, False) for content in inner["content"])
        elif is_block(value):
            found.setdefault(name, []).extend((inner, True) for inner in value)
    return found


def literal(value):
    """The type of a literal, or None of an expression."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str) and value.startswith('"') and "${" not in value:
        return "string"
    return {list: "list", dict: "map"}.get(type(value))


def fits(value, kind):
    found = literal(value)
    if found is None or kind == "dynamic" or value is None:
        return True
    if isinstance(kind, list):
        return found == "map" if kind[0] == "map" else found == "list"
    if kind == "string":
        return found in ("string", "number", "bool")
    if kind == "number" and found == "string":
        return bool(re.fullmatch(r'"-?\d+(\.\d+)?"', value))
    if kind == "bool" and found == "string":
        return value in ('"true"', '"false"')
    return found == kind


class Check:
    def __init__(self, typings):
        self.typings, self.wrong, self.looked_at = typings, [], 0

    def body(self, where, body, schema, meta=frozenset()):
        nested = blocks(body)
        for name, value in items(body).items():
            if name in meta or name == "dynamic" or name in nested:
                continue
            self.looked_at += 1
            attribute = schema["attributes"].get(name)
            if name in schema["blocks"]:
                self.wrong.append(f"{where}: {name} is a block, not an attribute")
            elif attribute is None:
                self.wrong.append(f"{where}: there is no attribute {name}")
            elif not attribute["required"] and not attribute["optional"]:
                self.wrong.append(f"{where}: {name} can only be read")
            elif not fits(value, attribute["type"]):
                self.wrong.append(f"{where}: {name} = {value} is no {attribute['type']}")
        for name, bodies in nested.items():
            if name in meta:
                continue
            self.looked_at += 1
            if name not in schema["blocks"]:
                what = "an attribute, not a block" if name in schema["attributes"] else "unknown"
                self.wrong.append(f"{where}: the block {name} is {what}")
                continue
            of = schema["blocks"][name]
            if of["single"] and sum(sure for _, sure in bodies) > 1:
                self.wrong.append(f"{where}: there can be only one block {name}")
            for inner, _ in bodies:
                self.body(f"{where}.{name}", inner, of["block"])
        for name, attribute in schema["attributes"].items():
            if attribute["required"] and name not in items(body):
                self.wrong.append(f"{where}: {name} is required")
        for name, of in schema["blocks"].items():
            if of["required"] and name not in nested:
                self.wrong.append(f"{where}: a block {name} is required")

    def of(self, kind, type_name):
        typings = self.typings.get(type_name.split("_")[0])
        if typings is None:
            return None
        return typings.resource(type_name) if kind == "resource" else typings.data(type_name)

    def file(self, path, shown):
        text = path.read_text()
        tree = hcl2.loads(text)
        for kind in ("resource", "data"):
            for block in tree.get(kind, []):
                for type_name, named in items(block).items():
                    for name, body in items(named).items():
                        where = f"{shown}: {type_name}.{name}"
                        if schema := self.of(kind, type_name):
                            self.body(where, body, schema, META)
                        else:
                            self.wrong.append(f"{where}: the provider has no {kind} {type_name}")
        for block in tree.get("provider", []):
            for name, body in items(block).items():
                self.body(f"{shown}: provider {name}", body, self.typings[name].provider(), {"alias"})
        # In expressions: aws_s3_bucket.archive.arn, aws_ecs_cluster.this[0].arn, data.aws_vpc.default.id.
        prefixes = "|".join(self.typings)
        for data, type_name, attribute in re.findall(
            rf"(?<![\w.])(data\.)?((?:{prefixes})_\w+)\.\w+(?:\[[^\]]*\])?\.(\w+)", text
        ):
            self.looked_at += 1
            schema = self.of("data" if data else "resource", type_name)
            if schema is None or (attribute not in schema["attributes"] and attribute not in schema["blocks"]):
                self.wrong.append(f"{shown}: {type_name} tells no {attribute}")


def main(folder, *packages):
    folder = pathlib.Path(folder)
    check = Check({name: Typings(package, name) for name, _, package in (p.partition("=") for p in packages)})
    for path in sorted(folder.rglob("*.tf")):
        check.file(path, path.relative_to(folder))
    print("\n".join(check.wrong))
    versions = ", ".join(f"{name} {typings.version()}" for name, typings in check.typings.items())
    print(f"{check.looked_at} attributes, blocks and references against {versions}: {len(check.wrong)} wrong")
    sys.exit(bool(check.wrong) or not check.looked_at)


if __name__ == "__main__":
    main(*sys.argv[1:])
