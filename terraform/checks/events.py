"""events.py FILE: holds the rule of modules/aws about tasks that died against events as ECS sends them. FILE holds the rule's pattern,
as the module renders it, the cluster and the families of the tasks. Patterns are evaluated here: as much of EventBridge's language as
the module uses."""

import json
import sys


def leaf(wanted, value):
    """Whether one value of the event is one of the wanted."""
    for want in wanted:
        if isinstance(want, dict):
            if list(want) != ["anything-but"]:
                sys.exit(f"a pattern that this test does not understand: {want}")
            if value not in want["anything-but"]:
                return True
        elif value == want and type(value) is type(want):
            return True
    return False


def matches(pattern, event):
    if isinstance(event, list):
        return any(matches(pattern, element) for element in event)
    if isinstance(pattern, list):
        return leaf(pattern, event)
    if not isinstance(event, dict):
        return False
    for key, wanted in pattern.items():
        if key == "$or":
            if not any(matches(one, event) for one in wanted):
                return False
        elif key not in event or not matches(wanted, event[key]):
            return False
    return True


def event(rule, task, code=None, **other):
    family = rule["families"].get(task, task)
    container = {"name": task, "lastStatus": "STOPPED", **({} if code is None else {"exitCode": code})}
    detail = {
        "clusterArn": rule["cluster"],
        "group": f"family:{family}",
        "lastStatus": "STOPPED",
        "desiredStatus": "STOPPED",
        "stopCode": "EssentialContainerExited",
        "containers": [container],
        **other,
    }
    return {"source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": detail}


def main(file):
    with open(file) as text:
        rule = json.load(text)
    pattern = json.loads(rule["pattern"])
    wrong, done = [], 0
    for what, happened, tells in (
        *((f"sync ends with {code}, which its log says", event(rule, "sync", code), False) for code in (0, 1, 2, 3, 4, 5, 130)),
        *((f"sync ends with {code}", event(rule, "sync", code), True) for code in (127, 134, 137, 139, 143)),
        *((f"status ends with {code}", event(rule, "status", code), code in (1, 2, 4, 137)) for code in (0, 1, 2, 3, 4, 5, 137)),
        ("sync did not start", event(rule, "sync", stopCode="TaskFailedToStart"), True),
        ("status did not start", event(rule, "status", stopCode="TaskFailedToStart"), True),
        ("sync still runs", event(rule, "sync", lastStatus="RUNNING"), False),
        ("another task was killed", event(rule, "another", 137), False),
        ("another task did not start", event(rule, "another", stopCode="TaskFailedToStart"), False),
        ("one in another cluster", event(rule, "sync", 137, clusterArn="arn:aws:ecs:eu-north-1:123456789012:cluster/other"), False),
    ):
        done += 1
        if matches(pattern, happened) != tells:
            wrong.append(f"{what}: {'no word of it' if tells else 'somebody is woken up'}")
    print("\n".join(wrong))
    print(f"{done} events: {len(wrong)} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])
