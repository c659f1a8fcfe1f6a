"""Rules that compare the manifests with the code, and the objects with each other.

Each takes an environment and the project, and yields error messages. `faults.yaml` violates each.
"""

import re
from urllib.parse import urlsplit

import prometheus_rule
from environment import matches, plain_name, program, title

RULES = {}

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
# KEDA's CRD allows any field in the metadata of a trigger.
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
def images(environment, project):
    for _, container, where in containers(environment):
        # A pinned image has a tag and a digest.
        image = container["image"].partition("@")[0]
        tag = image.rsplit("/", 1)[-1].partition(":")[2]
        if program(container) in project.settings:
            if tag != project.version:
                yield f"{where}: {image} does not have the version {project.version}"
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
def settings(environment, project):
    for pod, container, where in containers(environment):
        service, given = program(container), environment.variables(container)
        known = project.settings.get(service)
        if known is None:
            continue
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
    given = [(title(it), name, value) for it in environment.of("ConfigMap") for name, value in it.get("data", {}).items()]
    for _, container, where in containers(environment):
        given += [(where, entry["name"], entry["value"]) for entry in container.get("env", []) if "value" in entry]
        given += [(where, "args", argument) for argument in container.get("args", []) + container.get("command", [])]
    for where, name, value in given:
        if SECRET.search(name) or CREDENTIALS.search(value):
            yield f"{where}: {name} contains a secret"


@rule
def references(environment, project):
    for pod, container, where in containers(environment):
        for source in container.get("envFrom", []):
            name = source["configMapRef"]["name"] if "configMapRef" in source else None
            if not environment.get("ConfigMap", name):
                yield f"{where}: ConfigMap {name} does not exist"
    for pod in environment.pods:
        account = pod.spec.get("serviceAccountName")
        if not environment.get("ServiceAccount", account):
            yield f"{title(pod.owner)}: ServiceAccount {account} does not exist"
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
def selectors(environment, project):
    for service in environment.of("Service"):
        for pod in environment.selected({"matchLabels": service["spec"]["selector"]}):
            for port in service["spec"]["ports"]:
                if port["targetPort"] not in pod.ports:
                    yield f"{title(service)}: {title(pod.owner)} has no port {port['targetPort']}"
    for workload in environment.of("Deployment", "StatefulSet"):
        if [pod.owner for pod in environment.selected(workload["spec"]["selector"])] != [workload]:
            yield f"{title(workload)}: the selector does not match exactly its own pods"
    for workload in environment.of("Deployment"):
        pods = workload["spec"]["template"]
        spread = pods["spec"].get("topologySpreadConstraints", [])
        over = {it["topologyKey"] for it in spread if matches(it["labelSelector"], pods["metadata"]["labels"])}
        if replicas(environment, workload)[0] > 1 and over != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
            yield f"{title(workload)}: is not spread over zones and nodes"


@rule
def disruption_budgets(environment, project):
    selectors = [budget["spec"]["selector"] for budget in environment.of("PodDisruptionBudget")]
    for selector in selectors:
        if not environment.selected(selector):
            yield f"the PodDisruptionBudget with the selector {selector} selects no pod"
    # kube-score finds a Deployment without a budget.
    for workload in environment.of("Deployment"):
        labels = workload["spec"]["template"]["metadata"]["labels"]
        if sum(matches(selector, labels) for selector in selectors) > 1:
            yield f"{title(workload)}: has several disruption budgets"


def replicas(environment, workload):
    """The minimum and the maximum number of instances."""
    for scaler in environment.of("HorizontalPodAutoscaler", "ScaledObject"):
        spec = scaler["spec"]
        if spec["scaleTargetRef"]["name"] == workload["metadata"]["name"]:
            least = spec.get("minReplicas", spec.get("minReplicaCount", 0))
            return least, spec.get("maxReplicas", spec.get("maxReplicaCount", 100))
    return 2 * (workload["spec"].get("replicas", 1),)


@rule
def termination(environment, project):
    for pod, container, where in containers(environment):
        service, variables = program(container), environment.variables(container)
        if service not in project.services:
            continue

        def seconds(variable):
            return int(variables.get(variable) or project.settings[service][variable]) / 1000

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
    """The ports and the pods of each allowed connection exist."""
    policies = environment.of("NetworkPolicy")
    if not any(policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} for policy in policies):
        yield "no NetworkPolicy denies all connections by default"
    for policy in policies:
        spec = policy["spec"]
        ends = [(spec["podSelector"], allowed) for allowed in spec.get("ingress", [])]
        # A client needs no port.
        peers = [(peer, {}) for allowed in spec.get("ingress", []) for peer in allowed.get("from", [])]
        peers += [(peer, allowed) for allowed in spec.get("egress", []) for peer in allowed.get("to", [])]
        ends += [(peer["podSelector"], allowed) for peer, allowed in peers if set(peer) == {"podSelector"}]
        for selector, allowed in ends:
            pods = environment.selected(selector)
            if not pods:
                yield f"{title(policy)}: selects no pod at one end"
            for port in allowed.get("ports", []):
                if any(port["port"] not in pod.ports for pod in pods):
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
        end.port in [port["port"] for port in allowed.get("ports", [])] and (peer == wanted or set(peer) == wanted)
        for allowed in policy["spec"].get("egress", [])
        for peer in allowed.get("to", [])
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
        least, most = replicas(environment, target)
        if not 1 < least < most:
            yield f"{title(scaler)}: scales from {least} to {most} instances, expected a range above 1"
        for trigger in scaler["spec"].get("triggers", []):
            errors = trigger_errors(environment, project, target, trigger, most)
            yield from (f"{title(scaler)}: {error}" for error in errors)


def trigger_errors(environment, project, target, trigger, most):
    metadata = trigger["metadata"]
    unknown = metadata.keys() - TRIGGERS.get(trigger["type"], set())
    if unknown:
        yield f"unknown trigger {trigger['type']} or fields {sorted(unknown)}"
    given = environment.variables(target["spec"]["template"]["spec"]["containers"][0])
    for field, variable in metadata.items():
        if field.endswith("FromEnv") and variable not in given:
            yield f"its target has no {variable}"
    if trigger["type"] == "kafka":
        yield from credential_errors(environment, trigger, given)
        reads = metadata.get("consumerGroup"), metadata.get("topic")
        if reads not in project.topics.items() or reads[0] != target["metadata"]["name"]:
            yield f"{reads[0]} does not read {reads[1]}"
        if most > project.partitions:
            yield f"scales to {most} instances, but the topic has {project.partitions} partitions"


def credential_errors(environment, trigger, given):
    """Checks that KEDA connects to Kafka with the settings of its target."""
    protocol = given.get("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT")
    mechanism = given.get("KAFKA_SASL_MECHANISM", "").lower().replace("-sha-", "_sha")
    wanted = {
        "tls": "enable" if protocol.endswith("SSL") else None,
        "sasl": mechanism if "SASL" in protocol else None,
    }
    for field, value in wanted.items():
        if trigger["metadata"].get(field) != value:
            yield f"{field} is not {value}, the value of its target"
    name = trigger.get("authenticationRef", {}).get("name")
    credentials = environment.get("TriggerAuthentication", name) or {"spec": {}}
    shown = {it["parameter"]: it["name"] for it in credentials["spec"].get("env", [])}
    if wanted["sasl"] and shown != {"username": "KAFKA_SASL_USERNAME", "password": "KAFKA_SASL_PASSWORD"}:
        yield "does not use the user and the password of its target"
    trusted = {it["parameter"]: it["name"] for it in credentials["spec"].get("secretTargetRef", [])}
    if given.get("KAFKA_CA_FILE", SYSTEM_CA_FILE) != SYSTEM_CA_FILE and "ca" not in trusted:
        yield "does not use the CA of its target"


@rule
def monitoring(environment, project):
    monitors = environment.of("ServiceMonitor")
    for monitor in monitors:
        shown = {
            port["name"]
            for service in environment.of("Service")
            if matches(monitor["spec"]["selector"], service["metadata"]["labels"])
            for port in service["spec"]["ports"]
        }
        for endpoint in monitor["spec"]["endpoints"]:
            if endpoint["port"] not in shown:
                yield f"{title(monitor)}: no Service has the port {endpoint['port']}"
    for workload in environment.of("Deployment"):
        labels = workload["metadata"]["labels"]
        if workload["metadata"]["name"] not in project.services:
            continue
        if monitors and not any(matches(monitor["spec"]["selector"], labels) for monitor in monitors):
            yield f"{title(workload)}: is not scraped"
    rules = environment.of("PrometheusRule")
    if monitors and [rule["spec"] for rule in rules] != [prometheus_rule.spec(project)]:
        yield "the PrometheusRule differs from the rules file: run make k8s-rules"


@rule
def namespaces(environment, project):
    names = {space["metadata"]["name"] for space in environment.of("Namespace")}
    for document in environment.documents:
        if document["kind"] != "Namespace" and {document["metadata"].get("namespace")} != names:
            yield f"{title(document)}: is not in the namespace {', '.join(names)}"


@rule
def migration(environment, project):
    jobs = [pod for pod in environment.pods if pod.owner["kind"] == "Job"]
    runs = [container.get("args", []) for pod in jobs for container in pod.containers]
    if [arguments[:2] for arguments in runs] != [["migrate", "--roles"], ["topics", "create"]]:
        yield f"the Job runs {runs}, expected migrate --roles and then topics create"
        return
    # With several brokers, an acknowledged record is on two of them, and a third may fail.
    asked = dict(zip(runs[-1], runs[-1][1:]))
    replicas, in_sync = (int(asked.get(name, 1)) for name in ("--replication-factor", "--min-insync-replicas"))
    if environment.name != "local" and not 2 <= in_sync < replicas:
        yield f"with {replicas} replicas and min.insync.replicas {in_sync}, losing a broker loses records"
