import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ProviderError } from '../../src/keys/provider.ts';
import { stepChannels, traceStep, tracedSteps } from '../../src/trace-steps.ts';
import { TestLog, recordsOf } from '../audit/test-log.ts';
import { PayingSession } from '../bench/paying-session.ts';
import { Folder } from '../cli/cli.ts';
import { type AuthWebhook, startAuthWebhook } from '../payments/auth-webhook.ts';
import { soon } from '../support/soon.ts';
import { type TestSigner, startTestSigner } from '../support/test-signer.ts';
import { type CollectedSpan, type OtlpCollector, startOtlpCollector } from './otlp-collector.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const traceparent = `00-${traceId}-00f067aa0ba902b7-01`;
const credential = 'credential-of-the-caller';
const collectorToken = 'token-of-the-collector';

const policy = `default: allow
rules:
  - id: a-day
    window: { per: principal, every: 1d, tickets: 500 }
`;

const opened = new AsyncDisposableStack();
let collector: OtlpCollector;
let webhook: AuthWebhook;
let log: TestLog;
let signer: TestSigner;
let isKeyFailing = false;

beforeAll(async () => {
  collector = await startOtlpCollector();
  opened.defer(() => collector.close());
  webhook = await startAuthWebhook();
  opened.defer(() => webhook.close());
  log = opened.use(new TestLog());
  const folder = opened.use(new Folder());
  process.env['TRACES_TEST_TOKEN'] = collectorToken;
  signer = await startTestSigner({
    // so that each ticket's call but the first waits for its turn behind another one's
    concurrency: 1,
    reply: (bytes) => {
      if (isKeyFailing) throw new ProviderError('PROVIDER_THROTTLED', 'too many calls');
      return { encoding: 'raw', bytes };
    },
    settings: {
      audit: { path: log.folder },
      auth: { webhook: { url: webhook.url } },
      policy: { file: folder.write('policy.yaml', policy) },
      store: { kind: 'embedded', answersMaxBytes: 0, path: `${folder.path}/store` },
      traces: {
        sampleRatio: 1,
        otlp: {
          endpoint: collector.url,
          headers: { 'X-Collector-Token': 'env:TRACES_TEST_TOKEN' },
        },
      },
    },
  });
  opened.defer(() => signer.close());
});

afterAll(() => opened.disposeAsync());

beforeEach(() => {
  isKeyFailing = false;
  webhook.asked.length = 0;
  webhook.askedWith.length = 0;
  webhook.reply = { status: 200, auth_id: 'alice' };
});

const pay = (tickets: number, headers: Record<string, string> = {}) =>
  signer.post(new PayingSession(tickets).request(), { Authorization: credential, ...headers });

/** All spans of a trace, once its request's has come. */
async function traceOf(id: string, ofRequest = requestName): Promise<CollectedSpan[]> {
  const ofTrace = () => collector.spans.filter((span) => span.traceId === id);
  await soon(() => expect(ofTrace().map(({ name }) => name)).toContain(ofRequest));
  return ofTrace();
}

const requestName = 'POST /generate-live-payment';

const named = (spans: readonly CollectedSpan[], name: string): CollectedSpan[] =>
  spans.filter((span) => span.name === name);

describe('a payment that is traced', () => {
  it('is one trace from HTTP to each key call, without secrets and amounts', async () => {
    const answer = await pay(3, { traceparent });
    expect(answer.status).toBe(200);
    const spans = await traceOf(traceId);
    const byId = new Map(spans.map((span) => [span.spanId, span]));
    const pathOf = (span: CollectedSpan): string => {
      const parent = byId.get(span.parentId);
      return parent ? `${pathOf(parent)} > ${span.name}` : span.name;
    };
    expect(spans.map(pathOf).sort()).toEqual(
      [
        requestName,
        `${requestName} > decision`,
        `${requestName} > decision > webhook`,
        `${requestName} > decision > ledger`,
        // of the tickets and of the segment credentials
        ...Array<string>(4).fill(`${requestName} > audit`),
        ...Array<string>(4).fill(`${requestName} > key-call`),
        `${requestName} > seal`,
      ].sort(),
    );
    const [root] = named(spans, requestName);
    expect(root?.parentId).toBe('00f067aa0ba902b7');
    expect(root?.attributes).toEqual({
      'http.request.method': 'POST',
      'http.route': '/generate-live-payment',
      'http.response.status_code': '200',
      'signer.request_id': answer.headers.get('x-request-id'),
    });
    for (const span of spans) {
      expect(span.endedAt >= span.startedAt).toBe(true);
      expect(span.status?.code ?? 0).toBe(0);
      const parent = byId.get(span.parentId);
      if (parent) expect(span.startedAt >= parent.startedAt).toBe(true);
    }
    expect(named(spans, 'key-call').map(({ attributes }) => attributes)).toEqual(
      expect.arrayContaining([
        {
          'signer.provider': 'test-key',
          'signer.intent': 'ticket-batch',
          'signer.signatures': '1',
        },
        {
          'signer.provider': 'test-key',
          'signer.intent': 'segment-credentials',
          'signer.signatures': '1',
        },
      ]),
    );
    // nothing of where it is, or of what it was asked
    expect(named(spans, 'webhook')[0]?.attributes).toEqual({});
    expect(named(spans, 'decision')[0]?.attributes).toEqual({
      'signer.kind': 'payment',
      'signer.result': 'allow',
    });
    const [use] = recordsOf(log.chain).filter(
      ({ kind, request }) => kind === 'key-use' && request === answer.headers.get('x-request-id'),
    );
    expect(use).toMatchObject({ traceId });
    const { evWei, feeWei, faceValueWei, priceWei, winProb } = use?.['amounts'] as Record<
      string,
      string
    >;
    const { payment, state } = JSON.parse(answer.text) as {
      payment: string;
      state: { State: string; Sig: string };
    };
    const sent = Buffer.concat(collector.bodies).toString('latin1');
    expect(sent).toContain('segment-credentials');
    const hidden = [credential, collectorToken, evWei, feeWei, faceValueWei, priceWei, winProb];
    for (const text of [...hidden, payment, state.State, state.Sig, 'alice', signer.address]) {
      expect(text?.length).toBeGreaterThan(1);
      expect(sent).not.toContain(text);
    }
    expect(collector.headers[0]).toMatchObject({ 'x-collector-token': collectorToken });
  });

  it('is a trace of its own, named like the request, where the caller sends none', async () => {
    const answer = await pay(1);
    const spans = await traceOf(answer.headers.get('x-request-id') ?? '');
    expect(named(spans, requestName)[0]?.parentId).toBe('');
    expect(named(spans, 'key-call').length).toBeGreaterThan(0);
  });

  it('has the call of a key that seals the books below the seal', async () => {
    const sealing = await startTestSigner({
      settings: { session: { seal: 'key' }, byoc: { enabled: true } },
    });
    opened.defer(() => sealing.close());
    const answer = await sealing.post(new PayingSession(1).request());
    const spans = await traceOf(answer.headers.get('x-request-id') ?? '');
    const [seal] = named(spans, 'seal');
    const calls = named(spans, 'key-call').map(({ attributes, parentId }) => [
      attributes['signer.intent'],
      parentId === seal?.spanId ? 'seal' : 'other',
    ]);
    expect(calls.sort()).toEqual([
      ['segment-credentials', 'other'],
      ['session-state', 'seal'],
      ['ticket-batch', 'other'],
    ]);

    const job = { id: '1', capability: 'a', request: '', parameters: '', timeout_seconds: 1 };
    const path = '/sign-byoc-job';
    const signed = await fetch(sealing.url + path, { method: 'POST', body: JSON.stringify(job) });
    expect(signed.status).toBe(200);
    const ofJob = await traceOf(signed.headers.get('x-request-id') ?? '', `POST ${path}`);
    expect(named(ofJob, 'decision')[0]?.attributes).toEqual({
      'signer.kind': 'byoc-job',
      'signer.result': 'allow',
    });
  });

  it('is not sent where the caller has decided so', async () => {
    const unsampled = 'b'.repeat(32);
    await pay(1, { traceparent: `00-${unsampled}-00f067aa0ba902b7-00` });
    expect(webhook.askedWith[0]?.['traceparent']).toMatch(
      new RegExp(`^00-${unsampled}-(?!00f067aa0ba902b7)[0-9a-f]{16}-00$`),
    );
    const after = await pay(1);
    await traceOf(after.headers.get('x-request-id') ?? '');
    expect(collector.spans.filter((span) => span.traceId === unsampled)).toEqual([]);
  });

  it('tells by their codes what failed and what was refused', async () => {
    isKeyFailing = true;
    const failed = await pay(1);
    expect(failed.status).toBe(503);
    const spans = await traceOf(failed.headers.get('x-request-id') ?? '');
    const [call] = named(spans, 'key-call').filter(
      ({ attributes }) => attributes['signer.code'] === 'PROVIDER_THROTTLED',
    );
    expect(call?.status).toEqual({ code: 2, message: 'PROVIDER_THROTTLED' });
    expect(named(spans, requestName)[0]).toMatchObject({
      status: { code: 2, message: 'PROVIDER_THROTTLED' },
      attributes: { 'http.response.status_code': '503', 'signer.code': 'PROVIDER_THROTTLED' },
    });

    isKeyFailing = false;
    webhook.reply = { status: 403, reason: 'secret-words-of-the-webhook' };
    const refused = await pay(1);
    const [request] = named(await traceOf(refused.headers.get('x-request-id') ?? ''), requestName);
    expect(request?.attributes).toMatchObject({ 'signer.code': 'AUTH_WEBHOOK_REJECTED' });
    expect(request?.status?.code ?? 0).toBe(0);
    expect(Buffer.concat(collector.bodies).includes('secret-words')).toBe(false);
  });
});

describe("the caller's own ids", () => {
  it('go to the webhook, as parent its own span, to log and audit record', async () => {
    const answer = await pay(1, { traceparent, 'X-Request-Id': 'job-17/attempt:2' });
    const requestId = answer.headers.get('x-request-id');
    expect(requestId).toMatch(/^[0-9a-f]{32}$/);
    const [asked] = webhook.askedWith;
    expect(asked).toMatchObject({ 'x-request-id': 'job-17/attempt:2' });
    await soon(() =>
      expect(collector.spans.map(({ traceId: id, spanId }) => `00-${id}-${spanId}-01`)).toContain(
        asked?.['traceparent'],
      ),
    );
    const sent = collector.spans.find(({ spanId }) => asked?.['traceparent']?.includes(spanId));
    expect(sent).toMatchObject({ name: 'webhook', traceId });
    expect(signer.logLines.find((line) => line['request_id'] === requestId)).toMatchObject({
      trace_id: traceId,
      client_request_id: 'job-17/attempt:2',
    });
    expect(recordsOf(log.chain).find(({ request }) => request === requestId)).toMatchObject({
      traceId,
      clientRequestId: 'job-17/attempt:2',
    });
  });

  it.each([
    ['too short', '00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01'],
    ['upper case', traceparent.toUpperCase()],
    ['no hex', `00-${'g'.repeat(32)}-00f067aa0ba902b7-01`],
    ['no trace', `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`],
    ['no parent', `00-${traceId}-${'0'.repeat(16)}-01`],
    ['the version that is none', `ff-${traceId}-00f067aa0ba902b7-01`],
    ['more than version 00 has', `${traceparent}-more`],
    ['a later version, too long', `01-${traceId}-00f067aa0ba902b7-01-${'x'.repeat(300)}`],
    ['two of them', `${traceparent}, ${traceparent}`],
  ])('a traceparent that is malformed counts as not sent: %s', async (_why, malformed) => {
    const answer = await pay(1, { traceparent: malformed });
    expect(answer.status).toBe(200);
    const requestId = answer.headers.get('x-request-id') ?? '';
    expect(webhook.askedWith[0]?.['traceparent']).toContain(`00-${requestId}-`);
    const line = signer.logLines.find((one) => one['request_id'] === requestId);
    expect(line).not.toHaveProperty('trace_id');
  });

  it('a traceparent of a later version is passed on as version 00', async () => {
    await pay(1, { traceparent: `cc-${traceId}-00f067aa0ba902b7-03-what-comes` });
    expect(webhook.askedWith[0]?.['traceparent']).toMatch(new RegExp(`^00-${traceId}-\\w{16}-01$`));
  });

  it.each([
    ['too long', 'x'.repeat(129)],
    ['a control character', 'job\t17'],
    ['beyond ASCII', 'jöb'],
    ['quotes', 'job"17'],
    ['two of them', 'job-1, job-2'],
  ])('an X-Request-Id that is malformed counts as not sent: %s', async (_why, malformed) => {
    const answer = await pay(1, { 'X-Request-Id': malformed });
    expect(answer.status).toBe(200);
    expect(webhook.askedWith[0]).not.toHaveProperty('x-request-id');
    const requestId = answer.headers.get('x-request-id');
    const line = signer.logLines.find((one) => one['request_id'] === requestId);
    expect(line).toBeDefined();
    expect(line).not.toHaveProperty('client_request_id');
    expect(recordsOf(log.chain).find(({ request }) => request === requestId)).not.toHaveProperty(
      'clientRequestId',
    );
  });
});

describe('a signer without traces', () => {
  it('passes on what the caller sent, and its steps go to nobody', async () => {
    await signer.close();
    for (const step of tracedSteps) expect(stepChannels[step].hasSubscribers).toBe(false);
    const untraced = await startTestSigner({
      settings: { auth: { webhook: { url: webhook.url } } },
    });
    opened.defer(() => untraced.close());
    await untraced.post(new PayingSession(1).request(), { traceparent });
    expect(webhook.askedWith[0]).toMatchObject({ traceparent });
    await expect(traceStep('seal', {}, (step) => Promise.resolve(step))).resolves.toBeUndefined();
  });
});
