// The switch once more, as short as it can be said: a document, the addresses that it has learned and a frame in, what
// becomes of the frame out. It knows nothing of hooks, maps or offloads: the program is compared with it.
import { isTag, parseFrame, type Parsed, rewriteHop, withTag } from './parsed.ts';
import { openRouter, type Router } from './router.ts';

export interface PortSetup {
  readonly vlan?: { readonly access: number } | { readonly trunk: readonly number[]; readonly native?: number };
  readonly address?: readonly string[];
  readonly shut?: boolean;
  readonly 'mac-limit'?: number;
  readonly datapath?: 'xdp' | 'tcx';
  readonly mtu?: number;
}

/** A document, as far as frames are concerned. As JSON it is one that the switch takes. */
export interface Setup {
  readonly ports: Readonly<Record<string, PortSetup>>;
  readonly vlans: Readonly<Record<string, { readonly address: readonly string[] }>>;
  readonly fdb?: { readonly static: Readonly<Record<string, Readonly<Record<string, string>>>> };
  readonly routes?: Readonly<Record<string, { readonly via: readonly string[] } | { readonly blackhole: true }>>;
}

/** As text for the switch. The model knows no time, so there are no limits a second. */
export function documentOf(setup: Setup): string {
  const ports = Object.entries(setup.ports).map(([name, port]) => [name, { ...port, 'up-limit': 0 }]);
  return JSON.stringify({ ...setup, ports: Object.fromEntries(ports) as unknown });
}

/** What the document does not say. */
export interface World {
  readonly baseMac: string;
  /** Of a routed port. */
  readonly macOf: (port: string) => string;
  readonly neighbors: readonly { readonly dev: string; readonly address: string; readonly mac: string }[];
}

export type Verdict = 'drop' | 'port' | 'flood' | 'up' | 'pass';
export type Copy = readonly [port: string, vid: number];

/** What becomes of a frame. Nothing has changed yet. */
export interface Judgement {
  readonly verdict: Verdict;
  readonly reason: string;
  /** Where it leaves and with which tag (0: none); of a flooded one in no order. */
  readonly out: readonly Copy[];
  /** Members of the bridge domain that are down, or that it does not fit. */
  readonly skipped: readonly string[];
  readonly learn: 'nothing' | 'new' | 'moved';
  /** Where its VLAN is known: the bridge domain that it came in by. */
  readonly bd: number;
  readonly routed: boolean;
  /** As it leaves with a tag: whole, the tag in band. */
  wire(vid: number): Uint8Array;
  readonly parsed: Parsed | undefined;
}

export interface Model {
  readonly ports: readonly string[];
  judge(port: string, frame: Uint8Array): Judgement;
  /** Takes in what the frame taught. */
  learn(port: string, judgement: Judgement): void;
  /** Whether the frame never becomes an skb: known whole, between two XDP ports. */
  finishedByXdp(port: string, judgement: Judgement): boolean;
  /** Learned addresses: "vlan mac" to the port. */
  readonly learned: ReadonlyMap<string, string>;
  isSvi(port: string): boolean;
}

interface Port {
  readonly mode: 'bridged' | 'routed' | 'svi';
  readonly access: boolean;
  readonly native: number;
  readonly vlans: ReadonlySet<number>;
  readonly shut: boolean;
  readonly up: boolean;
  readonly mtu: number;
  readonly limit: number;
  readonly xdp: boolean;
}

interface Row {
  readonly port: string;
  readonly kind: 'learned' | 'static' | 'self';
}

const control = /^01:80:c2:00:00:0.$/;
const isGroup = (mac: string): boolean => (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
const zero = '00:00:00:00:00:00';
/** EtherTypes of which the switch's own stack gets a copy. */
const forStack = [0x0800, 0x0806, 0x86dd];

export function openModel(setup: Setup, world: World): Model {
  const ports = portsOf(setup);
  const svis = new Set(Object.entries(setup.vlans).flatMap(([id, vlan]) => (vlan.address.length > 0 ? [+id] : [])));
  for (const id of svis) ports.set(`vlan${id}-bd`, sviPort());
  const fixed = new Map<string, Row>();
  for (const id of svis) fixed.set(`${id} ${world.baseMac}`, { port: `vlan${id}-bd`, kind: 'self' });
  for (const [id, rows] of Object.entries(setup.fdb?.static ?? {})) {
    for (const [mac, port] of Object.entries(rows)) fixed.set(`${id} ${mac}`, { port, kind: 'static' });
  }
  const learned = new Map<string, string>();
  const find = (bd: number, mac: string): Row | undefined => {
    const port = learned.get(`${bd} ${mac}`);
    return fixed.get(`${bd} ${mac}`) ?? (port === undefined ? undefined : { port, kind: 'learned' });
  };
  const state: State = { ports, svis, find, learned, router: openRouter(setup, world), world };
  return {
    ports: [...ports.keys()],
    learned,
    judge: (port, frame) => judge(state, port, frame),
    isSvi: (port) => ports.get(port)?.mode === 'svi',
    learn(port, { learn, bd, parsed }) {
      if (learn !== 'nothing' && parsed !== undefined) learned.set(`${bd} ${parsed.src}`, port);
    },
    finishedByXdp(port, { verdict, learn, out }) {
      const xdp = (name: string | undefined): boolean => ports.get(name ?? '')?.xdp ?? false;
      return verdict === 'port' && learn === 'nothing' && xdp(port) && xdp(out[0]?.[0]);
    },
  };
}

function portsOf(setup: Setup): Map<string, Port> {
  return new Map(
    Object.entries(setup.ports).map(([name, port]): [string, Port] => {
      const { vlan, shut = false } = port;
      const access = vlan !== undefined && 'access' in vlan;
      const native = vlan === undefined ? 0 : 'access' in vlan ? vlan.access : (vlan.native ?? 0);
      const tagged = vlan === undefined || 'access' in vlan ? [] : vlan.trunk;
      return [
        name,
        {
          mode: port.address === undefined ? 'bridged' : 'routed',
          access,
          native,
          vlans: new Set([...tagged, ...(native === 0 ? [] : [native])]),
          shut,
          up: !shut,
          mtu: port.mtu ?? 1500,
          limit: port['mac-limit'] ?? 0,
          xdp: port.datapath === 'xdp',
        },
      ];
    }),
  );
}

/** vlanN-bd, by which the stack's own frames come in. Frames for the stack go by another way, so none leave here. */
function sviPort(): Port {
  const bare = { access: false, native: 0, vlans: new Set<number>(), limit: 0, xdp: false, mtu: 0 };
  return { ...bare, mode: 'svi', shut: false, up: false };
}

interface State {
  readonly ports: ReadonlyMap<string, Port>;
  readonly svis: ReadonlySet<number>;
  readonly find: (bd: number, mac: string) => Row | undefined;
  readonly learned: ReadonlyMap<string, string>;
  readonly router: Router;
  readonly world: World;
}

interface Way {
  readonly verdict: Verdict;
  readonly reason?: string;
  readonly out?: readonly Copy[];
  readonly skipped?: readonly string[];
  readonly routed?: boolean;
  /** Of a routed frame: the addresses that it leaves with. */
  readonly hop?: { readonly dst: string; readonly src: string };
}

const drop = (reason: string): Way => ({ verdict: 'drop', reason });

function judge(state: State, name: string, frame: Uint8Array): Judgement {
  const port = state.ports.get(name);
  if (port === undefined) throw new RangeError(`no port ${name}`);
  const parsed = parseFrame(frame);
  const made = (way: Way, bd = 0, learn: Judgement['learn'] = 'nothing'): Judgement => {
    const left = way.hop === undefined ? frame : rewriteHop(frame, way.hop);
    return {
      verdict: way.verdict,
      reason: way.reason ?? '',
      out: way.out ?? [],
      skipped: way.skipped ?? [],
      routed: way.routed ?? false,
      learn,
      bd,
      wire: (vid) => withTag(left, vid),
      parsed: 'problem' in parsed ? undefined : parsed,
    };
  };
  if (port.shut) return made(drop('port-shut'));
  if ('problem' in parsed) return made(drop(parsed.problem));
  if (isGroup(parsed.src) || parsed.src === zero) return made(drop('source-multicast'));
  if (port.mode === 'routed') return made(atRoutedPort(state, name, parsed, frame));
  const bd = port.mode === 'svi' ? Number(/\d+/.exec(name)?.[0]) : admit(port, parsed);
  if (typeof bd === 'string') return made(drop(bd));
  const taught = source(state, name, port, bd, parsed.src);
  if (!['nothing', 'new', 'moved'].includes(taught)) return made(drop(taught), bd);
  const find: State['find'] = (vlan, mac) =>
    taught !== 'nothing' && vlan === bd && mac === parsed.src ? { port: name, kind: 'learned' } : state.find(vlan, mac);
  return made(bridge({ ...state, find }, name, bd, parsed, frame), bd, taught as Judgement['learn']);
}

/** The bridge domain, or why the frame may not be in it. */
function admit(port: Port, { vid }: Parsed): number | string {
  if (vid > 0 && port.access) return 'tagged-on-access';
  const bd = vid > 0 ? vid : port.native;
  if (bd === 0) return 'no-native';
  return port.vlans.has(bd) ? bd : 'not-member';
}

/** What the source address teaches, or the reason to drop the frame. */
function source(state: State, name: string, port: Port, bd: number, mac: string): string {
  const row = state.find(bd, mac);
  if (row?.kind === 'self') return port.mode === 'svi' ? 'nothing' : 'source-ours';
  if (row?.port === name) return 'nothing';
  if (row?.kind === 'static') return 'source-static';
  const here = [...state.learned.values()].filter((other) => other === name).length;
  if (port.limit !== 0 && here >= port.limit) return 'mac-limit';
  return row === undefined ? 'new' : 'moved';
}

function bridge(state: State, name: string, bd: number, parsed: Parsed, frame: Uint8Array): Way {
  if (control.test(parsed.dst)) return drop('control');
  const row = isGroup(parsed.dst) ? undefined : state.find(bd, parsed.dst);
  if (row === undefined) return flood(state, name, bd, parsed, frame, false);
  if (row.kind === 'self') {
    return state.svis.has(bd) && state.ports.get(name)?.mode !== 'svi'
      ? route(state, name, parsed, frame)
      : drop('not-ours');
  }
  if (row.port === name) return drop('same-port');
  const out = state.ports.get(row.port);
  const vid = tagOut(out, bd);
  if (out === undefined || vid === undefined) return drop('not-member');
  const refused = refusal(out, parsed.untaggedLength);
  if (refused !== undefined) return refused;
  return refusesDouble(out, vid, parsed) ? drop('double-tag') : { verdict: 'port', out: [[row.port, vid]] };
}

/** The tag of a bridge domain's frames behind a port, undefined where the port is not in it. */
function tagOut(port: Port | undefined, bd: number): number | undefined {
  if (!(port?.vlans.has(bd) ?? false)) return undefined;
  return port?.native === bd ? 0 : bd;
}

/** Behind the native VLAN of a trunk a second tag would be the first: the next switch would put it in another VLAN. */
function refusesDouble(port: Port, vid: number, parsed: Parsed): boolean {
  return vid === 0 && !port.access && isTag(parsed.type);
}

function refusal(port: Port, length: number): Way | undefined {
  if (!port.up) return drop('port-down');
  return length > port.mtu + 14 ? drop('too-big') : undefined;
}

/** A copy to every member but the one it came from; a routed frame may go back there. The SVI gets a group's frames. */
function flood(state: State, name: string, bd: number, parsed: Parsed, frame: Uint8Array, routed: boolean): Way {
  const members = [...state.ports].filter(
    ([other, port]) => port.mode === 'bridged' && port.vlans.has(bd) && (routed || other !== name),
  );
  const reached = members.filter(([, port]) => {
    const vid = tagOut(port, bd) ?? 0;
    // Its first tag, whichever that is behind this port, does not count.
    const length = vid > 0 && vid === parsed.vid ? parsed.untaggedLength : shown(withTag(frame, vid));
    return !refusesDouble(port, vid, parsed) && refusal(port, length) === undefined;
  });
  const skipped = members.filter((member) => !reached.includes(member)).map(([other]) => other);
  const out = reached.map(([other, port]): Copy => [other, tagOut(port, bd) ?? 0]);
  const own = state.ports.get(name)?.mode === 'svi';
  const up = state.svis.has(bd) && !own && !routed && isGroup(parsed.dst) && forStack.includes(parsed.type);
  if (up) out.push([`vlan${bd}-bd`, 0]);
  if (out.length === 0) return { ...drop('no-member-up'), skipped };
  return { verdict: 'flood', out, skipped, routed };
}

const shown = (wire: Uint8Array): number => wire.length - (isTag(((wire[12] ?? 0) << 8) | (wire[13] ?? 0)) ? 4 : 0);

function atRoutedPort(state: State, name: string, parsed: Parsed, frame: Uint8Array): Way {
  if (parsed.vid > 0) return drop('tagged-on-access');
  if (control.test(parsed.dst)) return drop('control');
  if (isGroup(parsed.dst)) return { verdict: 'pass' };
  if (parsed.dst !== state.world.macOf(name)) return drop('not-ours');
  const way = route(state, name, parsed, frame);
  return way.verdict === 'up' ? { ...way, verdict: 'pass' } : way;
}

/** A frame for the switch's own address. */
function route(state: State, name: string, parsed: Parsed, frame: Uint8Array): Way {
  const found = state.router(parsed, frame);
  if (found === 'up') return { verdict: 'up' };
  if (typeof found === 'string') return drop(found);
  const { dev: outDev, dst } = found;
  const outPort = state.ports.get(outDev);
  const src = outPort === undefined ? state.world.baseMac : state.world.macOf(outDev);
  const hop = { dst, src };
  if (outPort !== undefined) {
    return refusal(outPort, parsed.untaggedLength) ?? { verdict: 'port', out: [[outDev, 0]], routed: true, hop };
  }
  const bd = Number(outDev.slice('vlan'.length));
  const row = isGroup(dst) ? undefined : state.find(bd, dst);
  if (row === undefined) return { ...flood(state, name, bd, { ...parsed, dst }, frame, true), routed: true, hop };
  if (row.kind === 'self') return { verdict: 'up' };
  const out = state.ports.get(row.port);
  const vid = tagOut(out, bd);
  if (out === undefined || vid === undefined) return drop('not-member');
  return refusal(out, parsed.untaggedLength) ?? { verdict: 'port', out: [[row.port, vid]], routed: true, hop };
}
