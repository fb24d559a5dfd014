"""duckdb_views.py ARCHIVE EXPECTED SCRIPT AS_OF_SCRIPT AS_OF: DuckDB runs the script that `views --engine duckdb` wrote, and what its
views hold agrees with the deployment: the documents of every table at many moments, and every revision once. AS_OF_SCRIPT is the
one of `--as-of AS_OF`. The archive is a path.
"""

import datetime
import json
import math
import pathlib
import re
import sys
import tempfile

import duckdb

from archive import AGAIN, Archive, Comparison, Difference, document, of_a_later_program, same, with_rows_again

VALID = {"_valid_from", "_valid_to", "_valid_from_ts", "_valid_to_ts", "_is_current"}
ADDED = {"_ts_utc", "_creationTime_utc"} | VALID


def views(entries):
    """The schema, and the names of the views, of each table, where case does not count. Of twins the one whose folder has the smaller suffix has
    its own name, the others are called like their folders."""
    spaces = {"schemas": {"main", "_archive", "temp", "system", "memory", "information_schema", "pg_catalog"}}

    def take(space, name):
        used, free, number = spaces.setdefault(space, set()), name, 2
        while free.lower() in used:
            free, number = f"{name}-{number}", number + 1
        used.add(free.lower())
        return free

    def like_folders(space, folders):
        used = spaces.setdefault(space, set())
        by_suffix = sorted(folders.items(), key=lambda item: (len(item[1]), item[1]))
        return {name: take(space, folder if name.lower() in used else name) for name, folder in by_suffix}

    tables, components = {}, {}
    for name, entry in entries:
        *component, own = entry["folder"].split("/")[1::2]
        table = entry["table"]
        tables.setdefault(table.get("component", ""), {})[table["name"]] = own
        components[table.get("component", "")] = "/".join(component)
    components.pop("", None)
    schemas = {"": "main"} | like_folders("schemas", components)
    plain = {component: like_folders(schemas[component], folders) for component, folders in tables.items()}
    names = {}
    for name, entry in entries:
        component = entry["table"].get("component", "")
        names[name] = [schemas[component], plain[component][entry["table"]["name"]]]
    for what in ("history", "as_of", "versions"):
        for found in names.values():
            found.append(take(found[0], f"{found[1]}_{what}"))
    return names


def quoted(*names):
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def rows(connection, query, entry):
    """Rows by the names of columns in the files; without what the views add."""
    result = connection.execute(query)
    shown = [column[0] for column in result.description]
    families = {}
    for column in entry["columns"]:
        families.setdefault(column["name"], []).append(column["column"])
    held = {column["column"] for column in entry["columns"]}
    of = {}
    for name, columns in families.items():
        for column in columns:
            # Under the document's name, if that is free.
            plain = name + column.removeprefix(columns[0])
            of[column if column in shown else plain] = column
    beside, taken = {}, {name.lower() for name in of}
    for name, columns in families.items():
        wanted = f"{columns[0] if columns[0] in shown else name}__rescued"
        free = next(free for n in range(1, 99) if (free := wanted if n == 1 else f"{wanted}-{n}").lower() not in taken)
        # A family has one only where something may have been rescued.
        if free in shown:
            taken.add(free.lower())
            beside[free] = (name, columns)
    types = {column["column"]: column["type"] for column in entry["columns"]}
    known = set(of) | ADDED | {"_id", "_creationTime", "_ts", "_tombstone", "_nulls", "_rescued"}
    extra = [name for name in shown if name not in known and name not in beside]
    if extra or len(held) != len(of) or not set(of) <= set(shown):
        raise Difference(f"{query}: columns {extra} are unknown, {set(of) - set(shown)} are missing")
    while found := result.fetchmany(1000):
        for row in found:
            row = dict(zip(shown, row))
            check_added(row)
            held = {of.get(name, name): value for name, value in row.items() if name in known - ADDED}
            rescued = json.loads(held["_rescued"] or "{}")
            for column, (name, columns) in beside.items():
                if row.get(column) is not None:
                    spread("/" + token(name), [(types[c], held[c]) for c in columns], json.loads(row[column]), rescued)
            held |= {column: row[column] for column in VALID & row.keys()}
            yield held | {"_rescued": json.dumps(rescued) if rescued else None}


def spread(path, family, value, rescued):
    """Puts what stands beside a field, of whose columns these are the types and values, back under its paths."""
    held = [(kind, cell) for kind, cell in family if cell is not None]
    if not held:
        # What fits a column stands in it.
        if any(fits(kind, value) for kind, _ in family):
            raise Difference(f"{path}: {value!r} stands beside {[kind for kind, _ in family]}")
        put_once(rescued, path, value)
        return
    ((kind, cell),) = held
    for key, inner in value.items():
        if "list" in kind:
            put_once(rescued, f"{path}/{key}", inner)
            continue
        # JSON text beside another field is told beside the top-level column, and not there.
        fields = [(field["type"], cell.get(field["column"])) for field in kind["struct"] if field["name"] == key]
        if any(cell is not None for _, cell in fields):
            spread(f"{path}/{token(key)}", fields, inner, rescued)
        else:
            put_once(rescued, f"{path}/{token(key)}", inner)


def fits(kind, value, inside_list=False):
    """Whether a column has a place for a JSON value; of an object, in a list for all of it."""
    match kind:
        case "json":
            return True
        case "boolean":
            return isinstance(value, bool)
        case "int64":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float64":
            # Engines do not agree on the bits of other NaNs.
            return isinstance(value, float) or isinstance(value, dict) and value.get("$float") in ("AAAAAAAA8H8=", "AAAAAAAA8P8=", "AAAAAAAA+H8=")
        case "string":
            return isinstance(value, str)
        case "bytes":
            return isinstance(value, dict) and "$bytes" in value
        case {"list": element}:
            return isinstance(value, list) and all(item is None or fits(element["type"], item, True) for item in value)
        case {"struct": fields}:
            if not isinstance(value, dict) or {"$bytes", "$float"} & value.keys():
                return False
            columns = {name: [field["type"] for field in fields if field["name"] == name] for name in value}
            alone = lambda kinds: kinds == ["json"]  # noqa: E731
            each = (any(fits(kind, inner, True) for kind in columns[name]) and (inner is not None or alone(columns[name])) for name, inner in value.items())
            return not inside_list or all(each)
    raise Difference(f"a column of unknown type {kind!r}")


def put_once(rescued, path, value):
    if path in rescued:
        raise Difference(f"{path} stands in two columns")
    rescued[path] = value


def token(name):
    return name.replace("~", "~0").replace("/", "~1")


def check_added(row):
    """Times as timestamps (Python's have no nanoseconds)."""
    stamp = row["_ts_utc"].timestamp() if row["_ts_utc"].tzinfo else (row["_ts_utc"] - EPOCH).total_seconds()
    if abs(stamp - row["_ts"] / 1e9) > 1e-5:
        raise Difference(f"_ts {row['_ts']} is shown as {row['_ts_utc']}")
    if (row["_creationTime"] is None) != (row["_creationTime_utc"] is None):
        raise Difference(f"_creationTime {row['_creationTime']} is shown as {row['_creationTime_utc']}")


EPOCH = datetime.datetime(1970, 1, 1)


def check_state(connection, comparison, name, entry, query, at):
    found = [(row["_id"], document(entry["columns"], row | {"_tombstone": False})) for row in rows(connection, query, entry)]
    if len(dict(found)) != len(found):
        raise Difference(f"table {name} at {at}: {len(found)} rows, {len(dict(found))} documents")
    wanted = comparison.state(name, at)
    same(f"table {name} at {at}", dict(found), {key: revision["document"] for key, revision in wanted.items()})


def check_history(connection, comparison, name, entry, view, at):
    found = [((row["_id"], row["_ts"]), document(entry["columns"], row)) for row in rows(connection, f"FROM {view}", entry)]
    if len(dict(found)) != len(found):
        raise Difference(f"table {name}: {len(found)} rows of history, {len(dict(found))} revisions")
    first = min(entry["bases"])
    wanted = {(r["id"], r["ts"]): r["document"] for r in comparison.state(name, first).values() if first <= at}
    wanted |= {(r["id"], r["ts"]): r["document"] for r in comparison.revisions[name] if first < r["ts"] <= at}
    same(f"table {name}, history", dict(found), wanted)


def check_versions(connection, comparison, name, entry, view, at, moments):
    """The versions that are valid at a moment are the documents then where the table is covered, and none are where it is not."""
    found = [(row, document(entry["columns"], row | {"_tombstone": False})) for row in rows(connection, f"FROM {view}", entry)]
    stamp = lambda ts: ts and EPOCH + datetime.timedelta(microseconds=-(-ts // 1000))  # noqa: E731
    for row, _ in found:
        if (row["_valid_from"], row["_valid_to"]) != (stamp(row["_valid_from_ts"]), stamp(row["_valid_to_ts"])):
            raise Difference(f"{view}: {row} shows other times than nanoseconds")
        if row["_is_current"] != (row["_valid_to_ts"] is None) or row["_is_current"] and not covered(entry, at):
            raise Difference(f"{view}: {row} is or is not current")
    for moment in [moment for moment in moments if moment <= at]:
        valid = [row for row in found if row[0]["_valid_from_ts"] <= moment and (row[0]["_valid_to_ts"] or math.inf) > moment]
        wanted = comparison.state(name, moment) if covered(entry, moment) else {}
        if len({row["_id"] for row, _ in valid}) != len(valid):
            raise Difference(f"{view}: two versions of a document are valid at {moment}")
        same(f"{view} at {moment}", {row["_id"]: value for row, value in valid}, {key: r["document"] for key, r in wanted.items()})
    ends = {(row["_id"], row["_ts"], row["_valid_to_ts"]) for row, _ in found}
    if touching := ends & {(row["_id"], row["_ts"], row["_valid_from_ts"]) for row, _ in found}:
        raise Difference(f"{view}: spans touch: {touching}")


def covered(entry, at):
    return any(span["from"] <= at <= span["to"] for span in entry["covered"])


def refuses(connection, query, word):
    try:
        connection.execute(query).fetchall()
    except duckdb.Error as error:
        if word in str(error):
            return
        raise
    raise Difference(f"{query} is not refused")


def check_types(connection, names, entries):
    """JSON text is JSON under whichever name it is shown; inside objects it stays text."""
    found = set()
    for name, entry in entries:
        schema, plain, history, *_ = names[name]
        for view in (plain, history):
            types = {row[0]: row[1] for row in connection.execute(f"DESCRIBE {quoted(schema, view)}").fetchall()}
            for column in entry["columns"]:
                if column["type"] == "json":
                    shown = column["column"] if column["column"] in types else column["name"]
                    found.add((shown == column["column"], types[shown]))
    if found != {(True, "JSON"), (False, "JSON")}:
        raise Difference(f"the types of JSON columns, under their own name or another: {found}")


def check_other_sessions(script, names):
    """The views are in the file of a database; what the script has read is not, and no other session takes that for empty tables."""
    schema, plain, history, at_moment, versions = names["waitlist/orders"]
    queries = [f"FROM {quoted(schema, view)}" for view in (plain, history, versions)] + [f"FROM {quoted(schema, at_moment)}(now())"]
    unknown = "run the views script in this session first"

    def refused(connection):
        for query in queries:
            refuses(connection, query, unknown)

    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "views.db"
        with duckdb.connect(file) as connection:
            connection.execute(script)
            there = [len(connection.execute(query).fetchall()) for query in queries[:2]]
            with connection.cursor() as cursor:
                refused(cursor)
                cursor.execute(script)
                if [len(cursor.execute(query).fetchall()) for query in queries[:2]] != there:
                    raise Difference("another session that ran the script has other rows")
        with duckdb.connect(file) as connection:
            connection.execute("SHOW ALL TABLES").fetchall()
            refused(connection)
            # Nor does one in which it broke off, before or within the tables in front of this one.
            for part in (script[: script.index("-- A moment:")], script[: script.index("\n-- waitlist/")]):
                connection.execute(part)
                refused(connection)
            connection.execute(script)
            if [len(connection.execute(query).fetchall()) for query in queries[:2]] != there:
                raise Difference("a later session that ran the script has other rows")


def check_needs(archive, script):
    """What was written for readers that know more is refused, and nothing of it is read."""
    with tempfile.TemporaryDirectory() as folder:
        words = of_a_later_program(archive, folder)
        for word in words:
            refuses(duckdb.connect(), elsewhere(script, folder), word)


def check_rows_with_types_count(archive, script):
    """Of two rows with one _id and _ts one that came with types counts, and of two such the one of the later path."""
    for encoding, shown in (("json", False), ("export_json", True)):
        with tempfile.TemporaryDirectory() as folder:
            rows = with_rows_again(archive, f"{folder}/copy", encoding)
            connection = duckdb.connect()
            connection.execute(elsewhere(script, f"{folder}/copy"))
            (again,) = connection.execute(f"SELECT count(*) FILTER (_rescued = '{AGAIN}') FROM orders_history").fetchone()
            (now,) = connection.execute(f"SELECT count(*) FILTER (_rescued = '{AGAIN}') FROM orders").fetchone()
            if again != rows * shown or (now > 0) != shown:
                raise Difference(f"in {encoding}: {again} of {rows} rows in the history, {now} now")


def elsewhere(script, folder):
    return re.sub(r'^(SET VARIABLE "_archive (?:url|lists)" =) .*;$', lambda found: f"{found[1]} '{folder}';", script, flags=re.MULTILINE)


def moments(comparison, entries):
    """Both ends of every span and base, and some revisions between them, with their neighbours."""
    found = {moment for _, entry in entries for span in entry["covered"] for moment in (span["from"], span["to"])}
    stamps = sorted({r["ts"] for revisions in comparison.revisions.values() for r in revisions})
    some = set(stamps[:: max(1, len(stamps) // 4)])
    return sorted(found | some | {moment - 1 for moment in some | found} | {comparison.archive.through + 1})


def read(archive, comparison, script, as_of_script, as_of):
    entries = list(archive.tables())
    names = views(entries)
    connection = duckdb.connect()
    connection.execute(script)
    refused = 0
    for name, entry in entries:
        schema, plain, history, at_moment, versions = names[name]
        if covered(entry, archive.through):
            check_state(connection, comparison, name, entry, f"FROM {quoted(schema, plain)}", archive.through)
        else:
            refuses(connection, f"FROM {quoted(schema, plain)}", "not covered")
        check_history(connection, comparison, name, entry, quoted(schema, history), archive.through)
        check_versions(connection, comparison, name, entry, quoted(schema, versions), archive.through, moments(comparison, entries))
        for at in moments(comparison, entries):
            query = f"FROM {quoted(schema, at_moment)}({at})"
            if covered(entry, at):
                check_state(connection, comparison, name, entry, query, at)
            else:
                refuses(connection, f"SELECT 1 {query} WHERE _id = 'x'", "not covered")
                refused += 1
    if not refused:
        raise Difference("no moment was refused")
    check_types(connection, names, entries)
    check_other_sessions(script, names)
    check_needs(archive, script)
    check_rows_with_types_count(archive, script)
    # Again in the same session, and all tables at another moment at once.
    connection.execute(script)
    connection.execute(as_of_script)
    for name, entry in entries:
        schema, plain, history, _, versions = names[name]
        if covered(entry, as_of):
            check_state(connection, comparison, name, entry, f"FROM {quoted(schema, plain)}", as_of)
        else:
            refuses(connection, f"FROM {quoted(schema, plain)}", "not covered")
        check_history(connection, comparison, name, entry, quoted(schema, history), as_of)
        check_versions(connection, comparison, name, entry, quoted(schema, versions), as_of, [*moments(comparison, entries), as_of])
    refuses(duckdb.connect(), as_of_script.replace(str(as_of), "1"), "covers no table")
    print(f"DuckDB {duckdb.__version__}: {len(entries)} tables, {len(moments(comparison, entries))} moments, {refused} refused")


def main(place, expected, script, as_of_script, as_of):
    archive = Archive(place)
    comparison = Comparison(archive, expected)
    script, as_of_script = (open(path, encoding="utf-8").read() for path in (script, as_of_script))
    try:
        read(archive, comparison, script, as_of_script, int(as_of))
    except Difference as difference:
        sys.exit(str(difference))


if __name__ == "__main__":
    main(*sys.argv[1:])
