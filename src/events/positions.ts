import { open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { makeDurableFolder, syncFolder } from '../files/durable-folder.ts';
import { ConfigError } from '../errors.ts';
import { tryParseJson } from '../try-parse-json.ts';

/** How far a chain's events have been delivered: up to a byte of one of its files. */
export type Position = {
  /** the number of the file, from 1 */
  readonly file: number;
  /** the number of its bytes that are delivered */
  readonly offset: number;
};

/** A position, and the chain that it is in: another chain may come to have the same name. */
export type NotedPosition = Position & {
  /**
   * the hash of the chain's first record; '' where that record was archived before it could be noted, undefined in notes of
   * earlier releases
   */
  readonly began?: string | undefined;
};

/** By chain name; of a chain that is not named nothing has been delivered. */
export type Positions = Readonly<Record<string, NotedPosition>>;

const positionsSchema = z.record(
  z.string(),
  z.strictObject({
    file: z.int().positive(),
    offset: z.int().nonnegative(),
    began: z.string().optional(),
  }),
);

/** The file, in the audit log's folder, that has a sink's positions. */
export function positionsFile(auditFolder: string, sink: string): string {
  return join(auditFolder, 'delivered', `${sink}.json`);
}

/**
 * Reads the positions. Throws `CONFIG_INVALID` for a file that is not one of ours: it is better to deliver nothing than
 * everything again.
 */
export async function readPositions(path: string): Promise<Positions> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
  const positions = positionsSchema.safeParse(tryParseJson(text));
  if (positions.success) return positions.data;
  throw new ConfigError(
    'CONFIG_INVALID',
    `events: ${path} does not hold positions; put it back from a backup, or delete it to have all events delivered again`,
  );
}

/** Replaces the file, durably. */
export async function writePositions(path: string, positions: Positions): Promise<void> {
  const folder = dirname(path);
  makeDurableFolder(folder, 0o750);
  const next = `${path}.new`;
  const handle = await open(next, 'w', 0o640);
  try {
    await handle.writeFile(`${JSON.stringify(positions)}\n`);
    await handle.datasync();
  } finally {
    await handle.close();
  }
  await rename(next, path);
  await syncFolder(folder);
}
