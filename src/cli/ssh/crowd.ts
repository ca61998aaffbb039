// Strangers at the door: how many at once, and how often from one network. When it is full the network with the most of
// them loses its oldest, so that many who say nothing cannot keep others out.
import { parseIp, printIp } from '../../lib/ip.ts';
import { networkOf } from '../../lib/prefix.ts';

/** Someone who is connected; a stranger until they log in. */
export interface Comer {
  /** Their address, or "local". */
  readonly from: string;
  readonly stranger: boolean;
}

export interface CrowdLimits {
  /** Connections that are not logged in yet: in all, and from one network. */
  readonly strangers: number;
  readonly strangersPerAddress: number;
  readonly connections: number;
  /** New connections a second from one network, and how many at once. */
  readonly ratePerAddress: number;
  readonly burstPerAddress: number;
}

const mostNetworks = 4096;

/** An IPv4 address is its own network; of IPv6 one host has a whole /64. */
export function networkFrom(address: string): string {
  const ip = parseIp(address.replace(/%.*/, ''));
  return ip?.family === 6 ? printIp(networkOf({ ip, length: 64 })) : address;
}

/** Whether somebody from there may come in, given who is here and the monotonic milliseconds: 'no', 'yes', or who has
 * to go first. Each call counts. */
export function openCrowd<C extends Comer>(
  limits: CrowdLimits,
): (from: string, here: ReadonlySet<C>, now: number) => 'yes' | 'no' | C {
  // When the next connection of a network would be due at the allowed rate (GCRA).
  const due = new Map<string, number>();
  const tooOften = (network: string, now: number): boolean => {
    const stepMs = 1000 / limits.ratePerAddress;
    const next = Math.max(due.get(network) ?? now, now);
    if (next - now > stepMs * (limits.burstPerAddress - 1)) return true;
    due.delete(network);
    due.set(network, next + stepMs);
    for (const [other, at] of due) {
      if (at > now && due.size <= mostNetworks) break;
      due.delete(other);
    }
    return false;
  };
  return (from, here, now) => {
    const network = networkFrom(from);
    if (tooOften(network, now)) return 'no';
    const networks = Map.groupBy(
      [...here].filter((comer) => comer.stranger),
      (comer) => networkFrom(comer.from),
    );
    const own = networks.get(network)?.length ?? 0;
    if (own >= limits.strangersPerAddress) return 'no';
    const strangers = [...networks.values()].reduce((sum, some) => sum + some.length, 0);
    if (strangers < limits.strangers && here.size < limits.connections) return 'yes';
    const [largest] = [...networks.values()].toSorted((a, b) => b.length - a.length);
    return largest?.[0] ?? 'no';
  };
}
