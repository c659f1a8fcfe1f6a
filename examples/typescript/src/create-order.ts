/**
 * Creates an order. Retries with the same Idempotency-Key until the outcome is known.
 *
 *     npm ci && npm run build
 *     export TOKEN=...                              # see ../README.md
 *     node dist/create-order.js [IDEMPOTENCY_KEY]
 *
 * Prints the order id. Store the key with your own record of the order before the first attempt: if
 * this program crashes, run it again with that key, and there is still one order.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const API_URL = process.env.API_URL ?? "http://127.0.0.1:3000";
const TOKEN = process.env.TOKEN ?? fail("set TOKEN, see examples/README.md");
const ATTEMPTS = 10;
const ORDER = {
  customerId: "customer-1",
  items: [{ productId: "widget", quantity: 2, price: 29.99 }],
};

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}

/**
 * Milliseconds: Retry-After, plus a random part of a limit that doubles with each attempt.
 * The random part spreads out clients that failed at the same moment.
 */
function waitMs(attempt: number, retryAfter: string | null): number {
  const minimum = /^\d+$/.test(retryAfter ?? "") ? Number(retryAfter) * 1000 : 0;
  return minimum + Math.random() * Math.min(10_000, 200 * 2 ** attempt);
}

async function createOrder(key: string): Promise<string> {
  let problem = "";
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    let retryAfter: string | null = null;
    try {
      const response = await fetch(`${API_URL}/api/orders`, {
        method: "POST",
        headers: {
          Authorization: `Bearer ${TOKEN}`,
          "Content-Type": "application/json",
          "Idempotency-Key": key,
        },
        body: JSON.stringify(ORDER),
        signal: AbortSignal.timeout(10_000),
      });
      const body = await response.text();
      if (response.status === 201) {
        return (JSON.parse(body) as { data: { orderId: string } }).data.orderId;
      }
      problem = `${response.status} ${body}`;
      if (![408, 429].includes(response.status) && response.status < 500) {
        fail(`the API refused the order: ${problem}`);
      }
      retryAfter = response.headers.get("Retry-After");
    } catch (error) {
      // The API may have stored the order. The same key makes it safe to send it again.
      problem = error instanceof Error ? String(error.cause ?? error) : String(error);
    }
    if (attempt < ATTEMPTS) {
      const wait = waitMs(attempt, retryAfter);
      console.error(`attempt ${attempt}: ${problem}; retrying in ${wait.toFixed(0)} ms`);
      await sleep(wait);
    }
  }
  return fail(
    `unknown outcome after ${ATTEMPTS} attempts (${problem}); run again with the key ${key}`,
  );
}

console.log(await createOrder(process.argv[2] ?? randomUUID()));
