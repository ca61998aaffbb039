// The hosts of a listener with TLS: which a client means, and what its connections get from then on.
import type { Overlay } from '../worker/overlay.ts';
import type { Listener } from '../../mesh/snapshot.ts';
import type { Act } from '../head/act.ts';
import type { TlsHostView } from '../head/outcome.ts';
import type { StreamTable } from '../tcp/stream.ts';
import type { Table } from '../match.ts';
import { settingsOf } from '../worker/settings.ts';
import { hostUser } from './contexts.ts';
import type { Context } from './contexts.ts';

interface Routes {
  readonly table: Table<Act>;
  readonly streams: StreamTable;
}

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
  private readonly inForce = new Map<string, { readonly view: TlsHostView; readonly policy: string }>();
  private readonly byContext = new Map<number, TlsHostView>();

  /** Puts the hosts of listeners that change in force, and gives them by listener. Connections of a host that is gone,
   * or whose rules for clients are others now, have to begin anew. */
  commit(
    listeners: Overlay<Listener>,
    tables: Pick<Overlay<Routes>, 'get'>,
    contexts: Overlay<Context>,
  ): ReadonlyMap<string, TlsHosts> {
    const retired = new Set<string>();
    for (const name of [...listeners.gone, ...listeners.put.keys()]) {
      const old = listeners.base.get(name);
      for (const host of old?.tls ?? []) retired.add(hostUser(old!, host));
    }
    const all = new Map<string, TlsHosts>();
    for (const listener of listeners.put.values()) {
      const { name, port, protocol, tls } = listener;
      if (tls === undefined) continue;
      const views = tls.map((host) => {
        const user = hostUser(listener, host);
        const { id, policy } = contexts.get(user)!;
        const { table, streams } = tables.get(host.routes)!;
        const old = this.inForce.get(user);
        const now = { table, streams, ...settingsOf(listener), context: id };
        const stays = old?.policy === policy;
        const view = stays ? Object.assign(old.view, now) : { name, port, protocol, host: host.host, ...now };
        if (!stays && old !== undefined) old.view.retired = true;
        this.inForce.set(user, { view, policy });
        retired.delete(user);
        this.remember(id, view);
        return view;
      });
      all.set(name, new TlsHosts(views));
    }
    for (const user of retired) {
      const old = this.inForce.get(user);
      if (old !== undefined) old.view.retired = true;
      this.inForce.delete(user);
    }
    return all;
  }

  /** All hosts in force. */
  *views(): Generator<TlsHostView, void> {
    for (const { view } of this.inForce.values()) yield view;
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
