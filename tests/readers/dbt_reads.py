"""dbt_reads.py PROJECT EXPECTED: what `dbt build` made of an archive in PROJECT is what the deployment has, and its tests have said so."""

import json
import pathlib
import sys

import duckdb

ODD = "{% endraw %} {{ no jinja }} {#"


def plain(value):
    """A value as dbt's models show it."""
    if isinstance(value, dict):
        return str(int(value["int"])) if "int" in value else value
    return value


def check(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got}, and {wanted} are there")


def main(project, expected):
    project = pathlib.Path(project)
    revisions, state = [], {}
    for line in open(expected, encoding="utf-8"):
        revision = json.loads(line)
        revisions.append(revision)
        document = revision["document"]
        state.setdefault(revision["table"], {})[revision["id"]] = document and document["object"]
    state = {table: {key: fields for key, fields in documents.items() if fields} for table, documents in state.items()}
    messages, users = state["messages"], state["users"]
    guests, requests = state["waitlist/users"], state["waitlist/requests"]
    connection = duckdb.connect(str(project / "shop.duckdb"), read_only=True)

    def rows(query):
        return sorted(connection.execute(query).fetchall(), key=repr)

    def model(name, wanted):
        check(f"model {name}", rows(f"FROM analytics.{name}"), sorted(wanted, key=repr))

    def fields(documents, *names):
        return [(key, *(plain(document.get(name)) for name in names)) for key, document in documents.items()]

    model("messages", fields(messages, "body", "author", "from", "late"))
    authors = [document["author"] for document in messages.values()]
    model("messages_by_author", [(author, authors.count(author)) for author in set(authors)])
    model("users", fields(users, "name", ODD))
    model("guests", fields(guests, "email"))
    model("requests", [(key, guests[document["guest"]]["email"]) for key, document in requests.items()])
    changes = [(r["id"], r["ts"], r["document"] is None) for r in revisions if r["table"] == "messages"]
    model("message_changes", changes)
    model("message_versions", [(key, True) for key in messages])
    snapshot = rows("SELECT _id, name FROM analytics.users_snapshot WHERE dbt_valid_to IS NULL")
    check("snapshot", snapshot, sorted(fields(users, "name"), key=repr))
    gone = {
        "author": sum(document["author"] not in users for document in messages.values()),
        "from": sum(document["from"] not in users for document in messages.values()),
    }
    results = json.loads((project / "target/run_results.json").read_text())["results"]
    warned = {r["unique_id"]: r["failures"] for r in results if r["status"] == "warn"}
    others = {r["status"] for r in results} - {"warn", "pass", "success"}
    check("tests that failed", others, set())
    tests = [r["unique_id"].split(".")[2] for r in results if r["unique_id"].startswith("test.")]
    for column, n in gone.items():
        found = [failures for name, failures in warned.items() if f"relationships_convex_messages__{column}_" in name]
        check(f"messages without a user in {column}", found, [n])
    check("tests that warned", len(warned), len(gone))
    check("relations", sum("relationships" in name for name in tests), 3)
    check("tests of _id", sum(name.endswith("__id") for name in tests), 4 * len(state))
    print(f"DuckDB {duckdb.__version__}: {len(messages)} messages, {len(revisions)} revisions, {len(tests)} tests")


if __name__ == "__main__":
    main(*sys.argv[1:])
