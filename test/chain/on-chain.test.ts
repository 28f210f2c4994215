import { parseEther, toHex } from 'viem';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ChainError } from '../../src/chain/facts.ts';
import { ConfigError } from '../../src/errors.ts';
import { type Anvil, startAnvil } from '../support/anvil.ts';
import {
  type Exchange,
  type FaultyRpc,
  type RpcFault,
  startFaultyRpc,
} from '../support/faulty-rpc.ts';
import {
  type LivepeerContracts,
  deployLivepeerContracts,
  livepeerAbi,
} from '../support/livepeer-contracts.ts';
import {
  type LogLine,
  type TestSource,
  type TestSourceOptions,
  openSource,
} from './chain-source.ts';
import { createRandom } from '../support/random.ts';
import { soon } from '../support/soon.ts';

const random = createRandom('senders');

const ether = parseEther('1');
const path = '/v2/api-key-7461';

let anvil: Anvil;
let contracts: LivepeerContracts;
let sender: `0x${string}`;
/** two nodes of the same chain */
let first: FaultyRpc;
let second: FaultyRpc;

beforeAll(async () => {
  anvil = await startAnvil();
  contracts = await deployLivepeerContracts(anvil);
});
afterAll(() => anvil.stop());

beforeEach(async () => {
  sender = `0x${random.hex(20)}`;
  await anvil.addBalance(sender, 10n * ether);
  await contracts.fundFor(sender, 2n * ether, ether);
  first = await startFaultyRpc(anvil.url, path);
  second = await startFaultyRpc(anvil.url, path);
});
afterEach(() => Promise.all([first.close(), second.close()]));

function open(options: Partial<TestSourceOptions> = {}, logLines?: LogLine[]): Promise<TestSource> {
  return openSource({ contracts, sender, rpcUrls: [first.url], ...options }, logLines);
}

function call(functionName: 'unlock' | 'withdraw' | 'fundDeposit', value = 0n) {
  const data = { unlock: '0xa69df4b5', withdraw: '0x3ccfd60b', fundDeposit: '0x6caa736b' } as const;
  return anvil.sendAs(sender, { to: contracts.ticketBroker, data: data[functionName], value });
}

function readHash(round: bigint) {
  const { roundsManager: address } = contracts;
  const functionName = 'blockHashForRound';
  return anvil.client.readContract({ address, abi: livepeerAbi, functionName, args: [round] });
}

function describeError(run: () => unknown): unknown[] {
  try {
    return [run()];
  } catch (error) {
    const { message, details, cause, stack } = error as ChainError;
    return [message, details, cause, stack];
  }
}

/** Waits until the first node was asked so often from now on. */
async function refreshes(count: number): Promise<void> {
  const before = first.requests.length;
  await soon(() => expect(first.requests.length).toBeGreaterThan(before + count));
}

const problemOf = (source: TestSource, node = 0) => source.status()?.nodes[node]?.problem;

describe('what is read', () => {
  it('is the sender’s account, the last initialized round with its hash, and the block', async () => {
    using source = await open();
    const block = await anvil.client.getBlockNumber();
    const round = await anvil.client.readContract({
      address: contracts.roundsManager,
      abi: livepeerAbi,
      functionName: 'lastInitializedRound',
    });
    expect(round).toBeGreaterThanOrEqual(1n);
    expect(source.currentFacts()).toEqual({
      l1Block: block,
      round,
      deposit: 2n * ether,
      reserve: ether,
      claimedInRound: 0n,
      withdrawRound: 0n,
      lastInitializedRound: { round, blockHash: await readHash(round) },
    });
    expect(source.chainId).toBe(31_337);
    expect(source.ticketBroker).toBe(contracts.ticketBroker);
  });

  it('is Arbitrum’s l1BlockNumber where the node tells it', async () => {
    first.fault = {
      kind: 'results',
      replace: ({ method, result }) =>
        method === 'eth_getBlockByNumber'
          ? { ...(result as object), l1BlockNumber: '0x1406f42' }
          : result,
    };
    using source = await open();
    expect(source.currentFacts().l1Block).toBe(0x1406f42n);
  });

  it('is of no use on an Arbitrum chain where the node leaves l1BlockNumber out', async () => {
    const told: { l1BlockNumber?: string } = {};
    first.fault = {
      kind: 'results',
      replace: ({ method, result }) => {
        if (method === 'eth_chainId') return '0xa4b1';
        return method === 'eth_getBlockByNumber' ? { ...(result as object), ...told } : result;
      },
    };
    const open42161 = () => open({ chainId: 42_161, startTimeoutMs: 600 });
    await expect(open42161()).rejects.toThrow(
      'chain.rpcUrls.0 gave no valid block: it has no l1BlockNumber',
    );
    told.l1BlockNumber = '0x1406f42';
    using source = await open({ chainId: 42_161 });
    expect(source.currentFacts().l1Block).toBe(0x1406f42n);
  });

  it('takes one HTTP request a refresh, and one more when a round has begun', async () => {
    using source = await open();
    const atStart = first.requests.length;
    await soon(() => expect(first.requests.length).toBeGreaterThan(atStart + 3));
    const usual = ['eth_chainId', 'eth_call', 'eth_call', 'eth_getBlockByNumber', 'eth_call'];
    expect(first.requests.slice(atStart)).toEqual(first.requests.slice(atStart).map(() => usual));

    const round = await contracts.nextRound();
    await soon(() => expect(source.currentFacts().round).toBe(round));
    expect(first.requests.slice(atStart).filter(({ length }) => length === 1)).toEqual([
      ['eth_call'],
    ]);
  });

  it('follows deposit and reserve to the wei', async () => {
    using source = await open();
    await contracts.fundFor(sender, 3n, 5n);
    await soon(() =>
      expect(source.currentFacts()).toMatchObject({
        deposit: 2n * ether + 3n,
        reserve: ether + 5n,
      }),
    );
  });

  it('stays with the last initialized round while a newer one is not, and leaves a skipped one out', async () => {
    using source = await open();
    const { round, lastInitializedRound } = source.currentFacts();
    const skipped = await contracts.enterNextRound();
    const block = await anvil.client.getBlockNumber();
    await soon(() => expect(source.currentFacts().l1Block).toBe(block));
    expect(source.currentFacts()).toMatchObject({ round, lastInitializedRound });

    const next = await contracts.nextRound();
    expect(next).toBe(skipped + 1n);
    await soon(() => expect(source.currentFacts().round).toBe(next));
    expect(source.currentFacts().lastInitializedRound.blockHash).toBe(await readHash(next));
    expect(problemOf(source)).toBeUndefined();
  });

  it('keeps the withdraw round after a withdrawal, until the sender funds itself', async () => {
    using source = await open();
    await call('unlock');
    const withdrawRound = source.currentFacts().round + 2n;
    await soon(() => expect(source.currentFacts().withdrawRound).toBe(withdrawRound));
    await contracts.nextRound();
    await contracts.nextRound();
    await call('withdraw');
    await soon(() =>
      expect(source.currentFacts()).toMatchObject({ deposit: 0n, reserve: 0n, withdrawRound }),
    );
    await call('fundDeposit', 7n);
    await soon(() =>
      expect(source.currentFacts()).toMatchObject({ deposit: 7n, withdrawRound: 0n }),
    );
  });
});

describe('a node that refuses batches', () => {
  // prettier-ignore
  it.each<[string, number, string]>([
    ['one error for all', 200, '{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batch not supported"}}'],
    ['an error for each, without an id', 200, '[{"id":null,"error":{"code":-32005,"message":"batch too large"}}]'],
    ['HTTP 500 and an error', 500, '{"error":{"code":31,"message":"Batch of more than 3 requests are not allowed on free tier"}}'],
    ['HTTP 403', 403, 'batches are for paying customers'],
    ['HTTP 400', 400, '{"error":"array"}'],
    ['an empty list', 200, '[]'],
  ])('with %s is asked one call at a time', async (_how, status, text) => {
    first.fault = { kind: 'no-batches', status, text };
    using source = await open();
    await contracts.fundFor(sender, 3n, 0n);
    await soon(() => expect(source.currentFacts().deposit).toBe(2n * ether + 3n));
    expect(source.currentFacts().reserve).toBe(ether);
    expect(source.logLines).toEqual([]);
    // it is not asked again whether it takes batches, as long as it answers
    expect(first.requests.filter(({ length }) => length > 1)).toHaveLength(1);
  });
});

describe('the start is refused', () => {
  async function refusalOf(options: Partial<TestSourceOptions> = {}): Promise<unknown> {
    return open({ startTimeoutMs: 600, ...options }).then(
      (source) => source.close(),
      (error: unknown) => error,
    );
  }

  it('on a node of another chain, even if another node is right', async () => {
    second.fault = {
      kind: 'results',
      replace: ({ method, result }) => (method === 'eth_chainId' ? '0xa4b1' : result),
    };
    const error = await refusalOf({ rpcUrls: [first.url, second.url] });
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toMatchObject({
      code: 'CONFIG_INVALID',
      message:
        'chain.rpcUrls.1 is a node of chain 42161, and chain.chainId is 31337: correct one of them',
    });
  });

  it('where the Controller is not', async () => {
    const error = await refusalOf({ rpcUrls: [first.url] });
    expect(error).toBeUndefined();
    const elsewhere = openSource({
      contracts: { controller: `0x${'12'.repeat(20)}` },
      sender,
      rpcUrls: [first.url],
    });
    await expect(elsewhere).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: `chain.rpcUrls.0 has no Livepeer contracts where chain.controller, 0x${'12'.repeat(20)}, says: correct it`,
    });
  });

  it('where the Controller does not know the contracts', async () => {
    first.fault = {
      kind: 'results',
      replace: ({ method, result }) => (method === 'eth_call' ? `0x${'00'.repeat(32)}` : result),
    };
    expect(await refusalOf()).toMatchObject({ code: 'CONFIG_INVALID' });
  });

  it('in round 0, which has no block hash', async () => {
    const fresh = await deployLivepeerContracts(anvil, { initialize: false });
    const error = await openSource({
      contracts: fresh,
      sender,
      rpcUrls: [first.url],
      startTimeoutMs: 600,
    }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ChainError);
    expect(error).toMatchObject({
      code: 'CHAIN_FACTS_UNAVAILABLE',
      message: expect.stringMatching(
        /chain\.rpcUrls\.0 has no block hash for round 0, .* initialize a round first$/,
      ) as string,
    });
  });

  it('when no node answers in time, with the reason for each', async () => {
    first.fault = { kind: 'down' };
    second.fault = { kind: 'http-status', status: 429 };
    expect(await refusalOf({ rpcUrls: [first.url, second.url] })).toMatchObject({
      code: 'CHAIN_FACTS_UNAVAILABLE',
      message:
        "no node gave usable facts: chain.rpcUrls.0 can't be reached: UND_ERR_SOCKET; " +
        'chain.rpcUrls.1 answered HTTP 429',
    });
  });

  it('but waits for a node that comes in time', async () => {
    first.fault = { kind: 'down' };
    const opening = open();
    await soon(() => expect(first.requests).not.toEqual([]));
    first.fault = { kind: 'none' };
    using source = await opening;
    expect(source.currentFacts().deposit).toBe(2n * ether);
  });
});

describe('a node that fails while the signer runs', () => {
  const inResultOf = (wanted: string, value: unknown): RpcFault => ({
    kind: 'results',
    replace: ({ method, result }) => (method === wanted ? value : result),
  });
  const inBlock = (fields: object): RpcFault => ({
    kind: 'results',
    replace: ({ method, result }) =>
      method === 'eth_getBlockByNumber' ? { ...(result as object), ...fields } : result,
  });
  /** `0x` and selector of the call that is answered */
  const inCall = (selector: string, value: unknown): RpcFault => ({
    kind: 'results',
    replace: ({ method, params, result }) =>
      method === 'eth_call' && JSON.stringify(params).includes(selector) ? value : result,
  });
  const senderInfo = '0xe1a589da';
  const lastRound = '0x8807f36e';
  const blockHash = '0x3aa4add4';
  const word = (value: bigint) => toHex(value, { size: 32 });

  // prettier-ignore
  const faults: readonly [what: string, fault: RpcFault, problem: string][] = [
    ['is down', { kind: 'down' }, "can't be reached: UND_ERR_SOCKET"],
    ['hangs', { kind: 'hanging' }, 'gave no answer within 2000 ms'],
    ['hangs in the middle of its answer', { kind: 'stuck-half-way' }, 'gave no answer within 2000 ms'],
    ['answers HTTP 502', { kind: 'http-status', status: 502 }, 'answered HTTP 502'],
    ['redirects', { kind: 'http-status', status: 301 }, 'answered HTTP 301'],
    ['answers nothing', { kind: 'body', text: '' }, 'gave no valid answer to eth_chainId'],
    ['answers a page', { kind: 'body', text: '<html>' }, 'gave no valid answer to eth_chainId'],
    ['answers JSON that is cut', { kind: 'body', text: '[{"id":0,"result":"0x7a' }, 'gave no valid answer to eth_chainId'],
    ['answers null', { kind: 'body', text: 'null' }, 'gave no valid answer to eth_chainId'],
    ['answers one object for the batch', { kind: 'body', text: '{"id":0,"result":"0x7a69"}' }, 'gave no valid block'],
    ['answers a part of the batch', { kind: 'body', text: '[{"id":0,"result":"0x7a69"}]' }, 'gave no valid answer to eth_call'],
    ['answers without end', { kind: 'body', text: ' '.repeat(2_000_000) }, 'answered more than 1048576 bytes'],
    ['answers with an error', { kind: 'rpc-error', code: -32005, message: `quota of ${path} used up` }, 'answered eth_chainId with error -32005'],
    ['answers with an error that has a name', { kind: 'rpc-error', code: 'rate_limited', message: `quota of ${path} used up` }, 'answered eth_chainId with error rate_limited'],
    ['answers with an error whose code is a sentence', { kind: 'rpc-error', code: `no quota for ${path}`, message: '' }, 'answered eth_chainId with an error without a code'],
    ['answers with an error alone', { kind: 'body', text: `{"error":"no quota for ${path}"}` }, 'answered with an error without a code'],
    ['answers with one error for all', { kind: 'body', text: '{"id":null,"error":{"code":-32029,"message":"no"}}' }, 'answered with error -32029'],
    ['is of another chain now', inResultOf('eth_chainId', '0x1'), 'is a node of chain 1, and chain.chainId is 31337: correct one of them'],
    ['has no chain id', inResultOf('eth_chainId', 'mainnet'), 'gave no valid chain id'],
    ['has no block', inResultOf('eth_getBlockByNumber', null), 'gave no valid block'],
    ['has a block number that is no hex', inBlock({ number: '12' }), 'gave no valid block'],
    ['has a negative block number', inBlock({ number: '-0x1' }), 'gave no valid block'],
    ['has a huge block number', inBlock({ number: '0x8000000000000000' }), 'gave no valid block'],
    ['has a huge l1BlockNumber', inBlock({ l1BlockNumber: `0x${'f'.repeat(64)}` }), 'gave no valid block'],
    ['has no time', inBlock({ timestamp: undefined }), 'gave no valid block'],
    ['has an old block', inBlock({ timestamp: '0x5f5e100' }), 'has seen no new block for longer than chain.maxBlockAgeMs allows'],
    ['has half a sender', inCall(senderInfo, word(1n)), 'gave no valid answer to getSenderInfo'],
    ['has a sender that is no hex', inCall(senderInfo, '0xzz'), 'gave no valid answer to getSenderInfo'],
    ['has a number for a sender', inCall(senderInfo, 12), 'gave no valid answer to getSenderInfo'],
    ['has no contracts', inCall(senderInfo, '0x'), 'has no Livepeer contracts'],
    ['has a huge round', inCall(lastRound, word(2n ** 256n - 1n)), 'gave no valid round'],
    ['has a round without a hash', inCall(blockHash, word(0n)), 'has no block hash for round'],
    ['has a short hash', inCall(blockHash, '0x12'), 'gave no valid answer to blockHashForRound'],
  ];

  it.each(faults)(
    'that %s changes nothing, and is used again when it is well',
    async (_what, fault, problem) => {
      using source = await open(problem.endsWith(' ms') ? { requestTimeoutMs: 2_000 } : {});
      const facts = source.currentFacts();
      first.fault = fault;
      await soon(() => expect(problemOf(source)).toMatch(`chain.rpcUrls.0 ${problem}`));
      expect(source.currentFacts()).toEqual(facts);
      expect(source.logLines.map(({ message }) => message)).toEqual(['a chain node is not usable']);

      await contracts.fundFor(sender, 1n, 0n);
      first.fault = { kind: 'none' };
      await soon(() => expect(source.currentFacts().deposit).toBe(facts.deposit + 1n));
      expect(problemOf(source)).toBeUndefined();
      // one more problem is told of where a reading got some of its answers before the node was well, and some after
      const messages = source.logLines.map(({ message }) => message);
      expect(messages.filter((message, index) => message !== messages[index - 1])).toEqual([
        'a chain node is not usable',
        'a chain node is usable again',
      ]);
    },
  );

  it.each<[string, RpcFault]>([
    ['is down', { kind: 'down' }],
    ['hangs', { kind: 'hanging' }],
  ])('and %s is replaced by the next one, which waits for nothing', async (_what, fault) => {
    using source = await open({ rpcUrls: [first.url, second.url], requestTimeoutMs: 600_000 });
    first.fault = fault;
    await contracts.fundFor(sender, 1n, 0n);
    await soon(() => expect(source.currentFacts().deposit).toBe(2n * ether + 1n));
  });

  it('never has facts go back to an older block', async () => {
    using source = await open({ rpcUrls: [first.url, second.url] });
    const recorded = new Map<string, unknown>();
    const keyOf = (call: { method: string; params: readonly unknown[] }) =>
      `${call.method} ${JSON.stringify(call.params)}`;
    second.fault = {
      kind: 'results',
      replace: (call) => {
        const key = keyOf(call);
        if (!recorded.has(key)) recorded.set(key, call.result);
        return recorded.get(key);
      },
    };
    await soon(() => expect(recorded.size).toBe(5));
    await contracts.fundFor(sender, 1n, 0n);
    await soon(() => expect(source.currentFacts().deposit).toBe(2n * ether + 1n));

    const stale = second.requests.length;
    const seen = new Set<bigint>();
    await soon(() => {
      seen.add(source.currentFacts().deposit);
      expect(second.requests.length).toBeGreaterThan(stale + 5);
    });
    expect([...seen]).toEqual([2n * ether + 1n]);
  });

  it('gets a block while it is read does not bring older facts back', async () => {
    const blockNow = await anvil.client.getBlock();
    let isBlockInBetween = false;
    first.fault = {
      kind: 'results',
      replace: ({ method, params, result }) => {
        if (JSON.stringify(params).includes(senderInfo)) {
          isBlockInBetween = true;
          return (result as string).replace(word(2n * ether).slice(2), word(3n * ether).slice(2));
        }
        if (method !== 'eth_getBlockByNumber') return result;
        const number = toHex(blockNow.number + (isBlockInBetween ? 1n : 0n));
        isBlockInBetween = false;
        return { ...(result as object), number };
      },
    };
    using source = await open({ rpcUrls: [first.url, second.url] });
    const seen = new Set<bigint>();
    const asked = second.requests.length;
    await soon(() => {
      seen.add(source.currentFacts().deposit);
      expect(second.requests.length).toBeGreaterThan(asked + 10);
    });
    expect([...seen]).toEqual([3n * ether]);
  });

  it('that disagrees with another about a block is not believed in turns with it', async () => {
    const told = ({ method, params, result }: Exchange): unknown =>
      method === 'eth_call' && JSON.stringify(params).includes(senderInfo)
        ? (result as string).replace(word(2n * ether).slice(2), word(3n * ether).slice(2))
        : result;
    first.fault = { kind: 'results', replace: told };
    using source = await open({ rpcUrls: [first.url, second.url] });
    const seen = new Set<bigint>();
    const [askedFirst, askedSecond] = [first.requests.length, second.requests.length];
    await soon(() => {
      seen.add(source.currentFacts().deposit);
      expect(first.requests.length).toBeGreaterThan(askedFirst + 5);
      expect(second.requests.length).toBeGreaterThan(askedSecond + 5);
    });
    expect([...seen]).toEqual([3n * ether]);
    await contracts.fundFor(sender, 1n, 0n);
    first.fault = { kind: 'down' };
    await soon(() => expect(source.currentFacts().deposit).toBe(2n * ether + 1n));
  });

  it('and goes back is believed once the newer facts are too old', async () => {
    let nowMs = 0;
    using source = await open({ maxAgeMs: 300, nowMs: () => nowMs });
    const { l1Block } = source.currentFacts();
    first.fault = inBlock({ number: toHex(l1Block - 1n) });
    nowMs = 300;
    await refreshes(3);
    expect(source.currentFacts().l1Block).toBe(l1Block);
    nowMs = 301;
    await soon(() => expect(source.currentFacts().l1Block).toBe(l1Block - 1n));
  });

  it('leaves facts that end when they are older than maxAgeMs', async () => {
    let nowMs = 0;
    using source = await open({ maxAgeMs: 400, nowMs: () => nowMs });
    first.fault = { kind: 'down' };
    nowMs = 400;
    await refreshes(3);
    expect(source.status()).toMatchObject({ isFresh: true, ageMs: 400 });
    expect(source.currentFacts().deposit).toBe(2n * ether);
    nowMs = 401;
    expect(source.status()).toMatchObject({ isFresh: false, ageMs: 401 });
    expect(() => source.currentFacts()).toThrow(
      expect.objectContaining({
        code: 'CHAIN_FACTS_UNAVAILABLE',
        retryable: true,
        details: "chain.rpcUrls.0 can't be reached: UND_ERR_SOCKET",
      }) as Error,
    );
    first.fault = { kind: 'none' };
    await soon(() => expect(source.currentFacts().deposit).toBe(2n * ether));
  });

  it('never has its URL’s credentials shown', async () => {
    const logLines: LogLine[] = [];
    const url = first.url.replace('http://', 'http://operator:pass%2Dword@');
    using source = await open({ rpcUrls: [url], maxAgeMs: 100, requestTimeoutMs: 2_000 }, logLines);
    expect(first.authorizations).toContain(`Basic ${btoa('operator:pass-word')}`);
    for (const [, fault, problem] of faults) {
      first.fault = fault;
      await soon(() => expect(problemOf(source)).toContain(problem));
    }
    await soon(() => expect(() => source.currentFacts()).toThrow(ChainError));
    const told = describeError(() => source.currentFacts());
    const text = JSON.stringify([told, logLines, source.status()?.nodes]);
    expect(text).toContain('chain.rpcUrls.0');
    for (const secret of ['operator', 'pass', 'api-key', '127.0.0.1', 'http://']) {
      expect(text).not.toContain(secret);
    }
  });
});

describe('a low deposit or reserve', () => {
  it('is told once, and again when it is filled', async () => {
    using source = await open({ lowDeposit: 3n * ether, lowReserve: ether });
    expect(source.status()).toMatchObject({ isDepositLow: true, isReserveLow: false });
    const low = {
      level: 'warn',
      message: 'the deposit is low: fund it',
      fields: { wei: '2000000000000000000', threshold_wei: '3000000000000000000' },
    };
    await refreshes(3);
    expect(source.logLines).toEqual([low]);

    await contracts.fundFor(sender, ether, 0n);
    await soon(() => expect(source.status()?.isDepositLow).toBe(false));
    expect(source.logLines.slice(1)).toMatchObject([
      { level: 'info', message: 'the deposit is no longer low' },
    ]);
  });
});
