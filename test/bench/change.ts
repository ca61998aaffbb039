// What a change costs the person who makes it, and what the daemon costs the machine: commits, an answer in an open
// session, a start, memory when nothing happens.
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../src/lab/process.ts';
import { kernel } from '../lab/rig.ts';
import { type Daemon, openDaemon } from './daemon.ts';
import { alone, type Bench, type Group, pairs, type Row, short } from './row.ts';

const portCount = 200;
const moreCount = 100;
const manyCount = 1_000;
const idleMs = 20_000;

export const change: Group = { name: 'change', what: 'commits, a session, start and memory', run: runChange };

async function runChange(bench: Bench): Promise<readonly Row[]> {
  using stack = new DisposableStack();
  const [near, far] = [`${bench.prefix}-ch`, `${bench.prefix}-far`];
  for (const name of [near, far]) {
    kernel.netns.add(name);
    stack.defer(() => kernel.netns.remove(name));
  }
  await plug(near, far, portCount + moreCount);
  const rows: Row[] = [];
  {
    await using daemon = await openDaemon({ instance: `${bench.prefix}-ch`, netns: near, document: documentOf(0) });
    rows.push(await leaf(bench, daemon), await newPorts(bench, daemon), await check(bench, daemon));
    rows.push(...(await session(bench, daemon)));
  }
  rows.push(...(await starts(bench, near)));
  rows.push(await idle(bench, near));
  return rows;
}

const named = (from: number, count: number, extra = ''): string[] =>
  Array.from({ length: count }, (_, i) => `  swp${from + i}: { vlan: { access: ${10 + (i % 50)} }${extra} }`);

/** 200 ports, and so many more; the first can be given another leaf. */
function documentOf(more: number, first = ''): string {
  const lines = [...named(1, 1, first), ...named(2, portCount - 1), ...named(portCount + 1, more)];
  return `ports:\n${lines.join('\n')}\n`;
}

async function plug(near: string, far: string, count: number): Promise<void> {
  const line = (i: number): string => `link add swp${i} type veth peer name swp${i} netns ${far}`;
  const input = Array.from({ length: count }, (_, i) => `${line(i + 1)}\n`).join('');
  const ran = await run(near, ['ip', '-batch', '-'], { input, timeoutMs: 60_000 });
  if (ran.code !== 0) throw new Error(`ip -batch: ${ran.stderr.slice(0, 500)}`);
}

async function repeated(bench: Bench, what: string, measure: (i: number) => Promise<number>): Promise<number[]> {
  const samples: number[] = [];
  for (let i = 0; i < pairs; i += 1) {
    bench.signal.throwIfAborted();
    samples.push(await measure(i));
  }
  bench.say(`${what}: ${samples.map(short).join(', ')}`);
  return samples;
}

async function timed(call: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await call();
  return performance.now() - begun;
}

const commit = (daemon: Daemon, document: string): Promise<unknown> => daemon.post('/v1/commit', { document });

async function leaf(bench: Bench, daemon: Daemon): Promise<Row> {
  const documents = [documentOf(0, ', mtu: 1400'), documentOf(0)];
  const samples = await repeated(bench, 'commit of one leaf, ms', (i) =>
    timed(() => commit(daemon, documents[i % 2] ?? '')),
  );
  return alone(`commit of one leaf, ${portCount} ports, API request to answer`, 'ms', samples);
}

async function newPorts(bench: Bench, daemon: Daemon): Promise<Row> {
  const samples = await repeated(bench, `commit of ${moreCount} new VLAN ports, ms`, async () => {
    await commit(daemon, documentOf(0));
    return timed(() => commit(daemon, documentOf(moreCount)));
  });
  await commit(daemon, documentOf(0));
  return alone(`commit of ${moreCount} new VLAN ports beside ${portCount}`, 'ms', samples);
}

/** Nothing is made of it: the ports need no devices. */
async function check(bench: Bench, daemon: Daemon): Promise<Row> {
  const document = `ports:\n${named(1, manyCount).join('\n')}\n`;
  const samples = await repeated(bench, `check of ${manyCount} ports, ms`, () =>
    timed(() => daemon.post('/v1/check', { document })),
  );
  return alone(`check of a document with ${manyCount} ports`, 'ms', samples);
}

/** In a terminal session that stays open: from the key to the whole answer. */
async function session(bench: Bench, daemon: Daemon): Promise<readonly Row[]> {
  const socket = await terminal(daemon.apiSocket);
  let text = '';
  let look = (): void => undefined;
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    look();
  });
  const until = (word: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ${word} in 10 s: ${text.slice(-500)}`)), 10_000);
      look = () => {
        if (!text.includes(word)) return;
        clearTimeout(timer);
        look = () => undefined;
        resolve();
      };
      look();
    });
  try {
    await until('>');
    const ask = async (): Promise<number> => {
      text = '';
      const took = await timed(async () => {
        socket.write('show ports | json | no-more\r');
        // The prompt behind the answer.
        await until('\n]');
        await until('>');
      });
      const ports = text.split('"name"').length - 1;
      if (ports < portCount) throw new Error(`show ports | json: ${ports} ports\n${text.slice(0, 1000)}`);
      return took;
    };
    const help = async (): Promise<number> => {
      text = '';
      const took = await timed(async () => {
        socket.write('show ?');
        // Its list ends with the prompt and the line as it was.
        await until('> show ');
      });
      if (!text.includes('ports')) throw new Error(`show ?: ${text}`);
      socket.write('\u0015');
      return took;
    };
    await ask();
    const shows = await repeated(bench, 'show, ms', ask);
    const helps = await repeated(bench, '?, ms', help);
    return [
      alone(`show ports | json, ${portCount} ports, open session`, 'ms', shows),
      alone('?, open session', 'ms', helps),
    ];
  } finally {
    socket.destroy();
  }
}

function terminal(socketPath: string): Promise<Socket> {
  const headers = { connection: 'Upgrade', upgrade: 'midplane-terminal' };
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method: 'POST', path: '/v1/terminal?columns=200&rows=50&term=xterm', headers });
    asked.once('upgrade', (_response, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve(socket as Socket);
    });
    asked.once('response', (response) => reject(new Error(`terminal: ${response.statusCode}`)));
    asked.once('error', reject);
    asked.end();
  });
}

async function starts(bench: Bench, netns: string): Promise<readonly Row[]> {
  const readyMs: number[] = [];
  const start = async (document: string, i: number): Promise<number> => {
    await using daemon = await openDaemon({ instance: `${bench.prefix}-st${i}`, netns, document });
    readyMs.push(daemon.readyMs);
    return daemon.forwardingMs;
  };
  const few = `ports:\n${named(1, 2).join('\n')}\n`;
  const small = await repeated(bench, 'start with 2 ports, ms', (i) => start(few, i));
  const large = await repeated(bench, `start with ${portCount} ports, ms`, (i) => start(documentOf(0), i + pairs));
  return [
    alone('daemon start to forwarding, 2 ports, nothing pinned', 'ms', small),
    alone('daemon start to ready, 2 ports', 'ms', readyMs.slice(0, small.length)),
    alone(`daemon start to forwarding, ${portCount} ports, nothing pinned`, 'ms', large),
  ];
}

async function idle(bench: Bench, netns: string): Promise<Row> {
  const document = `ports:\n${named(1, 2).join('\n')}\n`;
  await using daemon = await openDaemon({ instance: `${bench.prefix}-idle`, netns, document });
  await sleep(idleMs, undefined, { signal: bench.signal });
  const [, kib = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${daemon.pid}/status`, 'utf8')) ?? [];
  const mib = Number(kib) / 1024;
  bench.say(`idle: ${short(mib)} MiB`);
  return alone(`RSS ${idleMs / 1000} s after ready, 2 ports`, 'MiB', [mib]);
}
