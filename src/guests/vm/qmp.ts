// QEMU's machine protocol (docs/interop/qmp-spec): lines of JSON over a unix socket; a greeting, then commands with
// ids, answers in any order, events in between. One client at a time is served; others wait in the queue.
import { connect, type Socket } from 'node:net';
import { FaultError } from '../../engine/faults.ts';

/** Commands that we use: what goes in and what comes back. */
export interface QmpCommands {
  readonly 'query-status': {
    readonly in: undefined;
    readonly out: { readonly status: string; readonly running: boolean };
  };
  readonly 'query-name': { readonly in: undefined; readonly out: { readonly name?: string } };
  readonly system_powerdown: { readonly in: undefined; readonly out: object };
  readonly quit: { readonly in: undefined; readonly out: object };
  readonly set_link: { readonly in: { readonly name: string; readonly up: boolean }; readonly out: object };
}

export interface QmpEvent {
  /** "SHUTDOWN", "RESET", "STOP", ... */
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface Qmp extends Disposable {
  /** "7.2.22" */
  readonly version: string;
  /** FaultError 'refused' with QEMU's words, 'timeout', or 'unreachable' where the connection ends first. */
  execute<C extends keyof QmpCommands>(
    command: C,
    ...input: QmpCommands[C]['in'] extends undefined ? [] : [QmpCommands[C]['in']]
  ): Promise<QmpCommands[C]['out']>;
  onEvent(listener: (event: QmpEvent) => void): Disposable;
  /** Resolves when the connection has ended, whoever ended it. */
  readonly closed: Promise<void>;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

interface State {
  readonly what: string;
  readonly waiting: Map<number, Waiting>;
  readonly listeners: Set<(event: QmpEvent) => void>;
  greeted?: (version: string) => void;
  rest: string;
}

/** QEMU's longest answers are some KiB; more without a line's end is no QMP. */
const longestLine = 4 * 1024 * 1024;

/** Connects and negotiates. FaultError 'unreachable' where nobody listens, 'timeout'. `timeoutMs` is for the greeting
 * and for each command. */
export async function openQmp(path: string, timeoutMs = 3000): Promise<Qmp> {
  const socket = connect({ path });
  const state: State = { what: `QMP ${path}`, waiting: new Map(), listeners: new Set(), rest: '' };
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  void closed.then(() => failAll(state));
  socket.setEncoding('utf8').on('data', (text: string) => take(state, socket, text));
  let why = '';
  socket.on('error', (error) => (why = error.message));
  let next = 0;
  const send = (command: string, input: unknown): Promise<unknown> => {
    next += 1;
    return ask(
      state,
      socket,
      { execute: command, id: next, ...(input === undefined ? {} : { arguments: input }) },
      timeoutMs,
    );
  };
  try {
    const version = await greeting(state, closed, timeoutMs, () => why);
    await send('qmp_capabilities', undefined);
    return {
      version,
      closed,
      execute: (command, ...[input]) => send(command, input) as Promise<QmpCommands[typeof command]['out']>,
      onEvent(listener) {
        state.listeners.add(listener);
        return { [Symbol.dispose]: () => void state.listeners.delete(listener) };
      },
      [Symbol.dispose]: () => void socket.destroy(),
    };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function greeting(state: State, closed: Promise<void>, timeoutMs: number, why: () => string): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new FaultError('timeout', state.what, `no greeting in ${timeoutMs} ms`, true)),
      timeoutMs,
    );
    state.greeted = (version) => {
      clearTimeout(timer);
      resolve(version);
    };
    void closed.then(() => {
      clearTimeout(timer);
      reject(new FaultError('unreachable', state.what, why() || 'the connection ended', true));
    });
  });
}

function ask(
  state: State,
  socket: Socket,
  message: { id: number; execute: string },
  timeoutMs: number,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    if (socket.destroyed) return reject(ended(state));
    const timer = setTimeout(() => {
      state.waiting.delete(message.id);
      reject(new FaultError('timeout', state.what, `no answer to ${message.execute} in ${timeoutMs} ms`, true));
    }, timeoutMs);
    const after =
      <T>(call: (value: T) => void) =>
      (value: T): void => {
        clearTimeout(timer);
        state.waiting.delete(message.id);
        call(value);
      };
    state.waiting.set(message.id, { resolve: after(resolve), reject: after(reject) });
    socket.write(`${JSON.stringify(message)}\n`);
  });
}

const ended = (state: State): FaultError => new FaultError('unreachable', state.what, 'the connection ended', true);

function failAll(state: State): void {
  for (const waiting of state.waiting.values()) waiting.reject(ended(state));
}

function take(state: State, socket: Socket, text: string): void {
  const lines = (state.rest + text).split('\n');
  state.rest = lines.pop() ?? '';
  if (state.rest.length > longestLine) return void socket.destroy();
  for (const line of lines) {
    if (line.trim() === '') continue;
    const message = parse(line);
    if (message === undefined) return void socket.destroy();
    dispatch(state, message);
  }
}

function parse(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function dispatch(state: State, message: Readonly<Record<string, unknown>>): void {
  if ('QMP' in message) return state.greeted?.(versionOf(message['QMP']));
  if (typeof message['event'] === 'string') {
    const event = { event: message['event'], data: (message['data'] ?? {}) as Record<string, unknown> };
    for (const listener of state.listeners) listener(event);
    return;
  }
  const waiting = state.waiting.get(Number(message['id']));
  if ('error' in message) {
    const { desc } = message['error'] as { desc?: string };
    return waiting?.reject(new FaultError('refused', state.what, desc ?? 'refused'));
  }
  waiting?.resolve(message['return']);
}

function versionOf(greeting: unknown): string {
  const version = (greeting as { version?: { qemu?: Record<string, number> } }).version?.qemu ?? {};
  return [version['major'], version['minor'], version['micro']].join('.');
}
