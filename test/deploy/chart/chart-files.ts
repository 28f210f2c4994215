import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../cli/cli.ts';

export const chartFolder = join(root, 'deploy/helm/livepeer-hsm-signer');
export const renderedFolder = join(import.meta.dirname, 'rendered');

/** The value files, by their names without `.yaml`. */
export const examples: readonly string[] = readdirSync(join(chartFolder, 'examples'))
  .map((file) => file.replace(/\.yaml$/, ''))
  .toSorted();

/** SHA-256 of all that the chart consists of: what was rendered from the same files is what Helm would render now. */
export function digestOfChart(): string {
  const digest = createHash('sha256');
  const files = readdirSync(chartFolder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
  for (const file of files)
    digest
      .update(`${file.slice(chartFolder.length)}\0`)
      .update(readFileSync(file))
      .update('\0');
  return digest.digest('hex');
}
