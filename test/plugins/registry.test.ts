import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { portVersion } from '../../src/keys/provider.ts';
import { bundledProviders, loadProviderPlugin } from '../../plugins/registry.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The vendor's package behind each plugin. */
const vendorPackages: Readonly<Record<string, string>> = {
  'aws-kms': '@aws-sdk/client-kms',
  'gcp-kms': '@google-cloud/kms',
  pkcs11: 'pkcs11js',
};

const traceLoads = `
import { registerHooks } from 'node:module';
const loaded = [];
registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
process.on('exit', () => process.stdout.write('\\n' + JSON.stringify(loaded)));
`;

/** Runs a program in a process of its own and gives the URLs of every module that it loaded, by import or require. */
async function modulesLoadedBy(program: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      ...['--import', `data:text/javascript,${encodeURIComponent(traceLoads)}`],
      ...['--input-type=module', '--eval', program],
    ],
    { cwd: root, timeout: 120_000 },
  );
  return JSON.parse(stdout.slice(stdout.lastIndexOf('\n') + 1)) as string[];
}

function pluginsAmong(urls: readonly string[]): string[] {
  const names = urls.flatMap((url) => /\/plugins\/([^/]+)\//.exec(url)?.[1] ?? []);
  return [...new Set(names)];
}

function vendorsAmong(urls: readonly string[]): string[] {
  return Object.entries(vendorPackages)
    .filter(([, name]) => urls.some((url) => url.includes(`/node_modules/${name}/`)))
    .map(([plugin]) => plugin);
}

const load = (module: string) => `await import(${JSON.stringify(`${root}${module}`)})`;

describe('the registry of key providers', () => {
  it('knows the four that come with the product', () => {
    expect([...bundledProviders].sort()).toEqual([
      'aws-kms',
      'gcp-kms',
      'local-keystore',
      'pkcs11',
    ]);
  });

  it.each(bundledProviders)(
    'loads the plugin %s, written for this port, under its own name',
    async (name) => {
      await expect(loadProviderPlugin(name)).resolves.toMatchObject({ name, portVersion });
    },
  );

  it.each(['nope', '', 'LOCAL-KEYSTORE', 'local-keystore ', 'no-such-package-of-ours/plugin'])(
    'answers PROVIDER_MISSING for the unknown provider %j and names those there are',
    async (name) => {
      await expect(loadProviderPlugin(name)).rejects.toMatchObject({
        name: 'ProviderError',
        code: 'PROVIDER_MISSING',
        message: expect.stringContaining('local-keystore') as string,
      });
    },
  );

  it.each([
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    './nope.ts',
    '/nope/nope.ts',
    '../..',
  ])('answers PROVIDER_MISSING, and nothing else, for %j', async (name) => {
    await expect(loadProviderPlugin(name)).rejects.toMatchObject({
      name: 'ProviderError',
      code: 'PROVIDER_MISSING',
    });
  });
});

describe('the modules a process loads', () => {
  it('are all seen by this test, imported or required', async () => {
    const loaded = await modulesLoadedBy(`
      ${load('src/keys/signature.ts')};
      import { createRequire } from 'node:module';
      createRequire(${JSON.stringify(`${root}package.json`)})('pkcs11js');
      ${load('node_modules/@aws-sdk/client-kms/dist-cjs/index.js')};
    `);
    expect(loaded.some((url) => url.endsWith('/src/keys/signature.ts'))).toBe(true);
    expect(loaded.some((url) => url.endsWith('/secp256k1/bindings.js'))).toBe(true);
    expect(vendorsAmong(loaded).sort()).toEqual(['aws-kms', 'pkcs11']);
  });

  it('hold no plugin and no vendor’s package before the configuration is read', async () => {
    const loaded = await modulesLoadedBy(load('src/main.ts'));
    expect(loaded.some((url) => url.endsWith('/src/main.ts'))).toBe(true);
    expect(pluginsAmong(loaded)).toEqual([]);
    expect(vendorsAmong(loaded)).toEqual([]);
  });

  it('hold the local keystore alone once the developer’s configuration is read', async () => {
    const loaded = await modulesLoadedBy(`
      ${load('src/main.ts')};
      const { loadConfig } = ${load('src/config/load.ts')};
      await loadConfig(${JSON.stringify(`${root}config/dev.yaml`)}, {});
    `);
    expect(pluginsAmong(loaded)).toEqual(['local-keystore']);
    expect(vendorsAmong(loaded)).toEqual([]);
    expect((await loadConfig(`${root}config/dev.yaml`, {})).settings).toBeDefined();
  });

  it.each(bundledProviders)('hold no other plugin than %s when that one is named', async (name) => {
    const loaded = await modulesLoadedBy(`
      const { loadProviderPlugin } = ${load('plugins/registry.ts')};
      await loadProviderPlugin(${JSON.stringify(name)});
    `);
    expect(pluginsAmong(loaded)).toEqual([name]);
    expect(vendorsAmong(loaded).filter((vendor) => vendor !== name)).toEqual([]);
  });
});
