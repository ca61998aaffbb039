// One request and its answer: bodies in, JSON out, errors as { problems, faults }.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { z } from 'zod';
import { parseDocument } from '../config/yaml.ts';
import type { Problem } from '../config/problem.ts';
import type { Fault, FaultCode } from '../engine/faults.ts';
import type { Role } from '../engine/slice.ts';
import { isTooDeep, mostSearched, placeInMessage, placeOfFault } from './json.ts';

/** Who asks. `who` stands in the history: "ci@api:10.0.0.5". */
export interface Caller {
  readonly who: string;
  readonly role: Role;
}

/** What a route gets. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly caller: Caller;
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal;
}

/** A refusal with its HTTP status, thrown by what reads requests. */
export class HttpError extends Error {
  readonly status: number;
  readonly problems: readonly Problem[];
  readonly faults: readonly Fault[];
  constructor(status: number, problems: readonly Problem[], faults: readonly Fault[] = []) {
    super(problems[0]?.message ?? faults[0]?.why ?? `status ${status}`);
    this.name = 'HttpError';
    this.status = status;
    this.problems = problems;
    this.faults = faults;
  }
}

/** A problem of the request itself: its file is "request". */
export function requestProblem(message: string, place: Partial<Problem> = {}): Problem {
  return { file: 'request', line: 1, column: 1, path: '', message, ...place };
}

const mostBodyBytes = 8 * 1024 * 1024;
/** Of a body that holds no document. */
const mostWordsBytes = 512 * 1024;

/** The body's bytes. Throws HttpError 413 beyond the bound, before more than that is read. */
async function readBody(request: IncomingMessage, most: number): Promise<Buffer> {
  const tooLarge = (): HttpError => new HttpError(413, [requestProblem(`this body has at most ${most} bytes`)]);
  if (Number(request.headers['content-length'] ?? 0) > most) throw tooLarge();
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    length += (chunk as Buffer).length;
    if (length > most) throw tooLarge();
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

/** The body by a schema. `text` is the key that a body of another type than JSON stands for (a YAML document). */
export async function readInput<S extends z.ZodType>(
  exchange: Exchange,
  schema: S,
  text?: string,
): Promise<z.infer<S>> {
  const body = await readBody(exchange.request, text === undefined ? mostWordsBytes : mostBodyBytes);
  const type = (exchange.request.headers['content-type'] ?? 'application/json')
    .replace(/;.*/s, '')
    .trim()
    .toLowerCase();
  const source = decode(body);
  if (text !== undefined && ['application/yaml', 'application/x-yaml', 'text/yaml', 'text/plain'].includes(type)) {
    return validate(schema, { ...queryValues(exchange.url), [text]: source }, '');
  }
  if (type !== 'application/json')
    throw new HttpError(415, [requestProblem(`a body of type ${type} is not read here`)]);
  return validate(schema, source.trim() === '' ? {} : parseJson(source), source);
}

function decode(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new HttpError(400, [requestProblem('the body is no UTF-8')]);
  }
}

function parseJson(source: string): unknown {
  if (isTooDeep(source)) throw new HttpError(400, [requestProblem('brackets are nested too deep')]);
  try {
    return JSON.parse(source);
  } catch (error) {
    const { message } = error as Error;
    const place = source.length > mostSearched ? placeInMessage(message) : placeOfFault(source);
    throw new HttpError(400, [requestProblem(`no JSON: ${message}`, place)]);
  }
}

/** Query parameters; what looks like a number is one. */
export function queryValues(url: URL): Record<string, unknown> {
  const entries = [...url.searchParams].map(([key, value]) => [key, /^\d{1,15}$/.test(value) ? Number(value) : value]);
  return Object.fromEntries(entries);
}

function validate<S extends z.ZodType>(schema: S, value: unknown, source: string): z.infer<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  // JSON is YAML: its reader knows the places.
  const tree = source === '' || source.length > mostSearched ? undefined : parseDocument(source, 'request');
  const problems = result.error.issues.map((issue) => {
    const path = issue.path.map((step) => (typeof step === 'number' ? step : String(step)));
    return requestProblem(issue.message.slice(0, 300), { path: path.join('.'), ...tree?.at(path) });
  });
  throw new HttpError(400, problems);
}

/** Answers with JSON. Bigints are numbers where they are exact, else text. */
export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  sendText(response, status, 'application/json; charset=utf-8', `${toJson(value)}\n`);
}

/** JSON as the CLI's `| json` has it. */
export function toJson(value: unknown): string {
  const plain = (_key: string, item: unknown): unknown => {
    if (typeof item !== 'bigint') return item;
    return Number.isSafeInteger(Number(item)) ? Number(item) : String(item);
  };
  return JSON.stringify(value, plain) ?? 'null';
}

export function sendText(response: ServerResponse, status: number, type: string, text: string): void {
  if (response.headersSent || response.destroyed) return;
  const bytes = Buffer.from(text);
  response.writeHead(status, { 'content-type': type, 'content-length': bytes.length, 'cache-control': 'no-store' });
  response.end(bytes);
}

/** Answers with what is wrong. */
export function sendError(response: ServerResponse, error: HttpError): void {
  if (error.status === 401) response.setHeader('www-authenticate', 'Bearer');
  // The rest of a refused body is not worth reading.
  if (error.status === 413) response.setHeader('connection', 'close');
  sendJson(response, error.status, { problems: error.problems, faults: error.faults });
}

const conflicts: readonly FaultCode[] = ['base-moved', 'busy', 'already-exists', 'in-use'];

/** The status of a failed change: 422 for a bad document, 409 where something stands in the way, 404, else 503. */
export function statusOf(problems: readonly Problem[], faults: readonly Fault[]): number {
  if (problems.length > 0) return 422;
  const code = faults[0]?.code;
  if (code === 'not-found') return 404;
  return code !== undefined && conflicts.includes(code) ? 409 : 503;
}
