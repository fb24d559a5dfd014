# What a row rescued, back in its columns. A value whose path has a column now stands in that column if it fits it whole; so do those inside
# of structs. All others stand in a column beside the top-level one, `x__rescued`, as JSON text: the value itself, or an object of what is
# inside of `x`, nested as the document is. Keys are names; below a list they are indices, with the rest of the path behind. What
# has no column at all is in `_rescued`. So each value stands once.
#
# Only the text in `_rescued` goes to Python and only what was in it comes back, so that no value of a column changes its bits on the way.


class Rescued:
    """Where what a table rescued may stand. What was rescued where is not known before the rows are read, so what may have happened counts:
    in a table without rescued rows all columns are left as they are, so that filters reach their files."""

    def __init__(self, entry):
        fields = entry["columns"]
        # Ids of the columns that may get a value back, and by name the fields that may have one beside them.
        self.places, self.beside = {}, {}
        if not any(entry[phase]["rescued_rows"] for phase in ("base", "delta")):
            return
        # Columns that came later than others may have been rescued before.
        grown = entry["schema"]["schema"] > 1
        self._find_places(fields, "", grown, misfit_paths(entry.get("misfits", {}), fields))
        for name, family in families(fields).items():
            if any(column["id"] in self.places or not isinstance(column["type"], str) for column in family):
                self.beside[name] = family

    def _find_places(self, fields, above, grown, misfits):
        for name, family in families(fields).items():
            path = pointer(above, name)
            for column in family:
                if grown or path in misfits:
                    self.places[column["id"]] = column["type"]
                self._find_places(struct_fields(column), path, grown, misfits)

    def with_back(self, rows):
        """The rows with `_back`: values by columns `c…` of their ids, `beside…` by place, and `others`."""
        if not self.beside:
            return rows
        types = [f"c{number}: {spark_type(column_type)}" for number, column_type in self.places.items()]
        types += [f"beside{n}: STRING" for n in range(len(self.beside))] + ["others: STRING"]
        places, beside = self.places, self.beside
        back = F.udf(lambda cell: cell and put_back(cell, beside, places), f"STRUCT<{', '.join(types)}>")
        return rows.withColumn("_back", back("_rescued"))

    def filled(self, column, held):
        """A column with what came back to it."""
        filled = held
        fields = struct_fields(column)
        inner = [self.filled(field, held.getField(field["column"])).alias(field["column"]) for field in fields]
        if self._is_place_inside(fields):
            there = held.isNotNull() & F.col("_rescued").isNotNull()
            filled = F.when(there, F.struct(*inner)).otherwise(held)
        return F.coalesce(filled, F.col(f"_back.c{column['id']}")) if column["id"] in self.places else filled

    def _is_place_inside(self, fields):
        return any(field["id"] in self.places or self._is_place_inside(struct_fields(field)) for field in fields)


def families(fields):
    """Fields of one name, by name in the order of the oldest."""
    found = {}
    for field in fields:
        found.setdefault(field["name"], []).append(field)
    return found


def struct_fields(column):
    return [] if isinstance(column["type"], str) else column["type"].get("struct", [])


def pointer(above, name):
    return f"{above}/{name.replace('~', '~0').replace('/', '~1')}"


def misfit_paths(misfits, fields):
    """Paths of values that did not fit: they are counted by the id of a column and the rest of the path, or by the path if that had none."""
    paths = {}

    def find(fields, above):
        for field in fields:
            paths[str(field["id"])] = pointer(above, field["name"])
            find(struct_fields(field), paths[str(field["id"])])

    find(fields, "")
    split = (key.partition("/") for key in misfits)
    return {paths.get(number, "") + slash + rest for number, slash, rest in split}


class Double(str):
    """A float64, as JSON text spells it. (An int64 is an int.)"""


# Doubles that JSON has no number for. (Engines do not agree on the bits of any other NaN: that is no double here.)
SPECIAL = {"AAAAAAAA8H8=": float("inf"), "AAAAAAAA8P8=": float("-inf"), "AAAAAAAA+H8=": float("nan")}


def put_back(cell, told, places):
    """What a row rescued: values by the columns where they may stand, then what stands beside the fields that are told, and all others."""
    values, beside, others = {}, {}, {}
    for path, value in json.loads(cell, parse_float=Double).items():
        if name_of(path[1:].partition("/")[0]) in told:
            put(told, path[1:], value, places, values, beside)
        else:
            others[path] = value
    # (No null is rescued: it is in `_nulls`.)
    texts = [beside.get(name) for name in told] + [others or None]
    return [values.get(number) for number in places] + [None if value is None else json_text(value) for value in texts]


def put(known, path, value, places, values, beside):
    """Puts a value in the column where its path leads, or beside these families."""
    token, slash, rest = path.partition("/")
    name = name_of(token)
    family = known.get(name, [])
    if not slash:
        column = first_to_fit([column for column in family if column["id"] in places], value)
        if column:
            values[column["id"]] = read(column["type"], value)
        else:
            beside[name] = value
    elif family:
        fields = [field for column in family for field in struct_fields(column)]
        inner = beside.get(name, {})
        put(families(fields), rest, value, places, values, inner)
        if inner:
            beside[name] = inner
    else:
        # Below a list.
        beside[path] = value


def name_of(token):
    return token.replace("~1", "/").replace("~0", "~")


def first_to_fit(family, value):
    """The oldest column that takes a value whole. (An empty list fits every list.)"""
    return next((column for column in family if fits(column["type"], value)), None)


def fits(column_type, value):
    """Whether a value fits a column whole. An item of a list may be null; a field inside of an object may be absent, but where it is null a struct could not
    tell that from absent."""
    if column_type == "json":
        return True
    if column_type == "boolean":
        return isinstance(value, bool)
    if column_type == "int64":
        return isinstance(value, int) and not isinstance(value, bool)
    if column_type == "float64":
        return isinstance(value, Double) or isinstance(value, dict) and value.get("$float") in SPECIAL
    if column_type == "string":
        return isinstance(value, str) and not isinstance(value, Double)
    if column_type == "bytes":
        return isinstance(value, dict) and "$bytes" in value
    if "list" in column_type:
        inner = column_type["list"]["type"]
        return isinstance(value, list) and all(item is None or fits(inner, item) for item in value)
    known = families(column_type["struct"])
    return isinstance(value, dict) and all(first_to_fit(known.get(name, []), inner) for name, inner in value.items())


def read(column_type, value):
    """A value that fits, as the column has it."""
    if column_type == "json":
        return json_text(value)
    if value is None or column_type in ("boolean", "int64", "string"):
        return value
    if column_type == "float64":
        return float(value) if isinstance(value, Double) else SPECIAL[value["$float"]]
    if column_type == "bytes":
        return base64.b64decode(value["$bytes"])
    if "list" in column_type:
        return [read(column_type["list"]["type"], item) for item in value]
    known, row = families(column_type["struct"]), []
    for field in column_type["struct"]:
        name = field["name"]
        here = name in value and first_to_fit(known[name], value[name]) is field
        row.append(read(field["type"], value[name]) if here else None)
    return row


def json_text(value):
    """Canonical JSON text, as the archive writes it."""
    if isinstance(value, Double):
        return str(value)
    if isinstance(value, list):
        return f"[{','.join(map(json_text, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json_text(name)}:{json_text(value[name])}" for name in sorted(value)) + "}"
    return json.dumps(value, ensure_ascii=False)
