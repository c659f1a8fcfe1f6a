"""Follows an order until it is Delivered.

Polls with If-None-Match, so an unchanged order costs a 304 without a body.

    pip install -r requirements.txt
    export TOKEN=...                                # see ../README.md
    python follow_order.py ORDER_ID [SECONDS]

Prints each status once. Fails when the order is not Delivered after SECONDS (60).
"""

import os
import sys
import time

import urllib3

API_URL = os.environ.get("API_URL", "http://127.0.0.1:3000")
TOKEN = os.environ.get("TOKEN") or sys.exit("set TOKEN, see examples/README.md")


def follow(order_id: str, seconds: float) -> None:
    http = urllib3.PoolManager(retries=False, timeout=10)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    printed = 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pause = 0.5
        try:
            response = http.request("GET", f"{API_URL}/api/orders/{order_id}", headers=headers)
        except urllib3.exceptions.HTTPError as error:
            print(f"{error}, retrying", file=sys.stderr)
        else:
            if response.status == 200:
                headers["If-None-Match"] = response.headers["ETag"]
                order = response.json()["data"]
                for entry in order["statusHistory"][printed:]:
                    print(entry["at"], entry["status"], flush=True)
                printed = len(order["statusHistory"])
                if order["status"] == "Delivered":
                    return
            elif response.status in (408, 429) or response.status >= 500:
                print(f"{response.status}, retrying", file=sys.stderr)
                pause = float(response.headers.get("Retry-After", pause))
            elif response.status != 304:
                sys.exit(f"the API refused the request: {response.status} {response.data.decode()}")
        time.sleep(pause)
    sys.exit(f"order {order_id} is not Delivered after {seconds:g} s")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: follow_order.py ORDER_ID [SECONDS]")
    follow(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 60)
