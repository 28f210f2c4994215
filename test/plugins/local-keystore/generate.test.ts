import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  failureOf,
  gethLight,
  hex,
  live,
  makeWorkspace,
  password,
  standardName,
} from './support.ts';

const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);

describe('making a key', () => {
  test('makes a key that it can open again', async () => {
    const workspace = await makeWorkspace();
    const generated = await workspace.generate();
    const provider = await workspace.open();
    expect(provider.keyRef).toBe(generated.keyRef);
    expect(hex(await provider.getPublicKey(live))).toBe(hex(generated.publicKey));
    expect(workspace.log).toEqual([]);
  });

  test("writes geth's format with geth's light parameters under geth's name", async () => {
    const workspace = await makeWorkspace();
    await workspace.generate();
    const names = await readdir(workspace.folder);
    expect(names).toEqual([
      expect.stringMatching(/^UTC--\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z--[0-9a-f]{40}$/),
    ]);
    const [name = ''] = names;
    const written: unknown = JSON.parse(await readFile(join(workspace.folder, name), 'utf8'));
    const hexOf = (bytes: number) =>
      expect.stringMatching(new RegExp(`^[0-9a-f]{${bytes * 2}}$`)) as string;
    expect(written).toEqual({
      address: name.slice(-40),
      crypto: {
        cipher: 'aes-128-ctr',
        ciphertext: hexOf(32),
        cipherparams: { iv: hexOf(16) },
        kdf: 'scrypt',
        kdfparams: { dklen: 32, n: 4096, p: 6, r: 8, salt: hexOf(32) },
        mac: hexOf(32),
      },
      id: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/) as string,
      version: 3,
    });
  });

  test('makes missing folders, closed to others, with a file that only its owner may use', async () => {
    const workspace = await makeWorkspace();
    await workspace.generate({ path: 'data/keystore' });
    const folder = join(workspace.folder, 'data', 'keystore');
    const [name = ''] = await readdir(folder);
    expect(await modeOf(join(workspace.folder, 'data'))).toBe('700');
    expect(await modeOf(folder)).toBe('700');
    expect(await modeOf(join(folder, name))).toBe('600');
  });

  test('takes a path that ends in .json for the file itself', async () => {
    const workspace = await makeWorkspace();
    const { keyRef, publicKey } = await workspace.generate({ path: 'payer.json' });
    expect(keyRef).toBe(`local-keystore:path=${join(workspace.folder, 'payer.json')}`);
    expect(await readdir(workspace.folder)).toEqual(['payer.json']);
    const provider = await workspace.open({ path: 'payer.json' });
    expect(hex(await provider.getPublicKey(live))).toBe(hex(publicKey));
  });

  test('makes a different key each time', async () => {
    const workspace = await makeWorkspace();
    const first = await workspace.generate({ path: 'first' });
    const second = await workspace.generate({ path: 'second' });
    expect(hex(first.publicKey)).not.toBe(hex(second.publicKey));
  });

  test.each([
    ['a folder that holds a keystore', standardName, '.'],
    ['a folder that holds anything else', 'notes.txt', '.'],
    ['a file that exists', 'payer.json', 'payer.json'],
  ])('refuses %s and leaves it alone', async (_name, name, path) => {
    const workspace = await makeWorkspace();
    const file = await workspace.write(name, gethLight);
    const error = await failureOf(workspace.generate({ path }));
    expect(error.code).toBe('KEY_ALREADY_EXISTS');
    expect(error.message).toContain(file);
    expect(await readdir(workspace.folder)).toEqual([name]);
    expect(await readFile(file, 'utf8')).toBe(JSON.stringify(gethLight));
  });

  test('keeps the first of two files written at the same time', async () => {
    const workspace = await makeWorkspace();
    const results = await Promise.allSettled([
      workspace.generate({ path: 'payer.json' }),
      workspace.generate({ path: 'payer.json' }),
    ]);
    const [made, ...others] = results.filter(({ status }) => status === 'fulfilled');
    const refused = results.filter(({ status }) => status === 'rejected');
    expect(others).toEqual([]);
    expect(refused).toEqual([
      {
        status: 'rejected',
        reason: expect.objectContaining({ code: 'KEY_ALREADY_EXISTS' }) as Error,
      },
    ]);
    const provider = await workspace.open({ path: 'payer.json' });
    expect(made).toMatchObject({ value: { publicKey: await provider.getPublicKey(live) } });
    expect(await readdir(workspace.folder)).toEqual(['payer.json']);
  });

  test.each([
    ['an address in the configuration', { address: `0x${'ab'.repeat(20)}` }],
    ['an address in the file name', { path: standardName }],
  ])('refuses to promise %s', async (_name, config) => {
    const workspace = await makeWorkspace();
    const error = await failureOf(workspace.generate(config));
    expect(error.code).toBe('KEY_UNSUITABLE');
    expect(await readdir(workspace.folder)).toEqual([]);
  });

  test('ignores hidden files in an otherwise empty folder', async () => {
    const workspace = await makeWorkspace();
    await workspace.write('.gitkeep', '');
    await workspace.generate();
    expect(await readdir(workspace.folder)).toHaveLength(2);
  });

  test('writes nothing when the password can not be read', async () => {
    const workspace = await makeWorkspace();
    await mkdir(join(workspace.folder, 'keystore'));
    const attempt = workspace.generate({ path: 'keystore', password: 'env:ABSENT' });
    await expect(attempt).rejects.toThrow('env:ABSENT');
    expect(await readdir(join(workspace.folder, 'keystore'))).toEqual([]);
  });

  test('does not write the password', async () => {
    const workspace = await makeWorkspace();
    await workspace.generate({ path: 'payer.json' });
    expect(await readFile(join(workspace.folder, 'payer.json'), 'utf8')).not.toContain(password);
  });
});
