import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { Folder, root } from '../cli/cli.ts';
import { copiedFiles, readStages } from './dockerfile.ts';

const folder = new Folder();
const arguments_ = { PROVIDERS: 'aws-kms gcp-kms pkcs11' };

/** These change the operating system; scripts.test.ts and image.test.ts look at what they rely on. */
const isForImagesOnly = (text: string): boolean => /install-p11-kit|useradd/.test(text);

afterAll(() => folder[Symbol.dispose](), 600_000);

const withoutKeys = [
  {
    provider: 'aws-kms',
    environment: {
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    },
    says: 'no AWS credentials were found',
  },
  {
    provider: 'gcp-kms',
    environment: {
      LIVEPEER_HSM_SIGNER__KEYS__0__ENDPOINT: '127.0.0.1:1',
      LIVEPEER_HSM_SIGNER__KEYS__0__INSECURE: 'true',
    },
    says: '[PROVIDER_UNAVAILABLE]',
  },
  {
    provider: 'pkcs11',
    environment: { LIVEPEER_HSM_SIGNER__KEYS__0__PIN: 'env:HOME' },
    says: "the PKCS#11 library /opt/vendor/lib/libpkcs11.so can't be loaded",
  },
];

// What `docker build` does with COPY and RUN, in a folder for each stage's /app instead of a container. It needs the network.
it('the Dockerfile’s steps give a program that runs, with the packages of all key providers and no others', () => {
  const appOf = (stage: string): string => join(folder.path, stage);
  for (const stage of readStages('Dockerfile')) {
    const app = appOf(/ AS (\w+)$/.exec(stage[0]?.text ?? '')?.[1] ?? 'final');
    mkdirSync(app);
    for (const instruction of stage) {
      const { name, text } = instruction;
      if (name === 'RUN' && !isForImagesOnly(text)) {
        const { status, stdout, stderr } = spawnSync('sh', ['-c', text], {
          cwd: app,
          env: { ...process.env, ...arguments_ },
          encoding: 'utf8',
        });
        expect(status, `${text}\n${stdout}${stderr}`).toBe(0);
      }
      if (name !== 'COPY' || text.endsWith(' /tmp/')) continue;
      const target = text.split(/\s+/).at(-1) ?? '';
      const [, from, source = ''] = /^--from=(\w+) \/app\/(\S+)/.exec(text) ?? [];
      const sources = from === undefined ? copiedFiles(instruction) : [source];
      const origin = from === undefined ? root : appOf(from);
      for (const each of sources) {
        const isFolderTarget = target.endsWith('/');
        cpSync(
          join(origin, each),
          join(app, isFolderTarget ? join(target, basename(each)) : target),
          {
            recursive: true,
          },
        );
      }
    }
  }
  const app = appOf('final');
  const run = (args: readonly string[], environment: Record<string, string> = {}) =>
    spawnSync(process.execPath, [join(app, 'dist/src/cli/livepeer-hsm-signer.js'), ...args], {
      cwd: app,
      env: { ...process.env, ...environment },
      encoding: 'utf8',
    });
  expect(run(['--help'])).toMatchObject({ status: 0, stderr: '' });
  // each gets past the loading of its package, and fails for want of what it needs next
  for (const { provider, environment, says } of withoutKeys) {
    const config = join(root, `config/${provider}.yaml`);
    expect(run(['config', 'check', '--config', config])).toMatchObject({ status: 0, stderr: '' });
    expect(run(['keys', 'show', '--config', config], environment).stderr).toContain(says);
  }
  const modules = readdirSync(join(app, 'node_modules'), { recursive: true, encoding: 'utf8' });
  const has = (name: string): boolean => modules.includes(join(name, 'package.json'));
  expect(
    ['@aws-sdk/client-kms', '@google-cloud/kms', 'pkcs11js'].filter((name) => !has(name)),
  ).toEqual([]);
  expect(modules).toContain('pkcs11js/build/Release/pkcs11.node');
  expect(['vitest', 'typescript', 'eslint', '@foundry-rs/anvil'].filter(has)).toEqual([]);
});
