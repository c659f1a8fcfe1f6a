"""Checks that need no knowledge of the code: the schemas of Kubernetes, KEDA and `policy.yaml`, and
kube-score, a linter.

Schemas are strict: an unknown field is an error. The built-in kinds are validated against the oldest
supported and the newest known version of Kubernetes, and the kinds of KEDA against its CRDs.
"""

import json
import subprocess
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

from environment import title

OLDEST, NEWEST = "1.31", "1.37"
# The checks of kube-score that do not apply, and why.
IGNORED = [
    "container-image-pull-policy",  # the default, IfNotPresent, suits tags of a version
    "container-ephemeral-storage-request-and-limit",  # no pod writes to the disk of its node
    "container-security-context-user-group-id",  # the images of PostgreSQL and Redpanda have low ids
    "statefulset-has-servicename",  # one instance needs no headless service
    "deployment-has-host-podantiaffinity",  # topologySpreadConstraints spread the pods
    "deployment-replicas",  # the autoscalers set the number, and `local` runs one instance
]
UNPUBLISHED = [("monitoring.coreos.com/v1", kind) for kind in ("ServiceMonitor", "PrometheusRule")]


class Schemas:
    def __init__(self, keda):
        policy = Path(__file__).with_name("policy.yaml").read_text(encoding="utf-8")
        self.policy = yaml.safe_load(policy)
        self.keda = {}
        for file in sorted(keda.glob("*.yaml")):
            definition = yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]
            for version in definition["versions"]:
                kind = f"{definition['group']}/{version['name']}", definition["names"]["kind"]
                self.keda[kind] = closed(version["schema"]["openAPIV3Schema"])

    def errors(self, document):
        kind = document["kind"]
        schemas = [self.policy["all"], self.policy.get(kind, {}), self.keda.get((document["apiVersion"], kind), {})]
        for schema in schemas:
            for error in jsonschema.Draft202012Validator(schema).iter_errors(document):
                yield f"{title(document)}: {error.json_path}: {error.message}"
        # The Prometheus operator ships no schema, and PrometheusRule is compared with its source.
        if schemas[2] or (document["apiVersion"], kind) in UNPUBLISHED:
            return
        for version in (OLDEST, NEWEST):
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except (jsonschema.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                path = getattr(error, "json_path", "$")
                yield f"{title(document)}: Kubernetes {version}: {path}: {error.message}"


def closed(schema):
    """The schema of a CRD without unknown fields, which a server would drop without an error."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(value) for key, value in schema.items()}
    open_ended = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not open_ended:
        schema["additionalProperties"] = False
    return schema


def kube_score(environment):
    ignored = [f"--ignore-test={name}" for name in IGNORED]
    command = ["kube-score", "score", "--output-format=json", f"--kubernetes-version=v{OLDEST}", *ignored, "-"]
    ended = subprocess.run(command, input=yaml.safe_dump_all(environment.documents), capture_output=True, text=True)
    if not ended.stdout.startswith("["):
        raise SystemExit(f"kube-score could not read the objects of {environment.name}: {ended.stderr}{ended.stdout}")
    for scored in json.loads(ended.stdout):
        for check in scored["checks"]:
            # The grades are 1 (critical), 5 (warning), 7 (almost ok) and 10.
            if not check["skipped"] and check["grade"] < 7:
                comments = "; ".join(comment["summary"] for comment in check["comments"] or [])
                name = f"{scored['type_meta']['kind']}/{scored['object_meta']['name']}"
                yield f"{name}: {comments or check['check']['comment']} ({check['check']['id']})"
