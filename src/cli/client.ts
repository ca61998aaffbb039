// `midplane cli`: the other end of the daemon's unix socket. One command with its exit code, a script on standard
// input, or a terminal through the API's Upgrade.
import type { IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import type { Socket } from 'node:net';
import type { ReadStream, WriteStream } from 'node:tty';
import { request as httpRequest } from '../lib/http.ts';

export interface ClientOptions {
  /** api.sock of the instance. */
  readonly socketPath: string;
  /** -c: run this and end. */
  readonly command?: string;
  readonly input: NodeJS.ReadStream | ReadStream;
  readonly output: NodeJS.WriteStream | WriteStream;
  readonly errors: NodeJS.WritableStream;
}

/** 0 done, 1 bad input, 2 a fault, 3 the daemon can't be reached. */
export type ClientExit = 0 | 1 | 2 | 3;

/** Runs until the command or the session ends. */
export async function runClient(options: ClientOptions): Promise<ClientExit> {
  try {
    if (options.command !== undefined) return await runCommand(options, options.command);
    if (!options.input.isTTY) return await runScript(options);
    return await runTerminal(options);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (
      !(error instanceof Unreachable) &&
      !['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EACCES', 'EPIPE'].includes(code ?? '')
    ) {
      throw error;
    }
    options.errors.write(`midplane does not answer at ${options.socketPath}: ${message}\n`);
    return 3;
  }
}

/** The daemon answered, but not as it should. */
class Unreachable extends Error {}

/** Several commands in one text are one session's, so the daemon is given them together. */
async function runCommand(options: ClientOptions, text: string): Promise<ClientExit> {
  const body = JSON.stringify({ line: text });
  const headers = { 'content-type': 'application/json', accept: 'application/x-ndjson' };
  const response = await send(options.socketPath, 'POST', '/v1/command', headers, body);
  let exit: ClientExit = 0;
  let ended = false;
  for await (const line of createInterface({ input: response })) {
    const part = JSON.parse(line) as Part;
    if (part.text !== undefined) options.output.write(part.text);
    if (part.problems?.[0]) throw new Unreachable(part.problems[0].message);
    if (!part.answer) continue;
    ended = true;
    exit = exitOf(part.answer.exitCode);
    (exit === 0 ? options.output : options.errors).write(part.answer.text);
  }
  if (!ended) throw new Unreachable('it closed the connection');
  return exit;
}

interface Part {
  readonly text?: string;
  readonly answer?: { readonly exitCode: number; readonly text: string };
  readonly problems?: readonly { readonly message: string }[];
}

function exitOf(code: number): ClientExit {
  return code === 0 || code === 1 || code === 2 ? code : 3;
}

async function runScript(options: ClientOptions): Promise<ClientExit> {
  let text = '';
  for await (const chunk of options.input.setEncoding('utf8')) text += String(chunk);
  return runCommand(options, text);
}

function send(
  socketPath: string,
  method: string,
  path: string,
  headers: Record<string, string>,
  body: string,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ socketPath, method, path, headers }, resolve);
    request.on('error', reject);
    request.end(body);
  });
}

async function runTerminal(options: ClientOptions): Promise<ClientExit> {
  const { input, output } = options;
  const socket = await upgrade(options);
  const stdin = input as ReadStream;
  // The daemon's decoder takes the size in band, as xterm's mode 2048 reports it.
  const resize = (): void => {
    const { columns, rows } = sizeOf(output);
    socket.write(`\u001b[48;${rows};${columns};0;0t`);
  };
  stdin.setRawMode(true);
  output.on('resize', resize);
  const closed = new Promise<void>((resolve) => socket.once('close', resolve));
  socket.on('error', () => socket.destroy());
  stdin.pipe(socket);
  socket.pipe(output, { end: false });
  await closed;
  output.off('resize', resize);
  stdin.setRawMode(false);
  stdin.unpipe(socket);
  stdin.pause();
  return 0;
}

/** Some terminals say 0 where they don't know. */
function sizeOf(output: ClientOptions['output']): { columns: number; rows: number } {
  const { columns, rows } = output as WriteStream;
  return { columns: columns || 80, rows: rows || 24 };
}

function upgrade({ socketPath, output }: ClientOptions): Promise<Socket> {
  const { columns, rows } = sizeOf(output);
  const path = `/v1/terminal?columns=${columns}&rows=${rows}`;
  const headers = { connection: 'upgrade', upgrade: 'midplane-terminal' };
  return new Promise((resolve, reject) => {
    const request = httpRequest({ socketPath, method: 'POST', path, headers });
    request.on('upgrade', (_response, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve(socket as Socket);
    });
    request.on('response', (response) => {
      response.resume();
      reject(new Unreachable(`it answered ${response.statusCode}`));
    });
    request.on('error', reject);
    request.end();
  });
}
