import fs, {
  fstatSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { type AuditLog, createAuditLog } from '../../src/audit/audit-log.ts';
import type { ChainedRecord } from '../../src/audit/record.ts';

/** An audit log in a folder of its own, on the real disk. */
export class TestLog implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'livepeer-hsm-signer-audit-'));
  readonly chain = join(this.folder, 'server-1');
  readonly logged: {
    readonly level: string;
    readonly message: string;
    readonly fields: unknown;
  }[] = [];
  #open: AuditLog[] = [];

  async open(maxFileBytes = 65_536, folder = this.folder, chain = 'server-1'): Promise<AuditLog> {
    const log = await createAuditLog({
      folder,
      chain,
      maxFileBytes,
      start: { version: '1.2.3' },
      log: (level, message, fields) => this.logged.push({ level, message, fields }),
    });
    this.#open.push(log);
    return log;
  }

  async closeAll(): Promise<void> {
    for (const log of this.#open.splice(0)) await log.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.closeAll();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function filesOf(chain: string): string[] {
  return readdirSync(chain)
    .filter((name) => name.endsWith('.jsonl'))
    .sort()
    .map((name) => join(chain, name));
}

/** The records of a chain as they stand in its files, whole lines only. */
export function recordsOf(chain: string): ChainedRecord[] {
  return filesOf(chain).flatMap((path) =>
    readFileSync(path, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as ChainedRecord),
  );
}

/** Files in a folder that this process has open. */
export function openIn(folder: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    const path = readlinkIfThere(`/proc/self/fd/${fd}`);
    return path.startsWith(`${folder}/`) ? [path] : [];
  });
}

function readlinkIfThere(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

/** What every open file's methods come from, so that a test can stand between the program and the disk. */
export async function fileHandlePrototype(): Promise<
  Pick<
    FileHandle,
    'createReadStream' | 'datasync' | 'fd' | 'readFile' | 'stat' | 'sync' | 'truncate' | 'write'
  >
> {
  const handle = await open('/dev/null');
  await handle.close();
  return Object.getPrototypeOf(handle) as FileHandle;
}

/** Has the first handle that is opened on a file from now on fail when it is closed, which it is then. */
export function failClose(path: string): void {
  const { open: openFile } = fs.promises;
  let isFirst = true;
  vi.spyOn(fs.promises, 'open').mockImplementation(async (...args) => {
    const handle = await openFile(...args);
    if (args[0] !== path || !isFirst) return handle;
    isFirst = false;
    const close = handle.close.bind(handle);
    vi.spyOn(handle, 'close').mockImplementationOnce(async () => {
      await close();
      throw new Error('no');
    });
    return handle;
  });
  syncBuiltinESMExports();
}

/** Lets whatever has been asked of the disk before come to its end. */
export async function untilDiskIsIdle(): Promise<void> {
  for (let round = 0; round < 20; round += 1) await stat(tmpdir());
}

/** What the program does to the disk. */
export type DiskCall = {
  readonly call: 'write' | 'datasync' | 'sync' | 'fsync';
  readonly path: string;
  /** what is written; '' for the others */
  readonly text: string;
  /** bytes of the file then */
  readonly size: number;
};

/** Stands between the program and the disk until mocks are restored; adds each call to `calls` once it is done. */
export async function watchDisk(calls: DiskCall[]): Promise<void> {
  const note = (call: DiskCall['call'], fd: number, text = ''): void => {
    const path = readlinkSync(`/proc/self/fd/${fd}`);
    calls.push({ call, path, text, size: fstatSync(fd).size });
  };
  const handles = await fileHandlePrototype();
  for (const call of ['datasync', 'sync'] as const) {
    const original = handles[call];
    vi.spyOn(handles, call).mockImplementation(async function (this: typeof handles) {
      await original.call(this);
      note(call, this.fd);
    });
  }
  const write = handles.write as (...args: unknown[]) => Promise<unknown>;
  vi.spyOn(handles, 'write').mockImplementation(async function (
    this: typeof handles,
    ...args: unknown[]
  ) {
    const written = await write.apply(this, args);
    note('write', this.fd, String(args[0]));
    return written as never;
  });
  const sync = fs.fsyncSync;
  vi.spyOn(fs, 'fsyncSync').mockImplementation((fd) => {
    sync(fd);
    note('fsync', fd);
  });
  syncBuiltinESMExports();
}

/** A record with a number, as long as a real one. */
export function numbered(number: number) {
  return { kind: 'signed', use: String(number), digests: ['ab'.repeat(32)], signatures: 1 };
}
