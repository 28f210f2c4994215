import { parseEther } from 'viem';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { ConfigError } from '../../src/errors.ts';
import { expectError, expectPaid, masked503 } from '../payments/expectations.ts';
import { buildRequest, usualNow } from '../payments/request-builder.ts';
import { type Anvil, startAnvil } from '../support/anvil.ts';
import { type FaultyRpc, startFaultyRpc } from '../support/faulty-rpc.ts';
import { type LivepeerContracts, deployLivepeerContracts } from '../support/livepeer-contracts.ts';
import { type TestSigner, startTestSigner } from '../support/test-signer.ts';
import { vectors } from '../vectors/vectors.ts';

const ether = parseEther('1');
const maxAgeMs = 1_000;

let anvil: Anvil;
let contracts: LivepeerContracts;
let nodes: FaultyRpc[];

beforeAll(async () => {
  anvil = await startAnvil();
  contracts = await deployLivepeerContracts(anvil);
  await contracts.fundFor(vectors.key.address, ether, ether);
});
afterAll(() => anvil.stop());

beforeEach(async () => {
  nodes = await Promise.all([startFaultyRpc(anvil.url), startFaultyRpc(anvil.url)]);
});
afterEach(() => Promise.all(nodes.map((node) => node.close())));

async function startOnChain(chain: Record<string, unknown> = {}): Promise<TestSigner> {
  const signer = await startTestSigner({
    settings: {
      chain: {
        source: 'on-chain',
        chainId: 31_337,
        controller: contracts.controller,
        rpcUrls: nodes.map(({ url }) => url),
        refreshIntervalMs: 50,
        maxAgeMs,
        ...chain,
      },
    },
  });
  signer.now = usualNow;
  return signer;
}

function setFaults(fault: FaultyRpc['fault']): void {
  for (const node of nodes) node.fault = fault;
}

async function readiness(signer: TestSigner) {
  const response = await fetch(`${signer.url}/readyz`);
  return { status: response.status, report: await response.json() };
}

describe('payments with facts from the chain', () => {
  it('go on while no node answers, then stop with 503, and go on by themselves afterwards', async () => {
    const signer = await startOnChain();
    const request = await buildRequest();
    try {
      expectPaid(await signer.post(request));
      setFaults({ kind: 'down' });
      const downAtMs = performance.now();
      const asked = nodes[1]?.requests.length ?? 0;
      await vi.waitFor(() => expect(nodes[1]?.requests.length).toBeGreaterThan(asked + 1));
      expectPaid(await signer.post(request));
      expect(performance.now() - downAtMs).toBeLessThan(maxAgeMs);
      expect(await readiness(signer)).toMatchObject({ status: 200 });

      await vi.waitFor(
        async () => expect((await signer.post(request)).status).toBe(503),
        maxAgeMs * 3,
      );
      signer.key.reset();
      const refusal = await signer.post(request);
      expectError(refusal, 503, masked503);
      expect(refusal.headers.get('Retry-After')).toBe('1');
      expect(signer.key.digests).toEqual([]);
      expect(signer.logLines.at(-1)).toMatchObject({
        code: 'CHAIN_FACTS_UNAVAILABLE',
        details: expect.stringContaining("chain.rpcUrls.1 can't be reached") as string,
      });
      expect(await readiness(signer)).toMatchObject({
        status: 503,
        report: { ready: false, key: { ready: true }, chain: { ready: false } },
      });

      setFaults({ kind: 'none' });
      await vi.waitFor(async () => expect((await signer.post(request)).status).toBe(200), 2_000);
      expect(await readiness(signer)).toMatchObject({ status: 200, report: { ready: true } });
    } finally {
      await signer.close();
    }
  });

  it('survive an outage of all nodes of 10 s: 200 while the facts are fresh, 503, 200 again', async () => {
    const freshMs = 4_000;
    const outageMs = 10_000;
    const signer = await startOnChain({ maxAgeMs: freshMs, refreshIntervalMs: 200 });
    const request = await buildRequest();
    try {
      expectPaid(await signer.post(request));
      setFaults({ kind: 'down' });
      const downAtMs = performance.now();
      const seen: { atMs: number; status: number }[] = [];
      while (performance.now() - downAtMs < outageMs) {
        const atMs = performance.now() - downAtMs;
        seen.push({ atMs, status: (await signer.post(request)).status });
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      const lastPaid = seen.findLast(({ status }) => status === 200);
      const firstRefused = seen.find(({ status }) => status !== 200);
      expect(new Set(seen.map(({ status }) => status))).toEqual(new Set([200, 503]));
      expect(lastPaid?.atMs).toBeGreaterThan(freshMs - 1_000);
      expect(lastPaid?.atMs).toBeLessThan(firstRefused?.atMs ?? 0);
      expect(firstRefused?.atMs).toBeLessThan(freshMs + 1_000);

      setFaults({ kind: 'none' });
      const upAtMs = performance.now();
      await vi.waitFor(async () => expect((await signer.post(request)).status).toBe(200), 5_000);
      console.log(
        `outage of ${outageMs} ms: paid until ${Math.round(lastPaid?.atMs ?? 0)} ms, 503 from ` +
          `${Math.round(firstRefused?.atMs ?? 0)} ms, paid again ${Math.round(performance.now() - upAtMs)} ms after it`,
      );
    } finally {
      await signer.close();
    }
  });

  it('take no longer while every node needs 2 s for an answer', async () => {
    const signer = await startOnChain({ maxAgeMs: 10_000 });
    const request = await buildRequest();
    try {
      const payFor = async (durationMs: number): Promise<number[]> => {
        const latencies: number[] = [];
        const endMs = performance.now() + durationMs;
        while (performance.now() < endMs) {
          const startMs = performance.now();
          expectPaid(await signer.post(request));
          latencies.push(performance.now() - startMs);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        return latencies.toSorted((a, b) => a - b);
      };
      const median = (sorted: number[]): number => sorted[sorted.length >> 1] ?? Infinity;

      await payFor(200);
      const quick = await payFor(500);
      setFaults({ kind: 'slow', delayMs: 2_000 });
      const asked = nodes[0]?.requests.length ?? 0;
      const slow = await payFor(4_500);
      expect(nodes[0]?.requests.length).toBeGreaterThanOrEqual(asked + 2);
      expect(signer.logLines.filter(({ level }) => level === 40)).toEqual([]);
      console.log(
        `payment, median: ${median(quick).toFixed(1)} ms with quick nodes, ${median(slow).toFixed(1)} ms with nodes of 2 s`,
      );
      expect(median(slow)).toBeLessThan(median(quick) + 50);
      expect(slow.at(-1)).toBeLessThan(1_000);
    } finally {
      await signer.close();
    }
  });

  it('are refused to a sender without deposit, and to one that withdraws', async () => {
    const request = await buildRequest();
    const snapshot = await anvil.client.snapshot();
    await anvil.addBalance(vectors.key.address, ether);
    const unlock = { to: contracts.ticketBroker, data: '0xa69df4b5' } as const;
    const withdraw = { to: contracts.ticketBroker, data: '0x3ccfd60b' } as const;
    await anvil.sendAs(vectors.key.address, unlock);
    const signer = await startOnChain();
    const refused = 'remote signer could not check whether to refresh session: ';
    const unlocking = 'unable to validate sender: deposit and reserve is set to unlock soon';
    try {
      expectPaid(await signer.post(request));
      await contracts.nextRound();
      await vi.waitFor(async () =>
        expectError(await signer.post(request), 400, `${refused}${unlocking}`),
      );
      await contracts.nextRound();
      await anvil.sendAs(vectors.key.address, withdraw);
      await vi.waitFor(async () =>
        expect(await readiness(signer)).toMatchObject({ report: { chain: { depositWei: '0' } } }),
      );
      expectError(await signer.post(request), 400, `${refused}${unlocking}`);
    } finally {
      await signer.close();
      await anvil.client.revert({ id: snapshot });
    }
  });
});

describe('the signer', () => {
  it('refuses to start with a node of another chain', async () => {
    const start = startOnChain({ chainId: 42_161 });
    await expect(start).rejects.toThrow(ConfigError);
    await expect(start).rejects.toThrow(
      'chain.rpcUrls.0 is a node of chain 31337, and chain.chainId is 42161: correct one of them',
    );
  });

  it('tells at /readyz what it knows of key and chain, and warns of a low deposit', async () => {
    const signer = await startOnChain({ lowDeposit: '1.5 ether', lowReserve: '0.5 ether' });
    try {
      const { status, report } = await readiness(signer);
      expect(status).toBe(200);
      expect(report).toMatchObject({
        ready: true,
        key: { ready: true },
        chain: {
          ready: true,
          ageMs: expect.any(Number) as number,
          l1Block: (await anvil.client.getBlockNumber()).toString(),
          round: expect.stringMatching(/^\d+$/) as string,
          depositWei: ether.toString(),
          reserveWei: ether.toString(),
          withdrawRound: '0',
          isDepositLow: true,
          isReserveLow: false,
          nodes: [{ name: 'chain.rpcUrls.0' }, { name: 'chain.rpcUrls.1' }],
        },
      });
      expect(signer.logLines.filter(({ level }) => level === 40)).toMatchObject([
        { msg: 'the deposit is low: fund it', wei: ether.toString() },
      ]);
    } finally {
      await signer.close();
    }
  });
});
