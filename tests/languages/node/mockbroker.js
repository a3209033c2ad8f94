// A fixture for tests against mockbroker: copy this file beside your tests. Needs Node 20 and the program, nothing else.
//
//   const broker = await startMockbroker();            // once
//   const kafka = await broker.cluster();              // for each test
//   new Kafka({ brokers: kafka.bootstrapServers });
//   await kafka.post('/faults', { scope: { api: 'Produce' }, when: 'after_apply', fault: { kind: 'disconnect' } });
//   await kafka.drop();                                // fails the test if a fault that it mounted never fired
//   broker.stop();
//
// What can be asked is in docs/CONTROL.md.
'use strict';

const { spawn } = require('node:child_process');
const { createInterface } = require('node:readline');

/** A URL of the control address, and all below it. */
class Control {
  constructor(url) {
    this.url = url;
  }

  async ask(method, path, body) {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const answer = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) {
      const problem = JSON.parse(text);
      throw new Error([`${problem.title}: ${problem.detail}`, problem.report].filter(Boolean).join('\n'));
    }
    return answer.headers.get('content-type') === 'application/json' ? JSON.parse(text) : text;
  }

  get(path) { return this.ask('GET', path); }
  post(path, body = {}) { return this.ask('POST', path, body); }
  delete(path) { return this.ask('DELETE', path); }
}

/** A cluster of its own. */
class Cluster extends Control {
  constructor(control, state) {
    super(`${control.url}/clusters/${state.name}`);
    this.bootstrapServers = state.bootstrap_servers.split(',');
  }

  drop() { return this.delete(''); }
}

class Mockbroker extends Control {
  constructor(url, child) {
    super(url);
    this.child = child;
  }

  /** A cluster with the topic `orders` of one partition, or of these settings. */
  async cluster(settings = { topics: [{ name: 'orders', partitions: 1 }] }) {
    return new Cluster(this, await this.post('/clusters', settings));
  }

  stop() { this.child.stdin.end(); }
}

/** Starts the program. It ends with this process, however that ends. */
async function startMockbroker(program = process.env.MOCKBROKER ?? 'mockbroker') {
  const flags = ['serve', '--port', '0', '--control', '127.0.0.1:0', '--until-eof'];
  const child = spawn(program, flags, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.on('error', (error) => { throw error; });
  for await (const line of createInterface({ input: child.stdout })) {
    const [name, url] = line.split(' ');
    if (name === 'CONTROL') return new Mockbroker(url, child);
  }
  throw new Error(`${program} ended before it said where to ask`);
}

module.exports = { startMockbroker };
