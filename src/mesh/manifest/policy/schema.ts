// Our own kinds, where no standard manifest exists: policies attached to objects of the standards (GEP-713), in the
// shape of Envoy Gateway's ClientTrafficPolicy and BackendTrafficPolicy.
import { z } from 'zod';
import { prefix } from '../../../config/types.ts';
import { durationMs } from '../text.ts';

const name = z.string().min(1).max(253);

const gatewayRef = z.strictObject({
  group: z.enum(['gateway.networking.k8s.io', 'networking.istio.io']).default('gateway.networking.k8s.io'),
  kind: z.literal('Gateway', { error: 'a ListenerPolicy is for Gateways' }).default('Gateway'),
  name,
  sectionName: name.optional(),
});

const atLeastOne = z.int().min(1).max(10_000_000);

/** As ClientTrafficPolicy of Envoy Gateway has it, with the bound of one client beside. */
const connectionLimit = z.strictObject({
  value: atLeastOne.optional(),
  valuePerClient: atLeastOne.optional(),
  maxRequestsPerConnection: atLeastOne.optional(),
});

export const listenerPolicySchema = z.strictObject({
  targetRefs: z.array(gatewayRef).min(1).max(16),
  proxyProtocol: z.strictObject({ trustedSources: z.array(prefix).min(1).max(64) }).optional(),
  timeout: z
    .strictObject({ maxTunnelDuration: durationMs.refine((ms) => ms > 0, 'has to be more than nothing').optional() })
    .default({}),
  connection: z.strictObject({ connectionLimit }).optional(),
  headers: z
    .strictObject({
      xForwardedClientCert: z.strictObject({
        mode: z.enum(['Sanitize', 'SanitizeSet'], { error: 'must be Sanitize or SanitizeSet' }),
        certDetailsToAdd: z
          .array(z.enum(['Subject', 'URI', 'DNS'], { error: 'must be Subject, URI or DNS' }))
          .max(3)
          .optional(),
      }),
    })
    .optional(),
  requestHead: z
    .strictObject({
      maxFields: z.int().min(1).max(256).optional(),
      maxBytes: z.int().min(256).max(32_768).optional(),
      maxTargetBytes: z.int().min(1).max(32_768).optional(),
    })
    .optional(),
});

const serviceRef = z.strictObject({
  group: z.literal('', { error: 'a BackendPolicy is for Services' }).default(''),
  kind: z.literal('Service', { error: 'a BackendPolicy is for Services' }).default('Service'),
  name,
});

export const backendPolicySchema = z.strictObject({
  targetRefs: z.array(serviceRef).min(1).max(16),
  proxyProtocol: z.strictObject({ version: z.enum(['V1', 'V2']) }).optional(),
});

const routeRef = z.strictObject({
  group: z.enum(['gateway.networking.k8s.io', 'networking.istio.io']).default('gateway.networking.k8s.io'),
  kind: z.enum(['HTTPRoute', 'GRPCRoute', 'TCPRoute', 'TLSRoute', 'VirtualService'], {
    error: 'must be HTTPRoute, GRPCRoute, TCPRoute, TLSRoute or VirtualService: a RoutePolicy is for routes',
  }),
  name,
});

export const routePolicySchema = z.strictObject({
  targetRefs: z.array(routeRef).min(1).max(16),
  timeout: z.strictObject({ idle: durationMs.refine((ms) => ms > 0, 'has to be more than nothing') }),
});

export type ListenerPolicySpec = z.infer<typeof listenerPolicySchema>;
export type RoutePolicySpec = z.infer<typeof routePolicySchema>;
export type BackendPolicySpec = z.infer<typeof backendPolicySchema>;
