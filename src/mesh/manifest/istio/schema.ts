// Istio's networking.istio.io as far as it is implemented. A field that Istio has and this lacks is named as
// unsupported.
import { z } from 'zod';
import { ipAddress } from '../../../config/types.ts';
import { unsupported } from '../read.ts';
import { durationMs, headerName, headerValue, hostname, portNumber, regex, urlPath } from '../text.ts';

const host = z.union([z.literal('*'), hostname]);
const everywhere = z.array(z.literal('*', { error: 'only "*" is supported' })).optional();

const file = () => unsupported('a file: credentialName is the way, which');
const credential = z.string().regex(/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/, 'not the name of a Secret');

const tls = z.strictObject({
  httpsRedirect: z.boolean().default(false),
  mode: z
    .enum(['PASSTHROUGH', 'SIMPLE', 'MUTUAL', 'OPTIONAL_MUTUAL'], {
      error: 'PASSTHROUGH, SIMPLE, MUTUAL and OPTIONAL_MUTUAL are supported',
    })
    .optional(),
  credentialName: credential.optional(),
  credentialNames: z.array(credential).min(1).max(2).optional(),
  minProtocolVersion: z
    .enum(['TLS_AUTO', 'TLSV1_2', 'TLSV1_3'], { error: 'TLS_AUTO, TLSV1_2 and TLSV1_3 are supported' })
    .optional(),
  maxProtocolVersion: unsupported('maxProtocolVersion'),
  cipherSuites: unsupported('cipherSuites'),
  subjectAltNames: unsupported('subjectAltNames of clients'),
  serverCertificate: file(),
  privateKey: file(),
  caCertificates: file(),
  caCrl: file(),
});

const server = z.strictObject({
  name: z.string().optional(),
  port: z.strictObject({ number: portNumber, name: z.string().optional(), protocol: z.string() }),
  hosts: z
    .array(z.string().regex(/^([a-z0-9.*-]+\/)?[a-zA-Z0-9.*-]+$/, 'not a host, nor NAMESPACE/HOST'))
    .min(1)
    .max(64),
  bind: ipAddress.optional(),
  tls: tls.optional(),
  defaultEndpoint: unsupported('defaultEndpoint'),
});

export const istioGatewaySchema = z.strictObject({
  selector: z.record(z.string(), z.string()).default({}),
  servers: z.array(server).min(1).max(64),
});

/** One of exact, prefix and regex; none of them: the thing is there at all. */
const stringMatch = z
  .strictObject({ exact: z.string().optional(), prefix: z.string().optional(), regex: regex.optional() })
  .refine((match) => Object.keys(match).length <= 1, 'has one of exact, prefix and regex');

const uriMatch = stringMatch.refine(
  (match) => Object.keys(match).length >= 1,
  'one of exact, prefix and regex is missing',
);

const headerMatches = z.record(headerName, stringMatch).default({});

const httpMatch = z.strictObject({
  name: z.string().optional(),
  uri: uriMatch.optional(),
  method: uriMatch.optional(),
  authority: uriMatch.optional(),
  headers: headerMatches,
  withoutHeaders: headerMatches,
  queryParams: z.record(z.string().min(1), stringMatch).default({}),
  port: portNumber.optional(),
  gateways: z.array(z.string()).optional(),
  ignoreUriCase: z.literal(false, { error: 'is not supported' }).optional(),
  scheme: unsupported('scheme'),
  sourceLabels: unsupported('sourceLabels'),
  sourceNamespace: unsupported('sourceNamespace'),
  statPrefix: unsupported('statPrefix'),
});

const editedName = z.union([z.literal(':authority'), headerName]);
const headerEdits = z.strictObject({
  set: z.record(editedName, headerValue).default({}),
  add: z.record(headerName, headerValue).default({}),
  remove: z.array(headerName).default([]),
});
const headers = z.strictObject({ request: headerEdits.optional(), response: headerEdits.optional() });

const destination = z.strictObject({
  host: hostname,
  subset: z.string().min(1).optional(),
  port: z.strictObject({ number: portNumber }).optional(),
});

const routeDestination = z.strictObject({
  destination,
  weight: z.int().min(0).max(1_000_000).optional(),
  headers: headers.optional(),
});

const redirect = z.strictObject({
  uri: urlPath.optional(),
  authority: hostname.optional(),
  port: portNumber.optional(),
  derivePort: z.enum(['FROM_PROTOCOL_DEFAULT', 'FROM_REQUEST_PORT']).optional(),
  scheme: z.enum(['http', 'https']).optional(),
  redirectCode: z.union([z.literal(301), z.literal(302), z.literal(303), z.literal(307), z.literal(308)]).default(301),
});

const directResponse = z.strictObject({
  status: z.int().min(200).max(599),
  body: z
    .strictObject({ string: z.string().max(65_536).optional(), bytes: z.base64().max(65_536).optional() })
    .refine((body) => Object.keys(body).length === 1, 'has one of string and bytes')
    .optional(),
});

const httpRoute = z.strictObject({
  name: z.string().optional(),
  match: z.array(httpMatch).max(64).default([]),
  route: z.array(routeDestination).max(32).default([]),
  redirect: redirect.optional(),
  directResponse: directResponse.optional(),
  rewrite: z
    .strictObject({
      uri: urlPath.optional(),
      authority: hostname.optional(),
      uriRegexRewrite: unsupported('uriRegexRewrite'),
    })
    .optional(),
  headers: headers.optional(),
  timeout: durationMs.optional(),
  retries: unsupported('retries'),
  fault: unsupported('fault'),
  mirror: unsupported('mirror'),
  mirrors: unsupported('mirrors'),
  mirrorPercentage: unsupported('mirrorPercentage'),
  corsPolicy: unsupported('corsPolicy'),
  delegate: unsupported('delegate'),
});

const streamMatch = z.strictObject({
  port: portNumber.optional(),
  gateways: z.array(z.string()).optional(),
  destinationSubnets: unsupported('destinationSubnets'),
  sourceLabels: unsupported('sourceLabels'),
  sourceNamespace: unsupported('sourceNamespace'),
  sourceSubnet: unsupported('sourceSubnet'),
});

const streamDestinations = z
  .array(routeDestination.omit({ headers: true }))
  .min(1)
  .max(32);

const tcpRoute = z.strictObject({ match: z.array(streamMatch).max(64).default([]), route: streamDestinations });

const tlsRoute = z.strictObject({
  match: z
    .array(streamMatch.extend({ sniHosts: z.array(host).min(1).max(64) }))
    .min(1)
    .max(64),
  route: streamDestinations,
});

export const virtualServiceSchema = z.strictObject({
  hosts: z.array(host).min(1).max(64),
  gateways: z.array(z.string().min(1)).max(64).default(['mesh']),
  http: z.array(httpRoute).max(256).default([]),
  exportTo: everywhere,
  tls: z.array(tlsRoute).max(256).default([]),
  tcp: z.array(tcpRoute).max(256).default([]),
});

const upstreamTls = z.strictObject({
  mode: z.enum(['DISABLE', 'SIMPLE', 'MUTUAL'], { error: 'DISABLE, SIMPLE and MUTUAL are supported' }),
  credentialName: credential.optional(),
  sni: hostname.optional(),
  subjectAltNames: z
    .array(
      z
        .string()
        .min(1)
        .max(255)
        .regex(/^[!-~]+$/, 'not a name'),
    )
    .max(32)
    .default([]),
  insecureSkipVerify: z.literal(false, { error: 'the server is always verified' }).optional(),
  clientCertificate: file(),
  privateKey: file(),
  caCertificates: file(),
  caCrl: file(),
});

const trafficPolicy = z.strictObject({
  loadBalancer: z
    .strictObject({
      simple: z.enum(['UNSPECIFIED', 'ROUND_ROBIN', 'LEAST_CONN', 'LEAST_REQUEST', 'RANDOM']).default('UNSPECIFIED'),
      consistentHash: unsupported('consistentHash'),
      localityLbSetting: unsupported('localityLbSetting'),
      warmup: unsupported('warmup'),
      warmupDurationSecs: unsupported('warmupDurationSecs'),
    })
    .optional(),
  tls: upstreamTls.optional(),
  connectionPool: unsupported('connectionPool'),
  outlierDetection: unsupported('outlierDetection'),
  portLevelSettings: unsupported('portLevelSettings'),
  tunnel: unsupported('tunnel'),
  proxyProtocol: unsupported('proxyProtocol'),
});

export const destinationRuleSchema = z.strictObject({
  host: hostname,
  trafficPolicy: trafficPolicy.optional(),
  subsets: z
    .array(
      z.strictObject({
        name: z.string().regex(/^[A-Za-z0-9]([-A-Za-z0-9.]{0,61}[A-Za-z0-9])?$/, 'not a subset name'),
        labels: z.record(z.string(), z.string()).default({}),
        trafficPolicy: trafficPolicy.optional(),
      }),
    )
    .max(256)
    .default([]),
  exportTo: everywhere,
  workloadSelector: unsupported('workloadSelector'),
});

export type IstioGatewaySpec = z.infer<typeof istioGatewaySchema>;
export type IstioServer = IstioGatewaySpec['servers'][number];
export type VirtualServiceSpec = z.infer<typeof virtualServiceSchema>;
export type StreamMatch = z.infer<typeof streamMatch>;
export type StreamDestination = z.infer<typeof streamDestinations>[number];
export type HttpRoute = VirtualServiceSpec['http'][number];
export type HttpMatch = HttpRoute['match'][number];
export type IstioStringMatch = z.infer<typeof stringMatch>;
export type IstioHeaders = z.infer<typeof headers>;
export type DestinationRuleSpec = z.infer<typeof destinationRuleSchema>;
export type TrafficPolicy = z.infer<typeof trafficPolicy>;
