"""Validates every object against its schema, strictly: an unknown field is an error.

The built-in kinds are validated against the schemas of the oldest supported and the newest known
version of Kubernetes, and the kinds of KEDA against the CRDs that KEDA ships. No package that can be
pinned here contains the CRDs of the Prometheus operator, so its two kinds are validated against the
schemas at the end of this file, which allow only the fields in use.
"""

import jsonschema
import kubernetes_validate
import yaml

OLDEST, NEWEST = "1.31", "1.37"


class Schemas:
    def __init__(self, definitions):
        self.custom = dict(PROMETHEUS_OPERATOR)
        for file in sorted(definitions.glob("*.yaml")):
            definition = yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]
            for version in definition["versions"]:
                kind = f"{definition['group']}/{version['name']}", definition["names"]["kind"]
                self.custom[kind] = closed(version["schema"]["openAPIV3Schema"])

    def faults(self, document):
        schema = self.custom.get((document["apiVersion"], document["kind"]))
        if schema:
            errors = jsonschema.Draft202012Validator(schema).iter_errors(document)
            return [f"{error.json_path}: {error.message}" for error in errors]
        found = []
        for version in (OLDEST, NEWEST):
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except (jsonschema.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                found.append(f"Kubernetes {version}: {getattr(error, 'json_path', '$')}: {error.message}")
        return found


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


def an_object(required, **properties):
    properties = {name.rstrip("_"): schema for name, schema in properties.items()}
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "object", "additionalProperties": TEXT}
DURATION = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w|y))+$"}


def a_kind(spec):
    return an_object(
        ["apiVersion", "kind", "metadata", "spec"], apiVersion=TEXT, kind=TEXT, metadata={"type": "object"}, spec=spec
    )


ENDPOINT = an_object(["port"], port=TEXT, path=TEXT, interval=DURATION, scrapeTimeout=DURATION)
RULE = an_object(
    ["expr"],
    alert=TEXT,
    record=TEXT,
    expr=TEXT,
    for_=DURATION,
    keep_firing_for=DURATION,
    labels=TEXTS,
    annotations=TEXTS,
) | {"oneOf": [{"required": ["alert"]}, {"required": ["record"]}]}
GROUP = an_object(
    ["name", "rules"], name=TEXT, interval=DURATION, rules={"type": "array", "minItems": 1, "items": RULE}
)

PROMETHEUS_OPERATOR = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): a_kind(
        an_object(
            ["selector", "endpoints"],
            selector=an_object(["matchLabels"], matchLabels=TEXTS),
            jobLabel=TEXT,
            endpoints={"type": "array", "minItems": 1, "items": ENDPOINT},
        )
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): a_kind(
        an_object(["groups"], groups={"type": "array", "minItems": 1, "items": GROUP})
    ),
}
