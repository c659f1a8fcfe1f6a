// A client as a customer would write it, with types generated from the document. `make check-api`
// compiles it and runs it against the API.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./sales-api.js";

type CreateOrder = components["schemas"]["CreateOrder"];
type OrderDetails = components["schemas"]["OrderDetails"];
type OrderSummary = components["schemas"]["OrderSummary"];
type Problem = components["schemas"]["Problem"];

const { API_URL, TOKEN } = process.env;
if (!API_URL || !TOKEN) throw new Error("set API_URL and TOKEN");

const headers = { Authorization: `Bearer ${TOKEN}` };
const api = createClient<paths>({ baseUrl: API_URL, headers });

type Reaction =
  | "correct the request"
  | "renew the token"
  | "retry later"
  | "show the shortages"
  | "report an error";

// The compiler requires a case for each code.
function reactionTo(problem: Problem): Reaction {
  switch (problem.code) {
    case "MALFORMED_JSON":
    case "VALIDATION_FAILED":
    case "BAD_REQUEST":
    case "INVALID_IDEMPOTENCY_KEY":
    case "IDEMPOTENCY_KEY_REUSED":
    case "PAYLOAD_TOO_LARGE":
    case "UNSUPPORTED_MEDIA_TYPE":
    case "NOT_ACCEPTABLE":
    case "NOT_FOUND":
    case "METHOD_NOT_ALLOWED":
    case "ORDER_NOT_FOUND":
    case "ORDER_STATUS_CONFLICT":
    case "ALREADY_SHIPPED":
    case "INVENTORY_REFUSED":
      return "correct the request";
    case "UNAUTHORIZED":
    case "FORBIDDEN":
    case "CORS_REFUSED":
      return "renew the token";
    case "RATE_LIMITED":
    case "OVERLOADED":
    case "REQUEST_TIMEOUT":
    case "INVENTORY_UNAVAILABLE":
    case "DATABASE_UNAVAILABLE":
    case "TOKEN_KEYS_UNAVAILABLE":
      return "retry later";
    case "INSUFFICIENT_INVENTORY":
      return "show the shortages";
    case "INTERNAL_ERROR":
      return "report an error";
    default:
      problem.code satisfies never;
      // A newer API can have more codes.
      return problem.status < 500 ? "correct the request" : "report an error";
  }
}

class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(`${problem.code}: ${problem.detail}`);
  }
}

async function createOrder(body: CreateOrder, key: string) {
  const { data, error, response } = await api.POST("/api/orders", {
    params: { header: { "Idempotency-Key": key } },
    body,
  });
  if (error) throw new Refused(error);
  return { order: data.data, replayed: response.headers.has("Idempotent-Replayed") };
}

async function problemOf(body: CreateOrder): Promise<Problem> {
  try {
    await createOrder(body, randomUUID());
  } catch (error) {
    if (error instanceof Refused) return error.problem;
    throw error;
  }
  throw new Error("the order was accepted");
}

async function getOrder(orderId: string): Promise<OrderDetails> {
  const { data, error } = await api.GET("/api/orders/{orderId}", { params: { path: { orderId } } });
  if (error) throw new Refused(error);
  return data.data;
}

async function untilDelivered(orderId: string): Promise<OrderDetails> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const order = await getOrder(orderId);
    if (order.status === "Delivered") return order;
    if (Date.now() > deadline) throw new Error(`${orderId} is still ${order.status} after 60 s`);
    await delay(500);
  }
}

async function* ordersOf(customerId: string): AsyncGenerator<OrderSummary> {
  let cursor: string | undefined;
  do {
    const query = { customerId, limit: 1, ...(cursor === undefined ? {} : { cursor }) };
    const { data, error } = await api.GET("/api/orders", { params: { query } });
    if (error) throw new Refused(error);
    yield* data.data.orders;
    cursor = data.data.nextCursor;
  } while (cursor !== undefined);
}

const customerId = `customer-${randomUUID()}`;
const orderOf = (productId: string, quantity: number, price: number): CreateOrder => ({
  customerId,
  items: [{ productId, quantity, price }],
});

const key = randomUUID();
const first = await createOrder(orderOf("product-456", 2, 29.99), key);
assert.equal(first.order.status, "Pending Shipment");
assert.equal(first.order.totalAmount, 59.98);
const replay = await createOrder(orderOf("product-456", 2, 29.99), key);
assert.deepEqual(replay, { order: first.order, replayed: true });
const second = await createOrder(orderOf("product-789", 1, 4.18), randomUUID());

const short = await problemOf(orderOf("out-of-stock-1", 1, 0.07));
assert.equal(reactionTo(short), "show the shortages");
const shortage = { productId: "out-of-stock-1", requested: 1, available: 0 };
assert.deepEqual(short.shortages, [shortage]);
const invalid = await problemOf(orderOf("product-456", 0, 1.999));
assert.equal(reactionTo(invalid), "correct the request");
const pointers = invalid.errors?.map(({ pointer }) => pointer);
assert.deepEqual(pointers, ["/items/0/quantity", "/items/0/price"]);

const delivered = await untilDelivered(first.order.orderId);
const statuses = delivered.statusHistory.map(({ status }) => status);
assert.deepEqual(statuses, ["Pending Shipment", "Shipped", "Delivered"]);

const listed: string[] = [];
for await (const order of ordersOf(customerId)) listed.push(order.orderId);
assert.deepEqual(listed, [second.order.orderId, first.order.orderId]);

const { data: health } = await api.GET("/health");
assert.equal(health?.status, "healthy");
assert.equal(health.services.database, "up");
console.log("the client created orders, handled problems, followed an order and listed both");
