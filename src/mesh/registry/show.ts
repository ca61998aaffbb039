import { z } from 'zod';
import { command } from '../../engine/slice.ts';
import { table } from '../../lib/table.ts';
import { registryOf } from './compile.ts';
import type { Health, Registry } from './model.ts';
import { servicesSchema } from './schema.ts';

/** What `run.ts` offers under `services`. */
export interface ServicesLive {
  readonly health: Health;
}

const endpointData = z.object({
  name: z.string(),
  address: z.string(),
  port: z.number(),
  weight: z.number(),
  labels: z.record(z.string(), z.string()),
  state: z.enum(['healthy', 'unhealthy', 'unknown']),
});

const serviceData = z.object({
  name: z.string(),
  namespace: z.string(),
  address: z.string().optional(),
  port: z.number().optional(),
  protocol: z.enum(['HTTP', 'TCP', 'auto']).optional(),
  http2: z.literal(true).optional(),
  tls: z.literal(true).optional(),
  endpoints: z.array(endpointData),
});

export type ServiceData = z.infer<typeof serviceData>;

/** Services with the state of their endpoints; `name` picks one. Without `health` a guest's state is unknown. */
export function servicesData(registry: Registry, health: Health | undefined, name?: string): ServiceData[] {
  const state = (guest: string | undefined): ServiceData['endpoints'][number]['state'] => {
    if (guest === undefined) return 'healthy';
    if (health === undefined) return 'unknown';
    return health(guest) ? 'healthy' : 'unhealthy';
  };
  return [...registry.values()]
    .filter((service) => name === undefined || service.name === name)
    .map(({ ports, endpoints, ...service }) => ({
      ...service,
      ...ports[0],
      endpoints: endpoints.map(({ guest, ...endpoint }) => ({ ...endpoint, state: state(guest) })),
    }));
}

/** One line an endpoint. */
export function renderServices(services: readonly ServiceData[], columns = 0): string {
  if (services.length === 0) return 'no services\n';
  const rows = services.flatMap((service) => {
    const protocol = service.http2 ? 'HTTP/2' : service.tls ? 'TLS' : (service.protocol ?? '-');
    const head = [service.name, service.address ?? '-', String(service.port ?? '-'), protocol];
    if (service.endpoints.length === 0) return [[...head, '-', '-', '-', '-']];
    return service.endpoints.map((e, i) => {
      const labels = Object.entries(e.labels).map(([key, value]) => `${key}=${value}`);
      const socket = e.address.includes(':') ? `[${e.address}]:${e.port}` : `${e.address}:${e.port}`;
      return [...(i === 0 ? head : ['', '', '', '']), e.name, socket, e.state, labels.join(',') || '-'];
    });
  });
  const titles = ['Service', 'Address', 'Port', 'Proto', 'Endpoint', 'At', 'State', 'Labels'];
  const flexible = new Set(['Service', 'Endpoint', 'Labels']);
  const heads = titles.map((title) => ({ title, flex: flexible.has(title) }));
  return table(heads, rows, columns);
}

export const showServices = command({
  path: 'show services',
  help: 'services, their endpoints and which of them have traffic',
  example: 'show services web',
  args: z.object({ name: z.string().optional().meta({ description: 'one service' }) }),
  data: z.array(serviceData),
  role: 'viewer',
  run: async ({ name }, read) =>
    servicesData(registryOf(read.running(servicesSchema)), read.live<ServicesLive>('services')?.health, name),
  render: renderServices,
  complete: (_, read) => Object.keys(read.running(servicesSchema)),
});
