// What one client wants of one type and what it was told: the rules of the xDS transport protocol that do not depend on
// the other types (envoyproxy.io, "xDS REST and gRPC protocol"), for both variants.
//
// One response a type is outstanding at a time: changes meanwhile are told together after the answer, so a slow client
// holds nothing up and nothing piles up for it.
import { createHash } from 'node:crypto';
import type { Resources, Type, XdsResource } from './encode/resources.ts';

export type Variant = 'sotw' | 'delta';

/** A request of either variant. */
export interface Request {
  readonly type: Type;
  readonly nonce: string;
  /** Why the client refused the response with the nonce; undefined: it did not (a NACK is known by this alone). */
  readonly error: string | undefined;
  /** sotw: all names wanted. delta: names wanted from now on. */
  readonly names: readonly string[];
  /** delta: names not wanted any more. */
  readonly unsubscribed: readonly string[];
  /** sotw: version that the client has. */
  readonly version: string;
  /** delta: versions that the client has from an earlier stream. */
  readonly initial: Readonly<Record<string, string>>;
}

export interface Response {
  readonly version: string;
  readonly resources: readonly XdsResource[];
  /** delta: names that are gone, or never were. */
  readonly removed: readonly string[];
}

export interface Subscription {
  readonly type: Type;
  readonly variant: Variant;
  seen: boolean;
  wildcard: boolean;
  readonly names: Set<string>;
  /** Version of each resource that the client was told last; '' where it was told that there is none. */
  held: Map<string, string>;
  /** Names to send though the client has that version. */
  readonly owed: Set<string>;
  /** The next response goes out even if it says nothing new. */
  must: boolean;
  /** Names in the last response. */
  last: readonly string[];
  nonce: string;
  awaiting: boolean;
  version: string;
  acked: string;
  refusal: string | undefined;
}

/** More names than this in one subscription end the stream. */
export const mostNames = 16_384;

/** Nothing asked for yet. */
export function newSubscription(type: Type, variant: Variant): Subscription {
  return {
    type,
    variant,
    seen: false,
    wildcard: false,
    names: new Set(),
    held: new Map(),
    owed: new Set(),
    must: false,
    last: [],
    nonce: '',
    awaiting: false,
    version: '',
    acked: '',
    refusal: undefined,
  };
}

/** Whether the client wants a resource of the name. */
export function wants(sub: Subscription, name: string): boolean {
  return sub.wildcard || sub.names.has(name);
}

/** Takes a request in. `view` is what there is now. Returns why the stream must end, if it must. */
export function take(sub: Subscription, request: Request, view: Resources): string | undefined {
  const first = !sub.seen;
  // A nonce of another stream, or of a response that a newer one has overtaken.
  const stale = !first && request.nonce !== '' && request.nonce !== sub.nonce;
  // A stale state-of-the-world request is answered by the client again, once it has the newer response.
  if (sub.variant === 'sotw' && !first && request.nonce !== sub.nonce) return undefined;
  sub.seen = true;
  if (!first && !stale && request.nonce !== '' && sub.awaiting) answer(sub, request);
  if (sub.variant === 'sotw') subscribeAll(sub, request, first, view);
  else subscribeMore(sub, request, first);
  if (sub.names.size > mostNames) return `more than ${mostNames} names of one type`;
  return undefined;
}

function answer(sub: Subscription, request: Request): void {
  sub.awaiting = false;
  sub.refusal = request.error;
  if (request.error === undefined) sub.acked = sub.version;
}

/** There is something else to tell: what was refused is told again where the target has it, and the refusal stands no
 * longer. Whether the client has it is not known, so where it is gone that is said too. */
export function forgive(sub: Subscription, target: Resources): void {
  if (sub.refusal === undefined) return;
  sub.refusal = undefined;
  for (const name of sub.last) if (target.has(name)) sub.owed.add(name);
}

/** Only listeners and clusters can be had all, and only their responses say all that there is. */
function isWhole(type: Type): boolean {
  return type === 'lds' || type === 'cds';
}

function subscribeAll(sub: Subscription, request: Request, first: boolean, view: Resources): void {
  const before = new Set(sub.names);
  const wasWildcard = sub.wildcard;
  const named = new Set(request.names);
  const star = named.delete('*');
  // No name ever sent is a wildcard; once there was one, an empty list is the end of all subscriptions.
  const legacy = named.size === 0 && !star && (first || (wasWildcard && before.size === 0));
  sub.wildcard = isWhole(sub.type) && (star || legacy);
  sub.names.clear();
  for (const name of named) sub.names.add(name);
  for (const name of sub.held.keys()) if (!wants(sub, name)) sub.held.delete(name);
  const added = [...named].some((name) => !before.has(name)) || (sub.wildcard && !wasWildcard);
  if (!first) {
    if (added && isWhole(sub.type)) sub.must = true;
    return;
  }
  if (request.version !== '' && request.version === versionFor(sub, view)) remember(sub, view);
  else sub.must = isWhole(sub.type);
}

function subscribeMore(sub: Subscription, request: Request, first: boolean): void {
  for (const name of request.unsubscribed) {
    if (name === '*') sub.wildcard = false;
    sub.names.delete(name);
  }
  if (first && isWhole(sub.type) && request.names.length === 0) sub.wildcard = true;
  if (first) {
    sub.held = new Map(Object.entries(request.initial).slice(0, mostNames));
    sub.must = true;
  }
  for (const name of request.names) {
    if (name === '*' && isWhole(sub.type)) {
      sub.must ||= !sub.wildcard;
      sub.wildcard = true;
      continue;
    }
    sub.names.add(name);
    // Asking again for what one has is asking for it to be sent again.
    if (!first) sub.owed.add(name);
  }
  for (const name of sub.held.keys()) if (!wants(sub, name)) sub.held.delete(name);
}

/** What is to be told now, or undefined for nothing. `mayRemove`: resources that are gone may be said to be gone. */
export function due(sub: Subscription, view: Resources, mayRemove: boolean): Response | undefined {
  if (!sub.seen || sub.awaiting) return undefined;
  const changed = [...wanted(sub, view)].filter((r) => sub.held.get(r.name) !== r.version || sub.owed.has(r.name));
  const gone = [...sub.held].filter(([name, version]) => version !== '' && !view.has(name)).map(([name]) => name);
  if (sub.variant === 'sotw') {
    if (changed.length === 0 && !sub.must && (gone.length === 0 || !isWhole(sub.type))) return undefined;
    const resources = isWhole(sub.type) ? [...wanted(sub, view)] : changed;
    return { version: versionFor(sub, view), resources, removed: [] };
  }
  const absent = [...sub.names].filter((name) => !view.has(name) && (!sub.held.has(name) || sub.owed.has(name)));
  const removed = mayRemove ? [...new Set([...gone, ...absent])] : absent;
  if (changed.length === 0 && removed.length === 0 && !(sub.must && sub.wildcard)) return undefined;
  return { version: versionFor(sub, view), resources: changed, removed };
}

/** Notes that the response went out under the nonce. */
export function sent(sub: Subscription, response: Response, nonce: string, view: Resources): void {
  for (const { name, version } of response.resources) sub.held.set(name, version);
  for (const name of response.removed) {
    if (sub.names.has(name)) sub.held.set(name, '');
    else sub.held.delete(name);
  }
  if (sub.variant === 'sotw') for (const name of sub.held.keys()) if (!view.has(name)) sub.held.delete(name);
  sub.owed.clear();
  sub.must = false;
  sub.last = response.resources.map((resource) => resource.name);
  sub.nonce = nonce;
  sub.awaiting = true;
  sub.version = response.version;
  sub.refusal = undefined;
}

function remember(sub: Subscription, view: Resources): void {
  for (const { name, version } of wanted(sub, view)) sub.held.set(name, version);
  sub.version = versionFor(sub, view);
  sub.acked = sub.version;
}

function* wanted(sub: Subscription, view: Resources): Generator<XdsResource> {
  if (sub.wildcard) return yield* view.values();
  for (const name of sub.names) {
    const resource = view.get(name);
    if (resource !== undefined) yield resource;
  }
}

/** Version of all that the client wants of the view: the same after a restart for the same content. */
function versionFor(sub: Subscription, view: Resources): string {
  const lines = [...wanted(sub, view)].map((r) => `${r.name} ${r.version}\n`).toSorted();
  return createHash('sha256').update(lines.join('')).digest('hex').slice(0, 16);
}
