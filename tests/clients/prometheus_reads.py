"""Reads a file of metrics as OpenMetrics and as the older text; README and alert rules name exactly what stands in it.

prometheus_reads.py METRICS README RULES
"""

import pathlib
import re
import sys

import yaml
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

metrics, readme, rules = (pathlib.Path(path).read_text() for path in sys.argv[1:])


def samples(families):
    return sorted(
        (sample.name, tuple(sorted(sample.labels.items())), sample.value) for family in families for sample in family.samples
    )


strict = list(openmetrics.text_string_to_metric_families(metrics))
plain = list(parser.text_string_to_metric_families(metrics))
assert samples(strict) == samples(plain)
names = {family.name for family in strict}
assert len(names) >= 27 and all(family.type == "gauge" and family.documentation for family in strict), names
for family in strict:
    for sample in family.samples:
        assert sample.labels["verb"] == "sync" and sample.labels["archive"].startswith("/"), sample

table = set(re.findall(r"^\| `(convex_archiver_\w+)`", readme, re.MULTILINE))
assert table == names, table ^ names

named = set()
for group in yaml.safe_load(rules)["groups"]:
    for rule in group["rules"]:
        assert rule["alert"] and rule["labels"]["severity"] and rule["annotations"]["summary"], rule
        found = set(re.findall(r"convex_archiver_\w+", rule["expr"]))
        assert found, rule
        named |= found
assert named <= names, named - names
print(f"{len(names)} metrics, {len(named)} of them in alert rules")
