"""Injected faults: each rule must detect each of its faults, which proves that the rule can fail.

A fault is injected into the built production environment, or into the local one if only that has the
object to break.
"""

from environment import Pod

FAULTS = []


def fault(rule, environment="production"):
    def inject(function):
        FAULTS.append((rule, environment, function))
        return function

    return inject


def api(environment):
    return environment.get("Deployment", "sales-api")


def pod(environment, name="sales-api"):
    return environment.get("Deployment", name)["spec"]["template"]["spec"]


def container(environment, name="sales-api"):
    return pod(environment, name)["containers"][0]


def settings_of(environment, prefix):
    return next(it for it in environment.of("ConfigMap") if it["metadata"]["name"].startswith(prefix + "-"))["data"]


def drop(environment, kind, name):
    environment.documents.remove(environment.get(kind, name))


# ---- schemas


@fault("schemas")
def an_unknown_kubernetes_field(environment):
    pod(environment)["terminationGracePeriod"] = 20


@fault("schemas")
def a_value_of_the_wrong_type(environment):
    container(environment)["ports"][0]["containerPort"] = "3000"


@fault("schemas")
def an_unknown_keda_field(environment):
    environment.get("ScaledObject", "outbox-relay")["spec"]["maxReplicas"] = 8


@fault("schemas")
def a_number_where_keda_requires_text(environment):
    environment.get("ScaledObject", "status-consumer")["spec"]["triggers"][0]["metadata"]["lagThreshold"] = 2000


@fault("schemas")
def an_unknown_service_monitor_field(environment):
    environment.get("ServiceMonitor", "sales-api")["spec"]["endpoints"][0]["intervall"] = "15s"


@fault("schemas")
def a_removed_api_version(environment):
    environment.get("HorizontalPodAutoscaler", "sales-api")["apiVersion"] = "autoscaling/v2beta2"


# ---- rules of the project


@fault("probes")
def no_liveness_probe(environment):
    del container(environment)["livenessProbe"]


@fault("probes")
def readiness_taken_from_livez(environment):
    container(environment)["readinessProbe"]["httpGet"]["path"] = "/livez"


@fault("resources")
def no_limit_of_memory(environment):
    del container(environment)["resources"]["limits"]["memory"]


@fault("images")
def latest(environment):
    container(environment)["image"] = "registry.example.com/sales/sales-api:latest"


@fault("images")
def no_tag(environment):
    container(environment)["image"] = "registry.example.com:5000/sales/sales-api"


@fault("images")
def a_digest_without_a_tag(environment):
    container(environment)["image"] = "registry.example.com/sales/sales-api@sha256:" + 64 * "0"


@fault("images", "local")
def a_different_database_than_compose(environment):
    environment.get("StatefulSet", "postgres")["spec"]["template"]["spec"]["containers"][0]["image"] = "postgres:17"


@fault("versions")
def a_label_of_another_version(environment):
    api(environment)["metadata"]["labels"]["app.kubernetes.io/version"] = "0.0.1"


@fault("ports")
def another_management_port(environment):
    container(environment)["ports"][1]["containerPort"] = 9109


@fault("ports")
def a_port_by_setting(environment):
    container(environment)["env"].append({"name": "MANAGEMENT_PORT", "value": "9109"})


@fault("ports")
def an_unreachable_host(environment):
    container(environment)["env"].append({"name": "HOST", "value": "127.0.0.1"})


@fault("restricted")
def root(environment):
    del pod(environment)["securityContext"]["runAsNonRoot"]


@fault("restricted")
def no_seccomp_profile(environment):
    del pod(environment)["securityContext"]["seccompProfile"]


@fault("restricted")
def a_capability(environment):
    container(environment)["securityContext"]["capabilities"]["add"] = ["NET_ADMIN"]


@fault("restricted")
def a_writable_file_system(environment):
    environment.get("Job", "migrate")["spec"]["template"]["spec"]["initContainers"][0]["securityContext"].pop(
        "readOnlyRootFilesystem"
    )


@fault("restricted")
def the_host_network(environment):
    pod(environment)["hostNetwork"] = True


@fault("restricted")
def a_host_path(environment):
    pod(environment)["volumes"].append({"name": "node", "hostPath": {"path": "/"}})


@fault("tokens")
def an_account_with_a_token(environment):
    environment.get("ServiceAccount", "sales-api")["automountServiceAccountToken"] = True


@fault("tokens")
def a_pod_with_a_token(environment):
    del pod(environment)["automountServiceAccountToken"]


@fault("tokens")
def a_missing_service_account(environment):
    pod(environment)["serviceAccountName"] = "default"


@fault("tokens")
def variables_for_services(environment):
    del pod(environment)["enableServiceLinks"]


@fault("settings")
def an_unknown_setting(environment):
    settings_of(environment, "kafka")["KAFKA_BROKER"] = "kafka:9092"


@fault("settings")
def a_setting_of_another_service(environment):
    container(environment)["env"].append({"name": "OUTBOX_LANES", "value": "4"})


@fault("settings")
def a_required_setting_that_is_missing(environment):
    container(environment, "outbox-relay")["env"] = []


@fault("settings")
def two_keys_of_tokens(environment):
    container(environment)["env"].append({"name": "JWT_PUBLIC_KEY", "value": "-----BEGIN PUBLIC KEY-----"})


@fault("settings")
def keys_of_tokens_that_are_not_mounted(environment):
    container(environment)["volumeMounts"] = []


@fault("settings")
def a_certificate_under_another_name(environment):
    pod(environment, "outbox-relay")["volumes"][1]["secret"]["items"][0]["path"] = "kafka.crt"


@fault("secure connections")
def a_database_that_is_not_verified(environment):
    del settings_of(environment, "common")["DATABASE_CA_FILE"]


@fault("secure connections")
def an_unencrypted_broker(environment):
    settings_of(environment, "kafka")["KAFKA_SECURITY_PROTOCOL"] = "SASL_PLAINTEXT"


@fault("secure connections")
def a_user_without_a_password(environment):
    env = container(environment, "status-consumer")["env"]
    env[:] = [entry for entry in env if entry["name"] != "KAFKA_SASL_PASSWORD"]


@fault("secure connections")
def a_password_without_sasl(environment):
    settings_of(environment, "kafka")["KAFKA_SECURITY_PROTOCOL"] = "SSL"


@fault("secrets")
def a_secret_in_the_repository(environment):
    metadata = {"name": "sales-api", "namespace": "sales"}
    environment.documents.append({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {}})


@fault("secrets")
def a_secret_by_value(environment):
    container(environment)["env"][0] = {"name": "CURSOR_SECRET", "value": "0123456789abcdef0123456789abcdef"}


@fault("secrets")
def a_password_in_a_config_map(environment):
    settings_of(environment, "sales-api")["INVENTORY_URL"] = "http://sales:hidden@inventory:3001"


@fault("secrets")
def a_password_among_arguments(environment):
    container(environment)["args"] = ["postgres://sales:hidden@postgres:5432/sales"]


@fault("references")
def a_missing_config_map(environment):
    container(environment)["envFrom"].append({"configMapRef": {"name": "more"}})


@fault("references")
def a_key_that_is_not_documented(environment):
    container(environment)["env"][0]["valueFrom"]["secretKeyRef"]["key"] = "DATABASE"


@fault("references")
def a_mounted_key_that_is_not_documented(environment):
    pod(environment)["volumes"][0]["secret"]["items"][0]["key"] = "keys.json"


@fault("references")
def a_documented_key_that_no_pod_uses(environment):
    env = container(environment, "outbox-relay")["env"]
    env[:] = [entry for entry in env if entry["name"] != "KAFKA_SASL_PASSWORD"]


@fault("references", "local")
def a_missing_secret(environment):
    container(environment)["env"][0]["valueFrom"]["secretKeyRef"]["name"] = "sales"


@fault("references", "local")
def a_missing_secret_key(environment):
    container(environment)["env"][0]["valueFrom"]["secretKeyRef"]["key"] = "DATABASE"


@fault("services")
def a_service_without_pods(environment):
    environment.get("Service", "sales-api")["spec"]["selector"]["app.kubernetes.io/name"] = "api"


@fault("services")
def a_service_with_a_missing_port(environment):
    environment.get("Service", "sales-api")["spec"]["ports"][0]["targetPort"] = "web"


@fault("services")
def a_deployment_that_selects_pods_of_another(environment):
    labels = environment.get("Deployment", "outbox-relay")["spec"]["template"]["metadata"]["labels"]
    labels["app.kubernetes.io/name"] = "sales-api"


@fault("disruption budgets")
def no_disruption_budget(environment):
    drop(environment, "PodDisruptionBudget", "outbox-relay")


@fault("disruption budgets")
def a_budget_that_blocks_every_drain(environment):
    environment.get("PodDisruptionBudget", "sales-api")["spec"]["maxUnavailable"] = 0


@fault("disruption budgets")
def a_budget_without_pods(environment):
    selector = environment.get("PodDisruptionBudget", "sales-api")["spec"]["selector"]
    selector["matchLabels"]["app.kubernetes.io/name"] = "api"


@fault("rollout")
def a_recreate_strategy(environment):
    api(environment)["spec"]["strategy"] = {"type": "Recreate"}


@fault("rollout")
def all_on_one_node(environment):
    pod(environment)["topologySpreadConstraints"].pop()


@fault("rollout")
def a_spread_of_other_pods(environment):
    selector = pod(environment)["topologySpreadConstraints"][0]["labelSelector"]
    selector["matchLabels"]["app.kubernetes.io/name"] = "api"


@fault("termination")
def a_short_grace_period(environment):
    pod(environment)["terminationGracePeriodSeconds"] = 15


@fault("termination")
def a_shutdown_timeout_beyond_the_grace_period(environment):
    settings_of(environment, "common")["SHUTDOWN_TIMEOUT"] = "12000"


@fault("termination")
def an_api_without_a_shutdown_delay(environment):
    settings_of(environment, "sales-api")["SHUTDOWN_DELAY"] = "0"


@fault("network policies")
def no_default_deny(environment):
    drop(environment, "NetworkPolicy", "default-deny")


@fault("network policies")
def a_policy_without_pods(environment):
    environment.get("NetworkPolicy", "from-ingress")["spec"]["podSelector"]["matchLabels"] = {"app": "sales-api"}


@fault("network policies")
def a_connection_from_everywhere(environment):
    del environment.get("NetworkPolicy", "from-ingress")["spec"]["ingress"][0]["from"]


@fault("network policies")
def a_connection_to_every_port(environment):
    del environment.get("NetworkPolicy", "to-kafka")["spec"]["egress"][0]["ports"]


@fault("network policies")
def a_connection_to_every_namespace(environment):
    environment.get("NetworkPolicy", "to-kafka")["spec"]["egress"][0]["to"] = [{"namespaceSelector": {}}]


@fault("network policies")
def a_connection_to_a_missing_port(environment):
    environment.get("NetworkPolicy", "from-ingress")["spec"]["ingress"][0]["ports"] = [{"port": 8080}]


@fault("network policies", "local")
def a_connection_to_a_wrong_internal_port(environment):
    environment.get("NetworkPolicy", "to-postgres")["spec"]["egress"][0]["ports"] = [{"port": 5433}]


@fault("network policies", "local")
def a_connection_to_no_pod(environment):
    peer = environment.get("NetworkPolicy", "to-kafka")["spec"]["egress"][0]["to"][0]
    peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] = "kafka"


@fault("connections")
def a_connection_label_without_a_setting(environment):
    api(environment)["spec"]["template"]["metadata"]["labels"]["needs-kafka"] = "true"


@fault("connections")
def a_connection_label_without_a_policy(environment):
    drop(environment, "NetworkPolicy", "to-inventory")


@fault("ends of connections")
def a_connection_to_the_plain_port(environment):
    environment.get("NetworkPolicy", "to-kafka")["spec"]["egress"][0]["ports"] = [{"port": 9092}]


@fault("ends of connections")
def a_collector_in_another_namespace(environment):
    settings_of(environment, "common")["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://otel-collector.tracing.svc:4318"


@fault("ends of connections")
def one_unreachable_broker_of_two(environment):
    settings_of(environment, "kafka")["KAFKA_BROKERS"] += ",kafka.other.svc:9093"


@fault("ends of connections", "local")
def an_inventory_at_the_wrong_service(environment):
    settings_of(environment, "sales-api")["INVENTORY_URL"] = "http://redpanda:3001"


@fault("scaling")
def a_scaler_without_a_target(environment):
    environment.get("ScaledObject", "outbox-relay")["spec"]["scaleTargetRef"]["name"] = "relay"


@fault("scaling")
def a_fixed_replica_count(environment):
    api(environment)["spec"]["replicas"] = 2


@fault("scaling")
def an_empty_scaling_range(environment):
    environment.get("HorizontalPodAutoscaler", "sales-api")["spec"]["maxReplicas"] = 3


@fault("scaling")
def the_topic_of_another_group(environment):
    trigger = environment.get("ScaledObject", "delivery-service")["spec"]["triggers"][0]
    trigger["metadata"]["topic"] = "sales.delivery-events.v1"


@fault("scaling")
def more_instances_than_partitions(environment):
    environment.get("ScaledObject", "delivery-service")["spec"]["maxReplicaCount"] = 13


@fault("scaling")
def a_trigger_field_that_is_misspelt(environment):
    metadata = environment.get("ScaledObject", "delivery-service")["spec"]["triggers"][0]["metadata"]
    metadata["lagTreshold"] = metadata.pop("lagThreshold")


@fault("scaling")
def a_variable_missing_in_the_target(environment):
    trigger = environment.get("ScaledObject", "outbox-relay")["spec"]["triggers"][0]
    trigger["metadata"]["connectionFromEnv"] = "POSTGRES_URL"


@fault("scaling")
def a_scaler_that_does_not_encrypt(environment):
    del environment.get("ScaledObject", "delivery-service")["spec"]["triggers"][0]["metadata"]["tls"]


@fault("scaling")
def a_scaler_with_another_mechanism(environment):
    settings_of(environment, "kafka")["KAFKA_SASL_MECHANISM"] = "SCRAM-SHA-256"


@fault("scaling")
def a_scaler_without_a_password(environment):
    del environment.get("TriggerAuthentication", "kafka")["spec"]["env"][1]


@fault("scaling")
def a_scaler_without_a_ca(environment):
    del environment.get("TriggerAuthentication", "kafka")["spec"]["secretTargetRef"]


@fault("monitoring")
def a_port_that_no_service_has(environment):
    environment.get("ServiceMonitor", "sales-api")["spec"]["endpoints"][0]["port"] = "metrics"


@fault("monitoring")
def a_service_that_is_not_scraped(environment):
    drop(environment, "ServiceMonitor", "outbox-relay")


@fault("monitoring")
def rules_that_are_not_generated(environment):
    metadata = {"name": "more", "namespace": "sales"}
    spec = {"groups": [{"name": "more", "rules": []}]}
    kind = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule"}
    environment.documents.append({**kind, "metadata": metadata, "spec": spec})


@fault("labels")
def no_part_of_label(environment):
    del api(environment)["metadata"]["labels"]["app.kubernetes.io/part-of"]


@fault("namespaces")
def another_namespace(environment):
    api(environment)["metadata"]["namespace"] = "default"


@fault("namespaces")
def a_privileged_namespace(environment):
    environment.get("Namespace", "sales")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "privileged"


@fault("replication")
def topics_with_one_replica(environment):
    arguments = Pod(environment.get("Job", "migrate")).spec["containers"][0]["args"]
    arguments[arguments.index("--replication-factor") + 1] = "1"


@fault("replication")
def topics_with_default_replication(environment):
    del Pod(environment.get("Job", "migrate")).spec["containers"][0]["args"][2:]


@fault("migration")
def topics_before_tables(environment):
    job = Pod(environment.get("Job", "migrate")).spec
    job["containers"], job["initContainers"] = job["initContainers"], job["containers"]


@fault("migration")
def a_migration_without_roles(environment):
    Pod(environment.get("Job", "migrate")).spec["initContainers"][0]["args"].remove("--roles")


@fault("migration")
def a_migration_without_retries(environment):
    environment.get("Job", "migrate")["spec"]["backoffLimit"] = 0
