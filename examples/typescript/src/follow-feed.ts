/**
 * Follows the change feed: prints each status that an order of the token's subject reaches, once.
 *
 *     npm ci && npm run build
 *     export TOKEN=...                              # see ../README.md
 *     node dist/follow-feed.js [CHANGES]
 *
 * CURSOR_FILE (feed-cursor.txt) has the position after the last printed change: the next run
 * continues there. Ends after CHANGES; without it, never.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const API_URL = process.env.API_URL ?? "http://127.0.0.1:3000";
const TOKEN = process.env.TOKEN ?? fail("set TOKEN, see examples/README.md");
const CURSOR_FILE = process.env.CURSOR_FILE ?? "feed-cursor.txt";

interface Change {
  orderId: string;
  status: string;
  at: string;
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}

/** The fields of each block of a stream of Server-Sent Events. */
async function* blocks(response: Response): AsyncGenerator<Map<string, string>> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const fields = new Map<string, string>();
      for (const line of text.slice(0, end).split("\n")) {
        const colon = line.indexOf(": ");
        if (colon > 0) {
          fields.set(line.slice(0, colon), line.slice(colon + 2));
        }
      }
      text = text.slice(end + 2);
      yield fields;
    }
  }
}

/** Replaces the file, so that a crash leaves the old cursor or the new one. */
function store(cursor: string): void {
  writeFileSync(`${CURSOR_FILE}.new`, cursor);
  renameSync(`${CURSOR_FILE}.new`, CURSOR_FILE);
}

async function follow(changes: number): Promise<void> {
  let left = changes;
  while (left > 0) {
    let pause = 500 + Math.random() * 1500;
    const headers: Record<string, string> = {
      Authorization: `Bearer ${TOKEN}`,
      Accept: "text/event-stream",
    };
    if (existsSync(CURSOR_FILE)) {
      headers["Last-Event-ID"] = readFileSync(CURSOR_FILE, "utf8");
    }
    const connection = new AbortController();
    // The stream has a heartbeat every 15 seconds.
    let silence = setTimeout(() => connection.abort(new Error("no heartbeat")), 40_000);
    try {
      const url = `${API_URL}/api/orders/events`;
      const response = await fetch(url, { headers, signal: connection.signal });
      if (response.status >= 400 && response.status < 500 && ![408, 429].includes(response.status)) {
        fail(`the API refused the request: ${response.status} ${await response.text()}`);
      }
      if (response.status === 200) {
        for await (const block of blocks(response)) {
          clearTimeout(silence);
          silence = setTimeout(() => connection.abort(new Error("no heartbeat")), 40_000);
          pause = Number(block.get("retry") ?? pause);
          const data = block.get("data");
          if (data !== undefined) {
            // Handle the change first: a crash repeats it and loses none.
            const change = JSON.parse(data) as Change;
            console.log(change.at, change.orderId, change.status);
            store(block.get("id") ?? "");
            left -= 1;
            if (left === 0) {
              return;
            }
          }
        }
      }
    } catch (error) {
      console.error(`${error instanceof Error ? error.cause ?? error : error}, reconnecting`);
    } finally {
      clearTimeout(silence);
      connection.abort();
    }
    await sleep(pause);
  }
}

await follow(Number(process.argv[2] ?? Infinity));
