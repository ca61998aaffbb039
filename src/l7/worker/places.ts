// Where the router listens. The main thread has the sockets, several a place (one for each worker that there ever was
// at once), and says which worker accepts from which: so a worker that ends closes no queue, and somebody else takes
// over what waits in it.
import { closeSync } from 'node:fs';
import { tcpBind } from '../../kernel/socket.ts';
import type { Listener } from '../../mesh/snapshot.ts';

/** What a worker accepts from, by the listener's name. */
export type Sockets = ReadonlyMap<string, Share>;

export interface Share {
  /** Of the listener, the same in all workers. */
  readonly tag: number;
  readonly fds: readonly number[];
}

/** Places that are taken and not in force yet. */
export interface Taken {
  /** Place of each listener, by name. */
  readonly of: ReadonlyMap<string, string>;
  readonly fresh: readonly (readonly [place: string, fd: number])[];
}

const placeOf = ({ address, port, steered }: Listener): string =>
  `${address} ${port}${steered === true ? ' steered' : ''}`;

export class Places {
  private readonly sockets = new Map<string, number[]>();
  private readonly tags = new Map<string, number>();
  private of: ReadonlyMap<string, string> = new Map();

  /** Binds what is missing of so many sockets a place; none of them listens yet, since a connection must not wait for
   * what workers have yet to prepare. Throws an Error that says which listener has no place: nothing has changed. */
  take(listeners: readonly Listener[], count: number): Taken {
    const of = new Map<string, string>();
    const fresh: [string, number][] = [];
    for (const listener of listeners) {
      const { name, address, port, steered } = listener;
      const place = placeOf(listener);
      of.set(name, place);
      const list = this.sockets.get(place) ?? [];
      this.sockets.set(place, list);
      try {
        while (list.length < count) {
          const fd = tcpBind({ address, port, transparent: steered === true, reusePort: true, nonBlocking: true });
          list.push(fd);
          fresh.push([place, fd]);
        }
      } catch (error) {
        for (const fd of this.abort({ of, fresh })) closeSync(fd);
        throw new Error(`listener ${name}: ${(error as Error).message}`, { cause: error });
      }
    }
    return { of, fresh };
  }

  /** Gives the descriptors that are out of use, to be closed when no worker can be about to use them. */
  commit({ of }: Taken): readonly number[] {
    this.of = of;
    const wanted = new Set(of.values());
    const left = [...this.sockets].filter(([place]) => !wanted.has(place));
    for (const [place] of left) this.sockets.delete(place);
    return left.flatMap(([, fds]) => fds);
  }

  /** The same for places that were not put in force. */
  abort({ fresh }: Taken): readonly number[] {
    for (const [place, fd] of fresh) {
      const list = this.sockets.get(place) ?? [];
      list.splice(list.indexOf(fd), 1);
      if (list.length === 0) this.sockets.delete(place);
    }
    return fresh.map(([, fd]) => fd);
  }

  /** What a worker accepts from, where these serve: its own, and its part of those that have no worker now. */
  share({ of }: Pick<Taken, 'of'>, worker: number, serving: readonly number[]): Sockets {
    const mine = (slot: number): boolean => (serving.includes(slot) ? slot : serving[slot % serving.length]) === worker;
    return new Map(
      [...of].map(([name, place]) => {
        const fds = (this.sockets.get(place) ?? []).filter((_, slot) => mine(slot));
        return [name, { tag: this.tagOf(name), fds }];
      }),
    );
  }

  /** The number that a listener has in all workers. */
  tagOf(name: string): number {
    const tag = this.tags.get(name) ?? this.tags.size + 1;
    this.tags.set(name, tag);
    return tag;
  }

  /** The places in force. */
  inForce(): Pick<Taken, 'of'> {
    return { of: this.of };
  }

  /** Descriptors by place; they stay its own. */
  all(): ReadonlyMap<string, readonly number[]> {
    return this.sockets;
  }

  /** Has these from now on, before anything is put in force: what that does not need is closed then. */
  adopt(sockets: ReadonlyMap<string, readonly number[]>): void {
    for (const [place, fds] of sockets) this.sockets.set(place, [...fds]);
  }

  /** All descriptors, which are the caller's from now on. */
  clear(): readonly number[] {
    return this.commit({ of: new Map(), fresh: [] });
  }
}
