// The program beside the model, frame by frame: verdict, ports and tags, bytes, every counter of every port, and what
// both have learned.
import { dropReasons, decodeFdb, decodeFdbKey, fdbFlags, fdbKeySize, fdbSize } from '../../src/kernel/abi.ts';
import type { PortCounters } from '../../src/kernel/counters.ts';
import { readU32, u32 } from '../../src/lib/bytes.ts';
import { printMac } from '../../src/lib/mac.ts';
import type { Judgement, Model } from './model.ts';
import { isTag } from './parsed.ts';
import type { Hook, Outcome, Rig } from './rig.ts';

/** Where they differ, in words; empty where they agree. */
export type Difference = readonly string[];

export interface Compared {
  readonly verdict: Judgement['verdict'];
  readonly reason: string;
  /** In XDP. */
  readonly finished: boolean;
  readonly wrong: Difference;
}

export interface Comparison {
  /** Sends a frame in as the port's device would: to XDP where the port has it, and on to tcx where that passes it. */
  send(port: string, frame: Uint8Array): Compared;
  /** Sends it in at one hook. */
  at(hook: Hook, port: string, frame: Uint8Array): Compared;
  /** Whether the learned addresses and their counts are the same. */
  tables(): Difference;
  /** Frames that PROG_TEST_RUN would not give to the program. */
  readonly refused: readonly string[];
}

type Counts = Readonly<Record<string, bigint>>;

export function openComparison(rig: Rig, model: Model, isXdp: (port: string) => boolean): Comparison {
  const refused: string[] = [];
  const run = (port: string, frame: Uint8Array, hook: Hook): Outcome | undefined => {
    try {
      return rig.send(port, frame, hook);
    } catch (error) {
      if (hook === 'xdp' || !refusable(frame)) throw error;
      refused.push(Buffer.from(frame).toString('hex'));
      return undefined;
    }
  };
  const watch = watchCounters(rig, model);
  const at = (hook: Hook, port: string, frame: Uint8Array): Compared => {
    const judged = model.judge(port, frame);
    const { verdict, reason } = judged;
    const finished = hook === 'xdp' && model.finishedByXdp(port, judged);
    const passed = hook === 'xdp' && !finished;
    const outcome = run(port, frame, hook);
    if (outcome === undefined) return { verdict, reason, finished, wrong: [] };
    if (hook === 'tcx') model.learn(port, judged);
    const differs = passed ? untouched(outcome, frame) : asJudged(outcome, judged, hook);
    const counts = watch(passed ? new Map() : expectedCounts(port, frame, judged, hook));
    return { verdict, reason, finished, wrong: [...differs, ...counts].map((line) => `at ${hook}: ${line}`) };
  };
  return {
    refused,
    at,
    tables: () => tablesDiffer(rig, model),
    send(port, frame) {
      if (!isXdp(port)) return at('tcx', port, frame);
      const first = at('xdp', port, frame);
      return first.finished || first.wrong.length > 0 ? first : at('tcx', port, frame);
    },
  };
}

/** Compares what all counters of all ports moved by since the last call that said `keep`. */
export function watchCounters(
  rig: Rig,
  model: Model,
): (expected: ReadonlyMap<string, Counts>, keep?: boolean) => Difference {
  const counted = (): Map<string, Counts> => new Map(model.ports.map((port) => [port, flat(rig.counters(port))]));
  let before = counted();
  let ownMoved = false;
  return (expected, keep = true) => {
    const now = counted();
    const [was, moved] = [before, ownMoved];
    if (!keep) return countersDiffer(was, now, expected);
    before = now;
    ownMoved = model.ports.some((port) => own(now, port) - own(was, port) !== (expected.get(port)?.['own'] ?? 0n));
    // The stack spoke meanwhile (it announces its IPv6 addresses): what moved is not this frame's alone.
    return moved || ownMoved ? [] : countersDiffer(was, now, expected);
  };
}

/** PROG_TEST_RUN takes no skb that is shorter than the IP header that its EtherType announces. */
function refusable(frame: Uint8Array): boolean {
  const type = ((frame[12] ?? 0) << 8) | (frame[13] ?? 0);
  return (type === 0x0800 && frame.length < 34) || (type === 0x86dd && frame.length < 54);
}

const own = (counts: ReadonlyMap<string, Counts>, port: string): bigint => counts.get(port)?.['own'] ?? 0n;

function flat(c: PortCounters): Counts {
  const { drop, ...rest } = c;
  const drops = Object.entries(dropReasons).map(([reason, i]) => [`drop ${reason}`, drop[i] ?? 0n] as const);
  return { ...rest, ...Object.fromEntries(drops) };
}

export const print = (copies: Judgement['out']): string =>
  copies
    .map(([port, vid]) => (vid === 0 ? port : `${port}.${vid}`))
    .toSorted()
    .join(' ');

function asJudged(at: Outcome, judged: Judgement, hook: Hook): Difference {
  const said = (verdict: string, reason: string, out: Judgement['out']): string =>
    [verdict, reason, print(out)].filter((word) => word !== '').join(' ');
  const [ours, models] = [said(at.verdict, at.reason, at.out), said(judged.verdict, judged.reason, judged.out)];
  if (ours !== models) return [`the program says "${ours}", the model "${models}"`];
  if (!['port', 'up', 'pass'].includes(judged.verdict)) return [];
  const bytes = Buffer.from(bytesAt(judged, hook)).toString('hex');
  const got = Buffer.from(at.data).toString('hex');
  return bytes === got ? [] : [`bytes are ${got}, not ${bytes}`];
}

/** What PROG_TEST_RUN shows of the frame: at tcx a tag that was put on stands beside it. */
function bytesAt(judged: Judgement, hook: Hook): Uint8Array {
  const [, vid = 0] = judged.out[0] ?? [];
  const wire = judged.wire(vid);
  return hook === 'xdp' || !converted(judged, vid) ? wire : withoutFirstTag(wire);
}

function converted({ parsed }: Judgement, vid: number): boolean {
  return !(parsed === undefined || (parsed.vid === -1 ? vid === 0 : vid !== 0 && parsed.vid === vid));
}

function withoutFirstTag(wire: Uint8Array): Uint8Array {
  const tagged = isTag(((wire[12] ?? 0) << 8) | (wire[13] ?? 0));
  return tagged ? Uint8Array.from([...wire.subarray(0, 12), ...wire.subarray(16)]) : wire;
}

function untouched(at: Outcome, frame: Uint8Array): Difference {
  if (at.verdict !== 'none') return [`the program finishes it: ${at.verdict} ${print(at.out)}`];
  return Buffer.from(at.data).equals(frame) ? [] : [`passed, but as ${Buffer.from(at.data).toString('hex')}`];
}

/** Every counter that the frame moves, by port. On a wire a tag stands beside the frame where tcx counts it. */
export function expectedCounts(
  port: string,
  frame: Uint8Array,
  judged: Judgement,
  hook: Hook,
  tag: 'in-band' | 'beside' = 'in-band',
): ReadonlyMap<string, Counts> {
  const counts = new Map<string, Record<string, bigint>>();
  const add = (name: string, what: Counts): void => {
    const row = counts.get(name) ?? {};
    counts.set(name, row);
    for (const [key, n] of Object.entries(what)) row[key] = (row[key] ?? 0n) + n;
  };
  const left = (vid: number): bigint => {
    const wire = judged.wire(vid);
    const beside = hook === 'tcx' && (tag === 'beside' || converted(judged, vid));
    return BigInt((beside ? withoutFirstTag(wire) : wire).length);
  };
  const came = hook === 'tcx' && tag === 'beside' ? withoutFirstTag(frame) : frame;
  const svi = /^vlan(\d+)-bd$/;
  add(port, svi.test(port) ? { own: 1n } : { rx: 1n, rxBytes: BigInt(came.length), rxSkbs: 1n });
  if (judged.learn === 'new') add(port, { learned: 1n });
  if (judged.learn === 'moved') add(port, { moved: 1n });
  if (judged.verdict === 'drop') add(port, { [`drop ${judged.reason}`]: 1n });
  else if (judged.verdict === 'up' || judged.verdict === 'pass') add(port, { up: 1n, upSkbs: 1n });
  else add(port, { handed: 1n });
  for (const [out, vid] of judged.out) {
    if (svi.test(out)) add(port, { copies: 1n, copiesUpSkbs: 1n });
    else add(out, { tx: 1n, txBytes: left(vid), txSkbs: 1n });
    if (judged.verdict === 'flood' && !svi.test(out)) add(port, { copies: 1n });
  }
  for (const name of judged.skipped) add(name, { floodSkipped: 1n });
  return counts;
}

function countersDiffer(
  was: ReadonlyMap<string, Counts>,
  now: ReadonlyMap<string, Counts>,
  expected: ReadonlyMap<string, Counts>,
): Difference {
  return [...now].flatMap(([port, counts]) =>
    Object.entries(counts).flatMap(([key, n]) => {
      const moved = n - (was.get(port)?.[key] ?? 0n);
      const wanted = expected.get(port)?.[key] ?? 0n;
      return moved === wanted ? [] : [`counter "${key}" of ${port} moved by ${moved}, not ${wanted}`];
    }),
  );
}

function tablesDiffer(rig: Rig, model: Model): Difference {
  const { count, keys, values } = rig.datapath.map('fdb').dump();
  const names = new Map(model.ports.map((port) => [rig.portId(port), port]));
  const rows = new Map<string, string>();
  for (let i = 0; i < count; i += 1) {
    const row = decodeFdb(values, i * fdbSize);
    if ((row.flags & fdbFlags.static) !== 0) continue;
    const { bd, mac } = decodeFdbKey(keys, i * fdbKeySize);
    rows.set(`${bd} ${printMac(mac)}`, names.get(row.port) ?? `#${row.port}`);
  }
  const wrong = [...new Set([...rows.keys(), ...model.learned.keys()])].flatMap((key) =>
    rows.get(key) === model.learned.get(key)
      ? []
      : [`address ${key} is at ${rows.get(key) ?? 'no port'}, the model says ${model.learned.get(key) ?? 'no port'}`],
  );
  const counts = model.ports.flatMap((port) => {
    const counted = readU32(rig.datapath.map('fdb_count').lookup(u32(rig.portId(port))) ?? u32(0));
    const here = [...model.learned.values()].filter((other) => other === port).length;
    return counted === here ? [] : [`${port} counts ${counted} addresses, the model ${here}`];
  });
  return [...wrong, ...counts];
}
