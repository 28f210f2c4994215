import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Cli, devConfig, Folder, root, run } from '../cli/cli.ts';
import { GatewaySession } from '../gateway/gateway-session.ts';
import { SigningService } from '../fixtures/plugins/signing-service.ts';
import { startSandboxServer } from '../sandbox-orchestrator/server.ts';
import { SandboxWorld } from '../sandbox-orchestrator/world.ts';
import { vectors } from '../vectors/vectors.ts';
import { createRandom } from '../support/random.ts';

const random = createRandom('orchestrator of the example plugin');

const document = readFileSync(join(root, 'docs/plugins.md'), 'utf8');
const example = readFileSync(join(root, 'examples/key-plugin.ts'), 'utf8');
const [pluginInDocument = '', suiteInDocument = ''] = [
  ...document.matchAll(/^```ts\n(.*?)^```$/gms),
].map(([, code]) => code ?? '');

const loader = join(root, 'test/fixtures/plugins/load-configs.ts');
const token = 'token-of-the-test-service';
const checksumAddress = '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266';

/** A plugin whose members may be replaced by the source of others. */
function pluginSource(members: Readonly<Record<string, string>> = {}): string {
  const all = {
    portVersion: '1',
    name: "'minimal'",
    configSchema: '{ safeParse: (data) => ({ success: true, data }) }',
    open: '() => { throw new Error() }',
    ...members,
  };
  const source = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
  return `export const plugin = { ${source.join(', ')} };\n`;
}

/** The configuration of a key; `fields` are lines of its section. */
function configOf(provider: string, ...fields: readonly string[]): string {
  const chain = devConfig.slice(devConfig.indexOf('chain:'));
  const lines = [`- provider: ${JSON.stringify(provider)}`, ...fields.map((field) => `  ${field}`)];
  return `server: { listen: "127.0.0.1:0" }\nkeys:\n  ${lines.join('\n  ')}\n${chain}`;
}

/** A folder far from the program's node_modules, removed after the test. */
let folder: Folder;

beforeEach(() => {
  folder = new Folder();
});

afterEach(() => folder[Symbol.dispose]());

function check(provider: string, ...fields: readonly string[]) {
  return run([
    'config',
    'check',
    '--config',
    folder.write('signer.yaml', configOf(provider, ...fields)),
  ]);
}

function writePackage(name: string, manifest: object, source: string): void {
  mkdirSync(join(folder.path, 'node_modules', name), { recursive: true });
  folder.write(`node_modules/${name}/package.json`, JSON.stringify({ name, ...manifest }));
  folder.write(`node_modules/${name}/index.js`, source);
}

describe('a plugin is loaded', () => {
  it("from a path that starts at the configuration file's folder", async () => {
    folder.write('plugin.ts', `type Unused = string;\n${pluginSource()}`);
    const { status, stdout, stderr } = await check('./plugin.ts');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('key from minimal');
  });

  it('from an absolute path', async () => {
    const { status, stdout } = await check(folder.write('plugin.mjs', pluginSource()));
    expect(status).toBe(0);
    expect(stdout).toContain('key from minimal');
  });

  it('from an npm package beside the configuration file, as import finds it', async () => {
    const manifest = { type: 'module', exports: { '.': { import: './index.js' } } };
    writePackage('acme-key-provider', manifest, pluginSource());
    const { status, stdout, stderr } = await check('acme-key-provider');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('key from minimal');
  });

  it('from an npm package that is installed with the program, when there is none beside the file', async () => {
    const { stderr } = await check('yaml');
    expect(stderr).toContain('keys.0.provider: key provider yaml does not export a "plugin"');
    writePackage('yaml', { type: 'module', exports: './index.js' }, pluginSource());
    const { stdout } = await check('yaml');
    expect(stdout).toContain('key from minimal');
  });

  it('only when the configuration names it', async () => {
    const marker = join(folder.path, 'marker');
    folder.write(
      'plugin.mjs',
      `import { writeFileSync } from 'node:fs';\nwriteFileSync(${JSON.stringify(marker)}, '');\n${pluginSource()}`,
    );
    folder.write('password', 'secret');
    const section = ['path: keystore', 'password: file:password', 'generateIfMissing: true'];
    expect((await check('local-keystore', ...section)).status).toBe(0);
    expect(existsSync(marker)).toBe(false);
    expect((await check('./plugin.mjs')).status).toBe(0);
    expect(existsSync(marker)).toBe(true);
  });
});

describe('a configuration is refused', () => {
  const refused: readonly {
    readonly when: string;
    readonly provider?: string;
    readonly source?: string;
    readonly says: string | RegExp;
  }[] = [
    {
      when: 'the file is missing',
      provider: './absent.ts',
      says: /key provider \.\/absent\.ts: there is no file \S+\/absent\.ts; correct the path/,
    },
    {
      when: 'nobody knows the name',
      provider: 'aws-kmz',
      says: /there is no key provider aws-kmz: it is neither one of local-keystore, pkcs11, aws-kms, gcp-kms nor an npm package that is installed; correct it, install the package/,
    },
    {
      when: 'the name is one that every object has',
      provider: 'constructor',
      says: 'there is no key provider constructor',
    },
    {
      when: 'the name is one of Node itself',
      provider: 'node:fs',
      says: 'this is no name of a key provider',
    },
    {
      when: 'the module throws',
      source: "throw new Error('no libacme.so');",
      says: "key provider ./plugin-4.mjs can't be loaded: no libacme.so; correct the plugin, or install what it imports",
    },
    {
      when: 'the module imports what is not installed',
      source: "import 'acme-sdk';",
      says: /key provider \.\/plugin-5\.mjs can't be loaded: Cannot find package 'acme-sdk' imported from \S+plugin-5\.mjs; correct the plugin, or install/,
    },
    {
      when: 'the module exports no plugin',
      source: 'export default {};',
      says: 'key provider ./plugin-6.mjs does not export a "plugin"',
    },
    {
      when: 'the plugin is for another version of the port',
      source: pluginSource({ portVersion: '2' }),
      says: 'key provider ./plugin-7.mjs is written for version 2 of the provider port, and this program has version 1; install a release',
    },
    {
      when: 'members of the plugin are missing',
      source: 'export const plugin = { generateKey: 1 };',
      says: /exports a "plugin" that is none: portVersion: [^;]+; name: expected text; configSchema: expected a zod schema; open: expected a function; generateKey: expected a function; docs\/plugins\.md/,
    },
  ];

  const outcomes: unknown[] = [];

  // all in one process, for starting it takes longest
  beforeAll(async () => {
    using configs = new Folder();
    const files = refused.map(({ provider, source = '' }, index) => {
      configs.write(`plugin-${index}.mjs`, source);
      return configs.write(`${index}.yaml`, configOf(provider ?? `./plugin-${index}.mjs`));
    });
    const child = spawn(process.execPath, [loader, ...files], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    outcomes.push(...(JSON.parse(await text(child.stdout)) as unknown[]));
  });

  it.each(refused.map((row, index) => ({ ...row, index })))('when $when', ({ says, index }) => {
    expect(outcomes[index]).toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(says) as string,
    });
    expect(outcomes[index]).toHaveProperty(
      'message',
      expect.stringContaining('\n  keys.0.provider: '),
    );
  });

  it("when the plugin's own schema does not take its fields", async () => {
    folder.write('example-plugin.ts', example);
    const { status, stderr } = await check('./example-plugin.ts', 'url: here', 'colour: red');
    expect(status).toBe(2);
    expect(stderr).toMatch(/keys\.0\.url: /);
    expect(stderr).toMatch(/keys\.0\.token: /);
    expect(stderr).toMatch(/keys\.0\.colour: /);
  });
});

describe("the document's example", () => {
  let service: SigningService;
  let config: string;
  let url: string;

  beforeEach(async () => {
    service = new SigningService(vectors.key.privateKey, token);
    url = await service.listen();
    folder.write('example-plugin.ts', example);
    folder.write('token', token);
    config = folder.write(
      'signer.yaml',
      configOf('./example-plugin.ts', `url: ${url}`, 'token: file:token'),
    );
  });

  afterEach(() => service.close());

  it('is the plugin that these tests run', () => {
    expect(pluginInDocument).toBe(example);
  });

  it('passes the conformance suite as the document runs it', async () => {
    folder.write('example-plugin.test.ts', suiteInDocument);
    installProgram(folder);
    const child = spawn(process.execPath, ['--test', '--test-reporter=tap'], {
      cwd: folder.path,
      env: { ...process.env, TEST_SERVICE_URL: url, NODE_TEST_CONTEXT: undefined },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [report] = await Promise.all([text(child.stdout), once(child, 'close')]);
    expect(report).toMatch(/^# pass 22$/m);
    expect(report).toMatch(/^# fail 0$/m);
    expect(service.signatures).toBeGreaterThan(100);
  });

  it('is checked and measured by keys check', async () => {
    const { status, stdout, stderr } = await run(['keys', 'check', '--config', config]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^provider +example$/m);
    expect(stdout).toContain(`example:${url}`);
    expect(stdout).toContain(checksumAddress);
    expect(stdout).toMatch(/^latency +p50 \d+\.\d ms, p95 \d+\.\d ms of 20 signatures/m);
    expect(stdout.match(/^check +passed: it /gm)).toHaveLength(4);
    expect(stdout).toMatch(/^verdict +sound$/m);
    // one at opening, one check, and those that are measured
    expect(service.signatures).toBe(22);
  });

  it.each([
    [429, 'PROVIDER_THROTTLED', /is asked too often/],
    [500, 'PROVIDER_UNAVAILABLE', /answered with status 500/],
  ])('has its errors understood: status %i is %s', async (refusal, code, message) => {
    service.refusal = refusal;
    const { status, stderr } = await run(['keys', 'check', '--config', config]);
    expect(status).toBe(1);
    expect(stderr).toMatch(message);
    expect(stderr).toContain(`[${code}]`);
    expect(stderr).not.toContain(token);
  });

  it.each([
    {
      how: 'it fails to close',
      close: `() => { throw new TypeError('${token}'); }`,
      cause: 'TypeError',
    },
    {
      how: 'it comes to no end of its closing, nor closes what it opened',
      close: '() => new Promise(() => setInterval(() => undefined, 60_000))',
      cause: 'it was not closed within 3000 ms',
    },
  ])('does not keep a signer from ending when $how', async ({ close, cause }) => {
    folder.write(
      'failing-plugin.ts',
      `import { plugin as example } from './example-plugin.ts';
      export const plugin = {
        ...example,
        open: async (...given) => {
          const provider = await example.open(...given);
          const close = ${close};
          return Object.assign(Object.create(provider), { close });
        },
      };`,
    );
    const text = readFileSync(config, 'utf8').replace('example-plugin', 'failing-plugin');
    const signer = new Cli(['serve', '--config', folder.write('failing.yaml', text)]);
    await signer.listening();
    signer.child.kill();
    const { status, stdout, stderr } = await signer.ended();
    expect(status).toBe(0);
    const output = stdout + stderr;
    expect(output).toContain(`"cause":"${cause}","msg":"key provider failed to close"`);
    expect(output).toContain('"msg":"stopped"');
    expect(output).not.toContain(token);
  });

  it('pays an orchestrator', async () => {
    const signer = new Cli(['serve', '--config', config]);
    const recipient = '0x73aed7b5deb30222fa896f399d46cc99c7bee57f';
    const now = (): bigint => BigInt(Date.now()) * 1_000_000n;
    const orchestrator = await startSandboxServer({
      host: '127.0.0.1',
      port: 0,
      world: new SandboxWorld(now, {
        l1Block: 20_999_970n,
        round: 3800n,
        roundBlockHash: Uint8Array.from(
          Buffer.from('7624778dedc75f8b322b9fa1632a610d40b85e106c7d9bf0e743a9ce291b9c6f', 'hex'),
        ),
        activeOrchestrators: new Set([recipient]),
      }),
      config: {
        paymentType: 'lv2v',
        address: '0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc',
        recipient,
        pricePerUnit: 1200n,
        pixelsPerUnit: 1n,
        ticketEvWei: 33_177_600_000n,
        faceValueWei: 331_776_000_000n,
        ticketSecret: random.bytes(32),
        authTokenSecret: random.bytes(32),
      },
    });
    try {
      const session = await GatewaySession.start({
        signerUrl: await signer.listening(),
        orchestratorUrl: orchestrator.url,
        paymentType: 'lv2v',
      });
      expect(session.sender).toBe(checksumAddress);
      const before = service.signatures;
      expect(await session.pay()).toMatchObject({ outcome: 'paid' });
      const [account] = orchestrator.orchestrator.accounts;
      expect(account?.acceptedTickets).toBeGreaterThan(0);
      expect(service.signatures).toBeGreaterThan(before);
    } finally {
      signer.child.kill();
      await signer.ended();
      await orchestrator.close();
    }
  });
});

/** As npm install would, from this source tree. */
function installProgram({ path }: Folder): void {
  const program = join(path, 'node_modules/livepeer-hsm-signer');
  mkdirSync(program, { recursive: true });
  symlinkSync(join(root, 'src'), join(program, 'src'));
  symlinkSync(join(root, 'node_modules/zod'), join(path, 'node_modules/zod'));
  folder.write(
    'node_modules/livepeer-hsm-signer/package.json',
    JSON.stringify({
      name: 'livepeer-hsm-signer',
      type: 'module',
      exports: {
        './provider': './src/keys/provider.ts',
        './conformance': './src/keys/conformance/cases.ts',
      },
    }),
  );
}
