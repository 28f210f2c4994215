import { type Stats, closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';

/** More bytes than any file has that is read as a whole. */
const maxBytes = 67_108_864;

/** Without O_NONBLOCK, opening a pipe would wait for somebody who writes into it. */
const readWithoutWaiting = constants.O_RDONLY | constants.O_NONBLOCK;

/**
 * Reads a whole regular file. Anything else (a pipe, a folder, a device) is refused, since reading it may block the process or
 * never end. Throws errors that {@link describeReadFailure} describes.
 */
export function readPlainFile(path: string): Buffer {
  const fd = openSync(path, readWithoutWaiting);
  try {
    requirePlain(fstatSync(fd));
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Like {@link readPlainFile}, without blocking the process where the disk is slow. */
export async function readPlainFileAsync(path: string): Promise<Buffer> {
  await using handle = await open(path, readWithoutWaiting);
  requirePlain(await handle.stat());
  return await handle.readFile();
}

function requirePlain(found: Stats): void {
  if (found.isDirectory()) throw Object.assign(new Error('a folder'), { code: 'EISDIR' });
  if (!found.isFile()) throw Object.assign(new Error('no plain file'), { code: 'ENOTFILE' });
  if (found.size > maxBytes) throw Object.assign(new Error('too large'), { code: 'EFBIG' });
}

const reasonOfCode: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  ENOTDIR: 'a part of its path is no folder',
  EISDIR: 'it is a folder',
  ENOTFILE: 'it is no plain file, but a pipe or a device',
  ENXIO: 'it is no plain file, but a socket or a device',
  EFBIG: `it is larger than ${maxBytes} bytes`,
  EACCES: 'this user may not read it',
  EPERM: 'this user may not read it',
  EMFILE: 'the process has too many files open',
  ENFILE: 'the machine has too many files open',
  EIO: 'the disk has failed',
  ESTALE: 'the network drive has lost it',
};

/** Why a file could not be read, in words for an operator. It says nothing of the content. */
export function describeReadFailure(error: unknown): string {
  const { code = 'unknown' } = error as NodeJS.ErrnoException;
  return reasonOfCode[code] ?? code;
}
