// The command tree: the words of all commands, and what each takes behind them.
import { z } from 'zod';
import type { AnyCommand, Role } from '../engine/slice.ts';
import { placeOf } from './document/place.ts';
import { firstMessage, tellingMessage, type Lost } from './document/path.ts';
import type { Word } from './words.ts';

/** What follows a command's words: positional arguments, a place in the document (with or without a value behind it),
 * or another command. */
export type Takes =
  | { readonly kind: 'arguments'; readonly args: z.ZodObject; readonly complete?: AnyCommand['complete'] }
  | { readonly kind: 'place'; readonly value: 'set' | 'delete' | 'none' }
  | { readonly kind: 'command' };

/** Something that can be entered: a slice's command, or a verb of the session. */
export interface Entry<R = unknown> {
  readonly path: string;
  readonly help: string;
  readonly role: Role;
  readonly takes: Takes;
  readonly run: R;
}

export interface TreeNode<R = unknown> {
  readonly help: string;
  readonly children: Map<string, TreeNode<R>>;
  readonly entry?: Entry<R>;
}

const ranks: Readonly<Record<Role, number>> = { viewer: 0, operator: 1, admin: 2 };

/** Whether a role may do what asks for `needed`. */
export function mayDo(role: Role, needed: Role): boolean {
  return ranks[role] >= ranks[needed];
}

/** Help of words that begin several commands. */
const groupHelp: Readonly<Record<string, string>> = {
  show: 'what there is and how it is',
  clear: 'set counters or learned state back',
  monitor: 'watch, until ^C',
  commit: 'make the candidate the running configuration',
  container: 'act on a container',
  vm: 'act on a virtual machine',
  function: 'act on a function',
};

/** A tree of the entries that the role may enter: others are unknown words to it. */
export function commandTree<R>(entries: readonly Entry<R>[], role: Role): TreeNode<R> {
  interface Growing {
    help: string;
    children: Map<string, Growing>;
    entry?: Entry<R>;
  }
  const root: Growing = { help: '', children: new Map() };
  for (const entry of entries) {
    if (!mayDo(role, entry.role)) continue;
    let node = root;
    for (const word of entry.path.split(' ')) {
      let child = node.children.get(word);
      if (!child) node.children.set(word, (child = { help: groupHelp[word] ?? '', children: new Map() }));
      node = child;
    }
    node.entry ??= entry;
    node.help = entry.help;
  }
  return root;
}

export type Resolved<R> = { readonly ok: true; readonly entry: Entry<R>; readonly rest: readonly Word[] };

/** The node that the words lead to by exact words and unique beginnings, and the words that are left for arguments. */
export function descend<R>(
  root: TreeNode<R>,
  words: readonly Word[],
): Lost | { ok: true; node: TreeNode<R>; used: number } {
  let node = root;
  for (const [index, word] of words.entries()) {
    const matches = word.literal ? [] : childrenOf(node, word.text);
    const next = matches.length === 1 ? node.children.get(matches[0] ?? '') : undefined;
    if (next) {
      node = next;
      continue;
    }
    if (node.entry && takesMore(node.entry)) return { ok: true, node, used: index };
    const message = matches.length > 1 ? 'ambiguous' : 'unknown word';
    return { ok: false, at: index, message, options: matches.length > 1 ? matches : [...node.children.keys()] };
  }
  return { ok: true, node, used: words.length };
}

/** The entry that the words name, and its own words. A name may stand before the verb: "guest web1 logs". */
export function resolve<R>(root: TreeNode<R>, words: readonly Word[]): Lost | Resolved<R> {
  const found = resolveInOrder(root, words);
  const [group, name, verb, ...rest] = words;
  if (found.ok || found.at !== 1 || group === undefined || name === undefined || verb === undefined) return found;
  const turned = resolveInOrder(root, [group, verb, name, ...rest]);
  return turned.ok && turned.rest[0] === name ? turned : found;
}

function resolveInOrder<R>(root: TreeNode<R>, words: readonly Word[]): Lost | Resolved<R> {
  const found = descend(root, words);
  if (!found.ok) return found;
  const { entry, children } = found.node;
  if (!entry) return { ok: false, at: words.length, message: 'incomplete', options: [...children.keys()] };
  return { ok: true, entry, rest: words.slice(found.used) };
}

function childrenOf<R>(node: TreeNode<R>, text: string): readonly string[] {
  if (node.children.has(text)) return [text];
  return [...node.children.keys()].filter((word) => word.startsWith(text));
}

function takesMore(entry: Entry): boolean {
  return entry.takes.kind !== 'arguments' || Object.keys(entry.takes.args.shape).length > 0;
}

/** One positional argument as help shows it. */
export interface Argument {
  readonly name: string;
  readonly help: string;
  readonly optional: boolean;
  /** Takes all words that are left. */
  readonly rest: boolean;
  readonly values: readonly string[];
}

/** The arguments of a z.object, in order. */
export function argumentsOf(args: z.ZodObject): readonly Argument[] {
  return Object.entries(args.shape).map(([name, schema]) => {
    const place = placeOf(schema);
    const rest = place.item !== undefined && !place.leaf;
    const values = place.item ? place.item.values : place.values;
    const optional = z.safeParse(schema, undefined).success;
    return { name, help: place.help, optional, rest, values };
  });
}

export type ParsedArguments =
  | { readonly ok: true; readonly args: unknown }
  | { readonly ok: false; readonly at: number; readonly message: string };

/** Which argument each word fills: by place, or as "NAME VALUE" where a word is an unfilled argument's own name. */
export function fillArguments(
  args: z.ZodObject,
  words: readonly Word[],
): { readonly filled: Map<string, Word[]>; readonly extra?: number; readonly pending?: Argument } {
  const list = argumentsOf(args);
  const filled = new Map<string, Word[]>();
  let at = 0;
  for (let word = words[at]; word; word = words[at]) {
    const { text, literal } = word;
    const free = list.filter((argument) => !filled.has(argument.name));
    const named = literal ? undefined : free.find((argument) => argument.name === text);
    const target = named ?? free[0];
    if (!target) return { filled, extra: at };
    // As the last word an argument's name is its value, unless one is still to be typed behind it.
    if (named && at + 1 === words.length)
      return { filled: filled.set((free[0] ?? named).name, [word]), pending: named };
    if (named) at += 1;
    const taken = words.slice(at, target.rest ? undefined : at + 1);
    filled.set(target.name, taken);
    at += taken.length;
  }
  return { filled };
}

/** Arguments as a command's `run` takes them. A word is tried as text, then as the number or boolean that it spells. */
export function parseArguments(args: z.ZodObject, words: readonly Word[]): ParsedArguments {
  const { filled, extra } = fillArguments(args, words);
  if (extra !== undefined) return { ok: false, at: extra, message: 'nothing more is expected here' };
  const values: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(args.shape)) {
    const taken = filled.get(name);
    if (!taken) continue;
    const tries = triesOf(schema, taken);
    const fits = tries.find((value) => z.safeParse(schema, value).success);
    if (fits === undefined) {
      const errors = tries.flatMap((value) => z.safeParse(schema, value).error ?? []);
      const at = words.findIndex((word) => word === taken[0]);
      return { ok: false, at, message: `${name}: ${tellingMessage(errors)}` };
    }
    values[name] = fits;
  }
  const result = args.safeParse(values);
  if (result.success) return { ok: true, args: result.data };
  const missing = argumentsOf(args).find((argument) => !argument.optional && !filled.has(argument.name));
  if (missing) return { ok: false, at: words.length, message: `${missing.name} is missing` };
  return { ok: false, at: words.length, message: firstMessage(result.error) };
}

function triesOf(schema: z.core.$ZodType, taken: readonly Word[]): readonly unknown[] {
  const texts = taken.map((word) => word.text);
  const place = placeOf(schema);
  if (place.item && !place.leaf) return [texts, texts.map(typed)];
  const [text = ''] = texts;
  return [text, typed(text)];
}

function typed(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true';
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

/** A slice's commands as entries of the operational tree. */
export function commandEntries(commands: readonly AnyCommand[]): readonly Entry<AnyCommand>[] {
  return commands.map((command) => {
    const { path, help, role } = command;
    const complete: AnyCommand['complete'] = command.complete && ((name, read) => command.complete?.(name, read) ?? []);
    const takes: Takes = { kind: 'arguments', args: command.args as z.ZodObject, ...(complete ? { complete } : {}) };
    return { path, help, role, takes, run: command };
  });
}
