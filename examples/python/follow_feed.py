"""Follows the change feed: prints each status that an order of the token's subject reaches, once.

    pip install -r requirements.txt
    export TOKEN=...                                # see ../README.md
    python follow_feed.py [CHANGES]

CURSOR_FILE (feed-cursor.txt) has the position after the last printed change: the next run continues
there. Ends after CHANGES; without it, never.
"""

import json
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import urllib3

API_URL = os.environ.get("API_URL", "http://127.0.0.1:3000")
TOKEN = os.environ.get("TOKEN") or sys.exit("set TOKEN, see examples/README.md")
CURSOR_FILE = Path(os.environ.get("CURSOR_FILE", "feed-cursor.txt"))
# The stream has a heartbeat every 15 seconds.
TIMEOUT = urllib3.Timeout(connect=10, read=40)


def blocks(response: urllib3.BaseHTTPResponse) -> Iterator[dict[str, str]]:
    """The fields of each block of a stream of Server-Sent Events."""
    text = ""
    for chunk in response.stream(4096):
        text += chunk.decode()
        while "\n\n" in text:
            block, text = text.split("\n\n", 1)
            pairs = (line.split(": ", 1) for line in block.splitlines())
            yield {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def store(cursor: str) -> None:
    """Replaces the file, so that a crash leaves the old cursor or the new one."""
    new = CURSOR_FILE.with_suffix(".new")
    new.write_text(cursor)
    new.replace(CURSOR_FILE)


def follow(changes: int | None) -> None:
    http = urllib3.PoolManager(retries=False, timeout=TIMEOUT)
    left = changes
    while True:
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/event-stream"}
        if CURSOR_FILE.exists():
            headers["Last-Event-ID"] = CURSOR_FILE.read_text()
        pause = random.uniform(0.5, 2)
        try:
            url = f"{API_URL}/api/orders/events"
            response = http.request("GET", url, headers=headers, preload_content=False)
            if 400 <= response.status < 500 and response.status not in (408, 429):
                sys.exit(f"the API refused the request: {response.status} {response.data.decode()}")
            for block in blocks(response) if response.status == 200 else ():
                if "retry" in block:
                    pause = int(block["retry"]) / 1000
                if "data" in block:
                    # Handle the change first: a crash repeats it and loses none.
                    change = json.loads(block["data"])
                    print(change["at"], change["orderId"], change["status"], flush=True)
                    store(block["id"])
                    left = None if left is None else left - 1
                    if left == 0:
                        return
        except urllib3.exceptions.HTTPError as error:
            print(f"{error}, reconnecting", file=sys.stderr)
        time.sleep(pause)


if __name__ == "__main__":
    follow(int(sys.argv[1]) if len(sys.argv) > 1 else None)
