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
KAFKA = {"bootstrap.servers": os.environ["KAFKA_BROKERS"], "log_level": 4}
# Longer than any program takes, including retries.
TIMEOUT_SECONDS = 60
PROGRAMS = {
    "shell": lambda name: [EXAMPLES / "shell" / name],
    "python": lambda name: [sys.executable, EXAMPLES / "python" / f"{name.replace('-', '_')}.py"],
    "typescript": lambda name: ["node", f"{os.environ['TYPESCRIPT_DIST']}/{name}.js"],
    "rust": lambda name: [f"{os.environ['RUST_BIN']}/{name}"],
}
STATUSES = ["Pending Shipment", "Shipped", "Delivered"]
TYPES = ["order.created", "order.shipped", "order.delivered"]

http = urllib3.PoolManager(retries=False, timeout=10)


def expect(condition, what, *evidence):
    if not condition:
        raise AssertionError("\n    ".join([what, *map(str, evidence)]))


def run(language, name, *arguments, code=0, **environment):
    """Runs a program that must exit with `code`, and returns its output."""
    ended = subprocess.run(
        [*PROGRAMS[language](name), *arguments],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    expect(ended.returncode == code, f"{name} exited with {ended.returncode}", ended.stderr, ended.stdout)
    return ended


class Proxy(ThreadingHTTPServer):
    """Forwards requests to the API and counts them. With faults, it

    - responds to the first POST with 503 and Retry-After,
    - forwards the second POST and closes the connection without a response,
    - responds to the first GET with 503, and returns the initial state of an order until a client
      sends If-None-Match.
    """

    daemon_threads = True

    def __init__(self, faults):
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults = faults
        self.keys, self.gets = [], []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *error):
        self.shutdown()
        super().__exit__(*error)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.server.keys.append(self.headers["Idempotency-Key"])
        attempt = len(self.server.keys) if self.server.faults else 0
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if attempt == 1:
            self.respond(503, {"Retry-After": "1"}, b"{}")
            return
        response = self.forward(body)
        if attempt == 2:
            self.close_connection = True
        else:
            self.respond(*response)

    def do_GET(self):
        # curl sends an empty If-None-Match before it has an ETag.
        seen = self.headers["If-None-Match"] if self.headers["If-None-Match"] != '""' else None
        gets = self.server.gets
        gets.append(seen)
        attempt = len(gets) if self.server.faults else 0
        if attempt == 1:
            self.respond(503, {"Retry-After": "0"}, b"{}")
        elif attempt and seen == 'W/"first"' and gets.count(seen) == 1:
            self.respond(304, {"ETag": seen}, b"")
        else:
            status, headers, content = self.forward()
            if attempt and seen is None:
                order = json.loads(content)
                order["data"] |= {"status": STATUSES[0], "statusHistory": order["data"]["statusHistory"][:1]}
                headers, content = {"ETag": 'W/"first"'}, json.dumps(order).encode()
            self.respond(status, headers, content)

    def forward(self, body=None):
        names = ("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match")
        headers = {name: self.headers[name] for name in names if self.headers[name]}
        response = http.request(self.command, API_URL + self.path, body=body, headers=headers)
        kept = {name: response.headers[name] for name in ("ETag", "Retry-After") if name in response.headers}
        return response.status, kept, response.data

    def respond(self, status, headers, body):
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def token_of(subject):
    command = [os.environ["SALESCTL"], "token", "--subject", subject]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def record(order_id, type, version="1.0", **fields):
    event_id = str(uuid.uuid5(uuid.UUID(order_id), f"{type} {version}"))
    value = {"orderId": order_id, "sequence": TYPES.index(type) + 1 if type in TYPES else 9}
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_type": type,
        "ce_subject": order_id,
        "ce_dataschema": f"urn:sales:{type}:{version}",
    }
    return {"key": order_id, "value": json.dumps(value | fields), "headers": headers}


def line_of(order_id, type, version="1.0"):
    """The line that a program prints for an event."""
    return f"{record(order_id, type, version)['headers']['ce_id']} {type} {order_id} {TYPES.index(type) + 1}"


def lines_of(order_id):
    return [line_of(order_id, type) for type in TYPES]


def produce(topic, *records):
    # The system compresses with LZ4, so a reader must support it.
    producer = Producer(KAFKA | {"compression.type": "lz4"})
    for record in records:
        producer.produce(topic, **record)
    expect(producer.flush(10) == 0, f"not all records were written to {topic}")


@contextmanager
def topics_of(language):
    names = [f"check-examples.{language}.{uuid.uuid4()}.{what}" for what in ("orders", "deliveries")]
    admin = AdminClient(KAFKA)
    for future in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
        future.result(10)
    try:
        yield names
    finally:
        for future in admin.delete_topics(names).values():
            future.result(10)


# ---- the checks


def an_order_is_created_once_and_seen_delivered(language, folder):
    token = token_of(f"check-examples-{language}-{uuid.uuid4()}")
    key = str(uuid.uuid4())
    with Proxy(faults=True) as proxy:
        printed = run(language, "create-order", key, API_URL=proxy.url, TOKEN=token).stdout.splitlines()
        expect(proxy.keys == [key] * 3, "the key is not the same in each of three attempts", proxy.keys)
        found = http.request("GET", f"{API_URL}/api/orders", headers={"Authorization": f"Bearer {token}"})
        orders = [order["orderId"] for order in found.json()["data"]["orders"]]
        expect(orders == printed, "the API does not have exactly the printed order", orders, printed)

        statuses = run(language, "follow-order", printed[0], API_URL=proxy.url, TOKEN=token).stdout.splitlines()
        names = [line.split(" ", 1)[1] for line in statuses]
        expect(names == STATUSES, "not each status was printed once", statuses)
        expect(proxy.gets[:4] == [None, None, 'W/"first"', 'W/"first"'], "the ETag was not sent", proxy.gets)

    settings = {"GROUP_ID": f"check-examples-{uuid.uuid4()}", "EVENTS_FILE": str(folder / "events")}
    read = run(language, "read-events", printed[0], **settings).stdout.splitlines()
    events = [line for line in read if printed[0] in line]
    expect(sorted(line.split()[1] for line in events) == sorted(TYPES), "not each event was printed once", events)


def a_rejected_order_is_not_retried(language, folder):
    with Proxy(faults=False) as proxy:
        ended = run(language, "create-order", code=1, API_URL=proxy.url, TOKEN="not-a-token")
        expect("UNAUTHORIZED" in ended.stderr, "the problem was not printed", ended.stderr)
        expect(len(proxy.keys) == 1, f"it was sent {len(proxy.keys)} times")


def the_feed_has_each_change_once_over_two_runs(language, folder):
    token = token_of(f"check-examples-{language}-{uuid.uuid4()}")
    settings = {"TOKEN": token, "CURSOR_FILE": str(folder / "cursor")}
    orders = [run(language, "create-order", TOKEN=token).stdout.strip() for _ in range(2)]
    printed = [run(language, "follow-feed", count, **settings).stdout.splitlines() for count in ("2", "4")]
    expect([len(lines) for lines in printed] == [2, 4], "another number of changes", printed)
    changes = [line.split(" ", 2)[1:] for line in printed[0] + printed[1]]
    for order in orders:
        statuses = [status for id, status in changes if id == order]
        expect(statuses == STATUSES, "not each status was printed once, in order", changes)


def a_refused_stream_ends_the_program(language, folder):
    settings = {"TOKEN": "not-a-token", "CURSOR_FILE": str(folder / "cursor")}
    ended = run(language, "follow-feed", "1", code=1, **settings)
    expect("401" in ended.stderr, "the problem was not printed", ended.stderr)


def an_event_is_handled_once_and_an_unknown_major_version_never(language, folder):
    first, second, third = (str(uuid.uuid4()) for _ in range(3))
    with topics_of(language) as (orders, deliveries):
        settings = {"ORDER_EVENTS_TOPIC": orders, "DELIVERY_EVENTS_TOPIC": deliveries}
        group = {"GROUP_ID": orders, "EVENTS_FILE": str(folder / "first")}
        # The records of the second order are last in each topic, so all records are handled once
        # these are.
        created, shipped = record(first, TYPES[0]), record(first, TYPES[1], "1.7", carrier="unknown field")
        broken = record(first, TYPES[0], "1.1") | {"value": "{"}
        unknown = record(first, "order.renamed")
        produce(orders, unknown, record(first, TYPES[0], "2.0"), broken, created, created, record(second, TYPES[0]))
        produce(deliveries, shipped, shipped, record(second, TYPES[1]), record(second, TYPES[2]))
        ended = run(language, "read-events", second, **settings, **group)
        handled = [line_of(first, TYPES[0]), line_of(first, TYPES[1], "1.7"), *lines_of(second)]
        expect_lines(ended.stdout, handled, "the printed events")
        expect_lines((folder / "first").read_text(), handled, "the events in the file")
        dead = [line for line in ended.stderr.splitlines() if line.startswith("dead letter: ")]
        places = [f"dead letter: {orders}[0]@{offset}: " for offset in (1, 2)]
        expect(len(dead) == 2 and all(map(str.startswith, dead, places)), "unexpected dead letters", ended.stderr)
        expect("urn:sales:order.created:2.0" in dead[0], "the version was not named", dead[0])

        produce(orders, record(third, TYPES[0]))
        produce(deliveries, record(third, TYPES[1]), record(third, TYPES[2]))
        if language != "shell":
            # An empty file and the same group: only the committed offsets prevent a second read.
            empty = group | {"EVENTS_FILE": str(folder / "second")}
            printed = run(language, "read-events", third, **settings, **empty).stdout
            expect_lines(printed, lines_of(third), "the events after the committed offsets")
            # Another group and the same file: every record is delivered again.
            group["GROUP_ID"] = deliveries
        run(language, "read-events", third, **settings, **group)
        expect_lines((folder / "first").read_text(), handled + lines_of(third), "the events in the file")


def expect_lines(text, expected, what):
    found, wanted = sorted(text.splitlines()), sorted(expected)
    expect(found == wanted, f"{what} differ from the expected ones", "found:", *found, "expected:", *wanted)


CHECKS = [
    an_order_is_created_once_and_seen_delivered,
    a_rejected_order_is_not_retried,
    the_feed_has_each_change_once_over_two_runs,
    a_refused_stream_ends_the_program,
    an_event_is_handled_once_and_an_unknown_major_version_never,
]


def passes(check, language):
    name = f"{language}: {check.__name__}"
    try:
        with tempfile.TemporaryDirectory() as folder:
            check(language, Path(folder))
    except (AssertionError, subprocess.SubprocessError, urllib3.exceptions.HTTPError) as error:
        print(f"FAILED {name}: {error}", file=sys.stderr, flush=True)
        return False
    print(f"ok {name}", flush=True)
    return True


def main():
    with ThreadPoolExecutor(max_workers=4) as pool:
        results = list(pool.map(lambda pair: passes(*pair), ((check, it) for check in CHECKS for it in PROGRAMS)))
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    sys.exit(0 if all(results) else 1)


main()
