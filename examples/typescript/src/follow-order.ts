/**
 * Follows an order until it is Delivered. Polls with If-None-Match, so an unchanged order costs a
 * 304 without a body.
 *
 *     npm ci && npm run build
 *     export TOKEN=...                              # see ../README.md
 *     node dist/follow-order.js ORDER_ID [SECONDS]
 *
 * Prints each status once. Fails when the order is not Delivered after SECONDS (60).
 */
import { setTimeout as sleep } from "node:timers/promises";

const API_URL = process.env.API_URL ?? "http://127.0.0.1:3000";
const TOKEN = process.env.TOKEN ?? fail("set TOKEN, see examples/README.md");

interface Order {
  status: string;
  statusHistory: { status: string; at: string }[];
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}

async function follow(orderId: string, seconds: number): Promise<void> {
  const headers: Record<string, string> = { Authorization: `Bearer ${TOKEN}` };
  let printed = 0;
  const deadline = Date.now() + seconds * 1000;
  while (Date.now() < deadline) {
    let pause = 500;
    try {
      const response = await fetch(`${API_URL}/api/orders/${orderId}`, {
        headers,
        signal: AbortSignal.timeout(10_000),
      });
      const body = await response.text();
      if (response.status === 200) {
        headers["If-None-Match"] = response.headers.get("ETag") ?? "";
        const order = (JSON.parse(body) as { data: Order }).data;
        for (const entry of order.statusHistory.slice(printed)) {
          console.log(entry.at, entry.status);
        }
        printed = order.statusHistory.length;
        if (order.status === "Delivered") {
          return;
        }
      } else if ([408, 429].includes(response.status) || response.status >= 500) {
        console.error(`${response.status}, retrying`);
        pause = Number(response.headers.get("Retry-After")) * 1000 || pause;
      } else if (response.status !== 304) {
        fail(`the API refused the request: ${response.status} ${body}`);
      }
    } catch (error) {
      console.error(`${error instanceof Error ? error.cause ?? error : error}, retrying`);
    }
    await sleep(pause);
  }
  fail(`order ${orderId} is not Delivered after ${seconds} s`);
}

const [orderId, seconds] = process.argv.slice(2);
await follow(orderId ?? fail("usage: follow-order.js ORDER_ID [SECONDS]"), Number(seconds ?? 60));
