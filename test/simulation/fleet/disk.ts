import { Buffer } from 'node:buffer';
import type { Kernel, Owner } from './kernel.ts';
import type { Draw } from './draw.ts';

/** What a disk does wrong for a while. */
export type DiskTrouble = 'full' | 'torn-writes' | 'sync-fails' | 'stalls';

/** A file: as every process sees it, and as it would be after the power went. */
type File = {
  readonly inode: number;
  content: Buffer;
  durable: Buffer;
  /** whether its name outlives the power */
  isNamed: boolean;
  links: number;
};

/** Is told what becomes of a file. */
export type DiskWatcher = {
  wrote(path: string, owner: Owner, content: Buffer, from: number): void;
  synced(path: string, durable: Buffer): void;
};

const errors = {
  ENOENT: 'no such file',
  EEXIST: 'it exists',
  ENOSPC: 'no space',
  EIO: 'i/o error',
};

function failure(code: keyof typeof errors, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${errors[code]}, '${path}'`), { code });
}

const { O_CREAT, O_EXCL, O_APPEND } = { O_CREAT: 0o100, O_EXCL: 0o200, O_APPEND: 0o2000 };

/** The disks of all instances, each below its own folder; one instance's trouble is no other's. */
export class Disk {
  readonly #kernel: Kernel;
  readonly #draw: Draw;
  readonly #watcher: DiskWatcher;
  readonly #files = new Map<string, File>();
  readonly #folders = new Set<string>();
  readonly #open = new Map<number, { readonly file: File; readonly path: string }>();
  readonly #troubles = new Map<string, DiskTrouble>();
  #inodes = 1;
  #descriptors = 1e6;

  constructor(kernel: Kernel, draw: Draw, watcher: DiskWatcher) {
    this.#kernel = kernel;
    this.#draw = draw;
    this.#watcher = watcher;
  }

  /** undefined: the disk of that name works again */
  setTrouble(name: string, trouble: DiskTrouble | undefined): void {
    if (trouble) this.#troubles.set(name, trouble);
    else this.#troubles.delete(name);
  }

  /** The power goes: what was not synced is lost, whole, in part, or by luck not at all. */
  loseUnsynced(name: string): void {
    for (const [path, file] of this.#files) {
      if (diskOf(path) !== name) continue;
      if (!file.isNamed && this.#draw.chance(0.5)) {
        this.#files.delete(path);
        continue;
      }
      const { content, durable } = file;
      const hasGrown =
        content.length > durable.length && content.subarray(0, durable.length).equals(durable);
      if (hasGrown) {
        const kept = this.#draw.int(content.length - durable.length + 1);
        file.content = content.subarray(0, durable.length + kept);
      } else if (this.#draw.chance(0.5)) file.content = durable;
      else if (content.length === durable.length) {
        if (this.#draw.chance(0.5)) file.content = this.#tear(content, durable);
      }
      file.durable = file.content;
      file.isNamed = true;
    }
  }

  /** What was replaced in place: new bytes as far as the disk has come, and old ones behind them. */
  #tear(content: Buffer, durable: Buffer): Buffer {
    const torn = Buffer.from(durable);
    content.copy(torn, 0, 0, this.#draw.int(content.length + 1));
    return torn;
  }

  /** What whoever opens it reads; undefined where there is none. */
  read(path: string): Buffer | undefined {
    return this.#files.get(path)?.content;
  }

  pathsBelow(folder: string): string[] {
    return [...this.#files.keys()].filter((path) => path.startsWith(folder)).sort();
  }

  mkdir(path: string): Promise<string | undefined> {
    return this.#later(path, () => {
      let created: string | undefined;
      const parts = path.split('/');
      for (let depth = 3; depth <= parts.length; depth += 1) {
        const folder = parts.slice(0, depth).join('/');
        if (!this.#folders.has(folder)) created ??= folder;
        this.#folders.add(folder);
      }
      return created;
    });
  }

  readdir(folder: string): Promise<string[]> {
    return this.#later(folder, () =>
      this.pathsBelow(`${folder}/`).map((path) => path.slice(folder.length + 1)),
    );
  }

  open(path: string, flags: number | string): Promise<SimulatedHandle> {
    return this.#later(path, () => {
      if (flags === 'r') return this.#handleOf(path, undefined, false);
      const bits = flags as number;
      let file = this.#files.get(path);
      if (file && (bits & O_EXCL) !== 0) throw failure('EEXIST', path);
      if (!file) {
        if ((bits & O_CREAT) === 0) throw failure('ENOENT', path);
        if (this.#troubles.get(diskOf(path)) === 'full') throw failure('ENOSPC', path);
        const empty = Buffer.alloc(0);
        file = { inode: this.#inodes++, content: empty, durable: empty, isNamed: false, links: 1 };
        this.#files.set(path, file);
      }
      return this.#handleOf(path, file, (bits & O_APPEND) !== 0);
    });
  }

  statPath(path: string): object | undefined {
    const file = this.#files.get(path);
    return file && statOf(file);
  }

  statDescriptor(descriptor: number): object {
    const opened = this.#open.get(descriptor);
    if (!opened) throw failure('EIO', `descriptor ${descriptor}`);
    return statOf(opened.file);
  }

  #handleOf(path: string, file: File | undefined, appends: boolean): SimulatedHandle {
    const descriptor = this.#descriptors++;
    if (file) this.#open.set(descriptor, { file, path });
    const later = <Result>(work: () => Result, slowness = 1): Promise<Result> =>
      this.#later(path, work, slowness);
    const own = (): File => {
      if (!file || !this.#open.has(descriptor)) throw failure('EIO', path);
      return file;
    };
    const sync = (): Promise<void> => {
      // what is written after the call may or may not be part of it: it is not
      const content = file?.content;
      return later(() => {
        if (this.#troubles.get(diskOf(path)) === 'sync-fails') throw failure('EIO', path);
        if (!file || !content) {
          for (const [other, { isNamed }] of this.#files) {
            const isIn =
              other.startsWith(`${path}/`) && !other.slice(path.length + 1).includes('/');
            const entry = this.#files.get(other);
            if (isIn && !isNamed && entry) entry.isNamed = true;
          }
          return;
        }
        file.durable = content;
        this.#watcher.synced(path, content);
      }, 4);
    };
    const close = (): Promise<void> => later(() => void this.#open.delete(descriptor));
    return {
      fd: descriptor,
      stat: () => later(() => ({ size: own().content.length, isFile: () => true })),
      read: (into, offset, length, position) =>
        later(() => ({
          bytesRead: own().content.copy(into, offset, position, position + length),
        })),
      write: (bytes, offset = 0, length = bytes.length - offset, position = null) => {
        const { owner } = this.#kernel;
        return later(() => {
          const { content } = own();
          const trouble = this.#troubles.get(diskOf(path));
          if (trouble === 'full') throw failure('ENOSPC', path);
          const start = appends || position === null ? content.length : position;
          const isTorn = trouble === 'torn-writes' && this.#draw.chance(0.7);
          const written = isTorn ? this.#draw.int(length) : length;
          const end = start + written;
          const next = Buffer.alloc(Math.max(content.length, end));
          content.copy(next);
          bytes.copy(next, start, offset, offset + written);
          // what is replaced in place may be on disk by now, whoever synced it
          if (!appends && start === 0 && this.#draw.chance(0.3)) own().durable = content;
          own().content = next;
          this.#watcher.wrote(path, owner, next, start);
          if (isTorn && this.#draw.chance(0.5)) throw failure('EIO', path);
          return { bytesWritten: written };
        });
      },
      truncate: (size) =>
        later(() => {
          own().content = own().content.subarray(0, size);
        }),
      async *createReadStream() {
        const content = await later(() => own().content);
        if (content.length > 0) yield content;
      },
      sync,
      datasync: sync,
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  #later<Result>(path: string, work: () => Result, slowness = 1): Promise<Result> {
    const stall = this.#troubles.get(diskOf(path)) === 'stalls' ? 1_000_000 : 0;
    const delayUs = slowness * (10 + this.#draw.int(90)) + (stall && this.#draw.int(5 * stall));
    return new Promise((resolve, reject) => {
      this.#kernel.after(delayUs, () => {
        try {
          resolve(work());
        } catch (error) {
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what the work threw
          reject(error);
        }
      });
    });
  }
}

type SimulatedHandle = {
  readonly fd: number;
  stat(): Promise<{ readonly size: number; isFile(): boolean }>;
  read(
    into: Buffer,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesRead: number }>;
  write(
    bytes: Buffer,
    offset?: number,
    length?: number,
    position?: number | null,
  ): Promise<{ readonly bytesWritten: number }>;
  truncate(size: number): Promise<void>;
  createReadStream(): AsyncIterable<Buffer>;
  sync(): Promise<void>;
  datasync(): Promise<void>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

function diskOf(path: string): string {
  return path.split('/')[2] ?? '';
}

function statOf({ inode, content, links }: File): object {
  return { dev: 1n, ino: BigInt(inode), size: BigInt(content.length), nlink: BigInt(links) };
}
