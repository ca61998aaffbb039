// Header edits of a route, folded once into: names that go, bytes that come.
import type { HeaderEdits } from '../../mesh/snapshot.ts';
import { F_HASH, F_NAME, F_NAME_LEN, bytesAre, fields, nameHash } from './fields.ts';

/** Bytes that the edits of one route may add. */
const MAX_ADDED = 4096;
/** Framing and connection are the router's own business. */
const forbidden = new Set([
  'connection',
  'content-length',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
export interface Edits {
  readonly removes: readonly { readonly hash: number; readonly name: Uint8Array }[];
  readonly added: Uint8Array;
  /** One of `removes` is x-forwarded-for, -proto or -client-cert: what the router itself would say. */
  readonly forwardedFor: boolean;
  readonly forwardedProto: boolean;
  readonly clientCert: boolean;
  /** As above, of an answer that the router gives itself. */
  readonly contentType: boolean;
}

/** Nothing is edited. One for all, since memory that other requests have looked at is nearer. */
export const noChange: Edits = {
  removes: [],
  added: Buffer.alloc(0),
  forwardedFor: false,
  forwardedProto: false,
  clientCert: false,
  contentType: false,
};

/** Folds lists of edits, applied one after the other. Throws an Error where an edit can't be made. */
export function foldEdits(lists: readonly HeaderEdits[]): Edits {
  if (lists.every(({ remove, set, add }) => remove.length + set.length + add.length === 0)) return noChange;
  const removes = new Set<string>();
  let added: [string, string][] = [];
  const remove = (name: string) => {
    removes.add(name);
    added = added.filter(([other]) => other !== name);
  };
  for (const list of lists) {
    for (const name of list.remove) remove(checked(name));
    for (const [name, value] of list.set) {
      remove(checked(name));
      added.push([name, checkedValue(name, value)]);
    }
    for (const [name, value] of list.add) added.push([checked(name), checkedValue(name, value)]);
  }
  const bytes = Buffer.from(added.map(([name, value]) => `${name}: ${value}\r\n`).join(''), 'latin1');
  if (bytes.length > MAX_ADDED) throw new Error(`header edits add more than ${MAX_ADDED} bytes`);
  return {
    removes: [...removes].map((name) => ({ hash: nameHash(name), name: Buffer.from(name, 'latin1') })),
    added: bytes,
    forwardedFor: removes.has('x-forwarded-for'),
    forwardedProto: removes.has('x-forwarded-proto'),
    clientCert: removes.has('x-forwarded-client-cert'),
    contentType: removes.has('content-type'),
  };
}

function checked(name: string): string {
  if (!/^[!#$%&'*+\-.^_`|~0-9a-z]{1,256}$/.test(name)) throw new Error(`bad header name ${JSON.stringify(name)}`);
  if (forbidden.has(name)) throw new Error(`header ${name} can't be edited`);
  return name;
}

function checkedValue(name: string, value: string): string {
  if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) throw new Error(`bad value of header ${name}`);
  return value.trim();
}

/** A host that is put in the place of the client's. */
export function checkedHost(host: string): string {
  if (!/^[A-Za-z0-9\-._~[\]:]{1,260}$/.test(host)) throw new Error(`bad host ${JSON.stringify(host)}`);
  return host;
}

/** The field at `at` (index into fields) is one that the edits remove. */
export function removed(edits: Edits, a: Uint8Array, at: number): boolean {
  for (let i = 0; i < edits.removes.length; i += 1) {
    const r = edits.removes[i]!;
    if (r.hash === fields[at + F_HASH] && bytesAre(a, fields[at + F_NAME]!, fields[at + F_NAME_LEN]!, r.name))
      return true;
  }
  return false;
}
