"""questions.py GUIDE HEADING: runs the blocks below a heading of the section "Questions", as they stand there and in their order,
and compares the answers with those that the history of `questions.rs` has. What a block of `sh` prints are the answers of DuckDB; one of
`python` leaves each answer in a variable.
"""

import csv
import io
import os
import pathlib
import re
import subprocess
import sys

# Workers of Spark run under the interpreter that runs this.
os.environ["PYSPARK_PYTHON"] = sys.executable
SETTINGS = {
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "1",
}
settings = " ".join(f"--conf {name}={value}" for name, value in SETTINGS.items())
os.environ["PYSPARK_SUBMIT_ARGS"] = f"--master local[2] {settings} pyspark-shell"
# What a block makes is imported from here.
sys.path.insert(0, "")

DAYS = {"2026-11-21": 2, "2026-11-22": 3, "2026-11-23": 3, "2026-11-24": 3, "2026-11-25": 4, "2026-11-26": 4}
ANSWERS = {
    "active": [["2"]],
    "order": [["packed", "30.25"]],
    "days": [[day, str(rows)] for day, rows in DAYS.items()],
    "joined": [["Ada", "38.25"], ["Bob", "12.5"]],
    "changed": [["A-1001", "packed", "shipped"], ["A-1002", "paid", ""], ["A-1004", "", "paid"], ["A-1005", "", "paid"]],
}
# Names of columns: where the answer of a query begins.
DUCKDB = [["active"], ["status", "total"], ["day", "rows"], ["name", "total"], ["number", "before", "after"]]
# The rows of an answer, by the name of its type.
ROWS = {
    "int": lambda number: [[number]],
    "dict": lambda found: list(found.items()),
    "polars.DataFrame": lambda frame: frame.rows(),
    "pandas.DataFrame": lambda frame: frame.values.tolist(),
    "pyspark.DataFrame": lambda frame: frame.collect(),
    "datafusion.DataFrame": lambda frame: [row.values() for row in frame.to_pylist()],
    "chdb.query_result": lambda text: csv.reader(io.StringIO(str(text))),
}


def blocks(readme, heading):
    """Language and text of each."""
    section = readme.split("\n## Questions\n")[1].split("\n## ")[0]
    (below,) = (text for text in section.split("\n### ") if text.startswith(f"{heading}\n"))
    return re.findall(r"^```(\w+)\n(.*?)^```$", below, flags=re.MULTILINE | re.DOTALL)


def by_shell(block):
    printed = subprocess.run(["sh", "-e", "-c", block], stdout=subprocess.PIPE, text=True, check=True).stdout
    answers = []
    for row in csv.reader(io.StringIO(printed)) if "query" in block else []:
        if row in DUCKDB:
            answers.append([])
        else:
            answers[-1].append(row)
    return dict(zip(ANSWERS, answers))


def by_python(block):
    variables = {}
    exec(block, variables)
    answers = {name: variables[name] for name in ANSWERS if name in variables}
    return {name: ROWS[kind(answer)](answer) for name, answer in answers.items()}


def kind(answer):
    module, name = type(answer).__module__, type(answer).__name__
    return name if module == "builtins" else f"{module.split('.')[0]}.{name}"


def text(value):
    """Of a midnight its day, of NULL nothing."""
    shown = str(value).removesuffix(" 00:00:00")
    return "" if shown in ("None", "NULL", "<NA>") else shown


def main(readme, heading):
    answered = 0
    for language, block in blocks(pathlib.Path(readme).read_text(encoding="utf-8"), heading):
        found = {"sh": by_shell, "python": by_python}[language](block)
        for name, rows in found.items():
            rows = [[text(value) for value in row] for row in rows]
            if rows != ANSWERS[name]:
                sys.exit(f"{heading}, {name}: {rows} instead of {ANSWERS[name]}")
        # Each question stands as a comment above its answer.
        if len(found) != len(re.findall(r"^# ", block, flags=re.MULTILINE)):
            sys.exit(f"{heading}: answers to {', '.join(found)} only:\n{block}")
        answered += len(found)
    print(f"{heading}: {answered} answers")


main(*sys.argv[1:])
