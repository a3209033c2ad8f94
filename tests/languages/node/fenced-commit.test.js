// A commit comes when the group has gone on without the member: what was not committed is read again.
'use strict';

const assert = require('node:assert/strict');
const { after, before, test } = require('node:test');
const { Kafka, logLevel } = require('kafkajs');
const { startMockbroker } = require('./mockbroker');

let broker;
before(async () => { broker = await startMockbroker(); });
after(() => broker.stop());

test('a record whose commit is fenced is read again, and committed once the member is back', async () => {
  const kafka = await broker.cluster({
    topics: [{ name: 'orders', partitions: 1 }],
    properties: { 'group.initial.rebalance.delay.ms': 0 },
  });
  await kafka.post('/topics/orders/partitions/0/records', { records: [{ value: 'paid' }] });
  const fenced = (await kafka.post('/accidents', { kind: 'rebalance_before_commit', api: 'OffsetCommit', group: 'billing' })).fault;

  const client = new Kafka({ brokers: kafka.bootstrapServers, logLevel: logLevel.NOTHING });
  const consumer = client.consumer({ groupId: 'billing', retry: { initialRetryTime: 1 } });
  await consumer.connect();
  await consumer.subscribe({ topics: ['orders'], fromBeginning: true });
  const read = [];
  await consumer.run({
    autoCommitThreshold: 1,
    eachMessage: async ({ message }) => { read.push(message.value.toString()); },
  });
  assert.equal((await kafka.post(`/faults/${fenced.id}/wait`, {})).hits, 1);
  await kafka.post('/groups/billing/wait', { committed: [{ topic: 'orders', partition: 0, offset: 1 }], timeout_ms: 30000 });
  assert.deepEqual(read, ['paid', 'paid']);
  const refused = await kafka.get('/journal/count?api=OffsetCommit&failed_with_name=ILLEGAL_GENERATION');
  assert.equal(refused.count, 1);
  await consumer.disconnect();
  await kafka.drop();
});
