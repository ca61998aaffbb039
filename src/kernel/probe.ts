// Asks the running kernel what set-up can't know by its version: whether it takes the forwarding core at both hooks.
// Run in a network namespace of its own, `node probe.ts DEVICE`, DEVICE being a veth. Prints what fails and what that
// costs; exit code 0 forwarding works, 2 it can't.
import { fileURLToPath } from 'node:url';
import type { BpfHook } from './bpf.ts';
import { KernelError } from './errno.ts';
import { openKernel } from './open.ts';

const objects = fileURLToPath(new URL('../../native/build/', import.meta.url));

/** Attaches the hook's program to the device for a moment: undefined, or why it can't be. */
function refusal(hook: BpfHook, object: string, program: string, device: string): string | undefined {
  const kernel = openKernel();
  try {
    const link = kernel
      .netlink()
      .links()
      .find((each) => each.name === device);
    if (!link) return `no device ${device}`;
    using loaded = kernel.bpf.load({ file: `${objects}${object}` });
    const found = loaded.programs.get(program);
    if (!found) return `${object} has no program ${program}`;
    kernel.bpf.attach(found, link.index, hook).close();
    return undefined;
  } catch (error) {
    if (error instanceof KernelError) return error.message;
    throw error;
  }
}

const device = process.argv[2] ?? 'lo';
const tcx = refusal('tcx-ingress', 'switch.tcx.bpf.o', 'switch_ingress', device);
const xdp = refusal('xdp', 'switch.xdp.bpf.o', 'switch_xdp', device);
if (tcx !== undefined) console.log(`tcx: ${tcx}: forwarding can't work`);
if (xdp !== undefined) console.log(`XDP: ${xdp}: ports with "datapath: xdp" can't work`);
process.exitCode = tcx === undefined ? 0 : 2;
