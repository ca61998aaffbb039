// Text for people: tables, key/value lists and units, as the `render` functions of commands need them. Plain text
// without colours. What comes from outside (an LLDP neighbour's name) can't reach the terminal as an escape sequence:
// control characters become "?".

export interface Column {
  readonly title: string;
  /** Default: left. */
  readonly align?: 'left' | 'right';
  /** May be cut with "…" so that the table fits. Without one a wide table is as wide as it is. */
  readonly flex?: boolean;
}

const gap = '  ';
const narrowestFlex = 8;

/** Aligned columns under their titles; no rows gives the titles alone. `width` in characters, 0 is without limit. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[], width = 80): string {
  const cells = rows.map((row) => columns.map((_, i) => printable(row[i] ?? '')));
  const widths = columns.map((column, i) => {
    const longest = cells.reduce((most, row) => Math.max(most, textWidth(row[i] ?? '')), 0);
    return Math.max(longest, textWidth(column.title));
  });
  if (width > 0) shrink(columns, widths, width);
  const titles = columns.map((c) => c.title);
  return [titles, ...cells].map((row) => line(row, columns, widths)).join('\n') + '\n';
}

/** Takes from the widest flexible column until the table fits or none can give. */
function shrink(columns: readonly Column[], widths: number[], width: number): void {
  let excess = widths.reduce((sum, w) => sum + w, 0) + gap.length * (columns.length - 1) - width;
  while (excess > 0) {
    let widest = { index: -1, width: 0 };
    columns.forEach((column, index) => {
      const now = widths[index] ?? 0;
      const floor = Math.max(narrowestFlex, textWidth(column.title));
      if (column.flex === true && now > floor && now > widest.width) widest = { index, width: now };
    });
    if (widest.index < 0) return;
    widths[widest.index] = widest.width - 1;
    excess -= 1;
  }
}

function line(row: readonly string[], columns: readonly Column[], widths: readonly number[]): string {
  const cells = columns.map((column, i) => {
    const room = widths[i] ?? 0;
    const whole = row[i] ?? '';
    if (whole.length <= room && plain.test(whole)) {
      return column.align === 'right' ? whole.padStart(room) : whole.padEnd(room);
    }
    const text = cut(whole, room);
    const pad = ' '.repeat(room - textWidth(text));
    return column.align === 'right' ? pad + text : text + pad;
  });
  return cells.join(gap).trimEnd();
}

function cut(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  let kept = '';
  let used = 0;
  for (const char of text) {
    used += charWidth(char);
    if (used > width - 1) break;
    kept += char;
  }
  return `${kept}…`;
}

/** Printable ASCII. */
const plain = /^[ -~]*$/;

/** Columns that a text takes on a terminal. */
export function textWidth(text: string): number {
  if (plain.test(text)) return text.length;
  let width = 0;
  for (const char of text) width += charWidth(char);
  return width;
}

/** Columns of one character: none for combining marks, two for East Asian wide ones and pictures (after UAX #11). */
export function charWidth(char: string): 0 | 1 | 2 {
  const code = char.codePointAt(0) ?? 0;
  if (code < 0x300) return 1;
  if (/^[\p{M}\p{Cf}]/u.test(char)) return 0;
  return wideRanges.some(([from, to]) => code >= from && code <= to) ? 2 : 1;
}

const wideRanges: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0xa4cf],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1faff],
  [0x20000, 0x3fffd],
];

/** The text with every control character (C0, DEL, C1) as "?". */
export function printable(text: string): string {
  if (plain.test(text)) return text;
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}

/** "name:  value" lines with the values aligned; a pair whose value is undefined is left out. */
export function keyValues(pairs: readonly (readonly [string, string | number | undefined])[]): string {
  const shown = pairs.filter((pair) => pair[1] !== undefined);
  const width = shown.reduce((most, [key]) => Math.max(most, textWidth(key)), 0) + 1;
  const lines = shown.map(([key, value]) => {
    const pad = ' '.repeat(width - textWidth(key) - 1);
    return `${key}:${pad}${gap}${printable(String(value))}`.trimEnd();
  });
  return lines.length === 0 ? '' : lines.join('\n') + '\n';
}

/** A span of milliseconds in its two largest units: "850ms", "4.2s", "3m12s", "2h05m", "4d03h". Never negative. */
export function ago(ms: number): string {
  if (!Number.isFinite(ms)) return '-';
  const span = Math.max(0, ms);
  if (span < 1000) return `${Math.round(span)}ms`;
  if (span < 10_000) return `${(Math.floor(span / 100) / 10).toFixed(1)}s`;
  const seconds = Math.floor(span / 1000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h${two(Math.floor(seconds / 60) % 60)}m`;
  return `${Math.floor(seconds / 86_400)}d${two(Math.floor(seconds / 3600) % 24)}h`;
}

function two(n: number): string {
  return String(n).padStart(2, '0');
}

/** Bytes in powers of 1024, the letters that the document takes too: "512", "1.5K", "256M", "1G". */
export function bytes(n: number | bigint): string {
  return scale(Number(n), 1024, ['', 'K', 'M', 'G', 'T', 'P', 'E']);
}

/** Bits a second in powers of 1000, as the document takes them: "10Gbps", "1.2Mbps". */
export function rate(bitsPerSecond: number): string {
  return scale(bitsPerSecond, 1000, ['bps', 'kbps', 'Mbps', 'Gbps', 'Tbps', 'Pbps']);
}

/** Events a second: "950/s", "1.2k/s", "3.4M/s". */
export function perSecond(n: number): string {
  return scale(n, 1000, ['/s', 'k/s', 'M/s', 'G/s', 'T/s']);
}

function scale(n: number, base: number, units: readonly string[]): string {
  if (!Number.isFinite(n)) return '-';
  let value = Math.abs(n);
  let unit = 0;
  // 0.9995: what rounds to the next unit is shown in it ("1K", never "1024").
  while (value >= base * 0.9995 && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  const digits =
    value < 10 && !Number.isInteger(value) ? value.toFixed(1).replace(/\.0$/, '') : String(Math.round(value));
  return `${n < 0 ? '-' : ''}${digits}${units[unit]}`;
}
