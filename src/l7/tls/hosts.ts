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

/** The hosts of all listeners, and which of them a connection belongs to: it came by the rules for clients of one, and
 * has to begin anew where nobody has these any more. */
export class HostViews {
  private readonly byPolicy = new Map<string, TlsHostView>();
  private readonly policies = new Map<string, string>();

  /** Puts the hosts of listeners that change in force, and gives them by listener. */
  commit(
    listeners: Overlay<Listener>,
    tables: Pick<Overlay<Routes>, 'get'>,
    contexts: Overlay<Context>,
  ): ReadonlyMap<string, TlsHosts> {
    const retired = new Set<string>();
    for (const name of [...listeners.gone, ...listeners.put.keys()]) {
      const old = listeners.base.get(name);
      for (const host of old?.tls ?? []) {
        const user = hostUser(old!, host);
        retired.add(this.policies.get(user) ?? '');
        this.policies.delete(user);
      }
    }
    const all = new Map<string, TlsHosts>();
    for (const listener of listeners.put.values()) {
      const { name, port, protocol, tls } = listener;
      if (tls === undefined) continue;
      const views = tls.map((host) => {
        const user = hostUser(listener, host);
        const { id, policy } = contexts.get(user)!;
        const { table, streams } = tables.get(host.routes)!;
        const now = { table, streams, port, ...settingsOf(listener), context: id };
        const old = this.byPolicy.get(policy);
        const view = old === undefined ? { name, protocol, host: host.host, ...now } : Object.assign(old, now);
        this.byPolicy.set(policy, view);
        this.policies.set(user, policy);
        retired.delete(policy);
        return view;
      });
      all.set(name, new TlsHosts(views));
    }
    for (const policy of retired) {
      // Who came by a listener that is gone and has said nothing yet may still ask for it.
      const view = this.byPolicy.get(policy);
      if (view !== undefined) view.context = 0;
      this.byPolicy.delete(policy);
    }
    return all;
  }

  /** All hosts in force. */
  views(): Iterable<TlsHostView> {
    return this.byPolicy.values();
  }

  /** The host of connections of that policy. */
  of(policy: string): TlsHostView | undefined {
    return this.byPolicy.get(policy);
  }
}
