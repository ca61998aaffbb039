// The switch's SSH host key: made once, kept for ever. Ed25519 alone: every client of the last ten years knows it.
import { hash } from 'node:crypto';
import { mkdir, open, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import ssh2 from 'ssh2';

const fileName = 'ssh_host_ed25519_key';

export interface HostKey {
  /** OpenSSH private key, PEM. */
  readonly private: string;
  /** "ssh-ed25519 AAAA...", as known_hosts has it. */
  readonly public: string;
  /** "SHA256:...", as ssh prints it. */
  readonly fingerprint: string;
}

/** The key in the folder, made where there is none (0600, whole or not at all). Throws where it can't be read, is no
 * Ed25519 key, or others may read it: a lost key is never replaced in silence. */
export async function loadHostKey(folder: string): Promise<HostKey> {
  const path = join(folder, fileName);
  const existing = await readIfThere(path);
  if (existing !== undefined) return hostKeyOf(existing, path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const text = newKey();
  const temporary = `${path}.new`;
  await using file = await open(temporary, 'w', 0o600);
  await file.chmod(0o600);
  await file.writeFile(text);
  await file.sync();
  await rename(temporary, path);
  await using directory = await open(folder, 'r');
  await directory.sync();
  return hostKeyOf(text, path);
}

/** About one in 300 of the keys that ssh2 makes is one that it cannot read: it drops a leading zero. */
function newKey(): string {
  for (;;) {
    const text = ssh2.utils.generateKeyPairSync('ed25519', { comment: 'midplane' }).private;
    if (!(ssh2.utils.parseKey(text) instanceof Error)) return text;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0) throw new Error(`${path}: others may read this key; chmod 600, or make a new one`);
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function hostKeyOf(text: string, path: string): HostKey {
  const key = ssh2.utils.parseKey(text);
  if (key instanceof Error) throw new Error(`${path}: ${key.message}`);
  if (key.type !== 'ssh-ed25519' || !key.isPrivateKey()) throw new Error(`${path}: no Ed25519 private key`);
  const blob = key.getPublicSSH();
  return { private: text, public: `ssh-ed25519 ${blob.toString('base64')}`, fingerprint: fingerprintOf(blob) };
}

/** "SHA256:..." of a public key's blob. */
export function fingerprintOf(blob: Buffer): string {
  return `SHA256:${hash('sha256', blob, 'base64').replace(/=+$/, '')}`;
}
