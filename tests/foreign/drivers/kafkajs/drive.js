// kafkajs, the client in pure JavaScript. It reads through a group only: it has no manual assignment.
"use strict";

const fs = require("node:fs");
const { parseArgs } = require("node:util");
const { randomUUID } = require("node:crypto");
const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = require("kafkajs");
const zstd = require("@mongodb-js/zstd");
const lz4 = require("lz4-napi");

const SILENCE_MS = 30_000;
const CHUNK = 500;
const CODECS = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 };

// kafkajs has gzip built in and takes the others from outside.
CompressionCodecs[CompressionTypes.Snappy] = require("kafkajs-snappy");
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: (buffer) => lz4.decompressFrame(buffer),
});
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: (encoder) => zstd.compress(encoder.buffer),
  decompress: (buffer) => zstd.decompress(buffer),
});

async function main() {
  const text = { type: "string" };
  const texts = { type: "string", multiple: true, default: [] };
  const { values: given, positionals } = parseArgs({
    allowPositionals: true,
    options: { bootstrap: text, partition: text, topic: texts, codec: texts, input: texts, output: texts, count: texts },
  });
  const kafka = new Kafka({ brokers: given.bootstrap.split(","), logLevel: logLevel.ERROR });
  const partition = given.partition === undefined ? undefined : Number(given.partition);
  if (positionals[0] === "produce") {
    for (let i = 0; i < given.topic.length; i++) {
      await produce(kafka, partition, given.topic[i], given.codec[i], given.input[i]);
    }
  } else {
    await consume(kafka, given.topic, given.count.map(Number), given.output);
  }
}

async function produce(kafka, partition, topic, codec, input) {
  const producer = kafka.producer();
  await producer.connect();
  const messages = fs.readFileSync(input, "utf8").trimEnd().split("\n").map((line) => message(JSON.parse(line), partition));
  for (let start = 0; start < messages.length; start += CHUNK) {
    const chunk = { topic, messages: messages.slice(start, start + CHUNK) };
    if (codec !== "default") chunk.compression = CODECS[codec];
    await producer.send(chunk);
  }
  await producer.disconnect();
}

async function consume(kafka, topics, counts, outputs) {
  const groupId = `kafkajs-${randomUUID()}`;
  const consumer = kafka.consumer({ groupId });
  await consumer.connect();
  await consumer.subscribe({ topics, fromBeginning: true });
  const lines = new Map(topics.map((topic) => [topic, []]));
  let left = counts.reduce((sum, count) => sum + count, 0);
  await new Promise((resolve, reject) => {
    const silent = () => reject(new Error(`no record for ${SILENCE_MS} ms, ${left} are missing`));
    let timer = setTimeout(silent, SILENCE_MS);
    consumer.run({
      eachBatch: async ({ batch, heartbeat }) => {
        clearTimeout(timer);
        for (const read of batch.messages) lines.get(batch.topic).push(line(read, batch.partition));
        left -= batch.messages.length;
        await heartbeat();
        if (left <= 0) resolve();
        else timer = setTimeout(silent, SILENCE_MS);
      },
    }).catch(reject);
  });
  await consumer.disconnect();
  topics.forEach((topic, i) => {
    if (lines.get(topic).length !== counts[i]) throw new Error(`${topic}: ${lines.get(topic).length} records, expected ${counts[i]}`);
    fs.writeFileSync(outputs[i], lines.get(topic).join(""));
  });
}

// Headers are an object here: those of one name are an array, and their order against other names is lost. A header
// without a value cannot be written (a TypeError in sizeOfHeaders); it gets an empty one.
function message(record, partition) {
  const headers = {};
  for (const [name, value] of record.headers) {
    if (Object.hasOwn(headers, name)) headers[name] = [].concat(headers[name], unpack(value ?? ""));
    else headers[name] = unpack(value ?? "");
  }
  return { key: unpack(record.key), value: unpack(record.value), headers, timestamp: String(record.timestamp), partition };
}

function line(read, partition) {
  const headers = [];
  for (const [name, value] of Object.entries(read.headers)) {
    for (const each of Array.isArray(value) ? value : [value]) headers.push([name, pack(each)]);
  }
  const record = { key: pack(read.key), value: pack(read.value), headers, timestamp: Number(read.timestamp), partition };
  return JSON.stringify(record) + "\n";
}

function pack(value) {
  return value === null || value === undefined ? null : value.toString("base64");
}

function unpack(text) {
  return text === null ? null : Buffer.from(text, "base64");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
