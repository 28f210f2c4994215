import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A file system of its own with `kibibytes` of room, in memory. Needs the right to mount. */
export class SmallDisk implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'livepeer-hsm-signer-disk-'));
  readonly #filler = join(this.path, 'filler');

  constructor(kibibytes: number) {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kibibytes}k`, 'tmpfs', this.path]);
  }

  /** Leaves room for `kibibytes`. */
  fill(kibibytes: number): void {
    const { bavail, bsize } = statfsSync(this.path);
    writeFileSync(this.#filler, Buffer.alloc(bavail * bsize - kibibytes * 1024));
  }

  makeRoom(): void {
    rmSync(this.#filler);
  }

  [Symbol.dispose](): void {
    execFileSync('umount', ['-l', this.path]);
    rmSync(this.path, { recursive: true });
  }
}
