// The routes of the HTTP API, each with the role that it asks for.
import { z } from 'zod';
import type { Candidate, CommitAnswer, CommitOptions, Engine, RevisionInfo } from '../engine/engine.ts';
import type { Role } from '../engine/slice.ts';
import { HttpError, queryValues, readInput, requestProblem, sendJson, sendText, statusOf, toJson } from './exchange.ts';
import type { Caller, Exchange } from './exchange.ts';
import { metricsContentType, renderMetrics, type Collector } from './metrics.ts';

/** What a command line answers. */
export interface LineAnswer {
  readonly text: string;
  readonly exitCode: number;
  readonly data?: unknown;
}

/** The CLI's commands, as the API needs them; cli/door.ts makes it. */
export interface CommandDoor {
  /** Runs a line as a session of its own; several commands stand on lines of their own or between " ; ", and the first
   * that fails is the last. `write` gets what comes before the last one's answer. */
  line(line: string, caller: Caller, write: (text: string) => void, signal: AbortSignal): Promise<LineAnswer>;
  /** A `show` command by its words, and arguments by name. Undefined: there is no such command for this role. */
  show(
    words: readonly string[],
    named: ReadonlyMap<string, string>,
    caller: Caller,
    signal: AbortSignal,
  ): Promise<LineAnswer | undefined>;
}

export interface RouteOptions {
  readonly engine: Engine;
  readonly door: CommandDoor;
  readonly collectors: readonly Collector[];
  /** The description of this API (openapi.ts). */
  readonly openApi: () => unknown;
  /** A document without its secrets, for callers who are no admins. */
  readonly mask: (document: string) => string;
}

export interface Route {
  readonly method: 'GET' | 'POST';
  /** Matched whole. Its groups are given to `run`. */
  readonly path: RegExp;
  /** Absent: for everyone. */
  readonly role?: Role;
  run(exchange: Exchange, groups: readonly string[]): Promise<void> | void;
}

const candidateKeys = {
  document: z.string(),
  manifests: z.record(z.string(), z.string()).optional(),
  base: z.int().min(1).optional(),
};
export const candidateInput = z.strictObject(candidateKeys);
export const commitInput = z.strictObject({
  ...candidateKeys,
  comment: z.string().max(1000).optional(),
  confirmMinutes: z.number().min(0.1).max(10_080).optional(),
});
export const rollbackInput = z.strictObject({
  revision: z.int().min(1),
  comment: z.string().max(1000).optional(),
  confirmMinutes: z.number().min(0.1).max(10_080).optional(),
});
export const commandInput = z.strictObject({
  line: z
    .string()
    .min(1)
    .max(64 * 1024),
});

/** All routes but the terminal, which is an Upgrade (http.ts). */
export function routesOf(options: RouteOptions): readonly Route[] {
  return [...readRoutes(options), ...changeRoutes(options), ...commandRoutes(options)];
}

function readRoutes({ engine, mask, openApi, collectors }: RouteOptions): readonly Route[] {
  const shown = (document: string, caller: Caller): string => (caller.role === 'admin' ? document : mask(document));
  return [
    {
      method: 'GET',
      path: /^\/v1\/health$/,
      run: ({ response }) => sendJson(response, 200, { status: 'ok', revision: engine.running().number }),
    },
    {
      method: 'GET',
      path: /^\/v1\/history$/,
      role: 'viewer',
      run: ({ response }) => sendJson(response, 200, { revisions: engine.history().map(infoOf) }),
    },
    {
      method: 'GET',
      path: /^\/v1\/revisions\/(\d{1,9})$/,
      role: 'viewer',
      run: ({ response, caller }, [number]) => {
        const revision = engine.revision(Number(number));
        if (!revision) throw notFound(`revision ${number}`);
        // Manifests may hold Secrets: they are for admins.
        const manifests = caller.role === 'admin' ? revision.manifests : undefined;
        sendJson(response, 200, { ...infoOf(revision), document: shown(revision.document, caller), manifests });
      },
    },
    {
      method: 'GET',
      path: /^\/v1\/configuration$/,
      role: 'viewer',
      run: ({ request, response, caller }) => {
        const { number, document, manifests: all } = engine.running();
        response.setHeader('etag', `"${number}"`);
        const text = shown(document, caller);
        if (/\byaml\b/.test(request.headers.accept ?? '')) return sendText(response, 200, 'application/yaml', text);
        const manifests = caller.role === 'admin' ? all : undefined;
        sendJson(response, 200, { revision: number, document: text, manifests });
      },
    },
    {
      method: 'GET',
      path: /^\/openapi\.json$/,
      role: 'viewer',
      run: ({ response }) => sendJson(response, 200, openApi()),
    },
    {
      method: 'GET',
      path: /^\/metrics$/,
      role: 'viewer',
      run: async ({ response }) => sendText(response, 200, metricsContentType, await renderMetrics(collectors)),
    },
  ];
}

/** The revision's own words, without its contents. */
function infoOf({ number, when, by, comment, confirmBy }: RevisionInfo): RevisionInfo {
  return { number, when, by, comment, ...(confirmBy === undefined ? {} : { confirmBy }) };
}

function changeRoutes({ engine }: RouteOptions): readonly Route[] {
  const post = (path: RegExp, run: Route['run']): Route => ({ method: 'POST', path, role: 'admin', run });
  return [
    post(/^\/v1\/check$/, async (exchange) => {
      const problems = await engine.check(candidateOf(await readInput(exchange, candidateInput, 'document')));
      sendJson(exchange.response, 200, { ok: problems.length === 0, problems });
    }),
    post(/^\/v1\/plan$/, async (exchange) => {
      const answer = await engine.plan(candidateOf(await readInput(exchange, candidateInput, 'document')));
      sendJson(exchange.response, answer.ok ? 200 : statusOf(answer.problems, answer.faults), answer);
    }),
    post(/^\/v1\/commit$/, async (exchange) => {
      const input = await readInput(exchange, commitInput, 'document');
      await change(exchange, input, (how) => engine.commit(candidateOf(input), how));
    }),
    post(/^\/v1\/rollback$/, async (exchange) => {
      const input = await readInput(exchange, rollbackInput);
      await change(exchange, input, (how) => engine.rollback(input.revision, how));
    }),
    post(/^\/v1\/confirm$/, async ({ response, caller }) => {
      const answer = await engine.confirm(caller.who);
      if ('code' in answer) throw new HttpError(statusOf([], [answer]), [], [answer]);
      sendJson(response, 200, answer);
    }),
  ];
}

function candidateOf({ document, manifests, base }: z.infer<typeof commitInput>): Candidate {
  return { document, ...(manifests ? { manifests } : {}), ...(base === undefined ? {} : { base }) };
}

/** Runs a change; with `Accept: application/x-ndjson` its progress is a line each, the answer the last. */
async function change(
  { request, response, caller, signal }: Exchange,
  input: { readonly comment?: string | undefined; readonly confirmMinutes?: number | undefined },
  run: (options: CommitOptions) => Promise<CommitAnswer>,
): Promise<void> {
  const how: CommitOptions = {
    by: caller.who,
    signal,
    ...(input.comment === undefined ? {} : { comment: input.comment }),
    ...(input.confirmMinutes === undefined ? {} : { confirmMs: Math.round(input.confirmMinutes * 60_000) }),
  };
  if (!wantsLines(request.headers.accept)) {
    const answer = await run(how);
    return sendJson(response, answer.ok ? 200 : statusOf(answer.problems, answer.faults), answer);
  }
  const write = lines(response);
  const answer = await run({ ...how, progress: (progress, fraction) => write({ progress, fraction }) });
  write({ answer });
  response.end();
}

function wantsLines(accept: string | undefined): boolean {
  return /\bapplication\/x-ndjson\b/.test(accept ?? '');
}

function lines(response: Exchange['response']): (value: unknown) => void {
  response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
  return (value) => void response.write(`${toJson(value)}\n`);
}

const mostText = 4 * 1024 * 1024;

function commandRoutes({ door }: RouteOptions): readonly Route[] {
  return [
    {
      method: 'POST',
      path: /^\/v1\/command$/,
      role: 'viewer',
      run: async (exchange) => {
        const { line } = await readInput(exchange, commandInput);
        await runLine(door, line, exchange);
      },
    },
    {
      method: 'GET',
      path: /^\/v1\/(show(?:\/[^/]+)+)\/?$/,
      role: 'viewer',
      run: async ({ response, url, caller, signal }, [path = '']) => {
        const words = path.split('/').map(decodeSegment);
        const named = new Map(Object.entries(queryValues(url)).map(([key, value]) => [key, String(value)]));
        const answer = await door.show(words, named, caller, signal);
        if (!answer) throw notFound(words.join(' '));
        if (answer.exitCode === 0) return sendJson(response, 200, answer.data ?? null);
        const { faults = [] } = (answer.data ?? {}) as { faults?: HttpError['faults'] };
        if (faults.length > 0) throw new HttpError(statusOf([], faults), [], faults);
        throw new HttpError(400, [requestProblem(answer.text.trim())]);
      },
    },
  ];
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new HttpError(400, [requestProblem('the path is not percent-encoded UTF-8')]);
  }
}

async function runLine(
  door: CommandDoor,
  line: string,
  { request, response, caller, signal }: Exchange,
): Promise<void> {
  const enough = new AbortController();
  const either = AbortSignal.any([signal, enough.signal]);
  if (wantsLines(request.headers.accept)) {
    const write = lines(response);
    const answer = await door.line(
      line,
      caller,
      (text) => {
        write({ text });
        if (response.writableLength > mostText) enough.abort();
      },
      either,
    );
    write({ answer });
    response.end();
    return;
  }
  let before = '';
  const keep = (text: string): void => {
    before += text;
    if (before.length > mostText) enough.abort();
  };
  const { text, exitCode, data = null } = await door.line(line, caller, keep, either);
  sendJson(response, 200, { exitCode, text: before + text, data });
}

function notFound(what: string): HttpError {
  return new HttpError(404, [], [{ code: 'not-found', what, why: 'there is no such thing', retry: false }]);
}
