import { parseEther } from 'viem';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  expectError,
  expectPaid,
  expectRefusal,
  masked503,
  type Paid,
} from '../payments/expectations.ts';
import {
  type Changes,
  buildRequest,
  mergeChanges,
  ticketsWorth,
  usualNow,
  usualState,
  usualTokenExpiration,
} from '../payments/request-builder.ts';
import { type Anvil, startAnvil } from '../support/anvil.ts';
import { type LivepeerContracts, deployLivepeerContracts } from '../support/livepeer-contracts.ts';
import { type TestPriceFeed, deployPriceFeed, usualAnswer } from '../support/price-feed.ts';
import { soon } from '../support/soon.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { vectors } from '../vectors/vectors.ts';
import { type GuardedOptions, type GuardedSigner, startGuardedSigner } from './guarded-signer.ts';

const ether = parseEther('1');

let anvil: Anvil;
let contracts: LivepeerContracts;
let feed: TestPriceFeed;
let signer: GuardedSigner;

beforeAll(async () => {
  anvil = await startAnvil();
  contracts = await deployLivepeerContracts(anvil);
  await contracts.fundFor(vectors.key.address, ether, ether);
});
afterAll(() => anvil.stop());
beforeEach(async () => {
  feed = await deployPriceFeed(anvil);
});
afterEach(() => signer.close());

function start(prices: object, options: GuardedOptions = {}): Promise<GuardedSigner> {
  return startGuardedSigner({
    ...options,
    settings: {
      chain: {
        source: 'on-chain',
        chainId: anvil.chainId,
        controller: contracts.controller,
        rpcUrls: [anvil.url],
        refreshIntervalMs: 20,
      },
      prices: { feed: { address: feed.address, refreshIntervalMs: 1 }, ...prices },
      ...options.settings,
    },
  });
}

type PricedType = 'lv2v' | 'live' | 'fixed';

/** What each type's payments cost here, in wei per unit, and that in US dollars with ether at 3,200 of them. */
const priced = {
  lv2v: { price: 1_200n, ceiling: '0.382205952 usd/hour', ev: 10n ** 11n },
  live: { price: 10n ** 9n, ceiling: '0.01152 usd/hour', ev: 10n ** 9n },
  fixed: { price: 10n ** 9n, ceiling: '0.0000032 usd', ev: 10n ** 9n },
} as const;

/** A first payment at this type's price, or at one that is so much higher. */
function first(type: PricedType, { extra = 0n, ...changes }: Changes & { extra?: bigint } = {}) {
  return buildRequest(
    mergeChanges(changes, {
      state: null,
      body: { type },
      priceInfo: { pricePerUnit: priced[type].price + extra, pixelsPerUnit: 1n },
      ticketParams: ticketsWorth(priced[type].ev),
      authToken: { expiration: usualTokenExpiration + 86_400n },
    }),
  );
}

/** The next payment of a session, ten seconds later. */
async function payOn(type: PricedType, { sealed }: Paid, paying = signer): Promise<Paid> {
  paying.now = (paying.now ?? usualNow) + 10_000_000_000n;
  return expectPaid(await paying.post(await first(type, { body: { state: sealed } })));
}

async function readiness(paying = signer) {
  const { status } = await fetch(`${paying.url}/readyz`);
  const { ready, keys } = (await (await fetch(`${paying.adminUrl}/status`)).json()) as {
    ready: boolean;
    keys: [{ chain: { priceFeed: Record<string, unknown> } }];
  };
  return { status, ready, feed: keys[0].chain.priceFeed };
}

/** Has ether cost so many hundredths of 3,200 USD, and waits until the signer knows. */
async function moveEther(percent: bigint, paying = signer): Promise<void> {
  const answer = (usualAnswer * percent) / 100n;
  await feed.set({ answer });
  const weiPerUsd = `${(10n ** 26n / answer).toString()}.`;
  await soon(async () =>
    expect((await readiness(paying)).feed['weiPerUsd']).toSatisfy((rate) =>
      String(rate).startsWith(weiPerUsd),
    ),
  );
}

const tooDear = /^orchestrator price \d+\.000 exceeds configured maximum price ceiling \d+\.\d{3}$/;

describe.each(['lv2v', 'live', 'fixed'] as const)('a ceiling in USD for %s', (type) => {
  const { ceiling } = priced[type];
  const prices = { maxPrice: { [type]: ceiling } };

  it('is met exactly, and a wei more is too much', async () => {
    signer = await start(prices);
    expectPaid(await signer.post(await first(type)));
    signer.key.reset();
    const refused = await signer.post(await first(type, { extra: 1n }));
    expectRefusal(signer, refused, 481, tooDear);
  });

  it('ends no running session when ether rises, and begins none above it', async () => {
    signer = await start(prices);
    let running = expectPaid(await signer.post(await first(type)));
    expect(running.state).toMatchObject({ WeiPerUSD: '312500000000000' });
    for (const percent of [125n, 150n, 190n]) {
      await moveEther(percent);
      running = await payOn(type, running);
      expect(running.state).toMatchObject({ WeiPerUSD: '312500000000000' });
      signer.key.reset();
      expectRefusal(signer, await signer.post(await first(type)), 481, tooDear);
    }
    await moveEther(150n);
    await moveEther(110n);
    await moveEther(80n);
    running = await payOn(type, running);
    expectPaid(await signer.post(await first(type, { extra: priced[type].price / 4n })));
    // which is what the ceiling was when it began
    signer.key.reset();
    const dearer = await first(type, { extra: 1n, body: { state: running.sealed } });
    expectRefusal(signer, await signer.post(dearer), 481, tooDear);
  });
});

describe('the rate of a session', () => {
  const { price, ceiling } = priced.lv2v;
  const prices = { maxPrice: { lv2v: ceiling } };
  const ofGoLivepeer = {
    ...usualState,
    LastUpdate: '2026-04-07T19:59:55Z',
    InitialPricePerUnit: price,
  };

  it('is that of its first payment here, where go-livepeer began it', async () => {
    signer = await start(prices);
    await moveEther(125n);
    const foreign = await first('lv2v', { state: ofGoLivepeer });
    expectRefusal(signer, await signer.post(foreign), 481, tooDear);
    await moveEther(100n);
    const running = expectPaid(await signer.post(foreign));
    expect(running.state).toMatchObject({ WeiPerUSD: '312500000000000' });
    await moveEther(125n);
    await payOn('lv2v', running);
  });

  it('can’t be made up by a client', async () => {
    signer = await start(prices);
    const { sealed } = expectPaid(await signer.post(await first('lv2v')));
    await moveEther(125n);
    const text = Buffer.from(sealed.State, 'base64').toString();
    const forged = text.replace('"WeiPerUSD":"312500000000000"', '"WeiPerUSD":"912500000000000"');
    expect(forged).not.toBe(text);
    const state = { State: Buffer.from(forged).toString('base64'), Sig: sealed.Sig };
    signer.key.reset();
    const request = await first('lv2v', { body: { state } });
    expectRefusal(signer, await signer.post(request), 400, 'invalid sig');
  });

  it('does not hold against a ceiling that was lowered', async () => {
    const before = await start(prices);
    signer = before;
    const running = expectPaid(await before.post(await first('lv2v')));
    const lower = await start({ maxPrice: { lv2v: '0.382205951 usd/hour' } });
    try {
      lower.now = usualNow + 10_000_000_000n;
      lower.key.reset();
      const request = await first('lv2v', { body: { state: running.sealed } });
      expectRefusal(lower, await lower.post(request), 481, tooDear);
    } finally {
      await lower.close();
    }
  });

  it('leaves ceilings in wei as they are: a session above one can’t pay', async () => {
    signer = await start({ maxPrice: { lv2v: `${price - 1n} wei` } });
    const foreign = await first('lv2v', { state: ofGoLivepeer });
    expectRefusal(signer, await signer.post(foreign), 481, tooDear);
  });

  it('is what the limits of rules go by too, for as long as the session lasts', async () => {
    signer = await start(
      {},
      {
        policy: `
default: allow
rules:
  - { id: cheap, when: { type: [lv2v] }, limit: { price: ${ceiling}, ticketEv: 0.00032 usd, totalEv: 0.01 usd, sessionEv: 1 usd } }`,
      },
    );
    const running = expectPaid(await signer.post(await first('lv2v')));
    await moveEther(125n);
    await payOn('lv2v', running);
    signer.key.reset();
    expectRefusal(
      signer,
      await signer.post(await first('lv2v')),
      481,
      /exceeds rule cheap ceiling/,
    );
  });
});

describe('a window in USD', () => {
  it('has room for what it is worth now', async () => {
    // five payments of 10^9 wei with ether at 3,200 USD
    signer = await start(
      {},
      {
        policy:
          'default: allow\nrules: [{ id: hourly, window: { per: all, every: 1h, ev: 0.000016 usd } }]',
      },
    );
    const pay = async () => signer.post(await first('fixed'));
    for (let payment = 0; payment < 3; payment += 1) expectPaid(await pay());
    await moveEther(125n);
    expectPaid(await pay());
    signer.key.reset();
    const full = await pay();
    expect(full.status).toBeGreaterThanOrEqual(400);
    expect(full.text).toContain(
      'denied by rule hourly: no room is left in its limit of 4000000000 wei of EV',
    );
    expect(signer.key.digests).toEqual([]);
    await moveEther(100n);
    expectPaid(await pay());
    expect((await pay()).text).toContain('its limit of 5000000000 wei of EV');
  });
});

describe('without a rate', () => {
  const prices = { maxPrice: { lv2v: priced.lv2v.ceiling, fixed: '1 gwei' } };

  it('only payments that an amount in USD applies to are 503, and sessions with a rate of their own go on', async () => {
    const before = await start(prices);
    signer = before;
    const running = expectPaid(await before.post(await first('lv2v')));
    expect(before.logLines.at(-1)).toMatchObject({
      msg: 'payment signed',
      payment: { computed_fee: '1990656000000', computed_fee_usd: '0.0063700992' },
    });

    await feed.set({ isReverting: true });
    const metrics = createMetrics();
    const after = await start(prices, { metrics });
    try {
      const problem =
        "chain.rpcUrls.0: the price feed can't be read: chain.rpcUrls.0 answered eth_call with error 3";
      expect(await readiness(after)).toEqual({
        status: 200,
        ready: true,
        feed: { ready: false, problem },
      });
      expect(await metrics.text()).toContain(
        `livepeer_hsm_signer_price_feed_stale{sender="${after.checksumAddress}"} 1`,
      );
      after.key.reset();
      for (const refused of [
        await first('lv2v'),
        await first('lv2v', { state: { ...usualState, InitialPricePerUnit: priced.lv2v.price } }),
      ]) {
        const answer = await after.post(refused);
        expectError(answer, 503, masked503);
        expect(answer.headers.get('Retry-After')).toBe('1');
        expect(after.logLines.at(-1)).toMatchObject({ code: 'PRICE_FEED_UNAVAILABLE' });
      }
      expect(after.key.digests).toEqual([]);
      expectPaid(await after.post(await first('fixed')));
      expect(after.logLines.at(-1)).toMatchObject({ payment: { computed_fee_usd: null } });
      expectPaid(await after.post(await first('live')));
      await payOn('lv2v', running, after);

      await feed.set({ isReverting: false });
      await soon(async () => expect((await after.post(await first('lv2v'))).status).toBe(200));
      expect(await readiness(after)).toMatchObject({
        ready: true,
        feed: { ready: true, weiPerUsd: '312500000000000.000', round: '3' },
      });
      const text = await metrics.text();
      expect(text).toContain(
        `livepeer_hsm_signer_price_feed_stale{sender="${after.checksumAddress}"} 0`,
      );
      expect(text).toContain('livepeer_hsm_signer_price_feed_age_seconds{');
    } finally {
      await after.close();
    }
  });

  it('windows in USD stop payments, whatever rate the session has', async () => {
    const policy =
      'default: allow\nrules: [{ id: hourly, window: { per: all, every: 1h, ev: 1 usd } }]';
    const before = await start({}, { policy });
    signer = before;
    const running = expectPaid(await before.post(await first('fixed')));
    await feed.set({ answer: 0n });
    const after = await start({}, { policy });
    try {
      after.key.reset();
      const request = await first('fixed', { body: { state: running.sealed } });
      expectError(await after.post(request), 503, masked503);
      expect(after.logLines.at(-1)).toMatchObject({ code: 'PRICE_FEED_UNAVAILABLE' });
      expect(after.key.digests).toEqual([]);
    } finally {
      await after.close();
    }
  });
});
