// The manager of proxies, loaded when the switch forwards already: its generated code takes longer than the rest of the
// start. What is offered before is kept, and offered then.
import type { Ack, ClusterKey, Consumer, Endpoints, Snapshot } from '../snapshot.ts';
import type { ProxyScope } from './scopes.ts';
import type { Xds, XdsOptions } from './server.ts';

export interface LateXds extends Xds {
  /** Loads and opens it, once. FaultError 'in-use' where its socket can't be had. */
  open(): Promise<void>;
}

/** A manager that opens at the first call of `open` or `listen`. */
export function lateXds(options: XdsOptions): LateXds {
  let opened: Xds | undefined;
  let opening: Promise<Xds> | undefined;
  const consumers = { gateway: lateConsumer('gateway'), sidecar: lateConsumer('sidecar') };
  const load = async (): Promise<Xds> => {
    const { openXds } = await import('./server.ts');
    const xds = await openXds(options);
    for (const scope of ['gateway', 'sidecar'] as const) await consumers[scope].handOver(xds.consumer(scope));
    opened = xds;
    return xds;
  };
  const open = (): Promise<Xds> => (opening ??= load());
  return {
    consumer: (scope) => consumers[scope],
    proxies: () => opened?.proxies() ?? [],
    listen: async (address) => (await open()).listen(address),
    open: async () => void (await open()),
    async [Symbol.asyncDispose]() {
      // One that could not open has said so to whoever opened it.
      const xds = await opening?.catch(() => undefined);
      await xds?.[Symbol.asyncDispose]();
    },
  };
}

/** Acknowledges as the real one does, always, and passes on what it has once there is one. */
function lateConsumer(scope: ProxyScope): Consumer & { handOver(to: Consumer): Promise<void> } {
  const endpoints = new Map<ClusterKey, Endpoints>();
  let latest: Snapshot | undefined;
  let real: Consumer | undefined;
  return {
    offer(snapshot): Promise<Ack> | ReturnType<Consumer['offer']> {
      if (snapshot.scope !== scope) throw new Error(`a snapshot of scope ${snapshot.scope} was offered to ${scope}`);
      if (real !== undefined) return real.offer(snapshot);
      latest = snapshot;
      return Promise.resolve({ ok: true, version: snapshot.version });
    },
    endpoints(e) {
      if (real === undefined) endpoints.set(e.cluster, e);
      else real.endpoints(e);
    },
    async handOver(to) {
      for (const e of endpoints.values()) to.endpoints(e);
      real = to;
      if (latest !== undefined) await to.offer(latest);
      endpoints.clear();
    },
  };
}
