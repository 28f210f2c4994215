import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeApi } from '../../src/admin/openapi.ts';
import { ProviderError } from '../../src/keys/provider.ts';
import { switchFileName } from '../../src/policy/switch/switch-file.ts';
import { claimsWith, audience, issuer, KeyFile } from '../auth/auth-world.ts';
import { JwksServer, newIssuerKey, signToken } from '../auth/jwks-server.ts';
import { Folder, root } from '../cli/cli.ts';
import { startOrchestrator } from '../discovery/orchestrators.ts';
import { type AuthWebhook, startAuthWebhook } from '../payments/auth-webhook.ts';
import { rows } from '../payments/order-of-checks.ts';
import {
  type Changes,
  buildRequest,
  mergeChanges,
  ticketsWorth,
  usualNow,
} from '../payments/request-builder.ts';
import { soon } from '../support/soon.ts';
import {
  type TestSigner,
  type TestSignerOptions,
  startTestSigner,
  vectorChain,
} from '../support/test-signer.ts';
import { lint } from './lint.ts';
import { type Answer, type ApiDocument, type Question, Recorder } from './recorder.ts';

const file = join(root, 'docs/openapi.json');
const page = 'https://app.example';

const recorder = new Recorder(describeApi() as ApiDocument);
const opened = new AsyncDisposableStack();
afterAll(() => opened.disposeAsync());

type Section = Record<string, unknown> | undefined;

/** A signer that lets a page ask. */
async function start({ settings, ...options }: TestSignerOptions = {}): Promise<TestSigner> {
  const signer = await startTestSigner({
    ...options,
    settings: {
      ...settings,
      server: {
        listen: '127.0.0.1:0',
        cors: { origins: [page] },
        ...(settings?.['server'] as Section),
      },
    },
  });
  opened.defer(() => signer.close());
  return signer;
}

const paths = [
  '/sign-orchestrator-info',
  '/generate-live-payment',
  '/discover-orchestrators',
  '/sign-byoc-job',
];

/** Settings with which there are all of them. */
const allRoutes = {
  discovery: { orchestrators: ['https://127.0.0.1:1'], grants: ['127.0.0.0/8'] },
  byoc: { enabled: true },
};

function ask(signer: TestSigner, path: string, question: Question = {}): Promise<Answer> {
  const headers = { Origin: page, ...question.headers };
  const method = path.startsWith('/discover-orchestrators') ? 'GET' : 'POST';
  return recorder.ask(signer.url, path, { method, ...question, headers });
}

/** A payment; `changes` make it another than the usual one. */
async function pay(
  signer: TestSigner,
  changes: Changes = {},
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const body = await buildRequest(changes);
  return ask(signer, '/generate-live-payment', { body, headers });
}

/** Has a job signed; `changes` make it another than the usual one. */
function signJob(
  signer: TestSigner,
  changes: Readonly<Record<string, unknown>> = {},
  question: Question = {},
): Promise<Answer> {
  const usual = { id: 'job-1', capability: 'upscaler', request: '', parameters: '' };
  const body = JSON.stringify({ ...usual, timeout_seconds: 300, ...changes });
  return ask(signer, '/sign-byoc-job', { body, ...question });
}

async function expectCode(code: string, answer: Promise<Answer>): Promise<void> {
  expect((await answer).headers['livepeer-signer-code']).toBe(code);
}

it('docs/openapi.json has nothing that the linter minds', async () => {
  expect(await lint(file)).toMatchObject({ errors: 0, warnings: 0, ignored: 0 });
});

describe('every answer of a running signer is of the document', () => {
  it.each(rows)('when $when', async ({ request, webhook: reply, isKeyDown: isDown, answers }) => {
    webhook.reply = { status: 200, ...reply };
    isKeyDown = isDown ?? false;
    expect((await pay(signer, request)).status).toBe(answers[0]);
    isKeyDown = false;
    webhook.reply = { status: 200 };
  });

  it('when it says who pays, and pays', async () => {
    expect((await ask(signer, '/sign-orchestrator-info')).status).toBe(200);
    expect((await pay(signer)).status).toBe(200);
    const first = { state: null, body: { ManifestID: '', state: { State: null, Sig: null } } };
    expect((await pay(signer, first)).status).toBe(200);
  });

  it('when the webhook refuses with a status of its own', async () => {
    const documented = Object.keys(recorder.documented)
      .map((key) => /^post \/generate-live-payment (\d+)$/.exec(key)?.[1])
      .flatMap((status) => (status !== undefined && status !== '200' ? [Number(status)] : []));
    for (const status of [...documented, 418, 599]) {
      webhook.reply = { status, reason: 'no money', code: 'OUT_OF_MONEY' };
      expect((await pay(signer)).status).toBe(status);
    }
    webhook.reply = { status: 200 };
  });

  it('when the request can be refused by what it holds alone', async () => {
    const long = 'a'.repeat(256);
    await expectCode('APP_TOO_LONG', pay(signer, { body: { app: long }, state: null }));
    const token = { token: Buffer.alloc(33_000) };
    await expectCode('ANSWER_TOO_LARGE', pay(signer, { authToken: token }));
    const stranger = { 'Livepeer-Payer-Address': `0x${'11'.repeat(20)}` };
    await expectCode('SENDER_UNKNOWN', pay(signer, { state: null }, stranger));
    const path = '/sign-orchestrator-info';
    await expectCode('SENDER_UNKNOWN', ask(signer, path, { headers: stranger }));
    await expectCode('IDEMPOTENCY_KEY_INVALID', pay(signer, {}, { 'Idempotency-Key': 'a b' }));
    const body = 'x'.repeat(70_000);
    await expectCode('BODY_TOO_LARGE', ask(signer, '/generate-live-payment', { body }));
  });

  it('when it signs a BYOC job, or can’t make one of what it is sent', async () => {
    expect((await signJob(wholeSigner)).status).toBe(200);
    await expectCode('BODY_MALFORMED', signJob(wholeSigner, { timeout_seconds: 0 }));
    const long = { request: 'x'.repeat(1_048_576) };
    await expectCode('BODY_TOO_LARGE', signJob(wholeSigner, long));
    await expectCode('BYOC_JOB_INVALID', signJob(wholeSigner, { id: 'i'.repeat(124) }));
    const headers = { 'Livepeer-Payer-Address': `0x${'11'.repeat(20)}` };
    await expectCode('SENDER_UNKNOWN', signJob(wholeSigner, {}, { headers }));
    expect((await signJob(signer)).status).toBe(404);
  });

  it('when the sender has no funds', async () => {
    const poor = {
      SENDER_UNLOCKING: { withdrawRound: 3801 },
      RESERVE_EMPTY: { reserve: '0 wei' },
      DEPOSIT_EMPTY: { deposit: '0 wei' },
    };
    for (const [code, chain] of Object.entries(poor)) {
      const poorOne = await start({ settings: { chain: { ...vectorChain, ...chain } } });
      poorOne.now = usualNow;
      await expectCode(code, pay(poorOne));
    }
  });

  it('when the body does not come', async () => {
    const impatient = await start({
      settings: {
        server: { listen: '127.0.0.1:0', requestDeadlineMs: 1_500, cors: { origins: [page] } },
        byoc: { enabled: true },
      },
    });
    const headers = { 'Content-Length': '9' };
    for (const path of ['/generate-live-payment', '/sign-byoc-job']) {
      await expectCode('BODY_LATE', ask(impatient, path, { headers, isBodyWithheld: true }));
    }
  });

  it('when what was used is used again', async () => {
    const remembering = await start({
      settings: {
        store: { kind: 'embedded' },
        session: { manifestId: 'match' },
        policy: { forks: 'deny' },
      },
    });
    remembering.now = usualNow;
    const key = { 'Idempotency-Key': 'one' };
    const another = { state: null, body: { app: 'another' } };
    expect((await pay(remembering, { state: null }, key)).status).toBe(200);
    await expectCode('IDEMPOTENCY_KEY_REUSED', pay(remembering, another, key));
    expect((await pay(remembering)).status).toBe(200);
    await expectCode('STATE_FORKED', pay(remembering, { ticketParams: ticketsWorth(10n ** 12n) }));
    const mismatch = { state: null, body: { type: 'live', ManifestID: 'another' } };
    await expectCode('MANIFEST_ID_MISMATCH', pay(remembering, mismatch));
  });

  it('when it says how it is', async () => {
    for (const path of ['/healthz', '/readyz']) {
      expect((await ask(signer, path, { method: 'GET' })).status).toBe(200);
    }
    const poor = await start({ settings: { chain: { ...vectorChain, deposit: '0 wei' } } });
    expect((await ask(poor, '/readyz', { method: 'GET' })).status).toBe(503);
  });

  it('when the policy file says no, or an operator', async () => {
    const folder = opened.use(new Folder());
    const policy = `default: deny
rules:
  - { id: blocked, when: { app: [denied] }, then: deny }
  - { id: allowed, when: { app: [small, hourly] }, then: allow }
  - { id: small, when: { app: [small] }, limit: { tickets: 1 } }
  - { id: hourly, when: { app: [hourly] }, window: { per: all, every: 1h, tickets: 2 } }
  - { id: blocked-jobs, when: { capability: [byoc/denied] }, then: deny }
  - { id: allowed-jobs, when: { capability: [byoc/small, byoc/hourly] }, then: allow }
  - { id: small-jobs, when: { capability: [byoc/small] }, window: { per: all, every: 1h, tickets: 0 } }
  - { id: hourly-jobs, when: { capability: [byoc/hourly] }, window: { per: all, every: 1h, tickets: 1 } }`;
    const ruled = await start({
      settings: {
        byoc: { enabled: true },
        policy: { file: folder.write('policy.yaml', policy) },
        store: { kind: 'embedded', path: `${folder.path}/store`, answersMaxBytes: 0 },
      },
    });
    ruled.now = usualNow;
    const of = (app: string): Changes => ({
      body: { app },
      state: null,
      ticketParams: ticketsWorth(10n ** 12n),
    });
    await expectCode('RULE_DENIED', pay(ruled, of('denied')));
    await expectCode('NO_RULE_ALLOWS', pay(ruled, of('unheard-of')));
    await expectCode('RULE_LIMIT_EXCEEDED', pay(ruled, of('small')));
    const one = mergeChanges(of('hourly'), { body: { type: 'fixed' } });
    for (let count = 0; count < 2; count += 1) expect((await pay(ruled, one)).status).toBe(200);
    await expectCode('WINDOW_EXHAUSTED', pay(ruled, one));
    await expectCode('RULE_DENIED', signJob(ruled, { capability: 'denied' }));
    await expectCode('NO_RULE_ALLOWS', signJob(ruled));
    await expectCode('RULE_LIMIT_EXCEEDED', signJob(ruled, { capability: 'small' }));
    expect((await signJob(ruled, { capability: 'hourly' })).status).toBe(200);
    await expectCode('WINDOW_EXHAUSTED', signJob(ruled, { capability: 'hourly' }));
    folder.write(`store/${switchFileName}`, '');
    await expectCode('SIGNING_PAUSED', pay(ruled, one));
    await expectCode('SIGNING_PAUSED', ask(ruled, '/sign-orchestrator-info'));
    await expectCode('SIGNING_PAUSED', signJob(ruled));
  });

  it('when it depends on who asks', async () => {
    const folder = opened.use(new Folder());
    const keys = new KeyFile(folder);
    const owner = keys.add({ principal: 'owner', expires: '2126-01-01T00:00:00Z' });
    const expired = keys.add({ principal: 'late', expires: '2020-01-01T00:00:00Z' });
    const jwks = new JwksServer();
    const issuerKey = newIssuerKey('p256', 'ES256');
    jwks.publish(issuerKey);
    await jwks.start();
    opened.defer(() => jwks.stop());
    const guarded = await start({
      settings: {
        auth: {
          apiKeys: { file: keys.path },
          jwt: [{ issuer, audience, jwksUrl: jwks.url, requiredScopes: ['pay'] }],
          protectOrchestratorInfo: true,
          protectDiscovery: true,
        },
        ...allRoutes,
        discovery: { ...allRoutes.discovery, requestsPerSecond: 1_000 },
      },
    });
    const withoutScope = signToken(issuerKey, claimsWith({ scope: 'read' }));
    for (const path of paths) {
      const as = async (code: string, token?: string): Promise<void> => {
        const headers: Record<string, string> = {};
        if (token !== undefined) headers['Authorization'] = `Bearer ${token}`;
        await expectCode(code, ask(guarded, path, { headers }));
      };
      await as('CREDENTIAL_MISSING');
      await as('CREDENTIAL_INVALID', 'lhs_none');
      await as('CREDENTIAL_EXPIRED', expired);
      await as('CREDENTIAL_NOT_PERMITTED', withoutScope);
    }
    Object.defineProperty(guarded, 'now', {
      get: () => {
        throw new Error('no clock');
      },
    });
    const headers = { 'X-Api-Key': owner };
    for (const path of paths) {
      const asked = path === '/sign-byoc-job' ? signJob(guarded, {}, { headers }) : undefined;
      expect((await (asked ?? ask(guarded, path, { headers }))).status).toBe(500);
    }
  });

  it('when it can’t work on the request now', async () => {
    const { promise: goOn, resolve } = Promise.withResolvers<unknown>();
    const { promise: isAsked, resolve: noteAsked } = Promise.withResolvers<unknown>();
    let isHeld = false;
    const busy = await start({
      settings: {
        server: { listen: '127.0.0.1:0', maxRequestsInWork: 1, cors: { origins: [page] } },
        ...allRoutes,
      },
      reply: async (signature) => {
        if (isHeld) {
          noteAsked(true);
          await goOn;
        }
        return { encoding: 'raw', bytes: signature };
      },
    });
    busy.now = usualNow;
    isHeld = true;
    const held = pay(busy);
    await isAsked;
    for (const path of paths) expect((await ask(busy, path)).status).toBe(503);
    resolve(true);
    await held;
  });

  it('when it tells of orchestrators, as often as it may be asked', async () => {
    const orchestrator = await startOrchestrator();
    opened.defer(() => orchestrator.close());
    const discovering = await start({
      settings: {
        discovery: {
          orchestrators: [orchestrator.url],
          grants: ['127.0.0.0/8'],
          verifyTls: false,
          refreshIntervalMs: 50,
          requestsPerSecond: 3,
        },
      },
    });
    await soon(async () => {
      const { status, text } = await ask(discovering, '/discover-orchestrators?caps=&app=');
      expect({ status, text }).toMatchObject({
        status: 200,
        text: expect.stringContaining('price_info') as string,
      });
    });
    await soon(async () => {
      const asked = paths.map(() => ask(discovering, '/discover-orchestrators'));
      const statuses = await Promise.all([...asked, ask(discovering, '/discover-orchestrators')]);
      expect(statuses.map(({ status }) => status)).toContain(429);
    });
    expect((await ask(signer, '/discover-orchestrators')).status).toBe(404);
    const method = 'DELETE';
    expect((await ask(discovering, '/discover-orchestrators', { method })).status).toBe(405);
  });

  it('when another method is used, and when a page asks whether it may', async () => {
    for (const path of paths) {
      const isOptional = ['/discover-orchestrators', '/sign-byoc-job'].includes(path);
      const asked = isOptional ? wholeSigner : signer;
      expect((await ask(asked, path, { method: 'PUT' })).status).toBe(405);
      expect((await ask(asked, path, { method: 'OPTIONS' })).status).toBe(405);
      const headers = { 'Access-Control-Request-Method': 'POST' };
      expect((await ask(asked, path, { method: 'OPTIONS', headers })).status).toBe(204);
    }
  });

  it('and the document has no path, method, status, header, media type or code that none of them had', () => {
    expect(recorder.seen).toEqual(recorder.documented);
  });
});

let signer: TestSigner;
let wholeSigner: TestSigner;
let webhook: AuthWebhook;
let isKeyDown = false;

beforeAll(async () => {
  webhook = await startAuthWebhook();
  opened.defer(() => webhook.close());
  signer = await start({
    settings: { auth: { webhook: { url: webhook.url } } },
    reply: (signature) => {
      if (isKeyDown) throw new ProviderError('PROVIDER_UNAVAILABLE', 'the device is gone');
      return { encoding: 'raw', bytes: signature };
    },
  });
  signer.now = usualNow;
  wholeSigner = await start({ settings: allRoutes });
});
