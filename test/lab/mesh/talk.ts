// What a test says to a client in a host's namespace, and hears from it.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { start } from '../../../src/lab/process.ts';

export type Header = readonly [string, string];

export interface Request {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  /** Host among them. */
  readonly headers: readonly Header[];
}

export interface Ask extends Request {
  readonly address: string;
  readonly port: number;
  /** Address of the client's own to ask from, on a connection that no other ask uses. */
  readonly from?: string;
  /** Default: 15 s. */
  readonly timeoutMs?: number;
}

export interface Given {
  /** 0: no answer; the body says why. */
  readonly status: number;
  /** Names in lower case. */
  readonly headers: readonly Header[];
  readonly body: string;
  readonly ms: number;
}

export interface Load {
  readonly ask: Ask;
  readonly connections: number;
}

export interface Loaded {
  /** By "STATUS BACKEND". */
  readonly counts: Readonly<Record<string, number>>;
  /** The first answers that were not 200. */
  readonly bad: readonly Given[];
}

export interface Client extends AsyncDisposable {
  ask(ask: Ask): Promise<Given>;
  /** Asks without pause until `stop`. */
  load(load: Load): Promise<{ stop(): Promise<Loaded> }>;
}

/** Starts a client in the namespace. */
export function openClient(netns: string): Client {
  const child = start(netns, [process.execPath, join(import.meta.dirname, 'client.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const waiting = new Map<number, (value: unknown) => void>();
  let last = 0;
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const { id, value } = JSON.parse(line) as { id: number; value: unknown };
    waiting.get(id)?.(value);
    waiting.delete(id);
  });
  const say = (what: object): Promise<unknown> => {
    last += 1;
    const id = last;
    child.stdin!.write(`${JSON.stringify({ id, ...what })}\n`);
    return new Promise((resolve) => waiting.set(id, resolve));
  };
  return {
    ask: async (ask) => (await say({ ask })) as Given,
    async load(begin) {
      const end = (await say({ begin })) as number;
      return { stop: async () => (await say({ end })) as Loaded };
    },
    [Symbol.asyncDispose]: () => ended(child),
  };
}

/** Servers in the namespace: names and their ports. Resolves when all listen. */
export async function openBackends(netns: string, ports: Readonly<Record<string, number>>): Promise<AsyncDisposable> {
  const words = Object.entries(ports).map(([name, port]) => `${name}=${port}`);
  const child = start(netns, [process.execPath, join(import.meta.dirname, 'backends.ts'), ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout!, 'data');
  return { [Symbol.asyncDispose]: () => ended(child) };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** What steady.ts saw. */
export interface Seen {
  /** Connections made for one request. */
  opened: number;
  /** Requests on held connections, and how often one was told to end and made anew. */
  held: number;
  moved: number;
  /** That tunnels said, and heard again. */
  numbers: number;
  /** How often, by what happened. */
  readonly failed: Record<string, number>;
  /** Idle connections that ended. `when`: milliseconds since 1970. */
  readonly idle: { readonly how: string; readonly when: number }[];
}

export interface Steady {
  readonly address: string;
  readonly port: number;
  readonly path: string;
  /** New connections a second; how many are held and ask now and then; how many are held and say nothing. */
  readonly rate: number;
  readonly held: number;
  readonly idle: number;
  /** Tunnels that say numbers. */
  readonly tunnels?: number;
}

/** Starts steady.ts in the namespace; resolves when all that is held stands. */
export async function openSteady(netns: string, o: Steady): Promise<{ stop(): Promise<Seen> } & AsyncDisposable> {
  const words = [o.address, o.port, o.path, o.rate, o.held, o.idle, o.tunnels ?? 0].map(String);
  const child = start(netns, [process.execPath, join(import.meta.dirname, 'steady.ts'), ...words], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.value !== 'holding') throw new Error(`steady.ts says ${String(first.value)}`);
  return {
    async stop() {
      child.stdin!.end();
      const line = await lines.next();
      return JSON.parse(String(line.value)) as Seen;
    },
    [Symbol.asyncDispose]: () => ended(child),
  };
}
