// The corpus by class. The router refuses each case, but where it says why not.
import { bodies } from './bodies.ts';
import type { Case } from './case.ts';
import { framing } from './framing.ts';
import { lines } from './lines.ts';
import { requests } from './requests.ts';

export const classes: Readonly<Record<string, readonly Case[]>> = { ...framing, ...lines, ...bodies, ...requests };

export const cases: readonly Case[] = Object.values(classes).flat();
