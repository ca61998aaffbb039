// Client of podman's REST API (libpod v4), as far as we need it.
import type { IncomingMessage, RequestOptions } from 'node:http';
import { FaultError } from '../../engine/faults.ts';
import type { Progress } from '../../engine/resource.ts';
import { Agent, request } from '../../lib/http.ts';

/** A container as podman lists it. */
export interface Container {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  /** "created", "configured", "running", "exited", "stopped", ... */
  readonly state: string;
  /** Of its first process; 0: it does not run. */
  readonly pid: number;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly exitCode: number;
}

/** All methods throw FaultError. */
export interface Podman {
  imageExists(image: string): Promise<boolean>;
  /** Gets an image from its registry. Fault 'no-image'. */
  pull(image: string, progress: Progress, signal: AbortSignal): Promise<void>;
  list(label: string): Promise<readonly Container[]>;
  /** Makes a container by a SpecGenerator; gives its id. */
  create(spec: object): Promise<string>;
  start(id: string): Promise<void>;
  /** Stops it, by SIGKILL after `graceS` seconds, and removes it. */
  remove(id: string, graceS: number): Promise<void>;
  logs(id: string, lines: number): Promise<string>;
  exec(id: string, argv: readonly string[], signal: AbortSignal): Promise<{ code: number; output: string }>;
}

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

interface Asking {
  readonly body?: object;
  readonly signal?: AbortSignal;
  /** Called for each part of the body; the answer's own is empty then. */
  readonly part?: (bytes: Buffer) => void;
}

type Ask = (method: 'GET' | 'POST' | 'DELETE', path: string, asking?: Asking) => Promise<Answer>;

const callMs = 60_000;
const bodyBytes = 4 * 2 ** 20;

/** `ready` makes sure that the service answers on the socket, before each call. */
export function openPodman(socketPath: string, ready: () => Promise<void>): Podman {
  // A connection for each call: one that is kept may be the last service's.
  const agent = new Agent({ maxSockets: 16 });
  const ask: Ask = async (method, path, asking = {}) => {
    await ready();
    const signal = asking.signal ?? AbortSignal.timeout(callMs);
    try {
      const body = asking.body === undefined ? '' : JSON.stringify(asking.body);
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      const answer = await send({ socketPath, agent, method, path: `/v4.0.0/libpod${path}`, signal, headers }, body);
      return { status: answer.statusCode ?? 0, body: await read(answer, asking.part) };
    } catch (error) {
      throw asFault(error, signal, `${method} ${path}`);
    }
  };
  return { ...imageCalls(ask), ...containerCalls(ask), exec: (...args) => exec(ask, ...args) };
}

function send(options: RequestOptions, body: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(options, resolve).once('error', reject).end(body);
  });
}

async function read(body: AsyncIterable<Buffer>, part?: (bytes: Buffer) => void): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const bytes of body) {
    size += bytes.length;
    if (part !== undefined) part(bytes);
    else if (size <= bodyBytes) parts.push(bytes);
  }
  return Buffer.concat(parts);
}

const nameOf = (reason: unknown): string => (reason instanceof Error ? reason.name : '');

/** What the connection says. A message of podman's own is no error here: it has a status. */
function asFault(error: unknown, signal: AbortSignal, what: string): FaultError {
  if (error instanceof FaultError) return error;
  if (!(error instanceof Error)) throw error;
  if (signal.aborted && nameOf(signal.reason) === 'TimeoutError')
    return new FaultError('timeout', 'podman', `no answer to ${what}`, true);
  if (signal.aborted) return new FaultError('cancelled', 'podman', `${what} was cancelled`);
  if (error instanceof TypeError) throw error;
  return new FaultError('unreachable', 'podman', `${what}: ${error.message}`, true);
}

function messageOf(answer: Answer): string {
  const text = answer.body.toString('utf8');
  try {
    const { message = text } = JSON.parse(text) as { message?: string };
    return message;
  } catch {
    return text;
  }
}

/** The answer, where its status is one of `good`. */
function expect(answer: Answer, what: string, good: readonly number[]): Answer {
  if (good.includes(answer.status)) return answer;
  throw new FaultError('refused', what, messageOf(answer).slice(0, 500) || `podman answered ${answer.status}`, true);
}

function imageCalls(ask: Ask): Pick<Podman, 'imageExists' | 'pull'> {
  return {
    async imageExists(image) {
      const answer = await ask('GET', `/images/${encodeURIComponent(image)}/exists`);
      return expect(answer, image, [204, 404]).status === 204;
    },
    async pull(image, progress, signal) {
      let rest = '';
      let failed = '';
      const line = (text: string): void => {
        if (text.trim() === '') return;
        const { stream, error } = JSON.parse(text) as { stream?: string; error?: string };
        if (error !== undefined) failed = error;
        if (stream !== undefined) progress(stream.trim());
      };
      const part = (bytes: Buffer): void => {
        const lines = (rest + bytes.toString('utf8')).split('\n');
        rest = (lines.pop() ?? '').slice(-65_536);
        for (const text of lines) line(text);
      };
      const query = new URLSearchParams({ reference: image });
      const answer = await ask('POST', `/images/pull?${query.toString()}`, { signal, part });
      const left = rest;
      rest = '';
      if (left.trim().endsWith('}')) {
        const { error, message } = JSON.parse(left) as { error?: string; message?: string };
        failed = error ?? message ?? failed;
      }
      if (failed === '' && answer.status === 200) return;
      throw new FaultError('no-image', image, failed || `podman answered ${answer.status}`, true);
    },
  };
}

interface Listed {
  readonly Id: string;
  readonly Labels: Record<string, string> | null;
  readonly State: string;
  readonly Pid: number;
  readonly StartedAt: number;
  readonly ExitCode: number;
}

function containerCalls(ask: Ask): Pick<Podman, 'list' | 'create' | 'start' | 'remove' | 'logs'> {
  return {
    async list(label) {
      const query = new URLSearchParams({ all: 'true', filters: JSON.stringify({ label: [label] }) });
      const answer = expect(await ask('GET', `/containers/json?${query.toString()}`), 'podman', [200]);
      return (JSON.parse(answer.body.toString('utf8')) as Listed[]).map((c) => ({
        id: c.Id,
        labels: c.Labels ?? {},
        state: c.State,
        pid: c.State === 'running' ? c.Pid : 0,
        startedAt: c.State === 'running' ? c.StartedAt * 1000 : 0,
        exitCode: c.ExitCode,
      }));
    },
    async create(spec) {
      const answer = expect(await ask('POST', '/containers/create', { body: spec }), 'podman', [201]);
      return (JSON.parse(answer.body.toString('utf8')) as { Id: string }).Id;
    },
    async start(id) {
      expect(await ask('POST', `/containers/${id}/start`), 'podman', [204, 304]);
    },
    async remove(id, graceS) {
      const query = new URLSearchParams({ force: 'true', timeout: String(graceS), v: 'true' });
      expect(await ask('DELETE', `/containers/${id}?${query.toString()}`), 'podman', [200, 204, 404]);
    },
    async logs(id, lines) {
      const query = new URLSearchParams({ stdout: 'true', stderr: 'true', tail: String(lines) });
      const answer = expect(await ask('GET', `/containers/${id}/logs?${query.toString()}`), 'podman', [200]);
      return demultiplex(answer.body);
    },
  };
}

/** Runs to its end, or until the signal comes. */
async function exec(
  ask: Ask,
  id: string,
  argv: readonly string[],
  signal: AbortSignal,
): Promise<{ code: number; output: string }> {
  const body = { Cmd: argv, AttachStdout: true, AttachStderr: true };
  const made = expect(await ask('POST', `/containers/${id}/exec`, { body, signal }), 'exec', [201]);
  const session = (JSON.parse(made.body.toString('utf8')) as { Id: string }).Id;
  const started = await ask('POST', `/exec/${session}/start`, { body: { Detach: false, Tty: false }, signal });
  const output = demultiplex(expect(started, 'exec', [200]).body);
  const seen = expect(await ask('GET', `/exec/${session}/json`, { signal }), 'exec', [200]);
  return { code: (JSON.parse(seen.body.toString('utf8')) as { ExitCode: number }).ExitCode, output };
}

/** Text of a stream in which each piece has a head of eight bytes: number of the stream, three zeros, its length. */
export function demultiplex(bytes: Buffer): string {
  const pieces: Buffer[] = [];
  for (let at = 0; at + 8 <= bytes.length;) {
    const length = bytes.readUInt32BE(at + 4);
    pieces.push(bytes.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return Buffer.concat(pieces).toString('utf8');
}
