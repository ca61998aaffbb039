// Up or down: apart from the device itself, so that its hook is attached before the first frame can come in.
import type { Kernel } from '../../kernel/kernel.ts';
import { type Driver, nameOf, type Ref } from '../resource.ts';
import { foundWell, linkBook, watchLinks } from './links.ts';
import { kernelFault, readAlias } from './mark.ts';

export interface AdminSpec {
  readonly up: boolean;
}

export interface AdminActual extends AdminSpec {
  readonly name: string;
}

/** A dropped admin state is down; the device may be gone already. Down is what a device is that nobody looks after, so
 * one that is down counts as ours only where this process has put it down. */
export function adminDriver(kernel: Kernel, instance: string): Driver<AdminSpec, AdminActual> {
  const nl = kernel.netlink();
  const book = linkBook(nl);
  const well = foundWell<AdminActual>();
  const downs = new Set<Ref>();
  const set = (ref: Ref, up: boolean, missing: 'fails' | 'is fine'): void => {
    const [code] = nl.apply([{ op: 'link-set', name: nameOf(ref), up }]);
    if (code === undefined || (code === 'ENODEV' && missing === 'is fine')) return;
    throw kernelFault(ref, code, `set ${nameOf(ref)} ${up ? 'up' : 'down'}`);
  };
  return {
    kind: 'admin',
    read: (refs) => {
      const links = refs === 'all' ? nl.links() : refs.flatMap((ref) => book.byName(nameOf(ref)) ?? []);
      const ours = links.filter((link) => readAlias(instance, link.alias) !== undefined);
      const states = ours.map(({ name, up }) => [`admin/${name}` as Ref, { name, up }] as const);
      return Promise.resolve(new Map(states.filter(([ref, { up }]) => up || downs.has(ref))));
    },
    diff: (spec, actual) => well.note(actual, spec.up === actual.up ? 'same' : 'update'),
    put: (batch) => {
      for (const [ref, spec] of batch) {
        set(ref, spec.up, 'fails');
        if (spec.up) downs.delete(ref);
        else downs.add(ref);
      }
      return Promise.resolve();
    },
    drop: (refs) => {
      for (const ref of refs) {
        set(ref, false, 'is fine');
        downs.delete(ref);
      }
      return Promise.resolve();
    },
    watch: (dirty) =>
      watchLinks(
        nl,
        (name, link) => {
          if (well.isNews(name, link && { name, up: link.up })) dirty(`admin/${name}`);
        },
        () => dirty('all'),
      ),
  };
}
