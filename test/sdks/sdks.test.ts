import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { JwksServer, newIssuerKey, signToken } from '../auth/jwks-server.ts';
import { readDocument } from '../docs/markdown.ts';
import { soon } from '../support/soon.ts';
import { expectAllTaken, payEveryType } from './pay-every-type.ts';
import { type SdkName, SdkProcess } from './sdk-process.ts';
import { SdkWorld } from './sdk-world.ts';

const sdks: readonly { name: SdkName; published: string }[] = [
  { name: 'python', published: 'livepeer-gateway 1.0.0' },
  { name: 'web', published: '@pymthouse/gateway-web 0.3.5' },
];

describe.each(sdks)('$published', ({ name }) => {
  let sdk: SdkProcess;
  beforeAll(() => {
    sdk = new SdkProcess(name);
  });
  afterAll(() => sdk.close());

  /** Waits until `payments` more were taken for a session. */
  async function expectMore(world: SdkWorld, session: string, payments: number): Promise<void> {
    const before = world.accountOf(session).acceptedPayments;
    await soon(() => {
      const { acceptedPayments } = world.accountOf(session);
      expect(acceptedPayments).toBeGreaterThanOrEqual(before + payments);
    });
  }

  async function reserve(world: SdkWorld, headers?: Record<string, string>): Promise<string> {
    await sdk.do('use', { signerUrl: world.signerUrl, headers });
    return (await sdk.do('reserve', { app: 'live/session' })) as string;
  }

  it('pays every type to orchestrators that it knows from the signer alone', async () => {
    await using world = await SdkWorld.start();
    await payEveryType(world, sdk, 8);
    expect(world.requests[0]).toEqual({ path: '/discover-orchestrators', status: 200 });
  });

  it('asks for new terms when those that it has expire, before a session and in it', async () => {
    await using world = await SdkWorld.start();
    world.giveAgedTerms();
    const session = await reserve(world);
    expect(world.answered(480)).toBe(1);
    await expectMore(world, session, 2);
    await world.ageTerms();
    await expectMore(world, session, 4);
    expect(world.answered(480)).toBeGreaterThan(1);
    await sdk.do('stop', { session });
    expectAllTaken(world, { stopped: 1 });
  });

  it('goes on with a session when the signer is stopped and started again', async () => {
    await using world = await SdkWorld.start();
    const session = await reserve(world);
    await expectMore(world, session, 2);
    await world.stopSigner();
    await soon(() => expect(world.answered(0)).toBeGreaterThanOrEqual(2));
    await world.startSigner();
    await expectMore(world, session, 4);
    expect(await sdk.do('is-paying', { session })).toBe(true);
    await sdk.do('stop', { session });
    expectAllTaken(world, { stopped: 1 });
  });

  it('goes on with a session that a window had no room for, when there is more', async () => {
    const policyOf = (tickets: number): string => `default: allow
rules: [{ id: minute, window: { per: all, every: 1m, tickets: ${tickets} } }]`;
    await using world = await SdkWorld.start({ policy: policyOf(12) });
    const session = await reserve(world);
    await soon(() => expect(world.answered(429)).toBeGreaterThanOrEqual(3));
    expect(await sdk.do('is-paying', { session })).toBe(true);
    await world.changePolicy(policyOf(1_000));
    await expectMore(world, session, 4);
    expect(await sdk.do('is-paying', { session })).toBe(true);
    await sdk.do('stop', { session });
    expectAllTaken(world, { stopped: 1 });
  });

  it('ends a session when its token has expired, and pays with the next one', async () => {
    const jwks = new JwksServer();
    const key = newIssuerKey('p256', 'ES256');
    jwks.publish(key);
    await jwks.start();
    const issuer = 'https://issuer.example';
    const jwt = [{ issuer, audience: 'signer', jwksUrl: jwks.url }];
    await using world = await SdkWorld.start({ settings: { auth: { jwt } } });
    const bearer = (): Record<string, string> => {
      const claims = { iss: issuer, aud: 'signer', sub: 'gateway', exp: world.nowSeconds + 40 };
      return { Authorization: `Bearer ${signToken(key, claims)}` };
    };
    const first = bearer();
    const session = await reserve(world, first);
    await soon(async () => expect(await sdk.do('is-paying', { session })).toBe(false));
    expect(world.answered(401)).toBe(1);
    await sdk.do('use', { signerUrl: world.signerUrl, headers: first });
    await expect(sdk.do('call', { app: 'live/echo', payload: { not: 'paid' } })).rejects.toThrow(
      /401.*the token has expired/,
    );
    if (name === 'web') {
      await sdk.do('use', { signerUrl: world.signerUrl, headers: bearer() });
      await sdk.do('resume', { session });
      await expectMore(world, session, 2);
    }
    const next = await reserve(world, bearer());
    await expectMore(world, next, 2);
    await sdk.do('stop', { session });
    await sdk.do('stop', { session: next });
    expectAllTaken(world, { stopped: 2 });
    await jwks.stop();
  });

  // the other SDK knows live runners only
  if (name !== 'python') return;

  it('has BYOC jobs signed and paid, and orchestrators take both', async () => {
    const { pid } = process;
    const byocHost = `127.${1 + (pid >> 16)}.${(pid >> 8) & 255}.${pid & 255}`;
    await using world = await SdkWorld.start({
      byocHost,
      settings: { byoc: { enabled: true } },
    });
    await sdk.do('use', { signerUrl: world.signerUrl });
    const job = {
      orchestrator: `https://${byocHost}:8935`,
      capability: 'nano-banana',
      payload: { prompt: 'a cat, “quoted” 🎥' },
      timeoutSeconds: 300,
    };
    expect(await sdk.do('submit-byoc', job)).toEqual(job.payload);
    const parameters = { enable_video_ingress: false };
    expect(await sdk.do('submit-byoc', { ...job, parameters })).toEqual(job.payload);
    const asked = world.requests.map(({ path, status }) => `${path} ${status}`);
    expect(asked.filter((each) => each === '/sign-byoc-job 200')).toHaveLength(2);
    expect(world.accountsOf('byoc').map((account) => account.acceptedPayments)).toEqual([1, 1]);
    expectAllTaken(world, { stopped: 0 });
    const paid = world.logLines.filter(({ msg }) => msg === 'payment signed');
    expect(paid).toMatchObject(
      Array(2).fill({ usage: { capability: 'nano-banana' }, payment: { num_tickets: 6 } }),
    );
  });

  it('pays for live video, with terms from gRPC', async () => {
    await using world = await SdkWorld.start();
    await sdk.do('use', { signerUrl: world.signerUrl });
    const session = (await sdk.do('start-video', { model: 'scope' })) as string;
    const outcomes: unknown[] = [];
    for (let segment = 0; segment < 20; segment += 1) {
      outcomes.push(await sdk.do('pay-video', { session }));
    }
    const paid = outcomes.filter((outcome) => outcome === 'paid');
    expect(paid.length).toBeGreaterThanOrEqual(5);
    expect(world.taken.payments).toBe(1 + paid.length);
    expectAllTaken(world, { stopped: 0 });
  });
});

it('README’s sample in Python has a job started, and pays for it', async () => {
  await using world = await SdkWorld.start();
  const [, sample = ''] = /^```python\n(.*?)^```$/ms.exec(readDocument('README.md')) ?? [];
  const listed = await fetch(`${world.signerUrl}/discover-orchestrators?app=lv2v/echo`);
  const [{ address } = { address: '' }] = (await listed.json()) as { address: string }[];
  const program = Object.entries({
    'ORCHESTRATOR:8935': new URL(address).host,
    MODEL: 'scope',
    'http://127.0.0.1:7936': world.signerUrl,
  }).reduce((text, [name, value]) => {
    expect(text).toContain(`"${name}"`);
    return text.replace(`"${name}"`, `"${value}"`);
  }, sample);
  const python = join(import.meta.dirname, 'python/venv/bin/python');
  const { stdout } = await promisify(execFile)(python, [
    '-c',
    `${program}\nprint(job.manifest_id)`,
  ]);
  expect(stdout).toMatch(/^[0-9a-f]{8}\n$/);
  expect(world.taken).toEqual({ payments: 1, rejections: [] });
});
