"""The project's own rules. Each takes an environment and the project, and yields what is wrong, in words.

`faults.py` breaks each of them on purpose.
"""

import re
from urllib.parse import urlsplit

import prometheus_rule
from environment import matches, plain_name, program, title

RULES = {}

LABELS = ["part-of", "instance", "version", "managed-by"]
# Seconds between the time that a service gives itself to stop and the kill.
SPARE = 5
# Seconds in which everybody can hear that an endpoint is withdrawn.
LEAST_DELAY = 5
# Which setting an arrow belongs to, and which settings say where it ends.
ARROWS = {"needs-postgres": "DATABASE_URL", "needs-kafka": "KAFKA_BROKERS", "needs-inventory": "INVENTORY_URL"}
ENDS = ["KAFKA_BROKERS", "INVENTORY_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"]
# What else a service is given where Kafka wants to know who asks.
SASL = ["KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"]
# Whom Debian trusts; the Dockerfile puts it there.
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
SECRET = re.compile(r"(SECRET|PASSWORD|TOKEN|PRIVATE_KEY)$|DATABASE_URL$")
CREDENTIALS = re.compile(r"://[^/\s:@]+:[^/\s@]+@")
TRIGGERS = {
    "kafka": {"bootstrapServersFromEnv", "consumerGroup", "topic", "lagThreshold", "offsetResetPolicy", "sasl", "tls"},
    "postgresql": {"query", "targetQueryValue", "connectionFromEnv"},
}


def rule(function):
    RULES[function.__name__.replace("_", " ")] = function
    return function


def containers(environment):
    for pod in environment.pods:
        for container in pod.containers:
            yield pod, container, f"{title(pod.owner)}, container {container['name']}"


@rule
def probes(environment, project):
    for pod, container, where in containers(environment):
        if not pod.stays:
            continue
        paths = {"startupProbe": "/livez", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
        for probe, path in paths.items():
            asked = container.get(probe)
            if not asked:
                yield f"{where}: no {probe}"
            elif program(container) in project.services and asked.get("httpGet") != {
                "path": path,
                "port": "management",
            }:
                yield f"{where}: {probe} does not ask {path} of the management port"


@rule
def resources(environment, project):
    for _, container, where in containers(environment):
        for part in ("requests", "limits"):
            for resource in ("cpu", "memory"):
                if resource not in container.get("resources", {}).get(part, {}):
                    yield f"{where}: no {part} of {resource}"


@rule
def images(environment, project):
    own = project.services | {"salesctl"}
    for _, container, where in containers(environment):
        # What is pinned has its digest behind the tag, which says what the digest is of.
        image = container["image"].partition("@")[0]
        tag = image.rsplit("/", 1)[-1].partition(":")[2]
        if program(container) in own:
            if tag != project.version:
                yield f"{where}: {image} is not of this version, {project.version}"
        elif tag == "latest" or not re.search(r"\d", tag):
            yield f"{where}: {image} has no fixed version"
        elif image not in project.compose_images:
            yield f"{where}: {image} is not the one of docker-compose.yml"


@rule
def versions(environment, project):
    for document in environment.documents:
        version = document["metadata"].get("labels", {}).get("app.kubernetes.io/version")
        if version != project.version:
            yield f"{title(document)}: its version is {version}, not {project.version}"


@rule
def ports(environment, project):
    for _, container, where in containers(environment):
        service = program(container)
        if service not in project.services:
            continue
        has = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        if has != project.ports[service]:
            yield f"{where}: its ports are {has}, the code has {project.ports[service]}"
        given = environment.variables(container)
        for variable in {"PORT", "MANAGEMENT_PORT"} & given.keys():
            yield f"{where}: sets {variable}, which the image has right"
        # Every address: with :: those of IPv6 too.
        if given.get("HOST", "0.0.0.0") not in {"0.0.0.0", "::"}:
            yield f"{where}: nobody outside of the pod reaches HOST {given['HOST']}"


@rule
def restricted(environment, project):
    for pod in environment.pods:
        asked = pod.spec.get("securityContext", {})
        if not asked.get("runAsNonRoot") or not asked.get("runAsUser"):
            yield f"{title(pod.owner)}: may run as root"
        if asked.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{title(pod.owner)}: no seccomp profile RuntimeDefault"
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(field):
                yield f"{title(pod.owner)}: {field}"
        for volume in pod.spec.get("volumes", []):
            if "hostPath" in volume:
                yield f"{title(pod.owner)}: mounts a folder of the node"
    wanted = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for _, container, where in containers(environment):
        if container.get("securityContext") != wanted:
            yield f"{where}: its securityContext is not {wanted}"


@rule
def tokens(environment, project):
    for account in environment.of("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"{title(account)}: mounts its token"
    for pod in environment.pods:
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{title(pod.owner)}: mounts a token of the API server"
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{title(pod.owner)}: gets a variable for each Service"
        if not environment.get("ServiceAccount", pod.spec.get("serviceAccountName")):
            yield f"{title(pod.owner)}: has no ServiceAccount of its own"


@rule
def settings(environment, project):
    for pod, container, where in containers(environment):
        service, given = program(container), environment.variables(container)
        if service not in project.settings:
            continue
        known = project.settings[service]
        for variable in given.keys() - known.keys():
            yield f"{where}: {variable} is no setting of {service}"
        for variable, default in known.items():
            if default == "required" and variable not in given:
                yield f"{where}: {variable} is not set"
        keys = {"JWT_SECRET", "JWT_PUBLIC_KEY", "JWT_JWKS_FILE", "JWT_JWKS_URL"} & given.keys()
        if service == "sales-api" and len(keys) != 1:
            yield f"{where}: the key of tokens is set {len(keys)} times"
        for variable, file in given.items():
            if variable.endswith("_FILE") and file not in mounted(pod, container):
                yield f"{where}: {variable} is {file}, which is not mounted"


def mounted(pod, container):
    """The files that a container gets from Secrets, and the one that each image has."""
    yield AUTHORITIES
    folders = {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", [])}
    for volume in pod.spec.get("volumes", []):
        for item in volume.get("secret", {}).get("items", []):
            yield f"{folders.get(volume['name'])}/{item['path']}"


@rule
def secure_connections(environment, project):
    if environment.name == "local":
        return
    for _, container, where in containers(environment):
        given = environment.variables(container)
        if "DATABASE_URL" in given and "DATABASE_CA_FILE" not in given:
            yield f"{where}: DATABASE_URL may do without encryption, since no DATABASE_CA_FILE insists on it"
        if "KAFKA_BROKERS" not in given:
            continue
        protocol = given.get("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT")
        if not protocol.endswith("SSL"):
            yield f"{where}: Kafka is spoken to in the open, by {protocol}"
        for variable in SASL:
            if (variable in given) != protocol.startswith("SASL"):
                yield f"{where}: {variable} does not go with {protocol}"


@rule
def secrets(environment, project):
    if environment.name != "local":
        for secret in environment.of("Secret"):
            yield f"{title(secret)}: a Secret does not belong into the repository"
    for document in environment.of("ConfigMap"):
        for name, value in document.get("data", {}).items():
            if SECRET.search(name) or CREDENTIALS.search(value):
                yield f"{title(document)}: {name} is a secret"
    for _, container, where in containers(environment):
        for entry in container.get("env", []):
            if "value" in entry and (SECRET.search(entry["name"]) or CREDENTIALS.search(entry["value"])):
                yield f"{where}: {entry['name']} is set by value"
        if any(CREDENTIALS.search(argument) for argument in container.get("args", []) + container.get("command", [])):
            yield f"{where}: a secret is among its arguments"


@rule
def references(environment, project):
    for _, container, where in containers(environment):
        for source in container.get("envFrom", []):
            name = source["configMapRef"]["name"] if "configMapRef" in source else None
            if not environment.get("ConfigMap", name):
                yield f"{where}: there is no ConfigMap {name}"
    for pod in environment.pods:
        for secret, key in referred(pod):
            held = environment.get("Secret", secret)
            if held and key not in {**held.get("data", {}), **held.get("stringData", {})}:
                yield f"{title(pod.owner)}: Secret {secret} has no {key}"
            elif not held and environment.name == "local":
                yield f"{title(pod.owner)}: there is no Secret {secret}"
            elif not held and (plain_name(secret), key) not in project.documented_secrets:
                yield f"{title(pod.owner)}: docs/OPERATIONS.md does not tell of key {key} of Secret {secret}"
    if environment.name != "local":
        asked = {it for pod in environment.pods for it in referred(pod, optional=True)}
        for secret, key in sorted(project.documented_secrets - asked):
            yield f"docs/OPERATIONS.md tells of key {key} of Secret {secret}, which no pod asks for"


def referred(pod, optional=False):
    """The keys of Secrets that a pod can't start without, or also those that it can."""
    for container in pod.containers:
        for entry in container.get("env", []):
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            if reference and (optional or not reference.get("optional")):
                yield reference["name"], reference["key"]
    for volume in pod.spec.get("volumes", []):
        for item in volume.get("secret", {}).get("items", []):
            yield volume["secret"]["secretName"], item["key"]


@rule
def services(environment, project):
    for service in environment.of("Service"):
        pods = environment.selected({"matchLabels": service["spec"]["selector"]})
        if not pods:
            yield f"{title(service)}: selects nothing"
        for port in service["spec"]["ports"]:
            if any(port["targetPort"] not in pod.ports for pod in pods):
                yield f"{title(service)}: port {port['targetPort']} is not there"
    for workload in environment.of("Deployment", "StatefulSet"):
        selector = workload["spec"]["selector"]
        if [pod.name for pod in environment.selected(selector)] != [workload["metadata"]["name"]]:
            yield f"{title(workload)}: its selector does not mean just its own pods"


@rule
def disruption_budgets(environment, project):
    budgets = environment.of("PodDisruptionBudget")
    for workload in environment.of("Deployment"):
        least, _ = environment.replicas(workload)
        labels = workload["spec"]["template"]["metadata"]["labels"]
        mine = [budget for budget in budgets if matches(budget["spec"]["selector"], labels)]
        if least > 1 and len(mine) != 1:
            yield f"{title(workload)}: has {len(mine)} disruption budgets"
        if any(budget["spec"].get("maxUnavailable", 0) != 1 for budget in mine):
            yield f"{title(workload)}: its disruption budget is not one at a time"
    for budget in budgets:
        if not environment.selected(budget["spec"]["selector"]):
            yield f"{title(budget)}: selects nothing"


@rule
def rollout(environment, project):
    for workload in environment.of("Deployment"):
        if workload["spec"].get("strategy", {}).get("rollingUpdate") != {"maxSurge": 1, "maxUnavailable": 0}:
            yield f"{title(workload)}: a rollout may take away before it has brought"
        least, _ = environment.replicas(workload)
        spread = workload["spec"]["template"]["spec"].get("topologySpreadConstraints", [])
        labels = workload["spec"]["template"]["metadata"]["labels"]
        over = {constraint["topologyKey"] for constraint in spread if matches(constraint["labelSelector"], labels)}
        if least > 1 and over != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
            yield f"{title(workload)}: is not spread over zones and nodes"


@rule
def termination(environment, project):
    for pod, container, where in containers(environment):
        service = program(container)
        if not pod.stays or service not in project.services:
            continue
        variables = environment.variables(container)

        def seconds(variable):
            return int(variables.get(variable) or project.default(service, variable)) / 1000

        # What has this setting is sent requests, by those who take a moment to notice that it stops.
        is_asked = "SHUTDOWN_DELAY" in project.settings[service]
        waits = seconds("SHUTDOWN_DELAY") if is_asked else 0
        if is_asked and waits < LEAST_DELAY:
            yield f"{where}: stops while requests are still sent to it"
        needed = waits + seconds("SHUTDOWN_TIMEOUT") + SPARE
        if pod.spec.get("terminationGracePeriodSeconds", 30) < needed:
            yield f"{where}: is killed before the {needed:g} seconds that it may take to stop"


@rule
def network_policies(environment, project):
    policies = environment.of("NetworkPolicy")
    if not any(policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} for policy in policies):
        yield "nothing is denied by default"
    for policy in policies:
        chosen = environment.selected(policy["spec"]["podSelector"])
        if not chosen:
            yield f"{title(policy)}: selects nothing"
        for side, direction in (("from", "ingress"), ("to", "egress")):
            for allowed in policy["spec"].get(direction, []):
                yield from arrow(environment, policy, chosen, side, allowed)


def arrow(environment, policy, chosen, side, allowed):
    if not allowed.get(side) or not allowed.get("ports"):
        yield f"{title(policy)}: allows more than one arrow, without saying {side} where or to which port"
        return
    ends = list(chosen) if side == "from" else []
    for peer in allowed[side]:
        if set(peer) == {"podSelector"}:
            inside = environment.selected(peer["podSelector"])
            if not inside:
                yield f"{title(policy)}: nothing is at its other end"
            ends += inside if side == "to" else []
        elif peer.get("namespaceSelector") == {}:
            yield f"{title(policy)}: means every namespace"
    for port in allowed["ports"]:
        if any(port["port"] not in pod.ports for pod in ends):
            yield f"{title(policy)}: port {port['port']} is not there"


@rule
def arrows(environment, project):
    selectors = [policy["spec"]["podSelector"] for policy in environment.of("NetworkPolicy")]
    for pod in environment.pods:
        given = set().union(*(environment.variables(container) for container in pod.containers))
        for label, setting in ARROWS.items():
            if (label in pod.labels) != (setting in given):
                yield f"{title(pod.owner)}: label {label} and setting {setting} belong together"
            if label in pod.labels and {"matchLabels": {label: "true"}} not in selectors:
                yield f"{title(pod.owner)}: no NetworkPolicy is for {label}"


@rule
def ends_of_arrows(environment, project):
    for pod, container, where in containers(environment):
        given = environment.variables(container)
        for variable in ENDS:
            for url in filter(None, (given.get(variable) or "").split(",")):
                end = urlsplit(url if "://" in url else f"//{url}")
                if not any(leads_to(environment, policy, pod, end) for policy in environment.of("NetworkPolicy")):
                    yield f"{where}: no NetworkPolicy lets it reach {variable}, {url}"


def leads_to(environment, policy, pod, end):
    """Whether a policy lets a pod out there: to kafka.namespace.svc, to a Service beside it, or out of the cluster."""
    service, *rest = end.hostname.split(".")
    beside = environment.get("Service", service)
    if rest[1:] == ["svc"]:
        wanted = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": rest[0]}}}
    elif not rest and beside:
        wanted = {"podSelector": {"matchLabels": beside["spec"]["selector"]}}
    else:
        wanted = {"ipBlock"}
    return matches(policy["spec"]["podSelector"], pod.labels) and any(
        end.port in [port["port"] for port in allowed["ports"]] and (peer == wanted or set(peer) == wanted)
        for allowed in policy["spec"].get("egress", [])
        for peer in allowed["to"]
    )


@rule
def scaling(environment, project):
    for scaler in environment.of("HorizontalPodAutoscaler", "ScaledObject"):
        target = environment.get("Deployment", scaler["spec"]["scaleTargetRef"]["name"])
        if not target:
            yield f"{title(scaler)}: scales nothing"
            continue
        if "replicas" in target["spec"]:
            yield f"{title(scaler)}: every apply of its Deployment would set the number back"
        least, most = environment.replicas(target)
        if not 1 < least < most:
            yield f"{title(scaler)}: {least} to {most} instances is no range of more than one"
        for trigger in scaler["spec"].get("triggers", []):
            yield from trigger_faults(environment, project, scaler, target, trigger, most)


def trigger_faults(environment, project, scaler, target, trigger, most):
    unknown = trigger["metadata"].keys() - TRIGGERS.get(trigger["type"], set())
    if trigger["type"] not in TRIGGERS or unknown:
        yield f"{title(scaler)}: trigger {trigger['type']} with {sorted(unknown)} is not known"
    given = environment.variables(target["spec"]["template"]["spec"]["containers"][0])
    for field, variable in trigger["metadata"].items():
        if field.endswith("FromEnv") and variable not in given:
            yield f"{title(scaler)}: its target has no {variable}"
    if trigger["type"] == "kafka":
        yield from credential_faults(environment, scaler, trigger, given)
        reads = trigger["metadata"].get("consumerGroup"), trigger["metadata"].get("topic")
        if reads not in project.topics.items() or reads[0] != target["metadata"]["name"]:
            yield f"{title(scaler)}: {reads[0]} does not read {reads[1]}"
        if most > project.partitions:
            yield f"{title(scaler)}: more than the {project.partitions} partitions can have use for"


def credential_faults(environment, scaler, trigger, given):
    """Whether KEDA comes to Kafka as its target does."""
    protocol = given.get("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT")
    wanted = {
        "tls": "enable" if protocol.endswith("SSL") else None,
        "sasl": given.get("KAFKA_SASL_MECHANISM", "").lower().replace("-sha-", "_sha") if "SASL" in protocol else None,
    }
    for field, value in wanted.items():
        if trigger["metadata"].get(field) != value:
            yield f"{title(scaler)}: {field} is not {value}, as for its target"
    name = trigger.get("authenticationRef", {}).get("name")
    credentials = environment.get("TriggerAuthentication", name) or {"spec": {}}
    shown = {it["parameter"]: it["name"] for it in credentials["spec"].get("env", [])}
    if wanted["sasl"] and shown != {"username": "KAFKA_SASL_USERNAME", "password": "KAFKA_SASL_PASSWORD"}:
        yield f"{title(scaler)}: does not show the user and the password of its target"
    trusted = {it["parameter"]: it["name"] for it in credentials["spec"].get("secretTargetRef", [])}
    if given.get("KAFKA_CA_FILE", AUTHORITIES) != AUTHORITIES and "ca" not in trusted:
        yield f"{title(scaler)}: does not know the CA of its target"


@rule
def monitoring(environment, project):
    monitors = environment.of("ServiceMonitor")
    for monitor in monitors:
        meant = [
            service
            for service in environment.of("Service")
            if matches(monitor["spec"]["selector"], service["metadata"]["labels"])
        ]
        shown = {port["name"] for service in meant for port in service["spec"]["ports"]}
        for endpoint in monitor["spec"]["endpoints"]:
            if endpoint["port"] not in shown:
                yield f"{title(monitor)}: no Service has its port {endpoint['port']}"
    for workload in environment.of("Deployment"):
        labels = workload["metadata"]["labels"]
        if monitors and not any(matches(monitor["spec"]["selector"], labels) for monitor in monitors):
            yield f"{title(workload)}: is not scraped"
    rules = environment.of("PrometheusRule")
    if monitors and [rule["spec"] for rule in rules] != prometheus_rule.specs(project):
        yield "the PrometheusRule is not what the rules file says: run make k8s-rules"


@rule
def labels(environment, project):
    for document in environment.documents:
        wanted = LABELS if document["kind"] in ("ConfigMap", "Secret") else [*LABELS, "name", "component"]
        missing = [
            label for label in wanted if f"app.kubernetes.io/{label}" not in document["metadata"].get("labels", {})
        ]
        if missing:
            yield f"{title(document)}: no label {', '.join(missing)}"


@rule
def namespaces(environment, project):
    spaces = environment.of("Namespace")
    names = {space["metadata"]["name"] for space in spaces}
    for space in spaces:
        if space["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{title(space)}: takes pods that are not restricted"
    for document in environment.documents:
        if document["kind"] != "Namespace" and {document["metadata"].get("namespace")} != names:
            yield f"{title(document)}: is in another namespace than {', '.join(names)}"


@rule
def copies(environment, project):
    """Where Kafka has several brokers: a record that is acknowledged is on two of them, and a third one may be away."""
    if environment.name == "local":
        return
    for _, container, where in containers(environment):
        arguments = container.get("args", [])
        if arguments[:2] != ["topics", "create"]:
            continue
        asked = dict(zip(arguments, arguments[1:]))
        replicas = int(asked.get("--replication-factor", 1))
        in_sync = int(asked.get("--min-insync-replicas", 1))
        if not 2 <= in_sync < replicas:
            yield f"{where}: {replicas} replicas, {in_sync} of them in sync: a broker that is lost takes records along"


@rule
def migration(environment, project):
    jobs = [pod for pod in environment.pods if pod.owner["kind"] == "Job"]
    runs = [
        container.get("args", [])[:2]
        for pod in jobs
        for container in pod.spec.get("initContainers", []) + pod.spec["containers"]
    ]
    if runs != [["migrate", "--roles"], ["topics", "create"]]:
        yield f"the Job runs {runs}, not first migrate with the roles and then topics create"
    for pod in jobs:
        if pod.spec.get("restartPolicy") != "Never" or not pod.owner["spec"].get("backoffLimit"):
            yield f"{title(pod.owner)}: is not tried a few times, each in a pod whose log stays"
