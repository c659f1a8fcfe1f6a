"""Generates the PrometheusRule of the monitoring component from the Prometheus rules file.

kustomize reads no file outside its folder, so the object is a separate file. `make k8s-rules` writes
it, and the check compares it with the rules file.
"""

import yaml

SOURCE = "deploy/observability/prometheus/rules/sales.yml"
TARGET = "deploy/kubernetes/components/monitoring/prometheus-rule.yaml"


def spec(project):
    """The expected spec of the object."""
    return {"groups": yaml.safe_load(project.read(SOURCE))["groups"]}


def write(project):
    labels = {"app.kubernetes.io/name": "sales-rules", "app.kubernetes.io/component": "monitoring"}
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "sales", "labels": labels},
        "spec": spec(project),
    }
    text = yaml.dump(rule, Dumper=Readable, sort_keys=False, width=120, allow_unicode=True)
    (project.root / TARGET).write_text(f"# Written by `make k8s-rules`, from {SOURCE}.\n{text}", encoding="utf-8")


class Readable(yaml.SafeDumper):
    """Writes multi-line text as a block."""


def text(dumper, value):
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


Readable.add_representer(str, text)
