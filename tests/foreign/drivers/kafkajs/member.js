// A member of a group: kafkajs. What it says is told in ../python/member.py.
"use strict";

const { parseArgs } = require("node:util");
const { Kafka, logLevel } = require("kafkajs");

async function main() {
  const text = { type: "string" };
  const { values: given } = parseArgs({
    allowPositionals: true,
    options: { bootstrap: text, group: text, topic: text, protocol: text, "session-ms": text },
  });
  const kafka = new Kafka({ brokers: given.bootstrap.split(","), logLevel: logLevel.NOTHING });
  const consumer = kafka.consumer({
    groupId: given.group, sessionTimeout: Number(given["session-ms"]), heartbeatInterval: 500, maxWaitTimeInMs: 100, metadataMaxAge: 1000,
  });
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => say({ owns: payload.memberAssignment[given.topic] ?? [] }));
  consumer.on(consumer.events.REBALANCING, () => say({ owns: [] }));
  await consumer.connect();
  await consumer.subscribe({ topic: given.topic, fromBeginning: true });
  await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: (work) => eachBatch(consumer, work) });
  process.stdin.resume();
  await new Promise((resolve) => process.stdin.on("end", resolve));
  await consumer.disconnect();
  say({ left: true });
  process.exit(0);
}

async function eachBatch(consumer, { batch, resolveOffset, isStale }) {
  if (isStale() || batch.messages.length === 0) return;
  const { topic, partition } = batch;
  const next = Number(batch.lastOffset()) + 1;
  say({ read: [partition, Number(batch.firstOffset()), next - 1] });
  resolveOffset(batch.lastOffset());
  try {
    await consumer.commitOffsets([{ topic, partition, offset: String(next) }]);
    say({ committed: [partition, next] });
  } catch (error) {
    say({ refused: error.type ?? error.message });
    throw error;
  }
}

function say(event) {
  process.stdout.write(JSON.stringify({ ...event, at: performance.timeOrigin + performance.now() }) + "\n");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
