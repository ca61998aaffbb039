// One case: a sentence of a standard, a request, and what the sentence means for it. Written by hand from the text;
// nothing here is made by the code that is tested.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Request } from '../talk.ts';

export interface Expected {
  /** Several: some requests get this, some that. */
  readonly status: number | readonly number[];
  /** All that may answer, each of which does in the end; absent: the router itself. */
  readonly backends?: readonly string[];
  /** Request target as the backend sees it. */
  readonly url?: string;
  /** Headers as the backend sees them, several values joined by ","; undefined: not there. */
  readonly seen?: Readonly<Record<string, string | undefined>>;
  /** Headers of the answer. */
  readonly answer?: Readonly<Record<string, string | undefined>>;
  readonly body?: string;
}

export interface Case extends Expected {
  /** The sentence, and where it stands. */
  readonly says: string;
  readonly from: string;
  readonly port: number;
  readonly ask: Request;
}

export interface CaseSet {
  readonly manifests: string;
  readonly cases: readonly Case[];
}

/** The manifests in a file beside this one. */
export function manifestsOf(name: string): string {
  return readFileSync(join(import.meta.dirname, name), 'utf8');
}

/** Starts rows with the sentence in common. */
export function say(port: number, from: string, says: string) {
  return (ask: Request, expected: Expected): Case => ({ says, from, port, ask, ...expected });
}

/** "GET /path?query", or "METHOD /path"; the Host; other headers, "name: value" each. */
export function ask(line: string, host: string, ...headers: readonly string[]): Request {
  const [method = '', path = ''] = line.startsWith('/') ? ['GET', line] : line.split(' ');
  const pairs = headers.map((text) => [text.slice(0, text.indexOf(':')), text.slice(text.indexOf(':') + 2)] as const);
  return { method, path, headers: [['Host', host], ...pairs] };
}
