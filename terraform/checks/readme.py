"""readme.py FOLDER [--write]: holds the tables of inputs and outputs in each README.md of FOLDER/modules against the module's
variables and outputs; with --write, writes them. Holds the examples in the READMEs against the modules, too: every input that they
give exists, every required one is given."""

import pathlib
import re
import sys

import hcl2

BEGIN, END = "<!-- made by `terraform/check readme --write` -->", "<!-- end -->"


def text_of(value):
    """A literal or expression as it is written."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{', '.join(text_of(v) for v in value)}]"
    if isinstance(value, dict):
        return "{}"
    text = str(value)
    return text[2:-1] if text.startswith("${") and text.endswith("}") else text


def plain(value):
    return value[1:-1].replace('\\"', '"') if isinstance(value, str) and value.startswith('"') else str(value)


def declared(module, kind):
    found = {}
    for path in sorted(module.glob("*.tf")):
        for block in hcl2.loads(path.read_text()).get(kind, []):
            for name, body in block.items():
                found[name.strip('"')] = body
    return found


def cell(text):
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def tables(module):
    lines = ["", "### Inputs", "", "| name | type | default | |", "|---|---|---|---|"]
    variables = declared(module, "variable")
    # The required ones first.
    for name, body in sorted(variables.items(), key=lambda item: "default" in item[1]):
        default = f"`{cell(text_of(body['default']))}`" if "default" in body else "**required**"
        lines.append(f"| `{name}` | `{cell(text_of(body['type']))}` | {default} | {cell(plain(body['description']))} |")
    lines += ["", "### Outputs", "", "| name | |", "|---|---|"]
    for name, body in declared(module, "output").items():
        lines.append(f"| `{name}` | {cell(plain(body['description']))} |")
    return "\n".join([*lines, ""])


def wrong_examples(readme, modules):
    """Blocks of HCL in the text that call one of the modules."""
    for block in re.findall(r"```hcl\n(.*?)```", readme, re.S):
        for call in hcl2.loads(block).get("module", []):
            for name, body in call.items():
                source = plain(body["source"]).rpartition("modules/")[2].partition("?")[0]
                if source not in modules:
                    yield f"module {name} has the source {body['source']}"
                    continue
                variables = declared(modules[source], "variable")
                given = {key for key in body if not key.startswith("__")} - {"source", "version", "providers", "count", "for_each"}
                yield from (f"module {name} has no input {key}" for key in sorted(given - variables.keys()))
                required = {key for key, variable in variables.items() if "default" not in variable}
                yield from (f"module {name} needs the input {key}" for key in sorted(required - given))


def main(folder, *flags):
    folder, wrong = pathlib.Path(folder), []
    modules = {path.name: path for path in sorted((folder / "modules").iterdir()) if path.is_dir()}
    for name, module in modules.items():
        readme = module / "README.md"
        text = readme.read_text()
        if BEGIN not in text or END not in text:
            wrong.append(f"modules/{name}/README.md has no place for the tables")
            continue
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        if (right := f"{before}{BEGIN}\n{tables(module)}\n{END}{after}") != text:
            if "--write" in flags:
                readme.write_text(right)
            else:
                wrong.append(f"modules/{name}/README.md: the tables are old; `terraform/check readme --write`")
        if "```hcl" not in text:
            wrong.append(f"modules/{name}/README.md has no example")
        for kind in ("variable", "output"):
            for of, body in declared(module, kind).items():
                if "description" not in body or (kind == "variable" and "type" not in body):
                    wrong.append(f"modules/{name}: {kind} {of} lacks a description or a type")
    for readme in sorted(folder.rglob("README.md")):
        wrong += [f"{readme.relative_to(folder)}: {what}" for what in wrong_examples(readme.read_text(), modules)]
    print("\n".join(wrong))
    print(f"{len(modules)} modules: {len(wrong)} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])
