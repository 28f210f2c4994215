import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { JwksServer, newIssuerKey, signToken } from '../auth/jwks-server.ts';
import { PayingSession } from '../bench/paying-session.ts';
import { Cli, Folder, devConfig, root } from '../cli/cli.ts';
import { type BuiltClient, buildClient } from '../client/build-client.ts';
import { SigningService } from '../fixtures/plugins/signing-service.ts';
import { SdkWorld } from '../sdks/sdk-world.ts';
import { soon } from '../support/soon.ts';
import { vectors } from '../vectors/vectors.ts';
import { startPageServer } from './page-server.ts';

const run = promisify(execFile);

let client: BuiltClient;
let world: SdkWorld;
/** The examples, where the packages are that they import. */
let folder: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  client = await buildClient();
  const modules = resolve(client.folder, '..');
  folder = resolve(modules, '../examples');
  cpSync(join(root, 'examples'), folder, { recursive: true });
  for (const name of ['zod', 'viem'])
    symlinkSync(join(root, 'node_modules', name), join(modules, name));
  // the package without a build of it
  const signer = join(modules, 'livepeer-hsm-signer');
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, { default: string }>;
  };
  const entries = ['./provider', './viem'].map((entry) => {
    const source = (exports[entry]?.default ?? '').replace('./dist/', '').replace(/\.js$/, '.ts');
    return { entry, file: `./${entry.slice(2)}.js`, source: join(root, source) };
  });
  mkdirSync(signer);
  for (const { file, source } of entries) {
    writeFileSync(join(signer, file), `export * from ${JSON.stringify(source)};\n`);
  }
  const manifest = {
    name: 'livepeer-hsm-signer',
    type: 'module',
    exports: Object.fromEntries(entries.map(({ entry, file }) => [entry, file])),
  };
  writeFileSync(join(signer, 'package.json'), JSON.stringify(manifest));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  world = await SdkWorld.start();
});

afterAll(async () => {
  for (const child of children) {
    child.kill('SIGKILL');
    await once(child, 'close');
  }
  await world[Symbol.asyncDispose]();
  await client.remove();
});

/** Starts an example that listens, on a free port, and gives its URL. */
async function serve(example: string, environment: Record<string, string> = {}): Promise<string> {
  const child = spawn(process.execPath, [join(folder, example)], {
    env: { ...process.env, ...environment, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  let said = '';
  for await (const chunk of child.stdout) {
    said += String(chunk);
    const port = /port: (\d+)/.exec(said)?.[1];
    if (port !== undefined) return `http://127.0.0.1:${port}`;
  }
  throw new Error(`${example} ended: ${said}`);
}

async function findRunner(app: string): Promise<string> {
  const answer = await fetch(`${world.signerUrl}/discover-orchestrators?app=${app}`);
  const [entry] = (await answer.json()) as { runners: { url: string }[] }[];
  return entry?.runners[0]?.url ?? '';
}

describe('examples/gateway.ts', () => {
  it('has no more than 60 lines', () => {
    const lines = readFileSync(join(root, 'examples/gateway.ts'), 'utf8').trimEnd().split('\n');
    expect(lines.length).toBeLessThanOrEqual(60);
  });

  it('runs jobs at runners that the signer names, and pays for them', async () => {
    const gateway = await serve('gateway.ts', { SIGNER_URL: world.signerUrl });
    const post = (app: string): Promise<Response> =>
      fetch(`${gateway}/${app}`, { method: 'POST', body: '{"prompt":"a dragon"}' });
    for (const type of ['live', 'fixed'] as const) {
      const before = world.accountsOf(type).length;
      const answer = await post(`${type}/echo`);
      expect({ status: answer.status, text: await answer.text() }).toMatchObject({ status: 200 });
      expect(world.accountsOf(type).length).toBe(before + 1);
    }
    expect((await post('nobody/runs-this')).status).toBe(503);
    expect(world.taken.rejections).toEqual([]);
  });
});

describe('examples/runner-call.ts', () => {
  it('pays the runner that asks for it, and prints its answer', async () => {
    const { payments } = world.taken;
    const runner = await findRunner('fixed/echo');
    const { stdout } = await run(
      process.execPath,
      [join(folder, 'runner-call.ts'), runner, 'fixed', '{"prompt":"a dragon"}'],
      { env: { ...process.env, SIGNER_URL: world.signerUrl } },
    );
    expect(stdout).toMatch(/^200 /);
    expect(world.taken).toEqual({ payments: payments + 1, rejections: [] });
  });
});

describe('examples/clearinghouse-webhook.ts', () => {
  it('says who may pay, adds up what was paid, and stops whoever has nothing left', async () => {
    const webhook = await serve('clearinghouse-webhook.ts');
    using config = new Folder();
    const sections = {
      server: { listen: '127.0.0.1:0' },
      admin: { listen: false },
      auth: { webhook: { url: `${webhook}/authorize` } },
      audit: { path: 'audit' },
      events: { webhook: { url: `${webhook}/events` } },
    };
    const lines = Object.entries(sections).map(
      ([name, value]) => `${name}: ${JSON.stringify(value)}`,
    );
    const signer = new Cli([
      ...['serve', '--config'],
      config.write('signer.yaml', `${devConfig}${lines.join('\n')}\n`),
    ]);
    const url = await signer.listening();
    const pay = async (key: string): Promise<number> => {
      const answer = await fetch(`${url}/generate-live-payment`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${key}` },
        body: new PayingSession(1).request(),
      });
      await answer.text();
      return answer.status;
    };
    expect(await pay('key-of-acme')).toBe(200);
    await soon(async () => {
      const spent = (await (await fetch(webhook)).json()) as Record<string, string>;
      expect(spent['globex:gateway-1']).toBe('0');
      expect(spent['acme:gateway-1']).toMatch(/^[1-9]\d*$/);
    });
    expect(await pay('key-of-globex')).toBe(402);
    expect(await pay('key-of-nobody')).toBe(401);
    signer.child.kill('SIGTERM');
    expect((await signer.ended()).status).toBe(0);
  });
});

describe('examples/viem-account.ts', () => {
  it('signs a message with the key of examples/key-plugin.ts', async () => {
    const token = 'token-of-the-test-service';
    const service = new SigningService(vectors.key.privateKey, token);
    const url = await service.listen();
    const { stdout } = await run(process.execPath, [join(folder, 'viem-account.ts'), 'hello'], {
      env: { ...process.env, SIGNING_URL: url, SIGNING_TOKEN: token },
    });
    expect(stdout).toMatch(/^0x[0-9a-fA-F]{40} true\n$/);
    expect(service.signatures).toBe(1);
    service.close();
  });
});

describe('examples/browser', () => {
  it('has a page in Chromium pay a runner, by a signer that asks for a token', async () => {
    await using opened = new AsyncDisposableStack();
    const jwks = new JwksServer();
    const key = newIssuerKey('p256', 'ES256');
    jwks.publish(key);
    await jwks.start();
    opened.defer(() => jwks.stop());
    const issuer = 'https://issuer.example';
    const settings = { signerUrl: '', runnerUrl: '' };
    let nowSeconds = 0;
    const server = await startPageServer({
      client: join(client.folder, 'dist'),
      settings: () => settings,
      token: () =>
        signToken(key, {
          iss: issuer,
          aud: 'signer',
          sub: 'page',
          exp: nowSeconds + 300,
        }),
    });
    opened.defer(() => server.close());
    const secured = opened.use(
      await SdkWorld.start({
        settings: {
          server: { listen: '127.0.0.1:0', cors: { origins: [server.url] } },
          auth: { jwt: [{ issuer, audience: 'signer', jwksUrl: jwks.url }] },
        },
      }),
    );
    const answer = await fetch(`${secured.signerUrl}/discover-orchestrators?app=fixed/echo`);
    const [entry] = (await answer.json()) as { runners: { url: string }[] }[];
    settings.signerUrl = secured.signerUrl;
    settings.runnerUrl = entry?.runners[0]?.url ?? '';
    nowSeconds = secured.nowSeconds;

    const browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: ['--no-sandbox'],
    });
    opened.defer(() => browser.close());
    const page = await browser.newPage();
    await page.goto(server.url);
    await page.getByRole('button').click();
    await page.locator('output:not(:empty)').waitFor();
    expect(await page.locator('output').textContent()).toMatch(/^200 /);
    expect(secured.taken).toEqual({ payments: 1, rejections: [] });
    expect(secured.answered(200)).toBe(1);
    const unsigned = await fetch(`${secured.signerUrl}/generate-live-payment`, { method: 'POST' });
    expect(unsigned.status).toBe(401);
  });
});
