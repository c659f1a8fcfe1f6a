"""The project's rules. Each takes an environment and the project, and yields error messages.

`faults.py` violates each rule on purpose.
"""

import re
from urllib.parse import urlsplit

import prometheus_rule
from environment import matches, plain_name, program, title

RULES = {}

LABELS = ["part-of", "instance", "version", "managed-by"]
# The minimum margin, in seconds, between the shutdown time of a service and its kill.
SHUTDOWN_MARGIN = 5
# The minimum SHUTDOWN_DELAY, in seconds, in which clients learn that an endpoint is withdrawn.
MIN_SHUTDOWN_DELAY = 5
# The setting behind each connection label, and the settings with the address of a connection.
CONNECTION_SETTINGS = {"needs-postgres": "DATABASE_URL", "needs-kafka": "KAFKA_BROKERS", "needs-inventory": "INVENTORY_URL"}
ADDRESS_SETTINGS = ["KAFKA_BROKERS", "INVENTORY_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"]
# The additional settings of a service that authenticates to Kafka.
SASL = ["KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"]
# The CA certificates of Debian, which the Dockerfile installs.
SYSTEM_CA_FILE = "/etc/ssl/certs/ca-certificates.crt"
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
        if not pod.long_running:
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
                yield f"{where}: {probe} does not request {path} on the management port"


@rule
def resources(environment, project):
    for _, container, where in containers(environment):
        for part in ("requests", "limits"):
            for resource in ("cpu", "memory"):
                if resource not in container.get("resources", {}).get(part, {}):
                    yield f"{where}: no {resource} in resources.{part}"


@rule
def images(environment, project):
    own = project.services | {"salesctl"}
    for _, container, where in containers(environment):
        # A pinned image has a tag and a digest.
        image = container["image"].partition("@")[0]
        tag = image.rsplit("/", 1)[-1].partition(":")[2]
        if program(container) in own:
            if tag != project.version:
                yield f"{where}: {image} does not have the version {project.version}"
        elif tag == "latest" or not re.search(r"\d", tag):
            yield f"{where}: {image} has no fixed version"
        elif image not in project.compose_images:
            yield f"{where}: {image} is not used in docker-compose.yml"


@rule
def versions(environment, project):
    for document in environment.documents:
        version = document["metadata"].get("labels", {}).get("app.kubernetes.io/version")
        if version != project.version:
            yield f"{title(document)}: the version label is {version}, expected {project.version}"


@rule
def ports(environment, project):
    for _, container, where in containers(environment):
        service = program(container)
        if service not in project.services:
            continue
        has = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        if has != project.ports[service]:
            yield f"{where}: the ports are {has}, expected {project.ports[service]} as in the code"
        given = environment.variables(container)
        for variable in {"PORT", "MANAGEMENT_PORT"} & given.keys():
            yield f"{where}: sets {variable}, which the image sets already"
        # All interfaces; :: includes IPv6.
        if given.get("HOST", "0.0.0.0") not in {"0.0.0.0", "::"}:
            yield f"{where}: HOST {given['HOST']} is not reachable from outside the pod"


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
                yield f"{title(pod.owner)}: sets {field}"
        for volume in pod.spec.get("volumes", []):
            if "hostPath" in volume:
                yield f"{title(pod.owner)}: mounts a hostPath"
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
            yield f"{title(account)}: automountServiceAccountToken is not false"
    for pod in environment.pods:
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{title(pod.owner)}: automountServiceAccountToken is not false"
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{title(pod.owner)}: enableServiceLinks is not false"
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
            yield f"{where}: {variable} is not a setting of {service}"
        for variable, default in known.items():
            if default == "required" and variable not in given:
                yield f"{where}: {variable} is not set"
        keys = {"JWT_SECRET", "JWT_PUBLIC_KEY", "JWT_JWKS_FILE", "JWT_JWKS_URL"} & given.keys()
        if service == "sales-api" and len(keys) != 1:
            yield f"{where}: sets {len(keys)} token keys, expected one"
        for variable, file in given.items():
            if variable.endswith("_FILE") and file not in mounted(pod, container):
                yield f"{where}: {variable} is {file}, which is not mounted"


def mounted(pod, container):
    """The files that a container mounts from Secrets, and the CA file of the image."""
    yield SYSTEM_CA_FILE
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
            yield f"{where}: DATABASE_CA_FILE is not set, so DATABASE_URL may allow a plain connection"
        if "KAFKA_BROKERS" not in given:
            continue
        protocol = given.get("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT")
        if not protocol.endswith("SSL"):
            yield f"{where}: connections to Kafka are not encrypted, KAFKA_SECURITY_PROTOCOL is {protocol}"
        for variable in SASL:
            if (variable in given) != protocol.startswith("SASL"):
                yield f"{where}: {variable} must be set for SASL protocols only, and the protocol is {protocol}"


@rule
def secrets(environment, project):
    if environment.name != "local":
        for secret in environment.of("Secret"):
            yield f"{title(secret)}: Secrets must not be in the repository"
    for document in environment.of("ConfigMap"):
        for name, value in document.get("data", {}).items():
            if SECRET.search(name) or CREDENTIALS.search(value):
                yield f"{title(document)}: contains the secret {name}"
    for _, container, where in containers(environment):
        for entry in container.get("env", []):
            if "value" in entry and (SECRET.search(entry["name"]) or CREDENTIALS.search(entry["value"])):
                yield f"{where}: the secret {entry['name']} is set by value"
        if any(CREDENTIALS.search(argument) for argument in container.get("args", []) + container.get("command", [])):
            yield f"{where}: the arguments contain a secret"


@rule
def references(environment, project):
    for _, container, where in containers(environment):
        for source in container.get("envFrom", []):
            name = source["configMapRef"]["name"] if "configMapRef" in source else None
            if not environment.get("ConfigMap", name):
                yield f"{where}: ConfigMap {name} does not exist"
    for pod in environment.pods:
        for secret, key in referenced_secrets(pod):
            held = environment.get("Secret", secret)
            if held and key not in {**held.get("data", {}), **held.get("stringData", {})}:
                yield f"{title(pod.owner)}: Secret {secret} has no {key}"
            elif not held and environment.name == "local":
                yield f"{title(pod.owner)}: Secret {secret} does not exist"
            elif not held and (plain_name(secret), key) not in project.documented_secrets:
                yield f"{title(pod.owner)}: key {key} of Secret {secret} is not in docs/DEPLOYMENT.md"
    if environment.name != "local":
        asked = {it for pod in environment.pods for it in referenced_secrets(pod, optional=True)}
        for secret, key in sorted(project.documented_secrets - asked):
            yield f"docs/DEPLOYMENT.md lists key {key} of Secret {secret}, which no pod uses"


def referenced_secrets(pod, optional=False):
    """The (secret, key) pairs that a pod requires, and with `optional` also the optional ones."""
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
            yield f"{title(service)}: selects no pod"
        for port in service["spec"]["ports"]:
            if any(port["targetPort"] not in pod.ports for pod in pods):
                yield f"{title(service)}: a selected pod has no port {port['targetPort']}"
    for workload in environment.of("Deployment", "StatefulSet"):
        selector = workload["spec"]["selector"]
        if [pod.name for pod in environment.selected(selector)] != [workload["metadata"]["name"]]:
            yield f"{title(workload)}: the selector does not match exactly its own pods"


@rule
def disruption_budgets(environment, project):
    budgets = environment.of("PodDisruptionBudget")
    for workload in environment.of("Deployment"):
        least, _ = environment.replicas(workload)
        labels = workload["spec"]["template"]["metadata"]["labels"]
        mine = [budget for budget in budgets if matches(budget["spec"]["selector"], labels)]
        if least > 1 and len(mine) != 1:
            yield f"{title(workload)}: has {len(mine)} disruption budgets, expected one"
        if any(budget["spec"].get("maxUnavailable", 0) != 1 for budget in mine):
            yield f"{title(workload)}: maxUnavailable of the disruption budget is not 1"
    for budget in budgets:
        if not environment.selected(budget["spec"]["selector"]):
            yield f"{title(budget)}: selects no pod"


@rule
def rollout(environment, project):
    for workload in environment.of("Deployment"):
        if workload["spec"].get("strategy", {}).get("rollingUpdate") != {"maxSurge": 1, "maxUnavailable": 0}:
            yield f"{title(workload)}: a rollout may stop an instance before a new one is ready"
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
        if not pod.long_running or service not in project.services:
            continue
        variables = environment.variables(container)

        def seconds(variable):
            return int(variables.get(variable) or project.default(service, variable)) / 1000

        # Services with this setting get requests until clients notice that they stop.
        has_delay = "SHUTDOWN_DELAY" in project.settings[service]
        waits = seconds("SHUTDOWN_DELAY") if has_delay else 0
        if has_delay and waits < MIN_SHUTDOWN_DELAY:
            yield f"{where}: SHUTDOWN_DELAY is {waits:g} s, expected at least {MIN_SHUTDOWN_DELAY} s"
        needed = waits + seconds("SHUTDOWN_TIMEOUT") + SHUTDOWN_MARGIN
        if pod.spec.get("terminationGracePeriodSeconds", 30) < needed:
            yield f"{where}: terminationGracePeriodSeconds is less than the {needed:g} s that a shutdown may take"


@rule
def network_policies(environment, project):
    policies = environment.of("NetworkPolicy")
    if not any(policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} for policy in policies):
        yield "no NetworkPolicy denies all connections by default"
    for policy in policies:
        chosen = environment.selected(policy["spec"]["podSelector"])
        if not chosen:
            yield f"{title(policy)}: selects no pod"
        for side, direction in (("from", "ingress"), ("to", "egress")):
            for allowed in policy["spec"].get(direction, []):
                yield from policy_rule_errors(environment, policy, chosen, side, allowed)


def policy_rule_errors(environment, policy, chosen, side, allowed):
    if not allowed.get(side) or not allowed.get("ports"):
        yield f"{title(policy)}: a rule has no '{side}' or no 'ports', so it allows more than one connection"
        return
    ends = list(chosen) if side == "from" else []
    for peer in allowed[side]:
        if set(peer) == {"podSelector"}:
            inside = environment.selected(peer["podSelector"])
            if not inside:
                yield f"{title(policy)}: the podSelector of its peer selects no pod"
            ends += inside if side == "to" else []
        elif peer.get("namespaceSelector") == {}:
            yield f"{title(policy)}: allows every namespace"
    for port in allowed["ports"]:
        if any(port["port"] not in pod.ports for pod in ends):
            yield f"{title(policy)}: a pod at the other end has no port {port['port']}"


@rule
def connections(environment, project):
    selectors = [policy["spec"]["podSelector"] for policy in environment.of("NetworkPolicy")]
    for pod in environment.pods:
        given = set().union(*(environment.variables(container) for container in pod.containers))
        for label, setting in CONNECTION_SETTINGS.items():
            if (label in pod.labels) != (setting in given):
                yield f"{title(pod.owner)}: label {label} and setting {setting} must be set together"
            if label in pod.labels and {"matchLabels": {label: "true"}} not in selectors:
                yield f"{title(pod.owner)}: no NetworkPolicy selects {label}"


@rule
def ends_of_connections(environment, project):
    for pod, container, where in containers(environment):
        given = environment.variables(container)
        for variable in ADDRESS_SETTINGS:
            for url in filter(None, (given.get(variable) or "").split(",")):
                end = urlsplit(url if "://" in url else f"//{url}")
                if not any(allows_connection(environment, policy, pod, end) for policy in environment.of("NetworkPolicy")):
                    yield f"{where}: no NetworkPolicy allows connections to {variable}, {url}"


def allows_connection(environment, policy, pod, end):
    """Whether a policy allows a pod to connect to `end`: kafka.namespace.svc, a Service in its own
    namespace, or an address outside the cluster.
    """
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
            yield f"{title(scaler)}: its target does not exist"
            continue
        if "replicas" in target["spec"]:
            yield f"{title(scaler)}: its Deployment sets replicas, so every apply resets the number"
        least, most = environment.replicas(target)
        if not 1 < least < most:
            yield f"{title(scaler)}: scales from {least} to {most} instances, expected a range above 1"
        for trigger in scaler["spec"].get("triggers", []):
            yield from trigger_errors(environment, project, scaler, target, trigger, most)


def trigger_errors(environment, project, scaler, target, trigger, most):
    unknown = trigger["metadata"].keys() - TRIGGERS.get(trigger["type"], set())
    if trigger["type"] not in TRIGGERS or unknown:
        yield f"{title(scaler)}: unknown trigger {trigger['type']} or fields {sorted(unknown)}"
    given = environment.variables(target["spec"]["template"]["spec"]["containers"][0])
    for field, variable in trigger["metadata"].items():
        if field.endswith("FromEnv") and variable not in given:
            yield f"{title(scaler)}: its target has no {variable}"
    if trigger["type"] == "kafka":
        yield from credential_errors(environment, scaler, trigger, given)
        reads = trigger["metadata"].get("consumerGroup"), trigger["metadata"].get("topic")
        if reads not in project.topics.items() or reads[0] != target["metadata"]["name"]:
            yield f"{title(scaler)}: {reads[0]} does not read {reads[1]}"
        if most > project.partitions:
            yield f"{title(scaler)}: scales to {most} instances, but the topic has {project.partitions} partitions"


def credential_errors(environment, scaler, trigger, given):
    """Checks that KEDA connects to Kafka with the settings of its target."""
    protocol = given.get("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT")
    wanted = {
        "tls": "enable" if protocol.endswith("SSL") else None,
        "sasl": given.get("KAFKA_SASL_MECHANISM", "").lower().replace("-sha-", "_sha") if "SASL" in protocol else None,
    }
    for field, value in wanted.items():
        if trigger["metadata"].get(field) != value:
            yield f"{title(scaler)}: {field} is not {value}, the value of its target"
    name = trigger.get("authenticationRef", {}).get("name")
    credentials = environment.get("TriggerAuthentication", name) or {"spec": {}}
    shown = {it["parameter"]: it["name"] for it in credentials["spec"].get("env", [])}
    if wanted["sasl"] and shown != {"username": "KAFKA_SASL_USERNAME", "password": "KAFKA_SASL_PASSWORD"}:
        yield f"{title(scaler)}: does not use the user and the password of its target"
    trusted = {it["parameter"]: it["name"] for it in credentials["spec"].get("secretTargetRef", [])}
    if given.get("KAFKA_CA_FILE", SYSTEM_CA_FILE) != SYSTEM_CA_FILE and "ca" not in trusted:
        yield f"{title(scaler)}: does not use the CA of its target"


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
                yield f"{title(monitor)}: no Service has the port {endpoint['port']}"
    for workload in environment.of("Deployment"):
        labels = workload["metadata"]["labels"]
        if monitors and not any(matches(monitor["spec"]["selector"], labels) for monitor in monitors):
            yield f"{title(workload)}: is not scraped"
    rules = environment.of("PrometheusRule")
    if monitors and [rule["spec"] for rule in rules] != prometheus_rule.specs(project):
        yield "the PrometheusRule differs from the rules file: run make k8s-rules"


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
            yield f"{title(space)}: does not enforce the restricted pod security standard"
    for document in environment.documents:
        if document["kind"] != "Namespace" and {document["metadata"].get("namespace")} != names:
            yield f"{title(document)}: is not in the namespace {', '.join(names)}"


@rule
def replication(environment, project):
    """With several brokers, an acknowledged record is on two of them, and a third may fail."""
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
            yield f"{where}: with {replicas} replicas and min.insync.replicas {in_sync}, losing a broker loses records"


@rule
def migration(environment, project):
    jobs = [pod for pod in environment.pods if pod.owner["kind"] == "Job"]
    runs = [
        container.get("args", [])[:2]
        for pod in jobs
        for container in pod.spec.get("initContainers", []) + pod.spec["containers"]
    ]
    if runs != [["migrate", "--roles"], ["topics", "create"]]:
        yield f"the Job runs {runs}, expected migrate --roles and then topics create"
    for pod in jobs:
        if pod.spec.get("restartPolicy") != "Never" or not pod.owner["spec"].get("backoffLimit"):
            yield f"{title(pod.owner)}: needs restartPolicy Never and a backoffLimit, to keep the logs of failed pods"
