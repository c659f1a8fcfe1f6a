"""An overlay as it is applied: the objects of its migration and its services."""

import copy
import re
import subprocess

import yaml

LONG_RUNNING = {"Deployment", "StatefulSet", "DaemonSet"}


class Pod:
    """A pod template and the object that owns it."""

    def __init__(self, owner):
        self.owner = owner
        self.name = owner["metadata"]["name"]
        self.template = owner["spec"]["template"]
        self.spec = self.template["spec"]
        self.labels = self.template["metadata"].get("labels", {})
        self.long_running = owner["kind"] in LONG_RUNNING

    @property
    def containers(self):
        return self.spec["containers"] + self.spec.get("initContainers", [])

    @property
    def ports(self):
        """The names and the numbers of all ports."""
        ports = [port for container in self.containers for port in container.get("ports", [])]
        return {port.get("name") for port in ports} | {port["containerPort"] for port in ports}


class Environment:
    def __init__(self, name, documents):
        self.name = name
        self.documents = documents

    @classmethod
    def build(cls, name, overlay, kustomize):
        documents = {}
        for folder in (overlay / "migration", overlay):
            text = subprocess.run([kustomize, "build", folder], check=True, capture_output=True, text=True).stdout
            for document in yaml.safe_load_all(text):
                # Objects that are in both builds must be equal.
                other = documents.setdefault(identity(document), document)
                if other != document:
                    raise SystemExit(f"{name}: migration and services differ in {identity(document)}")
        return cls(name, list(documents.values()))

    def copy(self):
        return Environment(self.name, copy.deepcopy(self.documents))

    def of(self, *kinds):
        return [document for document in self.documents if document["kind"] in kinds]

    def get(self, kind, name):
        return next((document for document in self.of(kind) if document["metadata"]["name"] == name), None)

    @property
    def pods(self):
        return [Pod(document) for document in self.of("Deployment", "StatefulSet", "DaemonSet", "Job")]

    def selected(self, selector):
        """The pods that match a label selector."""
        return [pod for pod in self.pods if matches(selector, pod.labels)]

    def replicas(self, workload):
        """The minimum and the maximum number of instances."""
        for scaler in self.of("HorizontalPodAutoscaler", "ScaledObject"):
            if scaler["spec"]["scaleTargetRef"]["name"] == workload["metadata"]["name"]:
                spec = scaler["spec"]
                least = spec.get("minReplicas", spec.get("minReplicaCount", 0))
                return least, spec.get("maxReplicas", spec.get("maxReplicaCount", 100))
        count = workload["spec"].get("replicas", 1)
        return count, count

    def variables(self, container):
        """{variable: value}, with None as the value of a variable from a Secret."""
        found = {}
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                settings = self.get("ConfigMap", source["configMapRef"]["name"]) or {}
                found.update(settings.get("data", {}))
        for entry in container.get("env", []):
            found[entry["name"]] = entry.get("value")
        return found


def identity(document):
    return document["kind"], document["metadata"].get("namespace"), document["metadata"]["name"]


def title(document):
    return f"{document['kind']}/{document['metadata']['name']}"


def plain_name(generated):
    """The name without the hash suffix of kustomize."""
    return re.sub(r"-[a-z0-9]{10}$", "", generated)


def program(container):
    """The name of the image, without registry, tag and digest."""
    return re.sub(r"[:@].*$", "", container["image"].rsplit("/", 1)[-1])


def matches(selector, labels):
    wanted = selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(expression_matches(expression, labels) for expression in selector.get("matchExpressions", []))


def expression_matches(expression, labels):
    value, values = labels.get(expression["key"]), expression.get("values", [])
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[expression["operator"]]
