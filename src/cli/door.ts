// The CLI for what is no terminal session: the HTTP API's commands, and terminals that come in by its Upgrade.
import type { Duplex } from 'node:stream';
import type { z } from 'zod';
import type { Engine } from '../engine/engine.ts';
import type { AnyCommand, Role } from '../engine/slice.ts';
import type { Clock } from '../lib/clock.ts';
import { faulted, faultIn } from './answers.ts';
import { openSession, type Answer, type Session } from './session.ts';
import { runTerminal } from './terminal/terminal.ts';
import { mayDo, parseArguments } from './tree.ts';
import { splitCommands } from './words.ts';

/** Who comes in, and how they stand in the history. */
export interface Caller {
  readonly who: string;
  readonly role: Role;
}

export interface Door {
  /** A session for a caller. `cameInBy` is the address of ours that they use. */
  open(caller: Caller, cameInBy?: string): Session;
  /** The commands of a text in a session of their own, up to the first that fails; `write` gets what comes before the
   * answer of the last. */
  line(line: string, caller: Caller, write: (text: string) => void, signal: AbortSignal): Promise<Answer>;
  /** A command by its exact words, arguments behind them or by name. Undefined: there is none for this role. */
  show(
    words: readonly string[],
    named: ReadonlyMap<string, string>,
    caller: Caller,
    signal: AbortSignal,
  ): Promise<Pick<Answer, 'text' | 'exitCode' | 'data'> | undefined>;
  /** An interactive session on a raw stream. */
  readonly terminal: (
    stream: Duplex,
    guest: { readonly caller: Caller; readonly columns: number; readonly rows: number },
    signal: AbortSignal,
  ) => Promise<void>;
}

export interface DoorOptions {
  readonly engine: Engine;
  readonly commands: readonly AnyCommand[];
  readonly clock: Clock;
  hostname(): string;
}

export function openDoor(options: DoorOptions): Door {
  const open: Door['open'] = (caller, cameInBy) =>
    openSession({ ...options, ...caller, ...(cameInBy === undefined ? {} : { cameInBy }) });
  return {
    open,
    line: (line, caller, write, signal) => runLine(open(caller), line, write, signal),
    show: async (words, named, caller, signal) => {
      const found = findCommand(options.commands, words, caller.role);
      return found && runShow(found.command, found.rest, named, options.engine, signal);
    },
    terminal: (stream, { caller, columns, rows }, signal) =>
      runTerminal(open(caller), stream, { columns, rows }, signal),
  };
}

async function runLine(
  session: Session,
  line: string,
  write: (text: string) => void,
  signal: AbortSignal,
): Promise<Answer> {
  let answer: Answer = { text: '', exitCode: 0, page: false, ends: false };
  for (const command of splitCommands(line)) {
    if (answer.text !== '') write(answer.text);
    answer = await session.execute(command, { columns: 80, write, redraw: write }, signal);
    if (answer.exitCode !== 0 || answer.ends || signal.aborted) break;
  }
  return answer;
}

/** The command with the most words that begin the given ones. */
function findCommand(
  commands: readonly AnyCommand[],
  words: readonly string[],
  role: Role,
): { command: AnyCommand; rest: readonly string[] } | undefined {
  for (let length = words.length; length > 0; length -= 1) {
    const path = words.slice(0, length).join(' ');
    const command = commands.find((one) => one.path === path && mayDo(role, one.role));
    if (command) return { command, rest: words.slice(length) };
  }
  return undefined;
}

async function runShow(
  command: AnyCommand,
  rest: readonly string[],
  named: ReadonlyMap<string, string>,
  engine: Engine,
  signal: AbortSignal,
): Promise<Pick<Answer, 'text' | 'exitCode' | 'data'>> {
  const unknown = [...named.keys()].find((name) => !Object.hasOwn((command.args as z.ZodObject).shape, name));
  if (unknown !== undefined) return { exitCode: 1, text: `${command.path} has no argument ${unknown}` };
  const words = [
    ...rest.map((text) => ({ text, literal: true, start: 0 })),
    ...[...named].flatMap(([name, value]) => [
      { text: name, literal: false, start: 0 },
      { text: value, literal: true, start: 0 },
    ]),
  ];
  const parsed = parseArguments(command.args as z.ZodObject, words);
  if (!parsed.ok) return { exitCode: 1, text: parsed.message };
  try {
    const answer = command.run(parsed.args, engine.read, signal);
    if (typeof answer === 'object' && answer !== null && Symbol.asyncIterator in answer) {
      for await (const data of answer) return { exitCode: 0, text: '', data };
      return { exitCode: 0, text: '', data: null };
    }
    return { exitCode: 0, text: '', data: await answer };
  } catch (error) {
    const fault = faultIn(error, command.path);
    if (!fault) throw error;
    const { exitCode, data } = faulted(fault);
    return { exitCode, text: fault.why, data };
  }
}
