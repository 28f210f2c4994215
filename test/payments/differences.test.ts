import { create, toBinary } from '@bufbuild/protobuf';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import { startSigner } from '../../src/main.ts';
import { CapabilitiesSchema } from '../../src/wire/net_pb.ts';
import { createTestKey } from '../support/test-key.ts';
import { type TestSigner, startTestSigner, vectorChain } from '../support/test-signer.ts';
import { ask } from '../auth/ask.ts';
import { vectors } from '../vectors/vectors.ts';
import { type AuthWebhook, startAuthWebhook } from './auth-webhook.ts';
import {
  type Paid,
  expectError,
  expectPaid,
  expectRefusal,
  masked500,
  masked503,
} from './expectations.ts';
import {
  type Changes,
  type Members,
  buildRequest,
  mergeChanges,
  ticketsWorth,
  usualManifestId,
  usualNow,
} from './request-builder.ts';

const second = 1_000_000_000n;
const oneEv = 10n ** 12n;
const ticketParams = ticketsWorth(oneEv);

/** Continues a session with the state of its last answer. */
const continued = ({ sealed }: Paid, changes: Changes = {}) =>
  buildRequest(mergeChanges({ state: null, body: { ...changes.body, state: sealed } }, changes));

describe('difference 2: when a payment is due', () => {
  const lv2v = { type: 'lv2v', inPixels: 0, initialPrice: 1200n };
  const live = { type: 'live', inPixels: 0, initialPrice: oneEv / 10n };
  const fixed = { type: 'fixed', inPixels: 0, initialPrice: 3n * oneEv };
  const pixels = { type: '', inPixels: 1_250_000_000, initialPrice: 1200n };
  const lv2vFee = 1200n * 27_648_000n * 5n;
  // 5 s after the last payment; 0 tickets is a 482
  // prettier-ignore
  const cases: readonly { type: string; inPixels: number; initialPrice: bigint; credit: bigint; here: number; upstream: number }[] = [
    { ...lv2v, credit: 0n, here: 2, upstream: 1 },
    { ...lv2v, credit: -oneEv, here: 3, upstream: 2 },
    { ...lv2v, credit: lv2vFee, here: 1, upstream: 1 },
    { ...lv2v, credit: oneEv - 1n, here: 1, upstream: 1 },
    { ...lv2v, credit: oneEv, here: 1, upstream: 0 },
    { ...lv2v, credit: oneEv + lv2vFee - 1n, here: 1, upstream: 0 },
    { ...lv2v, credit: oneEv + lv2vFee, here: 0, upstream: 0 },
    { ...live, credit: 0n, here: 2, upstream: 1 },
    { ...live, credit: oneEv, here: 1, upstream: 0 },
    { ...live, credit: oneEv + oneEv / 2n - 1n, here: 1, upstream: 0 },
    { ...live, credit: oneEv + oneEv / 2n, here: 0, upstream: 0 },
    { ...fixed, credit: 0n, here: 3, upstream: 3 },
    { ...fixed, credit: 1n, here: 3, upstream: 3 },
    { ...fixed, credit: 3n * oneEv, here: 0, upstream: 0 },
    { ...pixels, credit: 0n, here: 2, upstream: 2 },
    { ...pixels, credit: oneEv / 2n, here: 1, upstream: 1 },
    { ...pixels, credit: 2n * oneEv, here: 0, upstream: 0 },
  ];
  describe.each(['keep-one-ticket', 'upstream'] as const)('under billing.rule %s', (rule) => {
    let signer: TestSigner;
    beforeAll(async () => {
      signer = await startTestSigner({ settings: { billing: { rule } } });
      signer.now = usualNow;
    });
    beforeEach(() => signer.key.reset());
    afterAll(() => signer.close());

    it.each(cases)('"$type" with a credit of $credit', async (terms) => {
      const { type, inPixels, initialPrice, credit } = terms;
      const count = rule === 'upstream' ? terms.upstream : terms.here;
      const answer = await signer.post(
        await buildRequest({
          body: { type, inPixels },
          priceInfo: { pricePerUnit: initialPrice, pixelsPerUnit: 1n },
          ticketParams,
          state: { Type: type, Balance: `${credit}`, InitialPricePerUnit: initialPrice },
        }),
      );
      if (count === 0) {
        expectRefusal(signer, answer, 482, 'no tickets');
        return;
      }
      const { ticketCount, nonces, state } = expectPaid(answer);
      const fee = { lv2v: lv2vFee, live: oneEv / 2n, fixed: 3n * oneEv, '': (3n * oneEv) / 2n }[
        type
      ];
      expect(ticketCount).toBe(count);
      expect(nonces).toEqual(Array.from({ length: count }, (_, index) => 3 + index));
      expect(state['Balance']).toBe(`${credit + BigInt(count) * oneEv - (fee ?? 0n)}`);
    });

    it('never refuses what upstream would pay, for the ticket it keeps', async () => {
      const state = { LastUpdate: '2026-04-07T19:50:18Z' };
      const answer = await signer.post(await buildRequest({ ticketParams, state }));
      expect(expectPaid(answer).ticketCount).toBe(20);
    });
  });
});

describe('differences 25 and 26: the clock steps back', () => {
  let signer: TestSigner;
  beforeEach(async () => {
    signer = await startTestSigner();
    signer.now = usualNow;
  });
  afterAll(() => signer.close());

  it.each(['lv2v', 'live'])('bills no time twice and sends no second preload: %s', async (type) => {
    const body = { type };
    const price =
      type === 'live' ? { priceInfo: { pricePerUnit: oneEv / 10n, pixelsPerUnit: 1n } } : {};
    const first = expectPaid(
      await signer.post(await buildRequest({ ...price, body, ticketParams, state: null })),
    );
    const behind = [0n, -1n, -10n * second, -3600n * second];
    for (const step of behind) {
      signer.now = usualNow + step;
      signer.key.reset();
      const answer = await signer.post(await continued(first, { ...price, body, ticketParams }));
      expectRefusal(signer, answer, 482, 'no tickets');
    }
    signer.now = usualNow + 20n * second;
    const later = expectPaid(
      await signer.post(await continued(first, { ...price, body, ticketParams })),
    );
    expect(later.state['SequenceNumber']).toBe('1');
    await signer.close();
  });

  it('never moves LastUpdate back, even where a ticket is due', async () => {
    signer.now = usualNow - 60n * second;
    const paid = expectPaid(await signer.post(await buildRequest({ ticketParams })));
    expect(paid.ticketCount).toBe(1);
    expect(paid.state).toMatchObject({ LastUpdate: '2026-04-07T20:00:00Z', Balance: `${oneEv}` });

    signer.now = usualNow;
    const next = expectPaid(await signer.post(await continued(paid, { ticketParams })));
    expect(next.state['LastUpdate']).toBe('2026-04-07T20:00:05Z');
    expect(next.state['Balance']).toBe(`${2n * oneEv - 1200n * 27_648_000n * 5n}`);
  });
});

describe('billing.rule upstream, with a state ahead of the clock', () => {
  it.each([
    { type: 'lv2v', price: 1n, preload: 60n * 27_648_000n, perSecond: 27_648_000n },
    { type: 'live', price: oneEv / 10n, preload: oneEv, perSecond: oneEv / 10n },
  ])('bills the preload once, and goes on from now: $type', async (billed) => {
    const { type, price, preload, perSecond } = billed;
    const signer = await startTestSigner({ settings: { billing: { rule: 'upstream' } } });
    const priceInfo = { pricePerUnit: price, pixelsPerUnit: 1n };
    const changes = { body: { type }, priceInfo, ticketParams };
    const state = { Type: type, InitialPricePerUnit: price };
    signer.now = usualNow - 3600n * second;
    const paid = expectPaid(await signer.post(await buildRequest({ ...changes, state })));
    expect(paid.state).toMatchObject({
      LastUpdate: '2026-04-07T19:00:05Z',
      Balance: `${oneEv - preload}`,
    });

    signer.now += second;
    const next = expectPaid(await signer.post(await continued(paid, changes)));
    expect(next.state).toMatchObject({
      LastUpdate: '2026-04-07T19:00:06Z',
      Balance: `${2n * oneEv - preload - perSecond}`,
    });
    await signer.close();
  });
});

describe('difference 9: the recipient is bound', () => {
  const recipient = Buffer.alloc(20, 0x33);
  const other = { ticketParams: { recipient } };

  it('keeps a session to the recipient of its first payment', async () => {
    await using signer = await started({});
    const first = expectPaid(await signer.post(await buildRequest({ state: null })));
    expect(first.state['Recipient']).toBe('0x73aed7b5deb30222fa896f399d46cc99c7bee57f');
    signer.now = usualNow + 20n * second;
    signer.key.reset();
    const answer = await signer.post(await continued(first, other));
    expectRefusal(signer, answer, 400, 'ticket recipient mismatch');
    expect(signer.logLines.at(-1)).toMatchObject({ code: 'STATE_RECIPIENT_MISMATCH' });
    expectPaid(await signer.post(await continued(first)));
  });

  it('binds a session of go-livepeer with its first payment here', async () => {
    await using signer = await started({});
    const taken = expectPaid(await signer.post(await buildRequest(other)));
    expect(taken.state['Recipient']).toBe(`0x${'33'.repeat(20)}`);
    signer.now = usualNow + 20n * second;
    expectError(await signer.post(await continued(taken)), 400, 'ticket recipient mismatch');
  });

  it('binds nothing where states have no more than go-livepeer’s fields', async () => {
    await using signer = await started({ session: { fields: 'upstream' } });
    const first = expectPaid(await signer.post(await buildRequest({ state: null })));
    expect('Recipient' in first.state).toBe(false);
    signer.now = usualNow + 20n * second;
    expectPaid(await signer.post(await continued(first, other)));
  });
});

async function started(settings: Record<string, unknown>): Promise<TestSigner & AsyncDisposable> {
  const signer = await startTestSigner({ settings });
  signer.now = usualNow;
  return Object.assign(signer, { [Symbol.asyncDispose]: () => signer.close() });
}

describe('difference 27: no integer is narrowed', () => {
  // prettier-ignore
  const counts: readonly [count: bigint, inPixels: bigint, pricePerUnit: bigint][] = [
    [101n, 101n, 1n],
    [2n ** 63n, 2n ** 62n, 2n],
    [2n ** 64n, 2n ** 62n, 4n],
    [2n ** 64n + 1n, 274_177n, 67_280_421_310_721n],
    [(2n ** 63n - 1n) ** 2n, 2n ** 63n - 1n, 2n ** 63n - 1n],
  ];
  it.each(counts)('refuses %s tickets', async (count, inPixels, pricePerUnit) => {
    await using signer = await started({});
    const answer = await signer.post(
      await buildRequest({
        state: null,
        body: { type: '', inPixels },
        priceInfo: { pricePerUnit, pixelsPerUnit: 1n },
        ticketParams: ticketsWorth(1n),
      }),
    );
    expectRefusal(signer, answer, 400, `numTickets ${count} exceeds maximum of 100`);
  });

  it('pays 100 tickets', async () => {
    await using signer = await started({});
    const body = { type: '', inPixels: 100 };
    const priceInfo = { pricePerUnit: 1n, pixelsPerUnit: 1n };
    const request = await buildRequest({
      state: null,
      body,
      priceInfo,
      ticketParams: ticketsWorth(1n),
    });
    expect(expectPaid(await signer.post(request)).ticketCount).toBe(100);
  });
});

describe('differences 22 and 23: ids', () => {
  it('are 128 random bits, of sessions and of manifests that the caller left out', async () => {
    const key = createTestKey(vectors.key.privateKey);
    const settings = configSchema.parse({
      server: { listen: '127.0.0.1:0' },
      keys: [{ provider: 'test-key' }],
      chain: vectorChain,
    });
    const signer = await startSigner(
      {
        settings,
        keys: [
          {
            name: 'keys.0:test-key',
            plugin: key.plugin,
            section: {},
            generateIfMissing: false,
            isRetiring: false,
          },
        ],
        resolvePath: (path) => path,
      },
      pino({ level: 'silent' }),
    );
    try {
      const expiration = BigInt(Math.ceil(Date.now() / 1000) + 3600);
      const body = await buildRequest({
        state: null,
        body: { ManifestID: '' },
        authToken: { expiration },
      });
      const ids: string[] = [];
      for (let count = 0; count < 100; count++) {
        const response = await fetch(`${signer.url}/generate-live-payment`, {
          method: 'POST',
          body,
        });
        const { status, headers } = response;
        const paid = expectPaid({ status, headers, text: await response.text() });
        ids.push(paid.manifestId, paid.state['StateID'] ?? '');
      }
      expect(ids.filter((id) => !/^[0-9a-f]{32}$/.test(id))).toEqual([]);
      expect(new Set(ids).size).toBe(200);
      for (let digit = 0; digit < 32; digit++) {
        expect(new Set(ids.map((id) => id[digit])).size).toBeGreaterThan(8);
      }
    } finally {
      await signer.close();
    }
  });

  it('of a manifest are taken as the caller gives them', async () => {
    await using signer = await started({});
    const paid = expectPaid(await signer.post(await buildRequest({ state: null })));
    expect(paid.manifestId).toBe(usualManifestId);
  });
});

describe('differences 11 and 12: configured price ceilings', () => {
  let signer: TestSigner;
  beforeAll(async () => {
    signer = await started({
      prices: {
        maxPrice: { lv2v: '1300 wei', live: '100 wei', fixed: '50.5 wei' },
        capabilities: [
          { pipeline: 'live-video-to-video', model: 'noop', maxPrice: '2000 wei' },
          { pipeline: 'live-video-to-video', maxPrice: '1500 wei' },
          { pipeline: 'text-to-image', model: 'x', maxPrice: '3000 wei' },
          { pipeline: 'upscale', model: 'cheap', maxPrice: '10 wei' },
        ],
      },
    });
  });
  beforeEach(() => signer.key.reset());
  afterAll(() => signer.close());

  type Models = Readonly<Record<number, readonly string[]>>;
  const capabilitiesOf = (models: Models) =>
    toBinary(
      CapabilitiesSchema,
      create(CapabilitiesSchema, {
        constraints: {
          perCapability: Object.fromEntries(
            Object.entries(models).map(([capability, names]) => [
              capability,
              { models: Object.fromEntries(names.map((name) => [name, {}])) },
            ]),
          ),
        },
      }),
    );

  // prettier-ignore
  const ceilings: readonly [type: string, models: Models, ceiling: string, pass: [bigint, bigint], fail: [bigint, bigint]][] = [
    ['lv2v', {}, '1300.000', [1300n, 1n], [13_001n, 10n]],
    ['live', {}, '100.000', [100n, 1n], [101n, 1n]],
    ['fixed', {}, '50.500', [101n, 2n], [102n, 2n]],
    ['lv2v', { 35: ['noop'] }, '2000.000', [2000n, 1n], [2001n, 1n]],
    ['lv2v', { 35: ['other'] }, '1500.000', [1500n, 1n], [1501n, 1n]],
    ['lv2v', { 35: ['noop', 'other'] }, '2000.000', [2000n, 1n], [2001n, 1n]],
    ['lv2v', { 35: ['noop', 'a', 'b', 'c'], 27: ['x'] }, '2000.000', [2000n, 1n], [2001n, 1n]],
    ['live', { 35: ['noop', 'a', 'b', 'c'], 27: ['x'] }, '3000.000', [3000n, 1n], [3001n, 1n]],
    ['lv2v', { 27: ['y'] }, '1300.000', [1300n, 1n], [1301n, 1n]],
    ['lv2v', { 28: ['x'], 99: ['noop'] }, '1300.000', [1300n, 1n], [1301n, 1n]],
    ['lv2v', { 30: ['cheap'] }, '1300.000', [1300n, 1n], [1301n, 1n]],
    ['live', { 30: ['cheap'] }, '10.000', [10n, 1n], [11n, 1n]],
    ['lv2v', { 35: [] }, '1300.000', [1300n, 1n], [1301n, 1n]],
    ['lv2v', { 35: ['__proto__'] }, '1500.000', [1500n, 1n], [1501n, 1n]],
  ];
  it.each(ceilings)('"%s" with models %o: %s', async (type, models, ceiling, pass, fail) => {
    const ask = async ([pricePerUnit, pixelsPerUnit]: [bigint, bigint]) =>
      signer.post(
        await buildRequest({
          state: null,
          body: { type, capabilities: capabilitiesOf(models) },
          priceInfo: { pricePerUnit, pixelsPerUnit },
        }),
      );
    expectPaid(await ask(pass));
    signer.key.reset();
    const exceeded = new RegExp(
      `^orchestrator price [0-9.]+ exceeds configured maximum price ceiling ${ceiling}$`,
    );
    expectRefusal(signer, await ask(fail), 481, exceeded);
  });

  it('holds pixels without a type to the lowest of all', async () => {
    const ask = async (pricePerUnit: bigint) => {
      const priceInfo = { pricePerUnit, pixelsPerUnit: 1n };
      const body = { type: '', inPixels: 1 };
      return signer.post(await buildRequest({ state: null, body, priceInfo }));
    };
    expectPaid(await ask(10n));
    signer.key.reset();
    const exceeded = `orchestrator price 11.000 exceeds configured maximum price ceiling 10.000`;
    expectRefusal(signer, await ask(11n), 481, exceeded);
  });

  // prettier-ignore
  const smallest: readonly [what: string, initial: number, maxPrice: string, named: string][] = [
    ['the configured one', 1400, '1400', 'configured maximum price ceiling 1300.000'],
    ['the request’s', 1250, '1200.5', 'request maxPrice ceiling 1200.500'],
    ['the session’s', 1200, '1250', 'initial session price ceiling 1200.000'],
    ['the configured one, on a tie with all', 1300, '1300', 'configured maximum price ceiling 1300.000'],
    ['the request’s, on a tie with the session’s', 1200, '1200', 'request maxPrice ceiling 1200.000'],
  ];
  it.each(smallest)('names the smallest ceiling: %s', async (_what, initial, price, named) => {
    const answer = await signer.post(
      await buildRequest({
        body: { maxPrice: { price, currency: 'wei', unit: '720p-pixel-seconds' } },
        state: { InitialPricePerUnit: initial },
        priceInfo: { pricePerUnit: 4001n, pixelsPerUnit: 3n },
      }),
    );
    expectRefusal(signer, answer, 481, `orchestrator price 1333.667 exceeds ${named}`);
  });
});

describe('difference 8: Signer-Auth-Id', () => {
  const header = { 'Signer-Auth-Id': 'tenant-a' };

  it.each([[[]], [['10.0.0.0/8', '::1']]])(
    'is ignored from a peer outside of %j',
    async (trustedProxies) => {
      await using signer = await started({ auth: { trustedProxies } });
      const body = await buildRequest({ state: null });
      expect(expectPaid(await signer.post(body, header)).state['AuthID']).toBe('');
      const running = await buildRequest({ state: { AuthID: 'tenant-b' } });
      expect(expectPaid(await signer.post(running, header)).state['AuthID']).toBe('tenant-b');
    },
  );

  it.each([[['127.0.0.1']], [['127.0.0.0/8']]])(
    'is believed from a peer in %j',
    async (trustedProxies) => {
      await using signer = await started({ auth: { trustedProxies } });
      const first = expectPaid(await signer.post(await buildRequest({ state: null }), header));
      expect(first.state['AuthID']).toBe('tenant-a');

      signer.now = usualNow + 20n * second;
      const next = await continued(first);
      expect(expectPaid(await signer.post(next)).state['AuthID']).toBe('tenant-a');
      expectPaid(await signer.post(next, header));
      signer.key.reset();
      const changed = await signer.post(next, { 'Signer-Auth-Id': 'tenant-b' });
      expectRefusal(signer, changed, 500, masked500);
      expect(signer.logLines.at(-1)).toMatchObject({ code: 'AUTH_ID_CHANGED' });
    },
  );
});

describe('the auth webhook', () => {
  let webhook: AuthWebhook;
  let signer: TestSigner;
  beforeAll(async () => {
    webhook = await startAuthWebhook();
    signer = await started({ auth: { webhook: { url: webhook.url, timeoutMs: 2_000 } } });
  });
  beforeEach(() => {
    webhook.reply = { status: 200 };
    webhook.onAsked = () => undefined;
    webhook.asked.length = 0;
    signer.key.reset();
    signer.now = usualNow;
  });
  afterAll(async () => {
    await signer.close();
    await webhook.close();
  });

  it('is asked before the key is touched, with the books as they would become (difference 1)', async () => {
    let digestsWhenAsked: number | undefined;
    webhook.onAsked = () => (digestsWhenAsked = signer.key.digests.length);
    const paid = expectPaid(await signer.post(await buildRequest()));
    expect(digestsWhenAsked).toBe(0);
    expect(signer.key.digests).toHaveLength(2 + 1);
    const { Recipient, CredentialHash, ManifestIDHash, SegCredsSig, ...others } = paid.state;
    const { StartedAt, SpentEV, ...upstream } = others;
    // go-livepeer's state does not tell when the session began: not later than it last paid
    expect(StartedAt).toBe(String(usualNow / 1_000_000_000n - 5n));
    expect(SpentEV).toMatch(/^[1-9]\d*$/);
    expect(ManifestIDHash).toMatch(/^[0-9a-f]{64}$/);
    expect(Buffer.from(SegCredsSig ?? '', 'base64')).toHaveLength(65);
    expect(Recipient).toMatch(/^0x/);
    expect(CredentialHash).toBe('');
    const asked = webhook.asked[0]?.state ?? {};
    expect(
      Object.fromEntries(Object.entries(asked).map(([key, value]) => [key, String(value)])),
    ).toEqual(upstream);
  });

  it.each([400, 401, 402, 403, 429, 480, 482, 483, 499, 502, 599])(
    'passes its %i on with its reason and code, and no key call',
    async (status) => {
      webhook.reply = { status, reason: 'no <money>', code: 'out_of_funds' };
      const answer = await signer.post(await buildRequest());
      expect(answer.status).toBe(status);
      expect(answer.text).toBe(
        String.raw`{"error":{"message":"no \u003cmoney\u003e","code":"out_of_funds"}}` + '\n',
      );
      expect(answer.headers.has('livepeer-orchestrator-url')).toBe(false);
      expect(signer.key.digests).toHaveLength(0);
    },
  );

  it('masks its 500 and 503', async () => {
    webhook.reply = { status: 500, reason: 'secret', code: 'secret' };
    expectRefusal(signer, await signer.post(await buildRequest()), 500, masked500);
    webhook.reply = { status: 503, reason: 'secret' };
    expectRefusal(signer, await signer.post(await buildRequest()), 503, masked503);
  });

  it.each([1, 100, 101, 199, 201, 204, 299, 304, 399, 600, 999, 1000, 2 ** 40])(
    'is not understood when its status is %i: 502 (difference 29)',
    async (status) => {
      webhook.reply = { status, reason: 'x' };
      const message = `the auth webhook answered with status ${status}, not 200 or 400 to 599`;
      expectRefusal(signer, await signer.post(await buildRequest()), 502, message);
    },
  );

  it('that never answers is a masked 500 after its timeout, and no key call', async () => {
    webhook.reply = undefined;
    expectRefusal(signer, await signer.post(await buildRequest()), 500, masked500);
    expect(webhook.asked).toHaveLength(1);
  });

  it('that can’t be reached is a masked 500, and no key call', async () => {
    const gone = await startAuthWebhook();
    await gone.close();
    await using asking = await started({ auth: { webhook: { url: gone.url } } });
    expectRefusal(asking, await asking.post(await buildRequest()), 500, masked500);
  });

  it('is not shown Signer-* headers of strangers, but every other header', async () => {
    await signer.post(await buildRequest(), {
      'Signer-Auth-Id': 'me',
      'Signer-Other': 'x',
      'x-custom': 'y',
      Authorization: 'Bearer a',
    });
    const headers = webhook.asked[0]?.headers ?? {};
    expect(Object.keys(headers).filter((name) => name.startsWith('Signer-'))).toEqual([]);
    expect(headers).toMatchObject({ 'X-Custom': ['y'], Authorization: ['Bearer a'] });
    expect('Host' in headers).toBe(false);
  });

  it('is shown each value of a header that comes several times, in the order they came in', async () => {
    const values = ['b', '', 'a', 'b', 'with, comma'];
    const headers = { 'x-Repeated': values, 'X-Once': 'a, b', Authorization: 'Bearer a' };
    const { status } = await ask(signer.url, { body: await buildRequest(), headers });
    expect(status).toBe(200);
    expect(webhook.asked).toHaveLength(1);
    expect(webhook.asked[0]?.headers).toMatchObject({
      'X-Repeated': values,
      'X-Once': ['a, b'],
      Authorization: ['Bearer a'],
    });
  });

  describe('whose yes holds for a while (difference 7)', () => {
    const alice = { Authorization: 'Bearer alice' };
    const expiry = usualNow / second + 60n;
    let paid: Paid;
    beforeEach(async () => {
      webhook.reply = { status: 200, expiry };
      paid = expectPaid(
        await signer.post(await buildRequest({ state: null, ticketParams }), alice),
      );
      expect(webhook.asked).toHaveLength(1);
      webhook.asked.length = 0;
      signer.now = usualNow + 60n * second;
    });
    const pay = async (headers: Record<string, string>, from = paid) =>
      signer.post(await continued(from, { ticketParams }), headers);

    it('is not asked again for the same credential, to the last second', async () => {
      signer.now = usualNow + 61n * second - 1n;
      const next = expectPaid(await pay(alice));
      expect(webhook.asked).toHaveLength(0);
      expect(next.state).toMatchObject({
        AuthExpiry: `${expiry}`,
        CredentialHash: paid.state['CredentialHash'],
      });
    });

    it('is asked again once that is over', async () => {
      signer.now = usualNow + 61n * second;
      expectPaid(await pay(alice));
      expect(webhook.asked).toHaveLength(1);
    });

    // prettier-ignore
    const others: readonly [who: string, headers: Record<string, string>][] = [
      ['another token', { Authorization: 'Bearer bob' }],
      ['no credential', {}],
      ['the token in another header', { 'X-API-Key': 'Bearer alice' }],
      ['a cookie besides', { ...alice, Cookie: 'session=1' }],
      ['an API key besides', { ...alice, 'X-API-Key': '1' }],
    ];
    it.each(others)('is asked again for %s', async (_who, headers) => {
      webhook.reply = { status: 401, reason: 'who are you?' };
      signer.key.reset();
      expectRefusal(signer, await pay(headers), 401, 'who are you?');
      expect(webhook.asked).toHaveLength(1);
    });

    it('binds its new yes to the new credential', async () => {
      const bob = { Authorization: 'Bearer bob' };
      webhook.reply = { status: 200, expiry: expiry + 60n };
      const bobs = expectPaid(await pay(bob));
      signer.now = usualNow + 80n * second;
      expectPaid(await pay(bob, bobs));
      expect(webhook.asked).toHaveLength(1);
      expectPaid(await pay(alice, bobs));
      expect(webhook.asked).toHaveLength(2);
    });

    it('does not store the credential itself', () => {
      expect(JSON.stringify(paid.state)).not.toContain('alice');
      expect(paid.state['CredentialHash']).toMatch(/^[0-9a-f]{64}$/);
    });

    it('is not asked for what go-livepeer’s states say it allowed', async () => {
      const state: Members = { AuthExpiry: usualNow / second + 60n };
      expectPaid(await signer.post(await buildRequest({ state }), { Authorization: 'Bearer any' }));
      expect(webhook.asked).toHaveLength(0);
    });

    it('holds for nobody who sent no credential, and hands on no state and no answer of theirs', async () => {
      const anonymous = { 'X-Gateway-Key': 'alice' };
      const first = expectPaid(
        await signer.post(await buildRequest({ state: null, ticketParams }), anonymous),
      );
      expect(first.state).toMatchObject({ CredentialHash: '' });
      const body = await continued(first, { ticketParams });
      signer.now = usualNow + 90n * second;
      expectPaid(await signer.post(body, anonymous));
      const times = webhook.asked.length;
      webhook.reply = { status: 401, reason: 'who are you?' };
      signer.key.reset();
      for (const headers of [anonymous, { 'X-Gateway-Key': 'bob' }, {}]) {
        expectRefusal(signer, await signer.post(body, headers), 401, 'who are you?');
      }
      expect(webhook.asked).toHaveLength(times + 3);
    });

    it('holds for no stranger who shows what go-livepeer’s states say it allowed', async () => {
      const state: Members = { AuthExpiry: usualNow / second + 600n };
      expectPaid(await signer.post(await buildRequest({ state })));
      expect(webhook.asked).toHaveLength(1);
    });

    it('holds for the credential in the headers that are configured', async () => {
      const credentialHeaders = ['x-gateway-key', 'Authorization'];
      await using custom = await started({
        auth: { webhook: { url: webhook.url, credentialHeaders } },
      });
      const one = { 'X-Gateway-Key': 'alice', Cookie: 'a=1' };
      const first = expectPaid(
        await custom.post(await buildRequest({ state: null, ticketParams }), one),
      );
      const body = await continued(first, { ticketParams });
      custom.now = usualNow + 60n * second;
      const times = webhook.asked.length;
      const answer = expectPaid(await custom.post(body, { ...one, Cookie: 'a=2' }));
      expect(expectPaid(await custom.post(body, one)).sealed).toEqual(answer.sealed);
      expect(webhook.asked).toHaveLength(times);
      webhook.reply = { status: 401, reason: 'who are you?' };
      custom.key.reset();
      for (const other of [{ 'X-Gateway-Key': 'bob' }, { ...one, Authorization: 'b' }, {}]) {
        expectRefusal(custom, await custom.post(body, other), 401, 'who are you?');
      }
      expect(webhook.asked).toHaveLength(times + 3);
    });

    it('is asked for each payment when it names no expiry', async () => {
      webhook.reply = { status: 200 };
      signer.now = usualNow + 61n * second;
      const next = expectPaid(await pay(alice));
      expect(next.state['AuthExpiry']).toBe('0');
      signer.now = usualNow + 121n * second;
      expectPaid(await pay(alice, next));
      expect(webhook.asked).toHaveLength(2);
    });
  });
});
