import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltClient, buildClient } from './build-client.ts';

const run = promisify(execFile);
const tools = resolve(import.meta.dirname, 'tools/node_modules');
const maxGzippedBytes = 12_000;

let client: BuiltClient;

beforeAll(async () => {
  client = await buildClient();
});

afterAll(() => client.remove());

/** A minified bundle of the code, with what it takes of the package. */
async function bundle(code: string): Promise<string> {
  const entry = resolve(client.folder, '../../entry.js');
  await writeFile(entry, code);
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    platform: 'neutral',
  });
  return outputFiles[0]?.text ?? '';
}

describe('the package', () => {
  it('has types that every import of ES modules resolves', async () => {
    const { stdout: packed } = await run('npm', ['pack', '--ignore-scripts', '--json'], {
      cwd: client.folder,
    });
    const [{ filename } = { filename: '' }] = JSON.parse(packed) as { filename: string }[];
    const attw = join(tools, '@arethetypeswrong/cli/dist/index.js');
    // as every import of ES modules resolves them; it ends with an error for any problem
    const { stdout } = await run(process.execPath, [
      attw,
      join(client.folder, filename),
      ...['--profile', 'esm-only', '--format', 'ascii'],
    ]);
    expect(stdout).toContain('livepeer-remote-signer-client/node');
    expect(stdout).toContain('(ESM)');
  }, 60_000);

  it('has nothing that publint minds', async () => {
    const publint = join(tools, 'publint/src/cli.js');
    const { stdout } = await run(process.execPath, [
      publint,
      client.folder,
      '--strict',
      '--pack',
      'false',
    ]);
    expect(stdout).toContain('All good!');
  }, 60_000);

  it(`is under ${maxGzippedBytes} bytes, minified and compressed`, async () => {
    const code = await bundle(`export * from 'livepeer-remote-signer-client';`);
    expect(code).toContain('generate-live-payment');
    expect(gzipSync(code, { level: 9 }).length).toBeLessThan(maxGzippedBytes);
  });

  it('leaves out what is not used', async () => {
    expect(await bundle(`import 'livepeer-remote-signer-client';`)).toBe('');
    const decode = await bundle(
      `export { decodeOrchestratorInfo } from 'livepeer-remote-signer-client';`,
    );
    expect(decode).not.toContain('generate-live-payment');
    expect(decode.length).toBeLessThan(3_000);
    const ask = await bundle(`export { createSignerClient } from 'livepeer-remote-signer-client';`);
    expect(ask).toContain('generate-live-payment');
    expect(ask).not.toContain('refresh-payment');
  });

  it('has no dependencies, and its main entry nothing of Node', () => {
    const manifest = JSON.parse(
      readFileSync(join(client.folder, 'package.json'), 'utf8'),
    ) as Record<string, unknown>;
    for (const kind of ['dependencies', 'peerDependencies', 'optionalDependencies']) {
      expect(manifest).not.toHaveProperty(kind);
    }
    const files = readdirSync(join(client.folder, 'dist'), { recursive: true }).map(String);
    const withNode = files.filter(
      (file) =>
        /\.(js|ts)$/.test(file) &&
        readFileSync(join(client.folder, 'dist', file), 'utf8').includes('node:'),
    );
    expect(withNode.length).toBeGreaterThan(1);
    expect(withNode.filter((file) => !/^node(\/|\.)/.test(file))).toEqual([]);
  });
});
