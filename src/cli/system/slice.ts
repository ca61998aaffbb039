import type { Slice } from '../../engine/slice.ts';
import { systemSchema } from './schema.ts';

/** `system`: read where it is needed (prompt, log), so it compiles to nothing. */
export const system: Slice<typeof systemSchema> = { name: 'system', schema: systemSchema };
