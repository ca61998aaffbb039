// The house law of DESIGN, section 2, as a table. A folder or a rule that is not here does not exist.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, normalize, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What stands at the top; dotfiles besides. */
const topLevel = new Set(
  'package.json package-lock.json tsconfig.json Dockerfile README.md LICENSE NOTICE CHANGELOG.md src native configs test'.split(
    ' ',
  ),
);

/** Who may import whom. A folder may always import itself; a slice, of another slice, only its schema.ts. */
const mayImport: Readonly<Record<string, string>> = {
  lib: '',
  wire: 'lib',
  config: 'lib',
  store: 'lib',
  kernel: 'lib wire',
  engine: 'lib config kernel store',
  switch: 'lib wire config kernel engine switch/*/schema.ts guests/*/schema.ts',
  guests: 'lib wire config kernel engine switch/*/schema.ts guests/*/schema.ts',
  'switch/l4/vip': 'mesh/snapshot.ts',
  'switch/l4/steer': 'mesh/snapshot.ts',
  mesh: 'lib wire config engine',
  l7: 'lib config mesh/snapshot.ts',
  'l7/transport-native.ts': 'kernel/socket.ts kernel/l7.ts',
  'l7/net/engine.ts': 'kernel/socket.ts',
  'l7/move/pass.ts': 'kernel/l7.ts kernel/errno.ts',
  'l7/worker/crew.ts': 'kernel/l7.ts',
  'l7/worker/places.ts': 'kernel/socket.ts',
  cli: 'lib config engine',
  api: 'lib config engine',
  'api/http.ts': 'kernel/socket.ts',
  image: 'lib',
  lab: 'lib wire config kernel',
  'slices.ts': 'engine switch guests mesh l7 lib cli api',
  daemon: '*',
  'main.ts': '*',
};

/** Folders in which each folder at that depth is a slice: none imports another but for its schema.ts. */
const sliceDepth: Readonly<Record<string, number>> = { switch: 3, guests: 2 };

/** What decides and does nothing else: no I/O, no clock, no chance. */
const pure = /^(wire\/.*|.*\/compile|.*\/plan)\.ts$/;
const worldly = /^node:(fs|net|dgram|http|http2|https|tls|dns|child_process|worker_threads|cluster|os|timers|readline)/;

const most = { lines: 400, columns: 120, functionLines: 60, entries: 15 };

/** Known offenders, with their number: it may fall and never rise. */
const ratchet: Readonly<Record<string, number>> = {};

const isTest = (file: string): boolean => file.endsWith('.test.ts');
const isGenerated = (file: string): boolean => /(^|\/)(gen|golden|build|cases)\/|(^|\/)kernel\/abi\.ts$/.test(file);

/** All files below the folder, as paths from it. */
function filesIn(folder: string, from = folder): string[] {
  return readdirSync(from, { withFileTypes: true }).flatMap((entry) => {
    const path = join(from, entry.name);
    return entry.isDirectory() ? filesIn(folder, path) : [relative(folder, path)];
  });
}

interface Source {
  /** From src/: "lib/ip.ts". */
  readonly file: string;
  readonly text: string;
  /** The files that it imports, from src/, and the packages. */
  readonly imports: readonly string[];
}

const sources: readonly Source[] = filesIn(join(root, 'src'))
  .filter((file) => file.endsWith('.ts') && !isTest(file))
  .map((file) => {
    const text = readFileSync(join(root, 'src', file), 'utf8');
    const found = text.matchAll(
      /^\s*(?:import|export)\b[^'"`;]*?from '([^']+)'|^\s*import '([^']+)'|\bimport\('([^']+)'\)/gm,
    );
    const workers = text.matchAll(/new URL\('(\.[^']+\.ts)', import\.meta\.url\)/g);
    const names = [...found, ...workers].map(([, a, b, c]) => a ?? b ?? c ?? '');
    return {
      file,
      text,
      imports: names.map((name) => (name.startsWith('.') ? normalize(join(dirname(file), name)) : name)),
    };
  });

const local = (source: Source): string[] =>
  source.imports.filter((name) => name.endsWith('.ts') && !name.startsWith('node:'));

function sliceOf(file: string): string | undefined {
  const parts = file.split('/');
  const depth = sliceDepth[parts[0] ?? ''];
  return depth !== undefined && parts.length > depth ? parts.slice(0, depth).join('/') : undefined;
}

/** Whether the table lets `from` import `to`. */
function allowed(from: string, to: string): boolean {
  const slice = sliceOf(from);
  const own = slice === undefined ? from.split('/')[0] : slice;
  if (to.startsWith(`${own}/`) && (slice !== undefined || sliceOf(to) === undefined)) return true;
  // What the slices of a folder have in common lies beside them.
  if (slice !== undefined && sliceOf(to) === undefined && to.split('/')[0] === from.split('/')[0]) return true;
  return Object.entries(mayImport).some(([who, whom]) => {
    if (from !== who && !from.startsWith(`${who}/`)) return false;
    return whom.split(' ').some((one) => {
      if (one === '*') return true;
      if (one.includes('/*/')) return to.startsWith(one.slice(0, one.indexOf('*'))) && basename(to) === 'schema.ts';
      return to === one || to.startsWith(`${one}/`);
    });
  });
}

function none(list: readonly string[]): void {
  assert.deepEqual(list, []);
}

/** Fails for what is over its bound, unless the ratchet has it with at least that number. */
function within(bound: number, what: string, sizes: Iterable<readonly [string, number]>): void {
  none(
    [...sizes]
      .filter(([name, size]) => size > (ratchet[name] ?? bound))
      .map(([name, size]) => `${name}: ${size} ${what}`),
  );
}

test('there are sources to judge', () => {
  assert.ok(sources.length >= 40, `${sources.length} files under src/`);
  assert.ok(sources.filter(({ imports }) => imports.length > 0).length >= 20);
});

test('nothing else stands at the top', () => {
  const found = readdirSync(root).filter(
    (name) => !name.startsWith('.') && name !== 'node_modules' && !name.endsWith('.log'),
  );
  none(found.filter((name) => !topLevel.has(name)));
});

test('every folder of src has its row', () => {
  none([...new Set(sources.map(({ file }) => file.split('/')[0] ?? ''))].filter((name) => !(name in mayImport)));
});

test('imports follow the table', () => {
  none(
    sources.flatMap((source) =>
      local(source)
        .filter((to) => !allowed(source.file, to))
        .map((to) => `${source.file} -> ${to}`),
    ),
  );
});

test('the product needs no test, nothing imports main.ts, no file is called index or utils', () => {
  none(
    sources.flatMap(({ file, imports }) =>
      imports.filter((to) => to.startsWith('../') || to === 'main.ts').map((to) => `${file} -> ${to}`),
    ),
  );
  none(
    sources
      .map(({ file }) => file)
      .filter((file) => !isGenerated(file) && /(^|\/)(index|utils?|helpers?|common|misc)(\.ts|\/)/.test(file)),
  );
});

test('no import cycles', () => {
  const graph = new Map(sources.map((source) => [source.file, local(source)]));
  const done = new Set<string>();
  const cycles: string[] = [];
  const walk = (file: string, trail: readonly string[]): void => {
    const met = trail.indexOf(file);
    if (met >= 0) cycles.push([...trail.slice(met), file].join(' -> '));
    if (met >= 0 || done.has(file)) return;
    for (const next of graph.get(file) ?? []) walk(next, [...trail, file]);
    done.add(file);
  };
  for (const file of graph.keys()) walk(file, []);
  none(cycles);
});

test('only kernel loads the addon; what is pure does no I/O and knows no time; the clock alone reads the date', () => {
  // A package that is loaded late is named where it is.
  const loads = /process\.dlopen|addon\.node|createRequire\((?!import\.meta\.url\)\('[a-z0-9]+'\))/;
  none(sources.filter(({ file, text }) => !file.startsWith('kernel/') && loads.test(text)).map(({ file }) => file));
  const impure = sources.filter(({ file }) => pure.test(file));
  none(
    impure.flatMap(({ file, imports }) =>
      imports.filter((name) => worldly.test(name)).map((name) => `${file} -> ${name}`),
    ),
  );
  none(
    impure
      .filter(({ text }) => /\b(Date\.now|new Date\(\)|performance\.now|Math\.random)/.test(text))
      .map(({ file }) => file),
  );
  none(
    sources
      .filter(({ file, text }) => file !== 'lib/clock.ts' && /\bDate\.now\(|\bnew Date\(\)/.test(text))
      .map(({ file }) => file),
  );
});

const handwritten = ['src', 'native', 'test']
  .flatMap((folder) => filesIn(join(root, folder)).map((file) => `${folder}/${file}`))
  .filter((file) => /\.(ts|c|h|sh)$|Makefile$/.test(file) && !isGenerated(file))
  .map((file) => ({ file, lines: readFileSync(join(root, file), 'utf8').trimEnd().split('\n') }));

const product = handwritten.filter(({ file }) => !file.startsWith('test/') && !isTest(file));

test('files, lines and folders stay small', () => {
  within(
    most.lines,
    'lines',
    product.map(({ file, lines }) => [file, lines.length] as const),
  );
  within(
    most.columns,
    'columns',
    handwritten
      .filter(({ file }) => !isTest(file))
      .flatMap(({ file, lines }) =>
        lines.map((line, i) => [`${file}:${i + 1}`, line.replaceAll('\t', '    ').length] as const),
      ),
  );
  const folders = new Set(product.map(({ file }) => dirname(file)));
  within(
    most.entries,
    'entries',
    [...folders].map((folder) => [folder, entriesOf(folder)] as const),
  );
});

function entriesOf(folder: string): number {
  return readdirSync(join(root, folder)).filter((name) => !isTest(name) && !['gen', 'golden', 'build'].includes(name))
    .length;
}

/** Start line and length of each function. The formatter sees to it that one ends at the first line that has the
 * indentation of its first line and begins with a brace, so no parser is needed. */
function functionsIn(file: string, lines: readonly string[]): (readonly [string, number])[] {
  const indentOf = (line: string): number => line.length - line.trimStart().length;
  return lines.flatMap((line, i) => {
    if (!line.trimEnd().endsWith('{')) return [];
    const indent = indentOf(line);
    let start = i;
    // The line of the brace may be the end of a long head: ") {" or, in C, "{" alone.
    while (start > 0 && /^\s*(\)|\{|>)/.test(lines[start] ?? '')) {
      start--;
      while (start > 0 && indentOf(lines[start] ?? '') > indent) start--;
    }
    const head = lines
      .slice(start, i + 1)
      .join(' ')
      .trim();
    if (!(file.endsWith('.ts') ? isFunction(head) : indent === 0 && head.includes('('))) return [];
    const end = lines.findIndex((each, j) => j > i && indentOf(each) === indent && /^\s*\}/.test(each));
    return [[`${file}:${start + 1}`, end - start + 1] as const];
  });
}

function isFunction(head: string): boolean {
  if (/^(\} )?(if|else|for|while|switch|try|catch|finally|do|class|interface|export interface|type)\b/.test(head))
    return false;
  return head.endsWith('=> {') || /\bfunction\b/.test(head) || /^[\w#*[\]. ]+(<.*>)?\(.*\)(: .*)? \{$/.test(head);
}

test('functions are found, and their length', () => {
  const body = ['  a();', '  b({', '    c,', '  });'];
  const rows: readonly (readonly [readonly string[], number])[] = [
    [['function f() {', ...body, '}'], 6],
    [['export async function f(', '  a: string,', '): Promise<void> {', ...body, '}'], 8],
    [['const f = (a: string): void => {', ...body, '};'], 6],
    [['const f = {', '  get: async (a) => {', ...body.map((line) => `  ${line}`), '  },', '};'], 6],
    [['  close(): void {', ...body.map((line) => `  ${line}`), '  }'], 6],
  ];
  for (const [lines, length] of rows)
    assert.deepEqual(
      functionsIn('x.ts', lines).map(([, size]) => size),
      [length],
    );
  assert.deepEqual(functionsIn('x.ts', ['if (a) {', '  b();', '} else if (c(d)) {', '  e();', '}']), []);
  assert.deepEqual(functionsIn('x.c', ['static int f(int a,', '             int b)', '{', '\treturn 0;', '}']), [
    ['x.c:1', 5],
  ]);
});

test('functions stay small', () => {
  const all = product
    .filter(({ file }) => /\.(ts|c|h)$/.test(file))
    .flatMap(({ file, lines }) => functionsIn(file, lines));
  assert.ok(all.length > 200, `${all.length} functions found`);
  none(all.filter(([, length]) => length <= 0).map(([name]) => `${name}: no end found`));
  within(most.functionLines, 'lines', all);
});

test('the ratchet has no row that is not needed', () => {
  none(
    Object.keys(ratchet).filter((name) => !statSync(join(root, name.split(':')[0] ?? ''), { throwIfNoEntry: false })),
  );
});
