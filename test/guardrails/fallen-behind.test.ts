import { afterEach, expect, it } from 'vitest';
import { type Paid, expectPaid } from '../payments/expectations.ts';
import { usualNow } from '../payments/request-builder.ts';
import { expectFailure } from './evidence.ts';
import {
  type GuardedSigner,
  firstPayment,
  nextPayment,
  startGuardedSigner,
  ticketEv,
} from './guarded-signer.ts';

const second = 1_000_000_000n;
let signer: GuardedSigner;
afterEach(() => signer.close());

const window = (every: string, limit: string): string =>
  `default: allow\nrules: [{ id: hourly, window: { per: all, every: ${every}, ${limit} } }]`;

async function start(limit: string, settings = {}): Promise<Paid> {
  signer = await startGuardedSigner({ policy: window('1h', limit), settings });
  return expectPaid(await signer.post(await firstPayment(1, { body: { type: 'live' } })));
}

const next = async (paid: Paid, type = 'live') =>
  signer.post(await nextPayment(paid.sealed, 1, { body: { type } }));

/** A window of another length begins at nothing. */
async function emptyWindow(every: string, limit: string): Promise<void> {
  const before = signer.logLines.length;
  signer.writePolicy(window(every, limit));
  await expect
    .poll(() => signer.logLines.slice(before).some(({ msg }) => msg === 'file reloaded'), {
      timeout: 20_000,
    })
    .toBe(true);
}

it.each([
  ['tickets', 'tickets: 20'],
  ['expected value', `ev: ${20n * ticketEv} wei`],
])('a live session goes on once its window has room, limited by %s', async (_, limit) => {
  const first = await start(limit);
  expect(first.ticketCount).toBeGreaterThan(0);
  signer.now = usualNow + 19n * second;
  expectFailure(signer, await next(first), 429, 'WINDOW_EXHAUSTED');
  // by now it owes more than the whole window holds
  signer.now = usualNow + 60n * second;
  signer.key.reset();
  const refused = await next(first);
  expectFailure(signer, refused, 429, 'WINDOW_EXHAUSTED');
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(3_000);
  expect(signer.key.digests).toHaveLength(0);

  await emptyWindow('2h', limit);
  const partly = expectPaid(await next(first));
  expect(partly.ticketCount).toBe(20);
  expect(partly.state['Balance']).toMatch(/^-/);
  expectFailure(signer, await next(partly), 429, 'WINDOW_EXHAUSTED');
  await emptyWindow('3h', limit);
  const rest = expectPaid(await next(partly));
  expect(rest.ticketCount).toBe(20);
  // 60 s and the 10 s of the preload, a ticket each
  const paid = [first, partly, rest].map(({ ticketCount }) => ticketCount);
  await emptyWindow('4h', limit);
  const last = expectPaid(await next(rest));
  expect(last.state['Balance']).not.toMatch(/^-/);
  expect(paid.reduce((a, b) => a + b) + last.ticketCount).toBe(60 + 10 + 10);
});

it('a session pays at most what one payment may hold, and then the rest', async () => {
  const first = await start('tickets: 500');
  signer.now = usualNow + 250n * second;
  const partly = expectPaid(await next(first));
  expect(partly.ticketCount).toBe(100);
  expect(expectPaid(await next(partly)).ticketCount).toBe(100);
});

it('no first payment is paid in part, and none of a rule that has no room for a ticket', async () => {
  signer = await startGuardedSigner({ policy: window('1h', 'tickets: 5') });
  const live = { body: { type: 'live' } };
  expectFailure(signer, await signer.post(await firstPayment(1, live)), 403, 'RULE_LIMIT_EXCEEDED');
  const fixed = { body: { type: 'fixed' } };
  const paid = expectPaid(await signer.post(await firstPayment(1, fixed)));
  const body = { type: 'fixed', inPixels: 9 };
  const more = await signer.post(await nextPayment(paid.sealed, 9, { body }));
  expect(more.status).not.toBe(429);
});

it('as upstream bills, nothing is paid in part', async () => {
  const first = await start('tickets: 20', { billing: { rule: 'upstream' } });
  signer.now = usualNow + 60n * second;
  expectFailure(signer, await next(first), 403, 'RULE_LIMIT_EXCEEDED');
});
