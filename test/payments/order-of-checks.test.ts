import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ProviderError } from '../../src/keys/provider.ts';
import {
  type TestAnswer,
  type TestSigner,
  startTestSigner,
  vectorChain,
} from '../support/test-signer.ts';
import { type AuthWebhook, startAuthWebhook } from './auth-webhook.ts';
import { expectError, expectPaid } from './expectations.ts';
import {
  type Changes,
  type Members,
  buildRequest,
  lastL1Block,
  mergeChanges,
  ticketsWorth,
  uint,
  usualNow,
  usualTokenExpiration,
  usualUrl,
} from './request-builder.ts';
import {
  type Row,
  deposit,
  maxPrice,
  ofLv2v,
  ofType,
  refresh,
  rows,
  unusable,
} from './order-of-checks.ts';

describe('the order of checks', () => {
  let signer: TestSigner;
  let webhook: AuthWebhook;
  let isKeyDown = false;

  beforeAll(async () => {
    webhook = await startAuthWebhook();
    signer = await startTestSigner({
      settings: { auth: { webhook: { url: webhook.url } } },
      reply: (signature) => {
        if (isKeyDown) throw new ProviderError('PROVIDER_UNAVAILABLE', 'the device is gone');
        return { encoding: 'raw', bytes: signature };
      },
    });
    signer.now = usualNow;
  });
  beforeEach(() => {
    webhook.asked.length = 0;
    signer.key.reset();
  });
  afterAll(async () => {
    await signer.close();
    await webhook.close();
  });

  async function ask({ request = {}, webhook: reply, isKeyDown: isDown }: Partial<Row>) {
    webhook.reply = { status: 200, ...reply };
    isKeyDown = isDown ?? false;
    return signer.post(await buildRequest(request));
  }

  const isBeforeWebhook = ({ webhook: reply, isKeyDown: isDown }: Row) => !reply && !isDown;

  function expectAnswerOf(row: Row, answer: TestAnswer) {
    const [status, message] = row.answers;
    expectError(answer, status, message);
    if (status === 480) expect(answer.headers.get('livepeer-orchestrator-url')).toBe(usualUrl);
    if (!row.isKeyDown) expect(signer.key.digests).toHaveLength(0);
    if (isBeforeWebhook(row)) expect(webhook.asked).toHaveLength(0);
  }

  it('pays the usual request, which every row alters, after asking the webhook once', async () => {
    const paid = expectPaid(await ask({}));
    expect(paid.ticketCount).toBe(2);
    expect(signer.key.digests).toHaveLength(2 + 1);
    expect(webhook.asked).toHaveLength(1);
  });

  it.each(rows)('row $row answers when $when', async (row) => {
    expectAnswerOf(row, await ask(row));
    if (!isBeforeWebhook(row)) expect(webhook.asked).toHaveLength(1);
    if (row.isKeyDown) expect(signer.key.digests.length).toBeGreaterThan(0);
  });

  it.each(rows.slice(0, -1).map((row, index) => ({ ...row, later: rows.slice(index + 1) })))(
    'row $row ($when) answers before every later row that fails too',
    async (row) => {
      for (const { request = {}, webhook: reply, isKeyDown: isDown } of row.later) {
        const both = {
          request: mergeChanges(row.request ?? {}, request),
          webhook: { ...reply, ...row.webhook },
          ...(isDown && { isKeyDown: isDown }),
        };
        webhook.asked.length = 0;
        expectAnswerOf(row, await ask(both));
      }
    },
  );

  // prettier-ignore
  const passing: readonly { when: string; request: Changes; webhook?: Members }[] = [
    { when: 'the auth token ends in exactly 180 s', request: { authToken: { expiration: usualNow / 10n ** 9n + 180n } } },
    { when: 'the ticket parameters end in two blocks', request: { ticketParams: { expirationBlock: uint(lastL1Block + 2n) } } },
    { when: 'the expiration block is 2^64 (difference 27)', request: { ticketParams: { expirationBlock: uint(2n ** 64n) } } },
    { when: 'a ticket is worth exactly the maximum', request: { ticketParams: ticketsWorth(3n * 10n ** 12n) } },
    { when: 'a ticket could win exactly the deposit', request: { ticketParams: { faceValue: uint(deposit), winProb: uint(2n ** 236n) } } },
    { when: 'the last nonce was 499', request: { state: { SenderNonce: 499 } } },
    { when: '500 nonces were used with other parameters', request: { state: { SenderNonce: 500, PMSessionID: `0x${'44'.repeat(32)}` } } },
    { when: 'one pixel has passed in 37 ns', request: ofLv2v('2026-04-07T20:00:04.999999963Z') },
    { when: 'the price has fallen', request: { priceInfo: { pricePerUnit: 1199n, pixelsPerUnit: 1n } } },
    { when: 'the price is the same in other numbers', request: { priceInfo: { pricePerUnit: 2400n, pixelsPerUnit: 2n } } },
    { when: 'the tickets are worth exactly the maximum together', request: mergeChanges({ state: { Balance: `${1200n * 27_648_000n * 5n - 19n * 10n ** 12n}` } }, ofLv2v('2026-04-07T20:00:00Z')) },
    { when: 'the webhook’s maxPrice is the price', request: {}, webhook: maxPrice('1200', 'wei', '720p-pixel-seconds') },
    { when: 'the webhook names the same payer', request: { state: { AuthID: 'tenant-a' } }, webhook: { auth_id: 'tenant-a' } },
    { when: 'the webhook names no payer', request: { state: { AuthID: 'tenant-a' } }, webhook: {} },
    { when: 'the state has no type yet', request: { state: { Type: '' } } },
    { when: 'the state’s address is in capitals', request: { state: { OrchestratorAddress: '0x9965507D1A55BCC2695C58BA16FB37D819B0A4DC' } } },
    { when: 'the orchestrator’s address has leading bytes', request: { info: { address: Buffer.from(`ffff${'22'.repeat(20)}`, 'hex') }, state: { OrchestratorAddress: `0x${'22'.repeat(20)}` } } },
    { when: 'the orchestrator’s address is short', request: { info: { address: Buffer.of(0x22) }, state: { OrchestratorAddress: `0x${'00'.repeat(19)}22` } } },
    { when: 'the orchestrator has no address', request: { info: { address: Buffer.of() }, state: { OrchestratorAddress: `0x${'00'.repeat(20)}` } } },
    { when: 'the manifest id differs from the first one', request: { body: { ManifestID: 'another' } } },
    { when: 'type and time are ignored but for the pixels named', request: mergeChanges({ body: { inPixels: 1 } }, ofType('')) },
  ];
  it.each(passing)('pays when $when', async ({ request, webhook: reply }) => {
    expectPaid(await ask({ request, ...(reply && { webhook: reply }) }));
  });

  it('has checked the auth token’s end to the nanosecond', async () => {
    const deadline = (usualTokenExpiration - 180n) * 10n ** 9n;
    const request = { state: { LastUpdate: '2026-04-07T20:26:55Z' } };
    signer.now = deadline;
    expectPaid(await ask({ request }));
    signer.key.reset();
    signer.now = deadline + 1n;
    expectError(await ask({ request }), 480, refresh);
    expect(signer.key.digests).toHaveLength(0);
    signer.now = usualNow;
  });
});

describe('the sender’s funds', () => {
  // prettier-ignore
  const funds = [
    { when: 'the deposit can be withdrawn next round', chain: { withdrawRound: 3801 }, reason: 'unable to validate sender: deposit and reserve is set to unlock soon' },
    { when: 'the deposit could be withdrawn for long', chain: { withdrawRound: 1 }, reason: 'unable to validate sender: deposit and reserve is set to unlock soon' },
    { when: 'the reserve is empty', chain: { reserve: '0 wei' }, reason: 'no sender reserve' },
    { when: 'the deposit is empty', chain: { deposit: '0 wei' }, reason: 'no sender deposit' },
    { when: 'reserve and deposit are empty', chain: { reserve: '0 wei', deposit: '0 wei' }, reason: 'no sender reserve' },
  ];
  it.each(funds)('the deposit answers when $when', async ({ chain, reason }) => {
    const signer = await startTestSigner({ settings: { chain: { ...vectorChain, ...chain } } });
    signer.now = usualNow;
    try {
      expectError(await signer.post(await buildRequest()), 400, `${unusable}${reason}`);
      expect(signer.key.digests).toHaveLength(0);
    } finally {
      await signer.close();
    }
  });
});
