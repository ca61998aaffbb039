// `midplane check FILE...` and `midplane plan FILE`: no daemon is changed.
import { basename, dirname } from 'node:path';
import { readText } from '../../config/limits.ts';
import { printProblem, type Problem } from '../../config/problem.ts';
import { readNamed } from '../../engine/revision/candidate.ts';
import { compile } from '../../engine/revision/compile.ts';
import { loadCandidate } from '../../engine/revision/load.ts';
import { slices } from '../../slices.ts';

/** Checks documents, each by itself with all manifests among the files. Prints Problems; exit code 0 or 1. */
export async function checkFiles(files: readonly string[]): Promise<0 | 1> {
  const texts = files.map((file) => ({ file, bytes: readIf(() => readText(file)) }));
  const missing = texts.filter(({ bytes }) => bytes === undefined);
  for (const { file } of missing) process.stderr.write(`${file}:1:1: no such file\n`);
  const there = texts.flatMap(({ file, bytes }) => (bytes === undefined ? [] : [{ file, bytes }]));
  const manifests = there.filter(({ bytes }) => isManifest(bytes));
  const documents = there.filter(({ bytes }) => !isManifest(bytes));
  const given = Object.fromEntries(manifests.map(({ file, bytes }) => [file, bytes]));
  const problems =
    documents.length === 0
      ? problemsOf('no document', Buffer.from('{}'), given)
      : documents.flatMap(({ file, bytes }) => problemsOf(file, bytes, given));
  for (const problem of problems) process.stderr.write(`${printProblem(problem)}\n`);
  const bad = missing.length > 0 || problems.length > 0;
  if (!bad) process.stdout.write(`${files.length === 1 ? basename(files[0] ?? '') : `${files.length} files`}: good\n`);
  return bad ? 1 : 0;
}

/** What is wrong with a document, and with manifests (file name -> content) beside it. Files that the document names
 * are looked for in the folder of `file`. */
export function problemsOf(
  file: string,
  bytes: Uint8Array,
  manifests: Readonly<Record<string, string | Uint8Array>>,
): readonly Problem[] {
  const loaded = loadCandidate(slices, bytes, manifests, file);
  if (!loaded.ok) return loaded.problems;
  const compiled = compile({
    slices,
    document: loaded.document,
    instance: 'check',
    baseMac: '02:00:00:00:00:00',
    file: (name) => readNamed(dirname(file), name),
  });
  return 'resources' in compiled ? [] : compiled;
}

function readIf(read: () => Uint8Array): Uint8Array | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** A manifest says what it is; a document has no such key. */
function isManifest(bytes: Uint8Array): boolean {
  return /^apiVersion:/m.test(Buffer.from(bytes.subarray(0, 64 * 1024)).toString('utf8'));
}
