import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../..');

export type BuiltClient = {
  /** The package as npm would pack it. */
  readonly folder: string;
  /** One module for the entry, with the package in it. */
  bundle(entry: string, platform: 'node' | 'browser'): Promise<string>;
  remove(): Promise<void>;
};

/** Builds the package in a folder of its own, so that tests don't stand in each other's way. */
export async function buildClient(): Promise<BuiltClient> {
  const top = await mkdtemp(join(tmpdir(), 'signer-client-'));
  const folder = join(top, 'node_modules/livepeer-remote-signer-client');
  await mkdir(folder, { recursive: true });
  await run(process.execPath, [
    join(root, 'node_modules/typescript-7/bin/tsc'),
    ...['-p', join(root, 'client/tsconfig.build.json'), '--outDir', join(folder, 'dist')],
  ]);
  for (const file of ['package.json', 'README.md', 'LICENSE']) {
    await copyFile(join(root, 'client', file), join(folder, file));
  }
  await symlink(join(root, 'node_modules/@types'), join(top, 'node_modules/@types'));
  return {
    folder,
    bundle: async (entry, platform) => {
      const { outputFiles } = await build({
        entryPoints: [entry],
        bundle: true,
        write: false,
        format: 'esm',
        platform,
        alias: {
          'livepeer-remote-signer-client': join(folder, 'dist/index.js'),
          'livepeer-remote-signer-client/node': join(folder, 'dist/node.js'),
        },
      });
      return outputFiles[0]?.text ?? '';
    },
    remove: () => rm(top, { recursive: true }),
  };
}
