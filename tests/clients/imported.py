"""imported.py HOLDS EXPECTED AT [PART@MOMENT]…: what a deployment holds after an import (HOLDS, a line a document) is what EXPECTED
held at AT; but a table or the document with an `_id` that is named as a PART is as it was at that MOMENT. Every value by its bits.
"""

import json
import sys
from collections import defaultdict

from truth import Difference, Truth, same


def main(holds, expected, at, *parts):
    truth = Truth(expected)
    wanted = defaultdict(dict, truth.state(int(at)))
    for part in parts:
        name, _, moment = part.partition("@")
        state = truth.state(int(moment))
        if name in truth.tables:
            wanted[name] = state[name]
        else:
            (table,) = (table for table, documents in state.items() if name in documents)
            wanted[table] = wanted[table] | {name: state[table][name]}
    with open(holds, encoding="utf-8") as lines:
        found = {(row["table"], row["id"]): row["document"] for row in map(json.loads, lines)}
    documents = {(table, key): r["document"] for table, held in wanted.items() for key, r in held.items()}
    same("imported", found, documents)
    print(json.dumps({"documents": len(found)}))


try:
    main(*sys.argv[1:])
except Difference as difference:
    sys.exit(str(difference))
