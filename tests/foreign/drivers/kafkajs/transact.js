// Consume, transform, produce, exactly once: kafkajs. What it does is told in ../python/confluent_transact.py.
//
// kafkajs commits offsets in transactions without saying which generation of the group it is of (TxnOffsetCommit v1), and
// does not ask for stable offsets. So each partition of the input has a transactional id of its own, as before KIP-447: who
// is assigned a partition begins its producer anew, which fences whoever had it before and waits for the end of its
// transaction, and only then asks where the partition was committed.
"use strict";

const { parseArgs } = require("node:util");
const { Kafka, logLevel } = require("kafkajs");

let kafka, consumer, admin, given;
// By partition; those of this generation.
let producers = new Map();

async function main() {
  const text = { type: "string" };
  given = parseArgs({
    allowPositionals: true,
    options: { bootstrap: text, group: text, topic: text, protocol: text, "session-ms": text, instance: text, output: text },
  }).values;
  kafka = new Kafka({ brokers: given.bootstrap.split(","), logLevel: logLevel.NOTHING, retry: { initialRetryTime: 20, retries: 30 } });
  admin = kafka.admin();
  consumer = kafka.consumer({
    groupId: given.group, sessionTimeout: Number(given["session-ms"]), heartbeatInterval: 500, maxWaitTimeInMs: 100,
    maxBytesPerPartition: 20_000, readUncommitted: false, metadataMaxAge: 1000,
  });
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    producers = new Map();
    say({ owns: payload.memberAssignment[given.topic] ?? [] });
  });
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (payload.restart) return say({ refused: String(payload.error) });
    console.error(payload.error);
    process.exit(1);
  });
  await admin.connect();
  await consumer.connect();
  await consumer.subscribe({ topic: given.topic, fromBeginning: true });
  await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch });
  process.stdin.resume();
  await new Promise((resolve) => process.stdin.on("end", resolve));
  await consumer.disconnect();
  say({ left: true });
  process.exit(0);
}

async function eachBatch({ batch, resolveOffset, heartbeat, isStale, isRunning }) {
  if (isStale() || !isRunning() || batch.messages.length === 0) return;
  const { topic, partition, messages } = batch;
  const generation = producers;
  try {
    if (!generation.has(partition)) {
      generation.set(partition, await fencing(partition));
      const offset = await committed(partition);
      if (offset !== batch.firstOffset()) return consumer.seek({ topic, partition, offset });
    }
    if (producers !== generation) return;
    const transaction = await generation.get(partition).transaction();
    const next = String(Number(batch.lastOffset()) + 1);
    await transaction.send({ topic: given.output, messages: messages.map(({ value }) => ({ value, partition })) });
    await transaction.sendOffsets({ consumerGroupId: given.group, topics: [{ topic, partitions: [{ partition, offset: next }] }] });
    if (Math.random() < 0.1) {
      await transaction.abort();
      say({ aborted: messages.length });
      return consumer.seek({ topic, partition, offset: batch.firstOffset() });
    }
    await transaction.commit();
    resolveOffset(batch.lastOffset());
    say({ transacted: messages.length });
    await heartbeat();
  } catch (error) {
    // Whatever went wrong: the next producer aborts what this one has left, and it is read again from what is committed.
    say({ refused: error.type ?? error.message });
    generation.delete(partition);
    if (isRunning() && !isStale()) consumer.seek({ topic, partition, offset: await committed(partition) });
    if (["REBALANCE_IN_PROGRESS", "UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION"].includes(error.type)) throw error;
  }
}

/// A producer of the partition's id, which nobody else has from now on.
async function fencing(partition) {
  const producer = kafka.producer({
    transactionalId: `${given.group}-${partition}`, idempotent: true, maxInFlightRequests: 1, transactionTimeout: 20_000,
  });
  await producer.connect();
  // kafkajs asks for its id with the first transaction: an empty one.
  await (await producer.transaction()).abort();
  return producer;
}

async function committed(partition) {
  const [{ partitions }] = await admin.fetchOffsets({ groupId: given.group, topics: [given.topic] });
  const { offset } = partitions.find((each) => each.partition === partition) ?? { offset: "-1" };
  return offset === "-1" ? "0" : offset;
}

function say(event) {
  process.stdout.write(JSON.stringify({ ...event, at: performance.timeOrigin + performance.now() }) + "\n");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
