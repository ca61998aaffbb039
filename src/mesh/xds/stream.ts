// One client's stream over all types: what it is told, and in which order, so that no request meets a gap.
//
//  make    new and changed clusters, with their endpoints, beside the old ones; until the client has taken them
//  switch  listeners and routes; until taken
//  break   what is out of use goes
//
// A refused response (NACK) stops the travel where it is: the old stays in force until something else is offered.
import type { Clock } from '../../lib/clock.ts';
import { emptySet, type Resources, type ResourceSet, type Type, types } from './encode/resources.ts';
import {
  due,
  newSubscription,
  type Request,
  type Response,
  sent,
  type Subscription,
  take,
  type Variant,
  wants,
} from './subscription.ts';

/** A client that does not follow (one that never asks for endpoints, say) holds a stage up for so long. */
const patienceMs = 10_000;

/** The order in which what is out of use goes. */
const breaking: readonly Type[] = ['lds', 'rds', 'cds', 'eds'];

export type Send = (type: Type, response: Response, nonce: string) => void;

export interface TypeState {
  readonly type: Type;
  readonly sent: string;
  readonly acked: string;
  /** Why the last response was refused. */
  readonly nack?: string;
}

export interface XdsStream {
  /** Takes a request; returns why the stream must end, if it must. */
  request(request: Request): string | undefined;
  /** Offers another state of the world. */
  update(target: ResourceSet): void;
  state(): readonly TypeState[];
  /** Stops its timer. */
  close(): void;
}

type Stage = 'make' | 'switch' | 'idle';

/** A stream that begins with `start`; responses leave by `send`. */
export function openStream(variant: Variant, start: ResourceSet, send: Send, clock: Clock): XdsStream {
  const subs = Object.fromEntries(types.map((type) => [type, newSubscription(type, variant)])) as Record<
    Type,
    Subscription
  >;
  let stage: Stage = 'idle';
  let settled = start;
  let base = start;
  let target = start;
  let timer: Disposable | undefined;
  let count = 0;
  let view = viewOf(stage, base, target);

  const enter = (next: Stage): void => {
    stage = next;
    timer?.[Symbol.dispose]();
    timer = next === 'idle' ? undefined : clock.after(patienceMs, () => impatient(next));
    if (next === 'idle') settled = base = target;
    view = viewOf(stage, base, target);
  };
  const impatient = (at: Stage): void => {
    const watched = at === 'make' ? (['cds', 'eds'] as const) : (['lds', 'rds'] as const);
    if (stage !== at || watched.some((type) => subs[type].refusal !== undefined)) return;
    enter(at === 'make' ? 'switch' : 'idle');
    flush();
  };
  const flushType = (type: Type): void => {
    const sub = subs[type];
    const response = due(sub, view[type], stage === 'idle');
    if (response === undefined) return;
    if (type === 'cds') oweEndpoints(response, sub, subs.eds);
    sent(sub, response, String(++count), view[type]);
    send(type, response, sub.nonce);
  };
  const flush = (): void => {
    for (;;) {
      for (const type of stage === 'idle' ? breaking : types) flushType(type);
      if (stage === 'make' && isMade(subs, view, target)) enter('switch');
      else if (stage === 'switch' && isTaken(subs.lds, view) && isTaken(subs.rds, view)) enter('idle');
      else return;
    }
  };

  return {
    request(request) {
      const end = take(subs[request.type], request, view[request.type]);
      if (end === undefined) flush();
      return end;
    },
    update(next) {
      // What the client may use meanwhile: the last settled state, and the one that was on its way with routes.
      base = stage === 'switch' ? unionOf(settled, target) : settled;
      target = next;
      enter('make');
      flush();
    },
    state: () =>
      types
        .map((type) => subs[type])
        .filter((sub) => sub.seen)
        .map((sub) => ({
          type: sub.type,
          sent: sub.version,
          acked: sub.acked,
          ...(sub.refusal !== undefined && { nack: sub.refusal }),
        })),
    close: () => timer?.[Symbol.dispose](),
  };
}

function viewOf(stage: Stage, base: ResourceSet, target: ResourceSet): ResourceSet {
  if (stage === 'idle') return target;
  const both = unionOf(base, target);
  return stage === 'switch' ? both : { ...both, lds: base.lds, rds: base.rds };
}

function unionOf(base: ResourceSet, target: ResourceSet): ResourceSet {
  const merge = (type: Type): Resources =>
    base[type] === target[type] ? target[type] : new Map([...base[type], ...target[type]]);
  return { ...emptySet, cds: merge('cds'), eds: merge('eds'), lds: merge('lds'), rds: merge('rds') };
}

/** A changed cluster stays warming in Envoy until endpoints arrive after it, even the same ones. */
function oweEndpoints(response: Response, clusters: Subscription, endpoints: Subscription): void {
  for (const { name, version } of response.resources) {
    if (clusters.held.get(name) !== version && endpoints.names.has(name)) endpoints.owed.add(name);
  }
}

function isTaken(sub: Subscription, view: ResourceSet): boolean {
  return !sub.seen || (!sub.awaiting && sub.refusal === undefined && due(sub, view[sub.type], false) === undefined);
}

/** Whether the client has the clusters of the target, and endpoints for each of them. */
function isMade(subs: Readonly<Record<Type, Subscription>>, view: ResourceSet, target: ResourceSet): boolean {
  const { cds, eds } = subs;
  if (!isTaken(cds, view) || !isTaken(eds, view)) return false;
  if (!cds.seen) return true;
  return [...target.eds.values()].every(
    ({ name, version }) => !target.cds.has(name) || !wants(cds, name) || eds.held.get(name) === version,
  );
}
