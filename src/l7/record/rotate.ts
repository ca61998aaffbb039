// A log that grows is moved aside once.
import { renameSync, statSync } from 'node:fs';

/** A file that this process appends to, and maybe another one too. */
export class LogFile {
  private readonly path: string;
  private readonly bytes: number;
  private inode: number;

  constructor(path: string, bytes: number) {
    this.path = path;
    this.bytes = bytes;
    this.inode = statSync(path).ino;
  }

  /** Moves it aside where it has grown beyond its bytes. True: it is elsewhere, moved here or by another process, and
   * has to be opened anew. */
  look(): boolean {
    const stat = statSync(this.path, { throwIfNoEntry: false });
    const here = stat?.ino === this.inode;
    if (here && stat.size < this.bytes) return false;
    if (here) renameSync(this.path, `${this.path}.1`);
    // 0: what is there when all have opened it.
    this.inode = here ? 0 : (stat?.ino ?? 0);
    return true;
  }
}
