// show version: what runs, down to the program on each port's hook, as the kernel names it.
import { z } from 'zod';
import type { LinkActual } from '../../engine/kinds/link.ts';
import { nameOf } from '../../engine/resource.ts';
import { command, type AnyCommand, type Read } from '../../engine/slice.ts';
import { keyValues, table } from '../../lib/table.ts';
import type { SystemFacts } from './facts.ts';

const link = z.object({
  port: z.string(),
  hook: z.string(),
  tag: z.string().meta({ description: "hash of the program's instructions, as the kernel has it" }),
  current: z.boolean().meta({ description: 'it is the program that this daemon loaded' }),
});

const versions = z.object({
  version: z.string(),
  node: z.string(),
  kernel: z.string(),
  architecture: z.string(),
  links: z.array(link),
});

async function linksOf(read: Read): Promise<z.infer<typeof link>[]> {
  const { bpf, datapath } = read.kernel;
  const loaded = new Map<string, number | undefined>(
    (['tcx-ingress', 'tcx-egress', 'xdp'] as const).map((hook) => [hook, datapath?.programOf(hook).id]),
  );
  const tags = new Map<number, string>();
  const tagOf = (id: number): string => {
    const tag = tags.get(id) ?? bpf.tagOf(id);
    tags.set(id, tag);
    return tag;
  };
  return [...(await read.actual('link'))].map(([ref, actual]) => {
    const { hook, programId } = actual as LinkActual;
    const [port = ''] = nameOf(ref).split('@');
    return { port, hook, tag: tagOf(programId), current: loaded.get(hook) === programId };
  });
}

interface VersionSources {
  readonly version: string;
  readonly facts: () => SystemFacts | Promise<SystemFacts>;
}

export function showVersion({ version, facts }: VersionSources): AnyCommand {
  return command({
    path: 'show version',
    help: 'of midplane, what it runs on, and the program on each hook',
    role: 'viewer',
    args: z.object({}),
    data: versions,
    run: async (_args, read) => {
      const { node, kernel, architecture } = await facts();
      return { version, node, kernel, architecture, links: await linksOf(read) };
    },
    render: renderVersion,
  });
}

function renderVersion(data: z.infer<typeof versions>, columns: number): string {
  const all = keyValues([
    ['midplane', data.version],
    ['node', data.node],
    ['kernel', `Linux ${data.kernel} ${data.architecture}`],
  ]);
  if (data.links.length === 0) return all;
  const rows = data.links.map(({ port, hook, tag, current }) => [port, hook, tag, current ? '' : "another daemon's"]);
  const titles = [{ title: 'Port' }, { title: 'Hook' }, { title: 'Program' }, { title: '' }];
  return `${all}\n${table(titles, rows, columns)}`;
}
