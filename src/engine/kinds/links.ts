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

/** Calls with the name of each device that changes, comes or goes; one that is renamed is told by both names. `lost` is
 * called where the kernel dropped events. */
export function watchLinks(nl: Netlink, on: (name: string) => void, lost: () => void): Disposable {
  const names = new Map<number, string>();
  const watch = nl.watch(['link'], (event) => {
    if (event.type === 'overrun') return lost();
    if (event.type !== 'link') return;
    const { index, name } = event.link;
    const before = names.get(index);
    if (event.gone) names.delete(index);
    else names.set(index, name);
    if (before !== undefined && before !== name) on(before);
    on(name);
  });
  for (const link of nl.links()) if (!names.has(link.index)) names.set(link.index, link.name);
  return watch;
}
