// Devices by name and number, for drivers that ask for many: read once for as long as one turn of work lasts.
import type { Link, Netlink } from '../../kernel/netlink.ts';

export interface LinkBook {
  byName(name: string): Link | undefined;
  byIndex(index: number): Link | undefined;
}

/** Single questions are cheaper than reading all, up to about so many. */
const fewQuestions = 8;

/** What it answers is at most as old as the synchronous run of code that asks. */
export function linkBook(nl: Netlink): LinkBook {
  let asked = 0;
  let all: { readonly names: Map<string, Link>; readonly indexes: Map<number, Link> } | undefined;
  const begin = (): void => {
    if (asked > 0) return;
    queueMicrotask(() => {
      asked = 0;
      all = undefined;
    });
  };
  const read = () => {
    const links = nl.links();
    all ??= {
      names: new Map(links.map((link) => [link.name, link])),
      indexes: new Map(links.map((link) => [link.index, link])),
    };
    return all;
  };
  return {
    byName(name) {
      begin();
      asked += 1;
      return asked <= fewQuestions && all === undefined ? nl.link(name) : (all ?? read()).names.get(name);
    },
    byIndex(index) {
      begin();
      asked += 1;
      return (all ?? read()).indexes.get(index);
    },
  };
}

/** Devices as they were last found to be as desired. The kernel tells of our own changes too, after a start by the
 * hundred: an event that shows a device just so is no reason to look at it, and at all that stands on it. */
export function foundWell<A extends { readonly name: string }>() {
  const found = new Map<string, string>();
  return {
    /** Keeps what was read, and how it compares. */
    note<D extends string>(actual: A, diff: D): D {
      if (diff === 'same') found.set(actual.name, JSON.stringify(actual));
      else found.delete(actual.name);
      return diff;
    },
    /** What an event shows; undefined: the device is gone, or is none of ours. */
    isNews(name: string, actual: A | undefined): boolean {
      if (actual !== undefined) return found.get(name) !== JSON.stringify(actual);
      found.delete(name);
      return true;
    },
  };
}

/** Calls with the name of each device that changes, comes or goes, and what it is like now; one that is renamed is told
 * by both names. `lost` is called where the kernel dropped events. */
export function watchLinks(nl: Netlink, on: (name: string, link?: Link) => void, lost: () => void): Disposable {
  const names = new Map<number, string>();
  const watch = nl.watch(['link'], (event) => {
    if (event.type === 'overrun') return lost();
    if (event.type !== 'link') return;
    const { index, name } = event.link;
    const before = names.get(index);
    if (event.gone) names.delete(index);
    else names.set(index, name);
    if (before !== undefined && before !== name) on(before);
    on(name, event.gone ? undefined : event.link);
  });
  for (const link of nl.links()) if (!names.has(link.index)) names.set(link.index, link.name);
  return watch;
}
