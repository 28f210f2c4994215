import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

/** The emulator and what its server needs, pinned: what it does may change from version to version. */
const packages = ['moto==5.2.5', 'flask==3.1.3', 'flask-cors==6.0.5'];
const cacheFolder = resolve('node_modules/.cache/local-kms');
const installed = join(cacheFolder, 'moto-5.2.5');

/** An emulator of KMS by other people, for checks that do not rest on our own reading of the protocol. */
export type LocalKms = {
  readonly endpoint: string;
  readonly stop: () => Promise<void>;
};

/**
 * Starts moto's emulator of AWS (https://github.com/getmoto/moto) on a free port of this machine. It is the program
 * `$LOCAL_KMS` when that is set (a `moto_server`), else the one in `node_modules/.cache/local-kms`, which is put there by pip
 * the first time. It checks no request signatures, and hashes the digests that it is given to sign once more.
 *
 * Throws when it can't be installed or does not start; the message says what to do.
 */
export async function startLocalKms(): Promise<LocalKms> {
  const { LOCAL_KMS, ...environment } = process.env;
  if (LOCAL_KMS === undefined) await install();
  const [program, ...prefix] =
    LOCAL_KMS === undefined ? ['python3', '-m', 'moto.server'] : [LOCAL_KMS];
  const child = spawn(program, [...prefix, '-H', '127.0.0.1', '-p', '0'], {
    env: { ...environment, PYTHONPATH: installed, NO_COLOR: '1' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = once(child, 'exit');
  const failed = exited.then(
    () => undefined,
    (error: unknown) => String(error),
  );
  const output: string[] = [];
  let endpoint: string | undefined;
  for await (const line of createInterface(child.stderr)) {
    output.push(line);
    endpoint = /Running on (http:\/\/127\.0\.0\.1:\d+)/.exec(line)?.[1];
    if (endpoint !== undefined) break;
  }
  if (endpoint === undefined) {
    const reason = (await failed) ?? output.join('\n');
    throw new Error(
      `the KMS emulator (${program}) did not start: ${reason}; set LOCAL_KMS to a moto_server that runs`,
    );
  }
  child.stderr.resume();
  return {
    endpoint,
    stop: async () => {
      child.kill();
      await exited;
    },
  };
}

async function install(): Promise<void> {
  if (existsSync(installed)) return;
  await mkdir(cacheFolder, { recursive: true });
  const draft = await mkdtemp(join(cacheFolder, 'draft-'));
  try {
    await promisify(execFile)('python3', [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--target',
      draft,
      ...packages,
    ]);
    if (!existsSync(installed)) await rename(draft, installed);
  } catch (cause) {
    throw new Error(
      `the KMS emulator could not be installed; needed are python3 with pip and a package index, or LOCAL_KMS set to a moto_server`,
      { cause },
    );
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}
