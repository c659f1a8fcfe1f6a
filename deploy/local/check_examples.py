"""Runs the programs in examples/ against the running system and checks their documented behaviour.

`check-examples` builds the programs and calls this script, which needs API_URL, KAFKA_BROKERS,
SALESCTL, TYPESCRIPT_DIST and RUST_BIN.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import urllib3
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
API_URL = os.environ["API_URL"]
# Log level 4 is warnings and above.
KAFKA: dict[str, str | int | float | bool] = {"bootstrap.servers": os.environ["KAFKA_BROKERS"], "log_level": 4}
# Longer than any program takes, including retries.
TIMEOUT_SECONDS = 60
PROGRAMS: dict[str, Callable[[str], list[str]]] = {
    "shell": lambda name: [str(EXAMPLES / "shell" / name)],
    "python": lambda name: [sys.executable, str(EXAMPLES / "python" / f"{name.replace('-', '_')}.py")],
    "typescript": lambda name: ["node", f"{os.environ['TYPESCRIPT_DIST']}/{name}.js"],
    "rust": lambda name: [f"{os.environ['RUST_BIN']}/{name}"],
}
STATUSES = ["Pending Shipment", "Shipped", "Delivered"]
TYPES = ["order.created", "order.shipped", "order.delivered"]

http = urllib3.PoolManager(retries=False, timeout=10)


def expect(condition: bool, what: str, *evidence: object) -> None:
    if not condition:
        raise AssertionError("\n    ".join([what, *map(str, evidence)]))


def run(
    language: str, name: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAMS[language](name), *arguments],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def output_of(language: str, name: str, *arguments: str, **environment: str) -> list[str]:
    """Runs a program that must succeed, and returns the lines of its output."""
    ended = run(language, name, *arguments, **environment)
    expect(ended.returncode == 0, f"{name} ended with {ended.returncode}", ended.stderr, ended.stdout)
    return ended.stdout.splitlines()


# ---- the API, with faults


class Proxy:
    """Forwards requests to the API and counts them. With faults, it

    - responds to the first POST with 503 and Retry-After,
    - forwards the second POST and closes the connection without a response,
    - responds to the first GET with 503, and returns the initial state of an order until a client
      sends If-None-Match.
    """

    def __init__(self, faults: bool) -> None:
        self.faults = faults
        self.keys: list[str] = []
        self.gets: list[str | None] = []

    def post(self, client: BaseHTTPRequestHandler, body: bytes) -> None:
        self.keys.append(client.headers["Idempotency-Key"])
        attempt = len(self.keys) if self.faults else 0
        if attempt == 1:
            respond(client, 503, {"Retry-After": "1"}, b"{}")
            return
        status, headers, content = self.forward(client, body)
        if attempt == 2:
            client.close_connection = True
            return
        respond(client, status, headers, content)

    def get(self, client: BaseHTTPRequestHandler) -> None:
        # curl sends an empty If-None-Match before it has an ETag.
        seen = client.headers["If-None-Match"] if client.headers["If-None-Match"] != '""' else None
        self.gets.append(seen)
        attempt = len(self.gets) if self.faults else 0
        if attempt == 1:
            respond(client, 503, {"Retry-After": "0"}, b"{}")
        elif attempt and seen == 'W/"first"' and self.gets.count(seen) == 1:
            respond(client, 304, {"ETag": seen}, b"")
        else:
            status, headers, content = self.forward(client)
            if attempt and seen is None:
                order = json.loads(content)
                order["data"]["statusHistory"] = order["data"]["statusHistory"][:1]
                order["data"]["status"] = STATUSES[0]
                headers, content = {"ETag": 'W/"first"'}, json.dumps(order).encode()
            respond(client, status, headers, content)

    def forward(
        self, client: BaseHTTPRequestHandler, body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        names = ("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match")
        headers = {name: client.headers[name] for name in names if client.headers[name]}
        response = http.request(client.command, API_URL + client.path, body=body, headers=headers)
        kept = {name: response.headers[name] for name in ("ETag", "Retry-After") if name in response.headers}
        return response.status, kept, response.data


def respond(client: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    client.send_response(status)
    for name, value in headers.items():
        client.send_header(name, value)
    client.send_header("Content-Length", str(len(body)))
    client.end_headers()
    client.wfile.write(body)


@contextmanager
def proxy_of_api(faults: bool) -> Iterator[tuple[Proxy, str]]:
    proxy = Proxy(faults)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            proxy.post(self, self.rfile.read(int(self.headers["Content-Length"])))

        def do_GET(self) -> None:
            proxy.get(self)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield proxy, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def token_of(subject: str) -> str:
    command = [os.environ["SALESCTL"], "token", "--subject", subject]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


# ---- topics with records of every kind


def record(order_id: str, type: str, version: str = "1.0", **fields: object) -> dict[str, object]:
    event_id = str(uuid.uuid5(uuid.UUID(order_id), f"{type} {version}"))
    value = {"orderId": order_id, "sequence": TYPES.index(type) + 1 if type in TYPES else 9}
    return {
        "id": event_id,
        "key": order_id,
        "value": json.dumps(value | fields),
        "headers": [
            ("ce_specversion", "1.0"),
            ("ce_id", event_id),
            ("ce_type", type),
            ("ce_subject", order_id),
            ("ce_dataschema", f"urn:sales:{type}:{version}"),
        ],
    }


def line_of(order_id: str, type: str, version: str = "1.0") -> str:
    sent = record(order_id, type, version)
    return f"{sent['id']} {type} {order_id} {TYPES.index(type) + 1}"


def lines_of(order_id: str) -> list[str]:
    return [line_of(order_id, type) for type in TYPES]


def produce(topic: str, records: list[dict[str, object]]) -> None:
    # The system compresses with LZ4, so a reader must support it.
    producer = Producer(KAFKA | {"compression.type": "lz4"})
    for one in records:
        producer.produce(topic, one["value"], one["key"], headers=one["headers"])  # type: ignore[arg-type]
    expect(producer.flush(10) == 0, f"not all records were written to {topic}")


@contextmanager
def topics_of(language: str) -> Iterator[tuple[str, str]]:
    names = tuple(f"check-examples.{language}.{uuid.uuid4()}.{what}" for what in ("orders", "deliveries"))
    admin = AdminClient(KAFKA)
    for future in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
        future.result(10)
    try:
        yield names[0], names[1]
    finally:
        for future in admin.delete_topics(list(names)).values():
            future.result(10)


# ---- the checks


def an_order_is_created_once_and_seen_delivered(language: str, folder: Path) -> None:
    token = token_of(f"check-examples-{language}-{uuid.uuid4()}")
    key = str(uuid.uuid4())
    with proxy_of_api(faults=True) as (proxy, url):
        printed = output_of(language, "create-order", key, API_URL=url, TOKEN=token)
        expect(proxy.keys == [key] * 3, "the key is not the same in each of three attempts", proxy.keys)
        found = http.request("GET", f"{API_URL}/api/orders", headers={"Authorization": f"Bearer {token}"})
        orders = [order["orderId"] for order in found.json()["data"]["orders"]]
        expect(orders == printed, "the API does not have exactly the printed order", orders, printed)

        statuses = output_of(language, "follow-order", printed[0], API_URL=url, TOKEN=token)
        names = [line.split(" ", 1)[1] for line in statuses]
        expect(names == STATUSES, "not each status was printed once", statuses)
        expect(proxy.gets[:4] == [None, None, 'W/"first"', 'W/"first"'], "the ETag was not sent", proxy.gets)

    settings = {"GROUP_ID": f"check-examples-{uuid.uuid4()}", "EVENTS_FILE": str(folder / "events")}
    events = [line for line in output_of(language, "read-events", printed[0], **settings) if printed[0] in line]
    expect(sorted(line.split()[1] for line in events) == sorted(TYPES), "not each event was printed once", events)


def a_rejected_order_is_not_retried(language: str, folder: Path) -> None:
    with proxy_of_api(faults=False) as (proxy, url):
        ended = run(language, "create-order", API_URL=url, TOKEN="not-a-token")
        expect(ended.returncode == 1, f"create-order ended with {ended.returncode}", ended.stderr)
        expect("UNAUTHORIZED" in ended.stderr, "the problem was not printed", ended.stderr)
        expect(len(proxy.keys) == 1, f"it was sent {len(proxy.keys)} times")


def an_event_is_handled_once_and_an_unknown_major_version_never(language: str, folder: Path) -> None:
    first, second, third = (str(uuid.uuid4()) for _ in range(3))
    with topics_of(language) as (orders, deliveries):
        settings = {"ORDER_EVENTS_TOPIC": orders, "DELIVERY_EVENTS_TOPIC": deliveries}
        group = {"GROUP_ID": orders, "EVENTS_FILE": str(folder / "first")}
        # The records of the second order are last in each topic, so all records are handled once
        # these are.
        created, shipped = record(first, TYPES[0]), record(first, TYPES[1], "1.7", carrier="unknown field")
        broken = record(first, TYPES[0], "1.1") | {"value": "{"}
        unknown = record(first, "order.renamed")
        produce(orders, [unknown, record(first, TYPES[0], "2.0"), broken, created, created, record(second, TYPES[0])])
        produce(deliveries, [shipped, shipped, record(second, TYPES[1]), record(second, TYPES[2])])
        ended = run(language, "read-events", second, **settings, **group)
        expect(ended.returncode == 0, f"read-events ended with {ended.returncode}", ended.stderr, ended.stdout)
        handled = [line_of(first, TYPES[0]), line_of(first, TYPES[1], "1.7"), *lines_of(second)]
        expect_lines(ended.stdout, handled, "the printed events")
        expect_lines((folder / "first").read_text(), handled, "the events in the file")
        dead = [line for line in ended.stderr.splitlines() if line.startswith("dead letter: ")]
        places = [f"dead letter: {orders}[0]@{offset}: " for offset in (1, 2)]
        expect(len(dead) == 2 and all(map(str.startswith, dead, places)), "unexpected dead letters", ended.stderr)
        expect("urn:sales:order.created:2.0" in dead[0], "the version was not named", dead[0])

        produce(orders, [record(third, TYPES[0])])
        produce(deliveries, [record(third, TYPES[1]), record(third, TYPES[2])])
        if language != "shell":
            # An empty file and the same group: only the committed offsets prevent a second read.
            empty = group | {"EVENTS_FILE": str(folder / "second")}
            printed = output_of(language, "read-events", third, **settings, **empty)
            expect_lines("\n".join(printed), lines_of(third), "the events after the committed offsets")
            # Another group and the same file: every record is delivered again.
            group["GROUP_ID"] = deliveries
        output_of(language, "read-events", third, **settings, **group)
        expect_lines((folder / "first").read_text(), handled + lines_of(third), "the events in the file")


def expect_lines(text: str, expected: list[str], what: str) -> None:
    found = sorted(text.splitlines())
    wanted = sorted(expected)
    expect(found == wanted, f"{what} differ from the expected ones", "found:", *found, "expected:", *wanted)


CHECKS = [
    an_order_is_created_once_and_seen_delivered,
    a_rejected_order_is_not_retried,
    an_event_is_handled_once_and_an_unknown_major_version_never,
]


def passes(language: str, check: Callable[[str, Path], None]) -> bool:
    name = f"{language}: {check.__name__}"
    try:
        with tempfile.TemporaryDirectory() as folder:
            check(language, Path(folder))
    except (AssertionError, subprocess.SubprocessError, urllib3.exceptions.HTTPError) as error:
        print(f"FAILED {name}: {error}", file=sys.stderr, flush=True)
        return False
    print(f"ok {name}", flush=True)
    return True


def main() -> None:
    with ThreadPoolExecutor(max_workers=4) as pool:
        results = list(pool.map(lambda pair: passes(*pair), ((a, b) for b in CHECKS for a in PROGRAMS)))
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    sys.exit(0 if all(results) else 1)


main()
