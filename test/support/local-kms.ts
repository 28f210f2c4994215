import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

/** Release 3.11.7, by its commit: the project's tags are no versions in Go's sense. */
const goPackage = 'github.com/nsmithuk/local-kms@e4d9425700fe6617ec37062adec06c9a3dc75fb7';
const cacheFolder = resolve('node_modules/.cache/local-kms');
const installed = join(cacheFolder, 'local-kms');
const startTimeoutMs = 60_000;
const remedy = 'put local-kms on the PATH, or set LOCAL_KMS to the program';

/** An emulator of KMS by other people, for checks that do not rest on our own reading of the protocol. */
export type LocalKms = {
  readonly endpoint: string;
  readonly region: string;
  readonly stop: () => Promise<void>;
};

/**
 * Starts local-kms (https://github.com/nsmithuk/local-kms) on a free port, with an empty store: the program `$LOCAL_KMS`, else
 * `local-kms` on the PATH, else the one that `go install` puts into `node_modules/.cache/local-kms` the first time. It has real
 * keys and checks no request signatures.
 *
 * Throws when there is none and it can't be installed, or when it does not start; the message says what to do.
 */
export async function startLocalKms(): Promise<LocalKms> {
  const program = await findProgram();
  const store = await mkdtemp(join(tmpdir(), 'livepeer-hsm-signer-local-kms-'));
  const region = 'eu-central-1';
  const port = await freePort();
  const child = spawn(program, [], {
    env: { ...process.env, PORT: `${port}`, KMS_REGION: region, KMS_DATA_PATH: store },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  let failure: string | undefined;
  const ended = new Promise<void>((settle) => {
    child.once('error', (error) => {
      failure = error.message;
      settle();
    });
    child.once('exit', (code, signal) => {
      failure = `it ended with ${signal ?? `exit code ${code}`}`;
      settle();
    });
  });
  const stop = async (): Promise<void> => {
    child.kill();
    await ended;
    await rm(store, { recursive: true, force: true });
  };
  const endpoint = `http://127.0.0.1:${port}`;
  const deadline = performance.now() + startTimeoutMs;
  while (!(await answers(endpoint))) {
    if (failure === undefined && performance.now() < deadline) {
      await sleep(50);
      continue;
    }
    const reason = failure ?? `no answer on ${endpoint} after ${startTimeoutMs} ms`;
    await stop();
    throw new Error(`the KMS emulator ${program} did not start: ${reason}; ${remedy}\n${output}`);
  }
  return { endpoint, region, stop };
}

async function findProgram(): Promise<string> {
  const { LOCAL_KMS, PATH = '' } = process.env;
  if (LOCAL_KMS !== undefined) return LOCAL_KMS;
  const onPath = PATH.split(':')
    .map((folder) => join(folder, 'local-kms'))
    .find((path) => existsSync(path));
  if (onPath !== undefined) return onPath;
  if (!existsSync(installed)) await install();
  return installed;
}

async function install(): Promise<void> {
  try {
    await promisify(execFile)('go', ['install', goPackage], {
      env: { ...process.env, GOBIN: cacheFolder },
    });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `this test needs the KMS emulator local-kms, and go install failed; ${remedy}\n${reason}`,
      { cause },
    );
  }
}

/** The emulator can't choose a port itself and say which. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function answers(endpoint: string): Promise<boolean> {
  return fetch(endpoint).then(
    () => true,
    () => false,
  );
}
