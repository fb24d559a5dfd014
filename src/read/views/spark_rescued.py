# What a row rescued, back in its columns. A value whose path has a column now stands in that column if it fits it; so do those inside
# of structs, each for itself, also where the whole object was rescued (nulls in it go to `_nulls`). Lists are taken whole or not at all. All
# others stand in a column beside the top-level one, `x__rescued`, as JSON text: the value itself, or an object of what is inside of `x`, nested
# as the document is. Keys are names; below a list they are indices, with the rest of the path behind. What has no column at all is in
# `_rescued`. So each value stands once. JSON text beside a column inside of a struct, `x.y__json`, is told there too.
#
# Only such text goes to Python and only what was in it comes back, so that no value of a column changes its bits on the way.


class Rescued:
    """Where what a table rescued may stand. What was rescued where is not known before the rows are read, so what may have happened counts:
    in a table without rescued rows columns are left as they are, so that filters reach their files."""

    def __init__(self, entry):
        self.fields = fields = told(entry["columns"])
        # Names that lead to JSON text beside a column inside of a struct, and its columns.
        self.texts = list(texts_inside(entry["columns"]))
        # Ids of the columns that may get a value back, and by name the fields that may have one beside them.
        self.places, self.beside = {}, {}
        rescued = any(entry[phase]["rescued_rows"] for phase in ("base", "delta"))
        if rescued:
            # Columns that came later than others may have been rescued before.
            grown = entry["schema"]["schema"] > 1
            self._find_places(fields, "", grown, misfit_paths(entry.get("misfits", {}), fields))
        for name, family in families(fields).items():
            may = any(column["id"] in self.places or not isinstance(column["type"], str) for column in family)
            if rescued and may or any(names[0] == name for names, _ in self.texts):
                self.beside[name] = family

    def _find_places(self, fields, above, grown, misfits):
        for name, family in families(fields).items():
            path = pointer(above, name)
            for column in family:
                if grown or path in misfits:
                    self.places[column["id"]] = column["type"]
                self._find_places(struct_fields(column), path, grown, misfits)

    def with_back(self, rows):
        """The rows with `_back`: values by columns `c…` of their ids, `beside…` by place, `others` and `nulls`."""
        if not self.beside:
            return rows
        types = [f"c{number}: {spark_type(column_type)}" for number, column_type in self.places.items()]
        types += [f"beside{n}: STRING" for n in range(len(self.beside))] + ["others: STRING", "nulls: STRING"]
        places, beside, names = self.places, self.beside, [names for names, _ in self.texts]

        def back(nulls, cell, *texts):
            return put_back(nulls, cell, list(zip(names, texts)), beside, places) if cell or any(texts) else None

        texts = [F.col(".".join(map(quoted, columns))) for _, columns in self.texts]
        return rows.withColumn("_back", F.udf(back, f"STRUCT<{', '.join(types)}>")("_nulls", "_rescued", *texts))

    def filled(self, column, held):
        """A column with what came back to it, without what is told beside it."""
        filled = held
        fields = struct_fields(column)
        inner = [self.filled(field, held.getField(field["column"])).alias(field["column"]) for field in fields]
        if "differs" in column:
            filled = F.when(held.isNotNull(), F.struct(*inner))
        elif self._is_place_inside(fields):
            there = held.isNotNull() & F.col("_rescued").isNotNull()
            filled = F.when(there, F.struct(*inner)).otherwise(held)
        return F.coalesce(filled, F.col(f"_back.c{column['id']}")) if column["id"] in self.places else filled

    def _is_place_inside(self, fields):
        return any(field["id"] in self.places or self._is_place_inside(struct_fields(field)) for field in fields)


def told(fields, top=True):
    """The columns that the views show: without JSON text beside a column inside of a struct. What had some has `differs`."""
    shown = []
    for field in fields:
        inner = struct_fields(field)
        left = told(inner, False)
        if top or not is_text_beside(field, fields):
            differs = len(left) < len(inner) or any("differs" in child for child in left)
            shown.append(field | ({"type": {"struct": left}} if inner else {}) | ({"differs": True} if differs else {}))
    return shown


def texts_inside(fields, names=(), columns=()):
    """The names and the columns on the way to such text."""
    for field in fields:
        names_here, columns_here = (*names, field["name"]), (*columns, field["column"])
        if names and is_text_beside(field, fields):
            yield names_here, columns_here
        yield from texts_inside(struct_fields(field), names_here, columns_here)


def is_text_beside(field, fields):
    return field["type"] == "json" and sum(other["name"] == field["name"] for other in fields) > 1


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


def put_back(nulls, cell, texts, told, places):
    """What a row rescued: values by the columns where they may stand, then what stands beside the fields that are told, all others, and `_nulls`."""
    values, beside, others, more_nulls = {}, {}, {}, []
    for path, value in read_json(cell or "{}").items():
        if name_of(path[1:].partition("/")[0]) in told:
            put(told, path[1:], value, "", places, values, beside, more_nulls)
        else:
            others[path] = value
    for names, text in texts:
        if text is not None:
            inner = beside
            for name in names[:-1]:
                inner = inner.setdefault(name, {})
            inner[names[-1]] = read_json(text)
    told_beside = [beside.get(name) for name in told] + [others or None, sorted(read_json(nulls or "[]") + more_nulls) or None]
    return [values.get(number) for number in places] + [None if value is None else json_text(value) for value in told_beside]


def read_json(text):
    return json.loads(text, parse_float=Double)


def put(known, path, value, above, places, values, beside, nulls):
    """Puts a value in the column where its path leads, or beside these families."""
    token, slash, rest = path.partition("/")
    name = name_of(token)
    family = known.get(name, [])
    if not slash:
        family = [column for column in family if column["id"] in places]
        column, taken, left = place(family, value, pointer(above, name), nulls)
        if column:
            values[column["id"]] = taken
        if left is not None:
            beside[name] = left
    elif family:
        fields = [field for column in family for field in struct_fields(column)]
        inner = beside.get(name, {})
        put(families(fields), rest, value, pointer(above, name), places, values, inner, nulls)
        if inner:
            beside[name] = inner
    else:
        # Below a list.
        beside[path] = value


def place(family, value, path, nulls):
    """The column of a family that has a value, what stands there, and what does not: of an object it is a part."""
    struct = next((column for column in family if struct_fields(column)), None)
    column = first_to_fit(family, value)
    if struct and column is None and isinstance(value, dict) and not {"$bytes", "$float"} & value.keys():
        fields = struct_fields(struct)
        known, row, left = families(fields), {}, {}
        for name, inner in value.items():
            inner_path, inner_family = pointer(path, name), known.get(name, [])
            if inner is None and not is_text_alone(inner_family):
                nulls.append(inner_path)
                continue
            column, taken, more = place(inner_family, inner, inner_path, nulls)
            if column:
                row[column["id"]] = taken
            if more is not None:
                left[name] = more
        return struct, [row.get(field["id"]) for field in fields], left or None
    return (column, read(column["type"], value), None) if column else (None, None, value)


def is_text_alone(family):
    return len(family) == 1 and family[0]["type"] == "json"


def name_of(token):
    return token.replace("~1", "/").replace("~0", "~")


def first_to_fit(family, value):
    """The oldest column that takes a value whole. (An empty list fits every list.) Null fits JSON text that stands alone."""
    if value is None and not is_text_alone(family):
        return None
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
