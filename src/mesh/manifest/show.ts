import { z } from 'zod';
import { command } from '../../engine/slice.ts';
import { table } from '../../lib/table.ts';
import type { Condition, ManifestStatus } from './status.ts';

/** What `run.ts` offers under `gateway`. */
export interface GatewayLive {
  /** Status of the manifests of the running revision. */
  status(): readonly ManifestStatus[];
}

const condition = z.object({
  type: z.enum(['Accepted', 'ResolvedRefs', 'Programmed', 'Conflicted']),
  status: z.enum(['True', 'False', 'Unknown']),
  reason: z.string(),
  message: z.string(),
});

const manifestData = z.object({
  apiVersion: z.string(),
  kind: z.string(),
  namespace: z.string(),
  name: z.string(),
  file: z.string(),
  line: z.number(),
  conditions: z.array(condition),
  parts: z.array(z.object({ name: z.string(), attachedRoutes: z.number().optional(), conditions: z.array(condition) })),
  addresses: z.array(z.string()),
});

/** One line an object, and under it one for each of its listeners or parents; messages only of what is not in order. */
export function renderManifests(list: readonly ManifestStatus[], columns = 0): string {
  if (list.length === 0) return 'no manifests\n';
  const rows = list.flatMap((m) => {
    const where = m.addresses.length > 0 ? m.addresses.join(' ') : `${m.file}:${m.line}`;
    return [
      [`${m.kind} ${m.namespace}/${m.name}`, words(m.conditions), where, messages(m.conditions)],
      ...m.parts.map((part) => {
        const routes =
          part.attachedRoutes === undefined
            ? ''
            : `${part.attachedRoutes} route${part.attachedRoutes === 1 ? '' : 's'}`;
        return [`  ${part.name}`, words(part.conditions), routes, messages(part.conditions)];
      }),
    ];
  });
  return table(
    [
      { title: 'Manifest', flex: true },
      { title: 'State', flex: true },
      { title: 'Where' },
      { title: 'Why', flex: true },
    ],
    rows,
    columns,
  );
}

function inOrder({ type, status }: Condition): boolean {
  return (status === 'True') === (type !== 'Conflicted');
}

function words(conditions: readonly Condition[]): string {
  const all = conditions.map((c) =>
    inOrder(c) ? c.type : c.type === 'Conflicted' ? c.reason : `not ${c.type}: ${c.reason}`,
  );
  return all.join(', ') || '-';
}

function messages(conditions: readonly Condition[]): string {
  return [...new Set(conditions.filter((c) => !inOrder(c)).map((c) => c.message))].join('; ');
}

export const showManifests = command({
  path: 'show manifests',
  help: 'Gateway API and Istio objects, and what became of each',
  example: 'show manifests HTTPRoute',
  args: z.object({ kind: z.string().optional().meta({ description: 'one kind' }) }),
  data: z.array(manifestData),
  role: 'viewer',
  run: async ({ kind }, read) =>
    (read.live<GatewayLive>('gateway')?.status() ?? [])
      .filter((m) => kind === undefined || m.kind === kind)
      .map((m) => ({ ...m, conditions: [...m.conditions], parts: m.parts.map(mutable), addresses: [...m.addresses] })),
  render: renderManifests,
  complete: (_, read) => [...new Set((read.live<GatewayLive>('gateway')?.status() ?? []).map((m) => m.kind))],
});

function mutable(part: ManifestStatus['parts'][number]) {
  return { ...part, conditions: [...part.conditions] };
}
