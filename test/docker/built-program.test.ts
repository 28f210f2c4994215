import { spawnSync } from 'node:child_process';
import { cpSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cli, Folder, devConfig, root } from '../cli/cli.ts';
import { payableRequest } from '../cli/payable-request.ts';
import { pkcs11Config } from '../secrets/signer-configs.ts';
import { createSoftHsm } from '../support/softhsm.ts';

// `npm run build` into a folder of its own, laid out as the image's /app and the npm package are.

describe('the built program', () => {
  const app = new Folder();
  const program = join(app.path, 'dist/src/cli/livepeer-hsm-signer.js');

  beforeAll(() => {
    const project = join(root, 'tsconfig.build.json');
    const options = ['-p', project, '--outDir', join(app.path, 'dist')];
    const tsc = join(root, 'node_modules/typescript-7/bin/tsc');
    const build = spawnSync(process.execPath, [tsc, ...options], { encoding: 'utf8' });
    expect(build).toMatchObject({ status: 0, stdout: '' });
    for (const name of ['package.json', 'bin']) {
      cpSync(join(root, name), join(app.path, name), { recursive: true });
    }
    symlinkSync(join(root, 'node_modules'), join(app.path, 'node_modules'));
  });

  afterAll(() => app[Symbol.dispose]());

  async function payThrough(config: string): Promise<void> {
    const signer = new Cli(['serve', '--config', config, '--listen', '127.0.0.1:0'], {}, program);
    try {
      const url = await signer.listening();
      const body = payableRequest();
      const paid = await fetch(`${url}/generate-live-payment`, { method: 'POST', body });
      expect(paid.status).toBe(200);
    } finally {
      signer.child.kill('SIGTERM');
    }
    expect((await signer.ended()).status).toBe(0);
  }

  const runToEnd = (...args: string[]) =>
    spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });

  it('prints its help', () => {
    const { status, stdout } = runToEnd('--help');
    expect(status).toBe(0);
    expect(stdout).toContain('Usage: livepeer-hsm-signer');
  });

  const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    bin: Record<string, string>;
  };
  const entry = join(app.path, bin['livepeer-hsm-signer'] ?? '');

  it('is what npm’s command starts', () => {
    const version = spawnSync(process.execPath, [entry, '--version'], { encoding: 'utf8' });
    expect(version).toMatchObject({ status: 0, stdout: runToEnd('--version').stdout, stderr: '' });
    const { status, stderr } = spawnSync(process.execPath, [entry, 'serve'], { encoding: 'utf8' });
    expect({ status, stderr }).toEqual({
      status: runToEnd('serve').status,
      stderr: runToEnd('serve').stderr,
    });
  });

  it.each(['20.20.2', '12.22.12'])('is not started by Node %s, in one line and with 2', (node) => {
    const olderNode =
      `Object.defineProperty(process.versions, 'node', { value: '${node}' });` +
      `Object.defineProperty(process, 'version', { value: 'v${node}' });`;
    const older = ['--import', `data:text/javascript,${encodeURIComponent(olderNode)}`];
    const ended = spawnSync(process.execPath, [...older, entry, 'serve'], { encoding: 'utf8' });
    expect(ended).toMatchObject({
      status: 2,
      stdout: '',
      stderr: `livepeer-hsm-signer needs Node.js 24 or later; this is v${node}, ${process.execPath}\n`,
    });
  });

  it('pays with a key in a file', async () => {
    using folder = new Folder();
    await payThrough(folder.write('signer.yaml', devConfig));
  });

  it('pays with a key in a token, whose sessions have threads', async () => {
    const hsm = createSoftHsm();
    try {
      hsm.makeKey({ label: 'payer', id: '01' });
      using folder = new Folder();
      folder.write('pin', hsm.pin);
      await payThrough(folder.write('signer.yaml', pkcs11Config(hsm)));
    } finally {
      hsm.remove();
    }
  });

  it.each(['aws-kms', 'gcp-kms'])('loads the provider %s', (provider) => {
    const config = join(root, `config/${provider}.yaml`);
    const { status, stdout } = runToEnd('config', 'check', '--config', config);
    expect(status).toBe(0);
    expect(stdout).toContain(`key from ${provider}`);
  });
});
