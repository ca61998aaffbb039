// RTM_*RULE (linux/fib_rules.h): rules that look a table up.
import {
  decodeAttributes,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  readText,
  readU32,
  u32,
  u8,
  viewOf,
} from './message.ts';
import type { Attribute, Message, Request } from './message.ts';

const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_PROTOCOL = 21;
const FR_ACT_TO_TBL = 1;
const headerSize = 12;

export interface Rule {
  readonly family: 4 | 6;
  readonly priority: number;
  readonly table: number;
  readonly protocol: number;
  readonly fwmark?: number;
  readonly fwmask?: number;
  readonly iif?: string;
}

function request(type: number, flags: number, rule: Rule): Request {
  const fixed = new Uint8Array(headerSize);
  fixed[0] = rule.family === 4 ? 2 : 10;
  fixed[4] = rule.table > 255 ? 0 : rule.table;
  fixed[7] = FR_ACT_TO_TBL;
  const attributes: Attribute[] = [
    [FRA_PRIORITY, u32(rule.priority)],
    [FRA_TABLE, u32(rule.table)],
    [FRA_PROTOCOL, u8(rule.protocol)],
  ];
  if (rule.fwmark !== undefined) attributes.push([FRA_FWMARK, u32(rule.fwmark)]);
  if (rule.fwmask !== undefined) attributes.push([FRA_FWMASK, u32(rule.fwmask)]);
  if (rule.iif !== undefined) attributes.push([FRA_IIFNAME, rule.iif]);
  return { type, flags, fixed, attributes };
}

/** Adds a rule; EEXIST where one says the same. */
export function ruleAddRequest(rule: Rule): Request {
  return request(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule);
}

/** Takes away the rule that says exactly this; ENOENT where none does. */
export function ruleDeleteRequest(rule: Rule): Request {
  return request(RTM_DELRULE, 0, rule);
}

/** All rules of one family (2 or 10). */
export function ruleDumpRequest(family: number): Request {
  const fixed = new Uint8Array(headerSize);
  fixed[0] = family;
  return { type: RTM_GETRULE, flags: NLM_F_DUMP, fixed, attributes: [] };
}

/** The rule in an RTM_NEWRULE; undefined for other messages, families and actions. */
export function decodeRule(message: Message): Rule | undefined {
  if (message.type !== RTM_NEWRULE || message.body.length < headerSize) return undefined;
  const view = viewOf(message.body);
  const family = view.getUint8(0);
  if ((family !== 2 && family !== 10) || view.getUint8(7) !== FR_ACT_TO_TBL) return undefined;
  const attributes = decodeAttributes(message.body, headerSize);
  const fwmark = readU32(attributes.get(FRA_FWMARK));
  const fwmask = readU32(attributes.get(FRA_FWMASK));
  const iif = readText(attributes.get(FRA_IIFNAME));
  return {
    family: family === 2 ? 4 : 6,
    priority: readU32(attributes.get(FRA_PRIORITY)) ?? 0,
    table: readU32(attributes.get(FRA_TABLE)) ?? view.getUint8(4),
    protocol: attributes.get(FRA_PROTOCOL)?.[0] ?? 0,
    ...(fwmark === undefined ? {} : { fwmark }),
    ...(fwmask === undefined ? {} : { fwmask }),
    ...(iif === undefined ? {} : { iif }),
  };
}
