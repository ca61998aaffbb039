// The values that sections of every slice have in common, as schemas: text comes in, the canonical text comes out. Each
// is a plain z.string() with a check, so that it converts to JSON Schema both ways.
import { z } from 'zod';
import { parseEndpoint, printEndpoint } from '../lib/endpoint.ts';
import { parseIp, printIp } from '../lib/ip.ts';
import { parseMac, isGroupMac, printMac } from '../lib/mac.ts';
import { parseBitRate, parseBytes, parseDuration } from '../lib/units.ts';
import { isSubnet, parsePrefix, printPrefix, subnetOf } from '../lib/prefix.ts';

/** An IPv4 or IPv6 address in canonical form (RFC 5952). */
export const ipAddress = canonical((text) => {
  const ip = parseIp(text);
  return ip ? printIp(ip) : { message: 'not an IP address' };
}).meta({ description: 'IPv4 or IPv6 address', examples: ['192.0.2.1', '2001:db8::1'] });

/** A host's address with the length of its subnet, "10.0.0.1/24"; host bits stay. */
export const cidr = canonical((text) => {
  const parsed = parsePrefix(text);
  return parsed ? printPrefix(parsed) : { message: 'not an address with a prefix length', ...lengthMissing(text) };
}).meta({ description: 'address with the length of its subnet', examples: ['10.0.0.1/24', '2001:db8::1/64'] });

/** A subnet, "10.0.0.0/8": no host bits set. */
export const prefix = canonical((text) => {
  const parsed = parsePrefix(text);
  if (!parsed) return { message: 'not a prefix', ...lengthMissing(text) };
  return isSubnet(parsed)
    ? printPrefix(parsed)
    : { message: 'has host bits set', meant: printPrefix(subnetOf(parsed)) };
}).meta({ description: 'subnet', examples: ['10.0.0.0/8', '2001:db8::/32'] });

/** The Ethernet address of one station, "02:00:00:00:00:01". */
export const macAddress = canonical((text) => {
  const mac = parseMac(text);
  if (!mac) return { message: 'not a MAC address' };
  return isGroupMac(mac) ? { message: 'a group address, not that of one station' } : printMac(mac);
}).meta({ description: 'MAC address', examples: ['02:00:00:00:00:01'] });

/** Bytes, written `256M`. Parses to a number of bytes. */
export const byteSize = quantity(parseBytes, 'an amount of bytes', ['B', 'K', 'M', 'G']).meta({
  description: 'amount of bytes; 1K is 1024',
  examples: ['256M', '1G'],
});

/** A time, written `10s`, `500ms`, `5m`, `1h`. Parses to a number of milliseconds. */
export const duration = quantity(parseDuration, 'a length of time', ['ms', 's', 'm', 'h']).meta({
  description: 'length of time',
  examples: ['10s', '500ms', '5m', '1h'],
});

/** A rate, written `1Gbps`. Parses to a number of bits a second. */
export const bitRate = quantity(parseBitRate, 'a rate', ['bps', 'kbps', 'Mbps', 'Gbps']).meta({
  description: 'bits a second',
  examples: ['100Mbps', '1Gbps'],
});

/** The schema of a quantity: text with a unit, or 0. Bounds go behind it, `.refine((ms) => ms <= 60_000, 'at most
 * 1m')`; a default as it is written, `.prefault('10s')`. */
function quantity(read: (text: string) => number | undefined, noun: string, units: readonly string[]) {
  return z.union([z.string(), z.number()]).transform((written, context): number => {
    const value = read(String(written));
    if (value !== undefined) return value;
    const bare = /^[0-9.]+$/.test(String(written));
    const message = bare ? `has no unit: one of ${units.join(', ')}` : `not ${noun}`;
    context.issues.push(refusalIssue({ message }, String(written)));
    return z.NEVER;
  });
}

/** An address and port that something listens on. */
export const endpoint = canonical((text) => {
  const parsed = parseEndpoint(text);
  return parsed
    ? printEndpoint(parsed)
    : { message: 'not an address with a port, like 10.0.0.1:22 or [2001:db8::1]:22' };
}).meta({ description: 'address and port', examples: ['10.0.0.1:22', '[2001:db8::1]:22'] });

/** What somebody may do. */
export const role = z.enum(['viewer', 'operator', 'admin']).meta({
  description: 'viewer looks, operator also restarts and clears, admin also configures',
});

/** What is wrong with a text, and the text that was probably meant (it becomes the hint of the Problem). */
export interface Refusal {
  readonly message: string;
  readonly meant?: string;
}

/** A schema for text that `read` turns into its canonical form, or refuses. */
export function canonical(read: (text: string) => string | Refusal): z.ZodString {
  return z.string().check((payload) => {
    const result = read(payload.value);
    if (typeof result === 'string') payload.value = result;
    else payload.issues.push(refusalIssue(result, payload.value));
  });
}

/** The zod issue for a refused text: shows it, cut to what fits a line. */
export function refusalIssue(refusal: Refusal, text: string): z.core.$ZodRawIssue<z.core.$ZodIssueCustom> {
  const shown = text.length > 60 ? `${text.slice(0, 60)}...` : text;
  const params = refusal.meant === undefined ? {} : { meant: refusal.meant };
  return { code: 'custom', message: `"${shown}": ${refusal.message}`, input: text, params, continue: false };
}

function lengthMissing(text: string): { meant?: string } {
  const ip = parseIp(text);
  return ip ? { meant: `${printIp(ip)}/${ip.family === 4 ? 24 : 64}` } : {};
}
