import { scryptSync } from 'node:crypto';
import { chmod, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { secp256k1 } from '@noble/curves/secp256k1';
import { keccak_256 } from '@noble/hashes/sha3';
import { describe, expect, test } from 'vitest';
import { plugin } from '../../../plugins/local-keystore/index.ts';
import {
  address,
  failureOf,
  gethLight,
  gethStandard,
  hex,
  live,
  makeWorkspace,
  official,
  password,
  privateKeyHex,
  standardName,
} from './support.ts';

const publicKeyOf = (privateKey: string) => hex(secp256k1.getPublicKey(privateKey, false));

describe('reading keystores', () => {
  test('opens the official scrypt vector', async () => {
    const workspace = await makeWorkspace(official.password);
    await workspace.write('key.json', official.scrypt);
    const provider = await workspace.open({ path: 'key.json' });
    expect(hex(await provider.getPublicKey(live))).toBe(publicKeyOf(official.privateKeyHex));
  });

  test('opens the official pbkdf2 vector', async () => {
    const workspace = await makeWorkspace(official.password);
    await workspace.write('key.json', official.pbkdf2);
    const provider = await workspace.open({ path: 'key.json' });
    expect(hex(await provider.getPublicKey(live))).toBe(publicKeyOf(official.privateKeyHex));
  });

  test.each([
    ['light', gethLight],
    ['standard', gethStandard],
  ])('opens a file that geth wrote with its %s parameters', async (_name, keystore) => {
    const workspace = await makeWorkspace();
    await workspace.write(standardName, keystore);
    const provider = await workspace.open();
    expect(hex(await provider.getPublicKey(live))).toBe(publicKeyOf(privateKeyHex));
  });

  test('takes member names in any case, as geth does', async () => {
    const workspace = await makeWorkspace();
    const { crypto, ...rest } = gethLight;
    await workspace.write('key.json', {
      ...rest,
      Crypto: { ...crypto, CipherParams: crypto.cipherparams },
    });
    const provider = await workspace.open({ path: 'key.json' });
    expect(hex(await provider.getPublicKey(live))).toBe(publicKeyOf(privateKeyHex));
  });

  test.each([
    ['scrypt by geth', gethStandard, password],
    ['scrypt of the official vector', official.scrypt, official.password],
    ['pbkdf2', manyRoundsOfPbkdf2(), 'any: the password is wrong for this many rounds'],
  ])('leaves the event loop free while it derives a key: %s', async (_name, keystore, secret) => {
    const workspace = await makeWorkspace(secret);
    await workspace.write('key.json', keystore);
    const { threadMicros, processMicros } = await measureCpu(() =>
      Promise.allSettled([workspace.open({ path: 'key.json' })]),
    );
    expect(threadMicros).toBeLessThan(processMicros / 3);
  });

  test('accepts a file without an address', async () => {
    const workspace = await makeWorkspace();
    await workspace.write('key.json', { ...gethLight, address: undefined });
    const provider = await workspace.open({
      path: 'key.json',
      address: `0x${address.toUpperCase()}`,
    });
    expect(hex(await provider.getPublicKey(live))).toBe(publicKeyOf(privateKeyHex));
  });

  test('warns when others than the owner may read the file, and only then', async () => {
    const workspace = await makeWorkspace();
    const path = await workspace.write('key.json', gethLight);
    await workspace.open({ path: 'key.json' });
    expect(workspace.log).toEqual([]);
    await chmod(path, 0o640);
    await workspace.open({ path: 'key.json' });
    expect(workspace.log).toEqual([
      { level: 'warn', message: expect.stringContaining('chmod 600') as string, fields: { path } },
    ]);
  });

  test('describes the key for an operator', async () => {
    const workspace = await makeWorkspace();
    const path = await workspace.write('key.json', gethLight);
    const provider = await workspace.open({ path: 'key.json' });
    expect(provider.keyRef).toBe(`local-keystore:path=${path}`);
    expect(await provider.describeKey?.(live)).toEqual({
      storage: 'file',
      path,
      kdf: 'scrypt n=4096 r=8 p=6',
      library: 'libsecp256k1',
      warning: expect.stringContaining('for development') as string,
    });
  });
});

describe('folders', () => {
  const otherName = 'UTC--2026-01-01T00-00-00.000Z--00000000000000000000000000000000000000aa';

  test('passes over files without the standard name', async () => {
    const workspace = await makeWorkspace();
    await workspace.write(standardName, gethLight);
    await workspace.write('password', password);
    await workspace.write(`${standardName}~`, '');
    const provider = await workspace.open();
    expect(provider.keyRef).toBe(`local-keystore:path=${join(workspace.folder, standardName)}`);
  });

  test('picks the file of the configured address', async () => {
    const workspace = await makeWorkspace();
    await workspace.write(standardName, gethLight);
    await workspace.write(otherName, gethLight);
    const provider = await workspace.open({ address: `0x${address}` });
    expect(provider.keyRef).toContain(standardName);
  });

  test('refuses to choose between several files and lists their addresses', async () => {
    const workspace = await makeWorkspace();
    await workspace.write(standardName, gethLight);
    await workspace.write(otherName, gethLight);
    const error = await failureOf(workspace.open());
    expect(error.code).toBe('KEY_AMBIGUOUS');
    expect(error.message).toContain(`0x${address}`);
    expect(error.message).toContain('0x00000000000000000000000000000000000000aa');
    expect(error.message).toContain('set address, or let path name the file');
  });

  test.each([{}, { address: `0x${address}` }])(
    'does not advise to set an address that two files have: %o',
    async (config) => {
      const workspace = await makeWorkspace();
      await workspace.write(standardName, gethLight);
      await workspace.write(standardName.replace('2026-11-20', '2026-11-21'), gethLight);
      const error = await failureOf(workspace.open(config));
      expect(error.code).toBe('KEY_AMBIGUOUS');
      expect(error.message).toContain('let path name the file');
      expect(error.message).not.toContain('set address');
    },
  );

  test.each([
    ['an empty folder', {}],
    ['an address that no file has', { address: `0x${'ab'.repeat(20)}` }],
  ])('says how to make a key: %s', async (_name, config) => {
    const workspace = await makeWorkspace();
    if ('address' in config) await workspace.write(standardName, gethLight);
    const error = await failureOf(workspace.open(config));
    expect(error.code).toBe('KEY_NOT_FOUND');
    expect(error.message).toContain(workspace.folder);
    expect(error.message).toContain('livepeer-hsm-signer keys new --config FILE');
  });
});

describe('refusals', () => {
  test.each(['missing.json', 'key.json/below-a-file'])(
    'refuses a path that does not exist: %s',
    async (path) => {
      const workspace = await makeWorkspace();
      await workspace.write('key.json', gethLight);
      const error = await failureOf(workspace.open({ path }));
      expect(error.code).toBe('KEY_NOT_FOUND');
      expect(error.message).toContain(join(workspace.folder, path));
      expect(error.message).toContain('livepeer-hsm-signer keys new --config FILE');
    },
  );

  test('refuses a wrong password', async () => {
    const workspace = await makeWorkspace('battery staple');
    const path = await workspace.write('key.json', gethLight);
    const error = await failureOf(workspace.open({ path: 'key.json' }));
    expect(error.code).toBe('KEY_ACCESS_DENIED');
    expect(error.message).toContain(path);
    expect(inspect(error, { depth: 9 })).not.toContain('battery staple');
  });

  test('refuses a file that was altered', async () => {
    const workspace = await makeWorkspace();
    const crypto = { ...gethLight.crypto, ciphertext: 'ee'.repeat(32) };
    await workspace.write('key.json', { ...gethLight, crypto });
    const error = await failureOf(workspace.open({ path: 'key.json' }));
    expect(error.code).toBe('KEY_ACCESS_DENIED');
  });

  test('refuses a file that this process may not read', async () => {
    const workspace = await makeWorkspace();
    const path = await workspace.write('key.json', gethLight);
    await chmod(path, 0);
    const error = await asOrdinaryUser(workspace.folder, () =>
      failureOf(workspace.open({ path: 'key.json' })),
    );
    expect(error.code).toBe('KEY_ACCESS_DENIED');
    expect(error.message).toContain(path);
  });

  test('refuses a path that the file system fails on', async () => {
    const workspace = await makeWorkspace();
    await symlink('loop', join(workspace.folder, 'loop'));
    const error = await failureOf(workspace.open({ path: 'loop' }));
    expect(error.code).toBe('PROVIDER_UNAVAILABLE');
  });

  test.each([
    ['a file far too large', JSON.stringify(gethLight).padEnd(65 * 1024)],
    ['a file that is not JSON, without quoting it', 'hunter2 is my password'],
    ['JSON that is not an object', 'null'],
  ])('refuses %s', async (_name, content) => {
    const workspace = await makeWorkspace();
    const path = await workspace.write('key.json', content);
    const error = await failureOf(workspace.open({ path: 'key.json' }));
    expect(error.code).toBe('KEY_UNSUITABLE');
    expect(error.message).toContain(path);
    expect(inspect(error, { depth: 9 })).not.toContain('hunter2');
  });

  test('refuses a device in place of a file', async () => {
    const workspace = await makeWorkspace();
    const error = await failureOf(workspace.open({ path: '/dev/zero' }));
    expect(error.code).toBe('KEY_UNSUITABLE');
  });

  const { crypto } = gethLight;
  const withScrypt = (params: object) => ({
    ...gethLight,
    crypto: { ...crypto, kdfparams: { ...crypto.kdfparams, ...params } },
  });
  const withPbkdf2 = (params: object) => ({
    ...official.pbkdf2,
    crypto: {
      ...official.pbkdf2.crypto,
      kdfparams: { ...official.pbkdf2.crypto.kdfparams, ...params },
    },
  });
  test.each([
    ['version', { ...gethLight, version: 1 }],
    ['address', { ...gethLight, address: 'nobody' }],
    ['crypto', { ...gethLight, crypto: undefined }],
    ['crypto.cipher', { ...gethLight, crypto: { ...crypto, cipher: 'aes-256-cbc' } }],
    ['crypto.ciphertext', { ...gethLight, crypto: { ...crypto, ciphertext: 'ab' } }],
    ['crypto.cipherparams.iv', { ...gethLight, crypto: { ...crypto, cipherparams: { iv: 'zz' } } }],
    ['crypto.mac', { ...gethLight, crypto: { ...crypto, mac: '' } }],
    ['crypto.kdf', { ...gethLight, crypto: { ...crypto, kdf: 'argon2' } }],
    ['crypto.kdfparams.salt', withScrypt({ salt: 'abc' })],
    ['crypto.kdfparams.dklen', withScrypt({ dklen: 16 })],
    ['crypto.kdfparams.n', withScrypt({ n: 4097 })],
    ['crypto.kdfparams.n', withScrypt({ n: 2 ** 21 })],
    ['crypto.kdfparams.n', withScrypt({ n: 2 ** 40 })],
    ['crypto.kdfparams.r', withScrypt({ r: 2 ** 20 })],
    ['crypto.kdfparams.p', withScrypt({ p: 2 ** 20 })],
    ['crypto.kdfparams.p', withScrypt({ n: 2 ** 18, p: 32 })],
    ['crypto.kdfparams.c', withPbkdf2({ c: 2 ** 31 })],
    ['crypto.kdfparams.prf', withPbkdf2({ prf: 'hmac-sha512' })],
  ])('refuses a file whose member %s is wrong, naming it', async (member, keystore) => {
    const workspace = await makeWorkspace();
    const path = await workspace.write('key.json', keystore);
    const error = await failureOf(workspace.open({ path: 'key.json' }));
    expect(error.code).toBe('KEY_UNSUITABLE');
    expect(error.message).toContain(path);
    expect(error.message).toContain(` ${member}: `);
  });

  test('refuses a file whose address is not that of its key', async () => {
    const workspace = await makeWorkspace();
    await workspace.write('key.json', { ...gethLight, address: 'ab'.repeat(20) });
    const error = await failureOf(workspace.open({ path: 'key.json' }));
    expect(error.code).toBe('KEY_UNSUITABLE');
    expect(error.message).toContain(`0x${'ab'.repeat(20)}`);
    expect(error.message).toContain(`0x${address}`);
  });

  test('refuses a file whose key is not that of the configured address', async () => {
    const workspace = await makeWorkspace();
    await workspace.write('key.json', gethLight);
    const config = { path: 'key.json', address: `0x${'ab'.repeat(20)}` };
    const error = await failureOf(workspace.open(config));
    expect(error.code).toBe('KEY_UNSUITABLE');
    expect(error.message).toContain(`0x${'ab'.repeat(20)}`);
  });

  test('refuses a file whose content is no private key', async () => {
    const workspace = await makeWorkspace();
    // The key 0, encrypted like gethLight: the cipher is a stream, so the plain text is XORed away.
    const keystream = xor(crypto.ciphertext, privateKeyHex);
    const derivedKey = scryptSync(password, Buffer.from(crypto.kdfparams.salt, 'hex'), 32, {
      N: 4096,
      r: 8,
      p: 6,
    });
    const mac = hex(
      keccak_256(Buffer.concat([derivedKey.subarray(16), Buffer.from(keystream, 'hex')])),
    );
    await workspace.write('key.json', {
      ...gethLight,
      crypto: { ...crypto, ciphertext: keystream, mac },
    });
    const error = await failureOf(workspace.open({ path: 'key.json' }));
    expect(error.code).toBe('KEY_UNSUITABLE');
    expect(error.message).toContain('no secp256k1 private key');
  });
});

describe('configuration', () => {
  const problemsOf = (config: unknown) => {
    const result = plugin.configSchema.safeParse(config);
    return result.success ? [] : result.error.issues.map(({ path }) => path.join('.'));
  };

  test('takes a path, a password reference and an address', () => {
    expect(problemsOf({ path: 'keys', password: 'file:/run/secrets/pw' })).toEqual([]);
    expect(problemsOf({ path: 'keys', password: 'env:PW', address: `0x${address}` })).toEqual([]);
  });

  test.each([
    ['path', { path: '', password: 'env:PW' }],
    ['password', { path: 'keys', password: 'hunter2' }],
    ['address', { path: 'keys', password: 'env:PW', address: '0x12' }],
    ['address', { path: 'keys', password: 'env:PW', address: 0x12 }],
    ['', { path: 'keys', password: 'env:PW', pasword: 'env:PW' }],
  ])('refuses a wrong or unknown setting: "%s"', (setting, config) => {
    expect(problemsOf(config)).toEqual([setting]);
  });

  test('does not repeat a password that was written in place of a reference', () => {
    const result = plugin.configSchema.safeParse({ path: 'keys', password: 'hunter2' });
    expect(inspect(result, { depth: 9 })).not.toContain('hunter2');
  });
});

function xor(left: string, right: string): string {
  const rightBytes = Buffer.from(right, 'hex');
  return hex(Buffer.from(left, 'hex').map((byte, index) => byte ^ (rightBytes[index] ?? 0)));
}

/** The superuser may read everything, so the test gives up that right for a moment. */
async function asOrdinaryUser<Result>(
  folder: string,
  action: () => Promise<Result>,
): Promise<Result> {
  if (process.geteuid?.() !== 0) return action();
  await chmod(folder, 0o755);
  process.seteuid?.(65534);
  try {
    return await action();
  } finally {
    process.seteuid?.(0);
  }
}

function manyRoundsOfPbkdf2() {
  const { crypto } = official.pbkdf2;
  const kdfparams = { ...crypto.kdfparams, c: 2_000_000 };
  return { ...official.pbkdf2, crypto: { ...crypto, kdfparams } };
}

/** The CPU time, in microseconds, that the action takes on this thread, and on all of the process's. */
async function measureCpu(action: () => Promise<unknown>) {
  const threadStart = process.threadCpuUsage();
  const processStart = process.cpuUsage();
  await action();
  const thread = process.threadCpuUsage(threadStart);
  const all = process.cpuUsage(processStart);
  return { threadMicros: thread.user + thread.system, processMicros: all.user + all.system };
}
