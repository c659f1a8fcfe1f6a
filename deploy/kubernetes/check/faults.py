"""Faults, planted on purpose: each rule has to find each of its own. A check that can't fail is none.

They are planted into the environment of production as it was built, or of one's own machine where only that has what
is to be broken.
"""

from environment import Pod

FAULTS = []


def fault(rule, environment="production"):
    def plant(function):
        FAULTS.append((rule, environment, function))
        return function

    return plant


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
def a_field_that_kubernetes_does_not_know(environment):
    pod(environment)["terminationGracePeriod"] = 20


@fault("schemas")
def a_value_of_the_wrong_type(environment):
    container(environment)["ports"][0]["containerPort"] = "3000"


@fault("schemas")
def a_field_that_keda_does_not_know(environment):
    environment.get("ScaledObject", "outbox-relay")["spec"]["maxReplicas"] = 8


@fault("schemas")
def a_number_where_keda_wants_text(environment):
    environment.get("ScaledObject", "status-consumer")["spec"]["triggers"][0]["metadata"]["lagThreshold"] = 2000


@fault("schemas")
def a_field_that_no_service_monitor_has(environment):
    environment.get("ServiceMonitor", "sales-api")["spec"]["endpoints"][0]["intervall"] = "15s"


@fault("schemas")
def an_api_version_that_is_gone(environment):
    environment.get("HorizontalPodAutoscaler", "sales-api")["apiVersion"] = "autoscaling/v2beta2"


# ---- the project's own rules


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
def a_digest_in_the_place_of_the_tag(environment):
    container(environment)["image"] = "registry.example.com/sales/sales-api@sha256:" + 64 * "0"


@fault("images", "local")
def another_database_than_compose_has(environment):
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
def a_host_that_nobody_reaches(environment):
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
def a_file_system_that_can_be_written(environment):
    environment.get("Job", "migrate")["spec"]["template"]["spec"]["initContainers"][0]["securityContext"].pop(
        "readOnlyRootFilesystem"
    )


@fault("restricted")
def the_network_of_the_node(environment):
    pod(environment)["hostNetwork"] = True


@fault("restricted")
def a_folder_of_the_node(environment):
    pod(environment)["volumes"].append({"name": "node", "hostPath": {"path": "/"}})


@fault("tokens")
def an_account_with_a_token(environment):
    environment.get("ServiceAccount", "sales-api")["automountServiceAccountToken"] = True


@fault("tokens")
def a_pod_with_a_token(environment):
    del pod(environment)["automountServiceAccountToken"]


@fault("tokens")
def an_account_that_is_not_there(environment):
    pod(environment)["serviceAccountName"] = "default"


@fault("tokens")
def variables_for_services(environment):
    del pod(environment)["enableServiceLinks"]


@fault("settings")
def a_setting_that_nobody_reads(environment):
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
def a_broker_that_is_spoken_to_in_the_open(environment):
    settings_of(environment, "kafka")["KAFKA_SECURITY_PROTOCOL"] = "SASL_PLAINTEXT"


@fault("secure connections")
def a_user_without_a_password(environment):
    env = container(environment, "status-consumer")["env"]
    env[:] = [entry for entry in env if entry["name"] != "KAFKA_SASL_PASSWORD"]


@fault("secure connections")
def a_password_that_nobody_is_told(environment):
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
def a_config_map_that_is_not_there(environment):
    container(environment)["envFrom"].append({"configMapRef": {"name": "more"}})


@fault("references")
def a_key_that_is_not_documented(environment):
    container(environment)["env"][0]["valueFrom"]["secretKeyRef"]["key"] = "DATABASE"


@fault("references")
def a_mounted_key_that_is_not_documented(environment):
    pod(environment)["volumes"][0]["secret"]["items"][0]["key"] = "keys.json"


@fault("references")
def a_documented_key_that_nobody_asks_for(environment):
    env = container(environment, "outbox-relay")["env"]
    env[:] = [entry for entry in env if entry["name"] != "KAFKA_SASL_PASSWORD"]


@fault("references", "local")
def a_secret_that_is_not_there(environment):
    container(environment)["env"][0]["valueFrom"]["secretKeyRef"]["name"] = "sales"


@fault("references", "local")
def a_key_that_the_secret_does_not_have(environment):
    container(environment)["env"][0]["valueFrom"]["secretKeyRef"]["key"] = "DATABASE"


@fault("services")
def a_service_of_nothing(environment):
    environment.get("Service", "sales-api")["spec"]["selector"]["app.kubernetes.io/name"] = "api"


@fault("services")
def a_service_of_a_port_that_is_not_there(environment):
    environment.get("Service", "sales-api")["spec"]["ports"][0]["targetPort"] = "web"


@fault("services")
def a_deployment_that_takes_the_pods_of_another(environment):
    labels = environment.get("Deployment", "outbox-relay")["spec"]["template"]["metadata"]["labels"]
    labels["app.kubernetes.io/name"] = "sales-api"


@fault("disruption budgets")
def no_disruption_budget(environment):
    drop(environment, "PodDisruptionBudget", "outbox-relay")


@fault("disruption budgets")
def a_budget_that_no_drain_can_keep(environment):
    environment.get("PodDisruptionBudget", "sales-api")["spec"]["maxUnavailable"] = 0


@fault("disruption budgets")
def a_budget_of_nothing(environment):
    selector = environment.get("PodDisruptionBudget", "sales-api")["spec"]["selector"]
    selector["matchLabels"]["app.kubernetes.io/name"] = "api"


@fault("rollout")
def all_replaced_at_once(environment):
    api(environment)["spec"]["strategy"] = {"type": "Recreate"}


@fault("rollout")
def all_on_one_node(environment):
    pod(environment)["topologySpreadConstraints"].pop()


@fault("rollout")
def a_spread_of_other_pods(environment):
    selector = pod(environment)["topologySpreadConstraints"][0]["labelSelector"]
    selector["matchLabels"]["app.kubernetes.io/name"] = "api"


@fault("termination")
def a_kill_before_the_end(environment):
    pod(environment)["terminationGracePeriodSeconds"] = 15


@fault("termination")
def a_longer_timeout_than_the_kill_allows(environment):
    settings_of(environment, "common")["SHUTDOWN_TIMEOUT"] = "12000"


@fault("termination")
def an_api_that_stops_at_once(environment):
    settings_of(environment, "sales-api")["SHUTDOWN_DELAY"] = "0"


@fault("network policies")
def nothing_denied(environment):
    drop(environment, "NetworkPolicy", "default-deny")


@fault("network policies")
def a_policy_of_nothing(environment):
    environment.get("NetworkPolicy", "from-ingress")["spec"]["podSelector"]["matchLabels"] = {"app": "sales-api"}


@fault("network policies")
def an_arrow_from_everywhere(environment):
    del environment.get("NetworkPolicy", "from-ingress")["spec"]["ingress"][0]["from"]


@fault("network policies")
def an_arrow_to_every_port(environment):
    del environment.get("NetworkPolicy", "to-kafka")["spec"]["egress"][0]["ports"]


@fault("network policies")
def an_arrow_to_every_namespace(environment):
    environment.get("NetworkPolicy", "to-kafka")["spec"]["egress"][0]["to"] = [{"namespaceSelector": {}}]


@fault("network policies")
def an_arrow_to_a_port_that_is_not_there(environment):
    environment.get("NetworkPolicy", "from-ingress")["spec"]["ingress"][0]["ports"] = [{"port": 8080}]


@fault("network policies", "local")
def an_arrow_to_another_port_inside(environment):
    environment.get("NetworkPolicy", "to-postgres")["spec"]["egress"][0]["ports"] = [{"port": 5433}]


@fault("network policies", "local")
def an_arrow_to_nobody(environment):
    peer = environment.get("NetworkPolicy", "to-kafka")["spec"]["egress"][0]["to"][0]
    peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] = "kafka"


@fault("arrows")
def an_arrow_without_need(environment):
    api(environment)["spec"]["template"]["metadata"]["labels"]["needs-kafka"] = "true"


@fault("arrows")
def a_need_without_an_arrow(environment):
    drop(environment, "NetworkPolicy", "to-inventory")


@fault("ends of arrows")
def an_arrow_to_the_port_that_is_not_encrypted(environment):
    environment.get("NetworkPolicy", "to-kafka")["spec"]["egress"][0]["ports"] = [{"port": 9092}]


@fault("ends of arrows")
def a_collector_in_another_namespace(environment):
    settings_of(environment, "common")["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://otel-collector.tracing.svc:4318"


@fault("ends of arrows")
def one_of_two_brokers_out_of_reach(environment):
    settings_of(environment, "kafka")["KAFKA_BROKERS"] += ",kafka.other.svc:9093"


@fault("ends of arrows", "local")
def an_inventory_that_is_another_pod(environment):
    settings_of(environment, "sales-api")["INVENTORY_URL"] = "http://redpanda:3001"


@fault("scaling")
def a_scaler_of_nothing(environment):
    environment.get("ScaledObject", "outbox-relay")["spec"]["scaleTargetRef"]["name"] = "relay"


@fault("scaling")
def a_number_that_every_apply_sets_back(environment):
    api(environment)["spec"]["replicas"] = 2


@fault("scaling")
def no_range(environment):
    environment.get("HorizontalPodAutoscaler", "sales-api")["spec"]["maxReplicas"] = 3


@fault("scaling")
def the_topic_of_another_group(environment):
    trigger = environment.get("ScaledObject", "delivery-service")["spec"]["triggers"][0]
    trigger["metadata"]["topic"] = "sales.delivery-events.v1"


@fault("scaling")
def more_members_than_partitions(environment):
    environment.get("ScaledObject", "delivery-service")["spec"]["maxReplicaCount"] = 13


@fault("scaling")
def a_trigger_field_that_is_misspelt(environment):
    metadata = environment.get("ScaledObject", "delivery-service")["spec"]["triggers"][0]["metadata"]
    metadata["lagTreshold"] = metadata.pop("lagThreshold")


@fault("scaling")
def a_variable_that_the_target_does_not_have(environment):
    trigger = environment.get("ScaledObject", "outbox-relay")["spec"]["triggers"][0]
    trigger["metadata"]["connectionFromEnv"] = "POSTGRES_URL"


@fault("scaling")
def a_scaler_that_does_not_encrypt(environment):
    del environment.get("ScaledObject", "delivery-service")["spec"]["triggers"][0]["metadata"]["tls"]


@fault("scaling")
def a_scaler_with_another_mechanism(environment):
    settings_of(environment, "kafka")["KAFKA_SASL_MECHANISM"] = "SCRAM-SHA-256"


@fault("scaling")
def a_scaler_that_shows_no_password(environment):
    del environment.get("TriggerAuthentication", "kafka")["spec"]["env"][1]


@fault("scaling")
def a_scaler_that_trusts_nobody(environment):
    del environment.get("TriggerAuthentication", "kafka")["spec"]["secretTargetRef"]


@fault("monitoring")
def a_port_that_no_service_has(environment):
    environment.get("ServiceMonitor", "sales-api")["spec"]["endpoints"][0]["port"] = "metrics"


@fault("monitoring")
def a_service_that_is_not_scraped(environment):
    drop(environment, "ServiceMonitor", "outbox-relay")


@fault("monitoring")
def rules_that_nobody_wrote(environment):
    metadata = {"name": "more", "namespace": "sales"}
    spec = {"groups": [{"name": "more", "rules": []}]}
    kind = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule"}
    environment.documents.append({**kind, "metadata": metadata, "spec": spec})


@fault("labels")
def no_label_of_the_whole(environment):
    del api(environment)["metadata"]["labels"]["app.kubernetes.io/part-of"]


@fault("namespaces")
def another_namespace(environment):
    api(environment)["metadata"]["namespace"] = "default"


@fault("namespaces")
def a_namespace_that_takes_everything(environment):
    environment.get("Namespace", "sales")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "privileged"


@fault("copies")
def topics_on_one_disk(environment):
    arguments = Pod(environment.get("Job", "migrate")).spec["containers"][0]["args"]
    arguments[arguments.index("--replication-factor") + 1] = "1"


@fault("copies")
def topics_as_the_broker_likes(environment):
    del Pod(environment.get("Job", "migrate")).spec["containers"][0]["args"][2:]


@fault("migration")
def topics_before_tables(environment):
    job = Pod(environment.get("Job", "migrate")).spec
    job["containers"], job["initContainers"] = job["initContainers"], job["containers"]


@fault("migration")
def rights_of_the_version_before(environment):
    Pod(environment.get("Job", "migrate")).spec["initContainers"][0]["args"].remove("--roles")


@fault("migration")
def a_migration_that_is_tried_once(environment):
    environment.get("Job", "migrate")["spec"]["backoffLimit"] = 0
