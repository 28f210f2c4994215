import { parseEther } from 'viem';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseAddress } from '../../src/pm/bytes.ts';
import { formatRational } from '../../src/pm/rational.ts';
import { type Anvil, startAnvil } from '../support/anvil.ts';
import { type FaultyRpc, startFaultyRpc } from '../support/faulty-rpc.ts';
import { type LivepeerContracts, deployLivepeerContracts } from '../support/livepeer-contracts.ts';
import {
  type FeedAnswers,
  type TestPriceFeed,
  deployPriceFeed,
  usualAnswer,
} from '../support/price-feed.ts';
import { createRandom } from '../support/random.ts';
import { soon } from '../support/soon.ts';
import { type LogLine, type TestSource, openSource } from './chain-source.ts';

const random = createRandom('senders of the price feed');
const maxAgeMs = 7_200_000;
const maxInt256 = 2n ** 255n - 1n;

let anvil: Anvil;
let contracts: LivepeerContracts;
let feed: TestPriceFeed;
let nodes: FaultyRpc[];
let source: TestSource | undefined;
let logLines: LogLine[];

beforeAll(async () => {
  anvil = await startAnvil();
  contracts = await deployLivepeerContracts(anvil);
});
afterAll(() => anvil.stop());

beforeEach(async () => {
  logLines = [];
  feed = await deployPriceFeed(anvil);
  nodes = await Promise.all([startFaultyRpc(anvil.url), startFaultyRpc(anvil.url)]);
});
afterEach(async () => {
  vi.useRealTimers();
  source?.close();
  source = undefined;
  await Promise.all(nodes.map((node) => node.close()));
});

async function open(options: { nodes?: number; address?: string } = {}): Promise<TestSource> {
  const sender = `0x${random.hex(20)}`;
  await contracts.fundFor(sender as `0x${string}`, parseEther('1'), parseEther('1'));
  const address = parseAddress(options.address ?? feed.address);
  if (!address) throw new Error('not an address');
  source = await openSource(
    {
      contracts,
      sender,
      rpcUrls: nodes.slice(0, options.nodes ?? 1).map(({ url }) => url),
      exchangeRate: { address, maxAgeMs, refreshIntervalMs: 1 },
      maxBlockAgeMs: 4 * maxAgeMs,
    },
    logLines,
  );
  return source;
}

/** wei per USD as `n/d`, or undefined */
function rateOf(source: TestSource): string | undefined {
  const { weiPerUsd } = source.currentFacts();
  return weiPerUsd && formatRational(weiPerUsd);
}

const problemOf = (opened: TestSource) => opened.status()?.priceFeed?.problem;

const atTenThousand = '100000000000000';
const at3200 = '312500000000000';

describe('the rate', () => {
  it.each<[string, Partial<FeedAnswers>, string]>([
    ['ETH / USD with 8 decimals', {}, at3200],
    ['ETH / USD with 18 decimals', { decimals: 18n, answer: 3_200n * 10n ** 18n }, at3200],
    ['ETH / USD without decimals', { decimals: 0n, answer: 3_200n }, at3200],
    ['what does not come out even', { answer: 3_000n * 10n ** 8n }, '1000000000000000/3'],
    ['every digit', { answer: 312_345_678_901n }, '100000000000000000000000000/312345678901'],
    ['USD / ETH with 8 decimals', { description: 'USD / ETH', answer: 31_250n }, at3200],
    [
      'USD / ETH with 18 decimals',
      { description: 'USD / ETH', decimals: 18n, answer: 10n ** 14n },
      atTenThousand,
    ],
    ['other spaces and cases', { description: ' eth/Usd ' }, at3200],
    ['the least that ether may cost', { answer: 10n ** 8n }, '1000000000000000000'],
    ['the most that ether may cost', { answer: 10n ** 14n }, '1000000000000'],
  ])('is exact for %s', async (_case, answers, rate) => {
    await feed.set(answers);
    const opened = await open();
    expect(rateOf(opened)).toBe(rate);
    expect(formatRational(opened.currentRate() ?? { numerator: 0n, denominator: 1n })).toBe(rate);
    expect(problemOf(opened)).toBeUndefined();
    expect(logLines).toEqual([]);
  });

  const hour = 3_600n;
  it.each<[string, Partial<FeedAnswers>, string]>([
    ['an answer of 0', { answer: 0n }, 'has an answer that is not positive'],
    ['a negative answer', { answer: -usualAnswer }, 'has an answer that is not positive'],
    [
      'the largest int256',
      { answer: maxInt256 },
      'says that ether costs less than 1 or more than 1000000 USD',
    ],
    [
      'the largest int256, the other way round',
      { answer: maxInt256, description: 'USD / ETH' },
      'says that ether costs less than 1 or more than 1000000 USD',
    ],
    [
      'ether below 1 USD',
      { answer: 10n ** 8n - 1n },
      'says that ether costs less than 1 or more than 1000000 USD',
    ],
    [
      'ether above 1,000,000 USD',
      { answer: 10n ** 14n + 1n },
      'says that ether costs less than 1 or more than 1000000 USD',
    ],
    ['round 0', { roundId: 0n }, 'has no round'],
    ['a round that is not complete', { updatedAt: 0n }, 'has a round that is not complete'],
    [
      'an update in the future',
      { updatedAt: BigInt(Math.floor(Date.now() / 1000)) + hour },
      'was updated after the block it was read at',
    ],
    [
      'a stale update',
      { updatedAt: BigInt(Math.floor(Date.now() / 1000)) - 2n * hour - 5n },
      'was updated longer ago than prices.feed.maxAgeMs allows',
    ],
    [
      'an answer of an earlier round',
      { roundId: 9n, answeredInRound: 8n },
      'has an answer of an earlier round',
    ],
    ['another pair', { description: 'BTC / USD' }, 'is of another pair than ETH / USD'],
    [
      'a pair that only begins like it',
      { description: 'ETH / USDC' },
      'is of another pair than ETH / USD',
    ],
    ['no pair', { description: '' }, 'is of another pair than ETH / USD'],
    [
      'a contract that reverts',
      { isReverting: true },
      "can't be read: chain.rpcUrls.0 answered eth_call with error 3",
    ],
  ])(
    'is not taken from %s, and the chain’s facts serve without it',
    async (_case, answers, problem) => {
      await feed.set(answers);
      const opened = await open();
      const reason = `chain.rpcUrls.0: the price feed ${problem}`;
      expect(rateOf(opened)).toBeUndefined();
      expect(opened.currentFacts().deposit).toBe(parseEther('1'));
      expect(opened.status()).toMatchObject({
        isFresh: true,
        priceFeed: { isFresh: false, answer: undefined, problem: reason },
      });
      expect(logLines).toEqual([
        { level: 'warn', message: 'the price feed is not usable', fields: { reason } },
      ]);
      await feed.set({ answer: usualAnswer, description: 'ETH / USD', isReverting: false });
      await soon(() => expect(rateOf(opened)).toBe(at3200));
      expect(logLines.slice(1)).toEqual([
        {
          level: 'info',
          message: 'the price feed is usable again',
          fields: { node: 'chain.rpcUrls.0' },
        },
      ]);
    },
  );

  it('is not taken from an address without a contract', async () => {
    const opened = await open({ address: `0x${'5'.repeat(40)}` });
    expect(rateOf(opened)).toBeUndefined();
    expect(problemOf(opened)).toBe(
      "chain.rpcUrls.0: the price feed can't be read: chain.rpcUrls.0 gave no valid answer to description",
    );
  });

  it('is none where no feed is configured, and nothing is asked for it', async () => {
    source = await openSource({
      contracts,
      sender: `0x${'6'.repeat(40)}`,
      rpcUrls: [nodes[0]?.url ?? ''],
    });
    expect(rateOf(source)).toBeUndefined();
    expect(source.status()?.priceFeed).toBeUndefined();
    expect(nodes[0]?.requests.filter(({ length }) => length === 3)).toEqual([]);
  });

  it('is the configured one where that is fixed', async () => {
    source = await openSource({
      contracts,
      sender: `0x${'6'.repeat(40)}`,
      rpcUrls: [nodes[0]?.url ?? ''],
      exchangeRate: { weiPerUsd: { numerator: 7n, denominator: 1n } },
    });
    expect(rateOf(source)).toBe('7');
    expect(source.status()?.priceFeed).toBeUndefined();
  });
});

describe('a feed that moves', () => {
  it('is followed, with its round and age', async () => {
    const opened = await open();
    await feed.set({ answer: (usualAnswer * 125n) / 100n });
    await soon(() => expect(rateOf(opened)).toBe('250000000000000'));
    expect(opened.status()?.priceFeed).toMatchObject({
      isFresh: true,
      answer: { round: 2n },
      problem: undefined,
    });
    expect(opened.status()?.priceFeed?.answer?.ageMs).toBeLessThan(maxAgeMs);
  });

  it.each([
    ['up by exactly 30 %', 130n, true],
    ['down by exactly 30 %', 70n, true],
    ['up by more', 131n, false],
    ['down by more', 69n, false],
  ])('%s: believed when within 30 %', async (_case, percent, isBelieved) => {
    const opened = await open();
    const answer = (usualAnswer * percent) / 100n;
    await feed.set({ answer });
    if (isBelieved) {
      await soon(() =>
        expect(rateOf(opened)).toBe(formatRational({ numerator: 10n ** 26n, denominator: answer })),
      );
      expect(logLines).toEqual([]);
      return;
    }
    const problem =
      'chain.rpcUrls.0: the price feed moved by more than 30 % at once; its last rate is kept for as long as it holds';
    await soon(() => expect(problemOf(opened)).toBe(problem));
    expect(rateOf(opened)).toBe(at3200);
    await feed.set({ answer: usualAnswer });
    await soon(() => expect(problemOf(opened)).toBeUndefined());
    expect(logLines.map(({ message }) => message)).toEqual([
      'the price feed is not usable',
      'the price feed is usable again',
    ]);
  });

  it('is believed after a jump once the last rate is too old', async () => {
    const { timestamp } = await anvil.client.getBlock();
    await feed.set({ updatedAt: timestamp - 3_600n });
    const opened = await open();
    await feed.set({ answer: usualAnswer * 2n, updatedAt: timestamp });
    await soon(() => expect(problemOf(opened)).toContain('moved by more than 30 %'));
    setDate(timestamp - 3_600n, maxAgeMs);
    expect(rateOf(opened)).toBe(at3200);
    setDate(timestamp - 3_600n, maxAgeMs + 1);
    await soon(() => expect(rateOf(opened)).toBe('156250000000000'));
    expect(problemOf(opened)).toBeUndefined();
  });

  it('does not go back to an older answer of a node that lags', async () => {
    const opened = await open({ nodes: 2 });
    const { timestamp } = await anvil.client.getBlock();
    await feed.set({ answer: (usualAnswer * 11n) / 10n, updatedAt: timestamp });
    await soon(() => expect(rateOf(opened)).toBe('3125000000000000/11'));
    await feed.set({ answer: usualAnswer, updatedAt: timestamp - 60n });
    const asked = nodes.map(({ requests }) => requests.length);
    await soon(() => {
      for (const [index, { requests }] of nodes.entries()) {
        expect(requests.length).toBeGreaterThan((asked[index] ?? 0) + 4);
      }
    });
    expect(rateOf(opened)).toBe('3125000000000000/11');
  });
});

describe('nodes and the price feed', () => {
  it('are asked for it in one request after the facts, and again only when its interval has passed', async () => {
    let nowMs = 0;
    source = await openSource(
      {
        contracts,
        sender: `0x${'6'.repeat(40)}`,
        rpcUrls: [nodes[0]?.url ?? ''],
        exchangeRate: {
          address: parseAddress(feed.address) ?? never(),
          maxAgeMs,
          refreshIntervalMs: 300_000,
        },
        nowMs: () => nowMs,
      },
      logLines,
    );
    const feedRequests = () =>
      (nodes[0]?.requests ?? []).filter(
        (calls) => calls.every((call) => call === 'eth_call') && calls.length === 3,
      );
    const refreshes = async () => {
      const before = nodes[0]?.requests.length ?? 0;
      await soon(() => expect(nodes[0]?.requests.length).toBeGreaterThan(before + 4));
    };
    await refreshes();
    expect(feedRequests()).toHaveLength(1);
    nowMs = 299_999;
    await refreshes();
    expect(feedRequests()).toHaveLength(1);
    nowMs = 300_000;
    await refreshes();
    expect(feedRequests()).toHaveLength(2);
  });

  it('that can’t read it leave it to the others', async () => {
    const [broken] = nodes;
    if (!broken) throw new Error('two nodes were started');
    broken.fault = {
      kind: 'results',
      replace: ({ method, params, result }) =>
        method === 'eth_call' && typeof params[1] === 'object' ? '0x' : result,
    };
    const opened = await open({ nodes: 2 });
    expect(rateOf(opened)).toBe(at3200);
    await feed.set({ answer: (usualAnswer * 125n) / 100n });
    await soon(() => expect(rateOf(opened)).toBe('250000000000000'));
    expect(opened.status()?.nodes.map(({ problem }) => problem)).toEqual([undefined, undefined]);
  });

  it('that fail leave the last rate in force until it is too old', async () => {
    const { timestamp } = await anvil.client.getBlock();
    await feed.set({ updatedAt: timestamp });
    const opened = await open();
    for (const node of nodes) node.fault = { kind: 'down' };
    setDate(timestamp, maxAgeMs);
    expect(rateOf(opened)).toBe(at3200);
    setDate(timestamp, maxAgeMs + 1);
    expect(rateOf(opened)).toBeUndefined();
    expect(opened.status()?.priceFeed).toMatchObject({
      isFresh: false,
      answer: { round: 2n, ageMs: maxAgeMs + 1 },
    });
  });
});

/** Has this machine's clock show a time after one of the chain's. */
function setDate(seconds: bigint, afterMs: number): void {
  vi.useFakeTimers({ toFake: ['Date'], now: Number(seconds) * 1000 + afterMs });
}

function never(): never {
  throw new Error('this can’t be');
}
