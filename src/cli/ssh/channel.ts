// The channels of one SSH connection: a shell with or without a terminal, or commands. Forwarding, agents, X11 and
// subsystems have no listener here, and ssh2 refuses what has none.
import type { Socket } from 'node:net';
import type { Connection, Session as SshSession, ServerChannel } from 'ssh2';
import type { Session } from '../session.ts';
import { mostUnread, runCommands, runScript, runTerminal, type Screen } from '../terminal/terminal.ts';

export interface ChannelOptions {
  readonly mostChannels: number;
  openSession(): Session;
  readonly greeting: string;
  /** Called when a key was pressed or a command ran. */
  readonly touch: () => void;
  /** Aborted when the server ends; its reason is what the sessions are told. */
  readonly ending: AbortSignal;
}

/** Serves the channels of a connection that is logged in, until its socket closes. */
export function serveChannels(connection: Connection, socket: Socket, options: ChannelOptions): void {
  const closed = new AbortController();
  socket.once('close', () => closed.abort());
  let open = 0;
  connection.on('session', (accept, reject) => {
    if (open >= options.mostChannels) {
      reject();
      return;
    }
    open += 1;
    const session = accept();
    session.once('close', () => void (open -= 1));
    serveChannel(session, socket, closed.signal, options);
  });
}

const mostWaiting = 5 * 1024 * 1024;

interface Terminal extends Screen {
  /** The client asked for a terminal. */
  asked: boolean;
}

function serveChannel(session: SshSession, socket: Socket, closed: AbortSignal, options: ChannelOptions): void {
  const terminal: Terminal = { asked: false, columns: 80, rows: 24 };
  const interrupt = new AbortController();
  const resize = (size: { cols?: number; rows?: number }): void => {
    terminal.columns = within(size.cols, 20, 80);
    terminal.rows = within(size.rows, 4, 24);
  };
  session.on('pty', (accept, _reject, info) => {
    terminal.asked = true;
    resize(info);
    accept?.();
  });
  session.on('window-change', (accept, _reject, info) => {
    resize(info);
    accept?.();
  });
  session.on('signal', (accept, _reject, info) => {
    if (['INT', 'TERM', 'HUP', 'QUIT'].includes(String(info.name))) interrupt.abort();
    accept?.();
  });
  const begin = (channel: ServerChannel, run: (signal: AbortSignal) => Promise<number>): void => {
    cutOffFlood(socket, channel);
    const gone = new AbortController();
    session.once('close', () => gone.abort());
    channel.on('error', () => gone.abort());
    channel.on('data', options.touch);
    const leave = (): void => {
      if (!channel.writable) return;
      (terminal.asked ? channel : channel.stderr).write(`\r\n${String(options.ending.reason)}\r\n`);
      channel.exit(2);
      channel.end();
      gone.abort();
    };
    options.ending.addEventListener('abort', leave, { once: true });
    session.once('close', () => options.ending.removeEventListener('abort', leave));
    void run(AbortSignal.any([closed, interrupt.signal, gone.signal])).then((code) => {
      options.touch();
      if (!channel.writable) return;
      channel.exit(code);
      channel.end();
    });
  };
  session.on('shell', (accept) => {
    const channel = accept();
    begin(channel, (signal) => runShell(channel, terminal, signal, options));
  });
  session.on('exec', (accept, _reject, { command }) => {
    const channel = accept();
    begin(channel, (signal) => runExec(channel, command, terminal, signal, options));
  });
}

/** ssh2 takes what comes beyond the window that it gave: a client that sends more than its buffer and a window, 2 MiB
 * each, is cut off. */
function cutOffFlood(socket: Socket, channel: ServerChannel): void {
  const look = (): void => {
    if (channel.readableLength > mostWaiting) socket.destroy();
  };
  socket.on('data', look);
  channel.once('close', () => socket.off('data', look));
}

async function runShell(
  channel: ServerChannel,
  terminal: Terminal,
  signal: AbortSignal,
  options: ChannelOptions,
): Promise<number> {
  const session = options.openSession();
  if (!terminal.asked) return runScript(session, channel, channel.stderr, signal);
  await runTerminal(session, channel, terminal, signal, options.greeting);
  return 0;
}

/** `ssh host 'show ports'`. With a terminal (ssh -t) lines end as there, and ^C stops the command. */
async function runExec(
  channel: ServerChannel,
  command: string,
  terminal: Terminal,
  signal: AbortSignal,
  options: ChannelOptions,
): Promise<number> {
  const interrupt = new AbortController();
  const write = (text: string): void => {
    if (channel.writable) channel.write(terminal.asked ? text.replace(/\r?\n/g, '\r\n') : text);
    // A client that doesn't read must not take the daemon's memory.
    if (channel.writableLength > mostUnread) interrupt.abort();
  };
  const writeError = (text: string): void => {
    if (terminal.asked) write(text);
    else if (channel.writable) channel.stderr.write(text);
  };
  if (terminal.asked) {
    channel.on('data', (chunk: Buffer) => {
      if (chunk.includes(3)) interrupt.abort();
    });
  }
  const either = AbortSignal.any([signal, interrupt.signal]);
  return runCommands(options.openSession(), command, { columns: terminal.columns, write, writeError }, either);
}

function within(value: number | undefined, least: number, otherwise: number): number {
  return value === undefined || value === 0 ? otherwise : Math.min(Math.max(value, least), 1000);
}
