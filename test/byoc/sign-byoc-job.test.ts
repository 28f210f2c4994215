import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Hex, concat, encodePacked, keccak256, recoverMessageAddress, toHex } from 'viem';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import {
  type GuardedSigner,
  as,
  firstPayment,
  startGuardedSigner,
} from '../guardrails/guarded-signer.ts';
import { expectPaid, expectRefusal } from '../payments/expectations.ts';
import { usualNow } from '../payments/request-builder.ts';
import { soon } from '../support/soon.ts';
import { type TestAnswer, startTestSigner } from '../support/test-signer.ts';
import { vectors } from '../vectors/vectors.ts';

type Job = Record<string, unknown>;

const job = {
  id: 'job-1',
  capability: 'upscaler',
  request: '{"prompt": "a dragon"}',
  parameters: '',
  timeout_seconds: 300,
};

/** As an orchestrator finds who answers for a job: from its own reading of the header. */
function recoverSender(asked: typeof job, signature: Hex): Promise<Hex> {
  const preimage = concat([
    toHex('LP_BYOC_JOB_V1'),
    '0x0000',
    encodePacked(['uint32'], [asked.timeout_seconds]),
    ...[asked.id, asked.capability, asked.request, asked.parameters].flatMap((text) => [
      encodePacked(['uint32'], [Buffer.byteLength(text)]),
      toHex(Buffer.from(text)),
    ]),
  ]);
  return recoverMessageAddress({ message: { raw: keccak256(preimage) }, signature });
}

describe('POST /sign-byoc-job', () => {
  let signer: GuardedSigner;
  const metrics = createMetrics();
  beforeAll(async () => {
    signer = await startGuardedSigner({
      metrics,
      settings: { byoc: { enabled: true } },
      policy: `
default: deny
rules:
  - { id: acme-may, when: { tenant: [acme] }, then: allow }
  - { id: studio-pays-only, when: { kind: [byocJob], principal: ['acme:studio'] }, then: deny }
  - { id: no-painter, when: { capability: [byoc/painter] }, then: deny }
  - { id: three-jobs, when: { kind: [byocJob], principal: ['acme:few'] }, window: { per: principal, every: 1h, tickets: 3 } }
  - { id: dollars, when: { kind: [payment] }, limit: { tickets: 5 } }`,
    });
  });
  afterAll(() => signer.close());
  beforeEach(() => signer.key.reset());

  async function post(
    body: string | Uint8Array,
    headers: Record<string, string> = as('acme:alice'),
  ): Promise<TestAnswer> {
    const response = await fetch(`${signer.url}/sign-byoc-job`, { method: 'POST', headers, body });
    const { status } = response;
    return { status, headers: response.headers, text: await response.text() };
  }

  const send = (changes: Job, headers?: Record<string, string>): Promise<TestAnswer> =>
    post(JSON.stringify({ ...job, ...changes }), headers);

  function auditRecords(): Record<string, unknown>[] {
    const folder = join(signer.folder, 'audit/server-1');
    return readdirSync(folder)
      .filter((name) => name.endsWith('.jsonl'))
      .flatMap((name) => readFileSync(join(folder, name), 'utf8').trim().split('\n'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  it.each<Partial<typeof job>>([
    {},
    { request: '', timeout_seconds: 1 },
    { parameters: '{"enable_video_ingress": true}', timeout_seconds: 4_294_967_295 },
    { id: 'é\u0000', capability: '画像', request: '🎥"\\\n' },
    { request: 'x'.repeat(70_000) },
  ])('signs, by one key call, what recovers to the sender: %#', async (changes) => {
    const asked = { ...job, ...changes };
    const answer = await send(changes);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/json');
    const { sender, signature } = JSON.parse(answer.text) as { sender: string; signature: Hex };
    expect(answer.text).toBe(`${JSON.stringify({ sender, signature })}\n`);
    expect(sender).toBe(signer.checksumAddress);
    expect(signature).toMatch(/^0x[0-9a-f]{130}$/);
    expect(await recoverSender(asked, signature)).toBe(sender);
    expect(await recoverSender({ ...asked, id: `${asked.id}.` }, signature)).not.toBe(sender);
    expect(signer.key.digests).toHaveLength(1);
  });

  it.each<[string, Job, RegExp]>([
    ['no id', { id: undefined }, /^field id: expected text$/],
    ['an empty id', { id: '' }, /^field id: expected text that is not empty$/],
    ['an empty capability', { capability: '' }, /^field capability: /],
    ['an object as request', { request: {} }, /^field request: expected text$/],
    ['no parameters', { parameters: undefined }, /^field parameters: expected text$/],
    ['no time-out', { timeout_seconds: undefined }, /^field timeout_seconds: expected an integer/],
    ['a time-out of 0', { timeout_seconds: 0 }, /^field timeout_seconds: /],
    ['a time-out of 2^32', { timeout_seconds: 2 ** 32 }, /^field timeout_seconds: /],
    ['half a second', { timeout_seconds: 0.5 }, /^field timeout_seconds: /],
    ['a time-out in text', { timeout_seconds: '300' }, /^field timeout_seconds: /],
    ['a lone surrogate', { request: '\ud83c' }, /^field request: .*lone surrogates$/],
    ['168 bytes', { id: 'i'.repeat(102) }, /^a job must not have 168 bytes/],
    ['232 bytes', { id: 'i'.repeat(166) }, /^a job must not have 232 bytes/],
  ])('refuses %s', async (_what, changes, message) => {
    expectRefusal(signer, await send(changes), 400, message);
  });

  it('refuses what is not JSON, not UTF-8, no object, or over 1 MiB', async () => {
    for (const body of ['{', 'null', '[]', '""']) {
      expectRefusal(signer, await post(body), 400, /JSON/);
    }
    const latin1 = Buffer.from(JSON.stringify({ ...job, request: 'é' }), 'latin1');
    expectRefusal(signer, await post(latin1), 400, 'the body is not JSON in UTF-8');
    const large = await send({ request: 'x'.repeat(1_048_576) });
    expectRefusal(signer, large, 413, 'request body is over 1048576 bytes');
  });

  it('is denied by rules over kind, capability and principal, which payments pass', async () => {
    expectRefusal(
      signer,
      await send({}, as('globex:bob')),
      403,
      'denied: no rule allows this BYOC job',
    );
    const studio = as('acme:studio');
    expectRefusal(signer, await send({}, studio), 403, 'denied by rule studio-pays-only');
    expectPaid(await signer.post(await firstPayment(1), studio));
    signer.key.reset();
    expectRefusal(signer, await send({ capability: 'painter' }), 403, 'denied by rule no-painter');
    // nobody waits for a denial's record
    await soon(() => {
      const denied = auditRecords().filter(({ kind }) => kind === 'denied');
      expect(denied.at(-1)).toMatchObject({
        principal: 'acme:alice',
        tenant: 'acme',
        code: 'RULE_DENIED',
        rule: 'no-painter',
        subject: { job: 'job-1', capability: 'painter' },
      });
    });
  });

  it('counts in windows as one ticket, and gives back what the key was not asked for', async () => {
    const few = as('acme:few');
    for (let jobs = 0; jobs < 3; jobs += 1) expect((await send({}, few)).status).toBe(200);
    signer.key.reset();
    const exhausted = await send({}, few);
    expect(exhausted.status).toBe(429);
    expect(exhausted.text).toContain('no room is left in its limit of 3 tickets');
    expect(Number(exhausted.headers.get('retry-after'))).toBeGreaterThan(3_000);
    expect(signer.key.digests).toHaveLength(0);
  });

  it('is recorded, logged and counted', async () => {
    signer.key.reset();
    const answer = await send({ id: 'j'.repeat(400) });
    const digests = signer.key.digests.map((digest) => Buffer.from(digest).toString('hex'));
    const request = answer.headers.get('x-request-id');
    const records = auditRecords();
    const use = records.find((record) => record['request'] === request);
    expect(use).toMatchObject({
      kind: 'key-use',
      intent: 'byoc-job',
      digests,
      principal: 'acme:alice',
      tenant: 'acme',
      sender: vectors.key.address.toLowerCase(),
      rules: ['acme-may'],
      amounts: { timeoutSeconds: '300' },
      subject: { job: `${'j'.repeat(256)}…`, capability: 'upscaler' },
    });
    expect(digests).toHaveLength(1);
    expect(records).toContainEqual(
      expect.objectContaining({ kind: 'signed', use: use?.['use'], signatures: 1 }),
    );
    expect(signer.logLines.at(-1)).toMatchObject({
      msg: 'BYOC job signed',
      request_id: request,
      principal: 'acme:alice',
      job: 'j'.repeat(256),
      capability: 'upscaler',
    });
    expect(JSON.stringify(signer.logLines)).not.toContain('dragon');
    expect(await metrics.text()).toMatch(/^livepeer_hsm_signer_byoc_jobs_total\{.*\} [1-9]/m);
  });

  it('keeps its beginning off the manifest ids and recipients of payments', async () => {
    const message = 'manifestID must not start with LP_BYOC_JOB_V1';
    for (const ManifestID of ['LP_BYOC_JOB_V1', 'LP_BYOC_JOB_V1\0\0\0', 'LP_BYOC_JOB_V1é']) {
      const answer = await signer.post(
        await firstPayment(1, { body: { ManifestID } }),
        as('acme:alice'),
      );
      expectRefusal(signer, answer, 400, message);
    }
    // the challenge's session id, which live payments take, comes from the orchestrator
    const live = await firstPayment(1, {
      body: { type: 'live', ManifestID: '' },
      authToken: { sessionId: 'LP_BYOC_JOB_V1' },
    });
    expectRefusal(signer, await signer.post(live, as('acme:alice')), 400, message);
    const recipient = Buffer.from('LP_BYOC_JOB_V1\0\0\0\0\x01,', 'latin1');
    const paid = await firstPayment(1, { ticketParams: { recipient } });
    expectRefusal(
      signer,
      await signer.post(paid, as('acme:alice')),
      400,
      /no address that is paid$/,
    );
  });
});

describe('without byoc.enabled', () => {
  it('there is no such path, and manifest ids that begin as jobs do are refused all the same', async () => {
    await using opened = new AsyncDisposableStack();
    const signer = opened.adopt(await startTestSigner(), (each) => each.close());
    const answer = await fetch(`${signer.url}/sign-byoc-job`, {
      method: 'POST',
      body: JSON.stringify(job),
    });
    expect([answer.status, await answer.text()]).toEqual([404, '404 page not found\n']);
    signer.now = usualNow;
    const payment = await firstPayment(1, { body: { ManifestID: 'LP_BYOC_JOB_V1 and more' } });
    expect((await signer.post(payment)).status).toBe(400);
    expect(signer.key.digests).toHaveLength(0);
  });
});

describe('the configuration', () => {
  const webhook = { url: 'https://clearinghouse.example/authorize' };
  const parse = (auth: object) =>
    configSchema.safeParse({
      keys: [{ provider: 'any' }],
      chain: { source: 'on-chain', rpcUrls: ['http://127.0.0.1:2'] },
      byoc: { enabled: true },
      auth,
    });

  it('refuses jobs where only the auth webhook knows the callers of payments', () => {
    const { error } = parse({ webhook });
    expect(error?.issues).toMatchObject([{ path: ['byoc', 'enabled'] }]);
    expect(parse({ webhook, apiKeys: { file: 'keys.yaml' } }).success).toBe(true);
    expect(parse({}).success).toBe(true);
  });
});
