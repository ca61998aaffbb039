// The driver of kind `listener`: sockets of the daemon that people and programs come in by. Dropping one stops
// listening and cuts nobody who is connected.
import { FaultError, type FaultCode } from '../faults.ts';
import type { Driver, Ref, Resource } from '../resource.ts';
import { printEndpoint, type Endpoint } from '../../lib/endpoint.ts';

export interface ListenerSpec extends Endpoint {
  /** Who takes the connections: "ssh", "api". */
  readonly service: string;
}

/** Listens until it is disposed. Throws what node:net throws. */
export type Opener = (at: Endpoint) => Promise<AsyncDisposable>;

/** The resource of a listening socket: "listener/ssh:10.0.0.1:22". */
export function listenerResource(owner: string, at: Endpoint, needs: readonly Ref[] = []): Resource<ListenerSpec> {
  const { address, port } = at;
  return { ref: `listener/${owner}:${printEndpoint(at)}`, owner, spec: { service: owner, address, port }, needs };
}

/** Driver of the sockets of these services. What it reads is what it opened: sockets end with the process. */
export function listenerDriver(openers: Readonly<Record<string, Opener>>): Driver<ListenerSpec, ListenerSpec> {
  const open = new Map<Ref, { readonly spec: ListenerSpec; readonly socket: AsyncDisposable }>();
  const drop = async (ref: Ref): Promise<void> => {
    const listener = open.get(ref);
    open.delete(ref);
    await listener?.socket[Symbol.asyncDispose]();
  };
  return {
    kind: 'listener',
    async read(refs) {
      const wanted = refs === 'all' ? [...open.keys()] : refs;
      return new Map(
        wanted.flatMap((ref) => {
          const listener = open.get(ref);
          return listener ? [[ref, listener.spec] as const] : [];
        }),
      );
    },
    diff: (spec, actual) => (samePlace(spec, actual) ? 'same' : 'replace'),
    claims: (spec) => [`tcp ${printEndpoint(spec)}`],
    held: (actual) => [`tcp ${printEndpoint(actual)}`],
    async put(batch) {
      for (const [ref, spec] of batch) {
        const before = open.get(ref);
        if (before && samePlace(before.spec, spec)) continue;
        await drop(ref);
        const opener = openers[spec.service];
        if (!opener) throw new FaultError('not-supported', ref, `nothing here serves ${spec.service}`);
        open.set(ref, { spec, socket: await listen(opener, ref, spec) });
      }
    },
    async drop(refs) {
      await Promise.all(refs.map(drop));
    },
  };
}

function samePlace(a: ListenerSpec, b: ListenerSpec): boolean {
  return a.service === b.service && a.address === b.address && a.port === b.port;
}

async function listen(opener: Opener, ref: Ref, { address, port }: ListenerSpec): Promise<AsyncDisposable> {
  try {
    return await opener({ address, port });
  } catch (error) {
    throw listenFault(ref, (error as NodeJS.ErrnoException).code ?? '') ?? error;
  }
}

/** The Fault for the errno's name of a socket that can't listen; `where` begins its words. */
export function listenFault(ref: Ref, errno: string, where = ''): FaultError | undefined {
  const [code, why, retry] = faults[errno] ?? [];
  return code === undefined ? undefined : new FaultError(code, ref, `${where}${why}`, retry);
}

const faults: Readonly<Record<string, readonly [FaultCode, string, boolean]>> = {
  EADDRINUSE: ['in-use', 'something else listens on this address and port', true],
  EADDRNOTAVAIL: ['not-found', 'the switch does not have this address', true],
  EACCES: ['not-permitted', 'the kernel does not let the daemon use this port', false],
  EMFILE: ['refused', 'no file descriptors are left', true],
  EAFNOSUPPORT: ['not-supported', 'the kernel does not speak this address family', false],
};
