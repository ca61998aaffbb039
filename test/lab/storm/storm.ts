// Sends frames out of this namespace's eth0 as fast as it goes: node storm.ts FRAME COUNT FOLDED AT:MASK...
// Prints how many a second.
import { join } from 'node:path';
import { u32 } from '../../../src/lib/bytes.ts';
import { kernel, objects } from '../rig.ts';

const [frame = '', count = '0', folded = '0', ...words] = process.argv.slice(2);
const nl = kernel.netlink();
const out = nl.link('eth0')?.index ?? 0;
nl.close();
const list = Array.from({ length: 4 }, (_, i) => (words[i] ?? '0:0').split(':').map(Number));
const rodata = {
  storm_out: u32(out),
  storm_at: new Uint8Array(Uint16Array.from(list.map(([at = 0]) => at)).buffer),
  storm_mask: new Uint8Array(Uint32Array.from(list.map(([, mask = 0]) => mask)).buffer),
  storm_folded: Uint8Array.of(Number(folded)),
};
using object = kernel.bpf.load({ file: join(objects, 'lab.bpf.o'), rodata });
const program = object.programs.get('storm');
if (program === undefined) throw new Error('lab.bpf.o has no program storm');
const data = Uint8Array.from(Buffer.from(frame, 'hex'));
const begun = performance.now();
const chunk = 65_536;
for (let sent = 0; sent < Number(count); sent += chunk) {
  program.testRun({ data, repeat: Math.min(chunk, Number(count) - sent), flags: 2 });
}
process.stdout.write(`${Math.round(Number(count) / ((performance.now() - begun) / 1000))}\n`);
