// Secret and ConfigMap of Kubernetes' core as far as they hold certificates, keys and authorities.
import { z } from 'zod';

const text = z.record(z.string().max(253), z.string().max(1 << 20));
const base64 = z.record(
  z.string().max(253),
  z
    .string()
    .max(2 << 20)
    .regex(/^[A-Za-z0-9+/=\s]*$/, 'not base64'),
);
const head = { apiVersion: z.string(), kind: z.string(), metadata: z.unknown(), immutable: z.boolean().optional() };

export const secretSchema = z.strictObject({
  ...head,
  type: z.string().default('Opaque'),
  data: base64.default({}),
  stringData: text.default({}),
});

export const configMapSchema = z.strictObject({ ...head, data: text.default({}), binaryData: base64.default({}) });

export type SecretObject = z.infer<typeof secretSchema>;
export type ConfigMapObject = z.infer<typeof configMapSchema>;
