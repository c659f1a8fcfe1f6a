"""Builds every overlay and checks it with schemas, kube-score and the rules of the project. Then
checks that each of them detects its faults in `faults.yaml`, which proves that it can fail.

deploy/local/check-kubernetes runs this program and installs what it needs.
"""

import argparse
import sys
from pathlib import Path

import yaml

import prometheus_rule
from environment import Environment
from project import Project, Unreadable
from rules import RULES
from schemas import NEWEST, OLDEST, Schemas, kube_score

ROOT = Path(__file__).resolve().parents[3]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--keda", required=True, type=Path, help="folder with the CRDs of KEDA")
    options.add_argument("--write-rules", action="store_true", help="only generate the PrometheusRule")
    arguments = options.parse_args()
    project = Project(ROOT)
    if arguments.write_rules:
        prometheus_rule.write(project)
        return
    schemas = Schemas(arguments.keda)
    checks = {
        "schemas": lambda environment: (error for it in environment.documents for error in schemas.errors(it)),
        "kube-score": kube_score,
        **{name: lambda environment, rule=rule: rule(environment, project) for name, rule in RULES.items()},
    }
    overlays = sorted(path for path in (ROOT / "deploy/kubernetes/overlays").iterdir() if path.is_dir())
    environments = {path.name: Environment.build(path) for path in overlays}

    wrong = []
    for name, environment in environments.items():
        found = [f"{name}: {error} ({check})" for check in checks for error in checks[check](environment)]
        print(f"{name}: {len(environment.documents)} objects, {len(found)} errors")
        wrong += found
    if not wrong:
        wrong = list(undetected(environments, checks))
    for error in wrong:
        print(error, file=sys.stderr)
    if wrong:
        raise SystemExit(1)
    print(f"valid for Kubernetes {OLDEST} and {NEWEST}, for kube-score, and by {len(RULES)} rules of the project")


def undetected(environments, checks):
    """The faults that their check does not detect, and the checks without a fault."""
    faults = yaml.safe_load(Path(__file__).with_name("faults.yaml").read_text(encoding="utf-8"))
    for check in checks.keys() ^ faults.keys():
        yield f"the check '{check}' or its faults are missing in faults.yaml"
    found = 0
    for check in checks.keys() & faults.keys():
        for fault, changes in faults[check].items():
            changes = dict(changes)
            broken = environments[changes.pop("in", "production")].copy()
            for path, value in changes.items():
                broken.change(path, value)
            if check == "schemas":
                unchanged = environments[broken.name].documents
                broken.documents = [it for it in broken.documents if it not in unchanged]
            if not any(checks[check](broken)):
                yield f"the check '{check}' did not detect: {fault}"
            found += 1
    print(f"{found} injected faults")


try:
    main()
except Unreadable as error:
    raise SystemExit(f"check-kubernetes: {error}") from error
