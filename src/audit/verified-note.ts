import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readPlainFileAsync } from '../files/plain-file.ts';

const noteName = 'verified.json';

/** Notes in the folder of an audit log when all of its chains were found intact. Rejects where the folder can't be written. */
export async function noteVerified(folder: string, at: Date): Promise<void> {
  const text = `${JSON.stringify({ verifiedAt: at.toISOString() })}\n`;
  await writeFile(join(folder, noteName), text, { mode: 0o640 });
}

/** When the chains were last found intact, RFC 3339; undefined where it was not noted, or can't be read. */
export async function readVerified(folder: string): Promise<string | undefined> {
  try {
    const note = JSON.parse((await readPlainFileAsync(join(folder, noteName))).toString()) as {
      readonly verifiedAt?: unknown;
    };
    const time = new Date(String(note.verifiedAt));
    return Number.isNaN(time.getTime()) ? undefined : time.toISOString();
  } catch {
    return undefined;
  }
}
