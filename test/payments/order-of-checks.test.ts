import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ProviderError } from '../../src/keys/provider.ts';
import { maxUint256 } from '../../src/pm/bytes.ts';
import {
  type TestAnswer,
  type TestSigner,
  startTestSigner,
  vectorChain,
} from '../support/test-signer.ts';
import { type AuthWebhook, startAuthWebhook } from './auth-webhook.ts';
import { expectError, expectPaid, masked500, masked503 } from './expectations.ts';
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

/** A row of "Order of checks": what to do to the usual request, which is paid, and what answers then. */
type Row = {
  /** the row's number in the protocol, in its order */
  readonly row: string;
  readonly when: string;
  readonly request?: Changes;
  /** members of the auth webhook's answer */
  readonly webhook?: Members;
  readonly isKeyDown?: boolean;
  readonly answers: readonly [status: number, message: string | RegExp];
};

const bytes = (text: string) => new TextEncoder().encode(text);
const ofType = (type: string): Changes => ({ body: { type }, state: { Type: type } });
const ofLv2v = (lastUpdate: string): Changes => ({
  body: { type: 'lv2v' },
  state: { Type: 'lv2v', Balance: '0', LastUpdate: lastUpdate },
  ticketParams: ticketsWorth(10n ** 12n),
});
const maxPrice = (price: string, currency: string, unit: string) => ({
  maxPrice: { price, currency, unit },
});

const refresh = 'refresh session for remote signer';
const unusable = 'remote signer could not check whether to refresh session: ';
const wordTooWide = uint(maxUint256 + 1n);
const { faceValue, winProb } = ticketsWorth(10n ** 12n);
const deposit = 5n * 10n ** 17n;

// prettier-ignore
const rows: readonly Row[] = [
  { row: '2', when: 'a field is of another type', request: { body: { inPixels: '5' } }, answers: [400, /^field inPixels: expected an integer/] },
  { row: '3', when: 'there is no orchestrator', request: { body: { orchestrator: null } }, answers: [400, 'missing orchestrator'] },
  { row: '4', when: 'the orchestrator is no protobuf', request: { body: { orchestrator: Buffer.of(0xff) } }, answers: [400, /^proto:/] },
  { row: '5', when: 'there is no price', request: { priceInfo: null }, answers: [400, 'missing or zero priceInfo'] },
  { row: '5', when: 'pricePerUnit is 0', request: { priceInfo: { pricePerUnit: 0n, pixelsPerUnit: 1n } }, answers: [400, 'missing or zero priceInfo'] },
  { row: '5', when: 'pixelsPerUnit is 0', request: { priceInfo: { pricePerUnit: 1n, pixelsPerUnit: 0n } }, answers: [400, 'missing or zero priceInfo'] },
  { row: '5 (difference 13)', when: 'pricePerUnit is negative', request: { priceInfo: { pricePerUnit: -1n, pixelsPerUnit: 1n } }, answers: [400, 'negative priceInfo'] },
  { row: '5 (difference 13)', when: 'pixelsPerUnit is negative', request: { priceInfo: { pricePerUnit: 1n, pixelsPerUnit: -1n } }, answers: [400, 'negative priceInfo'] },
  { row: '5 (difference 13)', when: 'both are negative', request: { priceInfo: { pricePerUnit: -1n, pixelsPerUnit: -1n } }, answers: [400, 'negative priceInfo'] },
  { row: '6', when: 'there are no ticket parameters', request: { ticketParams: null }, answers: [400, 'missing ticketParams in OrchestratorInfo'] },
  { row: '7', when: 'another key sealed the state', request: { sealWith: `0x${'11'.repeat(32)}` }, answers: [400, 'invalid sig'] },
  { row: '8', when: 'the state is no JSON', request: { stateBytes: bytes('not JSON') }, answers: [400, 'invalid state'] },
  { row: '9', when: 'the state is for another orchestrator', request: { state: { OrchestratorAddress: `0x${'22'.repeat(20)}` } }, answers: [400, 'orchestratorAddress mismatch'] },
  { row: '10', when: 'the state is for another app', request: { body: { app: 'mine' }, state: { App: 'other' } }, answers: [400, 'app mismatch'] },
  { row: '10', when: 'the app is left out', request: { body: { app: '' }, state: { App: 'other' } }, answers: [400, 'app mismatch'] },
  { row: '10', when: 'the app differs in case', request: { body: { app: 'App' }, state: { App: 'app' } }, answers: [400, 'app mismatch'] },
  { row: '11', when: 'the state is for another type', request: { body: { type: 'live' }, state: { Type: 'fixed' } }, answers: [400, 'job type mismatch'] },
  { row: '11', when: 'the type is left out', request: { body: { type: '' }, state: { Type: 'fixed' } }, answers: [400, 'job type mismatch'] },
  { row: '12', when: 'a running session has no manifest id', request: { body: { ManifestID: '' } }, answers: [400, 'missing manifestID'] },
  { row: '12 (difference 9)', when: 'the state is for another recipient', request: { state: { Recipient: `0x${'33'.repeat(20)}` } }, answers: [400, 'ticket recipient mismatch'] },
  { row: '13', when: 'the capabilities are no protobuf', request: { body: { capabilities: Buffer.of(0xff) } }, answers: [400, /^proto:/] },
  { row: '14', when: 'there is no auth token', request: { authToken: null }, answers: [400, `${unusable}missing auth token`] },
  { row: '15', when: 'the auth token ends in 179.999999999 s', request: { authToken: { expiration: usualNow / 10n ** 9n + 179n } }, answers: [480, refresh] },
  { row: '15', when: 'the auth token has no end', request: { authToken: { expiration: 0n } }, answers: [480, refresh] },
  { row: '16 (ours)', when: 'the face value has 33 bytes', request: { ticketParams: { faceValue: wordTooWide, winProb } }, answers: [400, `${unusable}ticket faceValue and winProb must fit into 32 bytes`] },
  { row: '16 (ours)', when: 'the win probability has 33 bytes', request: { ticketParams: { faceValue, winProb: wordTooWide } }, answers: [400, `${unusable}ticket faceValue and winProb must fit into 32 bytes`] },
  { row: '16', when: 'the expiration block is 0', request: { ticketParams: { expirationBlock: uint(0n), faceValue, winProb } }, answers: [400, `${unusable}ticketParams expiration block is 0`] },
  { row: '16', when: 'the ticket parameters end with the next block', request: { ticketParams: { expirationBlock: uint(lastL1Block + 1n), faceValue, winProb } }, answers: [480, refresh] },
  { row: '16', when: 'the ticket parameters have ended', request: { ticketParams: { expirationBlock: uint(1n), faceValue, winProb } }, answers: [480, refresh] },
  { row: '16', when: 'every ticket wins', request: { ticketParams: { faceValue, winProb: uint(maxUint256) } }, answers: [400, `${unusable}ticket faceValue too low faceValue=3000000000000`] },
  { row: '16', when: 'a ticket is worth too much', request: { ticketParams: ticketsWorth(3n * 10n ** 12n + 1n) }, answers: [400, `${unusable}ticket EV 3000000000001.00000 > max ticket EV 3000000000000.00000`] },
  { row: '16', when: 'a ticket could win more than the deposit', request: { ticketParams: { faceValue: uint(deposit + 1n), winProb: uint(2n ** 236n) } }, answers: [400, `${unusable}ticket faceValue 500000000000000001 > max faceValue 500000000000000000`] },
  { row: '16 (difference 17)', when: 'the nonces are nearly used up', request: { state: { SenderNonce: 500 }, ticketParams: { faceValue, winProb } }, answers: [480, refresh] },
  { row: '17', when: 'the type is unknown', request: { body: { type: 'usage' }, state: { Type: '' } }, answers: [400, 'invalid job type'] },
  { row: '17', when: 'the type is in capitals', request: { body: { type: 'LV2V' }, state: { Type: '' } }, answers: [400, 'invalid job type'] },
  { row: '18', when: 'neither type nor pixels are given', request: mergeChanges({ body: { inPixels: 0 } }, ofType('')), answers: [400, 'missing billable unit or job type'] },
  { row: '18', when: 'the pixels are negative', request: mergeChanges({ body: { inPixels: -1 } }, ofType('')), answers: [400, 'missing billable unit or job type'] },
  { row: '18', when: 'no whole pixel has passed', request: ofLv2v('2026-04-07T20:00:04.999999964Z'), answers: [400, 'missing billable unit or job type'] },
  { row: '19', when: 'maxPrice.price is 0', request: mergeChanges({ body: maxPrice('0', 'eur', 'x') }, ofLv2v('2026-04-07T20:00:00Z')), answers: [400, 'maxPrice.price must be a positive decimal'] },
  { row: '19', when: 'maxPrice.currency is not wei', request: mergeChanges({ body: maxPrice('1', 'eur', 'x') }, ofLv2v('2026-04-07T20:00:00Z')), answers: [400, 'maxPrice.currency must be wei'] },
  { row: '19', when: 'maxPrice comes without a type', request: mergeChanges({ body: { inPixels: 1, ...maxPrice('1', 'wei', 'x') } }, ofType('')), answers: [400, 'maxPrice requires payment type live, lv2v, or fixed'] },
  { row: '19', when: 'maxPrice.unit is another type’s', request: mergeChanges({ body: maxPrice('1', 'wei', 'seconds') }, ofLv2v('2026-04-07T20:00:00Z')), answers: [400, 'maxPrice.unit must be 720p-pixel-seconds for payment type lv2v'] },
  { row: '20', when: 'the state’s price is 0', request: { state: { InitialPricePerUnit: 0, InitialPixelsPerUnit: 1 } }, answers: [400, 'invalid initial price in state'] },
  { row: '20', when: 'the state’s price is for no pixels', request: { state: { InitialPricePerUnit: 1200, InitialPixelsPerUnit: 0 } }, answers: [400, 'invalid initial price in state'] },
  { row: '20', when: 'the state’s price is negative', request: { state: { InitialPricePerUnit: -1200, InitialPixelsPerUnit: -1 } }, answers: [400, 'invalid initial price in state'] },
  { row: '21', when: 'the price has risen', request: { priceInfo: { pricePerUnit: 1201n, pixelsPerUnit: 1n } }, answers: [481, 'orchestrator price 1201.000 exceeds initial session price ceiling 1200.000'] },
  { row: '22', when: 'the credit lasts', request: { state: { Balance: '100000000000000000000' } }, answers: [482, 'no tickets'] },
  { row: '22', when: 'a ticket is worth nothing', request: { ticketParams: { faceValue: uint(0n), winProb } }, answers: [482, 'no tickets'] },
  { row: '23', when: '120 tickets are due', request: ofLv2v('2026-04-07T19:00:05Z'), answers: [400, 'numTickets 120 exceeds maximum of 100'] },
  { row: '24 (difference 18)', when: 'the tickets are worth too much together', request: ofLv2v('2026-04-07T19:47:32Z'), answers: [400, 'total ticket EV 25000000000000.00000 for 25 tickets > max total ticket EV 20000000000000.00000'] },
  { row: '25 (ours)', when: 'the credentials would be as long as a ticket', request: { body: { ManifestID: 'm'.repeat(168) } }, answers: [400, 'manifestID must not have 168 bytes'] },
  { row: '26', when: 'the webhook says no', webhook: { status: 402, reason: 'no money' }, answers: [402, 'no money'] },
  { row: '27', when: 'the webhook’s maxPrice is 0', webhook: maxPrice('0', 'wei', '720p-pixel-seconds'), answers: [502, 'signer auth invalid maxPrice: maxPrice.price must be a positive decimal'] },
  { row: '28', when: 'the webhook’s maxPrice is lower', webhook: maxPrice('1199.5', 'wei', '720p-pixel-seconds'), answers: [481, 'orchestrator price 1200.000 exceeds auth webhook maxPrice ceiling 1199.500'] },
  { row: '29', when: 'the payer has changed', request: { state: { AuthID: 'tenant-a' } }, webhook: { auth_id: 'tenant-b' }, answers: [500, masked500] },
  { row: '24, 25, 30 (differences 1, 30)', when: 'the key can’t be reached', isKeyDown: true, answers: [503, masked503] },
];

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
