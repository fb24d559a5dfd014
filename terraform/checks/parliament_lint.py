"""parliament_lint.py FILE: lints the IAM policies of a JSON object {name: policy text} with parliament."""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

from parliament import analyze_policy_string  # noqa: E402


def main(file):
    with open(file) as text:
        policies = json.load(text)
    wrong = []
    for name, policy in policies.items():
        for finding in analyze_policy_string(policy).findings:
            wrong.append(f"{name}: {finding.issue} {finding.title or ''} {finding.detail} {finding.location}")
    print("\n".join(wrong))
    print(f"{len(policies)} policies: {len(wrong)} findings")
    sys.exit(bool(wrong) or not policies)


main(*sys.argv[1:])
