// Loaded before each test file by run.ts: the file's process ends in time even if something keeps its loop alive, which
// the time limit of node's runner does not see to. The timer keeps nothing alive itself.
import { isMainThread } from 'node:worker_threads';

const limitMs = Number(process.env['MIDPLANE_TEST_FILE_TIMEOUT_MS'] ?? 0);

if (isMainThread && limitMs > 0) {
  setTimeout(() => {
    const kept = process.getActiveResourcesInfo().join(', ');
    console.error(`${process.argv[1]}: not over after ${limitMs / 1000} s; kept alive by ${kept}`);
    process.exit(1);
  }, limitMs).unref();
}
