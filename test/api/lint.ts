import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../cli/cli.ts';

const run = promisify(execFile);
const linter = join(root, 'test/tools/node_modules/@redocly/cli/bin/cli.js');
const rules = join(import.meta.dirname, 'redocly.yaml');

/** How much the linter minds of a description. */
export async function lint(file: string): Promise<{ errors: number; warnings: number }> {
  const { stdout } = await run(
    process.execPath,
    [linter, 'lint', '--config', rules, '--format', 'json', file],
    { env: { ...process.env, REDOCLY_TELEMETRY: 'off' } },
  ).catch((error: unknown) => error as { stdout: string });
  return (JSON.parse(stdout) as { totals: { errors: number; warnings: number } }).totals;
}
