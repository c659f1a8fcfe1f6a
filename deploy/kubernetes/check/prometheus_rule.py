"""Generates the PrometheusRule of the monitoring component from the Prometheus rules file.

kustomize reads no file outside its folder, so the object is a separate file. `make k8s-rules` writes
it, and the check compares it with the rules file.
"""

import yaml

FOLDER = "deploy/kubernetes/components/monitoring"
HEAD = "# Written by `make k8s-rules`, from deploy/observability/prometheus/rules/sales.yml.\n"


def specs(project):
    """The expected specs of the PrometheusRule objects; empty without a rules file."""
    if not project.alert_rules.exists():
        return []
    groups = yaml.safe_load(project.alert_rules.read_text(encoding="utf-8"))["groups"]
    return [{"groups": groups}]


def write(project):
    found = specs(project)
    if not found:
        raise SystemExit(f"{project.alert_rules.relative_to(project.root)} does not exist")
    labels = {"app.kubernetes.io/name": "sales-rules", "app.kubernetes.io/component": "monitoring"}
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "sales", "labels": labels},
        "spec": found[0],
    }
    folder = project.root / FOLDER
    text = yaml.dump(rule, Dumper=Readable, sort_keys=False, width=120, allow_unicode=True)
    (folder / "prometheus-rule.yaml").write_text(HEAD + text, encoding="utf-8")
    kustomization = folder / "kustomization.yaml"
    listing = kustomization.read_text(encoding="utf-8")
    if "prometheus-rule.yaml" not in listing:
        listing = listing.replace("resources:\n", "resources:\n  - prometheus-rule.yaml\n", 1)
        kustomization.write_text(listing, encoding="utf-8")


class Readable(yaml.SafeDumper):
    """Writes multi-line text as a block."""


def text(dumper, value):
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


Readable.add_representer(str, text)
