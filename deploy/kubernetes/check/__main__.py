"""Builds every overlay and checks it against the schemas and the project's rules. Then checks that
schemas and rules detect the injected faults. Run by deploy/local/check-kubernetes, which installs the
dependencies.
"""

import argparse
import sys
from pathlib import Path

import prometheus_rule
from environment import Environment, title
from faults import FAULTS
from project import Project, Unreadable
from rules import RULES
from schemas import NEWEST, OLDEST, Schemas

ROOT = Path(__file__).resolve().parents[3]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kustomize", required=True, help="path of the kustomize program")
    options.add_argument("--keda", required=True, type=Path, help="folder with the CRDs of KEDA")
    options.add_argument("--write-rules", action="store_true", help="only generate the PrometheusRule")
    arguments = options.parse_args()
    project = Project(ROOT)
    if arguments.write_rules:
        prometheus_rule.write(project)
        return
    schemas = Schemas(arguments.keda)
    overlays = sorted(path for path in (ROOT / "deploy/kubernetes/overlays").iterdir() if path.is_dir())
    environments = {path.name: Environment.build(path.name, path, arguments.kustomize) for path in overlays}

    wrong = []
    for name, environment in environments.items():
        found = [f"{name}: {fault}" for fault in check(environment, project, schemas)]
        print(f"{name}: {len(environment.documents)} objects, {len(found)} errors")
        wrong += found
    if not wrong:
        unseen = list(undetected(environments, project, schemas))
        print(f"{len(FAULTS)} injected faults, {len(unseen)} not detected")
        wrong += unseen
    for fault in wrong:
        print(fault, file=sys.stderr)
    if wrong:
        raise SystemExit(1)
    print(f"valid for Kubernetes {OLDEST} and {NEWEST}, and by {len(RULES)} rules of the project")


def check(environment, project, schemas):
    for document in environment.documents:
        yield from (f"{title(document)}: {fault}" for fault in schemas.faults(document))
    for name in RULES:
        yield from rule_errors(name, environment, project)


def rule_errors(name, environment, project):
    return (f"{fault} ({name})" for fault in RULES[name](environment, project))


def undetected(environments, project, schemas):
    """The injected faults that their rule does not detect, and the rules without a fault."""
    for rule in RULES.keys() - {rule for rule, *_ in FAULTS}:
        yield f"the rule '{rule}' has no injected fault; add one to faults.py"
    for rule, name, inject in FAULTS:
        broken = environments[name].copy()
        inject(broken)
        if rule == "schemas":
            changed = [document for document in broken.documents if document not in environments[name].documents]
            found = any(schemas.faults(document) for document in changed)
        else:
            found = any(rule_errors(rule, broken, project))
        if not found:
            yield f"the rule '{rule}' did not detect the injected fault '{inject.__name__}'"


try:
    main()
except Unreadable as error:
    raise SystemExit(f"check-kubernetes: {error}") from error
