import { afterEach, describe, expect, it } from 'vitest';
import { KeyFile } from '../auth/auth-world.ts';
import { Folder } from '../cli/cli.ts';
import { expectError, expectPaid, expectRefusal } from '../payments/expectations.ts';
import { type Changes, usualNow } from '../payments/request-builder.ts';
import { startRedisServer } from '../support/redis-server.ts';
import {
  type GuardedSigner,
  as,
  firstPayment,
  nextPayment,
  startGuardedSigner,
} from './guarded-signer.ts';
import { randomHash, startUniqueSigner, ticketDigests } from './ticket-draws.ts';

const signers: GuardedSigner[] = [];
afterEach(async () => {
  for (const signer of signers.splice(0)) await signer.close();
});

async function start(options: Parameters<typeof startUniqueSigner>[0] = {}) {
  const signer = await startUniqueSigner(options);
  signers.push(signer);
  return signer;
}

const withParams = (recipientRandHash: Uint8Array): Changes => ({
  ticketParams: { recipientRandHash },
});
const [a, b] = [withParams(randomHash()), withParams(randomHash())];

/** That the key was asked for no ticket twice, and for how many. */
function expectAllDifferent(signer: GuardedSigner): number {
  const digests = ticketDigests(signer.key);
  expect(new Set(digests).size).toBe(digests.length);
  return digests.length;
}

describe('a key that draws a new signature each time signs no ticket twice', () => {
  it('when a session alternates between parameters', async () => {
    const signer = await start();
    const first = expectPaid(await signer.post(await firstPayment(2, a)));
    const second = expectPaid(await signer.post(await nextPayment(first.sealed, 3, b)));
    const third = expectPaid(await signer.post(await nextPayment(second.sealed, 2, a)));
    const fourth = expectPaid(await signer.post(await nextPayment(third.sealed, 1, b)));
    expect([first, second, third, fourth].map(({ nonces }) => nonces)).toEqual([
      [1, 2],
      [1, 2, 3],
      [3, 4],
      [4],
    ]);
    expect(expectAllDifferent(signer)).toBe(8);
  });

  it('when a session alternates and forks are denied', async () => {
    const signer = await start({ settings: { policy: { forks: 'deny' } } });
    let { sealed } = expectPaid(await signer.post(await firstPayment(1, a)));
    for (const params of [b, a, b, a]) {
      ({ sealed } = expectPaid(await signer.post(await nextPayment(sealed, 1, params))));
    }
    expect(expectAllDifferent(signer)).toBe(5);
  });

  it('when the same first payment is sent again, one after the other and at once', async () => {
    const signer = await start({ delayMs: 20 });
    const request = await firstPayment(2, a);
    const one = expectPaid(await signer.post(request));
    const answers = await Promise.all(Array.from({ length: 20 }, () => signer.post(request)));
    const nonces = [one, ...answers.map(expectPaid)].flatMap((paid) => [...paid.nonces]);
    expect(nonces.sort((x, y) => x - y)).toEqual(Array.from({ length: 42 }, (_, i) => i + 1));
    expect(expectAllDifferent(signer)).toBe(42);
  });

  it('when answers are forgotten at once, and a state comes back', async () => {
    const signer = await start({ settings: { store: { kind: 'embedded', answersMaxBytes: 0 } } });
    const { sealed } = expectPaid(await signer.post(await firstPayment(1, a)));
    const request = await nextPayment(sealed, 2, a);
    const [first, again] = [await signer.post(request), await signer.post(request)];
    expect([first, again].map((answer) => expectPaid(answer).nonces)).toEqual([
      [2, 3],
      [4, 5],
    ]);
    expect(expectAllDifferent(signer)).toBe(5);
  });

  it('when forks of one state pay with the parameters that it has not seen', async () => {
    const signer = await start();
    const { sealed } = expectPaid(await signer.post(await firstPayment(1, a)));
    const forks = [1, 2, 3].map(async (tickets) =>
      expectPaid(await signer.post(await nextPayment(sealed, tickets, b))),
    );
    const nonces = (await Promise.all(forks)).flatMap((paid) => [...paid.nonces]);
    expect(nonces.sort((x, y) => x - y)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(expectAllDifferent(signer)).toBe(7);
  });

  it('when the orchestrator dates the same parameters anew, or another tenant sends them', async () => {
    const signer = await start();
    const later: Changes = {
      ticketParams: { ...a.ticketParams, expirationBlock: Uint8Array.of(0x01, 0x40, 0x6f, 0x60) },
    };
    expectPaid(await signer.post(await firstPayment(1, a), as('acme:1')));
    const dated = expectPaid(await signer.post(await firstPayment(1, later), as('acme:1')));
    const other = expectPaid(await signer.post(await firstPayment(1, a), as('globex:1')));
    expect([dated.nonces, other.nonces]).toEqual([[2], [3]]);
    expect(expectAllDifferent(signer)).toBe(3);
  });

  it('when tenants with API keys of their own send the same parameters', async () => {
    using folder = new Folder();
    const file = new KeyFile(folder);
    const keys = ['acme', 'globex'].map((tenant) => file.add({ principal: 'gateway', tenant }));
    const signer = await start({ settings: { auth: { apiKeys: { file: file.path } } } });
    const nonces = [];
    for (const key of keys) {
      const answer = await signer.post(await firstPayment(2, a), { 'X-Api-Key': key });
      nonces.push(expectPaid(answer).nonces);
    }
    expect(nonces).toEqual([
      [1, 2],
      [3, 4],
    ]);
    expect(expectAllDifferent(signer)).toBe(4);
  });

  it('when forks owe more tickets than one payment holds, and windows let them pay a part', async () => {
    const signer = await start({
      policy:
        'default: allow\nrules: [{ id: hourly, window: { per: all, every: 1h, tickets: 1000 } }]',
    });
    const live: Changes = { ...a, body: { type: 'live' } };
    const { sealed } = expectPaid(await signer.post(await firstPayment(1, live)));
    signer.now = usualNow + 250n * 1_000_000_000n;
    const fork = async (ManifestID: string) => {
      const changes: Changes = { ...a, body: { type: 'live', ManifestID } };
      return expectPaid(await signer.post(await nextPayment(sealed, 1, changes)));
    };
    const [one, other] = [await fork('one'), await fork('other')];
    expect([one.ticketCount, other.ticketCount]).toEqual([100, 100]);
    expectAllDifferent(signer);
  });

  it('when the key has failed for some tickets of a payment', async () => {
    let left = Infinity;
    const signer = await start({
      reply: (bytes) => {
        left -= 1;
        if (left < 0) throw new Error('the key is broken');
        return { encoding: 'raw', bytes };
      },
    });
    left = 1;
    expect((await signer.post(await firstPayment(3, a))).status).toBeGreaterThanOrEqual(500);
    left = Infinity;
    expect(expectPaid(await signer.post(await firstPayment(2, a))).nonces).toEqual([4, 5]);
    expectAllDifferent(signer);
  });
});

describe('nonces', () => {
  it('that a refused payment would have used are used by the next one', async () => {
    const signer = await start({
      policy: 'default: allow\nrules: [{ id: small, limit: { tickets: 2 } }]',
    });
    expectRefusal(signer, await signer.post(await firstPayment(3, a)), 403, /small/);
    expect(expectPaid(await signer.post(await firstPayment(2, a))).nonces).toEqual([1, 2]);
  });

  it('are used up for all sessions after 500, by whichever of them', async () => {
    const signer = await start({ settings: { tickets: { maxTotalEv: '1 ether' } } });
    for (let payment = 0; payment < 5; payment += 1) {
      expectPaid(await signer.post(await firstPayment(100, a)));
    }
    signer.key.reset();
    const refused = await signer.post(await firstPayment(1, a));
    expectError(refused, 480, 'refresh session for remote signer');
    expect(signer.key.digests).toHaveLength(0);
    expectPaid(await signer.post(await firstPayment(1, b)));
  });

  it('begin anew with each session where they are to be counted as upstream does', async () => {
    const signer = await startGuardedSigner();
    signers.push(signer);
    const request = await firstPayment(2, a);
    const answers = [await signer.post(request), await signer.post(request)].map(expectPaid);
    expect(answers.map(({ nonces }) => nonces)).toEqual([
      [1, 2],
      [1, 2],
    ]);
  });
});

describe('nonces in Redis', () => {
  it('are shared by instances, whether Redis is there or not', async () => {
    await using redis = await startRedisServer();
    const store = { kind: 'redis', url: redis.url, onFailure: 'allow' };
    const [one, other] = [
      await start({ settings: { store } }),
      await start({ settings: { store } }),
    ];
    const first = expectPaid(await one.post(await firstPayment(2, a)));
    const next = expectPaid(await other.post(await nextPayment(first.sealed, 2, b)));
    const back = expectPaid(await one.post(await nextPayment(next.sealed, 2, a)));
    const anew = expectPaid(await other.post(await firstPayment(1, a)));
    expect([back.nonces, anew.nonces]).toEqual([[3, 4], [5]]);

    await redis.kill();
    // an instance alone knows what it has handed out itself
    expect(expectPaid(await other.post(await firstPayment(1, a))).nonces).toEqual([6]);
    expect(expectPaid(await other.post(await nextPayment(first.sealed, 1, a))).nonces).toEqual([7]);
    await redis.start();
    await expect
      .poll(async () => (await fetch(`${other.url}/readyz`)).status, { timeout: 60_000 })
      .toBe(200);
    expect(expectPaid(await other.post(await firstPayment(1, a))).nonces).toEqual([8]);
    expectAllDifferent(other);
  });
});
