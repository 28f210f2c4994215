import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { plugin } from '../../../plugins/local-keystore/index.ts';
import { type ProviderContext, Secret } from '../../../src/keys/provider.ts';
import { gethLight, password } from './support.ts';

const calm = { signal: new AbortController().signal };
let path: string;

beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), 'keystore-password-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  path = join(folder, 'key.json');
  writeFileSync(path, JSON.stringify(gethLight), { mode: 0o600 });
});

/** What the plugin is given where the secret is `text`. */
function contextWith(text: string): ProviderContext {
  return {
    resolvePath: (given) => given,
    readSecret: () => new Secret(text),
    log: () => undefined,
  };
}

const open = (section: object, text: string) =>
  plugin.open(plugin.configSchema.parse({ path, ...section }), contextWith(text));

describe('a password', () => {
  it.each([
    ` ${password}`,
    `${password}\n\n`,
    `${password}\r\n\r\n`,
    `\t${password} \n`,
    `\uFEFF${password}`,
    `\uFEFF${password}\r`,
    `\u00A0${password}`,
  ])('opens the key in spite of what surrounds it: %j', async (text) => {
    const provider = await open({ password: 'env:PASSWORD' }, text);
    expect(await provider.getPublicKey(calm)).toHaveLength(65);
    await provider.close();
  });

  it('with white space of its own opens its key as it is', async () => {
    const spaced = contextWith(`  ${password} `);
    rmSync(path);
    const config = plugin.configSchema.parse({ path, password: 'env:PASSWORD' });
    const made = await plugin.generateKey?.(config, spaced);
    const provider = await plugin.open(config, spaced);
    expect(await provider.getPublicKey(calm)).toEqual(made?.publicKey);
    await provider.close();
    await expect(plugin.open(config, contextWith(password))).rejects.toMatchObject({
      code: 'KEY_ACCESS_DENIED',
    });
  });

  it('that is empty is stated by emptyPassword: true', async () => {
    rmSync(path);
    const config = plugin.configSchema.parse({ path, emptyPassword: true });
    const made = await plugin.generateKey?.(config, contextWith('never read'));
    const provider = await plugin.open(config, contextWith('never read'));
    expect(await provider.getPublicKey(calm)).toEqual(made?.publicKey);
    await provider.close();
  });

  it.each([{}, { password: 'env:PASSWORD', emptyPassword: true }, { emptyPassword: false }])(
    'is either named or stated to be empty: %j is refused',
    (section) => {
      expect(plugin.configSchema.safeParse({ path, ...section }).error?.issues).toMatchObject([
        { path: ['password'] },
      ]);
    },
  );
});
