/**
 * Reads the events of orders from Kafka in a consumer group and handles each one once.
 *
 *     npm ci && npm run build
 *     node dist/read-events.js [ORDER_ID]
 *
 * The effect of an event is one line in a file: id, type, order, sequence. The file also records
 * which events were handled, so the effect and its record are one write. A service uses one
 * transaction of its database instead: it inserts the id into a table of handled ids, and makes the
 * change only if the id is new.
 *
 * Runs until Ctrl-C; with an ORDER_ID, until the three events of that order have been handled.
 */
import { fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import kafkajs, { type KafkaMessage } from "kafkajs";
import { compressFrame, decompressFrame } from "lz4-napi";

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;

const TOPICS = [
  process.env.ORDER_EVENTS_TOPIC ?? "sales.order-events.v1",
  process.env.DELIVERY_EVENTS_TOPIC ?? "sales.delivery-events.v1",
];
const TYPES = ["order.created", "order.shipped", "order.delivered"];
const EVENTS_FILE = process.env.EVENTS_FILE ?? "sales-events.txt";
const BROKERS = (process.env.KAFKA_BROKERS ?? "127.0.0.1:19092").split(",");
const GROUP_ID = process.env.GROUP_ID ?? "example-typescript";

// Records are compressed with LZ4, for which KafkaJS needs a library.
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: ({ buffer }: { buffer: Buffer }) => compressFrame(buffer),
  decompress: (buffer: Buffer) => decompressFrame(buffer),
});

interface Event {
  id: string;
  type: string;
  orderId: string;
  sequence: number;
}

/**
 * The event, or undefined for a type that this program does not use: new types can be added to a
 * topic. Throws when the record can never be handled.
 */
function decode(message: KafkaMessage): Event | undefined {
  const header = (name: string): string => {
    const value = message.headers?.[name];
    if (value === undefined) throw new Error(`the header ${name} is missing`);
    return value.toString();
  };
  const [id, type, schema] = [header("ce_id"), header("ce_type"), header("ce_dataschema")];
  if (!TYPES.includes(type)) return undefined;
  // A reader of major version 1 can read every 1.x: minor versions only add fields.
  if (!schema.startsWith(`urn:sales:${type}:1.`)) throw new Error(`unsupported ${schema}`);
  const value: unknown = JSON.parse(message.value?.toString() ?? "");
  const { orderId, sequence } = value as Partial<Event>;
  if (typeof orderId !== "string" || typeof sequence !== "number") {
    throw new Error("the value has no orderId or sequence");
  }
  return { id, type, orderId, sequence };
}

const handled = new Set<string>();
const progress = new Map<string, number>();

function remember(id: string, orderId: string): void {
  handled.add(id);
  progress.set(orderId, (progress.get(orderId) ?? 0) + 1);
}

const wanted = process.argv[2];

function isComplete(): boolean {
  return wanted !== undefined && (progress.get(wanted) ?? 0) >= 3;
}

const file = openSync(EVENTS_FILE, "a+");
for (const line of readFileSync(file, "utf8").split("\n").filter(Boolean)) {
  const [id = "", , orderId = ""] = line.split(" ");
  remember(id, orderId);
}

const kafka = new Kafka({ clientId: GROUP_ID, brokers: BROKERS, logLevel: logLevel.WARN });
// A stop waits for the fetch in progress: half a second at most.
const consumer = kafka.consumer({ groupId: GROUP_ID, maxWaitTimeInMs: 500 });

/** Resolves on a signal or a complete order; rejects when the consumer cannot continue. */
const finished = new Promise<void>((resolve, reject) => {
  process.once("SIGINT", () => resolve());
  process.once("SIGTERM", () => resolve());
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    // KafkaJS restarts the consumer itself after a transient error.
    if (!payload.restart) reject(payload.error);
  });
  const endIfComplete = (): void => {
    if (isComplete()) resolve();
  };
  endIfComplete();
  consumer.on(consumer.events.COMMIT_OFFSETS, endIfComplete);
});

await consumer.connect();
await consumer.subscribe({ topics: TOPICS, fromBeginning: true });
await consumer.run({
  autoCommit: false,
  eachMessage: async ({ topic, partition, message }) => {
    let event: Event | undefined;
    try {
      event = decode(message);
    } catch (error) {
      // A service writes the whole record to a dead letter topic and raises an alert.
      console.error(`dead letter: ${topic}[${partition}]@${message.offset}: ${error}`);
    }
    // Delivery is at least once: an event with a handled id is a duplicate.
    if (event !== undefined && !handled.has(event.id)) {
      const line = `${event.id} ${event.type} ${event.orderId} ${event.sequence}`;
      writeSync(file, `${line}\n`);
      fsyncSync(file);
      console.log(line);
      remember(event.id, event.orderId);
    }
    // Commits only after the effect.
    const offset = (BigInt(message.offset) + 1n).toString();
    await consumer.commitOffsets([{ topic, partition, offset }]);
  },
});
await finished.finally(() => consumer.disconnect());
