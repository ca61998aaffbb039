// Sysctls of the fake kernel: those of network devices come and go with them, others are as in a new namespace.
import { KernelError } from '../../src/kernel/errno.ts';
import { sysctlPath } from '../../src/kernel/net/sysctl.ts';
import type { Space } from './network.ts';

const global: Readonly<Record<string, string>> = {
  'ipv4/ip_forward': '0',
  'ipv4/fwmark_reflect': '0',
  'ipv4/tcp_fwmark_accept': '0',
  'ipv4/tcp_migrate_req': '0',
  'ipv4/ip_nonlocal_bind': '0',
  'ipv4/ip_local_reserved_ports': '',
  'ipv4/ip_local_port_range': '32768\t60999',
  'ipv6/fwmark_reflect': '0',
  'ipv6/bindv6only': '0',
  'ipv6/ip_nonlocal_bind': '0',
  'core/somaxconn': '4096',
};

const perDevice: Readonly<Record<'ipv4' | 'ipv6', Readonly<Record<string, string>>>> = {
  ipv4: {
    accept_local: '0',
    accept_redirects: '1',
    arp_accept: '0',
    arp_announce: '0',
    arp_filter: '0',
    arp_ignore: '0',
    arp_notify: '0',
    forwarding: '0',
    proxy_arp: '0',
    rp_filter: '0',
    send_redirects: '1',
  },
  ipv6: {
    accept_dad: '1',
    accept_ra: '1',
    accept_redirects: '1',
    addr_gen_mode: '0',
    autoconf: '1',
    disable_ipv6: '0',
    forwarding: '0',
    keep_addr_on_down: '0',
    proxy_ndp: '0',
  },
};

/** Values that were written, by namespace and device, so that a rename keeps them. */
export class FakeSysctls {
  readonly #written = new WeakMap<object, Map<string, string>>();

  read(space: Space, key: string): string | undefined {
    return this.#find(space, key)?.get();
  }

  write(space: Space, key: string, value: string): void {
    const entry = this.#find(space, key);
    if (entry === undefined) throw new KernelError('ENOENT', `write sysctl ${key}`);
    if (/^-?\d+$/.test(entry.initial) && !/^-?\d+$/.test(value)) throw new KernelError('EINVAL', `write sysctl ${key}`);
    entry.set(value);
    // The switch for all is a switch for each.
    const all = /^net[./](ipv[46])[./](?:ip_forward|conf[./]all[./]forwarding)$/.exec(key)?.[1];
    if (all === undefined) return;
    for (const name of ['all', 'default', ...space.devices.map((device) => device.name)]) {
      this.#find(space, `net/${all}/conf/${name}/forwarding`)?.set(value);
    }
    if (all === 'ipv4') this.#find(space, 'net/ipv4/ip_forward')?.set(value);
  }

  #find(space: Space, key: string): { initial: string; get(): string; set(value: string): void } | undefined {
    const path = sysctlPath(key).slice('/proc/sys/net/'.length);
    const [, family, name, leaf] = /^(ipv[46])\/conf\/([^/]+)\/(\w+)$/.exec(path) ?? [];
    if (family !== 'ipv4' && family !== 'ipv6') return this.#entry(space, path, global[path]);
    const initial = perDevice[family][leaf ?? ''];
    const owner = name === 'all' || name === 'default' ? space : space.find(name ?? '');
    return owner && this.#entry(owner, owner === space ? path : `${family}/${leaf}`, initial);
  }

  #entry(owner: object, path: string, initial: string | undefined) {
    if (initial === undefined) return undefined;
    const values = this.#written.get(owner) ?? new Map<string, string>();
    this.#written.set(owner, values);
    return {
      initial,
      get: () => values.get(path) ?? initial,
      set: (value: string) => void values.set(path, value),
    };
  }
}
