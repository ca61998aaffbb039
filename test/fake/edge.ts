/** Manifests of a Gateway `edge` with a listener on port 80, and a route of all its requests to a service. */
export const edgeTo = (service: string): string => `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge }
spec: { gatewayClassName: midplane, listeners: [{ name: http, port: 80, protocol: HTTP }] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: ${service} }
spec: { parentRefs: [{ name: edge }], rules: [{ backendRefs: [{ name: ${service}, port: 80 }] }] }
`;
