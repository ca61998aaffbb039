// The hosts of a listener with TLS: which a client means, and what its connections get from then on.
import { defaultPaths } from '../../mesh/snapshot.ts';
import type { Listener } from '../../mesh/snapshot.ts';
import type { Act } from '../head/act.ts';
import type { TlsHostView } from '../head/outcome.ts';
import type { StreamTable } from '../tcp/stream.ts';
import type { Table } from '../match.ts';
import { hostUser } from './contexts.ts';
import type { Context } from './contexts.ts';

/** So many contexts are known that connections may still have. */
const REMEMBERED = 8192;

/** The hosts of one listener by name. */
export class TlsHosts {
  private readonly byName: ReadonlyMap<string, TlsHostView>;

  constructor(hosts: readonly TlsHostView[]) {
    this.byName = new Map(hosts.map((view) => [view.host, view]));
  }

  /** The host that covers the name, in lower case; "" where a client says none. */
  find(name: string): TlsHostView | undefined {
    const exact = name === '' ? undefined : this.byName.get(name);
    if (exact !== undefined) return exact;
    for (let dot = name.indexOf('.'); dot > 0; dot = name.indexOf('.', dot + 1)) {
      const wild = this.byName.get(`*${name.slice(dot)}`);
      if (wild !== undefined) return wild;
    }
    return this.byName.get('*');
  }
}

/** The hosts of all listeners, and which of them a connection belongs to. */
export class HostViews {
  private inForce = new Map<string, { readonly view: TlsHostView; readonly policy: string }>();
  private readonly byContext = new Map<number, TlsHostView>();

  /** Puts the hosts of all listeners in force, and gives them by listener. Connections of a host that is gone, or whose
   * rules for clients are others now, have to begin anew. */
  commit(
    listeners: readonly Listener[],
    tables: ReadonlyMap<string, { readonly table: Table<Act>; readonly streams: StreamTable }>,
    contexts: ReadonlyMap<string, Context>,
  ): ReadonlyMap<string, TlsHosts> {
    const next: typeof this.inForce = new Map();
    const all = new Map<string, TlsHosts>();
    for (const listener of listeners) {
      const { name, port, protocol, tls } = listener;
      if (tls === undefined) continue;
      const views = tls.map((host) => {
        const { id, policy } = contexts.get(hostUser(listener, host))!;
        const old = this.inForce.get(hostUser(listener, host));
        const { paths = defaultPaths, maxTunnelMs = 0 } = listener;
        const now = { ...tables.get(host.routes)!, paths, maxTunnelMs, context: id };
        const view =
          old?.policy === policy ? Object.assign(old.view, now) : { name, port, protocol, host: host.host, ...now };
        next.set(hostUser(listener, host), { view, policy });
        this.remember(id, view);
        return view;
      });
      all.set(name, new TlsHosts(views));
    }
    for (const [user, { view }] of this.inForce) if (next.get(user)?.view !== view) view.retired = true;
    this.inForce = next;
    return all;
  }

  private remember(context: number, view: TlsHostView): void {
    this.byContext.delete(context);
    this.byContext.set(context, view);
    for (const [old, { context: current }] of this.byContext) {
      if (this.byContext.size <= REMEMBERED) return;
      if (old !== current) this.byContext.delete(old);
    }
  }

  /** The host of connections with this context. */
  of(context: number): TlsHostView | undefined {
    return this.byContext.get(context);
  }
}
