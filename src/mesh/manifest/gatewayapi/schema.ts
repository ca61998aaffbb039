// Gateway API v1 as far as it is implemented. A field that the standard has and this lacks is named as unsupported.
import { z } from 'zod';
import {
  durationMs,
  headerName,
  headerValue,
  hostname,
  method,
  portNumber,
  preciseHostname,
  regex,
  urlPath,
} from '../text.ts';
import { unsupported } from '../read.ts';

const objectName = z.string().min(1).max(253);
const namespace = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'not a namespace');
const sectionName = z
  .string()
  .max(253)
  .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 'not a section name');

export const gatewayClassSchema = z.strictObject({
  controllerName: z.string(),
  description: z.string().optional(),
  parametersRef: unsupported('parametersRef'),
});

const labelSelector = z.strictObject({
  matchLabels: z.record(z.string(), z.string()).default({}),
  matchExpressions: z
    .array(
      z.strictObject({
        key: z.string(),
        operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
        values: z.array(z.string()).default([]),
      }),
    )
    .default([]),
});

const allowedRoutes = z.strictObject({
  namespaces: z
    .strictObject({
      from: z.enum(['All', 'Same', 'Selector', 'None']).default('Same'),
      selector: labelSelector.optional(),
    })
    .default({ from: 'Same' }),
  kinds: z
    .array(z.strictObject({ group: z.string().default('gateway.networking.k8s.io'), kind: z.string() }))
    .default([]),
});

const certificateRef = z.strictObject({
  group: z.string().default(''),
  kind: z.string().default('Secret'),
  namespace: namespace.optional(),
  name: objectName,
});

const frontendValidation = z.strictObject({
  caCertificateRefs: z
    .array(certificateRef.extend({ kind: z.string().default('ConfigMap') }))
    .min(1)
    .max(16),
  mode: z.literal('AllowValidOnly', { error: 'only AllowValidOnly is supported' }).optional(),
});

const listenerTls = z.strictObject({
  mode: z.enum(['Terminate', 'Passthrough']).default('Terminate'),
  certificateRefs: z.array(certificateRef).max(64).default([]),
  frontendValidation: frontendValidation.optional(),
  options: unsupported('options'),
});

const frontendTls = z.strictObject({ validation: frontendValidation.optional() });

const gatewayTls = z.strictObject({
  frontend: z
    .strictObject({
      default: frontendTls.optional(),
      perPort: z
        .array(z.strictObject({ port: portNumber, tls: frontendTls }))
        .max(64)
        .default([]),
    })
    .optional(),
  backend: unsupported('a certificate for all backends'),
});

const listener = z.strictObject({
  name: sectionName,
  hostname: hostname.optional(),
  port: portNumber,
  protocol: z.string(),
  tls: listenerTls.optional(),
  allowedRoutes: allowedRoutes.default({ namespaces: { from: 'Same' }, kinds: [] }),
});

export const gatewaySchema = z.strictObject({
  gatewayClassName: z.string().min(1),
  listeners: z.array(listener).min(1).max(64),
  addresses: z.array(z.strictObject({ type: z.string().default('IPAddress'), value: z.string() })).default([]),
  infrastructure: unsupported('infrastructure'),
  allowedListeners: unsupported('allowedListeners'),
  tls: gatewayTls.optional(),
});

const parentRef = z.strictObject({
  group: z.string().default('gateway.networking.k8s.io'),
  kind: z.string().default('Gateway'),
  namespace: namespace.optional(),
  name: objectName,
  sectionName: sectionName.optional(),
  port: portNumber.optional(),
});

/** Paths that proxies would normalise differently can't be matched (HTTPPathMatch, CEL). */
const matchPath = urlPath
  .refine((path) => !/\/\/|\/\.\.?(\/|$)/.test(path), 'has no "//", "/." or "/.." in it')
  .refine((path) => !/%2f/i.test(path), 'has no "%2f" in it');

const pathMatch = z
  .strictObject({
    type: z.enum(['Exact', 'PathPrefix', 'RegularExpression']).default('PathPrefix'),
    value: z.string().max(1024).default('/'),
  })
  .superRefine((path, context) => {
    const schema = path.type === 'RegularExpression' ? regex : matchPath;
    for (const { message } of schema.safeParse(path.value).error?.issues ?? []) {
      context.addIssue({ code: 'custom', path: ['value'], message });
    }
  });

function valueMatch<N extends z.ZodType>(name: N) {
  return z
    .strictObject({ name, type: z.enum(['Exact', 'RegularExpression']).default('Exact'), value: z.string().max(4096) })
    .superRefine((match, context) => {
      if (match.type !== 'RegularExpression') return;
      for (const { message } of regex.safeParse(match.value).error?.issues ?? []) {
        context.addIssue({ code: 'custom', path: ['value'], message });
      }
    });
}

const routeMatch = z.strictObject({
  path: pathMatch.default({ type: 'PathPrefix', value: '/' }),
  headers: z.array(valueMatch(headerName)).max(16).default([]),
  queryParams: z
    .array(valueMatch(z.string().min(1).max(256)))
    .max(16)
    .default([]),
  method: method.optional(),
});

const headerEdits = z.strictObject({
  set: z
    .array(z.strictObject({ name: headerName, value: headerValue }))
    .max(16)
    .default([]),
  add: z
    .array(z.strictObject({ name: headerName, value: headerValue }))
    .max(16)
    .default([]),
  remove: z.array(headerName).max(16).default([]),
});

const pathModifier = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('ReplaceFullPath'), replaceFullPath: urlPath }),
  z.strictObject({
    type: z.literal('ReplacePrefixMatch'),
    replacePrefixMatch: z.union([z.literal(''), urlPath]),
  }),
]);

const redirect = z.strictObject({
  scheme: z.enum(['http', 'https']).optional(),
  hostname: preciseHostname.optional(),
  path: pathModifier.optional(),
  port: portNumber.optional(),
  statusCode: z.union([z.literal(301), z.literal(302), z.literal(303), z.literal(307), z.literal(308)]).default(302),
});

const rewrite = z.strictObject({ hostname: preciseHostname.optional(), path: pathModifier.optional() });

const filters = [
  z.strictObject({ type: z.literal('RequestHeaderModifier'), requestHeaderModifier: headerEdits }),
  z.strictObject({ type: z.literal('ResponseHeaderModifier'), responseHeaderModifier: headerEdits }),
  z.strictObject({ type: z.literal('RequestRedirect'), requestRedirect: redirect }),
  z.strictObject({ type: z.literal('URLRewrite'), urlRewrite: rewrite }),
] as const;

const backendRef = z.strictObject({
  group: z.string().default(''),
  kind: z.string().default('Service'),
  namespace: namespace.optional(),
  name: objectName,
  port: portNumber.optional(),
  weight: z.int().min(0).max(1_000_000).default(1),
});

const httpBackendRef = backendRef.extend({
  filters: z
    .array(z.discriminatedUnion('type', [filters[0], filters[1]]))
    .max(16)
    .default([]),
});

const rule = z.strictObject({
  name: sectionName.optional(),
  matches: z
    .array(routeMatch)
    .max(64)
    .default([{ path: { type: 'PathPrefix', value: '/' }, headers: [], queryParams: [] }]),
  filters: z.array(z.discriminatedUnion('type', filters)).max(16).default([]),
  backendRefs: z.array(httpBackendRef).max(16).default([]),
  timeouts: z.strictObject({ request: durationMs.optional(), backendRequest: durationMs.optional() }).default({}),
  retry: unsupported('retry'),
  sessionPersistence: unsupported('sessionPersistence'),
});

export const httpRouteSchema = z.strictObject({
  parentRefs: z.array(parentRef).max(32).default([]),
  hostnames: z.array(hostname).max(16).default([]),
  rules: z
    .array(rule)
    .max(16)
    .default([
      {
        matches: [{ path: { type: 'PathPrefix', value: '/' }, headers: [], queryParams: [] }],
        filters: [],
        backendRefs: [],
        timeouts: {},
      },
    ]),
  useDefaultGateways: unsupported('useDefaultGateways'),
});

const grpcMethod = z
  .strictObject({
    type: z.enum(['Exact', 'RegularExpression']).default('Exact'),
    service: z.string().min(1).max(1024).optional(),
    method: z.string().min(1).max(1024).optional(),
  })
  .superRefine(({ type, service, method: name }, context) => {
    const complain = (at: string, message: string): void => context.addIssue({ code: 'custom', path: [at], message });
    if (service === undefined && name === undefined) complain('service', 'a method match names one, the other or both');
    if (type === 'RegularExpression') {
      for (const [at, text] of [
        ['service', service],
        ['method', name],
      ] as const) {
        if (text !== undefined && !regex.safeParse(text).success) complain(at, 'not a regular expression');
      }
      return;
    }
    if (!/^\.?[a-z_]\w*(\.[a-z_]\w*)*$/i.test(service ?? 'a')) complain('service', 'not the name of a service');
    if (!/^[a-z_]\w*$/i.test(name ?? 'a')) complain('method', 'not the name of a method');
  });

const grpcRule = z.strictObject({
  name: sectionName.optional(),
  matches: z
    .array(
      z.strictObject({ method: grpcMethod.optional(), headers: z.array(valueMatch(headerName)).max(16).default([]) }),
    )
    .max(64)
    .default([{ headers: [] }]),
  filters: z
    .array(z.discriminatedUnion('type', [filters[0], filters[1]]))
    .max(16)
    .default([]),
  backendRefs: z.array(httpBackendRef).max(16).default([]),
  sessionPersistence: unsupported('sessionPersistence'),
});

export const grpcRouteSchema = z.strictObject({
  parentRefs: z.array(parentRef).max(32).default([]),
  hostnames: z.array(hostname).max(16).default([]),
  rules: z
    .array(grpcRule)
    .max(16)
    .default([{ matches: [{ headers: [] }], filters: [], backendRefs: [] }]),
  useDefaultGateways: unsupported('useDefaultGateways'),
});

/** It has no conditions, so there is one. */
const streamRule = z.strictObject({
  name: sectionName.optional(),
  backendRefs: z.array(backendRef).min(1).max(16),
});

export const tcpRouteSchema = z.strictObject({
  parentRefs: z.array(parentRef).max(32).default([]),
  rules: z.array(streamRule).length(1, 'a rule without conditions stands alone'),
  useDefaultGateways: unsupported('useDefaultGateways'),
});

export const tlsRouteSchema = tcpRouteSchema.extend({ hostnames: z.array(hostname).max(16).default([]) });

export const backendTlsPolicySchema = z.strictObject({
  targetRefs: z
    .array(
      z.strictObject({
        group: z.literal('', { error: 'only Services are supported' }).default(''),
        kind: z.literal('Service', { error: 'only Services are supported' }),
        name: objectName,
        sectionName: unsupported('one port of a Service'),
      }),
    )
    .min(1)
    .max(16),
  validation: z.strictObject({
    caCertificateRefs: z
      .array(certificateRef.omit({ namespace: true }).extend({ kind: z.string() }))
      .max(8)
      .default([]),
    wellKnownCACertificates: z.literal('System').optional(),
    hostname: preciseHostname,
    subjectAltNames: z
      .array(
        z.strictObject({
          type: z.enum(['Hostname', 'URI']),
          hostname: preciseHostname.optional(),
          uri: z
            .string()
            .max(253)
            .regex(/^[a-z][a-z0-9+.-]*:\/\/[!-~]+$/, 'not a URI')
            .optional(),
        }),
      )
      .max(5)
      .default([]),
  }),
  options: unsupported('options'),
});

export const referenceGrantSchema = z.strictObject({
  from: z.array(z.strictObject({ group: z.string(), kind: z.string(), namespace })).min(1),
  to: z.array(z.strictObject({ group: z.string(), kind: z.string(), name: objectName.optional() })).min(1),
});

export type GatewayClassSpec = z.infer<typeof gatewayClassSchema>;
export type GatewaySpec = z.infer<typeof gatewaySchema>;
export type CertificateRef = z.infer<typeof certificateRef>;
export type FrontendValidation = z.infer<typeof frontendValidation>;
export type GatewayListener = GatewaySpec['listeners'][number];
export type HttpRouteSpec = z.infer<typeof httpRouteSchema>;
export type HttpRouteRule = HttpRouteSpec['rules'][number];
export type HttpRouteMatch = HttpRouteRule['matches'][number];
export type GrpcRouteSpec = z.infer<typeof grpcRouteSchema>;
export type GrpcRouteMatch = GrpcRouteSpec['rules'][number]['matches'][number];
export type HttpRouteFilter = HttpRouteRule['filters'][number];
export type BackendRef = z.infer<typeof backendRef>;
export type StreamRouteSpec = z.infer<typeof tcpRouteSchema> & { readonly hostnames?: readonly string[] };
export type ParentRef = HttpRouteSpec['parentRefs'][number];
export type BackendTlsPolicySpec = z.infer<typeof backendTlsPolicySchema>;
export type ReferenceGrantSpec = z.infer<typeof referenceGrantSchema>;
