// show configuration, history, revision, system, log: what the switch knows of itself.
import { z } from 'zod';
import { printProblem } from '../../config/problem.ts';
import type { Engine } from '../../engine/engine.ts';
import { FaultError } from '../../engine/faults.ts';
import { command, type AnyCommand, type Read } from '../../engine/slice.ts';
import { ago, bytes, keyValues, printable, table } from '../../lib/table.ts';
import { yamlAt } from '../document/candidate.ts';
import { namesAt, valueAt, valueOf } from '../document/value.ts';
import { maskSecrets } from '../document/mask.ts';
import { documentRoot } from '../document/place.ts';
import { showDrift } from './drift.ts';
import { systemFacts, type SystemFacts } from './facts.ts';
import { showVersion } from './version.ts';

export interface SystemSources {
  /** Asked when a command runs, since the engine is opened with these commands. */
  readonly engine: () => Engine;
  readonly version: string;
  readonly now: () => number;
  readonly facts: () => SystemFacts | Promise<SystemFacts>;
  /** The newest lines of the daemon's log, oldest first. */
  readonly logLines: (count: number) => readonly string[];
}

/** The commands about the switch itself. */
export function systemCommands(sources: SystemSources): readonly AnyCommand[] {
  return [
    showConfiguration(sources),
    showRevision(sources),
    showHistory(sources),
    showVersion(sources),
    showSystem(sources),
    showDrift(sources.engine),
    showLog(sources),
  ];
}

const nothing = z.object({});
const document = z.object({
  revision: z.number(),
  document: z.unknown(),
  text: z.string().meta({ description: 'YAML with the comments' }),
});

/** A document without its secrets, whole or one section of it. */
function shown(engine: Engine, number: number, text: string, section: string | undefined): z.infer<typeof document> {
  const masked = maskSecrets(text, documentRoot(engine.slices));
  const value = valueOf(masked);
  if (section === undefined) return { revision: number, document: value, text: masked };
  const part = valueAt(value, [section]);
  if (part === undefined) {
    throw new FaultError('not-found', section, 'the document has no such section');
  }
  return { revision: number, document: part, text: yamlAt(value, [section]) };
}

function showConfiguration({ engine }: SystemSources): AnyCommand {
  return command({
    path: 'show configuration',
    help: 'the running document, or a section of it; secrets are hidden',
    role: 'viewer',
    args: z.object({ section: z.string().optional().meta({ description: 'a section of the document' }) }),
    data: document,
    run: async ({ section }) => {
      const { number, document: text } = engine().running();
      return shown(engine(), number, text, section);
    },
    render: (data) => data.text,
    complete: () => namesAt(valueOf(engine().running().document), []),
  });
}

function showRevision({ engine }: SystemSources): AnyCommand {
  return command({
    path: 'show revision',
    help: 'the document of a revision; secrets are hidden',
    role: 'viewer',
    args: z.object({
      number: z.int().min(1).meta({ description: 'a revision of "show history"' }),
      section: z.string().optional().meta({ description: 'a section of the document' }),
    }),
    data: document,
    run: async ({ number, section }) => {
      const revision = engine().revision(number);
      if (!revision) throw new FaultError('not-found', `revision ${number}`, 'it is not in the history');
      return shown(engine(), number, revision.document, section);
    },
    render: (data) => data.text,
    complete: (name) =>
      name === 'number'
        ? engine()
            .history()
            .map((revision) => String(revision.number))
        : [],
  });
}

const historyRow = z.object({
  number: z.number(),
  when: z.number().meta({ description: 'milliseconds since 1970' }),
  ageMs: z.number(),
  by: z.string(),
  comment: z.string(),
  running: z.boolean(),
  confirmBy: z.number().optional(),
});

function showHistory({ engine, now }: SystemSources): AnyCommand {
  return command({
    path: 'show history',
    help: 'the revisions, newest first',
    role: 'viewer',
    args: nothing,
    data: z.array(historyRow),
    run: async () => {
      const running = engine().running().number;
      return engine()
        .history()
        .map(({ number, when, by, comment, confirmBy }) => ({
          number,
          when,
          ageMs: Math.max(0, now() - when),
          by,
          comment,
          running: number === running,
          ...(confirmBy === undefined ? {} : { confirmBy }),
        }));
    },
    render: (rows, columns) =>
      table(
        [
          { title: 'Revision', align: 'right' },
          { title: 'When' },
          { title: 'By', flex: true },
          { title: 'Comment', flex: true },
        ],
        rows.map(({ number, when, by, comment, running }) => [
          `${running ? '* ' : ''}${number}`,
          new Date(when).toISOString().replace('T', ' ').slice(0, 19),
          by,
          comment,
        ]),
        columns,
      ),
  });
}

const failure = z.object({ ref: z.string(), code: z.string(), why: z.string(), sinceMs: z.number() });
const system = systemFacts.extend({
  instance: z.string(),
  version: z.string(),
  revision: z.number(),
  failures: z.array(failure).meta({ description: 'resources that could not be made, or are not yet' }),
  notes: z.array(z.string()).meta({ description: 'what the operator should know' }),
});

/** Of those of a file that was not taken in: the log has all. */
const mostFileProblems = 10;

async function systemData(sources: SystemSources, read: Read): Promise<z.infer<typeof system>> {
  const failures = read.failures().map(({ ref, fault, since }) => ({
    ref,
    code: fault.code,
    why: fault.why,
    sinceMs: Math.max(0, sources.now() - since),
  }));
  const { instance } = read;
  const { version } = sources;
  const revision = sources.engine().running().number;
  const file = sources.engine().fileProblems().slice(0, mostFileProblems).map(printProblem);
  const notes = file.map((said) => `not taken in, and kept until the next commit: ${said}`);
  return { ...(await sources.facts()), notes, instance, version, revision, failures };
}

function showSystem(sources: SystemSources): AnyCommand {
  return command({
    path: 'show system',
    help: 'the daemon: threads, memory, capabilities, what could not be made',
    role: 'viewer',
    args: nothing,
    data: system,
    run: (_args, read) => systemData(sources, read),
    render: renderSystem,
  });
}

function renderSystem(data: z.infer<typeof system>, columns: number): string {
  const { memory, threads, capabilities, missing, failures, notes } = data;
  const parts = [
    keyValues([
      ['instance', data.instance],
      ['version', data.version],
      ['revision', data.revision],
      ['pid', data.pid],
      ['up', ago(data.upMs)],
      ['memory', `${bytes(memory.rss)} (heap ${bytes(memory.heap)}, outside ${bytes(memory.external)})`],
      ['capabilities', capabilities.length === 0 ? 'none' : capabilities.join(' ')],
      ['missing', missing.length === 0 ? undefined : missing.join(' ')],
    ]),
    table(
      [
        { title: 'Thread' },
        ...['p50', 'p99', 'max'].map((title) => ({ title: `Delay ${title}`, align: 'right' as const })),
      ],
      threads.map(({ name, delayMs }) => [
        name,
        ...[delayMs.p50, delayMs.p99, delayMs.max].map((ms) => `${ms.toFixed(1)}ms`),
      ]),
      columns,
    ),
  ];
  if (failures.length > 0) {
    const rows = failures.map(({ ref, code, why, sinceMs }) => [ref, code, ago(sinceMs), why]);
    parts.push(
      table([{ title: 'Failed' }, { title: 'Fault' }, { title: 'For' }, { title: 'Why', flex: true }], rows, columns),
    );
  }
  if (notes.length > 0) parts.push(notes.map((note) => `note: ${printable(note)}\n`).join(''));
  return parts.join('\n');
}

function showLog({ logLines }: SystemSources): AnyCommand {
  return command({
    path: 'show log',
    help: "the newest lines of the daemon's log",
    role: 'viewer',
    args: z.object({ lines: z.int().min(1).max(10_000).default(50).meta({ description: 'how many' }) }),
    data: z.array(z.string()),
    run: async ({ lines }) => [...logLines(lines)],
    render: (lines) => lines.map((line) => `${printable(line)}\n`).join(''),
  });
}
