import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  address,
  gethLight,
  password as gethPassword,
  privateKeyHex,
} from '../plugins/local-keystore/support.ts';
import { type Ended, Folder, devConfig, run } from './cli.ts';

const password = 'the new password';
const checksummed = '0x2c7536E3605D9C16a7a3D7b1898e529396a65c23';
const local = devConfig.replace('    generateIfMissing: true\n', '');

/** A folder with a configuration whose key is yet to come. */
function prepare(section = local): Folder & { readonly config: string } {
  const folder = new Folder();
  folder.write('password', `${password}\n`);
  return Object.assign(folder, { config: folder.write('signer.yaml', section) });
}

const importKey = (config: string, ...args: string[]): Promise<Ended> =>
  run(['keys', 'import', '-c', config, ...args], { GETH_PASSWORD: gethPassword });

function storedFile(folder: Folder): string {
  const [name = ''] = readdirSync(join(folder.path, 'keystore'));
  return join(folder.path, 'keystore', name);
}

describe('keys import', () => {
  it.each([
    {
      what: 'a keystore that geth wrote',
      write: (folder: Folder) => [
        '--keystore',
        folder.write('geth.json', JSON.stringify(gethLight)),
        '--keystore-password',
        'env:GETH_PASSWORD',
      ],
    },
    {
      what: 'a file with the key in hex',
      write: (folder: Folder) => [
        '--private-key-file',
        folder.write('key.hex', `0x${privateKeyHex}\n`),
      ],
    },
  ])('copies the key of $what, encrypted with the configured password', async ({ write }) => {
    using folder = prepare();
    const imported = await importKey(folder.config, ...write(folder));
    const file = storedFile(folder);
    expect(imported).toEqual({
      status: 0,
      signal: null,
      stderr: '',
      stdout: `imported local-keystore:path=${file}\naddress ${checksummed}\n`,
    });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(file.endsWith(`--${address}`)).toBe(true);
    expect(readFileSync(file, 'utf8')).not.toContain(privateKeyHex);

    const checked = await run(['keys', 'show', '-c', folder.config]);
    expect(checked.stdout).toContain(`address ${checksummed}`);
  });

  it('refuses a key file that holds no key, and prints nothing of it', async () => {
    using folder = prepare();
    const key = folder.write('key.hex', privateKeyHex.slice(1));
    const refused = await importKey(folder.config, '--private-key-file', key);
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(refused.stderr).toBe(
      `livepeer-hsm-signer: ${key} holds no private key; expected 64 hex digits and nothing else [KEY_UNSUITABLE]\n`,
    );
  });

  it.each(['', '0x'])('refuses a key where its file is to be named: %s…', async (prefix) => {
    using folder = prepare();
    const key = prefix + privateKeyHex;
    const { status, stdout, stderr } = await importKey(folder.config, '--private-key-file', key);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain('--private-key-file: expected the path of a file');
    expect(stderr).not.toContain(privateKeyHex);
  });

  it('makes no file, also where keys are made on first use', async () => {
    using folder = prepare(devConfig);
    const absent = join(folder.path, 'absent');
    const [key, keystore, password] = await Promise.all([
      importKey(folder.config, '--private-key-file', absent),
      importKey(folder.config, '--keystore', absent),
      importKey(folder.config, '--keystore', absent, '--keystore-password', 'env:ABSENT'),
    ]);
    const says = (text: string) => expect.stringContaining(text) as string;
    expect(key).toMatchObject({
      status: 2,
      stderr: says(`--private-key-file: secret file ${absent} can't be read`),
    });
    expect(keystore).toMatchObject({
      status: 1,
      stderr: says(`there is no keystore at ${absent}; correct --keystore [KEY_NOT_FOUND]`),
    });
    expect(password).toMatchObject({
      status: 2,
      stderr: says('--keystore-password: environment variable ABSENT is not set'),
    });
    expect(readdirSync(folder.path)).toEqual(['password', 'signer.yaml']);
  });

  it.each([
    { what: 'nothing', args: [] },
    { what: 'both', args: ['--keystore', 'a', '--private-key-file', 'b'] },
  ])('ends with 2 when given $what to import', async ({ args }) => {
    using folder = prepare();
    const wrong = await importKey(folder.config, ...args);
    expect(wrong).toMatchObject({ status: 2, stdout: '' });
    expect(wrong.stderr).toContain('give either --keystore or --private-key-file');
  });

  it('says which providers take no keys in', async () => {
    using folder = prepare(
      local.replace(
        /keys:[^]*generateIfMissing: true\n|keys:[^]*password: file:password\n/,
        'keys:\n  - { provider: gcp-kms, keyVersion: "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1" }\n',
      ),
    );
    const key = folder.write('key.hex', privateKeyHex);
    const refused = await importKey(folder.config, '--private-key-file', key);
    expect(refused.status).toBe(2);
    expect(refused.stderr).toContain("key provider gcp-kms can't import keys");
  });
});
