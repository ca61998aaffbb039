// vms: { db1: { image: debian-13.qcow2, cpus: 2, memory: 1G, port: { vlan: web }, address: [10.10.0.21/24],
//               cloud-init: { user-data: "#cloud-config ..." } } }
import { isAbsolute, join, normalize } from 'node:path';
import { z } from 'zod';
import { byteSize } from '../../config/types.ts';
import { guestFields, guestName } from '../schema.ts';

/** Where set-up puts images, and where a file's name that is no path is looked for. */
export const imageFolder = '/var/lib/midplane/images/vm';

/** The image that set-up makes: a kernel and a root file system in memory, no disk. */
export const ownImage = 'midplane/vm';

const file = z
  .string()
  .min(1)
  .max(1024)
  .refine((path) => normalize(path) === path && !path.startsWith('..') && !path.includes('\0'), 'not a plain path');

const mebibyte = 2 ** 20;

const memory = byteSize
  .refine((bytes) => bytes >= 32 * mebibyte && bytes <= 2 ** 42, 'between 32M and 4T')
  .refine((bytes) => bytes % mebibyte === 0, 'not a whole number of M');

const cloudInit = z
  .strictObject({
    hostname: z
      .string()
      .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'not a host name')
      .optional()
      .meta({ description: 'host name; default: the name of the VM' }),
    'user-data': z
      .string()
      .max(65_536)
      .optional()
      .meta({ description: 'what cloud-init does at the first boot: "#cloud-config", a script, ...' }),
  })
  .meta({ description: 'what the NoCloud seed says besides addresses' });

// A VM has no environment variables: user-data is the way to tell it something.
const shared = z.strictObject(guestFields).omit({ environment: true });

export const vm = shared.extend({
  image: file.optional().meta({
    description: `disk image (qcow2 or raw), never written to; ${ownImage}: a small system of our own`,
    examples: [ownImage, 'debian-13.qcow2'],
  }),
  kernel: file.optional().meta({ description: 'kernel to start, instead of the boot loader of an image' }),
  initrd: file.optional().meta({ description: 'initial RAM disk of the kernel' }),
  cmdline: z
    .string()
    .max(2048)
    .regex(/^[\x20-\x7e]*$/, 'one line of printable characters')
    .optional()
    .meta({ description: 'command line of the kernel' }),
  disk: byteSize
    .refine((bytes) => bytes % 512 === 0 && bytes <= 2 ** 46, 'at most 64T')
    .optional()
    .meta({ description: 'size of the disk; default: that of the image', examples: ['10G'] }),
  cpus: z.int().min(1).max(255).default(1).meta({ description: 'virtual processors' }),
  memory: memory.prefault('256M').meta({ description: 'memory of the VM', examples: ['256M', '4G'] }),
  accel: z
    .enum(['auto', 'kvm', 'tcg'])
    .default('auto')
    .meta({ description: 'auto: KVM where a trial boot shows that it works, else emulation' }),
  'cloud-init': cloudInit.prefault({}),
});

export const vmsSchema = z.record(guestName, vm).default({}).meta({ description: 'virtual machines by name' });

export type Vm = z.infer<typeof vm>;
export type Vms = z.infer<typeof vmsSchema>;

/** Path of a file that the document names. */
export const imagePath = (name: string): string => (isAbsolute(name) ? name : join(imageFolder, name));
