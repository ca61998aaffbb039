// `midplane plan FILE`: asks the running daemon what a commit of FILE would do.
import { decodeText, readText } from '../../config/limits.ts';
import { printProblem, type Problem } from '../../config/problem.ts';
import type { PlanAnswer } from '../../engine/engine.ts';
import { request } from '../../lib/http.ts';

/** Prints the actions, or why not. Exit code 0, 1 bad input, 2 fault, 3 daemon not reachable. */
export async function planFile(file: string, socketPath: string): Promise<0 | 1 | 2 | 3> {
  const document = readDocument(file);
  if (typeof document !== 'string') {
    process.stderr.write(`${printProblem(document)}\n`);
    return 1;
  }
  const answer = await ask(socketPath, JSON.stringify({ document }));
  if (answer === undefined) {
    process.stderr.write(`midplane does not answer at ${socketPath}\n`);
    return 3;
  }
  if (answer.ok) {
    for (const action of answer.actions) process.stdout.write(`${action.phase.padEnd(8)} ${action.line}\n`);
    if (answer.actions.length === 0) process.stdout.write('nothing to do\n');
    return 0;
  }
  for (const problem of answer.problems) process.stderr.write(`${printProblem({ ...problem, file })}\n`);
  for (const fault of answer.faults) process.stderr.write(`${fault.what}: ${fault.why} (${fault.code})\n`);
  return answer.problems.length > 0 ? 1 : 2;
}

function readDocument(file: string): string | Problem {
  try {
    return decodeText(readText(file), file);
  } catch {
    return { file, line: 1, column: 1, path: '', message: 'no such file' };
  }
}

function ask(socketPath: string, body: string): Promise<PlanAnswer | undefined> {
  return new Promise((resolve) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const sent = request({ socketPath, path: '/v1/plan', method: 'POST', headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.once('end', () => {
        const parsed = JSON.parse(text) as PlanAnswer | { problems: []; faults: [] };
        resolve('ok' in parsed ? parsed : { ok: false, ...parsed });
      });
    });
    sent.once('error', () => resolve(undefined));
    sent.end(body);
  });
}
