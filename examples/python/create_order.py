"""Creates an order. Retries with the same Idempotency-Key until the outcome is known.

    pip install -r requirements.txt
    export TOKEN=...                                # see ../README.md
    python create_order.py [IDEMPOTENCY_KEY]

Prints the order id. Store the key with your own record of the order before the first attempt: if
this program crashes, run it again with that key, and there is still one order.
"""

import os
import random
import sys
import time
import uuid

import urllib3

API_URL = os.environ.get("API_URL", "http://127.0.0.1:3000")
TOKEN = os.environ.get("TOKEN") or sys.exit("set TOKEN, see examples/README.md")
ATTEMPTS = 10
ORDER = {
    "customerId": "customer-1",
    "items": [{"productId": "widget", "quantity": 2, "price": 29.99}],
}


def wait_seconds(attempt: int, retry_after: str | None) -> float:
    """Retry-After, plus a random part of a limit that doubles with each attempt.

    The random part spreads out clients that failed at the same moment.
    """
    minimum = int(retry_after) if retry_after and retry_after.isdecimal() else 0
    return minimum + random.uniform(0, min(10, 0.2 * 2**attempt))


def create_order(key: str) -> str:
    http = urllib3.PoolManager(retries=False, timeout=10)
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": key}
    problem = ""
    for attempt in range(1, ATTEMPTS + 1):
        retry_after = None
        try:
            response = http.request("POST", f"{API_URL}/api/orders", json=ORDER, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            # The API may have stored the order. The same key makes it safe to send it again.
            problem = str(error)
        else:
            if response.status == 201:
                return str(response.json()["data"]["orderId"])
            problem = f"{response.status} {response.data.decode()}"
            if response.status not in (408, 429) and response.status < 500:
                sys.exit(f"the API refused the order: {problem}")
            retry_after = response.headers.get("Retry-After")
        if attempt < ATTEMPTS:
            wait = wait_seconds(attempt, retry_after)
            print(f"attempt {attempt}: {problem}; retrying in {wait:.2f} s", file=sys.stderr)
            time.sleep(wait)
    sys.exit(f"unknown outcome after {ATTEMPTS} attempts ({problem}); run again with the key {key}")


if __name__ == "__main__":
    print(create_order(sys.argv[1] if len(sys.argv) > 1 else str(uuid.uuid4())))
