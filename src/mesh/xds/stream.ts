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
  forgive,
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

/** What each stage waits for. */
const stagesTypes: Readonly<Record<Stage, readonly Type[]>> = {
  make: ['cds', 'eds'],
  switch: ['lds', 'rds'],
  idle: [],
};

/** Where a stream is. */
interface Travel {
  readonly subs: Readonly<Record<Type, Subscription>>;
  readonly send: Send;
  readonly clock: Clock;
  stage: Stage;
  /** The last state that the client had whole. */
  settled: ResourceSet;
  /** What the client may be using until the target is there. */
  base: ResourceSet;
  target: ResourceSet;
  /** What it is told of at this stage. */
  view: ResourceSet;
  /** Types that another offer differs in, and whose stage has not come yet. */
  readonly changed: Set<Type>;
  timer: Disposable | undefined;
  responses: number;
}

/** Requests that may come before there is anything to answer them with. */
const mostEarly = 64;

/** A stream that begins with `start`; responses leave by `send`. Without `start` (a manager that has just come up)
 * nothing is answered until the first update: an empty answer would take from a proxy all that it has. */
export function openStream(variant: Variant, start: ResourceSet | undefined, send: Send, clock: Clock): XdsStream {
  const fresh = (type: Type): Subscription => newSubscription(type, variant);
  const subs = { cds: fresh('cds'), eds: fresh('eds'), lds: fresh('lds'), rds: fresh('rds') };
  const fixed = { subs, send, clock, changed: new Set<Type>() };
  const travel: Travel = { ...fixed, stage: 'idle', ...restAt(start), timer: undefined, responses: 0 };
  let early: Request[] | undefined = start === undefined ? [] : undefined;
  const answer = (request: Request): string | undefined => {
    const end = take(subs[request.type], request, travel.view[request.type]);
    if (end === undefined) flush(travel);
    return end;
  };
  return {
    request(request) {
      if (early === undefined) return answer(request);
      return early.push(request) > mostEarly ? 'too many requests before there is an answer' : undefined;
    },
    update(next) {
      if (early !== undefined) {
        const waiting = early;
        early = undefined;
        Object.assign(travel, restAt(next));
        for (const request of waiting) answer(request);
        return;
      }
      const { stage, settled, target } = travel;
      // Routes of the last target may be in use already where it came so far, but not what was refused of it.
      travel.base = stage === 'switch' ? unionOf(settled, acceptable(target, settled, subs)) : settled;
      for (const type of types) if (target[type] !== next[type]) travel.changed.add(type);
      travel.target = next;
      enter(travel, 'make');
      flush(travel);
    },
    state: () =>
      types
        .map((type) => subs[type])
        .filter((sub) => sub.seen)
        .map(({ type, version, acked, refusal }) => ({
          type,
          sent: version,
          acked,
          ...(refusal !== undefined && { nack: refusal }),
        })),
    close: () => travel.timer?.[Symbol.dispose](),
  };
}

function restAt(set: ResourceSet = emptySet): Pick<Travel, 'settled' | 'base' | 'target' | 'view'> {
  return { settled: set, base: set, target: set, view: set };
}

function enter(travel: Travel, stage: Stage): void {
  travel.stage = stage;
  travel.timer?.[Symbol.dispose]();
  travel.timer = stage === 'idle' ? undefined : travel.clock.after(patienceMs, () => impatient(travel, stage));
  if (stage === 'idle') travel.settled = travel.base = travel.target;
  for (const type of stagesTypes[stage])
    if (travel.changed.delete(type)) forgive(travel.subs[type], travel.target[type]);
  travel.view = viewOf(stage, travel.base, travel.target);
}

function impatient(travel: Travel, at: Stage): void {
  if (travel.stage !== at || stagesTypes[at].some((type) => travel.subs[type].refusal !== undefined)) return;
  enter(travel, at === 'make' ? 'switch' : 'idle');
  flush(travel);
}

/** Tells all that may be told, through as many stages as the client has followed. */
function flush(travel: Travel): void {
  for (;;) {
    for (const type of travel.stage === 'idle' ? breaking : types) flushType(travel, type);
    const { stage, subs, view, target } = travel;
    if (stage === 'make' && isMade(subs, view, target)) enter(travel, 'switch');
    else if (stage === 'switch' && isTaken(subs.lds, view) && isTaken(subs.rds, view)) enter(travel, 'idle');
    else return;
  }
}

function flushType(travel: Travel, type: Type): void {
  const { subs, view, stage, send } = travel;
  const sub = subs[type];
  const response = due(sub, view[type], stage === 'idle');
  if (response === undefined) return;
  if (type === 'cds') oweEndpoints(response, sub, subs.eds);
  sent(sub, response, String(++travel.responses), view[type]);
  send(type, response, sub.nonce);
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

/** The target, with what is settled in the place of types that were refused. */
function acceptable(target: ResourceSet, settled: ResourceSet, subs: Travel['subs']): ResourceSet {
  const refused = types.filter((type) => subs[type].refusal !== undefined);
  return { ...target, ...Object.fromEntries(refused.map((type) => [type, settled[type]])) };
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
