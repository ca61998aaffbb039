// How people and programs come in: SSH, the HTTP API, and both on unix sockets in the instance's run folder.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Socket } from 'node:net';
import { type ApiServer, openApi } from '../api/http.ts';
import type { Logger } from 'pino';
import type { Collector } from '../api/metrics.ts';
import { describeApi } from '../api/openapi.ts';
import { apiSchema } from '../api/schema.ts';
import { maskSecrets } from '../cli/document/mask.ts';
import { documentRoot } from '../cli/document/place.ts';
import { type Door, openDoor } from '../cli/door.ts';
import type { SshServer } from '../cli/ssh/server.ts';
import { systemSchema } from '../cli/system/schema.ts';
import { usersSchema } from '../cli/users/schema.ts';
import type { Engine } from '../engine/engine.ts';
import type { Opener } from '../engine/kinds/listener.ts';
import { descriptorOf, peerCredentials } from '../kernel/socket.ts';
import { systemClock } from '../lib/clock.ts';
import { named } from '../lib/log.ts';
import { root } from './places.ts';

export interface DoorsInput {
  readonly engine: Engine;
  readonly log: Logger;
  readonly state: string;
  readonly run: string;
  readonly collectors: readonly Collector[];
}

export interface Doors extends AsyncDisposable {
  readonly openers: Readonly<Record<string, Opener>>;
  /** Begins to listen on the unix sockets. */
  openSockets(): Promise<void>;
}

export const version = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version;

const goodbye = 'The daemon that serves this session ends: log in again in a moment.';

/** Servers that listen nowhere yet; `openers` is what the driver of kind `listener` calls. */
export function openDoors(input: DoorsInput): Doors {
  const kept = new AsyncDisposableStack();
  const { engine } = input;
  const hostname = (): string => engine.read.running(systemSchema).hostname;
  const door = openDoor({ engine, commands: engine.commands, clock: systemClock, hostname });
  const api = kept.use(apiServer(input, door));
  let opened: Promise<SshServer> | undefined;
  const ssh = (): Promise<SshServer> => (opened ??= sshServer(input, door).then((server) => kept.use(server)));
  return {
    openers: { api: (at) => api.listen(at), ssh: async (at) => (await ssh()).listen(at) },
    async openSockets() {
      const server = await ssh();
      for (const [it, name] of [[api, 'api.sock'] as const, [server, 'ssh.sock'] as const]) {
        const path = join(input.run, name);
        rmSync(path, { force: true });
        kept.use(await it.listen({ path }));
      }
      kept.use(engine.onRevision(() => server.recheck()));
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function apiServer(input: DoorsInput, door: Door): ApiServer {
  const { engine } = input;
  return openApi({
    engine,
    door,
    collectors: input.collectors,
    log: named(input.log, 'api'),
    openApi: () => describeApi(version, engine.slices, engine.commands),
    mask: (document) => maskSecrets(document, documentRoot(engine.slices)),
    tokens: () => engine.read.running(apiSchema).tokens,
    peerUid,
    terminal: (stream, guest, signal) => door.terminal(stream, guest, signal),
    openMetrics: () => engine.read.running(apiSchema)['open-metrics'],
    goodbye,
  });
}

/** SO_PEERCRED; only sockets of the unix kind have it. */
function peerUid(socket: Socket): number | undefined {
  const fd = descriptorOf(socket);
  return fd === undefined ? undefined : peerCredentials(fd).uid;
}

/** What it is made of is loaded here: where nobody asks for it before, frames pass first. */
async function sshServer(input: DoorsInput, door: Door): Promise<SshServer> {
  const { engine } = input;
  const [{ loadHostKey }, { openSshServer }] = await Promise.all([
    import('../cli/ssh/hostkey.ts'),
    import('../cli/ssh/server.ts'),
  ]);
  const key = await loadHostKey(join(input.state, 'ssh'));
  return openSshServer({
    hostKey: key.private,
    users: () => engine.read.running(usersSchema),
    openSession: ({ user, role, from, to }) => door.open({ who: `${user}@ssh:${from}`, role }, to),
    clock: systemClock,
    log: named(input.log, 'ssh'),
    goodbye,
  });
}
