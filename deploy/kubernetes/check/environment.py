"""An overlay as it is applied: the objects of its migration and its services."""

import copy
import re
import subprocess

import yaml

SHORTHANDS = {"pod": ["spec", "template", "spec"], "container": ["spec", "template", "spec", "containers", "0"]}


class Pod:
    """A pod template and the object that owns it."""

    def __init__(self, owner):
        self.owner = owner
        self.spec = owner["spec"]["template"]["spec"]
        self.labels = owner["spec"]["template"]["metadata"].get("labels", {})
        self.containers = self.spec.get("initContainers", []) + self.spec["containers"]
        ports = [port for container in self.containers for port in container.get("ports", [])]
        # The names and the numbers.
        self.ports = {port.get("name") for port in ports} | {port["containerPort"] for port in ports}


class Environment:
    def __init__(self, name, documents):
        self.name = name
        self.documents = documents

    @classmethod
    def build(cls, overlay):
        documents = {}
        for folder in (overlay / "migration", overlay):
            text = subprocess.run(["kustomize", "build", folder], check=True, capture_output=True, text=True).stdout
            for document in yaml.safe_load_all(text):
                # Objects that are in both builds must be equal.
                other = documents.setdefault((title(document), document["metadata"].get("namespace")), document)
                if other != document:
                    raise SystemExit(f"{overlay.name}: migration and services differ in {title(document)}")
        return cls(overlay.name, list(documents.values()))

    def copy(self):
        return Environment(self.name, copy.deepcopy(self.documents))

    def change(self, path, value):
        """Sets one value; None removes it, and a path that ends with `+` appends to a list.

        The path is KIND/NAME, without the hash of a generated name, and the keys below it. The key of a
        list item is its number or its name. See SHORTHANDS for the first key.
        """
        address, *keys = path.split()
        parent, key = self.documents, "+"
        if address != "+":
            parent = next(it for it in self.documents if address in (title(it), plain_name(title(it))))
            if not keys:
                self.documents.remove(parent)
                return
            *above, key = SHORTHANDS.get(keys[0], keys[:1]) + keys[1:]
            for step in above:
                parent = parent[index(parent, step)]
        if key == "+":
            parent.append(value)
        elif value is None:
            del parent[index(parent, key)]
        else:
            parent[index(parent, key)] = value

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


def title(document):
    return f"{document['kind']}/{document['metadata']['name']}"


def plain_name(generated):
    """The name without the hash suffix of kustomize."""
    return re.sub(r"-[a-z0-9]{10}$", "", generated)


def program(container):
    """The name of the image, without registry, tag and digest."""
    return re.sub(r"[:@].*$", "", container["image"].rsplit("/", 1)[-1])


def index(parent, key):
    if isinstance(parent, dict):
        return key
    return int(key) if key.isdigit() else [item["name"] for item in parent].index(key)


def matches(selector, labels):
    wanted = {key: [value] for key, value in selector.get("matchLabels", {}).items()}
    for expression in selector.get("matchExpressions", []):
        if expression["operator"] != "In":
            raise SystemExit(f"the operator {expression['operator']} is not supported")
        wanted[expression["key"]] = expression["values"]
    return all(labels.get(key) in values for key, values in wanted.items())
