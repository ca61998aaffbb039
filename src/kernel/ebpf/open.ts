import { addon } from '../addon.ts';
import type { Bpf } from '../bpf.ts';
export function openBpf(): Bpf { addon(); return undefined as unknown as Bpf; }
