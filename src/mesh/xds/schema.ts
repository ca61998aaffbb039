import { z } from 'zod';
import { canonical } from '../../config/types.ts';
import { parseIp, printIp } from '../../lib/ip.ts';

const socket = canonical((text) => {
  const colon = text.lastIndexOf(':');
  const host = text.slice(0, colon);
  const bracketed = host.startsWith('[') && host.endsWith(']');
  const ip = parseIp(bracketed ? host.slice(1, -1) : host);
  const port = Number(text.slice(colon + 1));
  const valid = /^[0-9]{1,5}$/.test(text.slice(colon + 1)) && port >= 1 && port <= 65535;
  if (ip === undefined || !valid || bracketed !== (ip.family === 6))
    return { message: 'not ADDRESS:PORT or [ADDRESS]:PORT' };
  return ip.family === 6 ? `[${printIp(ip)}]:${port}` : `${printIp(ip)}:${port}`;
}).meta({ description: 'address and port', examples: ['10.10.0.1:15010', '[fd00:10::1]:15010'] });

/** Section `xds`: where proxies on other machines reach the manager; on this one they have its unix socket. */
export const xdsSchema = z
  .strictObject({
    listen: z.array(socket).max(16).default([]).meta({ description: 'addresses and ports for proxies elsewhere' }),
    plaintext: z
      .boolean()
      .default(false)
      .meta({ description: 'must be said for listen: whoever reaches the port can read what proxies are told' }),
  })
  .default({ listen: [], plaintext: false })
  .meta({ description: 'the manager of Envoy proxies', examples: [{ listen: ['10.10.0.1:15010'], plaintext: true }] });

export type XdsSection = z.infer<typeof xdsSchema>;
