import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type KeyToImport, Secret } from '../../../src/keys/provider.ts';
import {
  type Workspace,
  address,
  failureOf,
  gethLight,
  hex,
  live,
  makeWorkspace,
  official,
  password,
  privateKeyHex,
} from './support.ts';

const raw = (text: string): KeyToImport => ({
  kind: 'private-key',
  path: '/elsewhere/key',
  privateKey: new Secret(text),
});

/** A keystore beside the configured place. */
async function keystore(
  workspace: Workspace,
  content: unknown,
  secret?: string,
): Promise<KeyToImport> {
  const path = await workspace.write('elsewhere.json', content);
  return {
    kind: 'keystore',
    path,
    password: secret === undefined ? undefined : new Secret(secret),
  };
}

describe('importing a key', () => {
  it.each([
    ['64 hex digits', privateKeyHex],
    ['0x before them', `0x${privateKeyHex}`],
    ['upper case and a line break', `${privateKeyHex.toUpperCase()}\r\n`],
  ])('takes a raw key: %s', async (_, text) => {
    const workspace = await makeWorkspace();
    const { keyRef, publicKey } = await workspace.import(raw(text), { path: 'keys' });
    const [name = ''] = await readdir(join(workspace.folder, 'keys'));
    expect(keyRef).toBe(`local-keystore:path=${join(workspace.folder, 'keys', name)}`);
    expect(name).toMatch(new RegExp(`^UTC--.+--${address}$`));
    const opened = await workspace.open({ path: 'keys' });
    expect(await opened.getPublicKey(live)).toEqual(publicKey);
  });

  it('takes a keystore with a password of its own, and encrypts it with the configured one', async () => {
    const workspace = await makeWorkspace('another password');
    const key = await keystore(workspace, gethLight, password);
    const { publicKey } = await workspace.import(key, { path: 'keys/payer.json' });
    expect(await readFile(join(workspace.folder, 'elsewhere.json'), 'utf8')).toBe(
      JSON.stringify(gethLight),
    );
    const opened = await workspace.open({ path: 'keys/payer.json', address });
    expect(await opened.getPublicKey(live)).toEqual(publicKey);
  });

  it('opens a keystore with the configured password where none is named', async () => {
    const workspace = await makeWorkspace(official.password);
    const key = await keystore(workspace, official.pbkdf2);
    const { publicKey } = await workspace.import(key, { path: 'keys' });
    expect(hex(publicKey)).toHaveLength(130);
  });

  it('replaces nothing', async () => {
    const workspace = await makeWorkspace();
    const path = await workspace.write('payer.json', gethLight);
    const error = await failureOf(workspace.import(raw('11'.repeat(32)), { path: 'payer.json' }));
    expect(error.code).toBe('KEY_ALREADY_EXISTS');
    expect(await readFile(path, 'utf8')).toBe(JSON.stringify(gethLight));
  });

  it.each([
    ['too short', privateKeyHex.slice(1)],
    ['too long', `${privateKeyHex}0`],
    ['two keys', `${privateKeyHex}\n${privateKeyHex}`],
    ['no hex', `g${privateKeyHex.slice(1)}`],
    ['the number 0', '0'.repeat(64)],
    ['the order of the curve', 'fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141'],
  ])('refuses a raw key that is %s, and quotes nothing of it', async (_, text) => {
    const workspace = await makeWorkspace();
    const error = await failureOf(workspace.import(raw(text), { path: 'keys' }));
    expect(error.code).toBe('KEY_UNSUITABLE');
    expect(error.message).toContain('/elsewhere/key');
    expect(error.message).not.toContain(text.slice(0, 16));
    expect(await readdir(workspace.folder)).toEqual([]);
  });

  it('refuses a keystore that the password does not open', async () => {
    const workspace = await makeWorkspace();
    const key = await keystore(workspace, gethLight, 'not the password');
    const error = await failureOf(workspace.import(key, { path: 'keys' }));
    expect(error.code).toBe('KEY_ACCESS_DENIED');
    expect(error.message).not.toContain('not the password');
  });

  it('refuses a keystore that states another address than its key has', async () => {
    const workspace = await makeWorkspace();
    const key = await keystore(workspace, { ...gethLight, address: '11'.repeat(20) });
    const error = await failureOf(workspace.import(key, { path: 'keys' }));
    expect(error.code).toBe('KEY_UNSUITABLE');
  });

  it('refuses a key that has not the configured address', async () => {
    const workspace = await makeWorkspace();
    const config = { path: 'keys', address: '11'.repeat(20) };
    const error = await failureOf(workspace.import(raw(privateKeyHex), config));
    expect(error.message).toContain(`the key of /elsewhere/key has the address 0x${address}`);
    expect(await readdir(workspace.folder)).toEqual([]);
  });
});
