// Two revisions that differ in a resource of every kind, and have ports and a guest in common that no way from one to
// the other may touch.
import { edgeTo } from '../../fake/edge.ts';

export const hosts = {
  h1: { port: 'swp1', address: ['10.0.10.1/24'], gateway: ['10.0.10.254'] },
  h2: { port: 'swp2', address: ['10.0.10.2/24'], gateway: ['10.0.10.254'] },
  h3: { port: 'swp3', address: ['192.0.2.0/31'] },
  h4: { port: 'swp4', address: ['10.0.20.4/24'] },
};

const source = (text: string): string => `export default { fetch() { return new Response('${text}'); } };\n`;
export const files = { 'keep.js': source('keep'), 'hello.js': source('hello') };

const keep = `
  keep: { source: keep.js, port: { vlan: web }, address: [10.0.10.5/24], memory: 64M }`;

/** Routed ports, a route, one guest. */
export const older = `ports:
  swp1: { vlan: { access: web } }
  swp2: { vlan: { access: web } }
  swp3: { address: [192.0.2.1/31] }
vlans:
  web: { id: 10, address: [10.0.10.254/24] }
routes:
  10.99.0.0/16: { blackhole: true }
functions:${keep}
`;

const vm = `
vms:
  vm1: { image: midplane/vm, memory: 64M, port: { vlan: apps }, address: [10.0.20.31/24] }`;

/** Without the VM, which takes seconds to stop: what is not long. */
export const withoutVm = (text: string): string => text.replace(vm, '');

/** swp3 is a trunk and its address moves; a VLAN with a gateway and a steered service; a guest of each sort. */
export const newer = `ports:
  swp1: { vlan: { access: web } }
  swp2: { vlan: { access: web } }
  swp3: { mtu: 1400, vlan: { trunk: [web, apps] } }
  swp4: { address: [192.0.2.1/31] }
vlans:
  web: { id: 10, address: [10.0.10.254/24] }
  apps: { id: 20, address: [10.0.20.254/24, "fd00:20::1/64"] }
fdb: { static: { apps: { "02:00:00:00:00:77": swp3 } } }
routes:
  10.99.0.0/16: { via: [192.0.2.0] }
  10.98.0.0/16: { blackhole: true }
api: { listen: [10.0.20.254:9090] }
gateway: { address: 10.0.20.254, workers: 1 }
services:
  steered: { port: 80, address: 198.51.100.80, endpoints: { one: { address: 10.0.20.41, port: 80 } } }
containers:
  web1: { image: "localhost/midplane/web:1", port: { vlan: apps }, address: [10.0.20.21/24], memory: 64M }
functions:${keep}
  hello:
    source: hello.js
    port: { vlan: apps }
    address: [10.0.20.41/24]
    memory: 64M
    service: { name: hello, port: 80 }${vm}
`;

/** A listener of the router, and a service address that is steered to it. */
export const manifests = {
  'gateway.yaml': `${edgeTo('hello')}---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: steered }
spec:
  parentRefs: [{ group: "", kind: Service, name: steered }]
  rules: [{ backendRefs: [{ name: steered, port: 80 }] }]
`,
};
