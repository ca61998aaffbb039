// The arguments of `midplane run`, once for its help and once for its start, which does without what prints help.
import { parseArgs, type ParseArgsOptionDescriptor } from 'node:util';

export const instance = { type: 'string', default: 'main', describe: 'name of the switch on this machine' } as const;
export const state = { type: 'string', describe: 'state folder; default: /var/lib/midplane/INSTANCE' } as const;

export const runOptions = {
  config: { type: 'string', demandOption: true, describe: 'the document; a commit rewrites it' },
  manifests: { type: 'string', describe: 'folder of Gateway API and Istio manifests' },
  state,
  instance,
  ssh: { type: 'string', describe: 'ADDRESS:PORT of the SSH CLI, instead of ssh.listen in the document' },
  api: { type: 'string', describe: 'ADDRESS:PORT of the HTTP API, instead of api.listen in the document' },
  takeover: { type: 'boolean', describe: 'take the place of the daemon that runs; it ends with exit code 0' },
  drain: {
    type: 'string',
    default: '30s',
    describe: 'with --takeover: how long the old daemon goes on with its L7 connections',
  },
  trace: { type: 'boolean', hidden: true },
  without: { type: 'string', array: true, hidden: true },
} as const;

export interface RunArguments {
  readonly config: string;
  readonly manifests?: string | undefined;
  readonly state?: string | undefined;
  readonly instance: string;
  readonly ssh?: string | undefined;
  readonly api?: string | undefined;
  readonly takeover?: boolean | undefined;
  readonly drain: string;
  readonly trace?: boolean | undefined;
  readonly without?: readonly string[] | undefined;
}

/** Arguments that are in order as they stand; undefined: there is something to explain, or to help with. */
export function readRun(args: readonly string[]): RunArguments | undefined {
  const options: Record<string, ParseArgsOptionDescriptor> = {};
  for (const [name, option] of Object.entries(runOptions)) {
    options[name] = {
      type: option.type,
      multiple: 'array' in option,
      ...('default' in option ? { default: option.default } : {}),
    };
  }
  try {
    const { values } = parseArgs({ args: [...args], options });
    return typeof values['config'] === 'string' ? (values as unknown as RunArguments) : undefined;
  } catch {
    return undefined;
  }
}
