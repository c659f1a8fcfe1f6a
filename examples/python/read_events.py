"""Reads the events of orders from Kafka in a consumer group and handles each one once.

    pip install -r requirements.txt
    python read_events.py [ORDER_ID]

The effect of an event is one line in a file: id, type, order, sequence. The file also records which
events were handled, so the effect and its record are one write. A service uses one transaction of
its database instead: it inserts the id into a table of handled ids, and makes the change only if the
id is new.

Runs until Ctrl-C; with an ORDER_ID, until the three events of that order have been handled.
"""

import json
import os
import signal
import sys
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, Message

TOPICS = [
    os.environ.get("ORDER_EVENTS_TOPIC", "sales.order-events.v1"),
    os.environ.get("DELIVERY_EVENTS_TOPIC", "sales.delivery-events.v1"),
]
TYPES = {"order.created", "order.shipped", "order.delivered"}
EVENTS_FILE = os.environ.get("EVENTS_FILE", "sales-events.txt")
SETTINGS: dict[str, str | int | float | bool] = {
    "bootstrap.servers": os.environ.get("KAFKA_BROKERS", "127.0.0.1:19092"),
    "group.id": os.environ.get("GROUP_ID", "example-python"),
    "auto.offset.reset": "earliest",
    # The client commits in the background, but only offsets that this program stores, after the
    # effect.
    "enable.auto.offset.store": False,
}


class Event(NamedTuple):
    id: str
    type: str
    order_id: str
    sequence: int


def decode(message: Message) -> Event | None:
    """The event, or None for a type that this program does not use.

    New types can be added to a topic. Raises ValueError when the record can never be handled.
    """
    header = {
        name: value.decode() if isinstance(value, bytes) else value or ""
        for name, value in dict(message.headers() or []).items()
    }
    try:
        id, type, schema = (header[name] for name in ("ce_id", "ce_type", "ce_dataschema"))
        if type not in TYPES:
            return None
        # A reader of major version 1 can read every 1.x: minor versions only add fields.
        if not schema.startswith(f"urn:sales:{type}:1."):
            raise ValueError(f"unsupported {schema}")
        value = json.loads(message.value() or b"")
        return Event(id, type, str(value["orderId"]), int(value["sequence"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"missing or malformed: {error}") from error


def run(wanted: str | None) -> None:
    handled: set[str] = set()
    progress: dict[str, int] = {}

    def remember(event: Event) -> None:
        handled.add(event.id)
        progress[event.order_id] = progress.get(event.order_id, 0) + 1

    with open(EVENTS_FILE, "a+", encoding="utf-8") as file:
        file.seek(0)
        for line in file:
            id, type, order_id, sequence = line.split()
            remember(Event(id, type, order_id, int(sequence)))

        consumer = Consumer(SETTINGS)
        consumer.subscribe(TOPICS)
        try:
            while wanted is None or progress.get(wanted, 0) < 3:
                message = consumer.poll(1.0)
                if message is None:
                    continue
                if error := message.error():
                    # The client recovers from all other errors by itself.
                    if error.fatal():
                        raise KafkaException(error)
                    print(f"Kafka: {error}", file=sys.stderr)
                    continue
                try:
                    event = decode(message)
                except ValueError as error:
                    # A service writes the whole record to a dead letter topic and raises an alert.
                    position = f"{message.topic()}[{message.partition()}]@{message.offset()}"
                    print(f"dead letter: {position}: {error}", file=sys.stderr)
                    event = None
                # Delivery is at least once: an event with a handled id is a duplicate.
                if event is not None and event.id not in handled:
                    print(*event, file=file, flush=True)
                    os.fsync(file.fileno())
                    print(*event, flush=True)
                    remember(event)
                consumer.store_offsets(message)
        finally:
            # Commits the stored offsets and leaves the group.
            consumer.close()


if __name__ == "__main__":
    # SIGTERM acts as Ctrl-C, so the consumer leaves its group.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(sys.argv[1] if len(sys.argv) > 1 else None)
    except KeyboardInterrupt:
        pass
