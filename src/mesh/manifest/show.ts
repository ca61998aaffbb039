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

/** One line an object, under it one for each of its listeners or parents, and what is not in order below. Without a
 * limit of columns all conditions are named, else those that are as they should be are "ok". */
export function renderManifests(list: readonly ManifestStatus[], columns = 0): string {
  if (list.length === 0) return 'no manifests\n';
  const state = (conditions: readonly Condition[]): string => words(columns === 0 ? conditions : onlyBad(conditions));
  const rows = list.flatMap((m) => {
    const where = m.addresses.length > 0 ? m.addresses.join(' ') : `${m.file}:${m.line}`;
    return [
      { cells: [`${m.kind} ${m.namespace}/${m.name}`, state(m.conditions), where], why: messages(m.conditions) },
      ...m.parts.map((part) => {
        const n = part.attachedRoutes;
        const routes = n === undefined ? '' : `${n} route${n === 1 ? '' : 's'}`;
        return { cells: [`  ${part.name}`, state(part.conditions), routes], why: messages(part.conditions) };
      }),
    ];
  });
  const titles = [{ title: 'Manifest' }, { title: 'State', flex: true }, { title: 'Where' }];
  const [head = '', ...lines] = table(
    titles,
    rows.map(({ cells }) => cells),
    columns,
  ).split('\n');
  const withWhy = lines.flatMap((line, i) => {
    const why = rows[i]?.why ?? '';
    return why === '' ? [line] : [line, `    ${why}`];
  });
  return [head, ...withWhy].join('\n');
}

/** What is not in order; one word where all is. */
function onlyBad(conditions: readonly Condition[]): readonly Condition[] {
  return conditions.filter((c) => !inOrder(c));
}

function inOrder({ type, status }: Condition): boolean {
  return (status === 'True') === (type !== 'Conflicted');
}

function words(conditions: readonly Condition[]): string {
  const all = conditions.map((c) =>
    inOrder(c) ? c.type : c.type === 'Conflicted' ? c.reason : `not ${c.type}: ${c.reason}`,
  );
  return all.join(', ') || 'ok';
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
