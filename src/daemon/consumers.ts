// The snapshot's consumers in this process: the L7 router and the xDS manager, with what people see of them.
import { join } from 'node:path';
import type { Logger } from 'pino';
import { z } from 'zod';
import type { Collector } from '../api/metrics.ts';
import type { Opener } from '../engine/kinds/listener.ts';
import { type AnyCommand, type AnySlice, command, type Read } from '../engine/slice.ts';
import type { Router } from '../l7/router.ts';
import {
  httpRoutes,
  httpRoutesData,
  httpListeners,
  httpListenersData,
  httpWorkers,
  httpWorkersData,
  renderHttpListeners,
  renderHttpRoutes,
  renderHttpWorkers,
} from '../l7/record/show.ts';
import { certificates, certificatesData, renderCertificates, watchCertificates } from '../l7/record/certificates.ts';
import { systemClock } from '../lib/clock.ts';
import { lateXds } from '../mesh/xds/late.ts';
import { named } from '../lib/log.ts';
import { printEndpoint } from '../lib/endpoint.ts';
import { guestHealth, type MeshLive, meshSlice } from './mesh.ts';

export interface Mesh extends AsyncDisposable {
  readonly slice: AnySlice;
  readonly listen: Opener;
  /** Opens the manager's unix socket. */
  openManager(): Promise<void>;
  readonly commands: readonly AnyCommand[];
  readonly metrics: Collector;
  /** Puts what the mesh's commands show where they look for it. */
  offerLive(live: Map<string, unknown>, read: Read): void;
}

export interface MeshInput {
  readonly run: string;
  readonly log: Logger;
  readonly router: Router;
  /** Guests that had traffic from the daemon whose place this one takes. */
  readonly before: ReadonlySet<string>;
}

/** The router that runs, and the manager when it is asked for; they serve nothing before the first snapshot. */
export function openMesh(input: MeshInput): Mesh {
  const log = named(input.log, 'xds');
  const xds = lateXds({ socketPath: join(input.run, 'xds.sock'), log, clock: systemClock });
  const { router } = input;
  const consumers = { router, gateway: xds.consumer('gateway'), sidecar: xds.consumer('sidecar') };
  const slice = meshSlice(consumers, input.before);
  const watch = watchCertificates(router, named(input.log, 'tls'), systemClock);
  return {
    slice,
    openManager: () => xds.open(),
    listen: (at) => xds.listen(printEndpoint(at)),
    commands: routerCommands(router),
    metrics: () => routerMetrics(router),
    offerLive(live, read) {
      live.set('services', { health: guestHealth(read) });
      live.set('gateway', { status: () => read.live<MeshLive>('snapshots')?.status() ?? [] });
      live.set('xds', { proxies: () => xds.proxies() });
    },
    async [Symbol.asyncDispose]() {
      watch[Symbol.dispose]();
      await xds[Symbol.asyncDispose]();
    },
  };
}

function routerCommands(router: Router): readonly AnyCommand[] {
  return [
    command({
      path: 'show http routes',
      help: 'routes of the L7 router and what they answered',
      role: 'viewer',
      args: z.object({}),
      data: httpRoutesData,
      run: () => Promise.resolve(httpRoutes(router.running(), router.routeStats())),
      render: renderHttpRoutes,
    }),
    command({
      path: 'show http listeners',
      help: 'where the L7 router listens, and the connections there',
      role: 'viewer',
      args: z.object({}),
      data: httpListenersData,
      run: () => Promise.resolve(httpListeners(router.running(), router.listenerStats())),
      render: (data) => renderHttpListeners(data),
    }),
    command({
      path: 'show http certificates',
      help: 'certificates that the L7 router shows, and until when they are good',
      role: 'viewer',
      args: z.object({}),
      data: certificatesData,
      run: () => Promise.resolve(certificates(router.running(), systemClock.now())),
      render: renderCertificates,
    }),
    command({
      path: 'show http workers',
      help: 'threads of the L7 router',
      role: 'viewer',
      args: z.object({}),
      data: httpWorkersData,
      run: async () => httpWorkers(await router.workerStats()),
      render: (data) => renderHttpWorkers(data),
    }),
  ];
}

function routerMetrics(router: Router): ReturnType<Collector> {
  const rows = router.routeStats();
  const samples = rows.flatMap((row) =>
    row.classes.map((value, i) => ({
      labels: { table: row.table, route: row.route || '-', class: `${i + 1}xx` },
      value,
    })),
  );
  const listeners = router.listenerStats();
  const open = listeners.map(({ listener, connections: value }) => ({ labels: { listener }, value }));
  const refused = listeners.flatMap(({ listener, over, overClient }) => [
    { labels: { listener, limit: 'listener' }, value: over },
    { labels: { listener, limit: 'client' }, value: overClient },
  ]);
  return [
    { name: 'midplane_http_requests_total', help: 'requests by route and status', type: 'counter', samples },
    { name: 'midplane_http_connections', help: 'of clients, by listener', type: 'gauge', samples: open },
    {
      name: 'midplane_http_certificate_expires_seconds',
      help: 'end of certificates, in seconds since 1970, by secret',
      type: 'gauge',
      samples: certificates(router.running(), systemClock.now()).map(({ secret, until }) => {
        return { labels: { secret }, value: Date.parse(until) / 1000 };
      }),
    },
    {
      name: 'midplane_http_connections_refused_total',
      help: 'connections of clients beyond a limit',
      type: 'counter',
      samples: refused,
    },
  ];
}
