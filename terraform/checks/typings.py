"""What a provider's resources look like, read from its npm typings (`@cdktf/provider-…`), which were generated from the
provider's own schema: attributes with types, which are required, nested blocks, how many of them.

    Typings(folder, "aws").resource("aws_s3_bucket")    -> a block, or None where the provider has no such resource
    Typings(folder, "aws").data("aws_vpc")              -> the same of a data source
    Typings(folder, "aws").provider()                   -> of the provider itself

A block is {"attributes": {name: {"type", "required", "optional", "computed"}}, "blocks": {name: {"block", "nesting", "required", "single"}}};
a type is spelled as Terraform does in JSON: "string", ["list", "string"], "dynamic" where the typings do not tell.
"""

import pathlib
import re

SIMPLE = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}
GETTERS = {
    "getStringAttribute": "string",
    "getNumberAttribute": "number",
    "getBooleanAttribute": "bool",
    "getListAttribute": ["list", "string"],
    "getNumberListAttribute": ["list", "number"],
    "getStringMapAttribute": ["map", "string"],
    "getNumberMapAttribute": ["map", "number"],
    "getBooleanMapAttribute": ["map", "bool"],
}
ENTRY = re.compile(
    r"^ +(\w+): \{\n +value: (.*),\n +isBlock: (true|false),\n +type: \"(\w+)\",\n +storageClassType: \"(\w+)\",", re.M
)
FIELD = re.compile(r"/\*\*((?:(?!\*/)[\s\S])*)\*/\n    readonly (\w+)(\??): ([^;{]*(?:\{[^}]*\})?[^;]*);")
NAME = re.compile(r"\{@link \S+#(\w+) \w+#\w+\}")


def collection(storage):
    """`stringList` -> ["list", "string"]"""
    for end, kind in (("List", "list"), ("Set", "set"), ("Map", "map")):
        if storage.endswith(end) and (of := storage.removesuffix(end)) in SIMPLE:
            return [kind, SIMPLE[of]]
    return SIMPLE.get(storage, "dynamic")


class Source:
    """One resource: the two files of its folder."""

    def __init__(self, folder):
        self.js = (folder / "index.js").read_text()
        self.types = (folder / "index.d.ts").read_text()

    def fields(self, interface):
        """Of an interface: name as Terraform has it -> (optional, type in TypeScript, whether it is a nested block)."""
        found = re.search(rf"^export interface {interface}\b[^{{]*\{{\n([\s\S]*?)^\}}", self.types, re.M)
        fields = {}
        for comment, _, optional, kind in FIELD.findall(found[1]) if found else []:
            if name := NAME.search(comment):
                fields[name[1]] = (bool(optional), kind.strip(), bool(re.search(rf"\* {name[1]} block\n", comment)))
        return fields

    def body(self, start, end):
        begin = self.js.index(start)
        return self.js[begin : self.js.index(end, begin)]

    def block(self, interface, entries, getters):
        fields, attributes, blocks = self.fields(interface), {}, {}
        for name, value, is_block, kind, storage in ENTRY.findall(entries):
            optional, typescript, documented = fields[name]
            if is_block == "true" and documented:
                mapper = re.search(r"(\w+)ToHclTerraform", value)[1]
                blocks[name] = {
                    "block": self.nested(mapper[0].upper() + mapper[1:], mapper),
                    "nesting": "set" if kind == "set" else "list",
                    "required": not optional,
                    "single": "[]" not in typescript,
                }
            else:
                attributes[name] = {"type": collection(storage), "required": not optional, "optional": optional, "computed": name == "id" and optional}
        # What is only told, never given.
        for getter, name in re.findall(r"this\.(get\w+Attribute)\('(\w+)'\)", getters):
            if name not in attributes and name not in blocks:
                attributes[name] = {"type": GETTERS.get(getter, "dynamic"), "required": False, "optional": False, "computed": True}
        for name in re.findall(r"this\._\w+ = new \w+\(this, \"(\w+)\"", getters):
            if name not in attributes and name not in blocks:
                attributes[name] = {"type": "dynamic", "required": False, "optional": False, "computed": True}
        return {"attributes": attributes, "blocks": blocks}

    def nested(self, interface, mapper):
        entries = self.body(f"function {mapper}ToHclTerraform(struct)", "\n}\n")
        reference = f"class {interface}OutputReference "
        return self.block(interface, entries, self.body(reference, "\n}\n") if reference in self.js else "")

    def root(self):
        name = re.search(r"^class (\w+) extends cdktf\.Terraform(?:Resource|DataSource|Provider) \{", self.js, re.M)
        body = self.body(name[0], "\n}\n")
        root = self.block(f"{name[1]}Config", body[body.index("synthesizeHclAttributes()") :], body)
        if name[0].endswith("TerraformDataSource {"):
            # What is not given is told; of resources the typings do not say which of the optional attributes are.
            for attribute in root["attributes"].values():
                attribute["computed"] |= not attribute["required"]
        return root


class Typings:
    def __init__(self, package, name):
        self.library, self.name, self.known = pathlib.Path(package) / "lib", name, {}

    def of(self, kind, folder):
        if (kind, folder) not in self.known:
            there = (self.library / folder).is_dir()
            self.known[kind, folder] = Source(self.library / folder).root() if there else None
        return self.known[kind, folder]

    def resource(self, type_name):
        return self.of("resource", type_name.removeprefix(f"{self.name}_").replace("_", "-"))

    def data(self, type_name):
        return self.of("data", f"data-{type_name.replace('_', '-')}")

    def provider(self):
        return self.of("provider", "provider")

    def version(self):
        """The provider's version that the typings were made from."""
        text = (self.library / "provider" / "index.d.ts").read_text()
        return re.search(rf"/{self.name}/(\d+\.\d+\.\d+)/docs", text)[1]
