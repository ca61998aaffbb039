// Load around a switch, by programs of their own: numbered UDP of which each missing number is known, and TCP streams
// whose every byte comes back.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { start } from '../../../src/lab/process.ts';
import type { TestSwitch } from '../rig.ts';
import { type Drop, explain, type Gap, isOfTheMachine, recordDrops } from './drops.ts';

const here = dirname(fileURLToPath(import.meta.url));
const python = '/usr/bin/python3';

/** From one host's address to another's. */
export interface Flow {
  readonly name: string;
  readonly from: readonly [host: string, address: string];
  readonly to: readonly [host: string, address: string];
}

/** Both directions of a path. */
export function bothWays(name: string, a: Flow['from'], b: Flow['to']): readonly Flow[] {
  return [
    { name: `${name} ${a[0]}>${b[0]}`, from: a, to: b },
    { name: `${name} ${b[0]}>${a[0]}`, from: b, to: a },
  ];
}

export interface FlowReport {
  readonly name: string;
  readonly sent: number;
  readonly received: number;
  readonly duplicates: number;
  /** Came after a later one. */
  readonly late: number;
  /** When the first came, CLOCK_MONOTONIC in ns (process.hrtime); 0: none did. */
  readonly firstNs: number;
  readonly missing: readonly Gap[];
  /** Packets that the receiver's socket had no room for. */
  readonly socketDrops: number;
  /** By the words of the sender's stack. */
  readonly refused: Readonly<Record<string, number>>;
  readonly seconds: number;
}

export interface Sending {
  /** Ends it; what is on its way still comes in. */
  stop(): Promise<readonly FlowReport[]>;
}

const firstPort = 7000;

/** Sends `rate` packets a second on each flow until it is stopped. */
export async function sendFlows(sw: TestSwitch, flows: readonly Flow[], rate: number): Promise<Sending> {
  const end = ([host, address]: Flow['from']) => ({ netns: sw.lab.netnsOf(host), address });
  const rows = flows.map(({ name, from, to }, i) => ({
    name,
    from: end(from),
    to: { ...end(to), port: firstPort + i },
  }));
  const child = spawn(python, [join(here, 'sequence.py'), JSON.stringify({ rate, flows: rows })]);
  const talk = await conversation(child, 'sending');
  return {
    async stop() {
      const reports = JSON.parse(await talk()) as (FlowReport & { missing: Omit<Gap, 'flow'>[] })[];
      return reports.map((row) => ({ ...row, missing: row.missing.map((gap) => ({ ...gap, flow: row.name })) }));
    },
  };
}

export interface StreamReport {
  readonly sent: number;
  readonly echoed: number;
  /** What ended it before its time; empty: nothing. */
  readonly wrong: string;
  /** Longest time without an echo. */
  readonly longestMs: number;
  readonly retransmits: number;
}

/** Numbered blocks from a host over one connection to what echoes at that address; waits until something does. */
export async function openStream(
  sw: TestSwitch,
  host: string,
  to: { readonly address: string; readonly port: number; readonly bytes: number; readonly rate: number },
): Promise<{ stop(): Promise<StreamReport> }> {
  const args = [to.address, to.port, to.bytes, to.rate].map(String);
  const talk = await conversation(start(sw.lab.netnsOf(host), [python, join(here, 'stream.py'), ...args]), 'connected');
  return { stop: async () => JSON.parse(await talk()) as StreamReport };
}

/** Waits for the program's first line; the function then tells it to end and gives the rest of what it said. */
async function conversation(child: ChildProcess, first: string): Promise<() => Promise<string>> {
  let [text, errors] = ['', ''];
  child.stdout?.on('data', (data: Buffer) => (text += data.toString()));
  child.stderr?.on('data', (data: Buffer) => (errors += data.toString()));
  const ended = once(child, 'close');
  while (!text.includes(`${first}\n`)) {
    assert.equal(child.exitCode ?? child.signalCode, null, `${text}${errors}`);
    await new Promise((done) => setTimeout(done, 10));
  }
  return async () => {
    child.stdin?.end('stop\n');
    const [code] = (await ended) as [number | null];
    assert.equal(code, 0, `${text}${errors}`);
    return text.slice(text.indexOf('\n') + 1);
  };
}

export interface Outcome {
  readonly reports: readonly FlowReport[];
  readonly missing: number;
  /** A line for each run of missing numbers, with the drops that it matches. */
  readonly why: readonly string[];
  /** Drops of the machine's own queues: with them a loss says nothing of the switch. */
  readonly machine: readonly Drop[];
}

/** Runs `during` under the load. */
export async function underLoad(
  sw: TestSwitch,
  flows: readonly Flow[],
  rate: number,
  during: () => Promise<void>,
): Promise<Outcome> {
  const record = recordDrops(sw);
  const sending = await sendFlows(sw, flows, rate);
  let reports: readonly FlowReport[] = [];
  let drops: readonly Drop[] = [];
  try {
    await during();
  } finally {
    reports = await sending.stop();
    drops = record.end();
  }
  const gaps = reports.flatMap((report) => report.missing);
  return {
    reports,
    missing: gaps.reduce((sum, gap) => sum + gap.count, 0),
    why: explain(gaps, drops),
    machine: drops.filter(isOfTheMachine),
  };
}

/** One line of figures a flow. */
export function figures({ reports }: Outcome): string[] {
  return reports.map((r) => {
    const lost = r.missing.reduce((sum, gap) => sum + gap.count, 0);
    const refused = Object.entries(r.refused).map(([why, count]) => `, ${count} times ${why}`);
    const more = `${r.late} late, ${r.duplicates} twice${refused.join('')}`;
    return `${r.name}: ${r.sent} sent, ${Math.round(r.sent / r.seconds)} a second, ${lost} missing, ${more}`;
  });
}
