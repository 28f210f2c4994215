import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { awsEnvironment } from '../secrets/signer-configs.ts';
import { AwsKmsWireServer } from '../support/aws-kms-wire-server.ts';
import { killGroup } from '../support/kill-group.ts';
import { Cli, Folder, root, run } from '../cli/cli.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { checkHealth } from './healthcheck.ts';

/** The path of p11-kit-client.so by Debian's own package list, as docker/install-p11-kit.sh finds it. */
const client = '/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so';

const serve = (config: string, environment: Record<string, string>): Cli =>
  new Cli(['serve', '--config', join(root, config), '--listen', '127.0.0.1:0'], environment);

async function stop(cli: Cli): Promise<void> {
  cli.child.kill('SIGTERM');
  await cli.ended();
}

describe('softhsm/serve-token.sh', () => {
  const folder = new Folder();
  const runFolder = join(folder.path, 'run');
  const socket = join(runFolder, 'p11-kit.sock');
  let token: ChildProcess;

  beforeAll(async () => {
    mkdirSync(runFolder);
    token = await startToken();
  });

  afterAll(async () => {
    await endToken();
    folder[Symbol.dispose]();
  });

  async function startToken(): Promise<ChildProcess> {
    const child = spawn('sh', [join(root, 'softhsm/serve-token.sh')], {
      env: { ...process.env, TOKEN_STORE: join(folder.path, 'store'), SOCKET: socket },
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    while (spawnSync('test', ['-S', socket]).status !== 0) {
      if (child.exitCode !== null) throw new Error('serve-token.sh ended');
      await sleep(20);
    }
    return child;
  }

  /** With the processes that it forked, one for each connection. */
  async function endToken(): Promise<void> {
    const ended = once(token, 'exit');
    killGroup(token, 'SIGTERM');
    await ended;
  }

  const environment = {
    LIVEPEER_HSM_SIGNER__KEYS__0__MODULE: client,
    LIVEPEER_HSM_SIGNER__KEYS__0__PIN: `file:${join(runFolder, 'pin')}`,
    LIVEPEER_HSM_SIGNER__KEYS__0__ENVIRONMENT: `{ P11_KIT_SERVER_ADDRESS: "unix:path=${socket}" }`,
  };

  it('shows the PIN to its own user only, and the key to nobody', () => {
    expect(statSync(join(runFolder, 'pin')).mode & 0o777).toBe(0o400);
    expect(readFileSync(join(runFolder, 'pin'), 'utf8')).toMatch(/^\d{8,16}\n$/);
    expect(statSync(join(folder.path, 'store')).mode & 0o077).toBe(0);
  });

  it('serves the signer of the compose file: it makes the key, pays, is healthy, and keeps its address', async () => {
    const first = serve('docker/softhsm.yaml', environment);
    const url = await first.listening();
    const paid = await fetch(`${url}/generate-live-payment`, {
      method: 'POST',
      body: payableRequest(),
    });
    expect(paid.status).toBe(200);
    expect(await checkHealth(url)).toEqual({ status: 0, stderr: '' });
    await stop(first);
    const address = /listening on \S+ as (0x\w+)/.exec(first.stdout)?.[1];

    await endToken();
    token = await startToken();
    const shown = await run(
      ['keys', 'show', '--config', join(root, 'docker/softhsm.yaml')],
      environment,
    );
    expect(shown.stdout).toContain(`address ${address}\n`);
  });
});

describe('docker/healthcheck.mjs', () => {
  it('fails, and says why, when nothing answers', async () => {
    const { status, stderr } = await checkHealth('http://127.0.0.1:1');
    expect(status).toBe(1);
    expect(stderr).toContain('http://127.0.0.1:1/healthz: ');
  });
});

describe('docker/aws.yaml', () => {
  it('makes its key in a KMS that has none, and serves', async () => {
    const server = await AwsKmsWireServer.start();
    const cli = serve('docker/aws.yaml', {
      ...awsEnvironment(server),
      LIVEPEER_HSM_SIGNER__KEYS__0__ENDPOINT: server.endpoint,
    });
    try {
      expect(await checkHealth(await cli.listening())).toEqual({ status: 0, stderr: '' });
      expect(cli.stdout).toContain('made a new key for 0x');
    } finally {
      await stop(cli);
      await server.close();
    }
  });
});

describe('docker/install-dependencies.sh', () => {
  it('refuses a key provider that there is not, before it installs anything', () => {
    const script = join(root, 'docker/install-dependencies.sh');
    using folder = new Folder();
    const { status, stderr } = spawnSync('sh', [script, 'azure'], {
      cwd: folder.path,
      encoding: 'utf8',
    });
    expect(status).toBe(1);
    expect(stderr).toContain('there is no key provider azure');
    expect(existsSync(join(folder.path, 'node_modules'))).toBe(false);
  });
});
