// The site that the mesh is tested in: a switch with two VLANs, a client and backends in both, and the real Envoy on
// h5, programmed over TCP by the switch that routes by itself on the same manifests.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../../src/lab/process.ts';
import { startEnvoy, until } from '../envoy.ts';
import { root } from '../rig.ts';
import { openSwitch, type TestSwitch } from '../switch.ts';
import { type Client, type Given, openBackends, openClient, type Request } from './talk.ts';

export const gatewayAddress = '10.10.0.1';
export const envoyAddress = '10.10.0.15';

/** Backends: "a1" is at h2, the rest at h3 behind the switch's router. */
const atH2 = { a1: 8001 };
const atH3 = { a2: 8002, b1: 8003, c1: 8004, d1: 8005, e1: 8006, v1: 8011, v2: 8012, v3: 8013, slow1: 8020 };

export const services = `
services:
  a: { port: 80, endpoints: { a1: { address: 10.10.0.12, port: 8001 }, a2: { address: 10.20.0.13, port: 8002 } } }
  b: { port: 80, endpoints: { b1: { address: 10.20.0.13, port: 8003 } } }
  c: { port: 8080, endpoints: { c1: { address: 10.20.0.13, port: 8004 } } }
  d: { port: 80, endpoints: { d1: { address: 10.20.0.13, port: 8005 } } }
  e: { port: 80, endpoints: { e1: { address: 10.20.0.13, port: 8006 } } }
  v:
    port: 80
    endpoints:
      v1: { address: 10.20.0.13, port: 8011, labels: { version: v1 } }
      v2: { address: 10.20.0.13, port: 8012, labels: { version: v2 } }
      v3: { address: 10.20.0.13, port: 8013, labels: { version: v3, track: canary } }
  slow: { port: 80, endpoints: { slow1: { address: 10.20.0.13, port: 8020 } } }
  dead: { port: 80, endpoints: { dead1: { address: 10.20.0.13, port: 8999 } } }
  lost: { port: 80, endpoints: { lost1: { address: 10.20.0.99, port: 80 } } }
  empty: { port: 80 }
  moving: { port: 80, endpoints: { moving: { address: 10.20.0.13, port: 8005 } } }
  one: { port: 80, endpoints: { one: { address: 10.20.0.13, port: 8005 } } }
`;

export const document = `
ports:
  swp1: { vlan: { access: clients } }
  swp2: { vlan: { access: clients } }
  swp3: { vlan: { access: apps } }
  swp5: { vlan: { access: clients } }
vlans:
  clients: { id: 10, address: [10.10.0.1/24] }
  apps: { id: 20, address: [10.20.0.1/24] }
gateway: { address: ${gatewayAddress} }
xds: { listen: ["${gatewayAddress}:15010"], plaintext: true }
${services}`;

const hosts = {
  h1: { port: 'swp1', address: ['10.10.0.11/24'], gateway: ['10.10.0.1'] },
  h2: { port: 'swp2', address: ['10.10.0.12/24'], gateway: ['10.10.0.1'] },
  h3: { port: 'swp3', address: ['10.20.0.13/24'], gateway: ['10.20.0.1'] },
  h5: { port: 'swp5', address: [`${envoyAddress}/24`], gateway: ['10.10.0.1'] },
};

export const routers = { router: gatewayAddress, envoy: envoyAddress } as const;
export type Which = keyof typeof routers;

export interface ProxyTypes {
  readonly id: string;
  readonly types: readonly { type: string; sent: string; acked: string; nack?: string }[];
}

export interface Site extends AsyncDisposable {
  readonly sw: TestSwitch;
  readonly client: Client;
  ask(which: Which, port: number, request: Request): Promise<Given>;
  /** What `show proxies` has of the Envoy. */
  proxy(): Promise<ProxyTypes | undefined>;
  /** Waits until the Envoy has acknowledged all that it was sent. */
  settled(): Promise<void>;
}

/** A GET with its Host. */
export function get(path: string, host: string, headers: Readonly<Record<string, string>> = {}): Request {
  return { method: 'GET', path, headers: [['Host', host], ...Object.entries(headers)] };
}

/** Brings all of it up on the manifests; resolves when both routers serve them. */
export async function openSite(manifests: Readonly<Record<string, string>>): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  const sw = stack.use(await openSwitch({ document, hosts, manifests }));
  stack.use(await openBackends(sw.lab.netnsOf('h2'), atH2));
  stack.use(await openBackends(sw.lab.netnsOf('h3'), atH3));
  const client = stack.use(openClient(sw.lab.netnsOf('h1')));
  const netns = sw.lab.netnsOf('h5');
  const xds = `${gatewayAddress}:15010`;
  const command = [process.execPath, join(root, 'src/main.ts'), 'proxy', 'bootstrap', '--role', 'gateway'];
  const printed = await run(netns, [...command, '--id', 'h5', '--xds', xds]);
  if (printed.code !== 0) throw new Error(`proxy bootstrap: ${printed.stderr}`);
  const envoy = stack.use(startEnvoy(sw.folder, printed.stdout, netns));
  const proxy = async (): Promise<ProxyTypes | undefined> => {
    const { data } = await sw.cli('show proxies');
    return (data as readonly ProxyTypes[]).find(({ id }) => id === 'h5');
  };
  const settled = async (): Promise<void> => {
    try {
      await until('Envoy has all that it was sent', async () => inOrder(await proxy()));
    } catch (error) {
      const said = `${JSON.stringify(await proxy())}\n${envoy.log()}`;
      throw new Error(`${(error as Error).message}\n${said}`, { cause: error });
    }
  };
  await settled();
  const kept = stack.move();
  return {
    sw,
    client,
    proxy,
    settled,
    ask: (which, port, request) => client.ask({ address: routers[which], port, ...request }),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function inOrder(proxy: ProxyTypes | undefined): boolean {
  return (
    proxy !== undefined &&
    ['cds', 'eds', 'lds', 'rds'].every((name) => {
      const state = proxy.types.find(({ type }) => type === name);
      return state !== undefined && state.sent === state.acked && state.nack === undefined;
    })
  );
}

/** Lines of the access log, those of the newest requests last. */
export function accessLog(sw: TestSwitch): readonly Record<string, unknown>[] {
  const text = readFileSync(join(sw.state, 'access.log'), 'utf8');
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
