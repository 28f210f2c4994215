import { afterEach, describe, expect, it, vi } from 'vitest';
import { Folder } from '../cli/cli.ts';
import { type Paid, expectPaid } from '../payments/expectations.ts';
import { ticketsWorth, usualNow, usualTokenExpiration } from '../payments/request-builder.ts';
import { startRedisServer } from '../support/redis-server.ts';
import { expectFailure } from './evidence.ts';
import {
  type GuardedSigner,
  firstPayment,
  nextPayment,
  startGuardedSigner,
} from './guarded-signer.ts';

let signer: GuardedSigner | undefined;
afterEach(async () => {
  vi.useRealTimers();
  await signer?.close();
  signer = undefined;
});

const second = 1_000_000_000n;
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

/** Windows of the least and the largest length, which clock steps of an hour and a day lie between. */
const policy = `default: allow
rules:
  - { id: minutely, window: { per: all, every: 1m, tickets: 1000 } }
  - { id: hourly, window: { per: all, every: 1h, tickets: 5 } }
  - { id: daily, window: { per: all, every: 1d, tickets: 5 } }`;

/** Sets the clock of the machine, as far as the signer can see it. */
function setMachineClock(ms: number): void {
  vi.useFakeTimers({ toFake: ['Date'], now: ms });
}

describe('windows', () => {
  const steps = [hour, day, 32 * day, -hour, -day];

  async function expectExhausted(running: GuardedSigner): Promise<void> {
    expectFailure(running, await running.post(await firstPayment(1)), 429, 'WINDOW_EXHAUSTED');
    expect(running.key.digests).toHaveLength(0);
  }

  async function expectExhaustedAtAllTimes(running: GuardedSigner): Promise<void> {
    expectPaid(await running.post(await firstPayment(5)));
    running.key.reset();
    const startedAt = Date.now();
    for (const step of steps) {
      running.now = usualNow + BigInt(step) * 1_000_000n;
      setMachineClock(startedAt + step);
      // the auth token must outlive the step
      const authToken = { expiration: usualTokenExpiration + 100n * 86_400n };
      const answer = await running.post(await firstPayment(1, { authToken }));
      expectFailure(running, answer, 429, 'WINDOW_EXHAUSTED');
      expect(running.key.digests).toHaveLength(0);
    }
  }

  it('of the embedded ledger are not freed by a step of the clock', async () => {
    signer = await startGuardedSigner({ policy });
    await expectExhaustedAtAllTimes(signer);
  });

  it('in Redis are not freed by a step of the signer’s clock', async () => {
    await using redis = await startRedisServer();
    signer = await startGuardedSigner({
      policy,
      settings: { store: { kind: 'redis', url: redis.url } },
    });
    await expectExhaustedAtAllTimes(signer);
    await signer.close();
    signer = undefined;
  });

  it.each([-hour, -day])('are not freed by a restart after a step of %i ms', async (step) => {
    using folder = new Folder();
    const settings = { store: { kind: 'embedded', path: folder.path } };
    signer = await startGuardedSigner({ policy, settings });
    expectPaid(await signer.post(await firstPayment(5)));
    await signer.close();
    setMachineClock(Date.now() + step);
    signer = await startGuardedSigner({ policy, settings });
    await expectExhausted(signer);
  });
});

describe('the time of a session', () => {
  const weiPerSecond = 1_000n;
  /** The first payment's tickets pay for a thousand seconds each. */
  const firstEv = 1_000n * weiPerSecond;
  /** The first payment of `live` is for so many seconds ahead. */
  const preloadedSeconds = 10n;

  it('is never billed twice, wherever the clock goes', async () => {
    const running = (signer = await startGuardedSigner());
    let paid: Paid | undefined;
    let payments = 0n;
    /** wei */
    let ticketsWorthSoFar = 0n;

    /** Pays at so many seconds after the start by the signer's clock. A ticket is always due: each time they are worth more. */
    async function payAt(seconds: bigint): Promise<void> {
      running.now = usualNow + seconds * second;
      const ev = firstEv * 2n ** payments;
      const changes = {
        body: { type: 'live', inPixels: 0 },
        priceInfo: { pricePerUnit: weiPerSecond, pixelsPerUnit: 1n },
        ticketParams: ticketsWorth(ev),
        authToken: { expiration: usualTokenExpiration + 100n * 86_400n },
      };
      const request = await (paid
        ? nextPayment(paid.sealed, 0, changes)
        : firstPayment(0, changes));
      paid = expectPaid(await running.post(request));
      payments += 1n;
      ticketsWorthSoFar += BigInt(paid.ticketCount) * ev;
    }

    /** What all tickets are worth, less the credit that is left of it. */
    function billedSeconds(): bigint {
      const [numerator = '', denominator = '1'] = (paid?.state['Balance'] ?? '').split('/');
      const creditWei = BigInt(numerator) / BigInt(denominator);
      return (ticketsWorthSoFar - creditWei) / weiPerSecond;
    }

    const [hour, day] = [3_600n, 86_400n];
    const steps = [
      ...[0n, hour, 0n, hour - 1n, hour, hour + 5n, -day, -hour, hour + 5n, hour + 7n],
      ...[day, hour + 9n, day - 1n, day + 2n],
    ];
    let latest = 0n;
    for (const seconds of steps) {
      await payAt(seconds);
      if (seconds > latest) latest = seconds;
      expect(billedSeconds()).toBe(preloadedSeconds + latest);
    }
  });
});
